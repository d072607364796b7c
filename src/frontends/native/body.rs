//! Reading requests: who asks, and what. One clear error for everything that is wrong.

use super::Api;
use crate::{
    frontends::{Bearer, http::Problem},
    model::ids::RunNumber,
};
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
};
use http::{StatusCode, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The longest body, in bytes.
pub const MAX_BODY: usize = 256 * 1024;
/// A body that takes longer to arrive is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The game asks, in this run.
#[derive(Debug, Clone, Copy)]
pub struct Game(pub RunNumber);

/// The operator asks.
#[derive(Debug, Clone, Copy)]
pub struct Operator;

/// Either asks.
#[derive(Debug, Clone, Copy)]
pub struct Anyone(pub Bearer);

impl FromRequestParts<Api> for Anyone {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let denied = |message| Problem::new(StatusCode::UNAUTHORIZED, "unauthorised", message);
        let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = given.and_then(|given| given.split_once(' ')) else {
            return Err(denied("send `Authorization: Bearer TOKEN`; the game finds its token in GAMESIDE_TOKEN"));
        };
        let bearer = scheme.eq_ignore_ascii_case("bearer").then(|| api.shared.tokens.bearer(token.trim())).flatten();
        bearer.map(Anyone).ok_or_else(|| {
            denied("this token is not known here; a game's token is good for its own run only, an operator's is in operator.token")
        })
    }
}

impl FromRequestParts<Api> for Game {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match Anyone::from_request_parts(parts, api).await?.0 {
            Bearer::Game(run) => Ok(Game(run)),
            Bearer::Operator => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "game_only",
                "only the game speaks here, with the token of its run (GAMESIDE_TOKEN)",
            )),
        }
    }
}

impl FromRequestParts<Api> for Operator {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match Anyone::from_request_parts(parts, api).await?.0 {
            Bearer::Operator => Ok(Operator),
            Bearer::Game(_) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "operator_only",
                "only an operator may ask this, with the token in operator.token; a game's token is for /v1/game, /v1/state and /v1/events",
            )),
        }
    }
}

/// A JSON body; an empty one counts as `{}`. The content type isn't looked at: game engines send what they like.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Api> for Json<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, _: &Api) -> Result<Self, Problem> {
        let body = read(request).await?;
        let text: &[u8] = if body.trim_ascii().is_empty() { b"{}" } else { &body };
        serde_json::from_slice(text).map(Json).map_err(|error| {
            let code = if error.is_data() { "bad_body" } else { "bad_json" };
            Problem::new(StatusCode::BAD_REQUEST, code, format!("the body can't be read: {error}"))
        })
    }
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("a body has at most {MAX_BODY} bytes here");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message))
        }
        Ok(Err(error)) => {
            Err(Problem::new(StatusCode::BAD_REQUEST, "cut_off", format!("the body was cut off: {error}")))
        }
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", "the body took too long to arrive")),
    }
}

/// A text of bounded length, in characters.
pub fn text(what: &str, text: &str, chars: std::ops::RangeInclusive<usize>) -> Result<(), Problem> {
    let found = text.chars().count();
    if chars.contains(&found) {
        return Ok(());
    }
    let message = format!("{what} must have {} to {} characters, found {found}", chars.start(), chars.end());
    Err(invalid(message))
}

/// A body that can be read but makes no sense.
pub fn invalid(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
}
