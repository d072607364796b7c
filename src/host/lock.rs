//! A lock file that a process holds for as long as it lives. The process writes its pid into it, so
//! that whoever is refused can say who has the lock.
//!
//! It is an `flock` on a file that is never removed: the kernel frees it when the holder ends,
//! however that happens. A pid left in a free file means nothing.

use super::files::BadFile;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::{Path, PathBuf},
};

/// Somebody who only looks ([`holder`]) has a lock for an instant, and must not be taken for an owner: so it is tried so often, with this
/// pause in between.
const TRIES: u32 = 20;
const PAUSE: rustix::time::Timespec = rustix::time::Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// A held lock. Dropping it frees it.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

/// Why a lock wasn't got.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotLocked {
    #[error("{} is held by {}", path.display(), Who(holder))]
    Held { path: PathBuf, holder: Option<Holder> },
    #[error("could not {doing} the lock {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

/// What the holder wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub pid: u32,
    /// What it said about itself; the keeper says nothing.
    pub label: String,
}

impl Lock {
    /// Takes the lock at once or says who has it. `label` says what for.
    pub(crate) fn take(path: &Path, label: &str) -> Result<Lock, NotLocked> {
        Self::take_at(CWD, path, label)
    }

    /// The same for a path below a directory that is open.
    pub(crate) fn take_at(dir: impl AsFd, path: &Path, label: &str) -> Result<Lock, NotLocked> {
        let mut file = open(dir, path).map_err(NotLocked::io("open", path))?;
        match exclusive(&file) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(NotLocked::Held { path: path.to_owned(), holder: read_holder(&mut file) });
            }
            Err(error) => return Err(NotLocked::io("take", path)(error.into())),
        }
        Ok(Lock::signed(file, label))
    }

    /// Waits for the lock. Blocks: for locks that are held for an instant only.
    pub(crate) fn wait(path: &Path, label: &str) -> Result<Lock, NotLocked> {
        let file = open(CWD, path).map_err(NotLocked::io("open", path))?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| NotLocked::io("take", path)(error.into()))?;
        Ok(Lock::signed(file, label))
    }

    fn signed(file: File, label: &str) -> Lock {
        let mut lock = Lock { file };
        // On a full disk the lock is held all the same; only who holds it can't be read.
        let _ = lock.sign(label);
        lock
    }

    /// Writes the pid of this process into it: it was taken before a fork.
    pub(crate) fn renew_pid(&mut self) {
        let _ = self.sign("");
    }

    fn sign(&mut self, label: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        let text = format!("{} {label}", std::process::id());
        self.file.write_all(format!("{}\n", text.trim_end()).as_bytes())
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl NotLocked {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| NotLocked::Io { doing, path: path.to_owned(), source }
    }
}

/// Who holds the lock now; `Ok(None)`: nobody.
pub(crate) fn holder(path: &Path) -> Result<Option<Holder>, BadFile> {
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

fn exclusive(file: &File) -> rustix::io::Result<()> {
    let mut tries = 0;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) if tries < TRIES => tries += 1,
            other => return other,
        }
        let _ = rustix::event::poll(&mut [], Some(&PAUSE));
    }
}

fn open(dir: impl AsFd, path: &Path) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(dir, path, flags, Mode::from_raw_mode(0o644))?.into())
}

fn no_follow() -> i32 {
    OFlags::NOFOLLOW.bits().cast_signed()
}

/// Bounded: the file may have been written by anybody who may write in that directory.
fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(512).read_to_string(&mut text).ok()?;
    let text = text.trim_end();
    let (pid, label) = text.split_once(' ').unwrap_or((text, ""));
    Some(Holder { pid: pid.parse().ok()?, label: label.to_owned() })
}

struct Who<'a>(&'a Option<Holder>);

impl std::fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(Holder { pid, label }) if label.is_empty() => write!(f, "pid {pid}"),
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
    fn a_holder_may_give_its_pid_alone_and_a_directory_may_be_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keeper.lock");
        let _held = Lock::take_at(File::open(dir.path()).unwrap(), Path::new("keeper.lock"), "").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(holder(&path).unwrap(), Some(Holder { pid: std::process::id(), label: String::new() }));
        let error = Lock::take(&path, "x").unwrap_err().to_string();
        assert!(error.ends_with(&format!("is held by pid {}", std::process::id())), "{error}");
    }

    #[test]
    fn a_lock_can_be_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::take(&path, "first").unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || Lock::wait(&path, "second")
        });
        drop(held);
        let _second = waiting.join().unwrap().unwrap();
        assert_eq!(holder(&path).unwrap().map(|holder| holder.label), Some("second".to_owned()));
    }

    #[test]
    fn a_lock_is_not_taken_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), &path).unwrap();
        assert!(matches!(Lock::take(&path, "x"), Err(NotLocked::Io { .. })));
    }
}
