//! The Session API's session and everything hanging off it that both halves use.
//!
//! Names, bounds and optionality follow the published contract. Unset members are left out, never null: existing
//! Unreal clients throw a whole object away over one null.

use super::{
    CustomData,
    ids::{AllocationId, BackfillId, InstanceId, PlayerUuid, SessionId},
    player::{SessionPlayer, SessionTeam},
    time::Timestamp,
};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Where an instance stands. The order is the order of a normal life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinStatus {
    Requested,
    Allocated,
    Pending,
    Joinable,
    Unjoinable,
    /// Absorbing: nothing follows.
    Closed,
}

impl JoinStatus {
    /// As the contract writes it.
    pub fn word(self) -> &'static str {
        match self {
            JoinStatus::Requested => "requested",
            JoinStatus::Allocated => "allocated",
            JoinStatus::Pending => "pending",
            JoinStatus::Joinable => "joinable",
            JoinStatus::Unjoinable => "unjoinable",
            JoinStatus::Closed => "closed",
        }
    }
}

/// What a health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InstanceHealth {
    Healthy,
    Degraded,
    Unhealthy,
    Unknown,
}

/// What kind of host an instance has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostType {
    /// The service picks a registered server.
    #[default]
    Dedicated,
    Player,
    Standalone,
    /// The poster itself hosts.
    Preallocated,
}

/// Who may join without an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joinability {
    #[serde(default)]
    pub open: bool,
    #[serde(default)]
    pub friends: bool,
    #[serde(default = "yes")]
    pub platform: bool,
}

fn yes() -> bool {
    true
}

impl Default for Joinability {
    fn default() -> Self {
        Joinability { open: false, friends: false, platform: true }
    }
}

/// What the host starts with. `misc_params` is raw text; Unreal appends it to its travel URL.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StartupParams {
    pub map: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(default)]
    pub misc_params: String,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
}

/// How players connect.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JoinParams {
    pub public_conn_str: String,
    pub private_conn_str: String,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
}

/// The session's current instance, as everybody who may see it sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceInfo {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_id: Option<AllocationId>,
    pub instance_id: InstanceId,
    pub host_type: HostType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_player_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_player_uuid: Option<PlayerUuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_dedicated_process_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_dedicated_server_id: Option<String>,
    pub join_status: JoinStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_params: Option<JoinParams>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_startup_params: Option<StartupParams>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    pub created: Timestamp,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_health: Option<InstanceHealth>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_making_profile_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_id: Option<String>,
}

/// `POST …/instance`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_startup_params: Option<StartupParams>,
    #[serde(default)]
    pub host_type: HostType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_request_template_id: Option<uuid::Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_player_uuid: Option<PlayerUuid>,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
}

/// `PATCH …/instance`: what is named is replaced whole, the rest stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_id: Option<AllocationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_status: Option<JoinStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_params: Option<JoinParams>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_data: Option<CustomData>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub match_id: Option<String>,
}

/// The backfill that a session has, while it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillInfo {
    pub backfill_id: BackfillId,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub extensions: CustomData,
}

/// How a session appears in the browser.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BrowserInfo {
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_timestamp: Option<Timestamp>,
}

/// `GET …/session/{id}`, with the members that a host or a player acts on. The service's own record holds
/// more (see `service`); whatever a reader doesn't know it passes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    #[serde(rename = "type")]
    pub session_type: String,
    pub session_id: SessionId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceInfo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<BackfillInfo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<BrowserInfo>,
    pub joinable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joinability: Option<Joinability>,
    pub teams: Vec<SessionTeam>,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
    pub created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
    #[serde(default)]
    pub created_by_matchmaking: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_code: Option<String>,
}

/// `GET /v1/instance/health/config`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HealthSettings {
    pub cadence_seconds: u32,
    pub unhealthy_health_check_percentage: f64,
    pub missed_checks_before_unknown: u32,
}

/// `GET /v1/backfill/config`; seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BackfillSettings {
    pub timeout: f64,
}

/// `POST …/instance/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthUpdate {
    pub instance_health: InstanceHealth,
    pub instance_id: InstanceId,
}

/// Its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceHealthStatusResponse {
    pub updated_instance_health: InstanceHealth,
}

/// How a team that would grow too large is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TeamOverflow {
    #[default]
    Fail,
    AllowOverflow,
    PartialWithOverflow,
    PartialWithoutOverflow,
    Overfill,
}

/// How a backfill looks for players.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BackfillStyle {
    TeamRequest,
    Composition,
}

/// `POST /v1/backfill/session/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillAck {
    pub instance_id: InstanceId,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub extensions: CustomData,
    #[serde(default)]
    pub overflow_action: TeamOverflow,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub styles: Vec<BackfillStyle>,
}

/// `PATCH /v1/backfill/session/{id}`: how many more players each team needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillUpdate {
    pub instance_id: InstanceId,
    #[serde(default)]
    pub teams: Vec<BackfillNeed>,
}

/// One row of [`BackfillUpdate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillNeed {
    pub team_id: u32,
    pub players_required: u32,
}

/// `DELETE /v1/backfill/session/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseBackfillRequest {
    pub instance_id: InstanceId,
}

/// Answer to [`BackfillAck`]: the players that have arrived since the last one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AcknowledgeBackfillResponse {
    #[serde(default)]
    pub backfilled_players: Vec<SessionPlayer>,
}

/// Answer to `POST /v1/session`: the session that was created or joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionJoinResponse {
    pub session_id: SessionId,
}

/// `GET /v1/connection-info`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionInfo {
    /// The caller's address, as the service sees it.
    pub ip: IpAddr,
}

/// `POST /v1/audit`, with the members that a host sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateAuditRequest {
    /// The service puts `customer.` before it.
    pub event_name: String,
    pub session_id: SessionId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
}
