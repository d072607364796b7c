//! The Session API's error answers.
//!
//! `{auth_success, error_code, desc}` for 400, 403, 404, 409, 412, 429, 500 and 503; 422 is [`Invalid`]. A client acts on the
//! code, never on the text: above all, a 404 means that the session is gone only with
//! [`codes::SESSION_NOT_FOUND`].

use serde::{Deserialize, Serialize};

/// The values of `error_code` that somebody acts on.
pub mod codes {
    pub const SESSION_NOT_FOUND: &str = "session_not_found";
    pub const NO_INSTANCE: &str = "instance_not_found";
    pub const PLAYER_NOT_FOUND: &str = "player_not_found";
    pub const TEMPLATE_NOT_FOUND: &str = "template_not_found";
    pub const BACKFILL_NOT_FOUND: &str = "backfill_not_found";
    pub const NOT_FOUND: &str = "not_found";
    pub const METHOD_NOT_ALLOWED: &str = "method_not_allowed";
    pub const ALLOCATION_MISMATCH: &str = "allocation_mismatch";
    pub const INSTANCE_MISMATCH: &str = "instance_mismatch";
    pub const INSTANCE_CLOSED: &str = "instance_closed";
    pub const INSTANCE_EXISTS: &str = "instance_exists";
    pub const TEAM_BELOW_OCCUPANCY: &str = "team_below_occupancy";
    pub const TEAM_FULL: &str = "team_full";
    pub const NOT_JOINABLE: &str = "not_joinable";
    pub const WRONG_PASSWORD: &str = "wrong_password";
    pub const SANCTIONED: &str = "sanctioned";
    /// A setting that is fixed when a session is made.
    pub const CONSTANT_SETTING: &str = "constant_setting";
    pub const NO_PRESENCE: &str = "presence_session_not_found";
    pub const NOT_FRIENDS: &str = "not_friends";
    /// Who is a friend isn't known at the moment.
    pub const FRIENDS_UNAVAILABLE: &str = "friends_unavailable";
    /// The friend graph is another service's.
    pub const FRIENDS_ELSEWHERE: &str = "friends_elsewhere";
    pub const VERSION_MISMATCH: &str = "version_mismatch";
    pub const ETAG_MISMATCH: &str = "etag_mismatch";
    pub const BAD_TOKEN: &str = "invalid_token";
    pub const BAD_CREDENTIALS: &str = "invalid_credentials";
    pub const MISSING_PERMISSION: &str = "insufficient_permissions";
    pub const TOO_MANY_REQUESTS: &str = "too_many_requests";
    pub const TOO_LARGE: &str = "body_too_large";
    pub const UNAVAILABLE: &str = "unavailable";
    pub const INTERNAL: &str = "internal_error";
}

/// An error answer. `auth_success` is false exactly when the token was missing, bad or expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    #[serde(default = "yes")]
    pub auth_success: bool,
    pub error_code: String,
    pub desc: String,
}

fn yes() -> bool {
    true
}

/// The 422 answer: everything that is wrong with the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalid {
    pub detail: Vec<Fault>,
}

/// One thing that is wrong: where (`["body", "teams", 0, "max_size"]`), what, and its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub loc: Vec<serde_json::Value>,
    pub msg: String,
    #[serde(rename = "type")]
    pub kind: String,
}
