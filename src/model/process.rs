//! What the keeper is told to run, how to end it, and how it ended.
//!
//! These types are on the wire between agent and keeper and in the journal: additive changes only.

use super::{
    ids::{KeeperId, RunNumber},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// What is started: argv, environment and directory. User, limits and executable roots are the keeper's own business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// The program and its arguments; never a shell line.
    pub argv: Vec<String>,
    /// Added to the keeper's clean base environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// A file written before the start, for games that read their startup parameters as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<LaunchFile>,
    /// More such files, for what the game's SDK reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<LaunchFile>,
    /// The game daemonises: the run lasts as long as anything of it lives, not only the first process.
    #[serde(default)]
    pub forking: bool,
}

/// A small file that the keeper writes for the game in its run directory; `{file}` in `env` or `argv` was already replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchFile {
    pub path: String,
    pub text: String,
}

/// One step of the stop sequence: do this, then wait so long for the run to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopStep {
    pub action: StopAction,
    #[serde(rename = "wait_ms", with = "millis")]
    pub wait: Duration,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopAction {
    /// A line on the game's stdin.
    Stdin(String),
    /// A signal by number to the game's first process group.
    Signal(i32),
    /// SIGKILL to everything that belongs to the run.
    Kill,
    /// The agent asks the game, through its SDK or its remote console. Never in a fallback policy: a
    /// keeper can't do it.
    Ask,
}

/// What the keeper does by itself when it is told to stop, or has been without an agent for too long, and
/// no agent is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FallbackPolicy {
    #[serde(rename = "ladder")]
    pub steps: Vec<StopStep>,
    /// The whole sequence must fit in this; then SIGKILL.
    #[serde(rename = "total_ms", with = "millis")]
    pub total: Duration,
    /// How long the game may live without an agent; none = for ever.
    #[serde(default, rename = "unattended_ms", with = "opt_millis", skip_serializing_if = "Option::is_none")]
    pub unattended: Option<Duration>,
}

/// How a run ended. The truth, or `Lost` where nobody can know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum ExitStatus {
    Exited {
        code: i32,
    },
    Signaled {
        signal: i32,
        core: bool,
    },
    OomKilled,
    SpawnFailed {
        error: String,
    },
    /// The keeper that ran it is gone, and with it the only one who could have learned the status.
    Lost,
}

/// What SIGKILL means for a game that was being stopped.
pub const KILLED: &str = "it had to be killed, and may not have saved";

/// The same, where it is known how long the game was given.
pub fn killed_after(took: Option<Duration>) -> String {
    match took {
        Some(took) => format!("it had to be killed after {} s, and may not have saved", took.as_secs()),
        None => KILLED.to_owned(),
    }
}

/// A program that leaves others behind so soon after its start is a launcher.
pub const LAUNCHERS_TIME: Duration = Duration::from_secs(60);

/// What is said of a run that was a launcher.
pub const LAUNCHER: &str = "the program that was started has ended and left the game behind: it is a launcher. Set \
    `forking = true` in [game], so that the run lasts as long as the game, or start the game itself";

impl ExitStatus {
    /// By SIGKILL.
    pub fn is_killed(&self) -> bool {
        const SIGKILL: i32 = 9;
        matches!(self, ExitStatus::Signaled { signal: SIGKILL, .. })
    }
    /// Exit code 0 and nothing else.
    pub fn is_success(&self) -> bool {
        matches!(self, ExitStatus::Exited { code: 0 })
    }
}

/// The keeper's account of an ended run: fsynced before it is told, kept until taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitReport {
    pub run: RunNumber,
    pub status: ExitStatus,
    pub started: Timestamp,
    pub ended: Timestamp,
    /// The step of the stop sequence that was being carried out, if any: 0-based.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at_step: Option<u32>,
    /// Processes of the run that outlived the first one and had to be killed.
    #[serde(default)]
    pub stragglers: u32,
    /// The highest memory figure seen, in bytes, where the kernel tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_path: Option<String>,
    /// What the game said to the gateway and no agent has acknowledged: opaque to the keeper, at most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_words: Option<String>,
    /// When a gateway that served this run crashed, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_ended: Option<Timestamp>,
    /// It could not be started because the machine or the keeper lacked something: descriptors, processes, memory, disk.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shortage: bool,
    /// It could not be started, and won't be: another try would end the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lasting: bool,
    /// The last lines of its output, bounded in number and length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
}

impl ExitReport {
    /// Of which nothing is known but how and when the run ended.
    pub fn new(run: RunNumber, status: ExitStatus, started: Timestamp, ended: Timestamp) -> ExitReport {
        ExitReport {
            run,
            status,
            started,
            ended,
            stopped_at_step: None,
            stragglers: 0,
            peak_memory: None,
            core_path: None,
            last_words: None,
            gateway_ended: None,
            shortage: false,
            lasting: false,
            last_lines: Vec::new(),
        }
    }

    /// A run that ended well, but left processes behind, and lasted no longer than a launcher does.
    pub fn is_launchers(&self) -> bool {
        self.status.is_success() && self.stragglers > 0 && self.ended.since(self.started) < LAUNCHERS_TIME
    }

    /// Its keeper ended it, by the stop sequence. What a game leaves behind is stopped, too, after an end of its own.
    pub fn was_stopped(&self) -> bool {
        self.stopped_at_step.is_some() && self.stragglers == 0
    }
}

/// Resource figures of a live run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProcessStats {
    pub run: RunNumber,
    /// Bytes: of the cgroup where there is one, else the sum over the run's processes.
    pub memory: u64,
    /// The cgroup's limit, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<u64>,
    /// CPU time used so far, in microseconds.
    pub cpu_us: u64,
    pub processes: u32,
    /// PSI `some avg10` of memory, in percent, where the kernel tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_pressure: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_pressure: Option<f32>,
    /// The kernel has frozen the game's cgroup: somebody paused it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
}

/// What a keeper is running, as it tells a newly connected agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RunState {
    /// Nothing was ever started, or every end has been taken.
    Empty,
    Running {
        run: RunNumber,
        pid: i32,
        started: Timestamp,
    },
    /// Ended, and the end isn't taken yet.
    Exited {
        report: ExitReport,
    },
    /// Something of the run can't be killed; nothing is ever started here again.
    Unkillable {
        run: RunNumber,
        left: u32,
    },
}

/// Who keeps, and what: the first thing an agent learns from a keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperHello {
    pub keeper: KeeperId,
    pub pid: i32,
    /// This controller's fencing number: durable, and higher than any before.
    pub epoch: u64,
    pub run: RunState,
    /// How runs are contained: `cgroup` or `subreaper`.
    pub containment: Containment,
    /// The last adoption record that an agent deposited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Names of the listening sockets held for the agent.
    #[serde(default)]
    pub listeners: Vec<String>,
    /// The keeper was told to stop, and it still stands.
    #[serde(default)]
    pub stop_requested: bool,
    /// Where the output of the run begins, while one runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_from: Option<OutputFrom>,
    /// How long the keeper's host waits from SIGTERM to SIGKILL; what is left of it, once the keeper was told to stop.
    #[serde(default, rename = "host_deadline_ms", with = "opt_millis", skip_serializing_if = "Option::is_none")]
    pub host_deadline: Option<Duration>,
    /// Who they are; not known of older keepers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<Users>,
    /// The keeper can start an SDK gateway; an older keeper can't.
    #[serde(default)]
    pub gateway: bool,
}

/// A place in the game's output on disk: the file, which keeps its inode when it is rotated, and the bytes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputFrom {
    pub inode: u64,
    pub offset: u64,
    /// When the file was made, in nanoseconds since 1970, where the file system tells: inodes are given out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born: Option<u64>,
}

impl OutputFrom {
    /// Both lie in the same file, as far as is known of them.
    pub fn is_in_the_file_of(&self, other: &OutputFrom) -> bool {
        self.inode == other.inode && (self.born == other.born || self.born.is_none() || other.born.is_none())
    }
}

/// How far a run's output has been read for what its lines mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputRead {
    /// Where it begins.
    pub from: OutputFrom,
    /// What lies before this has had its effects, or none.
    pub to: OutputFrom,
}

/// Which users the processes of one agent run as, as the keeper's user namespace has it. The same one: nothing stands between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Users {
    pub keeper: u32,
    pub game: u32,
    /// Who may give the keeper orders; not known of older keepers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<u32>,
    /// None: there is no gateway, or an older keeper doesn't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<u32>,
}

impl Users {
    /// Who of us runs as the game does, as the beginning of a sentence about the game.
    pub fn whose_is_the_games(self) -> Option<&'static str> {
        match (self.keeper == self.game, self.agent.map_or(self.keeper, |agent| agent) == self.game) {
            (true, true) => Some("keeper and agent do"),
            (true, false) => Some("its keeper does"),
            (false, true) => Some("the agent does"),
            (false, false) => None,
        }
    }

    /// Whose user the gateway has besides, where it has one that isn't its own: the game can talk it into something, so it should have.
    pub fn whose_is_the_gateways(self) -> Option<&'static str> {
        let gateway = self.gateway?;
        let agent = self.agent.unwrap_or(self.keeper);
        match (gateway == self.game, gateway == agent, gateway == self.keeper) {
            (true, ..) => Some("the game"),
            (false, true, _) => Some("the agent"),
            (false, false, true) => Some("the keeper"),
            (false, false, false) => None,
        }
    }
}

/// What makes up "everything of the run".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Containment {
    Cgroup,
    Subreaper,
}

/// Durations as whole milliseconds.
pub mod millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// The same, where there may be none.
pub mod opt_millis {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub fn serialize<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::millis::serialize(span, to),
            None => to.serialize_none(),
        }
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}
