//! The agent as seen from outside: what `gameside status --json` prints and the API answers, and
//! the timeline.

use super::{
    CustomData,
    calls::Backend,
    game::{EventSource, GamePlayer, Kept},
    ids::{AllocationId, InstanceId, MatchId, RunNumber, SessionId},
    ordered::Ports,
    policy::GameKind,
    process::{Containment, ExitReport, Users},
    session::{InstanceHealth, JoinStatus},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where the agent stands (DESIGN's lifecycle, plus its two ends).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    Idle,
    Starting,
    Serving,
    Draining,
    Closing,
    Ended,
}

/// One agent, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Status {
    pub name: String,
    /// Whether it is a match or a world.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = String))]
    pub kind: GameKind,
    pub phase: PhaseName,
    pub since: Timestamp,
    /// What the session shows, or should show as soon as it can be told.
    pub join_status: Option<JoinStatus>,
    pub instance_health: InstanceHealth,
    /// Why it isn't healthy; empty when it is.
    pub health_reasons: Vec<String>,
    /// Why it drains or closes.
    pub reason: Option<String>,
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub session_id: Option<SessionId>,
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub instance_id: Option<InstanceId>,
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub allocation_id: Option<AllocationId>,
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub match_id: Option<MatchId>,
    pub public_conn_str: Option<String>,
    pub private_conn_str: Option<String>,
    pub map: Option<String>,
    pub mode: Option<String>,
    /// In the order of the configuration.
    #[cfg_attr(test, schema(value_type = BTreeMap<String, u16>))]
    pub ports: Ports,
    /// How many play; none: nobody knows. `players_known` names them as far as the game does.
    pub players: Option<u32>,
    /// What each source says of that: `native`, `agones`, `gsdk`, `log`, `probe`, and `probe_list` where a query counts nobody and lists
    /// somebody all the same; `session`: its members, who may be on their way, or gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub players_said: BTreeMap<String, u32>,
    /// Some sources say that somebody plays, and others that nobody does: until then the server counts as played on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub players_disputed_until: Option<Timestamp>,
    pub players_known: Vec<GamePlayer>,
    /// Who tells of players: the source nearest to the game that has. None: nobody yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub players_from: Option<EventSource>,
    pub max_players: Option<u32>,
    pub custom_data: CustomData,
    pub agent: AgentStatus,
    pub keeper: KeeperStatus,
    /// Who serves the game's SDK, while one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<GatewayStatus>,
    pub game: GameStatus,
    /// The machine, as it was when the figures of the game were last read; none before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineStatus>,
    pub sessions_url: Option<String>,
    pub backend: Backend,
    /// Reports not yet delivered, oldest first.
    pub outbox: Vec<String>,
    /// The service's backfill, while the session has one.
    pub backfill_id: Option<String>,
    pub warnings: Vec<String>,
    /// How the last match ended.
    pub last_end: Option<LastEnd>,
    /// The deadline of the drain or stop under way.
    pub deadline: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct AgentStatus {
    pub pid: u32,
    pub version: String,
    pub started: Option<Timestamp>,
    pub provider: String,
    pub registered: bool,
    pub journal: Option<String>,
    /// Where operators call, with their token: `http://127.0.0.1:PORT`.
    pub api: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStatus>,
}

/// What a process of ours costs, in bytes. Resident size isn't told: most of it is code that all our
/// processes on a machine share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct MemoryStatus {
    /// What belongs to it alone and isn't backed by a file.
    pub private: u64,
    /// That, and its share of what it has in common with others (PSS); none where we may not look.
    pub proportional: Option<u64>,
}

/// The machine, or the container where it has a limit of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct MachineStatus {
    /// Processors that may be used.
    pub processors: u32,
    /// How busy all processors were since the last look.
    pub cpu_percent: u8,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Bytes.
    pub memory_total: u64,
    pub memory_available: u64,
    /// PSI `some avg10`, in percent, where the kernel tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_pressure: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_pressure: Option<f32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct KeeperStatus {
    pub pid: Option<i32>,
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub id: Option<super::ids::KeeperId>,
    pub connected: bool,
    pub containment: Option<Containment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Users>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStatus>,
}

/// The process that serves the game's SDK for the present run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct GatewayStatus {
    pub pid: i32,
    pub build: String,
    pub connected: bool,
    /// It is the agent itself.
    pub in_process: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStatus>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct GameStatus {
    pub pid: Option<i32>,
    #[cfg_attr(test, schema(value_type = Option<u64>))]
    pub run: Option<RunNumber>,
    pub started: Option<Timestamp>,
    pub ready: bool,
    pub restarts: u32,
    pub version: Option<String>,
    /// Through which doors it has spoken.
    pub speaks: Vec<EventSource>,
    /// Its SDK, as that names itself.
    #[serde(default)]
    pub sdk: Option<String>,
    /// The state that it has set for itself, by its SDK's own name: `Reserved`, `Allocated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdk_state: Option<String>,
    /// Of the whole process tree, in bytes.
    pub memory: Option<u64>,
    /// CPU time that the process tree has used so far, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Processes in the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// How much memory its control group lets it have, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<u64>,
    /// PSI `some avg10` of its control group, in percent, where the kernel tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_pressure: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_pressure: Option<f32>,
    pub tick_rate: Option<String>,
    /// Its SDK promised pings of health and sends none (`policy::SdkPings`); for the frontend that
    /// shows it.
    #[serde(skip)]
    pub pings_stopped: bool,
    /// What the frontends remember of this run; theirs alone.
    #[serde(skip)]
    pub kept: BTreeMap<EventSource, Kept>,
    #[serde(skip)]
    pub kept_aside: BTreeMap<EventSource, Kept>,
}

/// How a match ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct LastEnd {
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub session_id: Option<SessionId>,
    pub reason: String,
    #[cfg_attr(test, schema(value_type = Object))]
    pub exit: Option<ExitReport>,
    pub at: Timestamp,
    /// The session service has confirmed `closed`.
    pub reported: bool,
}

/// One line of the timeline: something a person wants to see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct TimelineEntry {
    /// Counts up for as long as the agent's state directory lives.
    pub seq: u64,
    pub at: Timestamp,
    /// A stable word: `allocated`, `pending`, `joinable`, `player_joined`, `health`, `exit`, ….
    pub kind: String,
    pub text: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
}
