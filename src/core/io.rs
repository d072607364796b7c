//! What goes into the core and what comes out.

use super::{durable::bulk_named_in, settings::Settings};
use crate::model::{
    allocation::Allocation,
    calls::{Answer, Backend, Call, CallId, Refusal},
    game::{Counted, EventSource, Evidence, GameBatch, GameEvent, GameNotice},
    gateway_facts::GatewayFact,
    ids::RunNumber,
    keeper::{KeeperFact, KeeperOrder},
    ordered::Ports,
    orders::{Accepted, Order, Refused, RequestId},
    process::{ExitReport, OutputRead},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What the agent's last life has left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SavedState {
    /// There was none: a new state directory.
    Fresh,
    /// What the last [`Effect::Commit`] wrote that reached the disk.
    Journal(Saved),
    /// There was one, but it can't be used: damaged, or set aside after three crashes in replay. The keeper's record
    /// counts. `text`: what it said, if that can be read; only what it owes to sessions is taken from there.
    SetAside { why: String, text: Option<String> },
}

/// The durable state as it is written: a text, and the bulk that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    pub text: String,
    pub bulk: Option<Bulk>,
}

/// What of the durable state is large and seldom changes. It is written down before the first text that refers to it, and
/// once. The id is never that of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bulk {
    pub id: u64,
    pub text: Arc<str>,
}

impl Saved {
    /// The bulk that a text refers to.
    pub fn bulk_named_in(text: &str) -> Option<u64> {
        bulk_named_in(text)
    }
}

impl From<String> for Saved {
    fn from(text: String) -> Self {
        Saved { text, bulk: None }
    }
}

/// A fact from an edge.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Keeper(KeeperFact),
    Journal(JournalFact),
    /// The game said something; `run` is the run whose token or socket it used.
    GameEvent {
        run: RunNumber,
        source: EventSource,
        event: GameEvent,
    },
    /// The game said several things through its SDK gateway: all are applied, or, if the batch was applied before, none.
    /// It may be acknowledged, also where it was passed over, once the state is on disk ([`super::Core::written`]).
    GameBatch(GameBatch),
    /// Heartbeats that were counted since the last time. `answer`: to [`Effect::CountHeartbeats`]. Otherwise it is news
    /// that nobody asked for: the first ones that this agent is told of, or any while the game isn't healthy.
    HeartbeatsCounted {
        run: RunNumber,
        counted: Vec<Counted>,
        answer: bool,
    },
    /// The SDK gateway came, went, or has delivered what it owed.
    Gateway(GatewayFact),
    /// A probe or log pattern found out whether the game is up.
    Evidence {
        run: RunNumber,
        source: EventSource,
        evidence: Evidence,
    },
    /// A line of the game's output that means something, or the place where its output begins. `read`: what lies before it has
    /// been looked at, too; remembered together with what the line changes, so that none counts twice and none is passed over.
    Output {
        run: RunNumber,
        read: Option<OutputRead>,
        evidence: Vec<Evidence>,
        events: Vec<GameEvent>,
    },
    /// Which build of the game this run is of.
    Build {
        run: RunNumber,
        build: String,
    },
    /// The provider allocated us. For a hook, see [`Order::Allocate`].
    Allocated(Allocation),
    /// The provider took an allocation back.
    Deallocated {
        allocation: crate::model::ids::AllocationId,
    },
    /// The provider's registration changed.
    Registered {
        registered: bool,
        trouble: Option<String>,
    },
    Answered {
        call: CallId,
        answer: Result<Answer, Refusal>,
    },
    Backend(Backend),
    Ordered {
        request: RequestId,
        order: Order,
    },
    /// SIGTERM or SIGINT: drain and end. A second one hastens: straight to the stop sequence.
    Terminate,
    /// Other ports than before are reserved for the game; while none of ours runs.
    Ports(Ports),
    /// A reload that was accepted.
    Reloaded(Box<Settings>),
    /// The machine slept, or the driver was late, for this long: nothing that should have come meanwhile counts as missed.
    Gap(Duration),
    /// A deadline may have passed.
    Tick,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalFact {
    Committed { seq: u64 },
    Failed { seq: u64, why: String },
}

/// A decision to carry out.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write this to the journal; answer with [`JournalFact`]. `text` is the whole durable state, as JSON, but for what lies in
    /// `bulk`.
    Commit {
        seq: u64,
        text: String,
        bulk: Option<Bulk>,
    },
    Keeper(KeeperOrder),
    Call {
        id: CallId,
        call: Call,
    },
    Availability(Availability),
    Notify {
        run: RunNumber,
        notice: GameNotice,
    },
    Watch(Watch),
    /// A deadline of this run's heartbeats has come: how many were there since the last time? The answer is
    /// [`Input::HeartbeatsCounted`]; nothing is judged before it.
    CountHeartbeats {
        run: RunNumber,
    },
    /// Ask this run through its remote console to end. Where it has none, what its SDK was told must do.
    AskToQuit {
        run: RunNumber,
    },
    Reply {
        request: RequestId,
        reply: Result<Accepted, Refused>,
    },
    Timeline(TimelineEvent),
    /// Run the `on_exit` hook with this.
    ExitHook {
        report: ExitReport,
        reason: String,
    },
    /// The agent ends now; what was to be on disk is there.
    End(Ending),
}

/// What the provider is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// Free for an allocation; `warm_map` = the map of a game that is already up. `term` counts up with every match, so
    /// that a provider that only sees the latest offer still notices a new one.
    Free {
        term: u64,
        warm_map: Option<String>,
        version: Option<semver::Version>,
    },
    Unavailable,
}

/// What probes and log patterns are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// `output`: how far the run's output was read before, as far as that is known.
    Run {
        run: RunNumber,
        ports: Ports,
        output: Option<OutputRead>,
    },
    Nothing,
}

/// Something a person wants to see in the timeline; the driver adds number and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEvent {
    pub kind: &'static str,
    pub text: String,
    pub fields: BTreeMap<String, String>,
}

/// Why the agent ends. Every one has an exit code (`cli::exit`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Drained or stopped as asked, `closed` delivered or journalled, keeper shut down.
    Orderly { reason: String },
    /// The same, but the session service was not told in time that so many sessions have lost their instance. The next
    /// agent of this name tells it.
    Undelivered { reason: String, sessions: usize },
    /// Let go on request; the game lives on. `restart`: the supervisor shall start a new agent.
    Detached { restart: bool },
    /// Another agent has the keeper.
    Superseded,
    /// The game crashed too often, or can't be started at all.
    Failed { why: String },
    /// The game was to end, and its keeper doesn't answer: nobody knows what has become of it. The next agent goes on.
    KeeperSilent,
    /// Processes can't be killed.
    Unkillable,
    /// The keeper speaks no version that this agent knows; the match is kept.
    Incompatible { why: String },
}
