//! The local session service: one for each user and machine, shared by all agents that aren't told of another.
//!
//! ```text
//!   agent ── nobody holds sessions.lock? ──► gameside __detach gameside sessions --local ──► elected by the lock,
//!     ▲                                      (own session, no parent)                         writes sessions.json
//!     └── the backend is away? look again
//! ```
//!
//! It is reached through its socket, so it may come back on another port. Ctrl-C in the agent's terminal never reaches it.

use crate::host::{files, lock, paths::Places};
use serde::{Deserialize, Serialize};
use std::{io, path::PathBuf, process::Stdio};
use tokio::process::Command;

/// `sessions.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsRecord {
    pub url: String,
    pub pid: u32,
    pub state_dir: PathBuf,
}

impl SessionsRecord {
    /// What the service wrote that runs now; none: none runs, or it is still starting.
    pub fn read(places: &Places) -> Option<Self> {
        let holder = lock::holder(&places.sessions_lock()).ok().flatten()?;
        let text = files::read(&places.sessions_record(), 64 * 1024).ok()?;
        serde_json::from_slice(&text).ok().filter(|record: &Self| record.pid == holder.pid)
    }
}

/// Starts a service if none runs. Returns before it is ready: whoever calls it waits as for any service that is away.
pub async fn ensure(places: &Places) -> io::Result<()> {
    if matches!(lock::holder(&places.sessions_lock()), Ok(Some(_))) {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let mut command = Command::new(&program);
    command.arg("__detach").arg(&program).args(["sessions", "--local"]);
    // The state root was found from this environment, or named; the service must find the same.
    command.env("GAMESIDE_STATE_DIR", &places.state).env("GAMESIDE_RUNTIME_DIR", &places.runtime);
    for ours in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "GAMESIDE_CRASH_AT"] {
        command.env_remove(ours);
    }
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().await?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{} __detach: {status}", program.display()))) }
}

/// The rest of [`ensure`], in the process that it started: leaves the terminal's session, starts the program and goes, so that
/// the program has no parent of ours.
pub fn detach(argv: &[std::ffi::OsString]) -> io::Result<()> {
    rustix::process::setsid()?;
    let (program, args) = argv.split_first().ok_or_else(|| io::Error::other("no program to detach"))?;
    std::process::Command::new(program)
        .args(args)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
}
