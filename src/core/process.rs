//! The game's process: intent → commit → start → ready → end; one at a time.
//!
//! ```text
//!  Off ──Launch──► Intended ──started──► Up ──no use──► Failing ──┐
//!   ▲ ▲               │                   │              (stop     │
//!   │ └─ Delayed ◄────┴─── ended by itself ┴── sequence) ──────────┤ ended
//!   └──────────────────────────────────────────────────────────────┘      Unkillable: for good
//! ```
//!
//! Invariants: a run's intent is on disk before the keeper is asked to start it, and its end before
//! the keeper may forget it; a run that is no use (not ready in time, unhealthy, to be replaced by
//! another launch) is stopped by its own stop sequence, unless the match is being closed anyway.

mod state;

use state::describe;
pub(super) use state::{Process, ProcessFacts, ProcessIs, ProcessState, REPLACED, Run, RunEnd};

use super::{
    crash_book::Next,
    facts::Facts,
    game_match::MatchPhase,
    io::{Effect, Watch},
    launch,
    revision::{Revision, Tracked},
    signal::{RunFailure, Signal},
    steady_time::{SteadyTime, earliest},
    stop_sequence::StopSequence,
    turn::Turn,
};
use crate::model::{
    game::GameNotice,
    ids::RunNumber,
    keeper::KeeperOrder,
    policy::ReadyBy,
    process::{ExitReport, ExitStatus, LaunchSpec, ProcessStats, StopAction},
    time::Timestamp,
};
use std::time::Duration;

/// How often the keeper is asked what the process uses.
const STATS_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) enum ProcessEvent {
    Launch(Box<LaunchSpec>),
    /// The keeper has not heard of the run that the journal intends.
    NeverStarted,
    Started {
        run: RunNumber,
        pid: i32,
        started: Timestamp,
    },
    /// The keeper has the run that the journal knows.
    Adopted {
        run: RunNumber,
        pid: i32,
    },
    /// The keeper has a run that nothing explains: it is kept.
    Unexplained {
        run: RunNumber,
        pid: i32,
        started: Timestamp,
    },
    Exited(ExitReport),
    /// The keeper that ran it is gone, and with it the game.
    Lost,
    Unkillable {
        run: RunNumber,
        left: u32,
    },
    /// The keeper that could not kill it is gone.
    KeeperIsClean,
    /// A run of this number was seen: the next gets a higher one.
    Seen(RunNumber),
    Stats(ProcessStats),
    Ready {
        how: &'static str,
    },
    Useless {
        why: String,
    },
    StopBegun {
        reason: String,
    },
    MeetMatch(Box<LaunchSpec>),
    TellAllocation,
    Reused,
    Failed(Box<RunFailure>),
    RestartCancelled,
    RestAfterFailure,
    /// The session service would not have the instance: later, perhaps.
    RestAfterRefusal,
    /// The game announced the end of a run that is over.
    LateEnd(RunNumber),
    /// The keeper was away, or we were: the last step may not have been carried out.
    RepeatStep,
    Tick,
}

#[derive(Debug, Default)]
pub(super) struct ProcessMachine {
    state: Tracked<ProcessState>,
    stats: Tracked<Option<ProcessStats>>,
    next_stats: Option<SteadyTime>,
    /// The run that was told what is in force.
    told: Option<RunNumber>,
}

impl ProcessMachine {
    pub(super) fn restore(state: ProcessState) -> Self {
        ProcessMachine { state: Tracked::new(state), ..ProcessMachine::default() }
    }

    /// Takes another memory for its own.
    pub(super) fn recall(&mut self, state: ProcessState) {
        *self.state.edit() = state;
    }

    pub(super) fn state(&self) -> &ProcessState {
        &self.state
    }

    /// What it used when the keeper was asked last.
    pub(super) fn stats(&self) -> Option<ProcessStats> {
        *self.stats
    }

    pub(super) fn revision(&self) -> Revision {
        Revision { durable: self.state.changes(), visible: self.stats.changes() }
    }

    pub(super) fn facts(&self) -> ProcessFacts {
        let run = self.state.process.run();
        ProcessFacts {
            state: match &self.state.process {
                Process::Off => ProcessIs::Off,
                Process::Delayed { .. } => ProcessIs::Delayed,
                Process::Intended(_) => ProcessIs::Intended,
                Process::Up(_) => ProcessIs::Up,
                Process::Failing(_, _, why) => ProcessIs::Failing { why: why.clone() },
                Process::Unkillable { left, .. } => ProcessIs::Unkillable { left: *left },
            },
            run: run.map(|run| run.number),
            up: run.and_then(|run| run.up),
            ready: run.and_then(|run| run.ready),
            served: run.map_or(0, |run| run.served),
            last_run: self.state.last_run,
            rest_until: self.state.failures.rest_until,
            memory: self.stats.map(|stats| stats.memory),
        }
    }

    pub(super) fn on(&mut self, event: ProcessEvent, facts: &Facts, turn: &mut Turn) {
        match event {
            ProcessEvent::Launch(spec) => self.intend(*spec, turn),
            ProcessEvent::NeverStarted => self.never_started(facts, turn),
            ProcessEvent::Started { run, pid, started } => self.started(run, pid, started, facts, turn),
            ProcessEvent::Adopted { run, pid } => self.adopted(run, pid, facts, turn),
            ProcessEvent::Unexplained { run, pid, started } => self.unexplained(run, pid, started, facts, turn),
            ProcessEvent::Exited(report) => self.exited(report, facts, turn),
            ProcessEvent::Lost => self.lost(facts, turn),
            ProcessEvent::Unkillable { run, left } => self.unkillable(run, left, turn),
            ProcessEvent::KeeperIsClean => {
                if matches!(self.state.process, Process::Unkillable { .. }) {
                    self.enter(Process::Off);
                }
            }
            ProcessEvent::Seen(run) => {
                if run.0 > self.state.last_run {
                    self.state.edit().last_run = run.0;
                }
            }
            ProcessEvent::Stats(stats) => {
                if self.number() == Some(stats.run) {
                    self.stats.set(Some(stats));
                }
            }
            ProcessEvent::Ready { how } => self.ready(how, facts, turn),
            ProcessEvent::Useless { why } => self.useless(&why, facts, turn),
            ProcessEvent::StopBegun { reason } => self.stop_begun(&reason, facts, turn),
            ProcessEvent::MeetMatch(spec) => self.meet_match(&spec, facts, turn),
            ProcessEvent::TellAllocation => self.tell_allocation(facts, turn),
            ProcessEvent::Reused => {
                if let Some(run) = self.state.edit().process.run_mut() {
                    run.served += 1;
                }
            }
            ProcessEvent::Failed(failure) => self.failed(*failure, facts, turn),
            ProcessEvent::RestartCancelled => {
                if matches!(self.state.process, Process::Delayed { .. }) {
                    self.enter(Process::Off);
                }
            }
            ProcessEvent::RestAfterFailure => self.rest(facts, facts.settings.restart.window.get()),
            ProcessEvent::RestAfterRefusal => {
                let delay = self.state.edit().failures.delay(&facts.settings.restart, &mut turn.jitter);
                self.rest(facts, delay);
            }
            ProcessEvent::LateEnd(run) => self.late_end(run, turn),
            ProcessEvent::RepeatStep => {
                if matches!(self.state.process, Process::Failing(..))
                    && let Process::Failing(_, sequence, _) = &mut self.state.edit().process
                {
                    sequence.repeat(facts.now);
                }
            }
            ProcessEvent::Tick => self.tick(facts, turn),
        }
    }

    /// When [`ProcessEvent::Tick`] does something next.
    pub(super) fn next_deadline(&self, facts: &Facts) -> Option<SteadyTime> {
        let closing = facts.game.phase == MatchPhase::Closing;
        let own = match &self.state.process {
            Process::Delayed { until, .. } => Some(*until),
            Process::Up(run) if run.ready.is_none() => {
                let delay = facts.settings.readiness.delay.get();
                let by_delay = facts.settings.readiness.by == ReadyBy::Delay;
                let ready = run.up.map(|up| up + delay).filter(|_| by_delay);
                earliest([ready, run.ready_by.filter(|_| !closing)])
            }
            Process::Failing(_, sequence, _) if !closing => sequence.deadline(&facts.settings.stop_steps),
            Process::Off
            | Process::Up(_)
            | Process::Intended(_)
            | Process::Failing(..)
            | Process::Unkillable { .. } => None,
        };
        earliest([own, self.next_stats])
    }

    fn number(&self) -> Option<RunNumber> {
        self.state.process.run().map(|run| run.number)
    }

    fn enter(&mut self, process: Process) {
        self.state.edit().process = process;
    }

    fn intend(&mut self, spec: LaunchSpec, turn: &mut Turn) {
        let number = RunNumber(self.state.last_run + 1);
        let program = spec.argv.first().cloned().unwrap_or_default();
        turn.timeline("starting", format!("starting {program} (run {number})"), &[("run", &number.to_string())]);
        let state = self.state.edit();
        state.last_run = number.0;
        state.process = Process::Intended(Box::new(Run::new(number, Some(spec.clone()))));
        turn.after_commit(Effect::Keeper(KeeperOrder::Start { run: number, spec: Box::new(spec) }));
    }

    /// A start that the keeper wasn't told of yet needn't happen.
    fn take_back_start(&mut self, turn: &mut Turn) {
        if turn.withdraw(is_start) && matches!(self.state.process, Process::Intended(_)) {
            self.enter(Process::Off);
        }
    }

    fn never_started(&mut self, facts: &Facts, turn: &mut Turn) {
        if facts.game.phase == MatchPhase::Closing {
            turn.withdraw(is_start);
            return self.enter(Process::Off);
        }
        let Process::Intended(run) = &self.state.process else { return };
        let Some(spec) = run.spec.clone() else { return };
        turn.withdraw(is_start);
        turn.after_commit(Effect::Keeper(KeeperOrder::Start { run: run.number, spec: Box::new(spec) }));
    }

    fn started(&mut self, number: RunNumber, pid: i32, started: Timestamp, facts: &Facts, turn: &mut Turn) {
        match &self.state.process {
            Process::Intended(run) if run.number == number => {
                let mut run = run.clone();
                run.pid = Some(pid);
                run.started = Some(started);
                run.up = Some(facts.now);
                run.ready_by = Some(facts.now + facts.settings.readiness.timeout.get());
                let proved = run.proved.take();
                self.enter(Process::Up(run));
                self.attend(facts, turn);
                if let Some(how) = proved {
                    self.ready(&how, facts, turn);
                }
            }
            Process::Up(run) | Process::Failing(run, ..) if run.number == number && run.pid != Some(pid) => {
                if let Some(run) = self.state.edit().process.run_mut() {
                    run.pid = Some(pid);
                }
            }
            Process::Off
            | Process::Delayed { .. }
            | Process::Intended(_)
            | Process::Up(_)
            | Process::Failing(..)
            | Process::Unkillable { .. } => {}
        }
    }

    fn adopted(&mut self, number: RunNumber, pid: i32, facts: &Facts, turn: &mut Turn) {
        self.attend(facts, turn);
        // What it would have sent meanwhile it couldn't: it gets some time, whatever the deadline
        // was.
        let grace = facts.settings.readiness.timeout.get().min(Duration::from_secs(10));
        if self.state.process.run().is_some_and(|run| run.ready_by.is_some())
            && let Some(run) = self.state.edit().process.run_mut()
        {
            run.ready_by = run.ready_by.map(|at| at.max(facts.now + grace));
        }
        if self.state.process.run().is_some_and(|run| run.ready.is_some()) {
            turn.signal(Signal::RunReady);
        }
        turn.timeline("adopted", format!("took over run {number} (pid {pid})"), &[("run", &number.to_string())]);
    }

    /// A game runs that nothing explains: it is kept, and stopped only when somebody says so.
    fn unexplained(&mut self, number: RunNumber, pid: i32, started: Timestamp, facts: &Facts, turn: &mut Turn) {
        let mut run = Run::new(number, None);
        run.pid = Some(pid);
        run.started = Some(started);
        run.up = Some(facts.now);
        let state = self.state.edit();
        state.last_run = state.last_run.max(number.0);
        state.process = Process::Up(Box::new(run));
        let text = format!(
            "run {number} (pid {pid}) is known to no journal and no record; it is kept. `gameside stop` ends it"
        );
        turn.timeline("stranger", text, &[("run", &number.to_string())]);
        self.attend(facts, turn);
    }

    /// Has the run watched, from its start or from its adoption.
    fn attend(&mut self, facts: &Facts, turn: &mut Turn) {
        let Some(run) = self.number() else { return };
        turn.effect(Effect::Watch(Watch::Run { run, ports: facts.settings.launch.ports.clone() }));
        self.next_stats = Some(facts.now);
        turn.signal(Signal::RunAttended);
        self.tell_what_is_in_force(run, facts, turn);
    }

    /// What is in force for a run that this life of the agent hasn't told anything yet.
    fn tell_what_is_in_force(&mut self, run: RunNumber, facts: &Facts, turn: &mut Turn) {
        if self.told == Some(run) || facts.keeper.runs_unexplained() {
            return;
        }
        self.told = Some(run);
        self.tell_allocation(facts, turn);
        if let Some((reason, Some(deadline))) = &facts.game.drain {
            turn.notify(run, GameNotice::Drain { reason: reason.clone(), deadline: deadline.0 });
        }
        let failing = matches!(self.state.process, Process::Failing(..));
        if facts.game.phase == MatchPhase::Closing || failing {
            turn.notify(run, GameNotice::Stop { within: StopSequence::total(&facts.settings.stop_steps) });
        }
    }

    fn tell_allocation(&mut self, facts: &Facts, turn: &mut Turn) {
        if let (Some(run), Some(game)) = (self.number(), &facts.game.game) {
            turn.notify(run, game.allocated());
        }
    }

    /// Readiness was proved. Of a run that the keeper hasn't told of yet, this is kept until it does.
    fn ready(&mut self, how: &str, facts: &Facts, turn: &mut Turn) {
        match &self.state.process {
            Process::Up(run) if run.ready.is_none() => {}
            Process::Intended(run) => {
                if run.proved.as_deref() != Some(how)
                    && let Some(run) = self.state.edit().process.run_mut()
                {
                    run.proved = Some(how.to_owned());
                }
                return;
            }
            Process::Off
            | Process::Delayed { .. }
            | Process::Up(_)
            | Process::Failing(..)
            | Process::Unkillable { .. } => return,
        }
        let Some(run) = self.state.edit().process.run_mut() else { return };
        run.ready = Some(facts.now);
        run.ready_by = None;
        let took = run.up.map_or(Duration::ZERO, |up| facts.now.since(up));
        turn.signal(Signal::RunReady);
        turn.timeline("ready", format!("the game is ready after {} ms ({how})", took.as_millis()), &[("by", how)]);
    }

    fn tick(&mut self, facts: &Facts, turn: &mut Turn) {
        let closing = facts.game.phase == MatchPhase::Closing;
        match &self.state.process {
            Process::Delayed { until, .. } if facts.now >= *until => self.enter(Process::Off),
            Process::Up(run) if run.ready.is_none() => {
                let delay = facts.settings.readiness.delay.get();
                let waited = run.up.is_some_and(|up| facts.now >= up + delay);
                if facts.settings.readiness.by == ReadyBy::Delay && waited {
                    self.ready("delay", facts, turn);
                } else if run.ready_by.is_some_and(|by| facts.now >= by) && !closing {
                    let span = facts.settings.readiness.timeout;
                    self.useless(&format!("it did not get ready within {span}"), facts, turn);
                }
            }
            Process::Failing(..) if !closing => self.stop_on(facts, turn),
            Process::Off
            | Process::Up(_)
            | Process::Delayed { .. }
            | Process::Failing(..)
            | Process::Intended(_)
            | Process::Unkillable { .. } => {}
        }
        self.ask_for_stats(facts, turn);
    }

    fn ask_for_stats(&mut self, facts: &Facts, turn: &mut Turn) {
        if self.next_stats.is_some_and(|at| facts.now >= at) {
            if matches!(self.state.process, Process::Up(_)) && facts.keeper.connected {
                turn.order(KeeperOrder::Stats);
            }
            self.next_stats = self.number().map(|_| facts.now + STATS_EVERY);
        }
    }

    /// The run is no use: the stop sequence, then the restart policy.
    fn useless(&mut self, why: &str, facts: &Facts, turn: &mut Turn) {
        let Process::Up(run) = &self.state.process else { return };
        let number = run.number;
        let failing = Process::Failing(run.clone(), StopSequence::new(facts.now, None), why.to_owned());
        self.enter(failing);
        turn.notify(number, GameNotice::Stop { within: StopSequence::total(&facts.settings.stop_steps) });
        turn.timeline("stopping", format!("stopping the game: {why}"), &[("reason", why)]);
    }

    fn stop_on(&mut self, facts: &Facts, turn: &mut Turn) {
        let steps = &facts.settings.stop_steps;
        let due = |sequence: &StopSequence| sequence.deadline(steps).is_some_and(|at| facts.now >= at);
        if !matches!(&self.state.process, Process::Failing(_, sequence, _) if due(sequence)) {
            return;
        }
        let Process::Failing(run, sequence, _) = &mut self.state.edit().process else { return };
        while let Some(action) = sequence.next(steps, facts.now) {
            turn.effect(carry_out(run.number, action));
        }
    }

    /// The match is being closed, and its stop sequence ends the process.
    fn stop_begun(&mut self, reason: &str, facts: &Facts, turn: &mut Turn) {
        self.take_back_start(turn);
        if let Process::Up(run) | Process::Failing(run, ..) = &self.state.process {
            let within = StopSequence::total(&facts.settings.stop_steps);
            turn.notify(run.number, GameNotice::Stop { within });
            turn.timeline("stopping", format!("stopping the game: {reason}"), &[("reason", reason)]);
        }
        if let Process::Failing(run, ..) = &self.state.process {
            let up = Process::Up(run.clone());
            self.enter(up);
        }
    }

    /// A game is already up when the match begins: it serves if it would be started just so.
    fn meet_match(&mut self, wanted: &LaunchSpec, facts: &Facts, turn: &mut Turn) {
        let (Process::Up(run) | Process::Intended(run)) = &self.state.process else { return };
        let same = run.spec.as_ref().is_some_and(|warm| launch::same_launch(warm, wanted));
        if same && matches!(self.state.process, Process::Up(_)) {
            self.tell_allocation(facts, turn);
        } else if !same {
            // An intended one may or may not have been started: the stop sequence settles it, once
            // the keeper has said so.
            let up = Process::Up(run.clone());
            self.enter(up);
            self.useless(REPLACED, facts, turn);
        }
    }

    /// A run of ours ended, and its containment is empty.
    fn exited(&mut self, report: ExitReport, facts: &Facts, turn: &mut Turn) {
        let (run, failing) = match &self.state.process {
            Process::Intended(run) | Process::Up(run) => (run.as_ref().clone(), None),
            Process::Failing(run, _, why) => (run.as_ref().clone(), Some(why.clone())),
            Process::Off | Process::Delayed { .. } | Process::Unkillable { .. } => return,
        };
        self.enter(Process::Off);
        turn.withdraw(is_start);
        self.stats.set(None);
        self.next_stats = None;
        let how = describe(&report.status);
        let status = failing.clone().map_or_else(|| how.clone(), |why| format!("{why}; {how}"));
        turn.effect(Effect::Watch(Watch::Nothing));
        let fields = [("run", report.run.to_string()), ("status", how.clone())];
        let fields = [(fields[0].0, fields[0].1.as_str()), (fields[1].0, fields[1].1.as_str())];
        turn.timeline("exit", format!("the game ended: {how}"), &fields);
        turn.after_commit(Effect::ExitHook { report: report.clone(), reason: status.clone() });
        if report.status != ExitStatus::Lost {
            turn.after_commit(Effect::Keeper(KeeperOrder::ExitTaken { run: report.run }));
        }
        let announced = facts.words.announced_end;
        turn.signal(Signal::RunEnded(Box::new(RunEnd { run, failing, status, announced, report })));
    }

    fn lost(&mut self, facts: &Facts, turn: &mut Turn) {
        let Some(run) = self.state.process.run() else { return };
        let report = ExitReport {
            run: run.number,
            status: ExitStatus::Lost,
            started: run.started.unwrap_or(facts.wall),
            ended: facts.wall,
            stopped_at_step: None,
            stragglers: 0,
            peak_memory: None,
            core_path: None,
        };
        self.exited(report, facts, turn);
    }

    fn unkillable(&mut self, run: RunNumber, left: u32, turn: &mut Turn) {
        if matches!(self.state.process, Process::Unkillable { .. }) {
            return;
        }
        self.enter(Process::Unkillable { run, left });
        let why = format!("{left} processes of run {run} can't be killed");
        turn.timeline("unkillable", format!("{why}; nothing is started here again"), &[]);
        turn.signal(Signal::Unkillable { why });
    }

    /// An end that nobody asked for: it is written into the crash book, which decides.
    fn failed(&mut self, failure: RunFailure, facts: &Facts, turn: &mut Turn) {
        let RunFailure { end, success } = failure;
        let policy = &facts.settings.restart;
        let in_match = facts.game.game.is_some();
        let failures = &mut self.state.edit().failures;
        match failures.book(policy, end.run.up, success, facts.now, &mut turn.jitter) {
            Next::Again { delay } => self.restart(&end, delay, facts, turn),
            Next::NotAgain if in_match => {
                self.rest(facts, policy.delay.get());
                turn.signal(Signal::NotAgain { status: end.status, report: Box::new(end.report) });
            }
            Next::NotAgain => self.restart(&end, policy.delay.get(), facts, turn),
            Next::Loop { failures } => {
                let why = if in_match {
                    format!("crash loop, {failures} failures: {}", end.status)
                } else {
                    format!("crash loop of the warm game: {}", end.status)
                };
                turn.signal(Signal::CrashLoop { why, report: Box::new(end.report) });
            }
        }
    }

    fn restart(&mut self, end: &RunEnd, delay: Duration, facts: &Facts, turn: &mut Turn) {
        let (until, after) = (facts.now + delay, end.run.number);
        self.enter(Process::Delayed { until, after, stopped: end.failing.is_some() });
        let text = format!("starting the game again in {} ms: {}", delay.as_millis(), end.status);
        turn.timeline("restart", text, &[("reason", &end.status)]);
        turn.signal(Signal::Restarting);
    }

    fn rest(&mut self, facts: &Facts, span: Duration) {
        self.state.edit().failures.rest_until = Some(facts.now + span);
    }

    /// `Shutdown` that arrives after the exit that it announced: the end was orderly after all.
    fn late_end(&mut self, run: RunNumber, turn: &mut Turn) {
        if !matches!(self.state.process, Process::Delayed { after, stopped: false, .. } if after == run) {
            return;
        }
        let state = self.state.edit();
        if let Process::Delayed { stopped, .. } = &mut state.process {
            // It counts once.
            *stopped = true;
        }
        state.failures.times.pop();
        turn.signal(Signal::EndWasAnnounced);
    }
}

fn is_start(effect: &Effect) -> bool {
    matches!(effect, Effect::Keeper(KeeperOrder::Start { .. }))
}

/// A step of a stop sequence, to be carried out.
pub(super) fn carry_out(run: RunNumber, action: StopAction) -> Effect {
    Effect::Keeper(match action {
        StopAction::Stdin(line) => KeeperOrder::Stdin { run, line },
        StopAction::Signal(signal) => KeeperOrder::Signal { run, signal },
        StopAction::Kill => KeeperOrder::Kill { run },
        StopAction::Ask => return Effect::AskToQuit { run },
    })
}

/// The process is fit for another match.
pub(super) fn may_serve_again(facts: &Facts) -> bool {
    let (policy, process) = (&facts.settings.recycle, &facts.process);
    let young = policy.after.is_none_or(|age| process.up.is_some_and(|up| facts.now.since(up) < age.get()));
    let small = policy.memory.is_none_or(|limit| process.memory.is_none_or(|memory| memory < limit.0));
    let fresh = policy.after_matches == 0 || process.served + 1 < policy.after_matches;
    let well = !facts.words.announced_end && !facts.health.is_bad;
    process.state == ProcessIs::Up && process.ready.is_some() && young && small && fresh && well
}
