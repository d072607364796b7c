//! The local session service: one for each user and machine, shared by all agents that aren't told
//! of another.
//!
//! ```text
//!   agent ── nobody holds sessions.lock? ──► gameside __detach gameside sessions --local ──► elected by the lock,
//!     ▲                                      (own session, no parent)                         writes sessions.json
//!     └── the backend is away? look again
//! ```
//!
//! It is reached through its socket, so it may come back on another port. Ctrl-C in the agent's
//! terminal never reaches it. What it has to say goes to `sessions.log` in the runtime directory.

use crate::host::{files, lock, paths::Places, socket};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::process::Command;

/// Bytes of old warnings that are kept when a service is started.
const LONGEST_LOG: u64 = 256 * 1024;

/// `sessions.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionsRecord {
    pub url: String,
    pub pid: u32,
    pub state_dir: PathBuf,
}

impl SessionsRecord {
    /// What the service wrote that runs now; none: none runs, or it is still starting.
    pub(crate) fn read(places: &Places) -> Option<Self> {
        let holder = lock::holder(&places.sessions_lock()).ok().flatten()?;
        let text = files::read(&places.sessions_record(), 64 * 1024).ok()?;
        serde_json::from_slice(&text).ok().filter(|record: &Self| record.pid == holder.pid)
    }
}

/// Starts a service if none runs. Returns before it is ready: whoever calls it waits as for any service that is away.
pub(crate) async fn ensure(places: &Places) -> io::Result<()> {
    if matches!(lock::holder(&places.sessions_lock()), Ok(Some(_))) {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let mut command = Command::new(&program);
    command.arg("__detach").arg(&program).args(["sessions", "--local"]);
    // The state root was found from this environment, or named; the service must find the same.
    command.env("GAMESIDE_STATE_DIR", &places.state).env("GAMESIDE_RUNTIME_DIR", &places.runtime);
    if std::env::var_os("GAMESIDE_LOG").is_none() {
        command.env("GAMESIDE_LOG", "warn");
    }
    for ours in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "GAMESIDE_CRASH_AT"] {
        command.env_remove(ours);
    }
    let log = log(places).map_or_else(|_| Stdio::null(), Stdio::from);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).status().await?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{} __detach: {status}", program.display()))) }
}

/// Why the service that was started ended again, if none runs now. `before`: how long the log was then.
pub(crate) fn why_ended(places: &Places, before: u64) -> Option<String> {
    if !matches!(lock::holder(&places.sessions_lock()), Ok(None)) {
        return None;
    }
    let log = files::read(&places.sessions_log(), 2 * LONGEST_LOG).ok()?;
    let new = String::from_utf8_lossy(log.get(before as usize..).unwrap_or(&log)).into_owned();
    new.lines().rev().find_map(|line| line.strip_prefix("gameside: ")).map(str::to_owned)
}

/// How long the service's log is.
pub(crate) fn log_length(places: &Places) -> u64 {
    std::fs::metadata(places.sessions_log()).map_or(0, |log| log.len())
}

/// Where the service's warnings go. Appended to, since several agents may be about to start one; begun anew when it is long.
fn log(places: &Places) -> io::Result<File> {
    places.prepare().map_err(io::Error::other)?;
    let flags = libc::O_NOFOLLOW;
    let log = File::options().create(true).append(true).mode(0o600).custom_flags(flags).open(places.sessions_log())?;
    if log.metadata()?.len() > LONGEST_LOG {
        log.set_len(0)?;
    }
    Ok(log)
}

/// The rest of [`ensure`], in the process that it started: leaves the terminal's session, starts the program and goes, so that
/// the program has no parent of ours.
pub(crate) fn detach(argv: &[std::ffi::OsString]) -> io::Result<()> {
    rustix::process::setsid()?;
    let (program, args) = argv.split_first().ok_or_else(|| io::Error::other("no program to detach"))?;
    std::process::Command::new(program)
        .args(args)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .map(drop)
}

/// The one service of this user and machine: it holds the lock, and everything is bound.
#[derive(Debug)]
pub(crate) struct Elected {
    pub tcp: std::net::TcpListener,
    pub unix: std::os::unix::net::UnixListener,
    _lock: lock::Lock,
}

/// Becomes the local session service, unless there is one. Binds the port of the last one, if it is free: players and
/// tools may know it. `listen`: an address to bind instead.
pub(crate) fn elect(places: &Places, state_dir: &Path, listen: Option<SocketAddr>) -> io::Result<Option<Elected>> {
    places.prepare().map_err(io::Error::other)?;
    let held = match lock::Lock::take(&places.sessions_lock(), "gameside sessions --local") {
        Ok(held) => held,
        Err(lock::NotLocked::Held { .. }) => return Ok(None),
        Err(error) => return Err(io::Error::other(error)),
    };
    // What the agents log in with.
    files::secret(&places.sessions_secret()).map_err(io::Error::other)?;
    let tcp = bind(listen, last_port(places))?;
    let unix = socket::listen(&places.sessions_socket(), Some(0o600))?;
    let record = SessionsRecord {
        url: format!("http://{}", tcp.local_addr()?),
        pid: std::process::id(),
        state_dir: state_dir.to_owned(),
    };
    let text = serde_json::to_vec_pretty(&record).map_err(io::Error::other)?;
    files::write(&places.sessions_record(), &text, 0o600).map_err(io::Error::other)?;
    tcp.set_nonblocking(true)?;
    Ok(Some(Elected { tcp, unix, _lock: held }))
}

fn bind(listen: Option<SocketAddr>, last: u16) -> io::Result<std::net::TcpListener> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    match listen {
        Some(address) => std::net::TcpListener::bind(address),
        None => std::net::TcpListener::bind(local(last)).or_else(|_| std::net::TcpListener::bind(local(0))),
    }
}

/// 0: none, or any.
fn last_port(places: &Places) -> u16 {
    let text = files::read(&places.sessions_record(), 64 * 1024).unwrap_or_default();
    let record: Option<SessionsRecord> = serde_json::from_slice(&text).ok();
    record.and_then(|record| url::Url::parse(&record.url).ok()?.port()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_elected_and_the_next_keeps_its_port() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than the kernel takes for a socket.
        let runtime = dir.path().join("r".repeat(120));
        let env = |key: &str| (key == "GAMESIDE_RUNTIME_DIR").then(|| runtime.display().to_string());
        let state = dir.path().join("s");
        let places = Places::find(Some(&state), rustix::process::geteuid().as_raw(), env).unwrap();
        let first = elect(&places, &state, None).unwrap().expect("nobody else is there");
        let record = SessionsRecord::read(&places).expect("it says where it is");
        assert_eq!(record.url, format!("http://{}", first.tcp.local_addr().unwrap()));
        assert!(elect(&places, &state, None).unwrap().is_none());
        let secret = || files::secret(&places.sessions_secret()).unwrap();
        let (port, first_secret) = (first.tcp.local_addr().unwrap().port(), secret());
        drop(first);
        assert_eq!(SessionsRecord::read(&places), None, "a dead one's record counts for nothing");
        let second = elect(&places, &state, None).unwrap().unwrap();
        assert_eq!((second.tcp.local_addr().unwrap().port(), secret()), (port, first_secret));
    }
}
