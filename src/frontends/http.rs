//! HTTP as every frontend speaks it: for this machine alone, bounded, and shut to browsers. The
//! server itself is [`crate::net`].
//!
//! | bound | value | beyond |
//! |---|---|---|
//! | connections of a listener | [`MAX_CONNECTIONS`], and as many as it has watchers ([`Connections`]) | 503 and closed |
//! | header lines, and bytes of them | [`MAX_HEADERS`], [`MAX_HEADER_BYTES`] | 431 and closed |
//! | time until a request's header is there, also idle between two | [`HEADER_TIMEOUT`] | closed |
//! | bytes of a body, time until it is there | [`MAX_BODY`], [`BODY_TIMEOUT`] | 413, 408 |

use crate::net::{
    self, ErrorResponse, Listener, Peer,
    body::BodyError,
    error,
    origin::{OriginCheck, OriginError},
    server::{Admits, Http1, Limits, Options, Protocol, WhenFull},
};
use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::StatusCode;
use hyper::body::Incoming;
use serde::Serialize;
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

pub(crate) const MAX_CONNECTIONS: usize = 128;
pub(crate) const MAX_HEADERS: usize = 64;
pub(crate) const MAX_HEADER_BYTES: usize = 16 * 1024;
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest body, in bytes.
pub(crate) const MAX_BODY: usize = 256 * 1024;
/// A body that takes longer to arrive is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

const LIMITS: Limits = Limits {
    header_timeout: HEADER_TIMEOUT,
    max_headers: Some(MAX_HEADERS),
    max_header_bytes: MAX_HEADER_BYTES,
    write_timeout: None,
};

/// An error answer: `{"error": code, "message": text}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub status: StatusCode,
    /// A stable word for programs.
    pub code: &'static str,
    /// What was wrong, and what to do.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Problem { status, code, message: message.into() }
    }
}

/// Body of an error answer.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub(crate) struct ErrorBody<'a> {
    /// A stable word for programs.
    pub error: &'a str,
    /// What was wrong, and what to do.
    pub message: &'a str,
}

impl ErrorResponse for Problem {
    fn status(&self) -> StatusCode {
        self.status
    }
    fn body(&self) -> Vec<u8> {
        let body = ErrorBody { error: self.code, message: &self.message };
        serde_json::to_vec(&body).expect("plain data always serialises")
    }
    fn retry_after(&self) -> Option<u32> {
        (self.status == StatusCode::SERVICE_UNAVAILABLE).then_some(1)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        error::response(&self)
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => {
                let message = format!("a body has at most {limit} bytes here");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
            }
            BodyError::CutOff(_) => Problem::new(StatusCode::BAD_REQUEST, "cut_off", error.to_string()),
            BodyError::TooSlow { .. } => {
                Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", "the body took too long to arrive")
            }
        }
    }
}

impl From<OriginError> for Problem {
    fn from(error: OriginError) -> Self {
        let code = match error {
            OriginError::ForeignHost { .. } | OriginError::UnknownHost { .. } => "foreign_host",
            OriginError::Browser => "browser",
        };
        Problem::new(StatusCode::FORBIDDEN, code, error.to_string())
    }
}

/// A request's body, whole.
pub(crate) async fn body(request: Request) -> Result<Bytes, Problem> {
    Ok(net::body::read(request.into_body(), MAX_BODY, BODY_TIMEOUT).await?)
}

fn too_many_connections() -> Vec<u8> {
    let message = "too many connections here";
    error::raw(&Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", message))
}

fn other_user() -> Vec<u8> {
    let message = "this socket is for the user who runs the agent, and for root";
    error::raw(&Problem::new(StatusCode::FORBIDDEN, "other_user", message))
}

/// For a socket that is the operator's alone.
pub(crate) const OPERATOR: Admits = Admits::SameUserOrRoot(other_user);

/// The connections of all listeners of the game together.
#[derive(Debug, Default)]
pub struct Connections {
    places: Mutex<Vec<(Arc<Semaphore>, usize)>>,
}

impl Connections {
    /// Places of one listener. `watchers`: connections that may stay for good, besides those that come and go.
    pub(crate) fn places(&self, watchers: usize) -> Arc<Semaphore> {
        let count = MAX_CONNECTIONS + watchers;
        let places = Arc::new(Semaphore::new(count));
        self.places.lock().unwrap_or_else(PoisonError::into_inner).push((Arc::clone(&places), count));
        places
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.iter().map(|(places, count)| count - places.available_permits()).sum()
    }
}

/// Serves a router until dropped; connections end with it.
pub(crate) async fn serve(listener: Listener, admits: Admits, places: Arc<Semaphore>, router: Router) {
    let handler = move |_, request: Request<Incoming>| {
        let router = router.clone();
        async move { router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never: Infallible| match never {}) }
    };
    let origin = OriginCheck::of(&listener);
    serve_with(listener, Gate { admits, origin, places }, Http1, handler).await;
}

/// Who gets in at a listener.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub admits: Admits,
    pub origin: OriginCheck,
    pub places: Arc<Semaphore>,
}

/// The same without a router in between, for one that answers thousands of requests a second.
pub(crate) async fn serve_with<P, H, F>(listener: Listener, gate: Gate, protocol: P, handler: H)
where
    P: Protocol,
    H: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let Gate { admits, origin, places } = gate;
    let handler = move |peer, request: Request<Incoming>| {
        let answer = origin.check(&request).map(|()| handler(peer, request));
        async move {
            match answer {
                Ok(answer) => answer.await,
                Err(error) => Problem::from(error).into_response(),
            }
        }
    };
    let options = Options { places, ..Options::new(0, WhenFull::Refuse(too_many_connections), admits, LIMITS) };
    net::server::serve(listener, options, protocol, handler, std::future::pending()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_words() {
        let text = |refusal: fn() -> Vec<u8>| String::from_utf8(refusal()).unwrap();
        let full = text(too_many_connections);
        assert!(full.starts_with("HTTP/1.1 503 ") && full.contains("retry-after: 1\r\n"), "{full}");
        assert!(full.ends_with(r#"{"error":"too_many_connections","message":"too many connections here"}"#), "{full}");
        assert!(text(other_user).starts_with("HTTP/1.1 403 "));
    }
}
