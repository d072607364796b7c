//! What an agent and its keeper say to each other: orders one way, facts the other.
//!
//! [`KeeperOrder`] is on the wire as it stands (`docs/keeper-protocol.md`): additive changes only.

use super::{
    ids::{KeeperId, RunNumber},
    process::{ExitReport, ExitStatus, FallbackPolicy, KeeperHello, LaunchSpec, OutputFrom, ProcessStats},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// An order to the keeper: one type for the core that decides it, the client that sends it, the wire, and
/// the keeper that carries it out. The client gives `hello`, `output`, `listeners`, `gateway`, `exec` and `stop` by
/// itself; the core gives the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "op")]
pub enum KeeperOrder {
    /// First of all. An observer takes nothing over: it may only look, and `stop`.
    Hello {
        versions: Vec<u32>,
        #[serde(default)]
        observe: bool,
        /// The epoch that this agent held when its connection broke; lower than the keeper's = superseded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
    },
    /// Idempotent per run number.
    Start { run: RunNumber, spec: Box<LaunchSpec> },
    /// To the game's first process group; harmless when the run has ended.
    Signal { run: RunNumber, signal: i32 },
    /// SIGKILL to everything of the run.
    Kill { run: RunNumber },
    /// A line for the game's console.
    Stdin { run: RunNumber, line: String },
    /// The exit report is in the agent's journal: the keeper may forget it.
    ExitTaken { run: RunNumber },
    /// The adoption record: at most 64 KiB, opaque to the keeper.
    Record { text: String },
    /// What the keeper does when it has to stop the game and no agent is connected.
    #[serde(rename = "standing")]
    Fallback {
        #[serde(rename = "orders")]
        policy: FallbackPolicy,
    },
    /// Whether lines of output are forwarded. `kept`: a line that is in the log isn't sent; instead it is said that there is more.
    Output {
        on: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        kept: bool,
    },
    /// Asks for [`ProcessStats`]; the core does so every few seconds while a run lives.
    Stats,
    /// Bind what isn't held yet, and pass them all, in this order, with the answer.
    Listeners { want: Vec<ListenerSpec> },
    /// Introduces the giver to the SDK gateway, which is started if there is none; answered with the giver's end of a socket pair.
    Gateway,
    /// A probe: runs in the game's context, never longer than `timeout_ms`.
    Exec { argv: Vec<String>, timeout_ms: u64 },
    /// After an orderly end: the keeper exits 0.
    Shutdown,
    /// As SIGTERM to the keeper; the only order that an observer may give. `now`: a stop sequence that is under way takes its
    /// next step at once; without it, to ask again changes nothing.
    Stop {
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        now: bool,
    },
}

impl KeeperOrder {
    /// The word on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            KeeperOrder::Hello { .. } => "hello",
            KeeperOrder::Start { .. } => "start",
            KeeperOrder::Signal { .. } => "signal",
            KeeperOrder::Kill { .. } => "kill",
            KeeperOrder::Stdin { .. } => "stdin",
            KeeperOrder::ExitTaken { .. } => "exit-taken",
            KeeperOrder::Record { .. } => "record",
            KeeperOrder::Fallback { .. } => "standing",
            KeeperOrder::Output { .. } => "output",
            KeeperOrder::Stats => "stats",
            KeeperOrder::Listeners { .. } => "listeners",
            KeeperOrder::Gateway => "gateway",
            KeeperOrder::Exec { .. } => "exec",
            KeeperOrder::Shutdown => "shutdown",
            KeeperOrder::Stop { .. } => "stop",
        }
    }
}

/// What the keeper forwards of the game's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forward {
    #[default]
    Nothing,
    /// That the log has more, and the lines that it could not take. An older keeper sends all lines.
    News,
    /// All lines, for an agent that can't read the log.
    Lines,
}

impl Forward {
    /// As [`KeeperOrder::Output`] says it.
    pub fn ordered(on: bool, kept: bool) -> Forward {
        match (on, kept) {
            (false, _) => Forward::Nothing,
            (true, false) => Forward::Lines,
            (true, true) => Forward::News,
        }
    }

    pub fn order(self) -> KeeperOrder {
        KeeperOrder::Output { on: self != Forward::Nothing, kept: self == Forward::News }
    }
}

/// A listening socket to be held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerSpec {
    pub name: String,
    pub address: ListenerAddress,
    /// Where the port is taken by somebody else, any free one will do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub or_any: bool,
}

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListenerAddress {
    /// Port 0 = any free one, which then stays.
    Tcp(SocketAddr),
    /// Bound; datagrams wait in it while no agent reads.
    Udp(SocketAddr),
    /// Path and permission bits. A left-over socket is unlinked.
    Unix(PathBuf, u32),
}

/// An exit report that outlived its keeper.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftReport {
    pub keeper: KeeperId,
    pub report: ExitReport,
}

/// A fact from the keeper, or about it.
#[derive(Debug, Clone, PartialEq)]
pub enum KeeperFact {
    Connected(Box<KeeperHello>),
    /// Said once for each reason, not with every attempt.
    Away {
        why: String,
    },
    /// No keeper lives, and none could be started or is expected: nothing of a run lives either. Said once between two connections.
    Gone {
        /// The end that the last keeper has left on the disk.
        left: Option<Box<LeftReport>>,
    },
    Started {
        run: RunNumber,
        pid: i32,
        started: Timestamp,
        /// Where its output begins; an older keeper doesn't say.
        output_from: Option<OutputFrom>,
    },
    /// The first process has ended with this status, and so many others of the run live on: they are being stopped.
    LeftBehind {
        run: RunNumber,
        status: ExitStatus,
        left: u32,
    },
    /// The keeper refused to start this run, or the order couldn't be given.
    StartRefused {
        run: RunNumber,
        why: String,
    },
    /// A run ended and its containment is empty; also `spawn-failed`.
    Exited(ExitReport),
    Unkillable {
        run: RunNumber,
        left: u32,
    },
    /// The keeper was told to stop (a pod's SIGTERM goes to it first).
    StopRequested,
    /// Another agent took over with a higher epoch: end at once, publish nothing. The last fact of all.
    Superseded,
    /// No common wire version; the match is kept. The last fact of all.
    Incompatible {
        why: String,
    },
    Stats(ProcessStats),
    /// The gateway ended, and wasn't told to. `run`: the live run that it served, if it did.
    GatewayEnded {
        run: Option<RunNumber>,
        status: String,
    },
}
