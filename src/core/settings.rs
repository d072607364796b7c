//! What the user configured, as the core wants it. `agent` makes it from the configuration file.

use crate::model::{
    CustomData,
    allocation::ProviderKind,
    ordered::Ports,
    policy::{
        AdmissionPolicy, Backfill, Drain, GameKind, Guards, Health, OnSessionLost, Players, Readiness, Recycle,
        ReportBy, Restart, Reuse, SdkPings, Start,
    },
    process::StopStep,
    session::StartupParams,
};
use semver::Version;
use std::{collections::BTreeMap, time::Duration};

/// Everything the core goes by.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub name: String,
    pub kind: GameKind,
    /// Seeds the jitter, so that a fleet doesn't act in step and a test always does the same.
    pub seed: u64,
    pub provider: ProviderKind,
    pub launch: Launch,
    pub readiness: Readiness,
    pub restart: Restart,
    pub recycle: Recycle,
    pub stop_steps: Vec<StopStep>,
    /// How long the game may live without an agent (part of the fallback policy); none = for ever.
    pub unattended: Option<Duration>,
    pub guards: Guards,
    pub drain: Drain,
    pub session: SessionSettings,
    pub players: Players,
    pub health: Health,
    /// None: no SDK promises pings.
    pub sdk_pings: Option<SdkPings>,
    pub backfill: Backfill,
    pub addresses: Addresses,
    /// How often the session is read while one is served.
    pub poll: Duration,
}

/// How the game is started. Texts are templates (see `core::launch`).
#[derive(Debug, Clone, PartialEq)]
pub struct Launch {
    pub start: Start,
    pub reuse: Reuse,
    pub command: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Patterns that a startup value of somebody else's has to match as a whole, by its name in templates.
    pub allow: BTreeMap<String, String>,
    pub dir: Option<String>,
    /// Path of the JSON file with the startup parameters; the game finds it in `GAMESIDE_STARTUP_FILE`.
    pub startup_file: String,
    pub forking: bool,
    pub version: Option<Version>,
    /// Port numbers by name, already reserved.
    pub ports: Ports,
    /// Environment that frontends need (`GAMESIDE_API`, `GAMESIDE_SOCKET`, …). The token of a run is added by the driver.
    pub frontends: BTreeMap<String, String>,
}

/// The session's side.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionSettings {
    /// Type and region of own sessions, and of the registration.
    pub session_type: String,
    pub region: Option<String>,
    /// Startup parameters of own sessions, and the fallback where an allocation brings none.
    pub startup_params: Option<StartupParams>,
    pub teams: Vec<u32>,
    pub joinable: bool,
    /// Which players become members of sessions that were made here …
    pub own_admission: AdmissionPolicy,
    /// … and of all others.
    pub admission: AdmissionPolicy,
    pub custom_data: CustomData,
    pub report: ReportBy,
    pub on_lost: Option<OnSessionLost>,
    pub join_token: bool,
    pub instance_data: CustomData,
    pub join_data: CustomData,
    pub browser_data: CustomData,
}

/// Hosts that were found or configured, and how connection strings are made of them (templates with `host`, `port`, `ports`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Empty unless configured, given by the provider, or globally routable.
    pub public: Option<String>,
    pub private: Option<String>,
    pub public_format: String,
    pub private_format: String,
    /// The port that players connect to.
    pub port: String,
}

impl Settings {
    /// The agent writes the instance, rather than the game.
    pub fn writes(&self) -> bool {
        self.session.report == ReportBy::Agent
    }

    /// An agent that takes its allocations from itself, or starts its game with itself, would only
    /// repeat what has failed.
    pub fn repeats(&self) -> bool {
        self.provider == ProviderKind::Auto || self.launch.start == Start::AtBoot
    }
}
