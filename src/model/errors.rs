//! The Session API's error answers.
//!
//! `{auth_success, error_code, desc}` for 400, 403, 404, 409, 412, 429, 500 and 503; 422 is
//! [`Invalid`]. A client acts on the code, never on the text: above all, a 404 means that the
//! session is gone only with [`codes::SESSION_NOT_FOUND`].

use super::wire::{
    JsonCursor, Rule, ValidationErrors,
    rules::{Listed, any_text, listed, prose},
    wire,
};
use serde_json::Value;

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
    /// More invites of a session than may be open.
    pub const TOO_MANY_INVITES: &str = "too_many_invites";
    /// What would be kept has more bytes than its kind may have.
    pub const RECORD_TOO_LARGE: &str = "record_too_large";
    pub const TOO_MANY_SESSIONS: &str = "too_many_sessions";
    /// The player hasn't agreed to be put into the session.
    pub const NOT_AGREED: &str = "player_not_agreed";
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
    /// The service isn't to be reached by the name in `Host`.
    pub const FOREIGN_HOST: &str = "foreign_host";
    /// A web page of another machine has no business here.
    pub const FOREIGN_ORIGIN: &str = "browser";
    pub const TOO_MANY_REQUESTS: &str = "too_many_requests";
    pub const TOO_LARGE: &str = "body_too_large";
    pub const UNAVAILABLE: &str = "unavailable";
    pub const INTERNAL: &str = "internal_error";
}

wire! {
    /// An error. `auth_success` is false exactly when the token was missing, bad or expired.
    pub struct ApiError [derive(Eq)] {
        always auth_success: bool => ["crate::model::wire::yes"];
        /// What programs act on.
        required error_code: String = any_text();
        /// What people read.
        required desc: String = prose();
    }
}

wire! {
    /// Everything that is wrong with a request.
    pub struct Invalid [derive(Eq)] {
        required detail: Vec<Fault> = listed();
    }
}

wire! {
    /// One thing that is wrong.
    pub struct Fault [derive(Eq)] {
        /// Where: `["body", "teams", 0, "max_size"]`.
        required loc: Vec<Value> = Listed(Step);
        required msg: String = prose();
        required kind ("type"): String = any_text();
    }
}

/// A name or an index.
struct Step;

impl Rule<Value> for Step {
    fn read(&self, at: JsonCursor<'_>, _: &mut ValidationErrors) -> Option<Value> {
        Some(at.value.clone())
    }
    #[cfg(test)]
    fn schema(&self, _: &mut super::wire::schema::Schemas) -> Value {
        serde_json::json!({ "anyOf": [{ "type": "string" }, { "type": "integer" }] })
    }
}
