//! Extractors: who calls, the body, the parameters. One clear error for everything that is wrong.

use super::{Api, Callers};
use crate::{
    frontends::{
        Bearer,
        http::{self, Problem},
    },
    model::ids::RunNumber,
};
use ::http::{StatusCode, header, request::Parts};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// The caller is the game, in this run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Game(pub RunNumber);

/// The caller is the operator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator;

/// The caller is the one whom this listener is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anyone(pub Bearer);

impl FromRequestParts<Api> for Anyone {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        if api.callers == Callers::Operators {
            return Ok(Anyone(Bearer::Operator));
        }
        let denied = |message| Problem::new(StatusCode::UNAUTHORIZED, "unauthorised", message);
        let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = given.and_then(|given| given.split_once(' ')) else {
            return Err(denied("send `Authorization: Bearer TOKEN`; the game finds its token in GAMESIDE_TOKEN"));
        };
        let bearer = scheme.eq_ignore_ascii_case("bearer").then(|| api.tokens.0.bearer(token.trim())).flatten();
        match (bearer, api.callers.are_operators()) {
            (Some(bearer @ Bearer::Game(_)), false) | (Some(bearer @ Bearer::Operator), true) => Ok(Anyone(bearer)),
            (Some(Bearer::Operator), false) => Err(game_only()),
            (Some(Bearer::Game(_)), true) => Err(operator_only()),
            (None, _) => Err(denied(
                "this token is not known here; a game's token is good for its own run only, an operator's is in operator.token",
            )),
        }
    }
}

impl FromRequestParts<Api> for Game {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match Anyone::from_request_parts(parts, api).await?.0 {
            Bearer::Game(run) => Ok(Game(run)),
            Bearer::Operator => Err(game_only()),
        }
    }
}

impl FromRequestParts<Api> for Operator {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match Anyone::from_request_parts(parts, api).await?.0 {
            Bearer::Operator => Ok(Operator),
            Bearer::Game(_) => Err(operator_only()),
        }
    }
}

fn game_only() -> Problem {
    let message = "only the game may call here, with the token of its run (GAMESIDE_TOKEN)";
    Problem::new(StatusCode::FORBIDDEN, "game_only", message)
}

fn operator_only() -> Problem {
    let message = "only an operator may call here, with the token in operator.token; a game calls at GAMESIDE_API";
    Problem::new(StatusCode::FORBIDDEN, "operator_only", message)
}

/// A JSON body; an empty one counts as `{}`. The content type is ignored: game engines send any.
#[derive(Debug)]
pub(crate) struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Api> for Json<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, _: &Api) -> Result<Self, Problem> {
        let body = http::body(request).await?;
        let text: &[u8] = if body.trim_ascii().is_empty() { b"{}" } else { &body };
        serde_json::from_slice(text).map(Json).map_err(|error| {
            let code = if error.is_data() { "bad_body" } else { "bad_json" };
            Problem::new(StatusCode::BAD_REQUEST, code, format!("the body can't be read: {error}"))
        })
    }
}

/// The parameters behind the `?`.
#[derive(Debug)]
pub(crate) struct Parameters<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Parameters<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let read = Query::from_request_parts(parts, api).await;
        read.map(|Query(read)| Parameters(read)).map_err(|error| invalid(format!("the query can't be read: {error}")))
    }
}

/// Whether a stream waits for more. In a query: empty, a yes or a no; without the word, no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Follow {
    Yes,
    #[default]
    No,
}

impl<'de> Deserialize<'de> for Follow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" | "1" | "true" => Ok(Follow::Yes),
            "0" | "false" => Ok(Follow::No),
            other => Err(serde::de::Error::custom(format_args!("follow must be true or false, found {other:?}"))),
        }
    }
}

/// `?follow`, of something that has one state.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FollowState {
    pub follow: Follow,
}

/// `?follow` and `?after`, of a log.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FollowLog {
    pub follow: Follow,
    pub after: Option<u64>,
}

/// A text of bounded length, in characters.
pub(crate) fn text(what: &str, text: &str, chars: std::ops::RangeInclusive<usize>) -> Result<(), Problem> {
    let found = text.chars().count();
    if chars.contains(&found) {
        return Ok(());
    }
    let message = format!("{what} must have {} to {} characters, found {found}", chars.start(), chars.end());
    Err(invalid(message))
}

/// The error for a request that can be read but makes no sense.
pub(crate) fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
}
