//! A state to run operations in: a store in memory that never fails, and a clock that only goes
//! when told.

#![allow(clippy::needless_pass_by_value, reason = "bodies are written where they are sent")]

use super::{State, moment::Moment};
use crate::{
    model::time::{Instant, Now, Timestamp},
    service::{
        auth::Caller,
        http::{
            reply::{Interrupt, Reply},
            request::{RequestContext, Supplied},
            route::{Found, Handler, Router, query},
        },
        ops,
        settings::ServiceSettings,
        store::memory::Memory,
    },
};
use http::{HeaderMap, Method};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

pub(crate) struct Harness {
    pub(crate) state: State,
    /// What was committed; another state can be opened on it.
    pub(crate) rows: Memory,
    now: Now,
    router: Router,
}

impl Harness {
    pub(crate) fn new(settings: ServiceSettings) -> Harness {
        Harness::on(Memory::default(), settings, at(0))
    }

    pub(crate) fn on(rows: Memory, settings: ServiceSettings, now: Now) -> Harness {
        let (state, _) = State::open(Arc::new(settings), Box::new(rows.clone()), now).unwrap();
        Harness { state, rows, now, router: Router::new(&ops::tables()) }
    }

    /// Ends the service and starts another on the same store.
    pub(crate) fn restart(mut self, settings: ServiceSettings) -> Harness {
        self.state.finish();
        Harness::on(self.rows.clone(), settings, self.now)
    }

    pub(crate) fn now(&self) -> Now {
        self.now
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub(crate) fn pass(&mut self, seconds: f64) {
        let end = self.now.mono + Duration::from_secs_f64(seconds);
        while let Some(next) = self.state.next_deadline().filter(|next| *next <= end) {
            self.go_to(next.max(self.now.mono));
            self.state.tick(self.now);
        }
        self.go_to(end);
    }

    fn go_to(&mut self, mono: Instant) {
        let step = mono.since(self.now.mono);
        self.now = Now { boot: self.now.boot + step, mono, wall: self.now.wall.plus(step), ..self.now };
    }

    /// Carries out an operation that answers at once.
    pub(crate) fn ask(&mut self, who: &Caller, method: &str, path: &str, body: Value) -> Result<Reply, Interrupt> {
        self.ask_then(who, method, path, body, Ok)
    }

    /// The same; `then` has the last word on the answer, within the operation's transaction.
    pub(crate) fn ask_then<T>(
        &mut self,
        who: &Caller,
        method: &str,
        path: &str,
        body: Value,
        then: impl FnOnce(Reply) -> Result<T, Interrupt>,
    ) -> Result<T, Interrupt> {
        let (path, parameters) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let method: Method = method.parse().unwrap();
        let Found::Row(row, found) = self.router.find(&method, path) else { panic!("no row for {method} {path}") };
        let Handler::Now(handler) = row.run else { panic!("{row:?} waits") };
        let request = RequestContext {
            row,
            caller: Arc::new(who.clone()),
            path: found,
            query: query(parameters),
            headers: HeaderMap::new(),
            body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() }.into(),
            peer: None,
            moment: Moment::new(self.now),
            supplied: Supplied::default(),
        };
        self.state.transact(&request.moment, |tx| handler(tx, &request).and_then(then)).0
    }

    /// The body of a good answer.
    pub(crate) fn json(&mut self, who: &Caller, method: &str, path: &str, body: Value) -> Value {
        let reply = self.ask(who, method, path, body).unwrap_or_else(|stop| panic!("{method} {path}: {stop:?}"));
        if reply.body.is_empty() { Value::Null } else { serde_json::from_slice(&reply.body).unwrap() }
    }

    /// The code of a refusal, or "" for a good answer.
    pub(crate) fn code(&mut self, who: &Caller, method: &str, path: &str, body: Value) -> &'static str {
        match self.ask(who, method, path, body) {
            Ok(_) => "",
            Err(Interrupt::Refused(refused)) => refused.code,
            Err(other) => panic!("{method} {path}: {other:?}"),
        }
    }

    /// A new session of a type; its path.
    pub(crate) fn session(&mut self, who: &Caller, kind: &str) -> String {
        let body = serde_json::json!({
            "client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "session_type": kind,
        });
        let made = self.json(who, "POST", "/session/v1/session", body);
        format!("/session/v1/session/{}", made["session_id"].as_str().unwrap())
    }

    /// A session with an instance of the caller that accepts players; its path.
    pub(crate) fn hosted(&mut self, who: &Caller) -> String {
        let path = self.session(who, "default");
        let instance = format!("{path}/instance");
        self.json(who, "POST", &instance, serde_json::json!({"instance_id": "i", "host_type": "preallocated"}));
        self.json(who, "PATCH", &instance, serde_json::json!({"join_status": "joinable"}));
        path
    }
}

pub(crate) fn at(seconds: u64) -> Now {
    let since = Duration::from_secs(1000 + seconds);
    let wall = Timestamp::from_unix_millis(1_800_000_000_000).unwrap();
    Now {
        boot: since,
        mono: Instant(since),
        wall: wall.plus(Duration::from_secs(seconds)),
        boot_id: crate::model::time::BootId::default(),
    }
}

/// A server with the permissions of one.
pub(crate) fn server(name: &str) -> Caller {
    Caller {
        subject: format!("client:{name}"),
        name: name.to_owned(),
        permissions: ServiceSettings::default().auth.client_permissions.into_iter().collect(),
        ..Caller::nobody()
    }
}

/// A player with the permissions of one.
pub(crate) fn player(name: &str) -> Caller {
    let id = crate::service::auth::login::player_of(name);
    Caller {
        subject: format!("player:{id}"),
        player: Some(id),
        name: name.to_owned(),
        platform: Some("Basic".to_owned()),
        permissions: ServiceSettings::default().auth.player_permissions.into_iter().collect(),
        ..Caller::nobody()
    }
}
