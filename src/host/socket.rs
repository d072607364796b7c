//! A unix socket at a path of any length: the kernel takes 107 bytes, and state and runtime directories may be longer.

use rustix::fs::{CWD, Mode, OFlags, openat};
use std::{
    io,
    os::{fd::AsRawFd as _, unix::net::UnixListener},
    path::{Path, PathBuf},
};

/// Listens at `path`; a file that is there is replaced. Fails as `bind` does, or if its directory can't be opened.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    UnixListener::bind(PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileTypeExt as _;

    #[test]
    fn a_path_may_be_longer_than_the_kernel_takes() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("s.sock");
        drop(listen(&path).unwrap());
        let again = listen(&path).unwrap();
        assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());
        assert!(again.local_addr().is_ok());
    }
}
