//! Starting a process of the game, or a gateway, in the order that makes it safe.
//!
//! ```text
//!   fork, into the leaf cgroup ─► new session ─► limits ─► groups, user ─► PDEATHSIG, parent still there? ─► exec
//!                              any failure: one line through a pipe that exec closes ─► spawn-failed
//! ```
//!
//! A process of the game gets three descriptors and a clean environment: what [`BASE`] names of
//! ours, and what the order adds, less what would let it speak to our service manager. A gateway
//! gets its control socket besides, and even less of our environment.

use super::{
    cgroup::Leaf,
    error::SpawnError,
    privileges::{self, Account, Identity},
    settings::{Limit, Settings},
    sys::{self, Forked},
};
use crate::model::gateway::CONTROL_FD;
use rustix::{
    fs::OFlags,
    io::{Errno, fcntl_dupfd_cloexec},
    pipe::PipeFlags,
    process::{
        DumpableBehavior, Pid, Signal, chdir, getpid, getppid, set_dumpable_behavior, set_parent_process_death_signal,
        setsid,
    },
    thread::set_no_new_privs,
};
use std::{
    collections::BTreeMap,
    ffi::{CString, OsString},
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{ffi::OsStringExt, fs::PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// What the game inherits of our environment.
const BASE: [&str; 5] = ["PATH", "HOME", "USER", "LANG", "TZ"];
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Never passed on: with these the game could speak for the agent's or the keeper's unit.
const OURS: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
    "CREDENTIALS_DIRECTORY",
];

/// Variables by which whoever gives the order would run code of their own in an allowed program:
/// the loader's, the C library's, shells' and interpreters'. A guarded keeper drops them.
const CODE: [&str; 21] = [
    "BASH_ENV",
    "CLASSPATH",
    "CORECLR_PROFILER_PATH",
    "DOTNET_STARTUP_HOOKS",
    "ENV",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LOCPATH",
    "LUA_INIT",
    "MONO_PATH",
    "NODE_OPTIONS",
    "PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYOPT",
    "_JAVA_OPTIONS",
];
const CODE_PREFIXES: [&str; 2] = ["LD_", "BASH_FUNC_"];

/// A start that was checked, and can fail only in the child.
#[derive(Debug)]
pub(super) struct SpawnPlan {
    program: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
    dir: Option<CString>,
}

/// What a child gets as 0, 1 and 2; and as 3, if it is a gateway.
#[derive(Debug)]
pub(super) struct Stdio {
    pub(super) input: OwnedFd,
    pub(super) output: OwnedFd,
    pub(super) error: OwnedFd,
    pub(super) control: Option<OwnedFd>,
}

/// Where a child lives, and with which rights.
#[derive(Debug)]
pub(super) struct Confinement<'a> {
    pub(super) leaf: Option<&'a Leaf>,
    pub(super) limits: &'a [Limit],
    pub(super) oom_score_adj: &'a str,
    /// None: ours.
    pub(super) account: Option<&'a Account>,
    pub(super) privileges: Privileges,
}

/// What a child may become by what it executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privileges {
    /// As whoever started us allows.
    Inherited,
    /// No more than it has.
    NoNew,
    /// It has no capability, and gets none.
    None,
}

impl<'a> Confinement<'a> {
    /// That of the game and of the commands beside it.
    pub(super) fn of_game(leaf: Option<&'a Leaf>, settings: &'a Settings, identity: &'a Identity) -> Confinement<'a> {
        let account = identity.account.as_ref();
        let privileges = match account {
            Some(_) => Privileges::None,
            None if settings.no_new_privileges => Privileges::NoNew,
            None => Privileges::Inherited,
        };
        Confinement { leaf, limits: &settings.limits, oom_score_adj: &settings.oom_score_adj, account, privileges }
    }
}

/// A process that was forked. Whether it also became the game, `outcome` tells: end of file = yes, a text = why not.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: i32,
    pub(super) outcome: OwnedFd,
}

/// Whether a child has become its program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExecOutcome {
    NotYet,
    Worked,
    Failed(ExecFailure),
}

/// Why a child is not its program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ExecFailure {
    pub(super) why: String,
    /// Another try would end the same.
    pub(super) lasting: bool,
}

impl ExecFailure {
    /// What the child writes, and the keeper reads.
    fn text(&self) -> String {
        format!("{}{}", if self.lasting { LASTING } else { "" }, self.why)
    }

    fn read(text: &[u8]) -> ExecFailure {
        let text = String::from_utf8_lossy(text);
        match text.strip_prefix(LASTING) {
            Some(why) => ExecFailure { why: why.to_owned(), lasting: true },
            None => ExecFailure { why: text.into_owned(), lasting: false },
        }
    }
}

/// What the text of a lasting failure begins with.
const LASTING: &str = "!";

/// Of a program or directory that isn't there, or may not be used as it is.
fn is_lasting(error: &io::Error) -> bool {
    let lasting = [
        libc::EACCES,
        libc::EPERM,
        libc::ENOENT,
        libc::ENOEXEC,
        libc::ENOTDIR,
        libc::EISDIR,
        libc::ELOOP,
        libc::ENAMETOOLONG,
    ];
    error.raw_os_error().is_some_and(|code| lasting.contains(&code))
}

impl ExecOutcome {
    /// Reads a child's `outcome`. Once it has worked or failed, there is nothing more to read.
    pub(super) fn read(outcome: &OwnedFd) -> ExecOutcome {
        let mut why = [0; 1024];
        match rustix::io::read(outcome, &mut why) {
            Err(Errno::AGAIN | Errno::INTR) => ExecOutcome::NotYet,
            Ok(count) if count > 0 => ExecOutcome::Failed(ExecFailure::read(&why[..count])),
            _ => ExecOutcome::Worked,
        }
    }
}

/// Checks an order against our own bounds and prepares it.
pub(super) fn plan(
    argv: &[String],
    env: &BTreeMap<String, String>,
    dir: Option<&str>,
    settings: &Settings,
    identity: &Identity,
) -> Result<SpawnPlan, SpawnError> {
    let word = argv.first().filter(|word| !word.is_empty()).ok_or(SpawnError::NoProgram)?;
    let env = environment(env, identity);
    let path = env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let mut program = locate(word, dir, path)?;
    let mut dir = dir.map(str::to_owned);
    if !settings.executable_roots.is_empty() {
        let roots = settings.executable_roots.iter();
        // The path that was checked is the one that is started: a link may be another in a moment.
        program = below(&program, roots.clone()).ok_or(SpawnError::ProgramOutside(program))?;
        if let Some(named) = &mut dir {
            let real = below(Path::new(named), roots.chain([&settings.dir]));
            let real = real.and_then(|real| real.into_os_string().into_string().ok());
            *named = real.ok_or_else(|| SpawnError::DirectoryOutside(named.clone()))?;
        }
    }
    let text = |text: &str| CString::new(text).map_err(|_| SpawnError::ZeroByte(text.to_owned()));
    let path = OsString::from(program).into_vec();
    Ok(SpawnPlan {
        program: CString::new(path).map_err(|_| SpawnError::ZeroByte(word.clone()))?,
        argv: argv.iter().map(|word| text(word)).collect::<Result<_, _>>()?,
        env: env.iter().map(|(key, value)| text(&format!("{key}={value}"))).collect::<Result<_, _>>()?,
        dir: dir.as_deref().map(text).transpose()?,
    })
}

/// A gateway: its program by its path, and nothing of our environment but `env`.
pub(super) fn plan_gateway(program: &Path, env: &[(&str, String)]) -> Result<SpawnPlan, SpawnError> {
    let text = |text: &str| CString::new(text).map_err(|_| SpawnError::ZeroByte(text.to_owned()));
    let path = program.as_os_str().as_encoded_bytes();
    let path = CString::new(path).map_err(|_| SpawnError::ZeroByte(program.display().to_string()))?;
    Ok(SpawnPlan {
        argv: vec![path.clone(), text("gateway")?],
        program: path,
        env: env.iter().map(|(key, value)| text(&format!("{key}={value}"))).collect::<Result<_, _>>()?,
        dir: Some(text("/")?),
    })
}

/// Forks, and has the child become what the plan says.
pub(super) fn spawn(plan: &SpawnPlan, stdio: &Stdio, confinement: &Confinement<'_>) -> io::Result<Child> {
    let (outcome, report) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    // Above the numbers that the child's own descriptors get.
    let report = fcntl_dupfd_cloexec(report, CONTROL_FD + 1)?;
    let keeper = getpid();
    let born_inside = confinement.leaf.and_then(|leaf| sys::fork_into(leaf.open().ok()?.as_fd()).ok());
    // Where that can't be, it enters by itself.
    let leaf = confinement.leaf.filter(|_| born_inside.is_none());
    match born_inside.map_or_else(sys::fork, Ok)? {
        Forked::Parent(pid) => {
            rustix::fs::fcntl_setfl(&outcome, OFlags::NONBLOCK)?;
            Ok(Child { pid, outcome })
        }
        Forked::Child => {
            let why = execute(plan, stdio, &Confinement { leaf, ..*confinement }, keeper);
            let _ = rustix::io::write(&report, why.text().as_bytes());
            sys::exit_now(127)
        }
    }
}

/// The child's part. Returns only the reason why it isn't the program.
fn execute(plan: &SpawnPlan, stdio: &Stdio, confinement: &Confinement<'_>, keeper: Pid) -> ExecFailure {
    let path = plan.program.to_string_lossy();
    if let Err((what, error)) = prepare(plan, stdio, confinement, keeper) {
        let lasting = what == ENTERING && is_lasting(&error);
        return ExecFailure { why: format!("{what} for {path}: {error}"), lasting };
    }
    let error = sys::exec(&plan.program, &plan.argv, &plan.env);
    let hint = match error.raw_os_error() {
        Some(libc::ENOENT) if Path::new(&*path).exists() => "; the interpreter or loader it names is missing",
        Some(libc::ENOEXEC) => "; it is neither a program for this machine nor a script with #!",
        Some(libc::EACCES) if Path::new(&*path).is_dir() => "; it is a directory",
        Some(libc::EACCES) if is_not_executable(&path) => "; it isn't executable: `chmod +x` makes it so",
        _ => "",
    };
    ExecFailure { why: format!("starting {path}: {error}{hint}"), lasting: is_lasting(&error) }
}

fn is_not_executable(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o111 == 0)
}

const ENTERING: &str = "entering the working directory";

/// Everything up to exec.
fn prepare(
    plan: &SpawnPlan,
    stdio: &Stdio,
    confinement: &Confinement<'_>,
    keeper: Pid,
) -> Result<(), (&'static str, io::Error)> {
    fn step<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> (&'static str, io::Error) {
        move |error| (what, error.into())
    }
    setsid().map_err(step("making a new session"))?;
    if let Some(leaf) = confinement.leaf {
        fs::write(leaf.procs_file(), "0").map_err(step("entering the cgroup"))?;
    }
    set_oom_score(confinement);
    for limit in confinement.limits {
        sys::set_limit(limit.resource, limit.soft, limit.hard).map_err(step("setting a resource limit"))?;
    }
    if let Some(account) = confinement.account {
        sys::become_user(account.uid, account.gid, &account.groups).map_err(step("becoming its user"))?;
    }
    match confinement.privileges {
        Privileges::Inherited => {}
        Privileges::NoNew => set_no_new_privs(true).map_err(step("giving up new privileges"))?,
        Privileges::None => privileges::surrender().map_err(step("giving up our capabilities"))?,
    }
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(step("binding its life to the keeper's"))?;
    if getppid() != Some(keeper) {
        return Err(("looking for the keeper", io::Error::other("it has ended")));
    }
    if let Some(dir) = &plan.dir {
        chdir(dir.as_c_str()).map_err(step(ENTERING))?;
    }
    sys::reset_signals();
    // The control socket last: its number may be that of another of these.
    let fds = [Some(&stdio.input), Some(&stdio.output), Some(&stdio.error), stdio.control.as_ref()];
    let mut number = 0;
    for fd in fds.into_iter().flatten() {
        sys::put_at(fd, number).map_err(step("setting up its streams"))?;
        number += 1;
    }
    sys::close_on_exec_from(number.unsigned_abs());
    Ok(())
}

/// As this process can't be read, its files below `/proc` are root's. Another user may write them while it can be read, which is
/// harmless where the game isn't that user.
fn set_oom_score(confinement: &Confinement<'_>) {
    let set = || fs::write("/proc/self/oom_score_adj", confinement.oom_score_adj).is_ok();
    if confinement.oom_score_adj.is_empty() || set() || confinement.account.is_none() {
        return;
    }
    if set_dumpable_behavior(DumpableBehavior::Dumpable).is_ok() {
        set();
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}

fn environment(added: &BTreeMap<String, String>, identity: &Identity) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
    env.extend(BASE.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))));
    if let Some(account) = &identity.account {
        env.insert("HOME".into(), account.home.clone());
        env.insert("USER".into(), account.name.clone());
    }
    let refused = |key: &str| key.is_empty() || key.contains('=') || identity.guarded && runs_code(key);
    env.extend(added.iter().filter(|(key, _)| !refused(key)).map(|(key, value)| (key.clone(), value.clone())));
    env.retain(|key, _| !OURS.contains(&key.as_str()));
    env
}

fn runs_code(key: &str) -> bool {
    CODE.contains(&key) || CODE_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// As a shell finds it, but against the working directory that the game will have.
fn locate(word: &str, dir: Option<&str>, path: &str) -> Result<PathBuf, SpawnError> {
    let base = dir.map_or_else(|| std::env::current_dir().unwrap_or_else(|_| "/".into()), PathBuf::from);
    if word.contains('/') {
        return Ok(base.join(word));
    }
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
    };
    let mut places = path.split(':').filter(|place| !place.is_empty()).map(|place| Path::new(place).join(word));
    let missing = || SpawnError::NotInPath { word: word.to_owned(), path: path.to_owned() };
    places.find(is_program).ok_or_else(missing)
}

/// Where a path leads, its links followed, if that lies below one of the roots, theirs followed too.
fn below<'a>(path: &Path, mut roots: impl Iterator<Item = &'a PathBuf>) -> Option<PathBuf> {
    let path = fs::canonicalize(path).ok()?;
    roots.any(|root| fs::canonicalize(root).is_ok_and(|root| path.starts_with(root))).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(guarded: bool) -> Identity {
        Identity { account: None, gateway: None, agent_uid: 1, guarded }
    }

    #[test]
    fn a_guarded_start_gets_no_variable_that_loads_code() {
        let added = ["LD_PRELOAD", "LD_AUDIT", "GCONV_PATH", "BASH_ENV", "PATH", "LD", "DM_LD_X"];
        let added: BTreeMap<_, _> = added.map(|key| (key.to_owned(), "/tmp/mine".to_owned())).into();
        let ours = |guarded| {
            let mut env = environment(&added, &identity(guarded));
            env.retain(|_, value| value == "/tmp/mine");
            env.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(ours(true), ["DM_LD_X", "LD"]);
        assert_eq!(ours(false).len(), added.len());
    }

    #[test]
    fn what_was_checked_is_what_is_started() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(root.path()).unwrap();
        fs::write(real.join("game"), "").unwrap();
        let link = elsewhere.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let settings = Settings { executable_roots: vec![real.clone()], ..Settings::default() };
        let (argv, dir) = ([link.join("game").display().to_string()], link.display().to_string());
        let plan = plan(&argv, &BTreeMap::new(), Some(&dir), &settings, &identity(true)).unwrap();
        assert_eq!(plan.program.to_str().unwrap(), real.join("game").to_str().unwrap());
        assert_eq!(plan.dir.unwrap().to_str().unwrap(), real.to_str().unwrap());
        assert_eq!(plan.argv[0].to_str().unwrap(), argv[0], "its own name is what was ordered");
    }

    #[test]
    fn the_environment_is_clean() {
        let added = [("NOTIFY_SOCKET", "/x"), ("GAMESIDE_MAP", "dm1"), ("WATCHDOG_USEC", "1"), ("TZ", "UTC")];
        let added = added.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let env = environment(&added, &identity(false));
        assert!(env.keys().all(|key| BASE.contains(&key.as_str()) || key == "GAMESIDE_MAP"), "{env:?}");
        assert_eq!((env["GAMESIDE_MAP"].as_str(), env["TZ"].as_str()), ("dm1", "UTC"));
    }

    #[test]
    fn programs_are_found_where_a_shell_would() {
        assert!(locate("sh", None, "/nowhere:/bin").unwrap().ends_with("bin/sh"));
        assert_eq!(locate("./game", Some("/srv"), "").unwrap(), Path::new("/srv/./game"));
        assert_eq!(locate("/bin/x", Some("/srv"), "").unwrap(), Path::new("/bin/x"));
        assert!(locate("no-such-program", None, "/bin").unwrap_err().to_string().contains("no-such-program"));
    }

    #[test]
    fn a_link_out_of_the_roots_is_outside() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("inside"), "").unwrap();
        std::os::unix::fs::symlink("/bin/sh", root.path().join("outside")).unwrap();
        let roots = [root.path().to_path_buf()];
        let inside = fs::canonicalize(root.path()).unwrap().join("inside");
        assert_eq!(below(&root.path().join("./inside"), roots.iter()), Some(inside));
        assert_eq!(below(&root.path().join("outside"), roots.iter()), None);
        assert_eq!(below(&root.path().join("../x"), roots.iter()), None);
        let settings = Settings { executable_roots: roots.to_vec(), ..Settings::default() };
        let error = plan(&["/bin/sh".into()], &BTreeMap::new(), None, &settings, &identity(false)).unwrap_err();
        assert!(matches!(error, SpawnError::ProgramOutside(_)), "{error}");
    }
}
