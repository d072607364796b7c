//! Unix sockets at paths of any length: the kernel takes 107 bytes, and state and runtime
//! directories may be longer.

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, chmodat, fchmod, openat, statat, unlinkat},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with},
};
use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Listens at `path`, without blocking. A socket that is there is replaced: whoever calls this knows that nobody needs it (a lock says
/// so). Nobody can connect before the file has its `mode`; none: what the umask leaves.
pub(crate) fn listen(path: &Path, mode: Option<u32>) -> io::Result<UnixListener> {
    let (dir, name) = open_parent(path)?;
    match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if rustix::fs::FileType::from_raw_mode(found.st_mode).is_socket() => {
            unlinkat(&dir, name, AtFlags::empty())?;
        }
        Ok(_) | Err(_) => {}
    }
    let socket = new_socket()?;
    if let Some(mode) = mode {
        // The file is made with the mode of the socket itself, less the umask.
        fchmod(&socket, Mode::from_raw_mode(mode))?;
    }
    bind(&socket, &SocketAddrUnix::new(short(&dir, name))?)?;
    if let Some(mode) = mode {
        chmodat(&dir, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
    }
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Connects without ever waiting; the stream doesn't block. Fails with `WouldBlock` where more wait than the server has room for.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    let (dir, name) = open_parent(path)?;
    let socket = new_socket()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(short(&dir, name))?)?;
    Ok(socket.into())
}

fn new_socket() -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

fn open_parent(path: &Path) -> io::Result<(OwnedFd, &OsStr)> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    Ok((openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?, name))
}

/// A path that is short however long the directory's is.
fn short(dir: &OwnedFd, name: &OsStr) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_path_may_be_longer_than_the_kernel_takes_and_the_socket_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("s.sock");
        drop(listen(&path, Some(0o600)).unwrap());
        let refused = connect(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        for mode in [0o600, 0o666] {
            let _again = listen(&path, Some(mode)).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            connect(&path).unwrap();
        }
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "mine").unwrap();
        assert_eq!(listen(&path, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }
}
