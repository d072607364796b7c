//! What is remembered of the match, and what others know of it.

use crate::{
    core::{instance_outbox::InstanceOutbox, steady_time::SteadyTime, stop_sequence::StopSequence},
    model::{
        allocation::Allocation,
        game::{Admission, GameNotice},
        ids::{InstanceId, MatchId, SessionId},
        process::LaunchSpec,
        session::StartupParams,
        status::LastEnd,
        time::Timestamp,
    },
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The stage of the match, with what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MatchStage {
    Idle,
    Starting(Box<Match>),
    Serving(Box<Match>),
    Draining(Box<Match>, Drain),
    /// Without a match, a warm game is being stopped.
    Closing(Option<Box<Match>>, Closing),
}

impl MatchStage {
    /// The match, if there is one.
    pub(crate) fn game(&self) -> Option<&Match> {
        match self {
            MatchStage::Starting(game) | MatchStage::Serving(game) | MatchStage::Draining(game, _) => Some(game),
            MatchStage::Closing(game, _) => game.as_deref(),
            MatchStage::Idle => None,
        }
    }
}

/// One match: what is played in one session.
#[allow(clippy::struct_field_names, reason = "match_id is the Session API's word")]
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Match {
    pub allocation: Allocation,
    /// The session was made by us.
    pub own: bool,
    pub session: SessionId,
    pub instance: InstanceId,
    pub params: StartupParams,
    pub join_token: Option<String>,
    pub match_id: Option<MatchId>,
    pub begun: SteadyTime,
    pub first_joinable: Option<SteadyTime>,
    /// Whether the operator lets players in; counts before what the game says.
    pub operator_gate: Option<Admission>,
    /// How often its game was started again after a failure.
    pub restarts: u32,
}

impl Match {
    /// What the game is told of it.
    pub(crate) fn allocated(&self) -> GameNotice {
        GameNotice::Allocated {
            allocation: self.allocation.clone(),
            session_id: self.session.clone(),
            instance_id: self.instance.clone(),
            startup_params: self.params.clone(),
            join_token: self.join_token.clone(),
        }
    }

    /// After this, an allocation that has led to nothing is given back.
    pub(crate) fn expiry(&self) -> Option<SteadyTime> {
        self.allocation.expires.map(SteadyTime).filter(|_| self.first_joinable.is_none())
    }
}

/// A match that can begin, with what the game would be started with for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prepared {
    pub game: Match,
    pub spec: LaunchSpec,
    pub outbox: InstanceOutbox,
}

/// What follows the end of a match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AfterDrain {
    /// Ready for the next allocation.
    Recycle,
    /// The agent ends, as it was asked to.
    End,
    /// The agent ends, because it can't do its work.
    Fail { why: String },
}

/// No new players are let in; those who play may finish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Drain {
    pub reason: String,
    /// None: until it is empty, however long that takes.
    pub deadline: Option<SteadyTime>,
    pub then: AfterDrain,
    /// By when the stop sequence must have ended, if the host waits no longer.
    #[serde(default)]
    pub kill_by: Option<SteadyTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<SteadyTime>,
}

/// The process is being ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closing {
    pub reason: String,
    pub then: AfterDrain,
    #[serde(rename = "ladder")]
    pub sequence: StopSequence,
}

/// Everything that the journal remembers of the match.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MatchState {
    pub stage: MatchStage,
    /// Matches that were begun.
    pub matches: u64,
    pub last_end: Option<LastEnd>,
    /// Since when the phase is what it is.
    pub since: Timestamp,
}

impl MatchState {
    pub(crate) fn new(now: Timestamp) -> Self {
        MatchState { stage: MatchStage::Idle, matches: 0, last_end: None, since: now }
    }
}

/// What other machines know of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct MatchFacts {
    pub phase: MatchPhase,
    pub game: Option<Arc<Match>>,
    /// Why it drains, and until when.
    pub drain: Option<(String, Option<SteadyTime>)>,
    /// Since when.
    pub drain_begun: Option<SteadyTime>,
    /// Why it is closed, and the stop sequence.
    pub closing: Option<(String, StopSequence)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MatchPhase {
    #[default]
    Idle,
    Starting,
    Serving,
    Draining,
    Closing,
}
