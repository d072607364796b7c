//! The Session API's session and everything hanging off it that both halves use.
//!
//! Names, bounds and optionality follow the published contract. Unset members are left out, never
//! null: existing Unreal clients throw a whole object away over one null.

use super::{
    CustomData,
    ids::{AllocationId, BackfillId, InstanceId, PlayerUuid, SessionId},
    player::{PLATFORMS, SessionPlayer, SessionTeam},
    time::Timestamp,
    wire::{
        rules::{AnyNumber, Own, any_text, between, count, ident, list, list_of, listed, map_of, one_of, text, whole},
        wire, words,
    },
};
use semver::Version;
use serde::{Deserialize, Serialize};
use serde_json::Number;
use std::{collections::BTreeMap, net::IpAddr};
use uuid::Uuid;

/// Where an instance stands. The order is the order of a normal life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum InstanceHealth {
    Healthy,
    Degraded,
    Unhealthy,
    Unknown,
}

/// What kind of host an instance has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
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

words!(JoinStatus, InstanceHealth, HostType, TeamOverflow, BackfillStyle);

wire! {
    /// Who may join without an invitation.
    pub struct Joinability [derive(Copy, Eq)] {
        /// Anybody.
        default open: bool;
        /// Friends of a player who is in the session.
        default friends: bool;
        /// Whoever joins through a platform's own session.
        default platform: bool => true, ["crate::model::wire::yes"];
    }
}

impl Default for Joinability {
    fn default() -> Self {
        Joinability { open: false, friends: false, platform: true }
    }
}

wire! {
    /// What the host starts with. `misc_params` is raw text; Unreal appends it to its travel URL.
    pub struct StartupParams [derive(Eq, Default), cfg_attr(test, derive(utoipa::ToSchema))] {
        required map: String = any_text();
        optional mode: String = any_text();
        always misc_params: String = any_text();
        sparse custom_data: CustomData;
    }
}

wire! {
    /// How players connect.
    pub struct JoinParams [derive(Eq, Default)] {
        required public_conn_str: String = any_text();
        required private_conn_str: String = any_text();
        sparse custom_data: CustomData;
    }
}

wire! {
    /// The session's current instance, as everybody who may see it sees it.
    pub struct InstanceInfo [derive(Eq)] {
        optional allocation_id: AllocationId;
        required instance_id: InstanceId;
        required host_type: HostType;
        optional host_player_id: i64 = whole(i64::MIN, i64::MAX);
        optional host_player_uuid: PlayerUuid;
        optional host_dedicated_process_id: String = any_text();
        optional host_dedicated_server_id: String = any_text();
        required join_status: JoinStatus;
        optional join_params: JoinParams;
        optional instance_startup_params: StartupParams;
        optional version: Version;
        required created: Timestamp;
        sparse custom_data: CustomData;
        optional instance_health: InstanceHealth;
        optional match_making_profile_id: String = ident();
        optional match_id: String = any_text();
    }
}

wire! {
    /// Requests an instance, or registers one as its host.
    pub struct InstanceRequest [derive(Eq, Default)] {
        /// The host's own name for its term; the same one again is a repeated request.
        optional instance_id: InstanceId;
        optional instance_startup_params: StartupParams;
        /// Dedicated, unless the request template says otherwise.
        optional host_type: HostType;
        optional instance_request_template_id: Uuid;
        optional host_player_uuid: PlayerUuid;
        sparse custom_data: CustomData;
    }
}

wire! {
    /// Changes an instance: what is named is replaced whole, the rest stays.
    pub struct InstanceUpdate [derive(Eq, Default)] {
        optional allocation_id: AllocationId;
        optional join_status: JoinStatus;
        optional join_params: JoinParams;
        optional version: Version;
        optional custom_data: CustomData;
        optional match_id: String = any_text();
    }
}

wire! {
    /// The backfill that a session has, while it has one.
    pub struct BackfillInfo [derive(Eq)] {
        required backfill_id: BackfillId;
        sparse extensions: CustomData;
    }
}

wire! {
    /// How a session appears in the browser.
    pub struct BrowserInfo [derive(Eq, Default)] {
        sparse custom_data: CustomData;
        optional created_timestamp: Timestamp;
    }
}

wire! {
    /// The deprecated `match` of a session: it mirrors the instance's `match_id`.
    pub struct MatchInfo [derive(Eq)] {
        required match_id: String = any_text();
        required created: Timestamp;
    }
}

wire! {
    /// A platform's own session that belongs to this one.
    pub struct PlatformSession [derive(Eq)] {
        required platform: String = one_of(PLATFORMS);
        required platform_session_type: String = text(1, 128);
        required platform_session_id_base64: String = text(1, 4096);
        /// Always empty: nothing writes it any more.
        always players: Vec<PlatformPlayer> = listed();
        sparse custom_data: CustomData;
    }
}

wire! {
    /// A player of a platform's own session.
    pub struct PlatformPlayer [derive(Eq)] {
        required player_uuid: PlayerUuid;
    }
}

wire! {
    /// Who looks after a platform session.
    pub struct PlatformScout [derive(Eq)] {
        required player_uuid: PlayerUuid;
        required platform: String = one_of(PLATFORMS);
    }
}

wire! {
    /// A session, as the caller may see it. Whatever a reader doesn't know it passes over.
    pub struct Session [derive(Eq)] {
        required session_type ("type"): String = any_text();
        required session_id: SessionId;
        optional instance: InstanceInfo;
        optional current_match ("match"): MatchInfo;
        optional backfill: BackfillInfo;
        optional browser: BrowserInfo;
        /// `joinability.open`, and whether it takes new members.
        required joinable: bool;
        optional joinability: Joinability;
        required teams: Vec<SessionTeam> = listed();
        always platform_session: Vec<PlatformSession> = listed();
        sparse platform_scouts: BTreeMap<String, PlatformScout> = map_of(usize::MAX, Own);
        always custom_data: CustomData;
        required created: Timestamp;
        optional region_id: String = ident();
        always created_by_matchmaking: bool;
        optional short_code: String = text(5, 12);
        /// Extension: false while the session takes nobody in, whatever its policies say; left out while it does.
        optional allow_new_members: bool;
        /// Extension: shown in the service's own network alone; left out while false.
        sparse lan: bool;
        /// Extension: players with restrictions may join; left out while false.
        sparse allow_sanctioned_players: bool;
    }
}

wire! {
    /// How often a host checks in, and what comes of it if it doesn't.
    pub struct HealthSettings [derive(Copy)] {
        required cadence_seconds: u32 = whole(1, i64::MAX);
        required unhealthy_health_check_percentage: f64 = between(0.0, 100.0);
        required missed_checks_before_unknown: u32 = whole(1, i64::MAX);
    }
}

wire! {
    /// How long a backfill lives without an acknowledgement; seconds.
    pub struct BackfillSettings [derive(Copy)] {
        required timeout: f64 = between(0.0, f64::MAX);
    }
}

wire! {
    /// What a health check says.
    pub struct HealthUpdate [derive(Eq)] {
        required instance_health: InstanceHealth;
        required instance_id: InstanceId;
    }
}

wire! {
    /// The health that is shown after a check.
    pub struct InstanceHealthStatusResponse [derive(Copy, Eq)] {
        required updated_instance_health: InstanceHealth;
    }
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

wire! {
    /// Keeps a backfill alive.
    pub struct BackfillAck [derive(Eq)] {
        required instance_id: InstanceId;
        sparse extensions: CustomData;
        default overflow_action: TeamOverflow;
        sparse styles: Vec<BackfillStyle> = list(0, 16);
    }
}

wire! {
    /// The players for whom a backfill has held places since the last acknowledgement.
    pub struct AcknowledgeBackfillResponse [derive(Eq, Default)] {
        always backfilled_players: Vec<SessionPlayer> = listed();
    }
}

wire! {
    /// How many more players each team needs.
    pub struct BackfillUpdate [derive(Eq)] {
        required instance_id: InstanceId;
        /// Accepted and not used.
        optional additional_join_params: AdditionalJoinParams;
        default teams: Vec<BackfillNeed> = list(0, 50);
    }
}

wire! {
    /// What one team needs.
    pub struct BackfillNeed [derive(Copy, Eq)] {
        required team_id: u32 = whole(0, 49);
        required players_required: u32 = whole(0, 100);
    }
}

wire! {
    /// The instance whose backfill ends.
    pub struct BaseBackfillRequest [derive(Eq)] {
        required instance_id: InstanceId;
    }
}

wire! {
    /// Starts a backfill, or goes on with the one there is. What is named is replaced or added.
    pub struct BackfillAttach [derive(Eq)] {
        optional teams: Vec<BackfillNeed> = list(0, 50);
        sparse extensions: CustomData;
        /// Places are held for them, and the host hears of them with its next acknowledgement.
        sparse players: Vec<BackfillPlayer> = list(0, 100);
        default overflow_action: TeamOverflow;
    }
}

wire! {
    /// A player whom a matchmaker brings.
    pub struct BackfillPlayer [derive(Copy, Eq)] {
        required player_uuid: PlayerUuid;
        optional team_id: u32 = count();
    }
}

wire! {
    /// What a ticket of matchmaking says besides.
    pub struct AdditionalJoinParams [derive(Eq, Default)] {
        optional double_args: BTreeMap<String, Number> = map_of(256, AnyNumber);
        optional string_args: CustomData;
        optional tags: Vec<String> = list_of(0, 100, text(1, 4096));
        optional extensions: CustomData;
    }
}

wire! {
    /// The session that was created or joined.
    pub struct SessionJoinResponse [derive(Eq)] {
        required session_id: SessionId;
    }
}

wire! {
    /// Where the caller comes from.
    pub struct ConnectionInfo [derive(Copy, Eq)] {
        /// The caller's address, as the service sees it.
        required ip: IpAddr;
    }
}
