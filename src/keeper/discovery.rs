//! A keeper's lock and socket, as somebody sees them who isn't the keeper.

use super::protocol::names;
use crate::host::{lock, socket};
use std::{io, os::unix::net::UnixStream, path::Path};

/// Whether a keeper lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    Free,
    Held { pid: Option<i32> },
}

/// Looks without taking it for longer than the look: a keeper that starts just then tries again.
pub(super) fn lock(dir: &Path) -> io::Result<Lock> {
    let holder = lock::holder(&dir.join(names::LOCK)).map_err(io::Error::other)?;
    let pid = |pid: u32| i32::try_from(pid).ok().filter(|pid| *pid != 0);
    Ok(holder.map_or(Lock::Free, |holder| Lock::Held { pid: pid(holder.pid) }))
}

/// Connects without ever waiting; the path may be longer than a socket address.
pub(super) fn reach(dir: &Path) -> io::Result<UnixStream> {
    socket::connect(&dir.join(names::SOCKET))
}
