//! The router: one table, one row an operation.
//!
//! A pattern is literal segments and `{parameter}` segments; a parameter may be followed by a
//! literal verb (`{session_id}:generate-short-code`), or follow one (`vivox:{vivox_action}`).
//! Literals win over parameters. A path that no row matches is a 404 without `session_not_found`:
//! the API isn't there, which a client must not take for a lost session.

use super::{
    reply::{Outcome, Reply},
    request::RequestContext,
};
use crate::service::{Shared, state::Transaction};
use http::Method;
use percent_encoding::percent_decode_str;
use std::{future::Future, pin::Pin, sync::Arc};

/// What an operation's answer may wait for.
pub(crate) type AnswerFuture = Pin<Box<dyn Future<Output = Outcome<super::Answer>> + Send>>;

/// How an operation is carried out.
#[derive(Clone, Copy)]
pub enum Handler {
    /// At once, as one transaction.
    Now(fn(&mut Transaction<'_>, &RequestContext) -> Outcome<Reply>),
    /// Waits for something: a long poll, a login's slow hash, a stream.
    Later(fn(Arc<Shared>, RequestContext) -> AnswerFuture),
}

/// Who may call an operation at all. What a session's own rules add is up to its handler.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// Anybody, also without a token.
    Nothing,
    /// A good token.
    Login,
    /// A token with `session:*` or any of these permissions.
    AnyOf(&'static [&'static str]),
}

/// One operation.
pub struct Row {
    pub method: Method,
    pub path: &'static str,
    /// The contract's operation id, or a name of our own for what the contract doesn't have.
    pub operation: &'static str,
    pub access: Access,
    pub run: Handler,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.method, self.path, self.operation)
    }
}

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Handler::Now(_) => "Now",
            Handler::Later(_) => "Later",
        })
    }
}

/// What a path leads to.
#[derive(Debug)]
pub enum Found {
    Row(&'static Row, Vec<(&'static str, String)>),
    /// The path is known, with other methods.
    OtherMethods(Vec<&'static Method>),
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(&'static str),
    /// What stands before a parameter, its name, and the verb behind it.
    Parameter(&'static str, &'static str, &'static str),
}

/// The table, ready for look-ups: by number of segments.
#[derive(Debug)]
pub struct Router {
    by_length: Vec<Vec<(Vec<Segment>, &'static Row)>>,
}

impl Router {
    pub fn new(tables: &[&'static [Row]]) -> Router {
        let mut by_length: Vec<Vec<(Vec<Segment>, &'static Row)>> = Vec::new();
        for row in tables.iter().copied().flatten() {
            let pattern: Vec<Segment> = row.path.trim_start_matches('/').split('/').map(segment).collect();
            let length = pattern.len();
            if by_length.len() <= length {
                by_length.resize_with(length + 1, Vec::new);
            }
            by_length[length].push((pattern, row));
        }
        for rows in &mut by_length {
            rows.sort_by_key(|(pattern, _)| pattern.iter().map(rank).collect::<Vec<_>>());
        }
        Router { by_length }
    }

    /// Finds the row of a path as it came over the wire.
    pub fn find(&self, method: &Method, path: &str) -> Found {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let Some(rows) = self.by_length.get(parts.len()) else { return Found::Nothing };
        let mut others = Vec::new();
        for (pattern, row) in rows {
            let Some(parameters) = matches(pattern, &parts) else { continue };
            if row.method == *method {
                return Found::Row(row, parameters);
            }
            others.push(&row.method);
        }
        if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
    }
}

/// Literals before verbs before plain parameters.
fn rank(segment: &Segment) -> u8 {
    match segment {
        Segment::Literal(_) => 0,
        Segment::Parameter("", _, "") => 2,
        Segment::Parameter(..) => 1,
    }
}

fn segment(text: &'static str) -> Segment {
    let parameter = text.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    match parameter {
        Some((before, (name, verb))) => Segment::Parameter(before, name, verb),
        None => Segment::Literal(text),
    }
}

fn matches(pattern: &[Segment], parts: &[&str]) -> Option<Vec<(&'static str, String)>> {
    let mut parameters = Vec::new();
    for (segment, part) in pattern.iter().zip(parts) {
        match segment {
            Segment::Literal(text) if text == part => {}
            Segment::Literal(_) => return None,
            Segment::Parameter(before, name, verb) => {
                let value = part.strip_prefix(before)?.strip_suffix(verb)?;
                parameters.push((*name, percent_decoded(value)?));
            }
        }
    }
    Some(parameters)
}

/// A segment without its percent escapes; none if that is no UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

/// A query's parameters in order.
pub(crate) fn query(text: Option<&str>) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.unwrap_or_default().as_bytes()).into_owned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ops;

    #[test]
    fn literals_win_over_verbs_and_verbs_over_parameters() {
        let router = Router::new(&ops::tables());
        let find = |method: Method, path: &str| match router.find(&method, path) {
            Found::Row(row, parameters) => (row.operation, parameters.first().map(|p| p.1.clone()).unwrap_or_default()),
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(find(Method::GET, "/session/v1/session/abc"), ("get_session_by_id", "abc".into()));
        assert_eq!(find(Method::GET, "/session/v1/session/a%2Fb"), ("get_session_by_id", "a/b".into()));
        assert_eq!(
            find(Method::POST, "/session/v1/session/abc:generate-short-code"),
            ("generate_session_short_code", "abc".into())
        );
        assert_eq!(find(Method::POST, "/session/v1/session/abc/player/me").0, "join_session_by_id_self");
        assert_eq!(
            find(Method::GET, "/session/v1/session/abc/player/me/voip/vivox:mute"),
            ("get_vivox_action_token_me", "abc".into())
        );
        assert!(matches!(router.find(&Method::GET, "/session/v1/nothing/here"), Found::Nothing));
        assert!(matches!(router.find(&Method::PUT, "/session/v1/session/abc"), Found::OtherMethods(_)));
    }

    #[test]
    fn no_two_rows_are_the_same() {
        let mut seen = std::collections::BTreeSet::new();
        for row in ops::tables().iter().copied().flatten() {
            assert!(seen.insert((row.method.to_string(), row.path)), "{row:?} twice");
        }
    }
}
