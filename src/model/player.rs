//! Players as members of a session.

use super::{
    CustomData,
    ids::{PlayerUuid, SessionId},
    session::TeamOverflow,
    time::Timestamp,
};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

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

/// `POST …/session/{session_id}/player/{player_uuid}`: adds, invites, moves or promotes a player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionPlayerUpdateRequest {
    pub status: PlayerStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<u32>,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow_action: Option<TeamOverflow>,
}

impl SessionPlayerUpdateRequest {
    /// Makes the player a member; without a team, of the one that the service picks.
    pub fn member(team_id: Option<u32>) -> Self {
        SessionPlayerUpdateRequest {
            status: PlayerStatus::Member,
            team_id,
            custom_data: CustomData::new(),
            overflow_action: None,
        }
    }
}

/// `POST …/session/{session_id}/player/me`: the caller joins.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfSessionPlayerUpdateRequest {
    pub client_version: Version,
    /// The contract's `ClientSettings`.
    pub client_settings: Value,
    pub team_id: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crossplay_preferences: Option<Value>,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The member whose friend the caller is; without it any member counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub friend_uuid: Option<PlayerUuid>,
}

// A derived Debug would put the session's password into a log.
impl std::fmt::Debug for SelfSessionPlayerUpdateRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SelfSessionPlayerUpdateRequest").field("team_id", &self.team_id).finish_non_exhaustive()
    }
}

/// `POST /session/v2/session/{session_id}/player/{player_uuid}:invite`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlayerInviteRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow_action: Option<TeamOverflow>,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
    /// Extension: more players, invited together or not at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub player_uuids: Vec<PlayerUuid>,
}

/// `GET /session/v1/player/me/session`: what a player is in and invited to, by session type.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlayerSessions {
    pub sessions: BTreeMap<String, PlayerSessionsOfType>,
}

/// One type's part of [`PlayerSessions`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PlayerSessionsOfType {
    #[serde(default)]
    pub session_ids: Vec<SessionId>,
    /// By session.
    #[serde(default)]
    pub pending_invites: BTreeMap<String, PendingInvite>,
}

/// An invitation that the player has not answered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PendingInvite {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inviting_player_uuid: Option<PlayerUuid>,
    /// Extension: an id of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invite_id: Option<Uuid>,
}
