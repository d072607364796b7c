//! What players are told: the events of `GET /session/v1/player/me/events`, and the notifications of the long poll.
//!
//! | event | when |
//! |---|---|
//! | `OnSessionJoined` | the player has become an active member |
//! | `OnSessionLeft` | it no longer is one: it left, was removed or culled, or the session is gone |
//! | `OnSessionUpdated` | anything about a session in which the player is active has changed |
//! | `OnSessionInviteReceived` | the player was invited, or a place is held and the session's type says so |
//! | `OnUISessionJoinRequested` | the player accepted an invite, or joined through a platform session |
//!
//! A stream is server-sent events: `id` is opaque, `event` one of these names, `data` a [`SessionEvent`]. `event: reset`
//! with a [`Reset`] says that events are missing: read everything again.

use super::{
    CustomData,
    ids::{PlayerUuid, SessionId},
    player::PlayerStatus,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The interface's events, under its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    OnSessionJoined,
    OnSessionLeft,
    OnSessionUpdated,
    OnSessionInviteReceived,
    OnUISessionJoinRequested,
}

impl EventKind {
    /// As on the wire.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::OnSessionJoined => "OnSessionJoined",
            EventKind::OnSessionLeft => "OnSessionLeft",
            EventKind::OnSessionUpdated => "OnSessionUpdated",
            EventKind::OnSessionInviteReceived => "OnSessionInviteReceived",
            EventKind::OnUISessionJoinRequested => "OnUISessionJoinRequested",
        }
    }
}

/// One event for one player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEvent {
    pub event: EventKind,
    pub session_id: SessionId,
    pub session_type: String,
    /// The full view's entity tag after the change; none when the session is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// `OnSessionUpdated`: which top-level members of the session changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// `OnSessionLeft`: the session is gone for everybody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destroyed: bool,
    /// `OnSessionInviteReceived`: `invited`, or `reserved` for a place that is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<PlayerStatus>,
    /// `OnSessionInviteReceived`, and `OnUISessionJoinRequested` after an invite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inviting_player_uuid: Option<PlayerUuid>,
    pub created: Timestamp,
}

/// Why a stream can't go on where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetReason {
    /// `Last-Event-ID` names an event that isn't kept any more, or that this service never told of.
    Retention,
    /// The subscriber reads too slowly; the stream ends after this.
    Slow,
}

/// The data of `event: reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reset {
    pub reason: ResetReason,
}

/// One message of the notification API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rh_url: Option<String>,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    pub notification_id: String,
    pub created: Timestamp,
}

/// A page of [`Notification`]s, oldest first from the long poll. `cursor` is the next `exclude_before`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notifications {
    #[serde(default)]
    pub notifications: Vec<Notification>,
    pub cursor: String,
}
