//! Whether a directory is ours: made if it isn't there, and examined before anything in it is
//! believed.
//!
//! Invariants: a directory that we use is a directory and no link to one; it belongs to us or to
//! root; nobody else may write in it, unless that is tolerated on purpose.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A directory that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum BadDirectory {
    #[error("could not {doing} the directory {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is a symbolic link; name the directory that it points to", path.display())]
    Link { path: PathBuf },
    #[error("{} is not a directory", path.display())]
    NoDirectory { path: PathBuf },
    #[error("{} belongs to uid {owner}, not to uid {uid} who runs this; use another --state-dir, or GAMESIDE_RUNTIME_DIR for the runtime directory", path.display())]
    Foreign { path: PathBuf, owner: u32, uid: u32 },
    #[error("{} may be written by others (mode {mode:04o}); chmod go-w it", path.display())]
    Open { path: PathBuf, mode: u32 },
}

/// What to do about a directory in which others may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Openness {
    Refused,
    Tolerated,
}

/// Creates `path` with `mode`, and its parents with the usual modes, if it isn't there; then checks that it is a directory,
/// no link, ours or root's, and not open to others. What is already there keeps its mode.
pub(crate) fn make_dir(path: &Path, mode: u32, uid: u32, openness: Openness) -> Result<(), BadDirectory> {
    let io = |doing| move |source| BadDirectory::Io { doing, path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io("create the parent of"))?;
    }
    match fs::DirBuilder::new().mode(mode).create(path) {
        // Whatever the umask says: the game is another user, and has to get through to what it may
        // read.
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io("open"))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io("create")(error)),
    }
    let found = directory(path)?;
    owned(path, &found, uid, |_| false)?;
    match openness {
        Openness::Refused => closed(path, &found),
        Openness::Tolerated => Ok(()),
    }
}

/// Before anything in it is read: a directory, no link, that nobody else may write in; ours or root's, or another's whom root gave
/// it, in a place where nobody else could have made it. One that isn't there, or that we can't even see, is no fault.
pub(crate) fn examine(path: &Path, uid: u32) -> Result<(), BadDirectory> {
    let found = match directory(path) {
        Err(BadDirectory::Io { source, .. })
            if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) =>
        {
            return Ok(());
        }
        found => found?,
    };
    owned(path, &found, uid, |owner| is_handed_over(path, owner))?;
    closed(path, &found)
}

/// Ours, root's, or somebody's else who may own it.
fn owned(path: &Path, found: &fs::Metadata, uid: u32, may: impl FnOnce(u32) -> bool) -> Result<(), BadDirectory> {
    let owner = found.uid();
    if owner == uid || owner == 0 || may(owner) {
        return Ok(());
    }
    Err(BadDirectory::Foreign { path: path.to_owned(), owner, uid })
}

/// Nobody but its owner may write in it.
fn closed(path: &Path, found: &fs::Metadata) -> Result<(), BadDirectory> {
    let mode = found.mode() & 0o7777;
    if mode & 0o022 == 0 { Ok(()) } else { Err(BadDirectory::Open { path: path.to_owned(), mode }) }
}

fn directory(path: &Path) -> Result<fs::Metadata, BadDirectory> {
    let found = fs::symlink_metadata(path).map_err(|source| BadDirectory::Io {
        doing: "examine",
        path: path.to_owned(),
        source,
    })?;
    if found.file_type().is_symlink() {
        return Err(BadDirectory::Link { path: path.to_owned() });
    }
    if found.is_dir() { Ok(found) } else { Err(BadDirectory::NoDirectory { path: path.to_owned() }) }
}

/// Whether root gave it to its owner: it lies where root alone may write, maybe below directories of
/// the same owner.
fn is_handed_over(path: &Path, owner: u32) -> bool {
    let Some(parent) = path.parent() else { return false };
    let Ok(about) = fs::metadata(parent) else { return false };
    let closed = about.mode() & 0o022 == 0;
    closed && (about.uid() == 0 || about.uid() == owner && is_handed_over(parent, owner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_and_foreign_or_open_directories_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let real = dir.path().join("real");
        make_dir(&real, 0o700, uid, Openness::Refused).unwrap();

        let link = dir.path().join("link");
        symlink(&real, &link).unwrap();
        assert!(matches!(make_dir(&link, 0o700, uid, Openness::Refused), Err(BadDirectory::Link { .. })));

        if uid != 0 {
            assert!(matches!(make_dir(&real, 0o700, uid + 1, Openness::Refused), Err(BadDirectory::Foreign { .. })));
        }
        fs::set_permissions(&real, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(make_dir(&real, 0o700, uid, Openness::Refused), Err(BadDirectory::Open { .. })));
        make_dir(&real, 0o700, uid, Openness::Tolerated).unwrap();
    }
    #[test]
    fn nothing_is_believed_in_a_directory_that_another_could_have_made() {
        let uid = rustix::process::geteuid().as_raw();
        let dir = tempfile::tempdir().unwrap();
        let (open, real) = (dir.path().join("tmp"), dir.path().join("tmp/gameside-7"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        examine(&real, uid).unwrap();
        fs::create_dir(&real).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o700)).unwrap();
        examine(&real, uid).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(examine(&real, uid), Err(BadDirectory::Open { .. })));
        symlink(&real, open.join("link")).unwrap();
        assert!(matches!(examine(&open.join("link"), uid), Err(BadDirectory::Link { .. })));
        fs::write(open.join("file"), "").unwrap();
        assert!(matches!(examine(&open.join("file"), uid), Err(BadDirectory::NoDirectory { .. })));
        if uid == 0 {
            fs::set_permissions(&real, fs::Permissions::from_mode(0o700)).unwrap();
            std::os::unix::fs::chown(&real, Some(65533), None).unwrap();
            assert!(matches!(examine(&real, uid), Err(BadDirectory::Foreign { owner: 65533, .. })));
            assert!(matches!(examine(&real, 7), Err(BadDirectory::Foreign { owner: 65533, uid: 7, .. })));
            let below = real.join("agents");
            fs::create_dir(&below).unwrap();
            std::os::unix::fs::chown(&below, Some(65533), None).unwrap();
            assert!(examine(&below, 7).is_err(), "its parent could be anybody's");
            fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
            examine(&real, 7).unwrap();
            examine(&below, 7).unwrap();
            std::os::unix::fs::chown(&below, Some(65532), None).unwrap();
            assert!(examine(&below, 7).is_err(), "its owner is another than that of its parent");
        }
    }
}
