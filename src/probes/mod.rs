//! A game that speaks no SDK, watched from outside: queries, ports, HTTP, commands, and its log.
//!
//! | file | asks |
//! |---|---|
//! | [`watch`] | on a schedule: often while the game starts, then at the configured interval |
//! | [`query`] | a game query protocol, through `gamedig` |
//! | [`quake`] | the Quake family's, by ourselves |
//! | [`port`] | TCP connections; the kernel, whether a port is bound |
//! | [`rcon`] | nothing: through its remote console a game is asked to quit |
//! | [`log`] | nothing: it reads the lines that the game prints |

pub mod log;
pub mod port;
pub mod quake;
pub mod query;
pub mod rcon;
pub mod watch;

use crate::model::{
    game::{EventSource, Evidence, GameEvent},
    ids::RunNumber,
};
use futures_util::future::BoxFuture;
pub use log::{BadPattern, Log};
pub use query::protocols;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
pub use watch::{Watcher, check, start};

/// What was found out about a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub run: RunNumber,
    pub source: EventSource,
    pub observation: Observation,
}

/// Whether it is up, or what it says.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    Evidence(Evidence),
    GameEvent(GameEvent),
}

/// The run to watch.
#[derive(Debug, Clone)]
pub struct Target {
    pub run: RunNumber,
    /// Port numbers by name.
    pub ports: BTreeMap<String, u16>,
    /// The port that players connect to.
    pub port: String,
    /// The game's process, if known: its network namespace is looked into for bound ports.
    pub pid: Option<i32>,
}

/// Runs a command in the game's context (argv, timeout): its exit code and output, or why it couldn't be run.
pub type CommandRunner =
    Arc<dyn Fn(Vec<String>, Duration) -> BoxFuture<'static, Result<CommandOutput, String>> + Send + Sync>;

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// Exit code; 128 + signal for one that was killed.
    pub code: i32,
    pub output: String,
}
