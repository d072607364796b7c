//! Finding a session, and being found: search, matchmaking, the presence session. Extensions of the
//! Session API that Epic's Sessions Interface needs.
//!
//! | type | goes to or comes from |
//! |---|---|
//! | [`SessionSearch`], [`SearchAnswer`] | `POST /session/v1/browser:search` |
//! | [`Matchmaking`], [`Matched`] | `POST /session/v1/matchmaking` |
//! | [`CreateSession`], [`super::session::SessionJoinResponse`] | `POST /session/v1/session` |
//! | [`SessionSettings`] | `PATCH /session/v1/session/{id}`, and within [`CreateSession`] |
//! | [`PresenceSession`] | `…/player/me/presence-session`, `…/player/{uuid}/presence-session` |

use super::{
    CustomData,
    ids::{PlayerUuid, SessionId},
    player::{ClientSettings, CrossplayPreferences, Password},
    session::Joinability,
    wire::{
        JsonCursor, Rule, ValidationErrors, Wire,
        rules::{Own, any_text, count, ident, list, list_of, listed, text, whole},
        wire, words,
    },
};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

words!(Comparison);

/// How a filter compares a session's setting with its own value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    Eq,
    /// Also true of a session without the setting.
    Ne,
    Gt,
    Gte,
    Lt,
    Lte,
    /// The value is a list.
    In,
    /// The value is a list; also true of a session without the setting.
    NotIn,
    /// Excludes nothing: the nearest numbers come first, sessions without a number last.
    Near,
}

/// The most values in a list of a [`Filter`].
const MOST_VALUES: usize = 256;

/// One condition on a session's `custom_data`, or, where that lacks the key, on its listing's.
///
/// Two values that both read as numbers are compared as numbers, others as text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Filter {
    pub key: String,
    pub comparison: Comparison,
    /// Text, a number or a truth value; for [`Comparison::In`] and [`Comparison::NotIn`] a list of them.
    pub value: Value,
}

/// Which values fit depends on the comparison; so this is read by hand.
impl Wire for Filter {
    fn read(at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Self> {
        let mut object = at.object(errors)?;
        let key = object.required("key", &text(1, 4096));
        let comparison = object.required("comparison", &Own)?;
        let value = object.required("value", &FilterValue(comparison))?;
        Some(Filter { key: key?, comparison, value })
    }
    #[cfg(test)]
    fn schema(schemas: &mut super::wire::schema::Schemas) -> Value {
        use serde_json::json;
        let key = Rule::<String>::schema(&text(1, 4096), schemas);
        let comparison = Comparison::schema(schemas);
        let scalar = json!({ "anyOf": [
            { "type": "string", "maxLength": 4096 }, { "type": "number" }, { "type": "boolean" },
        ] });
        let list = json!({ "type": "array", "minItems": 1, "maxItems": MOST_VALUES, "items": scalar });
        schemas.named("Filter", |_| {
            json!({
                "type": "object",
                "description": "One condition. Two values that both read as numbers are compared as numbers, others as text.",
                "required": ["key", "comparison", "value"],
                "properties": { "key": key, "comparison": comparison, "value": {
                    "anyOf": [scalar, list],
                    "description": "Text, a number or a truth value; for `in` and `not_in` a list of them; for `near` a number.",
                } },
            })
        })
    }
}

struct FilterValue(Comparison);

impl FilterValue {
    fn scalar(at: &JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Value> {
        match at.value {
            Value::String(_) => Rule::<String>::read(&any_text(), at.clone(), errors).map(Value::String),
            Value::Number(_) | Value::Bool(_) => Some(at.value.clone()),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                at.fault(errors, "type_error", "expected text, a number, true or false")
            }
        }
    }
    fn number(at: &JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Value> {
        let value = Self::scalar(at, errors)?;
        let reads = match &value {
            Value::String(text) => text.parse::<f64>().is_ok_and(f64::is_finite),
            other => other.is_number(),
        };
        if reads { Some(value) } else { at.fault(errors, "type_error.float", "near needs a number") }
    }
}

impl Rule<Value> for FilterValue {
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Value> {
        match self.0 {
            Comparison::In | Comparison::NotIn => list_of(1, MOST_VALUES, Scalar).read(at, errors).map(Value::Array),
            Comparison::Near => Self::number(&at, errors),
            Comparison::Eq | Comparison::Ne | Comparison::Gt | Comparison::Gte | Comparison::Lt | Comparison::Lte => {
                Self::scalar(&at, errors)
            }
        }
    }
    #[cfg(test)]
    fn schema(&self, _: &mut super::wire::schema::Schemas) -> Value {
        Value::Bool(true)
    }
}

struct Scalar;

impl Rule<Value> for Scalar {
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Value> {
        FilterValue::scalar(&at, errors)
    }
    #[cfg(test)]
    fn schema(&self, _: &mut super::wire::schema::Schemas) -> Value {
        Value::Bool(true)
    }
}

wire! {
    /// What to look for. Every condition must hold.
    pub struct SessionSearch [derive(Default)] {
        optional session_type: String = text(1, 128);
        optional region_id: String = ident();
        sparse filters: Vec<Filter> = list(0, 32);
        /// Sessions in which this player is.
        optional player_uuid: PlayerUuid;
        /// This session, if it fits the rest.
        optional session_id: SessionId;
        /// Only LAN sessions, or none; both when left out.
        optional lan: bool;
        /// Only sessions that are listed in the browser, or none.
        optional is_listed: bool;
        /// Only sessions that take new members, or none.
        optional allow_new_members: bool;
        /// 50 when left out.
        optional max_results: u32 = whole(1, 200);
    }
}

wire! {
    /// Ids, best first; each session can then be read.
    pub struct SearchAnswer [derive(Eq, Default)] {
        required session_ids: Vec<SessionId> = listed();
        /// There were more sessions than one search looks at: a narrower one may find others.
        sparse cut: bool;
    }
}

wire! {
    /// A team's size and data: what is named is replaced whole.
    pub struct TeamSettings [derive(Eq, Default)] {
        optional max_size: u32 = whole(1, 100);
        optional custom_data: CustomData;
    }
}

wire! {
    /// A listing in the browser.
    pub struct BrowserSettings [derive(Eq, Default)] {
        sparse custom_data: CustomData;
    }
}

wire! {
    /// Lists a session in the browser, or changes its listing: what is named is replaced whole.
    pub struct BrowserUpdate [derive(Eq, Default)] {
        optional custom_data: CustomData;
        /// Accepted and not used: the service knows since when.
        optional created_timestamp: super::time::Timestamp;
    }
}

wire! {
    /// A session's settings as its admin writes them: what is named is replaced whole, the rest stays.
    pub struct SessionSettings [derive(Eq, Default)] {
        optional region_id: String = ident();
        /// Custom settings.
        optional custom_data: CustomData;
        /// The same as `joinability.open`.
        optional joinable: bool;
        optional joinability: Joinability;
        /// As many as there shall be.
        optional teams: Vec<TeamSettings> = list(0, 50);
        optional password: Password = text(1, 128);
        /// Extension: lists the session with this data.
        optional browser: BrowserSettings;
        /// Extension: whether it is in the browser. True keeps the listing that there is.
        optional is_listed: bool;
        /// Extension: false overrides every policy.
        optional allow_new_members: bool;
        /// Extension, at creation: never listed outside the service's own network. Another value later: 409.
        optional lan: bool;
        /// Extension, at creation: whether players with restrictions may join; true when left out. Another value later: 409.
        optional allow_sanctioned_players: bool;
    }
}

wire! {
    /// Creates a session, or joins one.
    pub struct CreateSession [] {
        /// One of the configured session types.
        required session_type: String = text(1, 128);
        required client_version: Version;
        required client_settings: ClientSettings;
        optional crossplay_preferences: CrossplayPreferences;
        /// Of a session that is created; it opens none that is joined.
        optional password: Password = text(1, 128);
        optional region_id: String = ident();
        /// The caller as a player of the session.
        optional player: CreatingPlayer;
        /// Extension: never join another session.
        default force_create: bool;
        /// Extension: in force before anybody sees the session.
        default settings: SessionSettings;
    }
}

wire! {
    /// The caller as a player of the session that is created or joined.
    pub struct CreatingPlayer [derive(Eq)] {
        required team_id: u32 = count();
        required client_version: Version;
        required client_settings: ClientSettings;
        sparse custom_data: CustomData;
    }
}

wire! {
    /// Joins the best session that the search finds and the player may enter, else creates one. Atomic: two callers never both
    /// create where one could have joined.
    pub struct Matchmaking [] {
        /// Its `session_type` and `region_id` are those of `create` unless it names its own; `max_results` is ignored.
        default search: SessionSearch;
        required create: CreateSession;
    }
}

wire! {
    /// Where the player is now.
    pub struct Matched [derive(Eq)] {
        required session_id: SessionId;
        required created: bool;
    }
}

wire! {
    /// The one session that a player shows to friends.
    pub struct PresenceSession [derive(Eq)] {
        required session_id: SessionId;
    }
}

wire! {
    /// A code of a few letters and digits that stands for a session's id.
    pub struct ShortCode [derive(Eq)] {
        required short_code: String = text(5, 12);
    }
}

wire! {
    /// The sessions of a type that are listed. `cursor` leads to the next page; 0 is the end.
    pub struct BrowserPage [derive(Eq)] {
        required cursor: u64 = whole(0, i64::MAX);
        required browser_sessions: Vec<ListedSession> = listed();
    }
}

wire! {
    /// A session in the browser.
    pub struct ListedSession [derive(Eq)] {
        required session_id: SessionId;
        optional instance_health: super::session::InstanceHealth;
        always player_count: u32 = count();
        always max_player_count: u32 = whole(1, 100);
        sparse custom_data: CustomData;
    }
}
