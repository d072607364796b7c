//! Finding a keeper from outside, by its lock and its socket.

use super::protocol::names;
use crate::host::{lock, socket};
use std::{io, os::unix::net::UnixStream, path::Path};

/// Whether a keeper lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockState {
    /// There is no lock file: none was ever here, or somebody has deleted it under a keeper.
    Missing,
    Free,
    Held {
        pid: Option<i32>,
    },
}

/// Takes the lock for the moment of the look only: a keeper that starts just then tries again.
pub(super) fn lock(dir: &Path) -> io::Result<LockState> {
    let path = dir.join(names::LOCK);
    let holder = lock::holder(&path).map_err(io::Error::other)?;
    if holder.is_none() && !path.exists() {
        return Ok(LockState::Missing);
    }
    let pid = |pid: u32| i32::try_from(pid).ok().filter(|pid| *pid != 0);
    Ok(holder.map_or(LockState::Free, |holder| LockState::Held { pid: pid(holder.pid) }))
}

/// Connects without waiting; the path may be longer than a socket address holds.
pub(super) fn connect_to(dir: &Path) -> io::Result<UnixStream> {
    socket::connect(&dir.join(names::SOCKET))
}
