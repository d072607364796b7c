//! Answers: what goes back to a caller, and every way in which a request can stop short of it.
//!
//! | stop | status | body |
//! |---|---|---|
//! | [`Interrupt::Refused`] | 400, 403, 404, 409, 412, 413, 429, 503 | `{auth_success, error_code, desc}` |
//! | [`Interrupt::Invalid`] | 422 | `{detail: [{loc, msg, type}]}` |
//! | [`Interrupt::Needs`] | none: what is missing is got elsewhere, and the operation is run again | |

use crate::{
    model::{
        errors::{ApiError, Fault, Invalid, codes},
        ids::PlayerUuid,
    },
    net::{ErrorResponse, body::BodyError},
};
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

/// A good answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: StatusCode,
    pub body: Bytes,
    pub content_type: &'static str,
    pub etag: Option<String>,
}

/// Why an operation went no further. It has changed nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Interrupt {
    Refused(Refused),
    Invalid(Vec<Fault>),
    /// Something is missing: get it, then run the operation again.
    Needs(Need),
}

/// What an operation can't do itself, because it takes long.
#[derive(Debug, Clone, PartialEq)]
pub enum Need {
    /// Compare a password with a hash.
    Verify { hash: String, password: String },
    /// Hash a password.
    Hash { password: String },
    /// Ask another service for a player's friends.
    Friends { player: PlayerUuid },
}

/// An error answer of the contract's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub status: StatusCode,
    pub code: &'static str,
    pub desc: String,
    /// False for a login or a token that was not accepted.
    pub auth_success: bool,
    /// Seconds, for 429 and 503.
    pub retry_after: Option<u32>,
}

pub(crate) type Outcome<T = Reply> = Result<T, Interrupt>;

impl Reply {
    /// 200 with a body.
    pub fn json(value: &impl Serialize) -> Reply {
        // Our own answers are plain structs with text keys: they always serialise.
        let body = serde_json::to_vec(value).unwrap_or_default();
        Reply { status: StatusCode::OK, body: body.into(), content_type: "application/json", etag: None }
    }
    /// 200 with a body that is JSON already.
    pub fn raw(body: Bytes) -> Reply {
        Reply { status: StatusCode::OK, body, content_type: "application/json", etag: None }
    }
    pub fn text(body: String) -> Reply {
        Reply { status: StatusCode::OK, body: body.into(), content_type: "text/plain; charset=utf-8", etag: None }
    }
    /// 204.
    pub fn nothing() -> Reply {
        Reply { status: StatusCode::NO_CONTENT, body: Bytes::new(), content_type: "", etag: None }
    }
    /// 304.
    pub fn not_modified(etag: String) -> Reply {
        Reply { status: StatusCode::NOT_MODIFIED, body: Bytes::new(), content_type: "", etag: Some(etag) }
    }
    pub fn tagged(mut self, etag: impl Into<String>) -> Reply {
        self.etag = Some(etag.into());
        self
    }
}

impl Refused {
    pub fn new(status: StatusCode, code: &'static str, desc: impl Into<String>) -> Refused {
        Refused { status, code, desc: desc.into(), auth_success: code != codes::BAD_TOKEN, retry_after: None }
    }

    /// The caller may come again after so many seconds.
    pub(crate) fn come_again(self, seconds: u32) -> Refused {
        Refused { retry_after: Some(seconds), ..self }
    }
}

impl ErrorResponse for Refused {
    fn status(&self) -> StatusCode {
        self.status
    }
    fn body(&self) -> Vec<u8> {
        let body =
            ApiError { auth_success: self.auth_success, error_code: self.code.to_owned(), desc: self.desc.clone() };
        serde_json::to_vec(&body).expect("plain data always serialises")
    }
    fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }
}

impl From<BodyError> for Interrupt {
    fn from(error: BodyError) -> Interrupt {
        match error {
            BodyError::TooLarge { limit } => {
                let desc = format!("a body may have at most {limit} bytes");
                Refused::new(StatusCode::PAYLOAD_TOO_LARGE, codes::TOO_LARGE, desc).into()
            }
            BodyError::CutOff(why) => bad_request("bad_body", format!("the body could not be read: {why}")),
            BodyError::TooSlow { .. } => {
                Refused::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body came too slowly").into()
            }
        }
    }
}

impl From<Refused> for Interrupt {
    fn from(refused: Refused) -> Interrupt {
        Interrupt::Refused(refused)
    }
}

/// 403 for a reason of the rules, or of permissions.
pub(crate) fn forbidden(code: &'static str, desc: impl Into<String>) -> Interrupt {
    Refused::new(StatusCode::FORBIDDEN, code, desc).into()
}

/// 403: the caller is known and may not.
pub(crate) fn not_permitted(what: &str) -> Interrupt {
    forbidden(codes::MISSING_PERMISSION, format!("you may not {what}"))
}

/// 404 with a code that says what is missing.
pub(crate) fn not_found(code: &'static str, desc: impl Into<String>) -> Interrupt {
    Refused::new(StatusCode::NOT_FOUND, code, desc).into()
}

/// 404 that tells a client that the session is gone.
pub(crate) fn no_session(id: &str) -> Interrupt {
    not_found(codes::SESSION_NOT_FOUND, format!("there is no session {id:?}"))
}

/// 400.
pub(crate) fn bad_request(code: &'static str, desc: impl Into<String>) -> Interrupt {
    Refused::new(StatusCode::BAD_REQUEST, code, desc).into()
}

/// 409.
pub(crate) fn conflict(code: &'static str, desc: impl Into<String>) -> Interrupt {
    Refused::new(StatusCode::CONFLICT, code, desc).into()
}

/// 503: ask again after so many seconds.
pub(crate) fn unavailable(desc: impl Into<String>, retry_after: u32) -> Interrupt {
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, codes::UNAVAILABLE, desc).come_again(retry_after).into()
}

/// 429: the same, for who asks too often.
pub(crate) fn too_many_requests(desc: impl Into<String>, retry_after: u32) -> Refused {
    Refused::new(StatusCode::TOO_MANY_REQUESTS, codes::TOO_MANY_REQUESTS, desc).come_again(retry_after)
}

/// 422 for one member of the body.
pub(crate) fn invalid(member: &str, msg: impl Into<String>) -> Interrupt {
    Interrupt::Invalid(vec![Fault {
        loc: vec!["body".into(), member.into()],
        msg: msg.into(),
        kind: "value_error".into(),
    }])
}

/// The 422 body.
pub(crate) fn invalid_body(faults: &[Fault]) -> Invalid {
    Invalid { detail: faults.to_vec() }
}
