//! The match from its beginning to its end.
//!
//! | phase | join_status shown | leaves when |
//! |---|---|---|
//! | `Idle` (offered; game off, or warm) | – | allocated → `Acquiring`; asked to end → `Closing` or `Leaving` |
//! | `Acquiring` | – | the session is known → `Starting`; refused or too late → `Idle` |
//! | `Starting` | `pending` | readiness proved → `Serving`; exit or time-out → again, or the match is closed |
//! | `Serving` | `joinable`, `unjoinable` | exit → `Starting`, or the match is closed; drain → `Draining`; stop → `Closing` |
//! | `Draining` | `unjoinable` | empty, or the deadline → `Closing`; exit → the match is closed |
//! | `Closing` (stop ladder) | `unjoinable` | the containment is empty → the match is closed |
//! | `Leaving` | – | reports delivered, or a moment later → the agent ends |
//!
//! *The match is closed*: `closed` goes into its lane, in the same commit as the end of the run; then `Idle` or `Leaving`.
//! A game that may serve another match stays up, and `Closing` is passed over.

use super::{
    clock::When,
    engine::Core,
    io::{Effect, Ending},
    ladder::Ladder,
    publish::Lane,
    state::{Answered, Closing, Drain, Leaving, Match, Phase, Process, Then},
};
use crate::model::{
    allocation::ProviderKind,
    game::{Admission, GameNotice},
    ids::{InstanceId, RunNumber},
    keeper::KeeperOrder,
    orders::Accepted,
    policy::Start,
    process::{ExitReport, StopAction},
    session::JoinStatus,
    status::LastEnd,
};
use std::time::Duration;

/// How long the last reports are waited for: with the service up, and with it away.
const LAST_WORDS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));

impl Core {
    pub(super) fn enter(&mut self, phase: Phase) {
        self.state.phase = phase;
        self.state.since = self.wall;
    }

    /// After a start of the agent: what was shown before isn't news, and what was under way is asked again.
    pub(super) fn wake(&mut self) {
        self.leaving = match &self.state.phase {
            Phase::Draining(_, Drain { then, .. }) | Phase::Closing(_, Closing { then, .. }) => *then != Then::Recycle,
            Phase::Leaving(_) => true,
            Phase::Idle | Phase::Acquiring(_) | Phase::Starting(_) | Phase::Serving(_) => false,
        };
        if let Phase::Leaving(leaving) = &mut self.state.phase {
            // The life before was cut short over its last words: this one may say them, however late it comes.
            leaving.until = leaving.until.max(self.now + LAST_WORDS.0);
        }
        if let Some(instance) = self.state.phase.game().map(|game| game.instance.clone()) {
            self.last.shown = self.lane(&instance).and_then(Lane::shown).map(|shown| (instance, shown));
        }
        if self.state.phase.game().is_some() {
            self.poll.now();
        }
    }

    pub(super) fn phase_tick(&mut self) {
        match &self.state.phase {
            Phase::Idle => self.idle_tick(),
            Phase::Acquiring(_) => {}
            Phase::Starting(_) => self.starting_tick(),
            Phase::Serving(_) => self.guards_tick(),
            Phase::Draining(..) => self.drain_tick(),
            Phase::Closing(..) => self.closing_tick(),
            Phase::Leaving(_) => self.leaving_tick(),
        }
    }

    fn idle_tick(&mut self) {
        let warm = self.settings.launch.start == Start::AtBoot;
        if warm && matches!(self.state.process, Process::Off) && self.may_start() {
            self.launch();
        }
    }

    fn starting_tick(&mut self) {
        let Some(game) = self.state.phase.game() else { return };
        if expiry(game).is_some_and(|expires| self.now >= expires) {
            return self.stop_process("the allocation expired before the game was ready", Then::Recycle, None);
        }
        let posted = self.lane(&game.instance).is_none_or(Lane::is_posted);
        match &self.state.process {
            Process::Off if posted && self.may_start() => self.launch(),
            Process::Up(run) if posted && run.ready.is_some() => self.serve(),
            Process::Off
            | Process::Up(_)
            | Process::Intended(_)
            | Process::Delayed { .. }
            | Process::Failing(..)
            | Process::Unkillable { .. } => {}
        }
    }

    /// A session is ours: the match begins.
    pub(super) fn begin(&mut self, game: Match, lane: Lane) {
        let (session, instance) = (game.session.clone(), game.instance.clone());
        let allocation = game.allocation.allocation_id.clone();
        self.state.term += 1;
        self.state.matches += 1;
        self.state.answered =
            Some(Answered { allocation: allocation.clone(), session: session.clone(), instance: instance.clone() });
        self.state.lanes.push(lane);
        self.reset_desks();
        let fields = [
            ("allocation_id", allocation.as_str()),
            ("session_id", session.as_str()),
            ("instance_id", instance.as_str()),
            ("map", game.params.map.as_str()),
        ];
        self.happened("allocated", format!("allocated to session {session}, map {}", game.params.map), &fields);
        for request in std::mem::take(&mut self.acquire.askers) {
            let (allocation_id, session_id, instance_id) = (allocation.clone(), session.clone(), instance.clone());
            let reply = Ok(Accepted::Allocated { allocation_id, session_id, instance_id });
            self.journal.hold(Effect::Reply { request, reply });
        }
        self.enter(Phase::Starting(Box::new(game)));
        self.milestone(JoinStatus::Pending);
        self.meet_warm_game();
    }

    /// Forgets what was known about the last session.
    pub(super) fn reset_desks(&mut self) {
        self.session = None;
        self.refusals.session = None;
        self.refusals.dropped = None;
        self.poll.now();
        self.backfill.reset();
        self.health.next_match();
    }

    /// Readiness is proved and the instance posted.
    fn serve(&mut self) {
        let Some(mut game) = self.state.phase.take_game() else { return };
        let first = game.first_joinable.is_none();
        if first && self.gate_of(&game) == Admission::Open {
            game.first_joinable = Some(self.now);
        }
        let joinable = game.first_joinable.is_some() && first;
        self.enter(Phase::Serving(game));
        if joinable {
            self.milestone(JoinStatus::Joinable);
        }
    }

    /// Whether new players may come, as game, operator and health have it.
    pub(super) fn gate_of(&self, game: &Match) -> Admission {
        let said = self.state.process.run().map_or(Admission::Closed, |run| run.gate);
        match game.operator_gate.unwrap_or(said) {
            Admission::Open if self.health.closes_gate() => Admission::Closed,
            gate @ (Admission::Open | Admission::Closed) => gate,
        }
    }

    /// Ends the process, unless it may serve another match; then the match is closed.
    pub(super) fn close(&mut self, reason: &str, then: Then) {
        if then == Then::Recycle && !self.leaving && self.may_reuse() {
            if let Some(run) = self.state.process.run_mut() {
                run.served += 1;
                run.gate = Admission::Open;
                run.withheld = false;
                run.roster.next_match();
            }
            self.close_match(reason, then, None);
            return;
        }
        self.stop_process(reason, then, None);
    }

    /// The stop ladder begins.
    pub(super) fn stop_process(&mut self, reason: &str, then: Then, kill_by: Option<When>) {
        let game = self.state.phase.take_game();
        let ladder = Ladder::new(self.now, kill_by);
        self.take_back_start();
        self.enter(Phase::Closing(game, Closing { reason: reason.to_owned(), then, ladder }));
        if matches!(self.state.process, Process::Up(_) | Process::Failing(..)) {
            let within = Ladder::total(&self.settings.stop_steps);
            self.tell(GameNotice::Stop { within });
            self.happened("stopping", format!("stopping the game: {reason}"), &[("reason", reason)]);
        }
        if let Process::Failing(run, ..) = &self.state.process {
            self.state.process = Process::Up(run.clone());
        }
    }

    fn closing_tick(&mut self) {
        let steps = self.settings.stop_steps.clone();
        let Phase::Closing(_, closing) = &mut self.state.phase else { return };
        let Some(number) = self.state.process.run().map(|run| run.number) else {
            if matches!(self.state.process, Process::Off | Process::Delayed { .. }) {
                let (reason, then) = (closing.reason.clone(), closing.then.clone());
                self.close_match(&reason, then, None);
            }
            return;
        };
        while let Some(action) = closing.ladder.climb(&steps, self.now) {
            self.out.push(rung(number, action));
        }
    }

    /// The terminal report, and what follows.
    pub(super) fn close_match(&mut self, reason: &str, then: Then, exit: Option<ExitReport>) {
        if matches!(self.state.phase, Phase::Acquiring(_)) {
            self.abandon();
        }
        if matches!(self.state.process, Process::Delayed { .. }) {
            self.state.process = Process::Off;
        }
        if let Some(game) = self.state.phase.take_game() {
            self.close_lane(&game.instance, reason);
            self.state.last_end = Some(LastEnd {
                session_id: Some(game.session.clone()),
                reason: reason.to_owned(),
                exit,
                at: self.wall,
                reported: self.lane(&game.instance).is_none(),
            });
            self.drop_backfill_of(&game);
            let fields = [("session_id", game.session.as_str()), ("reason", reason)];
            self.happened("closed", format!("the match is closed: {reason}"), &fields);
            self.reset_desks();
        } else {
            self.state.phase = Phase::Idle;
        }
        self.go_on(reason, then);
    }

    pub(super) fn close_lane(&mut self, instance: &InstanceId, reason: &str) {
        let at = self.wall;
        if let Some(lane) = self.lane_mut(instance) {
            lane.close(at, reason);
        }
        self.drop_idle_lanes();
    }

    pub(super) fn go_on(&mut self, reason: &str, then: Then) {
        let limit = self.settings.recycle.exit_after;
        let used_up = limit > 0 && self.state.matches >= u64::from(limit);
        let then = match then {
            Then::Recycle if self.leaving => Then::End,
            Then::Recycle if used_up => Then::End,
            other @ (Then::Recycle | Then::End | Then::Fail { .. }) => other,
        };
        if then == Then::Recycle {
            self.happened("recycled", "free for the next allocation", &[]);
            self.enter(Phase::Idle);
            return;
        }
        if self.state.process.run().is_some() {
            self.leaving = true;
            self.stop_process(reason, then, None);
            return;
        }
        let words = if self.backend_works() { LAST_WORDS.0 } else { LAST_WORDS.1 };
        let until = self.now + words;
        self.enter(Phase::Leaving(Leaving { reason: reason.to_owned(), then, until }));
    }

    fn leaving_tick(&mut self) {
        let Phase::Leaving(leaving) = &self.state.phase else { return };
        if !self.state.lanes.is_empty() && self.now < leaving.until {
            return;
        }
        let ending = match &leaving.then {
            Then::Fail { why } => Ending::Failed { why: why.clone() },
            Then::End | Then::Recycle => Ending::Orderly { reason: leaving.reason.clone() },
        };
        // What the journal says to the next life: nothing is going on, and these lanes are owed.
        self.enter(Phase::Idle);
        self.farewell = Some((ending, self.now + super::journal::PATIENCE));
    }

    /// The agent ends once the journal has its last text, or a moment later.
    pub(super) fn part(&mut self) {
        let Some((ending, until)) = &self.farewell else { return };
        if !self.journal.is_settled() && self.now < *until {
            return;
        }
        let ending = ending.clone();
        if matches!(ending, Ending::Orderly { .. } | Ending::Failed { .. }) {
            self.order(KeeperOrder::Shutdown);
        }
        self.effect(Effect::End(ending));
        self.ended = true;
    }

    /// A crash loop, or a start that can't succeed: who only repeats the same ends; who waits for others' orders rests.
    pub(super) fn give_up(&mut self, why: &str, exit: Option<ExitReport>) {
        let repeats = self.settings.provider == ProviderKind::Auto || self.settings.launch.start == Start::AtBoot;
        let then = if repeats { Then::Fail { why: why.to_owned() } } else { Then::Recycle };
        self.state.failures.rest_until = Some(self.now + self.settings.restart.window.get());
        self.close_match(why, then, exit);
    }

    pub(super) fn phase_deadline(&self) -> Option<When> {
        match &self.state.phase {
            Phase::Idle | Phase::Acquiring(_) => None,
            Phase::Starting(game) => expiry(game),
            Phase::Serving(game) => self.guards_deadline(game),
            Phase::Draining(_, drain) => drain.deadline,
            Phase::Closing(_, closing) => {
                self.state.process.run().and_then(|_| closing.ladder.deadline(&self.settings.stop_steps))
            }
            Phase::Leaving(leaving) => Some(leaving.until),
        }
    }
}

/// A rung of the ladder, to be carried out.
pub(super) fn rung(run: RunNumber, action: StopAction) -> Effect {
    Effect::Keeper(match action {
        StopAction::Stdin(line) => KeeperOrder::Stdin { run, line },
        StopAction::Signal(signal) => KeeperOrder::Signal { run, signal },
        StopAction::Kill => KeeperOrder::Kill { run },
        StopAction::Ask => return Effect::AskToQuit { run },
    })
}

/// After this, an allocation that has led to nothing is given back.
fn expiry(game: &Match) -> Option<When> {
    game.allocation.expires.map(When).filter(|_| game.first_joinable.is_none())
}
