//! Players as members of a session.

use super::{
    CustomData,
    ids::{PlayerUuid, SessionId},
    time::Timestamp,
};
use semver::Version;
use serde::{Deserialize, Serialize};

/// What a player is in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlayerStatus {
    Leader,
    Member,
    Invited,
    /// A place is held; the player isn't told unless the template says so.
    Reserved,
}

impl PlayerStatus {
    /// Leaders and members are in the session; the others only may become so.
    pub fn is_active(self) -> bool {
        matches!(self, PlayerStatus::Leader | PlayerStatus::Member)
    }
}

/// What may be granted to a player within a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionPermission {
    Invite,
    Kick,
    Move,
}

/// One player of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPlayer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player_id: Option<i64>,
    pub player_uuid: PlayerUuid,
    pub status: PlayerStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inviting_player_uuid: Option<PlayerUuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_session_id: Option<SessionId>,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_settings: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossplay_preferences: Option<serde_json::Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invited: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub session_permissions: Vec<SessionPermission>,
}

/// A team: its players and its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionTeam {
    pub players: Vec<SessionPlayer>,
    pub max_size: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket_ids: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_data: Option<CustomData>,
}
