//! The keeper's own settings: from its command line, or from a file of `KEY=VALUE` lines with the
//! same words.
//!
//! They bound what an agent may order, and no agent can change any of them.

use crate::model::units::{BadUnit, Size, Span};
use lexopt::Arg;
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

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
  --gateway PROGRAM       what serves the game's SDK, as `PROGRAM gateway`; or none (default: the file gameside beside this program)
  --gateway-user NAME     who that runs as, by name or number (default: the agent's user; the keeper's own where it can't switch)
  --agent-uid UID         the one user who may give orders (default: the keeper's own)
  --log-cap SIZE          the game's output on disk, all files together (default 64MiB)
  --log-files N           over how many files it is rotated (default 4)
  --unattended SPAN       how long the game may live without an agent, unless the agent says otherwise (default: for ever)
  --idle SPAN             without a game and without an agent, end after this long (default: 10m when detached, else never)
  --last-deadline SPAN    after SIGKILL, how long until the run counts as unkillable (default 10s)
  --host-deadline SPAN    how long the host waits from SIGTERM to SIGKILL (TimeoutStopSec=, the pod's grace period); the agent drains in less
  --oom-score-adj N       how soon the kernel ends the game for its memory, -1000 to 1000 (default: as the keeper was started)
  --no-cgroup             hold the game by descent alone, even where a cgroup could be made
  --no-new-privileges     the game can't gain rights through set-user-id programs (always so with --user)
  --run-agent COMMAND…    all that follows is the agent: started as a child, started again when it ends (PID 1 of a container)
";

/// Options that stand alone, and those with a value.
const FLAGS: [&str; 3] = ["detach", "no-new-privileges", "no-cgroup"];
const OPTIONS: [&str; 16] = [
    "dir",
    "config",
    "user",
    "group",
    "executable-root",
    "limit",
    "gateway",
    "gateway-user",
    "agent-uid",
    "log-cap",
    "log-files",
    "unattended",
    "idle",
    "host-deadline",
    "last-deadline",
    "oom-score-adj",
];

/// What a command line asks for.
#[derive(Debug)]
pub(super) enum Invocation {
    Help,
    Version,
    Run(Box<Settings>),
}

/// What is wrong with a command line, or with the file that it names.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsError {
    #[error(transparent)]
    CommandLine(#[from] lexopt::Error),
    #[error("{0} is not an option")]
    NotAnOption(String),
    #[error("--{0}: there is no such option")]
    UnknownOption(String),
    #[error("--{0}: the value isn't UTF-8")]
    NotText(String),
    #[error("--{word}: {why}")]
    Option { word: String, why: ValueError },
    #[error("reading {}: {why}", .file.display())]
    Unreadable { file: PathBuf, why: io::Error },
    #[error("{}, line {line}: {why}", .file.display())]
    Line { file: PathBuf, line: usize, why: ValueError },
    #[error("--run-agent wants the agent's command after it")]
    NoAgent,
    #[error("--dir is missing")]
    NoDirectory,
    #[error("--detach and --run-agent exclude each other: a detached keeper has no agent of its own")]
    DetachedAgent,
}

/// What is wrong with the value of an option.
#[derive(Debug, thiserror::Error)]
pub(super) enum ValueError {
    #[error("there is no such option as `{0}`")]
    UnknownWord(String),
    #[error("`{path}` is no path: {why}")]
    Path { path: String, why: io::Error },
    #[error("expected a number, found `{0}`")]
    Number(String),
    #[error(transparent)]
    Unit(#[from] BadUnit),
    #[error("expected NAME=NUMBER, such as nofile=65536")]
    Limit,
    #[error("no resource limit is called `{0}`")]
    UnknownLimit(String),
    #[error("{0}: the soft limit is above the hard one")]
    SoftAboveHard(String),
}

/// All settings of a keeper.
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
    pub(super) gateway: GatewaySetting,
    pub(super) gateway_user: Option<String>,
    pub(super) agent_uid: Option<u32>,
    pub(super) log_cap: u64,
    pub(super) log_files: u32,
    pub(super) unattended: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) last_deadline: Duration,
    pub(super) host_deadline: Option<Duration>,
    pub(super) no_new_privileges: bool,
    pub(super) no_cgroup: bool,
    /// The game's `oom_score_adj`. Empty: what ours is when we are started, before it is lowered.
    pub(super) oom_score_adj: String,
    pub(super) agent: Vec<OsString>,
}

/// Which program serves the game's SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GatewaySetting {
    Off,
    /// `gameside` beside our own program; or that itself, if it is `gameside`.
    Beside,
    At(PathBuf),
}

impl GatewaySetting {
    /// Its path, whether it is there or not. To be asked before our own program is replaced.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match self {
            GatewaySetting::Off => None,
            GatewaySetting::Beside => Some(std::env::current_exe().ok()?.with_file_name("gameside")),
            GatewaySetting::At(path) => Some(path.clone()),
        }
    }
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
            gateway: GatewaySetting::Beside,
            gateway_user: None,
            agent_uid: None,
            log_cap: 64 << 20,
            log_files: 4,
            unattended: None,
            idle: None,
            last_deadline: Duration::from_secs(10),
            host_deadline: None,
            no_new_privileges: false,
            no_cgroup: false,
            oom_score_adj: String::new(),
            agent: Vec::new(),
        }
    }
}

impl Invocation {
    /// Reads a command line. What follows `--run-agent` belongs to the agent and its game, and isn't looked at.
    pub(super) fn parse(args: Vec<OsString>) -> Result<Invocation, SettingsError> {
        let mut parser = lexopt::Parser::from_args(args);
        let (mut words, mut config, mut agent) = (Vec::new(), None, Vec::new());
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Short('h') | Arg::Long("help") => return Ok(Invocation::Help),
                Arg::Long("version") => return Ok(Invocation::Version),
                Arg::Long("config") => config = Some(PathBuf::from(parser.value()?)),
                Arg::Long("run-agent") => {
                    agent = parser.raw_args()?.collect();
                    if agent.is_empty() {
                        return Err(SettingsError::NoAgent);
                    }
                }
                Arg::Long(word) if FLAGS.contains(&word) => words.push((word.to_owned(), String::new())),
                Arg::Long(word) if OPTIONS.contains(&word) => {
                    let word = word.to_owned();
                    match parser.value()?.into_string() {
                        Ok(value) => words.push((word, value)),
                        Err(_) => return Err(SettingsError::NotText(word)),
                    }
                }
                Arg::Long(word) => return Err(SettingsError::UnknownOption(word.to_owned())),
                Arg::Short(letter) => return Err(SettingsError::NotAnOption(format!("-{letter}"))),
                Arg::Value(word) => return Err(SettingsError::NotAnOption(word.display().to_string())),
            }
        }
        Settings::of(config, words, agent).map(|settings| Invocation::Run(Box::new(settings)))
    }
}

impl Settings {
    /// The file's words first, so that the command line wins.
    fn of(
        config: Option<PathBuf>,
        words: Vec<(String, String)>,
        agent: Vec<OsString>,
    ) -> Result<Settings, SettingsError> {
        let mut settings = Settings::default();
        if let Some(file) = config {
            settings.read(&file)?;
        }
        for (word, value) in words {
            settings.set(&word, &value).map_err(|why| SettingsError::Option { word, why })?;
        }
        settings.agent = agent;
        if settings.dir.as_os_str().is_empty() {
            return Err(SettingsError::NoDirectory);
        }
        if settings.detach && !settings.agent.is_empty() {
            return Err(SettingsError::DetachedAgent);
        }
        if settings.detach && settings.idle.is_none() {
            settings.idle = Some(Duration::from_secs(600));
        }
        Ok(settings)
    }

    /// Lines of `KEY=VALUE`; empty ones and those that begin with `#` count for nothing.
    fn read(&mut self, file: &Path) -> Result<(), SettingsError> {
        let unreadable = |why| SettingsError::Unreadable { file: file.to_path_buf(), why };
        let text = fs::read_to_string(file).map_err(unreadable)?;
        let lines = text.lines().map(str::trim).enumerate();
        for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let (word, value) = line.split_once('=').unwrap_or((line, ""));
            let wrong = |why| SettingsError::Line { file: file.to_path_buf(), line: at + 1, why };
            self.set(word.trim(), value.trim()).map_err(wrong)?;
        }
        Ok(())
    }

    fn set(&mut self, word: &str, value: &str) -> Result<(), ValueError> {
        match word {
            "dir" => self.dir = absolute(value)?,
            "detach" => self.detach = true,
            "no-new-privileges" => self.no_new_privileges = true,
            "no-cgroup" => self.no_cgroup = true,
            "user" => self.user = Some(value.into()),
            "group" => self.group = Some(value.into()),
            "executable-root" => self.executable_roots.push(absolute(value)?),
            "limit" => self.limit(value)?,
            "gateway" if value == "none" => self.gateway = GatewaySetting::Off,
            "gateway" => self.gateway = GatewaySetting::At(absolute(value)?),
            "gateway-user" => self.gateway_user = Some(value.into()),
            "oom-score-adj" => self.oom_score_adj = number::<i16>(value)?.clamp(-1000, 1000).to_string(),
            "agent-uid" => self.agent_uid = Some(number(value)?),
            "log-cap" => self.log_cap = size(value)?,
            "log-files" => self.log_files = number::<u32>(value)?.clamp(1, 100),
            "unattended" => self.unattended = Some(span(value)?),
            "idle" => self.idle = Some(span(value)?),
            "host-deadline" => self.host_deadline = Some(span(value)?),
            "last-deadline" => self.last_deadline = span(value)?,
            _ => return Err(ValueError::UnknownWord(word.to_owned())),
        }
        Ok(())
    }

    fn limit(&mut self, text: &str) -> Result<(), ValueError> {
        let (name, value) = text.split_once('=').ok_or(ValueError::Limit)?;
        if name == "memory" {
            self.memory = Some(size(value)?);
            return Ok(());
        }
        let resource = resource(name).ok_or_else(|| ValueError::UnknownLimit(name.to_owned()))?;
        let (soft, hard) = value.split_once(':').unwrap_or((value, value));
        let amount = |text: &str| if text == "unlimited" { Ok(libc::RLIM_INFINITY) } else { size(text) };
        let (soft, hard) = (amount(soft)?, amount(hard)?);
        if soft > hard {
            return Err(ValueError::SoftAboveHard(name.to_owned()));
        }
        self.limits.push(Limit { resource, soft, hard });
        Ok(())
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
fn absolute(path: &str) -> Result<PathBuf, ValueError> {
    std::path::absolute(path).map_err(|why| ValueError::Path { path: path.to_owned(), why })
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, ValueError> {
    text.parse().map_err(|_| ValueError::Number(text.to_owned()))
}

fn size(text: &str) -> Result<u64, ValueError> {
    Ok(text.parse().or_else(|_| text.parse::<Size>().map(|size| size.0))?)
}

fn span(text: &str) -> Result<Duration, ValueError> {
    Ok(text.parse::<Span>().map(|span| span.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Result<Invocation, SettingsError> {
        Invocation::parse(line.split(' ').map(OsString::from).collect())
    }

    fn parse(line: &str) -> Result<Settings, SettingsError> {
        ask(line).map(|invocation| match invocation {
            Invocation::Run(settings) => *settings,
            other => panic!("{line}: {other:?}"),
        })
    }

    #[test]
    fn the_agents_command_is_left_alone() {
        let settings = parse("--dir /s --limit nofile=10:20 --run-agent gameside run --dir x").unwrap();
        assert_eq!(settings.agent, ["gameside", "run", "--dir", "x"]);
        assert_eq!(settings.limits, [Limit { resource: resource("nofile").unwrap(), soft: 10, hard: 20 }]);
    }

    #[test]
    fn help_that_is_asked_of_the_agent_or_its_game_is_not_asked_of_us() {
        assert!(matches!(ask("--dir /s -h"), Ok(Invocation::Help)));
        assert!(matches!(ask("--help"), Ok(Invocation::Help)));
        assert!(matches!(ask("--version"), Ok(Invocation::Version)));
        let run = ask("--dir /s --run-agent gameside run -- ./server -h 0.0.0.0 --version");
        assert!(matches!(run, Ok(Invocation::Run(_))));
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
    fn the_gateway_lies_beside_the_keeper_unless_it_is_said_where() {
        let path = |line: &str| parse(line).unwrap().gateway.path();
        let beside = std::env::current_exe().unwrap().parent().unwrap().join("gameside");
        assert_eq!(path("--dir /s"), Some(beside));
        assert_eq!(path("--dir /s --gateway /opt/gameside"), Some("/opt/gameside".into()));
        assert_eq!(path("--dir /s --gateway none"), None);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let rows = [
            ("--detach", "--dir is missing"),
            ("--dir /s --limit nofiles=1", "no resource limit is called `nofiles`"),
            ("--dir /s --limit nofile=2:1", "nofile: the soft limit is above the hard one"),
            ("--dir /s --levitate 1", "--levitate: there is no such option"),
            ("--dir /s --levitate", "--levitate: there is no such option"),
            ("--dir /s --log-files", "--log-files"),
            ("--dir /s --log-files many", "--log-files: expected a number, found `many`"),
            ("--dir /s -x", "-x is not an option"),
            ("--dir /s somewhere", "somewhere is not an option"),
            ("--dir /s --detach --run-agent x", "exclude"),
            ("--dir /s --run-agent", "wants the agent's command"),
            ("--config /nowhere/keeper.conf", "reading /nowhere/keeper.conf"),
        ];
        for (line, expected) in rows {
            let said = parse(line).unwrap_err().to_string();
            assert!(said.contains(expected), "{line}: {said}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "dir=/s\n\nlevitate=1\n").unwrap();
        let said = parse(&format!("--config {}", file.path().display())).unwrap_err().to_string();
        assert!(said.contains("line 3: there is no such option as `levitate`"), "{said}");
    }
}
