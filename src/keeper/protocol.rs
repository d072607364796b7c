//! What agent and keeper say to each other: one JSON object a line, over a unix stream socket.
//!
//! ```text
//!   agent ──► keeper   {"id":7,"op":"start","run":3,"spec":{…}}
//!   keeper ──► agent   {"re":7,"event":"done"}                 the order was accepted
//!                      {"re":7,"event":"refused","order":"start","why":"…"}
//!                      {"event":"started","run":3,…}           a fact, whenever it happens
//! ```
//!
//! Invariants:
//! - The first line of a connection is `hello`, either way.
//! - Additive: a released field or word never changes its meaning. A reader ignores fields that it
//!   doesn't know; a keeper refuses an `op` that it doesn't know and goes on; an agent ignores an
//!   unknown `event`.
//! - Every order gets exactly one answer that carries its id, as long as the connection lives.
//!
//! `docs/keeper-protocol.md` is the same for people who write an agent of their own.

pub use crate::model::keeper::{KeeperOrder as Order, ListenerAddress, ListenerSpec};
use crate::model::{
    ids::RunNumber,
    process::{ExitReport, ExitStatus, KeeperHello, OutputFrom, ProcessStats},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{fs::Metadata, os::unix::fs::MetadataExt as _, time::UNIX_EPOCH};

/// The wire versions that this code speaks, newest first.
pub const VERSIONS: &[u32] = &[1];
/// The longest line that an agent may send, in bytes: an escaped record or file fits in.
pub const MAX_ORDER_BYTES: usize = 1024 * 1024;
/// The largest adoption record, in bytes.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;
/// The largest `LaunchSpec.file`, in bytes.
pub const MAX_FILE_BYTES: usize = 256 * 1024;
/// How much of a command's output `exec` returns, in bytes.
pub const MAX_EXEC_OUTPUT: usize = 64 * 1024;
/// The most listening sockets that a keeper holds.
pub const MAX_LISTENERS: usize = 16;

/// The names of lock, socket and the keeper's own files, all below the agent's state directory.
pub mod names {
    pub const LOCK: &str = "keeper.lock";
    pub const SOCKET: &str = "keeper.sock";
    /// Epoch, exit report, the keeper's own log.
    pub const STORE: &str = "keeper";
    /// The game's output, rotated: `game.log`, `game.log.1`, ….
    pub const LOGS: &str = "logs";
    pub const LOG: &str = "game.log";
    /// The name of one of these files; the newest has the number 0.
    pub fn log(number: u32) -> String {
        if number == 0 { LOG.to_owned() } else { format!("{LOG}.{number}") }
    }
    /// What the game may read and never write.
    pub const GAME: &str = "game";
}

/// A place in a log, as keeper and agent both know it again.
pub(crate) fn place_in(file: &Metadata, offset: u64) -> OutputFrom {
    let born = file.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    OutputFrom { inode: file.ino(), offset, born: born.and_then(|age| u64::try_from(age.as_nanos()).ok()) }
}

/// A line from agent to keeper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Comes back as `re` in the answer.
    pub id: u64,
    #[serde(flatten)]
    pub order: Order,
}

/// A line from keeper to agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The order that this answers; none = a fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub re: Option<u64>,
    #[serde(flatten)]
    pub event: Event,
}

/// What the keeper says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    Hello {
        version: u32,
        #[serde(flatten)]
        hello: Box<KeeperHello>,
    },
    /// No common version; the connection is closed, the match goes on.
    Incompatible {
        versions: Vec<u32>,
    },
    Done,
    Refused {
        order: String,
        why: String,
    },
    /// A newer controller has taken over; the connection is closed.
    Superseded,
    Started {
        run: RunNumber,
        pid: i32,
        started: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_from: Option<OutputFrom>,
    },
    /// The first process has ended, others of the run live on and are being stopped.
    LeftBehind {
        run: RunNumber,
        status: ExitStatus,
        left: u32,
    },
    Exited {
        report: ExitReport,
    },
    Unkillable {
        run: RunNumber,
        left: u32,
    },
    StopRequested,
    Stats {
        /// None while nothing runs.
        #[serde(default)]
        stats: Option<ProcessStats>,
        #[serde(default)]
        losses: Losses,
    },
    Output {
        run: RunNumber,
        stream: Stream,
        line: String,
        /// The log could not take it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        lost: bool,
    },
    /// The log has more of this run's output than when this was said last.
    OutputKept {
        run: RunNumber,
    },
    /// Their descriptors come with this line's first byte.
    Listeners {
        names: Vec<String>,
    },
    /// The agent's end of the socket pair to the gateway comes with this line's first byte.
    Gateway {
        pid: i32,
    },
    /// The gateway ended, and wasn't told to. `run`: the live run that it served, if it did.
    GatewayEnded {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<RunNumber>,
        status: String,
    },
    Exec {
        result: ExecResult,
    },
}

/// Output that was lost, since the keeper started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Losses {
    /// Bytes that the log could not take (disk full).
    pub log_bytes: u64,
    /// Lines that the agent was too slow for.
    pub lines: u64,
}

/// Which of the game's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    Stdout,
    Stderr,
}

/// How a probe's command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecResult {
    pub status: ExecStatus,
    /// Both streams, lossy UTF-8, at most [`MAX_EXEC_OUTPUT`] bytes.
    pub output: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecStatus {
    Exited(i32),
    Signaled(i32),
    /// It took too long and was killed.
    TimedOut,
    NotStarted(String),
}

impl ExecStatus {
    pub fn is_success(&self) -> bool {
        matches!(self, ExecStatus::Exited(0))
    }
}

/// The keeper's exit codes. `systemd/gameside-keeper@.service` and the scripts go by them.
pub mod exit {
    /// The agent ordered the shutdown after an orderly end.
    pub const ORDERLY: u8 = 0;
    /// It could not start, or lost what it can't work without; the reason is on stderr.
    pub const TROUBLE: u8 = 1;
    /// A bad command line or file.
    pub const USAGE: u8 = 2;
    /// Another keeper holds the lock.
    pub const LOCKED: u8 = 3;
    /// It was told to stop, or was without an agent for too long, and carried out the fallback policy.
    pub const ORPHANED: u8 = 4;
    /// Processes could not be killed.
    pub const UNKILLABLE: u8 = 5;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_lines_stay_readable() {
        let start = r#"{"id":7,"op":"start","run":3,"spec":{"argv":["./game"]},"added_later":1}"#;
        let request: Request = serde_json::from_str(start).unwrap();
        assert_eq!(request.id, 7);
        assert!(matches!(request.order, Order::Start { run: RunNumber(3), .. }));
        let hello: Request = serde_json::from_str(r#"{"id":0,"op":"hello","versions":[1]}"#).unwrap();
        assert_eq!(hello.order, Order::Hello { versions: vec![1], observe: false, epoch: None });
        let stats: Reply = serde_json::from_str(r#"{"re":9,"event":"stats"}"#).unwrap();
        assert_eq!(stats.event, Event::Stats { stats: None, losses: Losses::default() });
    }

    #[test]
    fn an_order_is_one_line() {
        let request = Request { id: 1, order: Order::Stdin { run: RunNumber(1), line: "a\nb".into() } };
        let line = serde_json::to_string(&request).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
    }

    #[test]
    fn an_unknown_op_is_an_error_and_not_something_else() {
        assert!(serde_json::from_str::<Request>(r#"{"id":1,"op":"levitate"}"#).is_err());
    }
}
