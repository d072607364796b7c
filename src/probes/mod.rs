//! A game that speaks no SDK, watched from outside: queries, ports, HTTP, commands, and its log.
//!
//! | file | holds |
//! |---|---|
//! | [`watch`] | the schedule: often while the game starts, then at the configured interval |
//! | [`query`] | game query protocols, through `gamedig` |
//! | [`quake`] | the Quake family's query protocols, our own |
//! | [`port`] | TCP connections and HTTP; whether a port is bound |
//! | [`log`] | patterns for the lines that the game prints |
//! | [`rcon`] | remote consoles, through which a game is asked to quit |
//! | [`error`] | why a probe found nothing |
//!
//! Invariants: a probe reports what it saw and judges nothing; everything that it reads is bounded,
//! in time and in length.

pub(crate) mod anchored;
pub(crate) mod error;
pub(crate) mod log;
pub(crate) mod port;
pub(crate) mod quake;
pub mod query;
pub(crate) mod rcon;
pub(crate) mod watch;

use crate::model::{
    game::{EventSource, Evidence, GameEvent},
    ids::RunNumber,
    ordered::Ports,
};
pub use error::CommandError;
pub(crate) use error::ProbeError;
use futures_util::future::BoxFuture;
pub use log::Log;
pub(crate) use query::protocols;
use std::{sync::Arc, time::Duration};
pub(crate) use watch::Watcher;
pub use watch::start;

/// What a probe or a log pattern found out about a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub run: RunNumber,
    pub source: EventSource,
    pub observation: Observation,
}

/// Whether the game is up, or what it reports.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    Evidence(Evidence),
    GameEvent(GameEvent),
    /// Which build of the game it is of.
    Build(String),
}

/// The run to watch.
#[derive(Debug, Clone)]
pub struct Target {
    pub run: RunNumber,
    /// Port numbers by name.
    pub ports: Ports,
    /// The port that players connect to.
    pub port: String,
    /// The game's process, if known: its network namespace is looked into for bound ports.
    pub pid: Option<i32>,
}

/// Runs a command in the game's context (argv, timeout).
pub(crate) type CommandRunner =
    Arc<dyn Fn(Vec<String>, Duration) -> BoxFuture<'static, Result<CommandOutput, CommandError>> + Send + Sync>;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// Exit code; 128 + signal for one that was killed.
    pub code: i32,
    pub output: String,
}
