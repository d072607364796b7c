//! What the core remembers: the whole of it is the journal's text.
//!
//! | part | is |
//! |---|---|
//! | [`Phase`] | where the match stands, with its data |
//! | [`Process`] | where the game's process stands: one at a time |
//! | [`Lane`]s | what the session service is still owed |
//! | [`Failures`] | the crash book, across matches |
//!
//! Additive changes only: a newer agent reads an older one's journal, and the keeper's record is the same text.

use super::{clock::When, ladder::Ladder, mint::Backoff, players::Roster, publish::Lane};
use crate::model::{
    CustomData,
    allocation::Allocation,
    game::{Admission, CustomDataOf, EventSource, Kept},
    ids::{AllocationId, InstanceId, KeeperId, MatchId, RunNumber, SessionId},
    process::LaunchSpec,
    session::StartupParams,
    status::{LastEnd, PhaseName},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The format of the text. A reader refuses a higher one.
pub const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Durable {
    pub format: u32,
    /// The keeper that was last met.
    pub keeper: Option<KeeperId>,
    /// The highest run number that was ever intended.
    pub last_run: u64,
    /// Counts matches, for the provider's offers.
    pub term: u64,
    pub phase: Phase,
    /// Matches that were begun.
    #[serde(default)]
    pub matches: u64,
    pub since: Timestamp,
    pub process: Process,
    pub lanes: Vec<Lane>,
    #[serde(default)]
    pub failures: Failures,
    /// The last allocation and what was answered: a repeated request gets it again.
    #[serde(default)]
    pub answered: Option<Answered>,
    #[serde(default)]
    pub last_end: Option<LastEnd>,
}

impl Durable {
    pub fn new(now: Timestamp) -> Self {
        Durable {
            format: FORMAT,
            keeper: None,
            last_run: 0,
            term: 0,
            phase: Phase::Idle,
            matches: 0,
            since: now,
            process: Process::Off,
            lanes: Vec::new(),
            failures: Failures::default(),
            answered: None,
            last_end: None,
        }
    }

    pub fn read(text: &str) -> Result<Self, String> {
        let state: Durable = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if state.format > FORMAT {
            return Err(format!(
                "it has format {}, written by a newer version; this one reads up to {FORMAT}",
                state.format
            ));
        }
        Ok(state)
    }
}

/// An allocation that was accepted, and with what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    pub allocation: AllocationId,
    pub session: SessionId,
    pub instance: InstanceId,
}

/// Where the match stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Idle,
    /// An allocation is in hand, its session isn't yet.
    Acquiring(Box<Acquiring>),
    Starting(Box<Match>),
    Serving(Box<Match>),
    Draining(Box<Match>, Drain),
    /// With no match: a warm game is stopped.
    Closing(Option<Box<Match>>, Closing),
    /// The last reports are waited for, a moment; then the agent ends.
    Leaving(Leaving),
}

impl Phase {
    pub fn name(&self) -> PhaseName {
        match self {
            Phase::Idle => PhaseName::Idle,
            Phase::Acquiring(_) | Phase::Starting(_) => PhaseName::Starting,
            Phase::Serving(_) => PhaseName::Serving,
            Phase::Draining(..) => PhaseName::Draining,
            Phase::Closing(..) | Phase::Leaving(_) => PhaseName::Closing,
        }
    }

    pub fn game(&self) -> Option<&Match> {
        match self {
            Phase::Starting(game) | Phase::Serving(game) | Phase::Draining(game, _) => Some(game),
            Phase::Closing(game, _) => game.as_deref(),
            Phase::Idle | Phase::Acquiring(_) | Phase::Leaving(_) => None,
        }
    }

    pub fn game_mut(&mut self) -> Option<&mut Match> {
        match self {
            Phase::Starting(game) | Phase::Serving(game) | Phase::Draining(game, _) => Some(game),
            Phase::Closing(game, _) => game.as_deref_mut(),
            Phase::Idle | Phase::Acquiring(_) | Phase::Leaving(_) => None,
        }
    }

    /// Leaves `Idle` behind.
    pub fn take_game(&mut self) -> Option<Box<Match>> {
        match std::mem::replace(self, Phase::Idle) {
            Phase::Starting(game) | Phase::Serving(game) | Phase::Draining(game, _) => Some(game),
            Phase::Closing(game, _) => game,
            Phase::Idle | Phase::Acquiring(_) | Phase::Leaving(_) => None,
        }
    }
}

/// What follows the end of a match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Ready for the next allocation.
    Recycle,
    /// The agent ends, as it was asked to.
    End,
    /// The agent ends, because it can't do its work.
    Fail { why: String },
}

/// On the way to a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Acquiring {
    pub allocation: Allocation,
    pub how: Acquire,
    /// When it is given up; none: never.
    pub until: Option<When>,
    pub retry: Backoff,
}

/// How the session is come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acquire {
    /// Make an own one.
    Create,
    /// Wait until one shows the allocation's id.
    Find,
    /// It was named.
    Read,
}

/// One match: a term in one session.
#[allow(clippy::struct_field_names, reason = "match_id is the Session API's word")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Match {
    pub allocation: Allocation,
    /// The session was made by us.
    pub own: bool,
    pub session: SessionId,
    pub instance: InstanceId,
    pub params: StartupParams,
    #[serde(default)]
    pub join_token: Option<String>,
    #[serde(default)]
    pub match_id: Option<MatchId>,
    pub begun: When,
    #[serde(default)]
    pub first_joinable: Option<When>,
    /// The operator's word on the gate; overrides the game's.
    #[serde(default)]
    pub operator_gate: Option<Admission>,
    /// Starts after a failure.
    #[serde(default)]
    pub restarts: u32,
    #[serde(default)]
    pub link: Link,
}

/// How the match is tied to its session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    #[default]
    Held,
    /// `session_not_found` was answered; it isn't confirmed yet.
    Doubtful { first: When, last: When, answers: u32 },
    /// A new session is being made for the match.
    Recreating,
    /// The session is gone; the match plays on.
    Gone,
}

/// Players may finish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    pub reason: String,
    /// None: until it is empty, however long that takes.
    pub deadline: Option<When>,
    pub then: Then,
    /// By when the ladder must have ended, if the host waits no longer.
    #[serde(default)]
    pub kill_by: Option<When>,
}

/// The process is being ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    pub reason: String,
    pub then: Then,
    pub ladder: Ladder,
}

/// The match is over and the agent about to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    pub reason: String,
    pub then: Then,
    /// How long undelivered reports are waited for.
    pub until: When,
}

/// Where the game's process stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Process {
    Off,
    /// Started again, but not before this.
    Delayed {
        until: When,
        after: RunNumber,
        /// We ended that run: its own word for its end counts no more.
        #[serde(default)]
        stopped: bool,
    },
    /// Intended; the keeper has not said that it runs.
    Intended(Box<Run>),
    Up(Box<Run>),
    /// Didn't get ready in time, or is to be replaced: the ladder runs, then the restart policy decides.
    Failing(Box<Run>, Ladder, String),
    Unkillable {
        run: RunNumber,
        left: u32,
    },
}

impl Process {
    pub fn run(&self) -> Option<&Run> {
        match self {
            Process::Intended(run) | Process::Up(run) | Process::Failing(run, ..) => Some(run),
            Process::Off | Process::Delayed { .. } | Process::Unkillable { .. } => None,
        }
    }

    pub fn run_mut(&mut self) -> Option<&mut Run> {
        match self {
            Process::Intended(run) | Process::Up(run) | Process::Failing(run, ..) => Some(run),
            Process::Off | Process::Delayed { .. } | Process::Unkillable { .. } => None,
        }
    }
}

/// One run of the game, and what it said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub number: RunNumber,
    /// None: adopted without a record that says.
    pub spec: Option<LaunchSpec>,
    pub pid: Option<i32>,
    pub started: Option<Timestamp>,
    /// Since when the process is known to run.
    pub up: Option<When>,
    /// A start that takes longer has failed.
    pub ready_by: Option<When>,
    pub ready: Option<When>,
    /// How it was proved ready before the keeper said that it runs: the two come by different ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<String>,
    /// It said `Shutdown`: however it ends, the end is orderly.
    #[serde(default)]
    pub orderly: bool,
    pub gate: Admission,
    /// Matches that it served to their end.
    #[serde(default)]
    pub served: u32,
    #[serde(default)]
    pub roster: Roster,
    #[serde(default)]
    pub custom: BTreeMap<CustomDataOf, CustomData>,
    #[serde(default)]
    pub version: Option<semver::Version>,
    #[serde(default)]
    pub map: Option<String>,
    #[serde(default)]
    pub mode: Option<String>,
    #[serde(default)]
    pub speaks: BTreeSet<EventSource>,
    #[serde(default)]
    pub sdk: Option<String>,
    /// It holds itself back from being allocated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
    /// It has sent a ping of an SDK whose games send them for as long as they live.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub promises_pings: bool,
    /// Its SDK promised pings and sends none.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pings_stopped: bool,
    /// What the frontends remember of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<EventSource, Kept>,
}

impl Run {
    pub fn new(number: RunNumber, spec: Option<LaunchSpec>) -> Self {
        Run {
            number,
            spec,
            pid: None,
            started: None,
            up: None,
            ready_by: None,
            ready: None,
            proved: None,
            orderly: false,
            gate: Admission::Open,
            served: 0,
            roster: Roster::default(),
            custom: BTreeMap::new(),
            version: None,
            map: None,
            mode: None,
            speaks: BTreeSet::new(),
            sdk: None,
            withheld: false,
            promises_pings: false,
            pings_stopped: false,
            kept: BTreeMap::new(),
        }
    }

    pub fn speaks_an_sdk(&self) -> bool {
        self.speaks.iter().any(|door| match door {
            EventSource::Native | EventSource::Agones | EventSource::Gsdk => true,
            EventSource::Probe | EventSource::Log => false,
        })
    }
}

/// The crash book.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failures {
    /// When, the oldest first; only those within the window.
    pub times: Vec<When>,
    pub backoff: Backoff,
    /// No match is begun before this.
    pub rest_until: Option<When>,
}
