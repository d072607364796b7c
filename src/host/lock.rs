//! A lock that a process holds for its life, with its pid inside: "refused with the pid of the first".
//!
//! It is an `flock` on a file that is never removed: the kernel frees it when the holder ends, however that happens. A pid left
//! in a free file means nothing.

use super::files::BadFile;
use rustix::fs::{FlockOperation, OFlags, flock};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A held lock. Dropping it frees it.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// Why a lock wasn't got.
#[derive(Debug, thiserror::Error)]
pub enum NotLocked {
    #[error("{} is held by {}", path.display(), Who(holder))]
    Held { path: PathBuf, holder: Option<Holder> },
    #[error("could not {doing} the lock {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

/// What the holder wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// What it said about itself.
    pub label: String,
}

impl Lock {
    /// Takes the lock at once or says who has it. `label` says what for.
    pub fn take(path: &Path, label: &str) -> Result<Lock, NotLocked> {
        let io = |doing| move |source| NotLocked::Io { doing, path: path.to_owned(), source };
        let mut file = open(path).map_err(io("open"))?;
        match exclusive(&file) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(NotLocked::Held { path: path.to_owned(), holder: read_holder(&mut file) });
            }
            Err(error) => return Err(io("take")(error.into())),
        }
        let mut lock = Lock { file, path: path.to_owned() };
        lock.sign(label).map_err(io("write to"))?;
        Ok(lock)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn sign(&mut self, label: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{} {label}", std::process::id())
    }
}

/// Who holds the lock now; `Ok(None)`: nobody.
pub fn holder(path: &Path) -> Result<Option<Holder>, BadFile> {
    let io = |doing| move |source| BadFile::Io { doing, path: path.to_owned(), source };
    let mut file = match OpenOptions::new().read(true).custom_flags(no_follow()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("open")(error)),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Ok(Some(read_holder(&mut file).unwrap_or(Holder { pid: 0, label: String::new() })))
        }
        Err(error) => Err(io("examine the lock")(error.into())),
    }
}

/// Somebody who only looks ([`holder`]) has it for an instant, and must not be taken for an owner.
fn exclusive(file: &File) -> rustix::io::Result<()> {
    let mut tries = 0;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if tries < 5 => tries += 1,
            other => return other,
        }
        let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        rustix::event::poll(&mut [], Some(&pause))?;
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(no_follow())
        .open(path)
}

fn no_follow() -> i32 {
    OFlags::NOFOLLOW.bits().cast_signed()
}

/// Bounded: the file may have been written by anybody who may write in that directory.
fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(512).read_to_string(&mut text).ok()?;
    let (pid, label) = text.trim_end().split_once(' ')?;
    Some(Holder { pid: pid.parse().ok()?, label: label.to_owned() })
}

struct Who<'a>(&'a Option<Holder>);

impl std::fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(Holder { pid, label }) => write!(f, "pid {pid} ({})", super::escape::Escaped(label)),
            None => f.write_str("another process"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.lock");
        let first = Lock::take(&path, "agent one").unwrap();
        let Err(NotLocked::Held { holder: found, .. }) = Lock::take(&path, "agent two") else { panic!("taken twice") };
        let expected = Holder { pid: std::process::id(), label: "agent one".to_owned() };
        assert_eq!(found.as_ref(), Some(&expected));
        assert_eq!(holder(&path).unwrap(), Some(expected));

        drop(first);
        assert_eq!(holder(&path).unwrap(), None);
        Lock::take(&path, "agent two").unwrap();
    }

    #[test]
    fn a_lock_is_not_taken_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
        assert!(matches!(Lock::take(&path, "x"), Err(NotLocked::Io { .. })));
    }
}
