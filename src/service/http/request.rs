//! A request as a handler sees it: who asks, with what.

use super::{
    reply::{Interrupt, Need, Outcome},
    route::Row,
};
use crate::{
    model::{
        ids::PlayerUuid,
        parameters::{self, PathParameter},
        wire::{Members, Rule, ValidationErrors, Wire, read, rules::Own},
    },
    service::{auth::Caller, remote_friends, state::moment::Moment},
};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;
use std::{net::IpAddr, sync::Arc};

/// One request, its caller known and permitted to call this operation at all.
#[derive(Debug, Clone)]
pub struct RequestContext {
    pub row: &'static Row,
    pub caller: Arc<Caller>,
    /// The path's parameters, percent-decoded.
    pub path: Vec<(&'static str, String)>,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The connection's other end; none on a unix socket.
    pub peer: Option<IpAddr>,
    /// When it came, and what its ids are made of.
    pub moment: Moment,
    pub supplied: Supplied,
}

/// What was got for an operation that asked for it (see [`Need`]).
#[derive(Debug, Clone, Default)]
pub struct Supplied {
    /// A password hash that this request's password was found to match; empty if it doesn't.
    pub verified: Option<String>,
    /// The hash of this request's password.
    pub hashed: Option<String>,
    /// A player's friends as another service has them.
    pub friends: Option<remote_friends::Found>,
}

impl Supplied {
    /// Whether this was asked for and got already. Asking twice would never end.
    pub fn has(&self, need: &Need) -> bool {
        match need {
            Need::Verify { .. } => self.verified.is_some(),
            Need::Hash { .. } => self.hashed.is_some(),
            Need::Friends { .. } => self.friends.is_some(),
        }
    }
}

impl RequestContext {
    fn raw_path(&self, name: &str) -> &str {
        self.path.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    /// A parameter of the path.
    pub fn path<T, R: Rule<T>>(&self, parameter: &PathParameter<R>) -> Outcome<T> {
        read::path(parameter.name, self.raw_path(parameter.name), &parameter.rule).map_err(refused)
    }
    /// A parameter of the path that is a player's UUID.
    pub fn player(&self, parameter: &PathParameter<Own>) -> Outcome<PlayerUuid> {
        self.path(parameter)
    }
    pub fn session_id(&self) -> Outcome<String> {
        self.path(&parameters::SESSION_ID)
    }

    /// The parameters of the query.
    pub fn query<T: Members>(&self) -> Outcome<T> {
        read::query(&self.query).map_err(refused)
    }
    /// Whether this request keeps the session alive; true unless said otherwise.
    pub fn refresh_ttl(&self) -> Outcome<bool> {
        Ok(self.query::<parameters::Refresh>()?.refresh_ttl)
    }

    /// The body.
    pub fn body<T: Wire>(&self) -> Outcome<T> {
        read::body(&self.json()?).map_err(refused)
    }
    /// The body, or nothing where there is none.
    pub fn optional_body<T: Wire>(&self) -> Outcome<Option<T>> {
        if self.body.is_empty() { Ok(None) } else { self.body().map(Some) }
    }
    /// The body as JSON.
    pub fn json(&self) -> Outcome<Value> {
        if self.body.is_empty() {
            let mut errors = ValidationErrors::default();
            errors.add(&["body".into()], "value_error.missing", "field required");
            return Err(refused(errors));
        }
        serde_json::from_slice(&self.body).map_err(|why| {
            let mut errors = ValidationErrors::default();
            errors.add(&["body".into(), why.column().into()], "value_error.jsondecode", why.to_string());
            refused(errors)
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
    /// Whether `If-None-Match` names this tag.
    pub fn has(&self, etag: &str) -> bool {
        self.header("if-none-match").is_some_and(|tags| names(tags, etag))
    }
    /// Whether `If-Match` is there and names another tag.
    pub fn wants_other(&self, etag: &str) -> bool {
        self.header("if-match").is_some_and(|tags| !names(tags, etag))
    }
}

fn refused(errors: ValidationErrors) -> Interrupt {
    Interrupt::Invalid(errors.0)
}

/// Whether a list of entity tags names this one. Weak tags count: our tags change with every change.
fn names(tags: &str, etag: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}
