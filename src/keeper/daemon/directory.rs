//! Directories that are found once, when the keeper starts, and used by their descriptors from then
//! on.
//!
//! A guarded keeper has rights that its agent lacks, and the state directory may lie where the
//! agent's user can rename things. So a guarded keeper walks to it step by step: a link counts only
//! if root made it, where nobody else could have.

use rustix::{
    fs::{AtFlags, Mode, OFlags, Stat, fstat, mkdirat, openat, statat},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs, io,
    os::fd::OwnedFd,
    path::{Component, Path},
};

/// Which links on the way to a directory are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Links {
    All,
    /// Those of root in a directory of root: nobody with fewer rights has made or changed them.
    OfRoot,
}

/// Opens a directory, and makes what is missing of its path. The path is absolute.
pub(super) fn open(path: &Path, links: Links) -> io::Result<OwnedFd> {
    if links == Links::All {
        fs::create_dir_all(path)?;
        return Ok(openat(rustix::fs::CWD, path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?);
    }
    let mut dir = openat(rustix::fs::CWD, "/", SEARCH, Mode::empty())?;
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => dir = openat(&dir, "..", SEARCH, Mode::empty())?,
            Component::Normal(name) => dir = step(&dir, name)?,
        }
    }
    Ok(openat(&dir, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

const SEARCH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn step(dir: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let straight = || openat(dir, name, SEARCH | OFlags::NOFOLLOW, Mode::empty());
    match straight() {
        Err(Errno::NOENT) => {
            match mkdirat(dir, name, Mode::from(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            straight()
        }
        Err(Errno::LOOP | Errno::NOTDIR) if is_roots_link(dir, name)? => openat(dir, name, SEARCH, Mode::empty()),
        other => other,
    }
}

fn is_roots_link(dir: &OwnedFd, name: &OsStr) -> Result<bool, Errno> {
    let (above, link) = (fstat(dir)?, statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?);
    let of_root = |about: &Stat| about.st_uid == 0;
    // In a directory that all may write to, such as /tmp, only its owner can take the link away.
    let sticky = above.st_mode & 0o1000 != 0;
    Ok(of_root(&above) && of_root(&link) && (above.st_mode & 0o022 == 0 || sticky))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, chown, lchown, symlink};

    #[test]
    fn links_are_followed_as_allowed_and_what_is_missing_is_made() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().join("real");
        for links in [Links::All, Links::OfRoot] {
            open(&real.join("a/b"), links).unwrap();
            assert!(real.join("a/b").is_dir());
            open(&real.join("a/../a/b"), links).unwrap();
        }
        symlink("real", root.path().join("link")).unwrap();
        open(&root.path().join("link/a"), Links::All).unwrap();
        if !rustix::process::geteuid().is_root() {
            return; // nothing below is root's
        }
        open(&root.path().join("link/a"), Links::OfRoot).unwrap();
        lchown(root.path().join("link"), Some(65533), None).unwrap();
        open(&root.path().join("link/a"), Links::OfRoot).unwrap_err();
        lchown(root.path().join("link"), Some(0), None).unwrap();
        chown(root.path(), Some(65533), None).unwrap();
        open(&root.path().join("link/a"), Links::OfRoot).unwrap_err();
        assert_eq!(fs::metadata(root.path()).unwrap().uid(), 65533);
        open(&real, Links::OfRoot).unwrap();
    }
}
