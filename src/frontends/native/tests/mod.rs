//! The native API, asked as a game, an operator or a stranger would.

mod routes;
mod server;
mod streams;

use super::router;
use crate::{
    frontends::{Asked, Events, Heard, Shared, Timeline, TokenBook},
    model::{
        CustomData,
        calls::Backend,
        game::Told,
        ids::RunNumber,
        session::{InstanceHealth, StartupParams},
        status::{AgentStatus, GameStatus, KeeperStatus, PhaseName, Status, TimelineEntry},
        time::Timestamp,
    },
};
use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{mpsc, oneshot, watch};
use tower::ServiceExt;

const GAME: &str = "game-token";
const OPERATOR: &str = "operator-token";
const RUN: RunNumber = RunNumber(7);

/// An API and the driver's end of everything.
struct House {
    router: Router,
    shared: Shared,
    said: mpsc::Receiver<Heard>,
    orders: mpsc::Receiver<Asked>,
    pulse: mpsc::Receiver<oneshot::Sender<()>>,
    status: watch::Sender<Arc<Status>>,
    tokens: Arc<TokenBook>,
}

/// An answer, read whole.
#[derive(Debug)]
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
    fn code(&self) -> String {
        let json = self.json();
        assert!(json["message"].as_str().is_some_and(|message| !message.is_empty()), "{json}");
        json["error"].as_str().unwrap_or_default().to_owned()
    }
    fn etag(&self) -> String {
        self.headers["etag"].to_str().unwrap().to_owned()
    }
}

/// A server that plays.
pub(in crate::frontends) fn status() -> Status {
    Status {
        name: "arena".to_owned(),
        phase: PhaseName::Serving,
        since: Timestamp::EPOCH,
        join_status: None,
        instance_health: InstanceHealth::Healthy,
        health_reasons: Vec::new(),
        reason: None,
        session_id: None,
        instance_id: None,
        allocation_id: None,
        match_id: None,
        public_conn_str: None,
        private_conn_str: None,
        map: Some("oa_dm1".to_owned()),
        mode: None,
        ports: BTreeMap::from([("game".to_owned(), 7777)]),
        players: 2,
        players_known: Vec::new(),
        max_players: Some(8),
        custom_data: CustomData::new(),
        agent: AgentStatus::default(),
        keeper: KeeperStatus { connected: true, ..KeeperStatus::default() },
        game: GameStatus { run: Some(RUN), pid: Some(42), ready: true, ..GameStatus::default() },
        sessions_url: None,
        backend: Backend::Up,
        outbox: Vec::new(),
        backfill_id: None,
        warnings: Vec::new(),
        last_end: None,
        deadline: None,
    }
}

fn house() -> House {
    let (said_to, said) = mpsc::channel(8);
    let (orders_to, orders) = mpsc::channel(8);
    let (pulse_to, pulse) = mpsc::channel(1);
    let (status, status_rx) = watch::channel(Arc::new(status()));
    let tokens = Arc::new(TokenBook::new(OPERATOR.into()));
    tokens.set_game(RUN, GAME.into());
    let shared = Shared {
        said: said_to,
        orders: orders_to,
        pulse: pulse_to,
        status: status_rx,
        events: Arc::new(Events::new("life")),
        timeline: Arc::new(Timeline::new(0)),
        tokens: Arc::clone(&tokens) as Arc<dyn crate::frontends::Tokens>,
    };
    House { router: router(shared.clone()), shared, said, orders, pulse, status, tokens }
}

fn request(method: &str, path: &str, token: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
    if !token.is_empty() {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

async fn send(router: &Router, request: Request<Body>) -> Got {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Got { status: parts.status, headers: parts.headers, text: String::from_utf8(body.to_vec()).unwrap() }
}

impl House {
    async fn ask(&self, method: &str, path: &str, token: &str, body: &'static str) -> Got {
        send(&self.router, request(method, path, token, body)).await
    }

    /// Plays the driver: takes one statement, acknowledges it, and hands it over.
    async fn hear(&mut self, method: &str, path: &str, body: &'static str) -> (Got, Heard) {
        let asked = send(&self.router, request(method, path, GAME, body));
        let heard = async {
            let mut heard = self.said.recv().await.unwrap();
            if let Some(taken) = heard.taken.take() {
                taken.send(()).unwrap();
            }
            heard
        };
        tokio::join!(asked, heard)
    }
}

fn allocated(id: &str) -> Told {
    Told::Allocated {
        allocation: serde_json::from_value(serde_json::json!({ "allocation_id": id })).unwrap(),
        session_id: "s".parse().unwrap(),
        instance_id: "i".parse().unwrap(),
        startup_params: StartupParams { map: "oa_dm1".to_owned(), ..StartupParams::default() },
        join_token: None,
    }
}

fn entry(seq: u64) -> TimelineEntry {
    TimelineEntry {
        seq,
        at: Timestamp::EPOCH,
        kind: "joinable".to_owned(),
        text: format!("entry {seq}"),
        fields: BTreeMap::new(),
    }
}
