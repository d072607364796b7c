//! What is remembered of the process and its run, and what others know of it.

use crate::{
    core::{crash_book::Failures, steady_time::SteadyTime, stop_sequence::StopSequence},
    model::{
        ids::RunNumber,
        process::{ExitReport, ExitStatus, LAUNCHER, LaunchSpec, OutputRead},
        time::Timestamp,
    },
};

/// The reason of a run that was ended to make room for one with another launch; no failure.
pub(crate) const REPLACED: &str = "another launch is wanted";

/// The reason for the end of a match whose game can't be started; the exit before it says why.
const UNSTARTABLE: &str = "the game can't be started like this, so it isn't tried again";

/// The state of the game's process, with what belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Process {
    Off,
    /// It is started again, but not before `until`.
    Delayed {
        until: SteadyTime,
        /// The run that ended.
        after: RunNumber,
        /// That run was stopped by us: that it had announced its end changes nothing any more.
        stopped: bool,
        /// The end of that run isn't in the crash book.
        uncounted: bool,
    },
    /// The start is ordered, or about to be; the keeper hasn't said yet that it runs.
    Intended(Box<Run>),
    Up(Box<Run>),
    /// The run is no use, for this reason: its stop sequence runs, then the restart policy decides.
    Failing(Box<Run>, StopSequence, String),
    Unkillable {
        run: RunNumber,
        left: u32,
    },
}

/// One run of the game.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    pub number: RunNumber,
    /// None: the run was adopted, and no record says how it was started.
    pub spec: Option<LaunchSpec>,
    pub pid: Option<i32>,
    pub started: Option<Timestamp>,
    /// Since when the process is known to run.
    pub up: Option<SteadyTime>,
    /// A start that takes longer has failed.
    pub ready_by: Option<SteadyTime>,
    pub ready: Option<SteadyTime>,
    /// How it was proved ready before the keeper said that it runs: either may come in first.
    pub proved: Option<String>,
    /// Matches that it served to their end.
    pub served: u32,
    /// How far its output has been read.
    pub output: Option<OutputRead>,
}

impl Run {
    pub(crate) fn new(number: RunNumber, spec: Option<LaunchSpec>) -> Self {
        Run {
            number,
            spec,
            pid: None,
            started: None,
            up: None,
            ready_by: None,
            ready: None,
            proved: None,
            served: 0,
            output: None,
        }
    }

    /// Its process is there, as seen now.
    pub(crate) fn came_up(&mut self, pid: i32, started: Timestamp, now: SteadyTime) {
        self.pid = Some(pid);
        self.started = Some(started);
        self.up = Some(now);
    }
}

impl Process {
    pub(crate) fn run(&self) -> Option<&Run> {
        match self {
            Process::Intended(run) | Process::Up(run) | Process::Failing(run, ..) => Some(run),
            Process::Off | Process::Delayed { .. } | Process::Unkillable { .. } => None,
        }
    }

    pub(crate) fn run_mut(&mut self) -> Option<&mut Run> {
        match self {
            Process::Intended(run) | Process::Up(run) | Process::Failing(run, ..) => Some(run),
            Process::Off | Process::Delayed { .. } | Process::Unkillable { .. } => None,
        }
    }
}

/// The end of a run.
#[derive(Debug)]
pub(crate) struct RunEnd {
    pub run: Run,
    /// Why it was being stopped, if it was.
    pub failing: Option<String>,
    /// How it ended, in words.
    pub status: String,
    /// It had said that it ends.
    pub announced: bool,
    /// Its SDK gateway had just crashed: that is no crash of the game.
    pub excused: bool,
    /// The keeper refused to start it.
    pub refused: bool,
    /// It was being stopped, and SIGKILL was needed: what is said of that.
    pub killed: Option<String>,
    pub report: ExitReport,
}

impl RunEnd {
    /// It was stopped to make room for another launch.
    pub(crate) fn is_replacement(&self) -> bool {
        self.failing.as_deref() == Some(REPLACED)
    }

    /// Its keeper ended it by the fallback policy, because somebody said so or nobody looked after it: no failure of the game.
    pub(crate) fn was_ordered(&self) -> bool {
        self.report.was_stopped()
    }

    /// The reason for this end, and that SIGKILL was needed, where it was.
    pub(crate) fn because(&self, reason: &str) -> String {
        self.killed.as_ref().map_or_else(|| reason.to_owned(), |killed| format!("{reason}; {killed}"))
    }

    /// Why it would end the same however often it is started, if it would.
    pub(crate) fn hopeless(&self) -> Option<&'static str> {
        let launcher = self.failing.is_none() && !self.announced && self.report.is_launchers();
        if launcher || self.failing.as_deref() == Some(LAUNCHER) {
            Some(LAUNCHER)
        } else {
            self.report.lasting.then_some(UNSTARTABLE)
        }
    }

    /// It was ready, and ended well.
    pub(crate) fn is_success(&self) -> bool {
        self.report.status.is_success() && self.run.ready.is_some()
    }
}

/// Everything that the journal remembers of the process.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ProcessState {
    pub process: Process,
    /// The highest run number that was ever intended.
    pub last_run: u64,
    pub failures: Failures,
}

impl Default for ProcessState {
    fn default() -> Self {
        ProcessState { process: Process::Off, last_run: 0, failures: Failures::default() }
    }
}

/// What other machines know of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ProcessFacts {
    pub state: ProcessStatus,
    pub run: Option<RunNumber>,
    pub up: Option<SteadyTime>,
    pub ready: Option<SteadyTime>,
    pub served: u32,
    pub last_run: u64,
    pub rest_until: Option<SteadyTime>,
    pub memory: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum ProcessStatus {
    #[default]
    Off,
    Delayed,
    Intended,
    Up,
    Failing {
        why: String,
    },
    Unkillable {
        left: u32,
    },
}

/// An exit status in words.
pub(super) fn describe(status: &ExitStatus) -> String {
    match status {
        ExitStatus::Exited { code } => format!("exit code {code}"),
        ExitStatus::Signaled { signal, core: false } => format!("signal {signal}"),
        ExitStatus::Signaled { signal, core: true } => format!("signal {signal}, core dumped"),
        ExitStatus::OomKilled => "out of memory".to_owned(),
        ExitStatus::SpawnFailed { error } => format!("it could not be started: {error}"),
        ExitStatus::Lost => "nobody knows how; its keeper is gone".to_owned(),
    }
}
