//! From a command line to a keeper that stands: the order matters, so it is all here.
//!
//! ```text
//!   parse ─► users ─► detach? ─► cgroups ─► watcher | keeper ─► lock ─► socket ─► agent? ─► shed rights ─► ready ─► loop
//! ```

use super::{
    Daemon,
    cgroup::Cgroups,
    init::Runner,
    privileges,
    privileges::Identity,
    settings::{Question, Settings, USAGE},
    store::{Store, StoreError},
    sys::{self, Forked},
    watcher,
};
use crate::{
    host::socket,
    keeper::protocol::{exit, names},
    model::ids::KeeperId,
};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    pipe::PipeFlags,
    process::{geteuid, getpid, set_child_subreaper, setsid, umask},
};
use std::{ffi::OsString, fs, io, os::fd::OwnedFd, path::Path};

/// Why there is no keeper: a sentence and an exit code.
type Failure = (String, u8);

/// The whole life; returns the exit code.
pub(super) fn life(args: Vec<OsString>) -> u8 {
    match Question::of(&args) {
        Some(Question::Help) => {
            print!("{USAGE}");
            return 0;
        }
        Some(Question::Version) => {
            println!("gameside-keeper {}", env!("CARGO_PKG_VERSION"));
            return 0;
        }
        None => {}
    }
    sys::close_from(3);
    umask(Mode::from(0o022));
    let mut ready = None;
    let outcome = Settings::parse(args)
        .map_err(|why| (format!("{why}\nsee gameside-keeper --help"), exit::USAGE))
        .and_then(|settings| stand(settings, &mut ready));
    match outcome {
        Ok(mut daemon) => daemon.run(),
        Err((why, code)) => {
            eprintln!("gameside-keeper: {why}");
            Ready::say(ready.as_ref(), code);
            code
        }
    }
}

fn stand(mut settings: Settings, ready: &mut Option<Ready>) -> Result<Daemon, Failure> {
    let identity = Identity::of(&settings).map_err(|why| (why, exit::USAGE))?;
    if settings.detach {
        *ready = Some(detach().map_err(|error| trouble("going into the background", &error))?);
    }
    let id = fresh_id();
    let cgroups = if settings.no_cgroup { None } else { Cgroups::find(id.as_str()) };
    let watcher =
        watcher::split(settings.detach, cgroups.as_ref()).map_err(|error| trouble("starting the watcher", &error))?;
    let store = Store::open(&settings.dir, id).map_err(|error| {
        let code = if matches!(error, StoreError::Locked(_)) { exit::LOCKED } else { exit::TROUBLE };
        (error.to_string(), code)
    })?;
    let server = serve(&settings.dir, &identity).map_err(|error| trouble("making keeper.sock", &error))?;
    let signals = sys::signal_fd(&super::SIGNALS).map_err(|error| trouble("watching for signals", &error))?;
    sys::ignore(libc::SIGXFSZ);
    sys::ignore(libc::SIGPIPE);
    set_child_subreaper(Some(getpid())).map_err(|error| trouble("becoming a subreaper", &error.into()))?;
    let runner = match settings.agent.as_slice() {
        [] => None,
        command => Some(Runner::start(command).map_err(|error| trouble("starting the agent", &error))?),
    };
    if let Some(cgroups) = &cgroups {
        cgroups.hand_down_controllers(watcher);
    }
    raise_limits(&mut settings);
    // An agent of ours, started again, would miss them.
    if identity.account.is_some() && settings.agent.is_empty() {
        privileges::close_bounds().map_err(|why| (why, exit::TROUBLE))?;
    }
    privileges::shed(privileges::KEEPER).map_err(|why| (why, exit::TROUBLE))?;
    let daemon = Daemon::new(settings, identity, store, cgroups, server, signals, runner)
        .map_err(|error| trouble("opening the log", &error))?;
    if let Some(ready) = ready.take() {
        own_log(&daemon.settings.dir);
        Ready::say(Some(&ready), exit::ORDERLY);
    }
    Ok(daemon)
}

fn trouble(what: &str, error: &io::Error) -> Failure {
    (format!("{what}: {error}"), exit::TROUBLE)
}

fn fresh_id() -> KeeperId {
    KeeperId::from_uuid(uuid::Uuid::new_v4())
}

/// Only the agent's user may connect. Where the socket can't be given to it, anybody may, and is refused by uid.
fn serve(dir: &Path, identity: &Identity) -> io::Result<OwnedFd> {
    let path = dir.join(names::SOCKET);
    let server = OwnedFd::from(socket::listen(&path, Some(0o600))?);
    if identity.agent_uid != geteuid().as_raw()
        && std::os::unix::fs::chown(&path, Some(identity.agent_uid), None).is_err()
    {
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    }
    Ok(server)
}

/// While we still may: hard limits up to what the game is to get, and the kernel's out-of-memory killer away from us.
fn raise_limits(settings: &mut Settings) {
    for limit in &settings.limits {
        let (soft, hard) = sys::limit(limit.resource);
        if limit.hard > hard && sys::set_limit(limit.resource, soft, limit.hard).is_err() {
            eprintln!("gameside-keeper: a limit of the game can't be raised above our own hard limit of {hard}");
        }
    }
    if let Ok(before) = fs::read_to_string("/proc/self/oom_score_adj")
        && fs::write("/proc/self/oom_score_adj", "-900").is_ok()
    {
        before.trim().clone_into(&mut settings.oom_score_adj);
    }
}

/// The pipe to the process that waits for us to stand.
#[derive(Debug)]
struct Ready(OwnedFd);

impl Ready {
    fn say(ready: Option<&Ready>, code: u8) {
        if let Some(Ready(pipe)) = ready {
            let _ = rustix::io::write(pipe, &[code]);
        }
    }
}

/// Double fork and a session of our own: no terminal reaches us, and nobody waits for us. The first process stays until we stand,
/// and ends with the code that we give it.
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

/// Nobody is to wait for an end of file on what we were started with.
pub(super) fn silence() {
    if let Ok(null) = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        let _ = sys::put_at(&null, 2);
    }
}

/// Our own few words go into `keeper/keeper.log` from here on; started anew when it got long.
fn own_log(dir: &Path) {
    let path = dir.join(names::STORE).join("keeper.log");
    let long = fs::symlink_metadata(&path).is_ok_and(|about| about.len() > 1 << 20);
    let kind = if long { OFlags::TRUNC } else { OFlags::APPEND };
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | kind;
    match openat(CWD, &path, flags, Mode::from(0o600)) {
        Ok(file) => drop(sys::put_at(&file, 2)),
        Err(_) => silence(),
    }
}
