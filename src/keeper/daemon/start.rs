//! From a command line to a running keeper. The order matters, so all of it is here.
//!
//! ```text
//!   parse ─► users ─► detach? ─► cgroups ─► lock ─► watcher | keeper ─► socket ─► agent? ─► shed rights ─► ready ─► loop
//! ```

use super::{
    Daemon,
    cgroup::Cgroups,
    directory::Links,
    init::Runner,
    privileges::{self, Identity, IdentityError, PrivilegeError},
    settings::{Invocation, Limit, Settings, SettingsError, USAGE},
    store::{Store, StoreError},
    sys::{self, Forked},
    watcher,
};
use crate::{
    host::{process, socket},
    keeper::protocol::{exit, names},
    model::ids::KeeperId,
};
use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, Uid, chownat, openat, statat},
    pipe::PipeFlags,
    process::{geteuid, getpid, set_child_subreaper, setsid, umask},
};
use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write as _},
    os::fd::OwnedFd,
};

#[allow(clippy::unnecessary_cast, reason = "a signed number with musl")]
const CORE: u32 = libc::RLIMIT_CORE as u32;

/// Why there is no keeper.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("{0}\nsee gameside-keeper --help")]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{what}: {why}")]
    Io { what: &'static str, why: io::Error },
}

impl StartError {
    fn when<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> StartError {
        move |why| StartError::Io { what, why: why.into() }
    }

    fn code(&self) -> u8 {
        match self {
            StartError::Settings(_) | StartError::Identity(_) => exit::USAGE,
            StartError::Store(StoreError::Locked(_)) => exit::LOCKED,
            StartError::Store(StoreError::Io { .. }) | StartError::Privileges(_) | StartError::Io { .. } => {
                exit::TROUBLE
            }
        }
    }
}

/// The whole life; returns the exit code.
pub(super) fn life(args: Vec<OsString>) -> u8 {
    let settings = match Invocation::parse(args) {
        Ok(Invocation::Help) => {
            say(USAGE);
            return 0;
        }
        Ok(Invocation::Version) => {
            say(&format!("gameside-keeper {}\n", env!("CARGO_PKG_VERSION")));
            return 0;
        }
        Ok(Invocation::Run(settings)) => Ok(*settings),
        Err(error) => Err(StartError::from(error)),
    };
    sys::close_from(3);
    umask(Mode::from(0o022));
    let mut ready = None;
    match settings.and_then(|settings| start(settings, &mut ready)) {
        Ok(mut daemon) => daemon.run(),
        Err(error) => {
            warn!("{error}");
            Ready::say(ready.as_ref(), error.code());
            error.code()
        }
    }
}

/// On standard output, if that can be written.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn start(mut settings: Settings, ready: &mut Option<Ready>) -> Result<Daemon, StartError> {
    let identity = Identity::of(&settings)?;
    if let (Some(name), Some(whose)) = (&settings.gateway_user, identity.shared_gateway()) {
        warn!(
            "--gateway-user {name} is also the user of {whose}: a fault in what serves the game's SDK reaches what that user has"
        );
    }
    if settings.detach {
        *ready = Some(detach().map_err(StartError::when("going into the background"))?);
    }
    let id = fresh_id();
    let cgroups = if settings.no_cgroup { None } else { Cgroups::find(id.as_str()) };
    let links = if identity.guarded { Links::OfRoot } else { Links::All };
    let mut store = Store::open(&settings.dir, links, id)?;
    let watcher = watcher::split(settings.detach, cgroups.as_ref(), &store.lock, &settings.dir.join(names::LOCK))
        .map_err(StartError::when("starting the watcher"))?;
    store.lock.renew_pid();
    let server = serve(&store.dir, &identity).map_err(StartError::when("making keeper.sock"))?;
    let signals = sys::signal_fd(&super::SIGNALS).map_err(StartError::when("watching for signals"))?;
    sys::ignore(libc::SIGXFSZ);
    sys::ignore(libc::SIGPIPE);
    set_child_subreaper(Some(getpid())).map_err(StartError::when("becoming a subreaper"))?;
    let runner = match settings.agent.as_slice() {
        [] => None,
        command => Some(Runner::start(command).map_err(StartError::when("starting the agent"))?),
    };
    if let Some(cgroups) = &cgroups {
        cgroups.hand_down_controllers(watcher);
    }
    raise_limits(&mut settings);
    // An agent that is our child would lack them when it is started again.
    if identity.account.is_some() && settings.agent.is_empty() {
        privileges::close_bounds()?;
    }
    privileges::shed(privileges::KEEPER)?;
    let daemon = Daemon::new(settings, identity, store, cgroups, server, signals, runner)
        .map_err(StartError::when("opening the log"))?;
    if let Some(ready) = ready.take() {
        own_log(&daemon.store.own);
        Ready::say(Some(&ready), exit::ORDERLY);
    }
    Ok(daemon)
}

fn fresh_id() -> KeeperId {
    KeeperId::from_uuid(uuid::Uuid::new_v4())
}

/// Only the agent's user may connect. Where the socket can't be given to that user, anybody may connect, and others are refused by
/// their uid.
pub(super) fn serve(dir: &OwnedFd, identity: &Identity) -> io::Result<OwnedFd> {
    let name = OsStr::new(names::SOCKET);
    let server = OwnedFd::from(socket::listen_in(dir, name, Some(0o600))?);
    if identity.agent_uid != geteuid().as_raw() {
        let file = socket::file(dir, name)?;
        let agent = Some(Uid::from_raw(identity.agent_uid));
        if chownat(&file, "", agent, None, AtFlags::EMPTY_PATH).is_err() {
            socket::set_mode(&file, 0o666)?;
        }
    }
    Ok(server)
}

/// Raises our hard limits to what the game is to get, and asks the kernel's out-of-memory killer to spare us, while we still have the
/// rights.
fn raise_limits(settings: &mut Settings) {
    for limit in &settings.limits {
        let (soft, hard) = sys::limit(limit.resource);
        if limit.hard > hard && sys::set_limit(limit.resource, soft, limit.hard).is_err() {
            warn!("a limit of the game can't be raised above our own hard limit of {hard}");
        }
    }
    let (soft, hard) = process::core_limit();
    // Before those that were given, which come into force after it.
    settings.limits.insert(0, Limit { resource: CORE, soft, hard });
    if settings.oom_score_adj.is_empty() {
        let before = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
        before.trim().clone_into(&mut settings.oom_score_adj);
    }
    let _ = fs::write("/proc/self/oom_score_adj", "-900");
}

/// The pipe to the process that waits until the keeper runs.
#[derive(Debug)]
struct Ready(OwnedFd);

impl Ready {
    fn say(ready: Option<&Ready>, code: u8) {
        if let Some(Ready(pipe)) = ready {
            let _ = rustix::io::write(pipe, &[code]);
        }
    }
}

/// Double fork and a session of our own: no terminal reaches us, and nobody waits for us. The first process stays until the keeper
/// runs, and ends with the code that it is given.
fn detach() -> io::Result<Ready> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    if let Forked::Parent(_) = sys::fork()? {
        drop(write);
        let mut code = [exit::TROUBLE];
        let _ = rustix::io::retry_on_intr(|| rustix::io::read(&read, &mut code));
        sys::exit_now(i32::from(code[0]));
    }
    drop(read);
    setsid()?;
    if let Forked::Parent(_) = sys::fork()? {
        sys::exit_now(0);
    }
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    sys::put_at(&null, 0)?;
    sys::put_at(&null, 1)?;
    Ok(Ready(write))
}

/// Lets go of the standard error that we were started with, so that nobody waits for its end of file.
pub(super) fn silence() {
    if let Ok(null) = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        let _ = sys::put_at(&null, 2);
    }
}

/// From here on the keeper's own messages go into `keeper/keeper.log`. A log that got long is emptied.
pub(super) fn own_log(own: &OwnedFd) {
    let name = "keeper.log";
    let long = statat(own, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|about| about.st_size > 1 << 20);
    let kind = if long { OFlags::TRUNC } else { OFlags::APPEND };
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | kind;
    match openat(own, name, flags, Mode::from(0o600)) {
        Ok(file) => drop(sys::put_at(&file, 2)),
        Err(_) => silence(),
    }
}
