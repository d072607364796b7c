//! The agent's file. These types are the whole truth about it: the reference, the commented example
//! and the checks are made from them. A doc comment here is what the user reads there.
//!
//! | file | sections |
//! |---|---|
//! | [`game`] | `[game]` with stop |
//! | [`session`] | `[session]`, `[custom_data]`, `[credentials]`, `[report]` |
//! | [`host`] | `[agent]`, `[addresses]` |
//! | [`mod@load`], [`check`] | from a file to these types; what the types can't say |
//! | `frontends::*::config` | `[api]`, `[gsdk]`, `[a2s]`, `[agones]` |
//! | `providers::config`, `keeper::config`, [`hooks`](super::hooks), `log_reader::config` | `[allocation]`; `[keeper]`; `[hooks]`; `[log]` |
//! | `model::policy`, `model::probe` | the rest, as the core and the probes use it |
//!
//! A section's type lies in the room that obeys it, and is taken apart there without `..`: a key
//! that nobody reads doesn't compile. [`section!`] beside it says what reloading does with each
//! key. `config/key_effects.txt` names a test for each.

pub mod check;
pub mod game;
pub mod host;
pub mod load;
pub mod session;

pub use load::{Loaded, Overrides, load, load_with};

use super::{hooks::HooksConfig, log_reader::config::LogConfig};
use crate::{
    frontends::{
        a2s::config::A2sConfig, agones::config::AgonesConfig, gsdk::config::GsdkConfig, native::config::ApiConfig,
    },
    keeper::config::KeeperConfig,
    model::{
        allocation::ProviderKind,
        packed::{Packed, packed},
        policy::{Backfill, Drain, GameKind, Guards, Health, Players, Readiness, ReadyBy},
        probe::{LogPatterns, Probe},
        section::{File, section},
        session::StartupParams,
    },
    providers::config::AllocationConfig,
};
use serde::{Deserialize, Serialize};

/// The agent's configuration. With no file at all the practice game is run, in a session of its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AgentConfig {
    /// The agent itself.
    pub agent: host::Agent,
    /// What is run, and how it is known to be ready, stopped and started again.
    pub game: game::Game,
    /// How a game that speaks no SDK is watched from outside. Without this section it isn't.
    pub probe: Option<Probe>,
    /// What is read from the game's output.
    pub log_patterns: LogPatterns,
    /// Where the game logs, if it doesn't print.
    pub log: LogConfig,
    /// Where allocations come from.
    pub allocation: AllocationConfig,
    /// The session that is served.
    pub session: session::Session,
    /// Data shown with the session and its instance.
    pub custom_data: session::Data,
    /// How the agent logs in to the session service. Not needed for a local one.
    pub credentials: session::Credentials,
    /// Who writes the instance.
    pub report: session::Report,
    /// How players reach the game.
    pub addresses: host::Addresses,
    /// Which players become members of the session.
    pub players: Players,
    /// When the game counts as degraded or unhealthy, and what follows.
    pub health: Health,
    /// Filling free places.
    pub backfill: Backfill,
    /// Limits that save money. Each drains and recycles.
    pub guards: Guards,
    /// How a match is ended from outside.
    pub drain: Drain,
    /// The process that holds the game.
    pub keeper: KeeperConfig,
    /// Programs that are told of events.
    pub hooks: HooksConfig,
    /// The HTTP API for the game and for operators.
    pub api: ApiConfig,
    /// PlayFab's game server SDK, so that a game that was built for PlayFab runs unchanged.
    pub gsdk: GsdkConfig,
    /// Steam's server queries, answered in the game's stead.
    pub a2s: A2sConfig,
    /// The Agones SDK, for games that were built for Agones. Without this section it isn't served.
    pub agones: Option<AgonesConfig>,
}

section!(AgentConfig {
    sections: agent, game, probe, log_patterns, log, allocation, session, custom_data, credentials, report, addresses, players,
        health, backfill, guards, drain, keeper, hooks, api, gsdk, a2s, agones;
});

impl File for AgentConfig {
    const SCHEMA: Packed = packed!("agent-schema");
}

/// What the practice game plays when it isn't told.
pub const PRACTICE_MAP: &str = "harbour";
pub const PRACTICE_MODE: &str = "duel";

impl AgentConfig {
    /// No command: the practice game that ships with us.
    pub fn is_practice(&self) -> bool {
        self.game.command.is_empty()
    }

    /// What proves the game ready. The practice game speaks for itself.
    pub fn readiness(&self) -> Readiness {
        let mut readiness = self.game.readiness.clone();
        if self.is_practice() && readiness.by == ReadyBy::Auto {
            readiness.by = ReadyBy::Sdk;
        }
        readiness
    }

    /// Whether it is a match or a world, and why.
    pub fn kind(&self) -> (GameKind, &'static str) {
        match (self.game.kind, self.allocation.provider) {
            (Some(kind), _) => (kind, "[game] kind says so"),
            (None, ProviderKind::Auto) if self.is_practice() => (GameKind::Match, "the practice game is one"),
            (None, ProviderKind::Auto) => {
                (GameKind::World, "the agent makes its own sessions; [game] kind = \"match\" makes it a match")
            }
            (None, ProviderKind::Sic | ProviderKind::Hook) => (GameKind::Match, "others allocate it"),
        }
    }

    /// What own sessions start with, and what an allocation that brings nothing falls back to. The practice game has
    /// a map and a mode of its own; any other must be given a map.
    pub fn startup_params(&self) -> Option<StartupParams> {
        let session::Startup { map, mode, misc_params, custom_data } = &self.session.startup;
        let practice = |name: &str| self.is_practice().then(|| name.to_owned());
        Some(StartupParams {
            map: map.clone().or_else(|| practice(PRACTICE_MAP))?,
            mode: mode.clone().or_else(|| practice(PRACTICE_MODE)),
            misc_params: misc_params.clone(),
            custom_data: custom_data.clone(),
        })
    }
}
