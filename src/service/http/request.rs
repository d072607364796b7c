//! A request as a handler sees it: who asks, with what.

use super::{
    read::{self, JsonCursor, Object, ValidationErrors},
    reply::{Interrupt, Need, Outcome},
    route::Row,
};
use crate::{
    model::ids::{PlayerUuid, SessionId},
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

    /// A path parameter of 1 to 128 characters.
    pub fn id(&self, name: &'static str) -> Outcome<String> {
        self.path_as(name, read::id)
    }
    /// A path parameter that is a player's UUID.
    pub fn player(&self, name: &'static str) -> Outcome<PlayerUuid> {
        self.path_as(name, read::player)
    }
    pub fn path_as<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(JsonCursor<'_>, &mut ValidationErrors) -> Option<T>,
    ) -> Outcome<T> {
        let value = Value::String(self.raw_path(name).to_owned());
        collect(|faults| parse(JsonCursor::path(name, &value), faults))
    }
    /// A path parameter that is a number.
    pub fn path_number(&self, name: &'static str) -> Outcome<i64> {
        let value = self.raw_path(name).parse::<i64>().map_or_else(|_| self.raw_path(name).into(), Value::from);
        collect(|faults| read::integer(i64::MIN, i64::MAX)(JsonCursor::path(name, &value), faults))
    }
    pub fn session_id(&self) -> Outcome<String> {
        self.id("session_id")
    }

    pub fn raw_query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
    /// A query parameter.
    pub fn query_as<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(JsonCursor<'_>, &mut ValidationErrors) -> Option<T>,
    ) -> Outcome<Option<T>> {
        let Some(text) = self.raw_query(name) else { return Ok(None) };
        let value = Value::String(text.to_owned());
        collect(|faults| parse(JsonCursor::query(name, &value), faults)).map(Some)
    }
    /// A whole number in the query, or its default.
    pub fn query_number(&self, name: &'static str, min: u32, max: u32, default: u32) -> Outcome<u32> {
        let Some(text) = self.raw_query(name) else { return Ok(default) };
        let value = text.parse::<i64>().map_or_else(|_| text.into(), Value::from);
        collect(|faults| read::unsigned(min, max)(JsonCursor::query(name, &value), faults))
    }
    /// Whether this request keeps the session alive; true unless said otherwise.
    pub fn refresh_ttl(&self) -> Outcome<bool> {
        Ok(self.query_as("refresh_ttl", read::flag)?.unwrap_or(true))
    }

    /// The body, read by a function over its members.
    pub fn body<T>(&self, parse: impl FnOnce(&mut Object<'_, '_>) -> Option<T>) -> Outcome<T> {
        let value = self.json()?;
        collect(|faults| parse(&mut JsonCursor::body(&value).object(faults)?))
    }
    /// The body as JSON.
    pub fn json(&self) -> Outcome<Value> {
        let missing =
            |faults: &mut ValidationErrors| faults.add(&["body".into()], "value_error.missing", "field required");
        if self.body.is_empty() {
            return collect(|faults| {
                missing(faults);
                None
            });
        }
        serde_json::from_slice(&self.body).map_err(|why| {
            let mut faults = ValidationErrors::default();
            faults.add(&["body".into(), why.column().into()], "value_error.jsondecode", why.to_string());
            Interrupt::Invalid(faults.0)
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

/// Runs a parser and turns what it found into a 422. A parser that returns nothing must have said why.
fn collect<T>(parse: impl FnOnce(&mut ValidationErrors) -> Option<T>) -> Outcome<T> {
    let mut faults = ValidationErrors::default();
    match parse(&mut faults) {
        Some(value) if faults.0.is_empty() => Ok(value),
        _ => Err(Interrupt::Invalid(faults.0)),
    }
}

/// Whether a list of entity tags names this one. Weak tags count: our tags change with every change.
fn names(tags: &str, etag: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// An id that was checked already.
pub fn session_id(text: &str) -> Outcome<SessionId> {
    SessionId::new(text).map_err(|_| super::reply::no_session(text))
}
