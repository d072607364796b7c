//! Unix sockets at paths of any length: the kernel takes 107 bytes, and state and runtime
//! directories may be longer. Messages with descriptors over them.

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, chmodat, fchmod, fstat, openat, statat, unlinkat},
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, recvmsg, sendmsg, socket_with,
    },
};
use std::{
    ffi::OsStr,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
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
    listen_in(&dir, name, mode)
}

/// The same in a directory that is open. Only reading and writing counts in `mode`: a socket is not
/// executed.
pub(crate) fn listen_in(dir: &OwnedFd, name: &OsStr, mode: Option<u32>) -> io::Result<UnixListener> {
    remove(dir, name)?;
    let socket = new_socket()?;
    let mode = mode.map(|mode| Mode::from_raw_mode(mode & 0o666));
    if let Some(mode) = mode {
        // The file is made with the mode of the socket itself, less the umask.
        fchmod(&socket, mode)?;
    }
    bind(&socket, &SocketAddrUnix::new(short(dir, name))?)?;
    if let Some(mode) = mode {
        set_mode(&file(dir, name)?, mode.as_raw_mode())?;
    }
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Takes a socket's file away; nothing else, and no link's target.
pub(crate) fn remove(dir: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) if is_socket(&found) => Ok(unlinkat(dir, name, AtFlags::empty())?),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The file of a socket, to change its owner and mode by: whatever else has come to its place is refused.
pub(crate) fn file(dir: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let file = openat(dir, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if is_socket(&fstat(&file)?) { Ok(file) } else { Err(io::Error::other("something else has taken its place")) }
}

/// The mode of a file that was opened only to be found.
pub(crate) fn set_mode(file: &OwnedFd, mode: u32) -> io::Result<()> {
    let found = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(chmodat(CWD, found, Mode::from_raw_mode(mode), AtFlags::empty())?)
}

fn is_socket(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode).is_socket()
}

/// Connects without ever waiting; the stream doesn't block. Fails with `WouldBlock` where more wait than the server has room for.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    let (dir, name) = open_parent(path)?;
    let socket = new_socket()?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(short(&dir, name))?)?;
    Ok(socket.into())
}

/// What came with one message, or with one read of a stream.
#[derive(Debug)]
pub(crate) struct Received {
    pub bytes: usize,
    pub fds: Vec<OwnedFd>,
    /// Neither bytes nor descriptors were cut off for want of room.
    pub is_whole: bool,
}

/// Sends what goes without waiting; the descriptors go with the first byte. `space`: room for them, by `cmsg_space!`.
pub(crate) fn send_with_fds(
    socket: impl AsFd,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    space: &mut [MaybeUninit<u8>],
) -> Result<usize, Errno> {
    let mut control = SendAncillaryBuffer::new(space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
}

/// Reads once, without waiting, with the descriptors that come along. `space`: room for them, by `cmsg_space!`.
pub(crate) fn receive_with_fds(
    socket: impl AsFd,
    bytes: &mut [u8],
    space: &mut [MaybeUninit<u8>],
) -> Result<Received, Errno> {
    let mut control = RecvAncillaryBuffer::new(space);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(sent) = message {
            fds.extend(sent);
        }
    }
    let is_whole = !received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
    Ok(Received { bytes: received.bytes, fds, is_whole })
}

fn new_socket() -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// The directory of a path, and the name in it.
pub(crate) fn open_parent(path: &Path) -> io::Result<(OwnedFd, &OsStr)> {
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
    fn no_mode_makes_a_socket_more_than_readable_and_writable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let _listener = listen(&path, Some(0o7777)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o666);
    }

    #[test]
    fn owner_and_mode_are_never_those_of_what_took_a_sockets_place() {
        let dir = tempfile::tempdir().unwrap();
        let open = openat(CWD, dir.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        std::fs::write(dir.path().join("victim"), "mine").unwrap();
        std::os::unix::fs::symlink("victim", dir.path().join("s.sock")).unwrap();
        file(&open, OsStr::new("s.sock")).unwrap_err();
        file(&open, OsStr::new("victim")).unwrap_err();
        remove(&open, OsStr::new("s.sock")).unwrap();
        remove(&open, OsStr::new("victim")).unwrap();
        assert!(dir.path().join("s.sock").is_symlink() && dir.path().join("victim").exists());
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
