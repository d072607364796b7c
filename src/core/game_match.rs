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
//! | this one | the phases, and what leads from one to the next |
//! | [`drain`] | ways out: drain, stop, time limits |
//! | [`run_end`] | what follows the end of a run |
//! | [`state`] | what is remembered of the match, and what others know of it |

mod drain;
mod run_end;
mod state;

pub(super) use state::{AfterDrain, Closing, Drain, Match, MatchFacts, MatchPhase, MatchStands, MatchState, Prepared};

use super::{
    facts::{Facts, Phase},
    launch::{self, Values},
    process::{ProcessIs, RunEnd, carry_out, may_serve_again},
    revision::{Revision, Tracked},
    settings::Settings,
    signal::Signal,
    steady_time::SteadyTime,
    stop_sequence::StopSequence,
    turn::Turn,
};
use crate::model::{
    game::Admission,
    ids::{InstanceId, MatchId, SessionId},
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
    /// The stop sequence at once, then the agent ends. `again`: it was already ending.
    Stop {
        reason: String,
        again: bool,
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
    MatchEnded,
    OperatorGate(Admission),
    RunEnded(Box<RunEnd>),
    Restarting,
    NotAgain {
        status: String,
        report: ExitReport,
    },
    CrashLoop {
        why: String,
        report: ExitReport,
    },
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
    /// Whatever follows from everybody's state.
    Settle,
}

#[derive(Debug)]
pub(super) struct GameMatch {
    state: Tracked<MatchState>,
    /// What the game would be started with; rendered when the match was prepared.
    spec: Option<LaunchSpec>,
    /// Nobody is reckoned absent from before this.
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
        let (drain, closing) = match &self.state.stands {
            MatchStands::Draining(_, drain) => (Some((drain.reason.clone(), drain.deadline)), None),
            MatchStands::Closing(_, closing) => (None, Some((closing.reason.clone(), closing.sequence.clone()))),
            MatchStands::Idle | MatchStands::Starting(_) | MatchStands::Serving(_) => (None, None),
        };
        MatchFacts { phase: self.phase(), game, drain, closing }
    }

    fn phase(&self) -> MatchPhase {
        match &self.state.stands {
            MatchStands::Idle => MatchPhase::Idle,
            MatchStands::Starting(_) => MatchPhase::Starting,
            MatchStands::Serving(_) => MatchPhase::Serving,
            MatchStands::Draining(..) => MatchPhase::Draining,
            MatchStands::Closing(..) => MatchPhase::Closing,
        }
    }

    fn game(&self) -> Option<&Match> {
        match &self.state.stands {
            MatchStands::Starting(game) | MatchStands::Serving(game) | MatchStands::Draining(game, _) => Some(game),
            MatchStands::Closing(game, _) => game.as_deref(),
            MatchStands::Idle => None,
        }
    }

    /// For a change.
    fn edit_game(&mut self) -> Option<&mut Match> {
        self.game()?;
        match &mut self.state.edit().stands {
            MatchStands::Starting(game) | MatchStands::Serving(game) | MatchStands::Draining(game, _) => Some(game),
            MatchStands::Closing(game, _) => game.as_deref_mut(),
            MatchStands::Idle => None,
        }
    }

    /// Leaves `Idle` behind.
    fn take_game(&mut self) -> Option<Box<Match>> {
        match std::mem::replace(&mut self.state.edit().stands, MatchStands::Idle) {
            MatchStands::Starting(game) | MatchStands::Serving(game) | MatchStands::Draining(game, _) => Some(game),
            MatchStands::Closing(game, _) => game,
            MatchStands::Idle => None,
        }
    }

    fn enter(&mut self, stands: MatchStands, facts: &Facts) {
        let state = self.state.edit();
        state.stands = stands;
        state.since = facts.wall;
    }

    pub(super) fn on(&mut self, event: MatchEvent, facts: &Facts, turn: &mut Turn) {
        match event {
            MatchEvent::Begin(prepared) => self.begin(*prepared, facts, turn),
            MatchEvent::Drain { reason, then } => self.drain(&reason, then, facts, turn),
            MatchEvent::Stop { reason, again } => self.stop(&reason, again, facts, turn),
            MatchEvent::StopGame { reason } => self.stop_process(&reason, AfterDrain::Recycle, None, facts, turn),
            MatchEvent::Hasten => self.hasten(facts, turn),
            MatchEvent::StopWanted => self.stop_wanted(facts, turn),
            MatchEvent::GameFree => self.game_free(facts),
            MatchEvent::MatchStarted(id) => self.match_started(id, turn),
            MatchEvent::MatchEnded => {
                if self.game().is_some() {
                    turn.timeline("match_ended", "the match is over", &[]);
                    self.drain("the match is over", AfterDrain::Recycle, facts, turn);
                }
            }
            MatchEvent::OperatorGate(gate) => {
                if let Some(game) = self.edit_game() {
                    game.operator_gate = Some(gate);
                }
            }
            MatchEvent::RunEnded(end) => self.run_ended(*end, facts, turn),
            MatchEvent::Restarting => self.restarting(facts),
            MatchEvent::NotAgain { status, report } => {
                let reason = format!("the game failed: {status}");
                self.close_match(&reason, AfterDrain::Recycle, Some(report), facts, turn);
            }
            MatchEvent::CrashLoop { why, report } => self.give_up(&why, Some(report), facts, turn),
            MatchEvent::EndWasAnnounced => {
                if self.game().is_some() {
                    self.close_match("the game ended, as it had said", AfterDrain::Recycle, None, facts, turn);
                }
            }
            MatchEvent::Unkillable { why } => {
                if self.game().is_some() {
                    let ending = facts.ending.shutting_down || facts.phase() == Phase::FinalReports;
                    let then = if ending { AfterDrain::End } else { AfterDrain::Recycle };
                    self.close_match(&why, then, None, facts, turn);
                }
            }
            MatchEvent::Finish { reason } => self.finish(&reason, AfterDrain::Recycle, facts, turn),
            MatchEvent::CantStart { why } => self.go_on(&why, AfterDrain::Fail { why: why.clone() }, facts, turn),
            MatchEvent::NewSession { session, instance } => self.new_session(session, instance, turn),
            MatchEvent::EndReported { session } => self.end_reported(&session),
            MatchEvent::SettingsChanged => self.spec = None,
            MatchEvent::Gap => self.guards_from = facts.now,
            MatchEvent::RepeatStep => {
                if self.phase() == MatchPhase::Closing
                    && let MatchStands::Closing(_, closing) = &mut self.state.edit().stands
                {
                    closing.sequence.repeat(facts.now);
                }
            }
            MatchEvent::PhaseChanged => self.state.edit().since = facts.wall,
            MatchEvent::Tick => self.tick(facts, turn),
            MatchEvent::Settle => self.first_joinable_later(facts, turn),
        }
    }

    /// When [`MatchEvent::Tick`] does something next.
    pub(super) fn next_deadline(&self, facts: &Facts) -> Option<SteadyTime> {
        match &self.state.stands {
            MatchStands::Idle => None,
            MatchStands::Starting(game) => game.expiry(),
            MatchStands::Serving(game) => self.guards_deadline(game, facts),
            MatchStands::Draining(_, drain) => drain.deadline,
            MatchStands::Closing(_, closing) => {
                let deadline = closing.sequence.deadline(&facts.settings.stop_steps);
                deadline.filter(|_| facts.process.run.is_some())
            }
        }
    }

    fn tick(&mut self, facts: &Facts, turn: &mut Turn) {
        match &self.state.stands {
            MatchStands::Idle => {
                let warm = facts.settings.launch.start == Start::AtBoot;
                let idle = facts.phase() == Phase::Idle;
                if warm && idle && facts.process.state == ProcessIs::Off && facts.may_start() {
                    self.launch(facts, turn);
                }
            }
            MatchStands::Starting(_) => self.starting(facts, turn),
            MatchStands::Serving(_) => self.guard(facts, turn),
            MatchStands::Draining(..) => self.draining(facts, turn),
            MatchStands::Closing(..) => self.closing(facts, turn),
        }
    }

    fn starting(&mut self, facts: &Facts, turn: &mut Turn) {
        let Some(game) = self.game() else { return };
        if game.expiry().is_some_and(|expires| facts.now >= expires) {
            let reason = "the allocation expired before the game was ready";
            return self.stop_process(reason, AfterDrain::Recycle, None, facts, turn);
        }
        let posted = facts.outbox.of(&game.instance).is_none_or(|outbox| outbox.posted);
        match &facts.process.state {
            ProcessIs::Off if posted && facts.may_start() => self.launch(facts, turn),
            ProcessIs::Up if posted && facts.process.ready.is_some() => self.serve(facts, turn),
            ProcessIs::Off
            | ProcessIs::Up
            | ProcessIs::Intended
            | ProcessIs::Delayed
            | ProcessIs::Failing { .. }
            | ProcessIs::Unkillable { .. } => {}
        }
    }

    fn launch(&mut self, facts: &Facts, turn: &mut Turn) {
        let spec = match self.spec.take() {
            Some(spec) => Ok(spec),
            None => launch::render(&facts.settings.launch, &values(&facts.settings, self.game())),
        };
        match spec {
            Ok(spec) => turn.signal(Signal::Launch(Box::new(spec))),
            Err(error) => {
                let why = format!("the game can't be started: {error}");
                turn.timeline("launch_failed", why.clone(), &[]);
                self.give_up(&why, None, facts, turn);
            }
        }
    }

    /// A session is ours: the match begins.
    fn begin(&mut self, prepared: Prepared, facts: &Facts, turn: &mut Turn) {
        let Prepared { game, spec, outbox: _ } = prepared;
        self.state.edit().matches += 1;
        turn.signal(Signal::SessionChanged);
        let fields = [
            ("allocation_id", game.allocation.allocation_id.as_str()),
            ("session_id", game.session.as_str()),
            ("instance_id", game.instance.as_str()),
            ("map", game.params.map.as_str()),
        ];
        turn.timeline("allocated", format!("allocated to session {}, map {}", game.session, game.params.map), &fields);
        turn.signal(Signal::Milestone { instance: game.instance.clone(), status: JoinStatus::Pending });
        self.enter(MatchStands::Starting(Box::new(game)), facts);
        turn.signal(Signal::MatchMeetsGame(Box::new(spec.clone())));
        self.spec = Some(spec);
    }

    /// Readiness is proved and the instance posted.
    fn serve(&mut self, facts: &Facts, turn: &mut Turn) {
        let Some(mut game) = self.take_game() else { return };
        self.spec = None;
        let first = game.first_joinable.is_none() && facts.gate(&game) == Admission::Open;
        let instance = game.instance.clone();
        if first {
            game.first_joinable = Some(facts.now);
        }
        self.enter(MatchStands::Serving(game), facts);
        if first {
            turn.signal(Signal::Milestone { instance, status: JoinStatus::Joinable });
        }
    }

    /// The gate opened after the start of serving.
    fn first_joinable_later(&mut self, facts: &Facts, turn: &mut Turn) {
        let MatchStands::Serving(game) = &self.state.stands else { return };
        if game.first_joinable.is_some() || facts.gate(game) == Admission::Closed {
            return;
        }
        let instance = game.instance.clone();
        if let Some(game) = self.edit_game() {
            game.first_joinable = Some(facts.now);
        }
        turn.signal(Signal::Milestone { instance, status: JoinStatus::Joinable });
    }

    fn match_started(&mut self, match_id: Option<MatchId>, turn: &mut Turn) {
        let drawn = MatchId::from_uuid(turn.ids.uuid());
        let begun = Some(match_id.unwrap_or(drawn));
        // A game repeats what it said to an agent that is new to it.
        if self.game().is_none_or(|game| game.match_id == begun) {
            return;
        }
        if let Some(game) = self.edit_game() {
            game.match_id = begun;
            turn.timeline("match_started", "the match has begun", &[]);
        }
    }

    /// The match lost its session, and has another one now.
    fn new_session(&mut self, session: SessionId, instance: InstanceId, turn: &mut Turn) {
        let Some(game) = self.edit_game() else { return };
        let text = format!("the match goes on in the new session {session}");
        let id = session.to_string();
        game.session = session;
        game.instance = instance.clone();
        let was_joinable = game.first_joinable.is_some();
        turn.signal(Signal::SessionChanged);
        turn.signal(Signal::Milestone { instance: instance.clone(), status: JoinStatus::Pending });
        if was_joinable {
            turn.signal(Signal::Milestone { instance, status: JoinStatus::Joinable });
        }
        turn.timeline("allocated", text, &[("session_id", id.as_str())]);
        turn.signal(Signal::TellAllocation);
    }

    fn end_reported(&mut self, session: &SessionId) {
        let theirs = |end: &LastEnd| end.session_id.as_ref() == Some(session) && !end.reported;
        if self.state.last_end.as_ref().is_some_and(theirs)
            && let Some(end) = &mut self.state.edit().last_end
        {
            end.reported = true;
        }
    }

    /// Ends the process, unless it may serve another match; then the match is closed.
    fn finish(&mut self, reason: &str, then: AfterDrain, facts: &Facts, turn: &mut Turn) {
        if then == AfterDrain::Recycle && !facts.ending.shutting_down && may_serve_again(facts) {
            turn.signal(Signal::ProcessReused);
            return self.close_match(reason, then, None, facts, turn);
        }
        self.stop_process(reason, then, None, facts, turn);
    }

    /// The stop sequence begins.
    fn stop_process(
        &mut self,
        reason: &str,
        then: AfterDrain,
        kill_by: Option<SteadyTime>,
        facts: &Facts,
        turn: &mut Turn,
    ) {
        let game = self.take_game();
        let sequence = StopSequence::new(facts.now, kill_by);
        self.enter(MatchStands::Closing(game, Closing { reason: reason.to_owned(), then, sequence }), facts);
        turn.signal(Signal::StopBegun { reason: reason.to_owned() });
    }

    fn closing(&mut self, facts: &Facts, turn: &mut Turn) {
        let steps = &facts.settings.stop_steps;
        let MatchStands::Closing(_, closing) = &self.state.stands else { return };
        let Some(run) = facts.process.run else {
            if matches!(facts.process.state, ProcessIs::Off | ProcessIs::Delayed) {
                let (reason, then) = (closing.reason.clone(), closing.then.clone());
                self.close_match(&reason, then, None, facts, turn);
            }
            return;
        };
        if closing.sequence.deadline(steps).is_none_or(|at| facts.now < at) {
            return;
        }
        let MatchStands::Closing(_, closing) = &mut self.state.edit().stands else { return };
        while let Some(action) = closing.sequence.next(steps, facts.now) {
            turn.effect(carry_out(run, action));
        }
    }

    /// The terminal report, and what follows.
    fn close_match(
        &mut self,
        reason: &str,
        then: AfterDrain,
        exit: Option<ExitReport>,
        facts: &Facts,
        turn: &mut Turn,
    ) {
        if facts.allocation.acquiring.is_some() {
            turn.signal(Signal::AllocationAbandoned);
        }
        turn.signal(Signal::RestartCancelled);
        self.spec = None;
        if let Some(game) = self.take_game() {
            let (session, instance) = (game.session.clone(), game.instance.clone());
            self.state.edit().last_end = Some(LastEnd {
                session_id: Some(session.clone()),
                reason: reason.to_owned(),
                exit,
                at: facts.wall,
                reported: false,
            });
            let fields = [("session_id", session.as_str()), ("reason", reason)];
            turn.timeline("closed", format!("the match is closed: {reason}"), &fields);
            turn.signal(Signal::MatchClosed { session, instance, reason: reason.to_owned() });
            turn.signal(Signal::SessionChanged);
        }
        self.go_on(reason, then, facts, turn);
    }

    /// What follows a match, or an allocation that came to nothing.
    fn go_on(&mut self, reason: &str, then: AfterDrain, facts: &Facts, turn: &mut Turn) {
        let limit = facts.settings.recycle.exit_after;
        let used_up = limit > 0 && self.state.matches >= u64::from(limit);
        let then = match then {
            AfterDrain::Recycle if facts.ending.shutting_down || used_up => AfterDrain::End,
            other @ (AfterDrain::Recycle | AfterDrain::End | AfterDrain::Fail { .. }) => other,
        };
        if then == AfterDrain::Recycle {
            turn.timeline("recycled", "free for the next allocation", &[]);
            return self.enter(MatchStands::Idle, facts);
        }
        if facts.process.run.is_some() {
            turn.signal(Signal::ShuttingDown);
            return self.stop_process(reason, then, None, facts, turn);
        }
        self.enter(MatchStands::Idle, facts);
        turn.signal(Signal::FinalReports { reason: reason.to_owned(), then });
    }

    /// A crash loop, or a start that can't succeed: an agent that only repeats the same ends; one that
    /// waits for the orders of others rests.
    fn give_up(&mut self, why: &str, exit: Option<ExitReport>, facts: &Facts, turn: &mut Turn) {
        let then =
            if facts.settings.repeats() { AfterDrain::Fail { why: why.to_owned() } } else { AfterDrain::Recycle };
        turn.signal(Signal::RestAfterFailure);
        self.close_match(why, then, exit, facts, turn);
    }
}

/// What a launch is filled in with.
pub(super) fn values<'a>(settings: &'a Settings, game: Option<&'a Match>) -> Values<'a> {
    Values {
        params: game.map(|game| &game.params).or(settings.session.startup_params.as_ref()),
        session: game.map(|game| &game.session),
        instance: game.map(|game| &game.instance),
        allocation: game.map(|game| &game.allocation.allocation_id),
        join_token: game.and_then(|game| game.join_token.as_deref()),
        ..launch::own_values(settings)
    }
}
