//! What the machines know of each other: values, each with one writer.
//!
//! | fact | written by |
//! |---|---|
//! | `now`, `wall`, `settings`, `addresses` | the wiring, from the input |
//! | every other | the machine of that name |
//!
//! A machine reads them and never another machine. What follows from several facts is a method
//! here.

use super::{
    allocation::AllocationFacts,
    desired_state::Addresses,
    ending::EndingFacts,
    game_match::{Match, MatchFacts, MatchPhase},
    game_words::Words,
    gateway_link::GatewayFacts,
    health::HealthFacts,
    journal::JournalFacts,
    keeper_link::KeeperFacts,
    outbox::OutboxFacts,
    process::{ProcessFacts, ProcessStatus},
    roster::{self, Roster},
    session::{SessionFacts, SessionLink},
    settings::Settings,
    steady_time::{SteadyTime, earliest},
};
use crate::model::{
    game::Admission,
    ids::InstanceId,
    policy::{GameKind, Restart, RestartWhen, WhenUnhealthy},
    session::JoinStatus,
    status::PhaseName,
    time::Timestamp,
};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Facts {
    /// Of the input being taken.
    pub now: SteadyTime,
    pub wall: Timestamp,
    pub settings: Settings,
    pub addresses: Addresses,
    pub game: MatchFacts,
    pub process: ProcessFacts,
    pub words: Arc<Words>,
    pub gateway: GatewayFacts,
    pub players: Arc<Roster>,
    pub keeper: KeeperFacts,
    pub session: SessionFacts,
    pub outbox: OutboxFacts,
    pub health: HealthFacts,
    pub allocation: AllocationFacts,
    pub ending: EndingFacts,
    pub journal: JournalFacts,
}

/// What the agent is doing: the stage of the match, and around it the allocation and the ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    /// An allocation was taken; its session isn't known yet.
    Acquiring,
    Starting,
    Serving,
    Draining,
    Closing,
    /// The last reports are waited for, a moment; then the agent ends.
    FinalReports,
}

impl Phase {
    pub(super) fn name(self) -> PhaseName {
        match self {
            Phase::Idle => PhaseName::Idle,
            Phase::Acquiring | Phase::Starting => PhaseName::Starting,
            Phase::Serving => PhaseName::Serving,
            Phase::Draining => PhaseName::Draining,
            Phase::Closing | Phase::FinalReports => PhaseName::Closing,
        }
    }
}

impl Facts {
    pub(super) fn phase(&self) -> Phase {
        match self.game.phase {
            MatchPhase::Idle if self.ending.final_reports => Phase::FinalReports,
            MatchPhase::Idle if self.allocation.acquiring.is_some() => Phase::Acquiring,
            MatchPhase::Idle => Phase::Idle,
            MatchPhase::Starting => Phase::Starting,
            MatchPhase::Serving => Phase::Serving,
            MatchPhase::Draining => Phase::Draining,
            MatchPhase::Closing => Phase::Closing,
        }
    }

    /// It is the instance of the match.
    pub(super) fn is_current(&self, instance: &InstanceId) -> bool {
        self.game.game.as_ref().is_some_and(|game| game.instance == *instance)
    }

    /// The match, if its session can be written to: the instance is posted and isn't being closed.
    pub(super) fn linked(&self) -> Option<&Match> {
        let game = self.game.game.as_deref().filter(|_| self.keeper.met)?;
        let posted = self.outbox.of(&game.instance).is_some_and(|outbox| outbox.posted && !outbox.closing);
        let held = matches!(self.session.link, SessionLink::Held | SessionLink::Doubtful { .. });
        (posted && held).then_some(game)
    }

    /// When a game that ended by itself is started again. A world that has been up once is, after every end.
    pub(super) fn restart_policy(&self) -> Restart {
        let policy = &self.settings.restart;
        if self.goes_on_for_ever() {
            return Restart { when: RestartWhen::Always, budget: 0, ..policy.clone() };
        }
        policy.clone()
    }

    /// A world that has been up is started again whatever happens.
    pub(super) fn goes_on_for_ever(&self) -> bool {
        let was_up = self.game.game.as_ref().is_some_and(|game| game.first_joinable.is_some());
        self.settings.kind == GameKind::World && was_up && self.settings.restart.when != RestartWhen::Never
    }

    /// When a drain ends that lets players go on until `deadline`: earlier, where nobody knows whether there are any. The
    /// session's members may well be players.
    pub(super) fn drain_ends(&self, deadline: Option<SteadyTime>, begun: Option<SteadyTime>) -> Option<SteadyTime> {
        let unknown = self.players.headcount.is_unknown() && self.members().unwrap_or(0) == 0;
        let patience = self.settings.drain.unknown_players.get();
        earliest([deadline, begun.filter(|_| unknown).map(|begun| begun + patience)])
    }

    /// How many members the match's session has, as it was read last.
    pub(super) fn members(&self) -> Option<u32> {
        let session = &self.game.game.as_ref()?.session;
        let reading = self.session.reading.as_deref().filter(|reading| reading.session_id == *session)?;
        Some(reading.teams.iter().map(roster::active).sum())
    }

    /// Whether new players are let in: as the operator says, else as the game does; bad health closes the gate where
    /// that is configured.
    pub(super) fn gate(&self, game: &Match) -> Admission {
        let said = if self.process.run.is_some() { self.words.gate } else { Admission::Closed };
        let ill = self.health.is_bad && self.settings.health.when_unhealthy == WhenUnhealthy::Unjoinable;
        match game.operator_gate.unwrap_or(said) {
            Admission::Open if ill => Admission::Closed,
            gate @ (Admission::Open | Admission::Closed) => gate,
        }
    }

    /// What the session should show.
    pub(super) fn join_status(&self) -> Option<JoinStatus> {
        let game = self.game.game.as_deref()?;
        match self.game.phase {
            MatchPhase::Idle => None,
            MatchPhase::Starting => Some(JoinStatus::Pending),
            MatchPhase::Serving => Some(match self.gate(game) {
                Admission::Open => JoinStatus::Joinable,
                Admission::Closed => JoinStatus::Unjoinable,
            }),
            MatchPhase::Draining | MatchPhase::Closing => Some(JoinStatus::Unjoinable),
        }
    }

    /// The process is fit for another match.
    pub(super) fn may_serve_again(&self) -> bool {
        let (policy, process) = (&self.settings.recycle, &self.process);
        let young = policy.after.is_none_or(|age| process.up.is_some_and(|up| self.now.since(up) < age.get()));
        let small = policy.memory.is_none_or(|limit| process.memory.is_none_or(|memory| memory < limit.0));
        let fresh = policy.after_matches == 0 || process.served + 1 < policy.after_matches;
        let well = !self.words.announced_end && !self.health.is_bad;
        process.state == ProcessStatus::Up && process.ready.is_some() && young && small && fresh && well
    }

    /// Nothing stands in the way of a start.
    pub(super) fn may_start(&self) -> bool {
        let ending = self.ending.shutting_down || self.ending.exiting;
        self.keeper.connected && !ending && !self.keeper.runs_unexplained()
    }
}
