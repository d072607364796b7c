//! Parameters of paths and queries of the Session API. A name of a path means the same wherever it
//! stands.

use super::{
    ids::PlayerUuid,
    player::PLATFORMS,
    time::Timestamp,
    wire::{
        rules::{OneOf, Own, Text, Whole, any_text, between, count, ident, one_of, text, whole},
        wire, words,
    },
};
#[cfg(test)]
use super::{player::SessionPermission, wire::Rule};
use serde::{Deserialize, Serialize};
#[cfg(test)]
use uuid::Uuid;

/// A parameter of a path: its name and what it must be like.
#[derive(Debug, Clone, Copy)]
pub struct PathParameter<R> {
    pub name: &'static str,
    pub rule: R,
}

macro_rules! path_parameters {
    ($($(#[$doc:meta])* $constant:ident $name:literal: $ty:ty = $rule:expr, $kind:ty;)*) => {
        $($(#[$doc])* pub const $constant: PathParameter<$kind> = PathParameter { name: $name, rule: $rule };)*

        /// Every parameter's name and schema.
        #[cfg(test)]
        pub fn described(schemas: &mut super::wire::schema::Schemas) -> Vec<(&'static str, serde_json::Value)> {
            vec![$(($name, Rule::<$ty>::schema(&$constant.rule, schemas)),)*]
        }
    };
}

path_parameters! {
    /// A session's id, or its short code.
    SESSION_ID "session_id": String = ident(), Text;
    INVITED_SESSION_ID "invited_session_id": String = ident(), Text;
    KICKED_SESSION_ID "kicked_session_id": String = ident(), Text;
    ALLOCATION_ID "allocation_id": String = ident(), Text;
    PLAYER_UUID "player_uuid": PlayerUuid = Own, Own;
    OTHER_PLAYER_UUID "other_player_uuid": PlayerUuid = Own, Own;
    /// A player's legacy number.
    PLAYER_ID "player_id": i64 = whole(i64::MIN, i64::MAX), Whole;
    TEAM_ID "team_id": i64 = whole(i64::MIN, i64::MAX), Whole;
    PERMISSION "permission": SessionPermission = Own, Own;
    PLATFORM "platform": String = one_of(PLATFORMS), OneOf;
    PLATFORM_SESSION_ID "platform_session_id_base64": String = text(1, 4096), Text;
    NOTIFICATION_ID "notification_id": String = text(1, 4096), Text;
    SESSION_TYPE "session_type": String = text(1, 4096), Text;
    INSTANCE_REQUEST_TEMPLATE_ID "instance_request_template_id": Uuid = Own, Own;
    INSTANCE_LAUNCH_TEMPLATE_ID "instance_launch_template_id": Uuid = Own, Own;
    MATCH_MAKING_PROFILE_ID "match_making_profile_id": String = ident(), Text;
    TEMPLATE_GROUP_ID "template_group_id": Uuid = Own, Own;
    DESERTER_ID "deserter_id": String = text(1, 4096), Text;
    VIVOX_ACTION "vivox_action": String = one_of(&["join", "join_muted", "kick", "mute", "trxn"]), OneOf;
}

wire! {
    /// Of most operations on a session.
    pub struct Refresh [] {
        /// Whether this request keeps the session alive.
        default refresh_ttl: bool => true;
    }
}

wire! {
    /// Of an operation that takes a player out.
    pub struct Leaving [] {
        /// For people.
        optional reason: String = ident();
        /// Whether this request keeps the session alive.
        default refresh_ttl: bool => true;
    }
}

wire! {
    /// A page of a list.
    pub struct Page [] {
        /// Where the page begins: the `cursor` of the page before.
        default cursor: u32 = count() => 0;
        default page_size: u32 = whole(1, 50) => 50;
    }
}

wire! {
    /// A page of a session's players.
    pub struct PlayersQuery [] {
        /// Where the page begins: the `cursor` of the page before.
        default cursor: u32 = count() => 0;
        default page_size: u32 = whole(1, 50) => 50;
        /// Whether this request keeps the session alive.
        default refresh_ttl: bool => true;
    }
}

wire! {
    /// A page of the browser.
    pub struct BrowserQuery [] {
        required session_type: String = any_text();
        optional region_id: String = ident();
        /// Where the page begins: the `cursor` of the page before.
        default cursor: u32 = count() => 0;
        default page_size: u32 = whole(1, 50) => 50;
    }
}

wire! {
    /// A page of the audit.
    pub struct AuditQuery [] {
        optional session_id: String = ident();
        optional player_uuid: PlayerUuid;
        optional start_date: Timestamp;
        optional end_date: Timestamp;
        default page_num: u32 = whole(0, 1_000_000) => 0;
        default page_size: u32 = whole(1, 50) => 50;
    }
}

wire! {
    /// A page of friends.
    pub struct FriendsQuery [] {
        default page: u32 = count() => 0;
        default limit: u32 = whole(1, 10_000) => 50;
    }
}

/// Where a long poll begins when its `exclude_before` is unknown, or isn't there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffsetReset {
    Latest,
    Earliest,
}

words!(OffsetReset);

wire! {
    /// Of a long poll.
    pub struct LongPoll [] {
        default max_page_size: u32 = whole(1, 100) => 10;
        /// The `cursor` of the call before.
        optional exclude_before: String = any_text();
        /// Where to begin when `exclude_before` is unknown, or isn't there.
        optional offset_reset_strategy: OffsetReset;
        /// How long to wait, in seconds.
        default deadline: u32 = whole(0, 900) => 30;
    }
}

wire! {
    /// A page of notifications.
    pub struct NotificationsQuery [] {
        default page_size: u32 = whole(1, 100) => 10;
        /// The `cursor` of the page before.
        optional start_at: String = any_text();
        /// Only what is newer than this one.
        optional exclude_before: String = any_text();
    }
}

wire! {
    /// Of asking for a server's state.
    pub struct Waiting [] {
        /// Extension: how long to wait for news, in seconds.
        optional wait: f64 = between(0.0, 86_400.0);
    }
}

wire! {
    /// Of a voice token.
    pub struct VoiceQuery [] {
        required voip_session_type: String = one_of(&["session", "team"]);
        /// Whether this request keeps the session alive.
        default refresh_ttl: bool => true;
    }
}

wire! {
    /// Of a voice token of Epic's.
    pub struct EpicVoiceQuery [] {
        required voip_session_type: String = one_of(&["session", "team"]);
        default join_muted: bool => false;
        optional connect_id_token: String = text(0, 16_384);
        /// Whether this request keeps the session alive.
        default refresh_ttl: bool => true;
    }
}
