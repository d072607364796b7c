//! A keeper's lock and socket, as somebody sees them who isn't the keeper.

use super::protocol::names;
use rustix::{
    fs::{CWD, FlockOperation, Mode, OFlags, flock, openat},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
};
use std::{
    fs::File,
    io::{self, Read},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
};

/// Whether a keeper lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    Free,
    Held { pid: Option<i32> },
}

/// Looks without taking it for longer than the look: a keeper that starts just then tries again.
pub(super) fn lock(dir: &Path) -> io::Result<Lock> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = match openat(CWD, dir.join(names::LOCK), flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(Lock::Free),
        Err(error) => return Err(error.into()),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Lock::Free),
        Err(Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            (&mut file).take(16).read_to_string(&mut pid)?;
            Ok(Lock::Held { pid: pid.trim().parse().ok() })
        }
        Err(error) => Err(error.into()),
    }
}

/// Connects without ever waiting; the path may be longer than a socket address.
pub(super) fn reach(dir: &Path) -> io::Result<UnixStream> {
    let at = openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", at.as_raw_fd())).join(names::SOCKET);
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}
