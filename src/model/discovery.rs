//! Finding a session, and being found: search, matchmaking, the presence session. Extensions of the Session API that
//! Epic's Sessions Interface needs.
//!
//! | type | goes to or comes from |
//! |---|---|
//! | [`SessionSearch`], [`SearchAnswer`] | `POST /session/v1/browser:search` |
//! | [`Matchmaking`], [`Matched`] | `POST /session/v1/matchmaking` |
//! | [`CreateSession`], [`SessionSettings`] | `POST /session/v1/session`; the latter also as `PATCH /session/v1/session/{id}` |
//! | [`PresenceSession`] | `…/player/me/presence-session`, `…/player/{uuid}/presence-session` |

use super::{
    CustomData,
    ids::{PlayerUuid, SessionId},
    session::Joinability,
};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// What to look for. Every condition must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SessionSearch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
    /// At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// Sessions in which this player is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player_uuid: Option<PlayerUuid>,
    /// This session, if it fits the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Only LAN sessions, or none; both when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lan: Option<bool>,
    /// 1 to 200; 50 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_results: Option<u32>,
}

/// Ids, best first; each session can then be read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SearchAnswer {
    pub session_ids: Vec<SessionId>,
    /// There were more sessions than one search looks at: a narrower one may find others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// A team in [`SessionSettings::teams`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TeamSettings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_data: Option<CustomData>,
}

/// The listing in [`SessionSettings::browser`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BrowserSettings {
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
}

/// A session's settings as its admin writes them: what is named is replaced whole, the rest stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SessionSettings {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
    /// Custom settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_data: Option<CustomData>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joinability: Option<Joinability>,
    /// As many as there shall be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teams: Option<Vec<TeamSettings>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Extension: lists the session with this data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<BrowserSettings>,
    /// Extension: false overrides every policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_new_members: Option<bool>,
    /// Extension, at creation: never listed outside the service's own network. Another value later: 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lan: Option<bool>,
    /// Extension, at creation: whether players with restrictions may join. Another value later: 409.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_sanctioned_players: Option<bool>,
}

/// `POST /session/v1/session`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateSession {
    pub session_type: String,
    pub client_version: Version,
    /// The contract's `ClientSettings`: `{"input": "keyboardandmouse", "platform": "Steam"}`.
    pub client_settings: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossplay_preferences: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
    /// Extension: never join another session.
    #[serde(default)]
    pub force_create: bool,
    /// Extension: in force before anybody sees the session.
    #[serde(default)]
    pub settings: SessionSettings,
}

/// `POST /session/v1/matchmaking`: joins the best session that the search finds and the player may enter, else
/// creates one. Atomic: two callers never both create where one could have joined.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matchmaking {
    /// Its `session_type` and `region_id` are those of `create` unless it names its own; `max_results` is ignored.
    #[serde(default)]
    pub search: SessionSearch,
    pub create: CreateSession,
}

/// Where the player is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matched {
    pub session_id: SessionId,
    pub created: bool,
}

/// The one session that a player shows to friends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceSession {
    pub session_id: SessionId,
}
