//! One run of the game: from fork to an empty containment.
//!
//! ```text
//!   Starting ──exec worked──► Running ──first process ends──► nothing left? ──yes──► over
//!       │                        │                                │ no
//!       └─exec failed──► over    │                   forking: lives on, until nothing does
//!                                │                   else: a moment, then stop sequence ──► SIGKILL ──► over
//!                                └─ kill, or its end ──► SIGKILL until nothing lives ──► over
//!                                                                     └─ last deadline ──► unkillable
//! ```
//!
//! Invariant: `over` means that nothing of the run lives, by descent and by cgroup; only then may
//! the next run start.

use super::{
    Instant,
    cgroup::{self, Leaf},
    console::Console,
    last_lines::LastLines,
    output::OutputPipe,
    process_tree::{self, Process},
    spawn::{Child, ExecFailure, ExecOutcome},
    stop_sequence::{NextStep, StopSequence},
    sys,
};
use crate::{
    host::clock,
    keeper::protocol::{Event, Stream},
    model::{
        ids::RunNumber,
        process::{ExitReport, ExitStatus, FallbackPolicy, LaunchSpec, OutputFrom, StopAction},
        time::Timestamp,
    },
};
use std::{os::fd::OwnedFd, os::unix::process::ExitStatusExt, time::Duration};

/// What the first process leaves behind is given so long to end by itself.
const GRACE: Duration = Duration::from_millis(250);
/// How often SIGKILL is repeated while something lives.
const KILL_AGAIN: Duration = Duration::from_millis(50);
/// How long a core file may take to be written before its process is killed all the same.
const CORE_BOUND: Duration = Duration::from_secs(60);

/// A run that isn't over yet.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) number: RunNumber,
    pub(super) spec: Box<LaunchSpec>,
    /// The first process. While `main_lives` it isn't reaped, so neither its pid nor its group's can be anybody else's.
    pub(super) pid: i32,
    main_lives: bool,
    pub(super) started: Timestamp,
    /// Where in the log its output begins.
    pub(super) output_from: Option<OutputFrom>,
    pub(super) leaf: Option<Leaf>,
    /// Open until exec has closed it or failed.
    pub(super) outcome: Option<OwnedFd>,
    pub(super) console: Console,
    pub(super) outputs: Vec<(Stream, OutputPipe)>,
    pub(super) stop: Option<StopSequence>,
    killing: Option<Killing>,
    failed: Option<ExecFailure>,
    /// The first process has gone and others live, which the stop sequence is for.
    leftover: Leftover,
    pub(super) last_lines: LastLines,
    status: Option<ExitStatus>,
    step: Option<u32>,
    /// When it was over. The report may wait a little for its gateway.
    pub(super) ended: Option<Timestamp>,
    /// When a gateway that served it crashed, the last time.
    pub(super) gateway_ended: Option<Timestamp>,
    stragglers: u32,
    peak: u64,
    killed: bool,
    oom_before: u64,
}

/// What the first process has left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftover {
    Nothing,
    /// It may end by itself, for a moment.
    Waiting,
    /// So many are being stopped, and nobody was told.
    Untold(u32),
    Told,
}

/// SIGKILL under way.
#[derive(Debug)]
struct Killing {
    again: Instant,
    deadline: Instant,
    cores_until: Instant,
}

/// What [`Run::advance`] led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RunStep {
    GoesOn,
    /// So many could not be killed by the last deadline.
    Unkillable(u32),
}

/// A run that has just been started.
pub(super) struct Spawned {
    pub(super) child: Child,
    pub(super) started: Timestamp,
    pub(super) leaf: Option<Leaf>,
    pub(super) console: Console,
    pub(super) outputs: Vec<(Stream, OutputPipe)>,
    pub(super) output_from: Option<OutputFrom>,
}

impl Run {
    /// That it runs, for whoever asks.
    pub(super) fn started_event(&self) -> Event {
        let (run, pid, started, output_from) = (self.number, self.pid, self.started, self.output_from);
        Event::Started { run, pid, started, output_from }
    }

    pub(super) fn new(number: RunNumber, spec: Box<LaunchSpec>, begun: Spawned) -> Run {
        let oom_before = begun.leaf.as_ref().map_or_else(cgroup::own_oom_kills, Leaf::oom_kills);
        Run {
            number,
            spec,
            pid: begun.child.pid,
            main_lives: true,
            started: begun.started,
            output_from: begun.output_from,
            leaf: begun.leaf,
            outcome: Some(begun.child.outcome),
            console: begun.console,
            outputs: begun.outputs,
            stop: None,
            killing: None,
            failed: None,
            leftover: Leftover::Nothing,
            last_lines: LastLines::default(),
            status: None,
            step: None,
            ended: None,
            gateway_ended: None,
            stragglers: 0,
            peak: 0,
            killed: false,
            oom_before,
        }
    }

    /// Reads whether exec worked. True when it did, and this is the first call that can tell.
    pub(super) fn read_outcome(&mut self) -> bool {
        let Some(pipe) = &self.outcome else { return false };
        let outcome = ExecOutcome::read(pipe);
        if outcome == ExecOutcome::NotYet {
            return false;
        }
        self.outcome = None;
        if let ExecOutcome::Failed(why) = outcome {
            self.failed = Some(why);
            return false;
        }
        true
    }

    /// Every living process of the run. `helpers` are the keeper's own children, which don't belong to it.
    pub(super) fn members(&self, helpers: &[i32]) -> Vec<Process> {
        let mut members = process_tree::descendants(std::process::id() as i32, helpers);
        for pid in self.leaf.iter().flat_map(Leaf::pids) {
            if !members.iter().any(|member| member.pid == pid) {
                members.extend(process_tree::look(pid).filter(|process| !process.zombie));
            }
        }
        members
    }

    /// A child of ours has ended: the first process, or an orphan of the run that was reparented to us.
    pub(super) fn reaped(&mut self, child: &sys::Reaped) {
        let status = match (child.status.code(), child.status.signal()) {
            (_, Some(signal)) => ExitStatus::Signaled { signal, core: child.status.core_dumped() },
            (code, None) => ExitStatus::Exited { code: code.unwrap_or(0) },
        };
        self.peak = self.peak.max(child.peak);
        let first = child.pid == self.pid && self.main_lives;
        if first {
            self.main_lives = false;
        }
        // A daemon's own end says more than that of the wrapper that started it.
        if first || (self.spec.forking && !self.main_lives) {
            self.status = Some(status);
        }
    }

    /// What is to be told of processes that the first one has left behind, once.
    pub(super) fn left_behind(&mut self) -> Option<Event> {
        let (Leftover::Untold(left), Some(status)) = (self.leftover, &self.status) else { return None };
        self.leftover = Leftover::Told;
        Some(Event::LeftBehind { run: self.number, status: status.clone(), left })
    }

    /// Whether it is over, asked after children were reaped. If the first process has gone and others live, the stop sequence begins for
    /// these stragglers.
    pub(super) fn is_over(&mut self, helpers: &[i32], policy: &FallbackPolicy, now: Instant) -> bool {
        if self.main_lives {
            return false;
        }
        let members = self.members(helpers);
        if members.is_empty() && process_tree::is_childless(helpers) && !self.leaf.as_ref().is_some_and(Leaf::populated)
        {
            return true;
        }
        if self.spec.forking && self.failed.is_none() {
            if let Some(oldest) = members.iter().min_by_key(|process| process.born) {
                self.pid = oldest.pid;
            }
        } else if self.stop.is_none() && self.killing.is_none() {
            self.leftover = Leftover::Waiting;
            self.stop = Some(StopSequence::new(policy, now + GRACE));
        }
        false
    }

    /// A signal to the first process group while its leader is there; afterwards to everything that is left.
    pub(super) fn signal(&self, signal: i32, helpers: &[i32]) {
        if self.main_lives {
            let _ = sys::signal_group(self.pid, signal);
            return;
        }
        for process in self.members(helpers) {
            let _ = process_tree::signal(&process, signal);
        }
    }

    /// From now on SIGKILL, until nothing lives.
    pub(super) fn kill(&mut self, last_deadline: Duration, now: Instant) {
        self.killed = true;
        self.stop = None;
        if self.killing.is_none() {
            self.killing = Some(Killing { again: now, deadline: now + last_deadline, cores_until: now + CORE_BOUND });
        }
    }

    /// Does what is due by the clock: the next step of the stop sequence, or SIGKILL again.
    pub(super) fn advance(&mut self, now: Instant, helpers: &[i32], last_deadline: Duration) -> RunStep {
        let next = self.stop.as_mut().map_or(NextStep::Wait, |stop| stop.next(now));
        if next != NextStep::Wait && self.leftover == Leftover::Waiting {
            self.stragglers = self.members(helpers).len().max(1) as u32;
            self.leftover = Leftover::Untold(self.stragglers);
        }
        match next {
            NextStep::Wait => {}
            NextStep::Last { step } => {
                self.step = Some(step);
                self.kill(last_deadline, now);
            }
            NextStep::Do { step, action } => {
                self.step = Some(step);
                match action {
                    StopAction::Stdin(line) => drop(self.console.push(&line)),
                    StopAction::Signal(signal) => self.signal(signal, helpers),
                    StopAction::Kill => self.kill(last_deadline, now),
                    // Only the agent can ask the game: on to the next step.
                    StopAction::Ask => self.stop.as_mut().map_or((), |stop| stop.hasten(now)),
                }
            }
        }
        if self.killing.as_ref().is_some_and(|killing| now >= killing.again) {
            return self.kill_now(now, helpers, last_deadline);
        }
        RunStep::GoesOn
    }

    fn kill_now(&mut self, now: Instant, helpers: &[i32], last_deadline: Duration) -> RunStep {
        let mut members = self.members(helpers);
        let Some(killing) = &mut self.killing else { return RunStep::GoesOn };
        killing.again = now + KILL_AGAIN;
        let all = members.len();
        if now < killing.cores_until {
            members.retain(|process| !process_tree::is_dumping(process.pid));
        }
        if members.len() < all {
            killing.deadline = now + last_deadline;
        } else if now >= killing.deadline {
            return if all == 0 { RunStep::GoesOn } else { RunStep::Unkillable(all as u32) };
        } else if let Some(leaf) = &self.leaf {
            leaf.kill();
        }
        // Processes that fork faster than we look are found again: at once for a few rounds, then
        // every KILL_AGAIN.
        for _ in 0..5 {
            for process in &members {
                let _ = process_tree::signal(process, libc::SIGKILL);
            }
            let known: Vec<i32> = members.iter().map(|process| process.pid).collect();
            members = self.members(helpers);
            members.retain(|process| !known.contains(&process.pid) && !process_tree::is_dumping(process.pid));
            if members.is_empty() {
                break;
            }
        }
        RunStep::GoesOn
    }

    /// The keeper could do nothing for so long: that counts against no deadline.
    pub(super) fn delay(&mut self, span: Duration) {
        if let Some(stop) = &mut self.stop {
            stop.delay(span);
        }
        if let Some(killing) = &mut self.killing {
            killing.deadline = killing.deadline + span;
            killing.cores_until = killing.cores_until + span;
        }
    }

    /// The stop sequence or SIGKILL is under way.
    pub(super) fn is_ending(&self) -> bool {
        self.stop.is_some() || self.killing.is_some()
    }

    /// When [`Run::advance`] wants to be called next.
    pub(super) fn due(&self) -> Option<Instant> {
        let stop = self.stop.as_ref().map(StopSequence::due);
        let killing = self.killing.as_ref().map(|killing| killing.again);
        [stop, killing].into_iter().flatten().min()
    }

    /// Its program was executed, as far as we know.
    pub(super) fn was_executed(&self) -> bool {
        self.failed.is_none()
    }

    /// The report of a run that is over.
    pub(super) fn report(&self, last_words: Option<String>) -> ExitReport {
        let oom = self.leaf.as_ref().map_or_else(cgroup::own_oom_kills, Leaf::oom_kills) > self.oom_before;
        let status = match (&self.failed, &self.status) {
            (Some(failure), _) => ExitStatus::SpawnFailed { error: failure.why.clone() },
            (None, Some(ExitStatus::Signaled { signal: libc::SIGKILL, .. })) if oom && !self.killed => {
                ExitStatus::OomKilled
            }
            (None, Some(status)) => status.clone(),
            (None, None) => ExitStatus::Lost,
        };
        let peak = self.leaf.as_ref().and_then(|leaf| leaf.number("memory.peak")).unwrap_or(self.peak);
        let core = matches!(status, ExitStatus::Signaled { core: true, .. });
        ExitReport {
            run: self.number,
            core_path: if core { super::stats::core_path(self.pid, self.spec.dir.as_deref()) } else { None },
            status,
            started: self.started,
            ended: self.ended.unwrap_or_else(clock::wall),
            stopped_at_step: self.step,
            stragglers: self.stragglers,
            peak_memory: Some(peak).filter(|peak| *peak > 0),
            last_words,
            gateway_ended: self.gateway_ended,
            shortage: false,
            lasting: self.failed.as_ref().is_some_and(|failure| failure.lasting),
            last_lines: self.last_lines.texts(),
        }
    }
}
