//! The match from its beginning to its end.
//!
//! | phase | join_status shown | leaves when |
//! |---|---|---|
//! | `Idle` (game off, or warm) | – | a match is prepared → `Starting`; asked to end → `Closing`, or the final reports |
//! | `Starting` | `pending` | readiness proved → `Serving`; exit or time-out → again, or the match is closed |
//! | `Serving` | `joinable`, `unjoinable` | exit → `Starting`, or closed; drain → `Draining`; stop → `Closing` |
//! | `Draining` | `unjoinable` | empty, or the deadline → `Closing`; exit → the match is closed |
//! | `Closing` (stop sequence) | `unjoinable` | the containment is empty → the match is closed |
//!
//! *The match is closed*: `closed` goes into its outbox, in the same commit as the end of the run;
//! then `Idle` again, or the agent's final reports. A game that may serve another match stays up,
//! and `Closing` is passed over.
//!
//! | file | holds |
//! |---|---|
//! | this one | the phases, and what happens in each |
//! | [`begin`] | the beginning: until players are let in |
//! | [`drain`] | ways out: drain, stop, time limits |
//! | [`close`] | the end: the stop sequence, the last report, and what follows |
//! | [`run_end`] | what follows the end of a run |
//! | [`state`] | what is remembered of the match, and what others know of it |

mod begin;
mod close;
mod drain;
mod run_end;
mod state;

pub(super) use begin::values;
pub(super) use state::{AfterDrain, Closing, Drain, Match, MatchFacts, MatchPhase, MatchStage, MatchState, Prepared};

use super::{
    decisions::Decisions,
    facts::{Facts, Phase},
    process::{ProcessStatus, RunEnd},
    revision::{Revision, Tracked},
    signal::{Report, Signal},
    steady_time::SteadyTime,
};
use crate::model::{
    game::Admission,
    ids::{AllocationId, InstanceId, MatchId, SessionId},
    policy::Start,
    process::{ExitReport, LaunchSpec},
    session::JoinStatus,
    status::LastEnd,
    time::Timestamp,
};
use std::sync::Arc;

#[derive(Debug)]
pub(super) enum MatchEvent {
    Begin(Box<Prepared>),
    /// No new players; who plays may finish.
    Drain {
        reason: String,
        then: AfterDrain,
    },
    /// The stop sequence at once, then the agent ends. `now`: one that has begun takes its next step.
    Stop {
        reason: String,
        now: bool,
    },
    /// The stop sequence at once, for a reason of our own.
    StopGame {
        reason: String,
    },
    /// Asked to end a second time.
    Hasten,
    /// The game asked to be ended.
    StopWanted,
    /// The game says that it is free.
    GameFree,
    MatchStarted(Option<MatchId>),
    /// The match of this allocation, or the present one, is over.
    MatchEnded(Option<AllocationId>),
    OperatorGate(Admission),
    RunEnded(Box<RunEnd>),
    Restarting,
    NotRestarted {
        status: String,
        report: ExitReport,
    },
    CrashLoop {
        why: String,
        report: ExitReport,
    },
    /// The run that ended last had announced its end: that came in late.
    EndWasAnnounced,
    Unkillable {
        why: String,
    },
    /// Ends the process, unless it may serve another match; then the match is closed.
    Finish {
        reason: String,
    },
    /// There is no match, and there can't be one.
    CantStart {
        why: String,
    },
    NewSession {
        session: SessionId,
        instance: InstanceId,
    },
    EndReported {
        session: SessionId,
    },
    /// Another launch is configured than the one that was prepared.
    SettingsChanged,
    /// What the machine slept through counts for no time limit.
    Gap,
    /// The agent or its keeper was away: the last step may not have been carried out.
    RepeatStep,
    /// A phase that isn't the match's own has begun or ended.
    PhaseChanged,
    Tick,
    /// All machines have taken the input: the match may have become joinable by that.
    Settle,
}

#[derive(Debug)]
pub(super) struct GameMatch {
    state: Tracked<MatchState>,
    /// What the game is started with; rendered when the match was prepared.
    spec: Option<LaunchSpec>,
    /// The limits that wait for players are reckoned from no earlier moment than this.
    guards_from: SteadyTime,
}

impl GameMatch {
    pub(super) fn restore(state: MatchState) -> Self {
        GameMatch { state: Tracked::new(state), spec: None, guards_from: SteadyTime(Timestamp::EPOCH) }
    }

    pub(super) fn recall(&mut self, state: MatchState) {
        *self.state.edit() = state;
        self.spec = None;
    }

    pub(super) fn state(&self) -> &MatchState {
        &self.state
    }

    pub(super) fn revision(&self) -> Revision {
        Revision { durable: self.state.changes(), visible: 0 }
    }

    pub(super) fn facts(&self) -> MatchFacts {
        let game = self.game().cloned().map(Arc::new);
        let (drain, closing) = match &self.state.stage {
            MatchStage::Draining(_, drain) => (Some((drain.reason.clone(), drain.deadline)), None),
            MatchStage::Closing(_, closing) => (None, Some((closing.reason.clone(), closing.sequence.clone()))),
            MatchStage::Idle | MatchStage::Starting(_) | MatchStage::Serving(_) => (None, None),
        };
        let drain_begun = match &self.state.stage {
            MatchStage::Draining(_, drain) => drain.begun,
            MatchStage::Idle | MatchStage::Starting(_) | MatchStage::Serving(_) | MatchStage::Closing(..) => None,
        };
        MatchFacts { phase: self.phase(), game, drain, drain_begun, closing }
    }

    fn phase(&self) -> MatchPhase {
        match &self.state.stage {
            MatchStage::Idle => MatchPhase::Idle,
            MatchStage::Starting(_) => MatchPhase::Starting,
            MatchStage::Serving(_) => MatchPhase::Serving,
            MatchStage::Draining(..) => MatchPhase::Draining,
            MatchStage::Closing(..) => MatchPhase::Closing,
        }
    }

    fn game(&self) -> Option<&Match> {
        self.state.stage.game()
    }

    /// For a change.
    fn edit_game(&mut self) -> Option<&mut Match> {
        self.game()?;
        match &mut self.state.edit().stage {
            MatchStage::Starting(game) | MatchStage::Serving(game) | MatchStage::Draining(game, _) => Some(game),
            MatchStage::Closing(game, _) => game.as_deref_mut(),
            MatchStage::Idle => None,
        }
    }

    /// Leaves `Idle` behind.
    fn take_game(&mut self) -> Option<Box<Match>> {
        match std::mem::replace(&mut self.state.edit().stage, MatchStage::Idle) {
            MatchStage::Starting(game) | MatchStage::Serving(game) | MatchStage::Draining(game, _) => Some(game),
            MatchStage::Closing(game, _) => game,
            MatchStage::Idle => None,
        }
    }

    fn enter(&mut self, stage: MatchStage, facts: &Facts) {
        let state = self.state.edit();
        state.stage = stage;
        state.since = facts.wall;
    }

    pub(super) fn on(&mut self, event: MatchEvent, facts: &Facts, decisions: &mut Decisions) {
        match event {
            MatchEvent::Begin(prepared) => self.begin(*prepared, facts, decisions),
            MatchEvent::Drain { reason, then } => self.drain(&reason, then, facts, decisions),
            MatchEvent::Stop { reason, now } => self.stop(&reason, now, facts, decisions),
            MatchEvent::StopGame { reason } => self.stop_process(&reason, AfterDrain::Recycle, None, facts, decisions),
            MatchEvent::Hasten => self.hasten(facts, decisions),
            MatchEvent::StopWanted => self.stop_wanted(facts, decisions),
            MatchEvent::GameFree => self.game_free(facts),
            MatchEvent::MatchStarted(id) => self.match_started(id, decisions),
            MatchEvent::MatchEnded(allocation) => {
                // A late one must not end the next match.
                let ended =
                    |game: &Match| allocation.is_none_or(|allocation| game.allocation.allocation_id == allocation);
                if self.game().is_some_and(ended) {
                    decisions.timeline("match_ended", "the match is over", &[]);
                    self.drain("the match is over", AfterDrain::Recycle, facts, decisions);
                }
            }
            MatchEvent::OperatorGate(gate) => {
                if let Some(game) = self.edit_game() {
                    game.operator_gate = Some(gate);
                }
            }
            MatchEvent::RunEnded(end) => self.run_ended(*end, facts, decisions),
            MatchEvent::Restarting => self.restarting(facts),
            MatchEvent::NotRestarted { status, report } => {
                let reason = format!("the game failed: {status}");
                self.close_match(&reason, AfterDrain::Recycle, Some(report), facts, decisions);
            }
            MatchEvent::CrashLoop { why, report } => self.give_up(&why, Some(report), facts, decisions),
            MatchEvent::EndWasAnnounced => {
                if self.game().is_some() {
                    self.close_match("the game ended, as it had said", AfterDrain::Recycle, None, facts, decisions);
                }
            }
            MatchEvent::Unkillable { why } => {
                if self.game().is_some() {
                    let ending = facts.ending.shutting_down || facts.phase() == Phase::FinalReports;
                    let then = if ending { AfterDrain::End } else { AfterDrain::Recycle };
                    self.close_match(&why, then, None, facts, decisions);
                }
            }
            MatchEvent::Finish { reason } => self.finish(&reason, AfterDrain::Recycle, facts, decisions),
            MatchEvent::CantStart { why } => self.go_on(&why, AfterDrain::Fail { why: why.clone() }, facts, decisions),
            MatchEvent::NewSession { session, instance } => self.new_session(session, instance, decisions),
            MatchEvent::EndReported { session } => self.end_reported(&session),
            MatchEvent::SettingsChanged => self.spec = None,
            MatchEvent::Gap => self.guards_from = facts.now,
            MatchEvent::RepeatStep => {
                if self.phase() == MatchPhase::Closing
                    && let MatchStage::Closing(_, closing) = &mut self.state.edit().stage
                {
                    closing.sequence.repeat(facts.now);
                }
            }
            MatchEvent::PhaseChanged => self.state.edit().since = facts.wall,
            MatchEvent::Tick => self.tick(facts, decisions),
            MatchEvent::Settle => self.first_joinable_later(facts, decisions),
        }
    }

    /// When [`MatchEvent::Tick`] does something next.
    pub(super) fn next_deadline(&self, facts: &Facts) -> Option<SteadyTime> {
        match &self.state.stage {
            MatchStage::Idle => None,
            MatchStage::Starting(game) => game.expiry(),
            MatchStage::Serving(game) => self.guards_deadline(game, facts),
            MatchStage::Draining(_, drain) => facts.drain_ends(drain.deadline, drain.begun),
            MatchStage::Closing(_, closing) => {
                let deadline = closing.sequence.deadline(&facts.settings.stop_steps);
                deadline.filter(|_| facts.process.run.is_some())
            }
        }
    }

    fn tick(&mut self, facts: &Facts, decisions: &mut Decisions) {
        match &self.state.stage {
            MatchStage::Idle => {
                let warm = facts.settings.launch.start == Start::AtBoot;
                let idle = facts.phase() == Phase::Idle;
                if warm && idle && facts.process.state == ProcessStatus::Off && facts.may_start() {
                    self.launch(facts, decisions);
                }
            }
            MatchStage::Starting(_) => self.starting(facts, decisions),
            MatchStage::Serving(_) => self.guard(facts, decisions),
            MatchStage::Draining(..) => self.draining(facts, decisions),
            MatchStage::Closing(..) => self.closing(facts, decisions),
        }
    }

    fn match_started(&mut self, match_id: Option<MatchId>, decisions: &mut Decisions) {
        let drawn = MatchId::from_uuid(decisions.ids.uuid());
        let begun = Some(match_id.unwrap_or(drawn));
        // A game repeats what it said to an agent that is new to it.
        if self.game().is_none_or(|game| game.match_id == begun) {
            return;
        }
        if let Some(game) = self.edit_game() {
            game.match_id = begun;
            decisions.timeline("match_started", "the match has begun", &[]);
        }
    }

    /// The match lost its session, and has another one now.
    fn new_session(&mut self, session: SessionId, instance: InstanceId, decisions: &mut Decisions) {
        let Some(game) = self.edit_game() else { return };
        let text = format!("the match goes on in the new session {session}");
        let id = session.to_string();
        game.session = session;
        game.instance = instance.clone();
        let was_joinable = game.first_joinable.is_some();
        decisions.signal(Signal::SessionChanged);
        decisions.signal(Signal::Report(Report::milestone(instance.clone(), JoinStatus::Pending)));
        if was_joinable {
            decisions.signal(Signal::Report(Report::milestone(instance, JoinStatus::Joinable)));
        }
        decisions.timeline("allocated", text, &[("session_id", id.as_str())]);
        decisions.signal(Signal::TellAllocation);
    }

    fn end_reported(&mut self, session: &SessionId) {
        let theirs = |end: &LastEnd| end.session_id.as_ref() == Some(session) && !end.reported;
        if self.state.last_end.as_ref().is_some_and(theirs)
            && let Some(end) = &mut self.state.edit().last_end
        {
            end.reported = true;
        }
    }
}
