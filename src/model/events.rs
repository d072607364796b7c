//! What players are told: the events of `GET /session/v1/player/me/events`, and the notifications
//! of the long poll.
//!
//! | event | when |
//! |---|---|
//! | `OnSessionJoined` | the player has become an active member |
//! | `OnSessionLeft` | it no longer is one: it left, was removed or culled, or the session is gone |
//! | `OnSessionUpdated` | anything about a session in which the player is active has changed |
//! | `OnSessionInviteReceived` | the player was invited, or a place is held and the session's type says so |
//! | `OnUISessionJoinRequested` | the player accepted an invite, or joined through a platform session |
//!
//! A stream is server-sent events: `id` is opaque, `event` one of these names, `data` a
//! [`SessionEvent`]. `event: reset` with a [`Reset`] says that events are missing: read everything
//! again.

use super::{
    CustomData,
    ids::{PlayerUuid, SessionId},
    player::PlayerStatus,
    time::Timestamp,
    wire::{
        rules::{Listed, any_text, list, listed, text},
        wire, words,
    },
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

words!(EventKind, ResetReason);

wire! {
    /// One event for one player.
    pub struct SessionEvent [derive(Eq)] {
        required event: EventKind;
        required session_id: SessionId;
        required session_type: String = any_text();
        /// The full view's entity tag after the change; when the session is gone, one that no view has had.
        optional etag: String = any_text();
        /// `OnSessionUpdated`: which top-level members of the session changed.
        sparse changed: Vec<String> = Listed(any_text());
        /// `OnSessionLeft`: the session is gone for everybody.
        sparse destroyed: bool;
        /// `OnSessionInviteReceived`: `invited`, or `reserved` for a place that is held.
        optional status: PlayerStatus;
        /// `OnSessionInviteReceived`, and `OnUISessionJoinRequested` after an invite.
        optional invite_id: Uuid;
        optional inviting_player_uuid: PlayerUuid;
        required created: Timestamp;
    }
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

wire! {
    /// The data of `event: reset`.
    pub struct Reset [derive(Copy, Eq)] {
        required reason: ResetReason;
    }
}

wire! {
    /// One message of the notification API.
    pub struct Notification [derive(Eq)] {
        required message: String = any_text();
        optional rh_url: String = text(1, 4096);
        sparse custom_data: CustomData;
        optional etag: String = text(1, 4096);
        required notification_id: String = any_text();
        required created: Timestamp;
    }
}

wire! {
    /// Messages, oldest first from the long poll, newest first in a page. `cursor` is where the next call goes on.
    pub struct Notifications [derive(Eq)] {
        always notifications: Vec<Notification> = listed();
        required cursor: String = any_text();
    }
}

wire! {
    /// Messages that a caller adds.
    pub struct NewNotifications [derive(Eq)] {
        required notifications: Vec<NewNotification> = list(1, 100);
    }
}

wire! {
    /// A message that a caller adds.
    pub struct NewNotification [derive(Eq)] {
        required message: String = any_text();
        optional rh_url: String = text(1, 4096);
        sparse custom_data: CustomData;
        optional etag: String = text(1, 4096);
    }
}

wire! {
    /// The last message that was added.
    pub struct AddedNotification [derive(Eq)] {
        required notification_id: String = any_text();
    }
}
