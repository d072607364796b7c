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
//!
//! | file | holds |
//! |---|---|
//! | this one | what happens to the process, and what time brings about |
//! | [`start`] | from the intent to the proof of readiness, or to the adoption of a run |
//! | [`stop`] | why a run is stopped, and the steps of it |
//! | [`run_end`] | the end of a run, and whether the game is started again |
//! | [`state`] | what is remembered of the process, and what others know of it |

mod run_end;
mod start;
mod state;
mod stop;

pub(super) use state::{Process, ProcessFacts, ProcessState, ProcessStatus, REPLACED, Run, RunEnd};

use super::{
    decisions::Decisions,
    facts::Facts,
    game_match::MatchPhase,
    revision::{Revision, Tracked},
    signal::RunFailure,
    steady_time::{SteadyTime, earliest},
};
use crate::model::{
    ids::RunNumber,
    keeper::KeeperOrder,
    policy::ReadyBy,
    process::{ExitReport, ExitStatus, LaunchSpec, OutputFrom, OutputRead, ProcessStats},
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
        output_from: Option<OutputFrom>,
    },
    /// So far its output has been read.
    OutputRead {
        run: RunNumber,
        read: OutputRead,
    },
    /// How far it has been read is written down.
    RecordOutput,
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
    /// The first process has ended like this, others of the run live on, and the keeper is stopping them.
    LeftBehind {
        run: RunNumber,
        status: ExitStatus,
    },
    Exited(ExitReport),
    StartRefused {
        run: RunNumber,
        why: String,
    },
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
    /// A probe found that it isn't up yet.
    NotYet {
        why: String,
    },
    /// The run is no use, and is to be stopped.
    Useless {
        why: String,
    },
    StopBegun {
        reason: String,
    },
    /// A match begins, for which the game would be started like this.
    MeetMatch(Box<LaunchSpec>),
    /// The game is told which match it serves.
    TellAllocation,
    /// The process serves another match.
    Reused,
    /// A run ended without being asked to: is it started again?
    Failed(Box<RunFailure>),
    RestartCancelled,
    RestAfterFailure,
    /// The session service refused the instance: no allocation is taken for a while.
    RestAfterRefusal,
    /// The game announced the end of this run; that came in after its exit.
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
    /// The run that this life of the agent has told of its match, and of a drain or stop.
    told: Option<RunNumber>,
    /// How far the run's output was read, where that isn't remembered yet.
    output: Option<(RunNumber, OutputRead)>,
    /// Since when the run is being stopped, if this life of the agent began that.
    stopping_since: Option<SteadyTime>,
    /// What a probe of the run found last, as long as it isn't ready.
    not_yet: Option<(RunNumber, String)>,
}

/// What the keeper says of a run that is up.
#[derive(Debug, Clone, Copy)]
struct StartedRun {
    number: RunNumber,
    pid: i32,
    started: Timestamp,
    output_from: Option<OutputFrom>,
}

impl ProcessMachine {
    pub(super) fn restore(state: ProcessState) -> Self {
        ProcessMachine { state: Tracked::new(state), ..ProcessMachine::default() }
    }

    /// Replaces the memory by another one: the keeper's record.
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
                Process::Off => ProcessStatus::Off,
                Process::Delayed { .. } => ProcessStatus::Delayed,
                Process::Intended(_) => ProcessStatus::Intended,
                Process::Up(_) => ProcessStatus::Up,
                Process::Failing(_, _, why) => ProcessStatus::Failing { why: why.clone() },
                Process::Unkillable { left, .. } => ProcessStatus::Unkillable { left: *left },
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

    pub(super) fn on(&mut self, event: ProcessEvent, facts: &Facts, decisions: &mut Decisions) {
        match event {
            ProcessEvent::Launch(spec) => self.intend(*spec, facts, decisions),
            ProcessEvent::NeverStarted => self.never_started(facts, decisions),
            ProcessEvent::Started { run, pid, started, output_from } => {
                self.started(StartedRun { number: run, pid, started, output_from }, facts, decisions);
            }
            ProcessEvent::OutputRead { run, read } => self.output_read(run, read),
            ProcessEvent::RecordOutput => self.record_output(),
            ProcessEvent::Adopted { run, pid } => self.adopted(run, pid, facts, decisions),
            ProcessEvent::Unexplained { run, pid, started } => self.unexplained(run, pid, started, facts, decisions),
            ProcessEvent::LeftBehind { run, status } => self.left_behind(run, &status, facts, decisions),
            ProcessEvent::Exited(report) => self.exited(report, facts, decisions),
            ProcessEvent::StartRefused { run, why } => self.start_refused(run, why, facts, decisions),
            ProcessEvent::Lost => self.lost(facts, decisions),
            ProcessEvent::Unkillable { run, left } => self.unkillable(run, left, decisions),
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
            ProcessEvent::Stats(stats) if self.number() == Some(stats.run) => self.stats.set(Some(stats)),
            ProcessEvent::Stats(_) => {}
            ProcessEvent::Ready { how } => self.ready(how, facts, decisions),
            ProcessEvent::NotYet { why } => self.not_yet = self.number().map(|run| (run, why)),
            ProcessEvent::Useless { why } => self.useless(&why, facts, decisions),
            ProcessEvent::StopBegun { reason } => self.stop_begun(&reason, facts, decisions),
            ProcessEvent::MeetMatch(spec) => self.meet_match(&spec, facts, decisions),
            ProcessEvent::TellAllocation => self.tell_allocation(facts, decisions),
            ProcessEvent::Reused => {
                if let Some(run) = self.state.edit().process.run_mut() {
                    run.served += 1;
                }
            }
            ProcessEvent::Failed(failure) => self.failed(*failure, facts, decisions),
            ProcessEvent::RestartCancelled => {
                if matches!(self.state.process, Process::Delayed { .. }) {
                    self.enter(Process::Off);
                }
            }
            ProcessEvent::RestAfterFailure => self.rest(facts, facts.settings.restart.window.get()),
            ProcessEvent::RestAfterRefusal => {
                let delay = self.state.edit().failures.delay(&facts.settings.restart, &mut decisions.jitter);
                self.rest(facts, delay);
            }
            ProcessEvent::LateEnd(run) => self.late_end(run, decisions),
            ProcessEvent::RepeatStep => {
                if matches!(self.state.process, Process::Failing(..))
                    && let Process::Failing(_, sequence, _) = &mut self.state.edit().process
                {
                    sequence.repeat(facts.now);
                }
            }
            ProcessEvent::Tick => self.tick(facts, decisions),
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
            Process::Intended(run) => run.ready_by.filter(|_| !closing),
            Process::Off | Process::Up(_) | Process::Failing(..) | Process::Unkillable { .. } => None,
        };
        earliest([own, self.next_stats])
    }

    fn number(&self) -> Option<RunNumber> {
        self.state.process.run().map(|run| run.number)
    }

    fn enter(&mut self, process: Process) {
        self.state.edit().process = process;
    }

    fn tick(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let closing = facts.game.phase == MatchPhase::Closing;
        match &self.state.process {
            Process::Delayed { until, .. } if facts.now >= *until => self.enter(Process::Off),
            Process::Up(run) if run.ready.is_none() => {
                let delay = facts.settings.readiness.delay.get();
                let waited = run.up.is_some_and(|up| facts.now >= up + delay);
                if facts.settings.readiness.by == ReadyBy::Delay && waited {
                    self.ready("delay", facts, decisions);
                } else if run.ready_by.is_some_and(|by| facts.now >= by) && !closing {
                    let span = facts.settings.readiness.timeout;
                    let missing = self.missing_proof(facts);
                    self.useless(&format!("it did not get ready within {span}: {missing}"), facts, decisions);
                }
            }
            Process::Intended(run) if run.ready_by.is_some_and(|by| facts.now >= by) && !closing => {
                self.never_came_up(facts, decisions);
            }
            Process::Failing(..) if !closing => self.stop_on(facts, decisions),
            Process::Off
            | Process::Up(_)
            | Process::Delayed { .. }
            | Process::Failing(..)
            | Process::Intended(_)
            | Process::Unkillable { .. } => {}
        }
        self.ask_for_stats(facts, decisions);
    }

    fn ask_for_stats(&mut self, facts: &Facts, decisions: &mut Decisions) {
        if self.next_stats.is_some_and(|at| facts.now >= at) {
            if matches!(self.state.process, Process::Up(_)) && facts.keeper.connected {
                decisions.order(KeeperOrder::Stats);
            }
            self.next_stats = self.number().map(|_| facts.now + STATS_EVERY);
        }
    }
}
