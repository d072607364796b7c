//! The friend graph's wire types.

use super::{
    ids::PlayerUuid,
    time::Timestamp,
    wire::{
        rules::{count, list, listed, text},
        wire, words,
    },
};
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

words!(FriendshipStatus);

wire! {
    /// One player's side of a relationship.
    pub struct FriendRelationship [derive(Eq)] {
        required friends_player_uuid: PlayerUuid;
        required status: FriendshipStatus;
        optional notes: String = text(0, 4000);
        required last_modified_on: Timestamp;
    }
}

wire! {
    /// Which part of a list this is.
    pub struct PageMeta [derive(Copy, Eq)] {
        required page: u32 = count();
        required limit: u32 = count();
        required total: u32 = count();
    }
}

wire! {
    /// A player's friends, and the requests to and from it.
    pub struct FriendsList [derive(Eq)] {
        required player_uuid: PlayerUuid;
        required friends: Vec<FriendRelationship> = listed();
        required page: PageMeta;
    }
}

wire! {
    /// What a player notes about a friend.
    pub struct FriendNotes [derive(Eq, Default)] {
        optional notes: String = text(1, 4000);
    }
}

wire! {
    /// Friends who are removed.
    pub struct FriendsToRemove [derive(Eq)] {
        required friends: Vec<PlayerUuid> = list(1, 50);
    }
}
