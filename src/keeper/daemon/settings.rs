//! What the keeper itself is told: on its command line, or in a file of `KEY=VALUE` lines with the same words.
//!
//! These are the bounds within which an agent may order: the agent can't change any of them.

use crate::model::units::{Size, Span};
use std::{ffi::OsString, fs, path::PathBuf, time::Duration};

/// Printed with `--help`.
pub(super) const USAGE: &str = "\
usage: gameside-keeper --dir DIR [OPTION…] [--run-agent COMMAND…]

  --dir DIR               the agent's state directory: lock, socket, logs lie here
  --detach                go into the background once lock and socket stand
  --config FILE           lines of KEY=VALUE with these words without dashes; the command line wins
  --user NAME             who the game runs as, by name or number; wants root, or CAP_SETUID, CAP_SETGID and CAP_KILL
  --group NAME            its group, if not the user's own
  --executable-root DIR   only programs below are started; may be given several times
  --limit NAME=N[:HARD]   a resource limit of the game: nofile, nproc, core, fsize, as, stack, memlock, rtprio, nice; or memory=SIZE (cgroup)
  --agent-uid UID         the one user who may give orders (default: the keeper's own)
  --log-cap SIZE          the game's output on disk, all files together (default 64MiB)
  --log-files N           over how many files it is rotated (default 4)
  --unattended SPAN       how long the game may live without an agent, unless the agent says otherwise (default: for ever)
  --idle SPAN             without a game and without an agent, end after this long (default: 10m when detached, else never)
  --last-deadline SPAN    after SIGKILL, how long until the run counts as unkillable (default 10s)
  --host-deadline SPAN    how long the host waits from SIGTERM to SIGKILL (TimeoutStopSec=, the pod's grace period); the agent drains in less
  --no-cgroup             hold the game by descent alone, even where a cgroup could be made
  --no-new-privileges     the game can't gain rights through set-user-id programs (always so with --user)
  --run-agent COMMAND…    all that follows is the agent: started as a child, started again when it ends (PID 1 of a container)
";

const UNKNOWN: &str = "there is no such option";
/// Options that stand alone, and those with a value.
const FLAGS: [&str; 3] = ["detach", "no-new-privileges", "no-cgroup"];
const OPTIONS: [&str; 13] = [
    "dir",
    "config",
    "user",
    "group",
    "executable-root",
    "limit",
    "agent-uid",
    "log-cap",
    "log-files",
    "unattended",
    "idle",
    "host-deadline",
    "last-deadline",
];

/// What is asked about the program itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Help,
    Version,
}

impl Question {
    /// What follows `--run-agent` belongs to the agent and its game: nobody asks us there.
    pub(super) fn of(args: &[OsString]) -> Option<Self> {
        args.iter().take_while(|arg| *arg != "--run-agent").find_map(|arg| match arg.to_str()? {
            "--help" | "-h" => Some(Question::Help),
            "--version" => Some(Question::Version),
            _ => None,
        })
    }
}

/// The whole of it.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) dir: PathBuf,
    pub(super) detach: bool,
    pub(super) user: Option<String>,
    pub(super) group: Option<String>,
    pub(super) executable_roots: Vec<PathBuf>,
    pub(super) limits: Vec<Limit>,
    /// Bytes, for the leaf cgroup.
    pub(super) memory: Option<u64>,
    pub(super) agent_uid: Option<u32>,
    pub(super) log_cap: u64,
    pub(super) log_files: u32,
    pub(super) unattended: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) last_deadline: Duration,
    pub(super) host_deadline: Option<Duration>,
    pub(super) no_new_privileges: bool,
    pub(super) no_cgroup: bool,
    /// What the game's `oom_score_adj` is to be: ours, before we lowered it. Not from the command line.
    pub(super) oom_score_adj: String,
    pub(super) agent: Vec<OsString>,
}

/// One `RLIMIT_*`, in the kernel's own unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) resource: u32,
    pub(super) soft: u64,
    pub(super) hard: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            dir: PathBuf::new(),
            detach: false,
            user: None,
            group: None,
            executable_roots: Vec::new(),
            limits: Vec::new(),
            memory: None,
            agent_uid: None,
            log_cap: 64 << 20,
            log_files: 4,
            unattended: None,
            idle: None,
            last_deadline: Duration::from_secs(10),
            host_deadline: None,
            no_new_privileges: false,
            no_cgroup: false,
            oom_score_adj: "0".into(),
            agent: Vec::new(),
        }
    }
}

impl Settings {
    /// Reads a command line; the error is a sentence.
    pub(super) fn parse(args: Vec<OsString>) -> Result<Settings, String> {
        let mut settings = Settings::default();
        let given = Given::of(args)?;
        if let Some(file) = &given.config {
            let text = fs::read_to_string(file).map_err(|error| format!("reading {}: {error}", file.display()))?;
            for (number, line) in text.lines().enumerate() {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let (word, value) = line.split_once('=').unwrap_or((line, ""));
                settings
                    .set(word.trim(), value.trim())
                    .map_err(|why| format!("{}, line {}: {why}", file.display(), number + 1))?;
            }
        }
        for (word, value) in &given.words {
            settings.set(word, value).map_err(|why| format!("--{word}: {why}"))?;
        }
        settings.agent = given.agent;
        if settings.dir.as_os_str().is_empty() {
            return Err("--dir is missing".into());
        }
        if settings.detach && !settings.agent.is_empty() {
            return Err("--detach and --run-agent exclude each other: a detached keeper has no agent of its own".into());
        }
        if settings.detach && settings.idle.is_none() {
            settings.idle = Some(Duration::from_secs(600));
        }
        Ok(settings)
    }

    fn set(&mut self, word: &str, value: &str) -> Result<(), String> {
        match word {
            "dir" => self.dir = absolute(value)?,
            "detach" => self.detach = true,
            "no-new-privileges" => self.no_new_privileges = true,
            "no-cgroup" => self.no_cgroup = true,
            "user" => self.user = Some(value.into()),
            "group" => self.group = Some(value.into()),
            "executable-root" => self.executable_roots.push(absolute(value)?),
            "limit" => self.limit(value)?,
            "agent-uid" => self.agent_uid = Some(number(value)?),
            "log-cap" => self.log_cap = size(value)?,
            "log-files" => self.log_files = number::<u32>(value)?.clamp(1, 100),
            "unattended" => self.unattended = Some(span(value)?),
            "idle" => self.idle = Some(span(value)?),
            "host-deadline" => self.host_deadline = Some(span(value)?),
            "last-deadline" => self.last_deadline = span(value)?,
            _ => return Err(format!("{UNKNOWN} as `{word}`")),
        }
        Ok(())
    }

    fn limit(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text.split_once('=').ok_or("expected NAME=NUMBER, such as nofile=65536")?;
        if name == "memory" {
            self.memory = Some(size(value)?);
            return Ok(());
        }
        let resource = resource(name).ok_or_else(|| format!("no resource limit is called `{name}`"))?;
        let (soft, hard) = value.split_once(':').unwrap_or((value, value));
        let amount = |text: &str| if text == "unlimited" { Ok(libc::RLIM_INFINITY) } else { size(text) };
        let (soft, hard) = (amount(soft)?, amount(hard)?);
        if soft > hard {
            return Err(format!("{name}: the soft limit is above the hard one"));
        }
        self.limits.push(Limit { resource, soft, hard });
        Ok(())
    }
}

/// A command line, taken apart but not understood.
#[derive(Debug, Default)]
struct Given {
    words: Vec<(String, String)>,
    config: Option<PathBuf>,
    agent: Vec<OsString>,
}

impl Given {
    fn of(args: Vec<OsString>) -> Result<Given, String> {
        let mut given = Given::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let word = arg.to_str().and_then(|arg| arg.strip_prefix("--"));
            let word = word.ok_or_else(|| format!("{} is not an option", arg.display()))?.to_owned();
            if word == "run-agent" {
                given.agent = args.collect();
                if given.agent.is_empty() {
                    return Err("--run-agent wants the agent's command after it".into());
                }
                return Ok(given);
            }
            let (word, value) = match word.split_once('=') {
                Some((word, value)) => (word.to_owned(), value.to_owned()),
                None if FLAGS.contains(&word.as_str()) => (word, String::new()),
                None if !OPTIONS.contains(&word.as_str()) => return Err(format!("--{word}: {UNKNOWN}")),
                None => {
                    let value = args.next().ok_or_else(|| format!("--{word} wants a value"))?;
                    let value = value.into_string().map_err(|_| format!("--{word}: the value isn't UTF-8"))?;
                    (word, value)
                }
            };
            if word == "config" { given.config = Some(value.into()) } else { given.words.push((word, value)) }
        }
        Ok(given)
    }
}

#[allow(clippy::unnecessary_cast, reason = "a signed number with musl")]
fn resource(name: &str) -> Option<u32> {
    Some(match name {
        "nofile" => libc::RLIMIT_NOFILE,
        "nproc" => libc::RLIMIT_NPROC,
        "core" => libc::RLIMIT_CORE,
        "fsize" => libc::RLIMIT_FSIZE,
        "as" => libc::RLIMIT_AS,
        "stack" => libc::RLIMIT_STACK,
        "memlock" => libc::RLIMIT_MEMLOCK,
        "rtprio" => libc::RLIMIT_RTPRIO,
        "nice" => libc::RLIMIT_NICE,
        _ => return None,
    } as u32)
}

/// Against the directory that the keeper was started in.
fn absolute(path: &str) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("`{path}` is no path: {error}"))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("expected a number, found `{text}`"))
}

fn size(text: &str) -> Result<u64, String> {
    text.parse().or_else(|_| text.parse::<Size>().map(|size| size.0)).map_err(|error| error.to_string())
}

fn span(text: &str) -> Result<Duration, String> {
    text.parse::<Span>().map(|span| span.0).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Settings, String> {
        Settings::parse(line.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn the_agents_command_is_left_alone() {
        let settings = parse("--dir /s --limit nofile=10:20 --run-agent gameside run --dir x").unwrap();
        assert_eq!(settings.agent, ["gameside", "run", "--dir", "x"]);
        assert_eq!(settings.limits, [Limit { resource: resource("nofile").unwrap(), soft: 10, hard: 20 }]);
    }

    #[test]
    fn help_that_is_asked_of_the_agent_or_its_game_is_not_asked_of_us() {
        let asked = |line: &str| Question::of(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(asked("--dir /s -h"), Some(Question::Help));
        assert_eq!(asked("--version"), Some(Question::Version));
        assert_eq!(asked("--dir /s --run-agent gameside run -- ./server -h 0.0.0.0 --version"), None);
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "# ours\nlog-files = 9\nunattended=1h\ndir=/file\n").unwrap();
        let settings = parse(&format!("--config {} --dir=/line", file.path().display())).unwrap();
        assert_eq!((settings.log_files, settings.dir), (9, "/line".into()));
        assert_eq!(settings.unattended, Some(Duration::from_secs(3600)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(parse("--detach").unwrap_err().contains("--dir"));
        assert!(parse("--dir /s --limit nofiles=1").unwrap_err().contains("nofiles"));
        assert!(parse("--dir /s --levitate 1").unwrap_err().contains("levitate"));
        assert!(parse("--dir /s --levitate").unwrap_err().contains("no such option"), "a value wouldn't help");
        assert!(parse("--dir /s --detach --run-agent x").unwrap_err().contains("exclude"));
    }
}
