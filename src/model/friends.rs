//! The friend graph's wire types.

use super::{ids::PlayerUuid, time::Timestamp};
use serde::{Deserialize, Serialize};

/// How one player stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FriendshipStatus {
    #[default]
    None,
    Friends,
    /// Waits for the other's answer.
    FriendRequestSent,
    /// The other waits for an answer.
    FriendRequestPending,
    FriendRequestDeclinedByOther,
}

/// One player's side of a relationship.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FriendRelationship {
    pub friends_player_uuid: PlayerUuid,
    pub status: FriendshipStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    pub last_modified_on: Timestamp,
}

/// Which part of a list this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageMeta {
    pub page: u32,
    pub limit: u32,
    pub total: u32,
}

/// `GET /friends/v2/player/{player_uuid}/friend`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FriendsList {
    pub player_uuid: PlayerUuid,
    pub friends: Vec<FriendRelationship>,
    pub page: PageMeta,
}
