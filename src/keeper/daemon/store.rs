//! What outlives the keeper: the directories, the lock, the epoch, the last exit report.
//!
//! | file in the state directory | holds |
//! |---|---|
//! | `keeper.lock` | our pid; `flock`ed for as long as we live, and until our watcher has ended what we left |
//! | `keeper/epoch` | the last epoch handed out, 20 digits, written in place |
//! | `keeper/exit` | an exit report that isn't taken yet, and the keeper it belongs to, in one line |
//! | `keeper/exit.spare` | the same blocks while there is none, so that an end can be written down on a full disk |
//!
//! Invariant: a report is on the disk before anybody is told of it, and stays until it is taken. A
//! keeper that finds one goes on under the id of its predecessor: the run it reports has ended for
//! certain, and the agent gets its true status.

use super::directory::{self, Links};
use crate::{
    host::lock::{Lock, NotLocked},
    keeper::protocol::names,
    model::{
        gateway::MAX_WORDS_BYTES,
        ids::KeeperId,
        process::{ExitReport, ExitStatus},
    },
};
use rustix::{
    fs::{CWD, Mode, OFlags, fchmod, fchown, fsync, mkdirat, openat, renameat},
    io::Errno,
    process::geteuid,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::Path,
};

/// The space that is reserved for a report, in bytes. Without last words it is cut to fit.
const REPORT_BYTES: usize = 4096;
/// The longest report, in bytes: every byte of the last words can take six, and their name takes a few.
const MAX_REPORT_BYTES: usize = 2 * REPORT_BYTES + 6 * MAX_WORDS_BYTES;
const REPORT: &str = "exit";
const SPARE: &str = "exit.spare";

/// Why the store can't be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("another keeper{} holds this state directory", .0.map_or(String::new(), |pid| format!(" (pid {pid})")))]
    Locked(Option<u32>),
    #[error("{what}: {why}")]
    Io { what: String, why: io::Error },
}

/// The directories, opened without following links, and the lock.
#[derive(Debug)]
pub(super) struct Store {
    /// The state directory itself.
    pub(super) dir: OwnedFd,
    pub(super) game: OwnedFd,
    pub(super) logs: OwnedFd,
    pub(super) own: OwnedFd,
    pub(super) lock: Lock,
    epoch_file: Option<File>,
    epoch: u64,
    pub(super) keeper: KeeperId,
    untaken: Option<ExitReport>,
}

/// What `keeper/exit` holds.
#[derive(Debug, Serialize, Deserialize)]
struct StoredReport {
    keeper: KeeperId,
    report: ExitReport,
}

impl Store {
    /// Takes the lock and opens or makes everything. `fresh` is our id unless a predecessor left a report.
    pub(super) fn open(path: &Path, links: Links, fresh: KeeperId) -> Result<Store, StoreError> {
        let failed = |what: &str| {
            let what = format!("{what} in {}", path.display());
            move |why: Errno| StoreError::Io { what, why: why.into() }
        };
        let dir = directory::open(path, links)
            .map_err(|why| StoreError::Io { what: format!("opening the state directory {}", path.display()), why })?;
        let lock = Lock::take_at(&dir, Path::new(names::LOCK), "").map_err(|why| match why {
            NotLocked::Held { holder, .. } => StoreError::Locked(holder.map(|holder| holder.pid)),
            NotLocked::Io { doing, source, .. } => {
                StoreError::Io { what: format!("failed to {doing} keeper.lock in {}", path.display()), why: source }
            }
        })?;
        let own = subdirectory(&dir, names::STORE, 0o700).map_err(failed("making keeper/"))?;
        // The game, perhaps another user, reads here.
        let game = subdirectory(&dir, names::GAME, 0o755).map_err(failed("making game/"))?;
        let logs = subdirectory(&dir, names::LOGS, 0o700).map_err(failed("making logs/"))?;
        let kept = read_report(&own);
        let (epoch_file, epoch) = open_epoch(&own);
        let keeper = kept.as_ref().map_or(fresh, |kept| kept.keeper.clone());
        let untaken = kept.map(|kept| kept.report);
        let store = Store { dir, game, logs, own, lock, epoch_file, epoch, keeper, untaken };
        if store.untaken.is_none() {
            store.prepare_spare();
        }
        Ok(store)
    }

    /// Begins anew at its path, where what is open isn't any more. What is known goes along.
    pub(super) fn reopen(&mut self, path: &Path, links: Links) -> Result<(), StoreError> {
        let mode = rustix::fs::fstat(&self.dir).map(|about| about.st_mode);
        let mut new = Store::open(path, links, self.keeper.clone())?;
        if let Ok(mode) = mode {
            let _ = fchmod(&new.dir, Mode::from_raw_mode(mode & 0o7777));
        }
        new.keeper = self.keeper.clone();
        new.untaken = None;
        let report = self.untaken.take();
        new.epoch = new.epoch.max(self.epoch);
        *self = new;
        self.write_epoch();
        if let Some(report) = report {
            self.keep(report);
        }
        Ok(())
    }

    /// A higher epoch than any before, `seen` included, on the disk before it is returned. A disk that fails costs durability, not
    /// the match.
    pub(super) fn next_epoch(&mut self, seen: u64) -> u64 {
        self.epoch = self.epoch.max(seen) + 1;
        self.write_epoch();
        self.epoch
    }

    fn write_epoch(&self) {
        let written = self.epoch_file.as_ref().map(|file| {
            file.write_all_at(format!("{:020}\n", self.epoch).as_bytes(), 0).and_then(|()| file.sync_data())
        });
        if let Some(Err(error)) = written {
            warn!("the epoch could not be written: {error}");
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn untaken(&self) -> Option<&ExitReport> {
        self.untaken.as_ref()
    }

    /// Writes an exit report to the disk. Only then it may be told.
    pub(super) fn keep(&mut self, report: ExitReport) {
        let written = write_report(&self.own, &StoredReport { keeper: self.keeper.clone(), report: report.clone() });
        if let Err(error) = written {
            warn!("the exit report of run {} could not be written: {error}", report.run);
        }
        self.untaken = Some(report);
    }

    /// Forgets the report: the agent has it in its journal.
    pub(super) fn forget(&mut self) {
        self.untaken = None;
        if renameat(&self.own, REPORT, &self.own, SPARE).is_ok() {
            let _ = fsync(&self.own);
        }
        self.prepare_spare();
    }

    /// Makes sure that the next report needs no new block.
    fn prepare_spare(&self) {
        let blank = || -> io::Result<()> {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = File::from(openat(&self.own, SPARE, flags, Mode::from(0o600))?);
            file.write_all_at(&[b' '; REPORT_BYTES], 0)?;
            file.set_len(REPORT_BYTES as u64)?;
            file.sync_all()
        };
        if let Err(error) = blank() {
            warn!("no room is reserved for the next exit report: {error}");
        }
    }
}

/// A directory of ours below another: made if need be, never a link, and ours even if somebody else made it first.
fn subdirectory(dir: &OwnedFd, name: &str, mode: u32) -> Result<OwnedFd, Errno> {
    match mkdirat(dir, name, Mode::from(mode)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    let fd = openat(dir, name, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if rustix::fs::fstat(&fd)?.st_uid != geteuid().as_raw() && fchown(&fd, Some(geteuid()), None).is_ok() {
        // Whoever made it chose its mode.
        let _ = fchmod(&fd, Mode::from(mode));
    }
    Ok(fd)
}

fn open_epoch(own: &OwnedFd) -> (Option<File>, u64) {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(fd) = openat(own, "epoch", flags, Mode::from(0o600)) else { return (None, 0) };
    let mut file = File::from(fd);
    let mut text = String::new();
    let _ = (&mut file).take(32).read_to_string(&mut text);
    (Some(file), text.trim().parse().unwrap_or(0))
}

/// The end that a keeper left in this state directory, and its id. None: there is none, or it isn't ours to read.
pub(in crate::keeper) fn left(path: &Path) -> Option<(KeeperId, ExitReport)> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let own = openat(CWD, path.join(names::STORE), flags, Mode::empty()).ok()?;
    read_report(&own).map(|kept| (kept.keeper, kept.report))
}

fn read_report(own: &OwnedFd) -> Option<StoredReport> {
    let fd = openat(own, REPORT, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = Vec::new();
    File::from(fd).take(MAX_REPORT_BYTES as u64).read_to_end(&mut text).ok()?;
    // Behind the first line there may be anything.
    serde_json::from_slice(text.split(|byte| *byte == b'\n').next()?).ok()
}

/// With the last words, if they find room. A full disk takes the report all the same.
fn write_report(own: &OwnedFd, kept: &StoredReport) -> io::Result<()> {
    let mut report = ExitReport { last_words: None, ..kept.report.clone() };
    let text = |report: &ExitReport| {
        serde_json::to_string(&StoredReport { keeper: kept.keeper.clone(), report: report.clone() })
    };
    if text(&report)?.len() >= REPORT_BYTES {
        report.last_lines.clear();
    }
    if text(&report)?.len() >= REPORT_BYTES {
        report.core_path = None;
        if let ExitStatus::SpawnFailed { error } = &mut report.status {
            *error = error.chars().take(500).collect();
        }
    }
    if kept.report.last_words.is_some() {
        let spoken = ExitReport { last_words: kept.report.last_words.clone(), ..report.clone() };
        match put_report(own, &text(&spoken)?) {
            Ok(()) => return Ok(()),
            Err(error) => warn!("the last words of run {} are not kept: {error}", report.run),
        }
    }
    put_report(own, &text(&report)?)
}

/// In place into the spare's blocks, then renamed.
fn put_report(own: &OwnedFd, text: &str) -> io::Result<()> {
    let mut bytes = format!("{text}\n").into_bytes();
    bytes.resize(bytes.len().max(REPORT_BYTES), b' ');
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(openat(own, SPARE, flags, Mode::from(0o600))?);
    file.write_all_at(&bytes, 0)?;
    file.sync_data()?;
    renameat(own, SPARE, own, REPORT)?;
    fsync(own.as_fd())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ids::RunNumber, time::Timestamp};

    fn id(text: &str) -> KeeperId {
        KeeperId::new(text).unwrap()
    }

    fn report(run: u64) -> ExitReport {
        let at = Timestamp::EPOCH;
        ExitReport::new(RunNumber(run), ExitStatus::Exited { code: 3 }, at, at)
    }

    fn open(dir: &Path, fresh: KeeperId) -> Result<Store, StoreError> {
        Store::open(dir, Links::All, fresh)
    }

    #[test]
    fn epochs_only_go_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), id("a")).unwrap();
        assert_eq!((store.next_epoch(0), store.next_epoch(0), store.next_epoch(9)), (1, 2, 10));
        drop(store);
        assert_eq!(open(dir.path(), id("b")).unwrap().next_epoch(0), 11);
    }

    #[test]
    fn one_keeper_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let _store = open(dir.path(), id("a")).unwrap();
        match open(dir.path(), id("b")) {
            Err(StoreError::Locked(pid)) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_untaken_report_keeps_its_keepers_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), id("a")).unwrap();
        store.keep(report(7));
        drop(store);
        let mut next = open(dir.path(), id("b")).unwrap();
        assert_eq!((&next.keeper, next.untaken()), (&id("a"), Some(&report(7))));
        next.forget();
        next.keep(report(8));
        next.forget();
        drop(next);
        let last = open(dir.path(), id("c")).unwrap();
        assert_eq!((&last.keeper, last.untaken()), (&id("c"), None));
    }

    #[test]
    fn what_a_keeper_left_can_be_read_by_others_until_it_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(left(dir.path()), None);
        let mut store = open(dir.path(), id("k1")).unwrap();
        store.keep(report(3));
        assert_eq!(left(dir.path()), Some((id("k1"), report(3))));
        store.forget();
        assert_eq!(left(dir.path()), None);
    }

    #[test]
    fn last_words_are_kept_with_their_report_and_leave_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), id("a")).unwrap();
        let spoken = |length| ExitReport { last_words: Some("\u{1}".repeat(length)), ..report(7) };
        for said in [spoken(MAX_WORDS_BYTES), spoken(3), report(7)] {
            store.keep(said.clone());
            assert_eq!(left(dir.path()), Some((id("a"), said)));
            store.forget();
            let spare = std::fs::metadata(dir.path().join("keeper/exit.spare")).unwrap();
            assert_eq!(spare.len(), REPORT_BYTES as u64);
        }
    }

    #[test]
    fn last_lines_without_room_are_left_out_and_the_report_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), id("a")).unwrap();
        let words = Some("\u{1}".repeat(MAX_WORDS_BYTES));
        for (length, last_words) in [(200, None), (1000, None), (200, words.clone()), (1000, words)] {
            let room = last_words.as_ref().map_or(0, |words: &String| 2 * REPORT_BYTES + 6 * words.len());
            let short = ExitReport { last_words, ..report(7) };
            let whole = ExitReport { last_lines: vec!["x".repeat(length); 5], ..short.clone() };
            store.keep(whole.clone());
            let expected = if length == 200 { whole } else { short };
            assert_eq!(left(dir.path()), Some((id("a"), expected)), "{length}");
            let kept = std::fs::metadata(dir.path().join("keeper/exit")).unwrap().len();
            assert!(kept <= room.max(REPORT_BYTES) as u64, "a full disk has room for it: {kept}");
            store.forget();
        }
    }

    #[test]
    fn a_report_that_is_too_long_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path(), id("a")).unwrap();
        let status = ExitStatus::SpawnFailed { error: "x".repeat(9000) };
        store.keep(ExitReport { status, ..report(1) });
        drop(store);
        assert_eq!(open(dir.path(), id("b")).unwrap().untaken().unwrap().run, RunNumber(1));
    }
}
