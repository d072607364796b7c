//! The agent's durable state: one small, preallocated file with two slots, written in turn.
//!
//! ```text
//!   0        4096                 4096 + SLOT            4096 + 2 × SLOT
//!   ├─ head ─┼──── slot 0 ────────┼──── slot 1 ──────────┤
//!   magic    magic number length crc | text
//!   replays
//!   crc
//! ```
//!
//! Invariants:
//!
//! 1. A commit writes the slot that does *not* hold the newest state, then syncs: a torn write
//!    costs that commit and nothing else.
//! 2. The newest slot whose CRC is right is the state. None is right, but something was written:
//!    the file is set aside as `journal.bad-…` and the state counts as lost (the keeper's record
//!    takes over).
//! 3. Every block was written when the file was made, so that a commit needs no space on a full
//!    disk. `journal.spare` is an empty one, for when the file is set aside; it is made behind the
//!    first commit of a life, so that no start waits for it.
//! 4. `replays` goes up before a state is replayed and back to 0 once the agent has proved healthy,
//!    or has ended in any way but a crash: a state that killed the agent [`MAX_REPLAYS`] times in a
//!    row is set aside. The newest [`MAX_ASIDE`] that were are kept.
//! 5. One thread writes. Commits that pile up behind a slow disk coalesce: each text is the whole
//!    state, so only the newest is written, and it commits the older ones with it.

use super::crash;
use crate::{
    core::io::JournalFact,
    host::files::{self, IfExists},
    model::time::Timestamp,
};
use rustix::fs::OFlags;
use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::sync::mpsc;

/// Bytes of state that fit into a slot.
pub const MAX_TEXT: usize = SLOT - SLOT_HEAD;
/// A state that was being replayed when the agent died this many times in a row is set aside.
pub const MAX_REPLAYS: u32 = 3;

/// Files that were set aside and are kept.
const MAX_ASIDE: usize = 3;
/// How long the end of the agent waits for the last write.
const LAST_WRITE: Duration = Duration::from_secs(2);

const MAGIC: u32 = u32::from_le_bytes(*b"GSJ1");
const HEAD: u64 = 4096;
const SLOT: usize = 256 * 1024;
const SLOT_HEAD: usize = 20;

/// A journal that was opened, with what it held.
#[derive(Debug)]
pub struct Opened {
    pub journal: Journal,
    /// The newest committed state.
    pub text: Option<String>,
    /// The file that was set aside, and why.
    pub aside: Option<SetAside>,
}

/// A journal that could not be used, kept for whoever wants to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    pub path: PathBuf,
    pub why: String,
    /// What it said, if its checksum is right.
    pub text: Option<String>,
}

/// The open file. [`Journal::start`] hands it to its thread.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Number of the newest state.
    number: u64,
    /// The slot that holds it.
    newest: usize,
}

/// Opens the journal at `path`, makes it if there is none, and counts the replay that follows.
pub fn open(path: &Path, now: Timestamp) -> io::Result<Opened> {
    let mut aside = None;
    loop {
        match open_file(path) {
            Ok(file) => match read(&file)? {
                Found::State { number, slot, text, replays } if replays < MAX_REPLAYS => {
                    let journal = Journal { path: path.to_owned(), file, number, newest: slot };
                    if text.is_some() {
                        journal.write_head(replays + 1)?;
                    }
                    return Ok(Opened { journal, text, aside });
                }
                Found::State { replays, text, .. } => {
                    let why = format!("the agent died {replays} times in a row while it took this state up");
                    aside = Some(set_aside(path, now, why, text)?);
                }
                Found::Unusable(why) => aside = Some(set_aside(path, now, why, None)?),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                take_spare(path).or_else(|_| create(path).map(drop))?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The newest state at `path` for somebody who only looks, such as `gameside status` beside a dead agent.
pub fn peek(path: &Path) -> io::Result<Option<String>> {
    let file = OpenOptions::new().read(true).custom_flags(no_follow()).open(path)?;
    Ok(match read(&file)? {
        Found::State { text, .. } => text,
        Found::Unusable(_) => None,
    })
}

impl Journal {
    /// Writes `text` into the older slot and syncs it.
    pub fn commit(&mut self, text: &str) -> io::Result<()> {
        if text.len() > MAX_TEXT {
            let why = format!("the state has {} bytes, a journal slot holds {MAX_TEXT}", text.len());
            return Err(io::Error::new(ErrorKind::FileTooLarge, why));
        }
        let (slot, number) = (1 - self.newest, self.number + 1);
        self.file.write_all_at(&encode(number, text), slot_at(slot))?;
        self.file.sync_data()?;
        (self.newest, self.number) = (slot, number);
        Ok(())
    }

    /// The state was taken up and the agent is well: the next replay starts to count from 0.
    pub fn replayed(&self) -> io::Result<()> {
        self.write_head(0)
    }

    fn write_head(&self, replays: u32) -> io::Result<()> {
        self.file.write_all_at(&encode_head(replays), 0)?;
        self.file.sync_data()
    }

    /// Gives the journal to a thread of its own. Results come through the receiver.
    pub fn start(self) -> io::Result<(Writer, mpsc::UnboundedReceiver<JournalFact>)> {
        let (facts, results) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { work: Mutex::new(Work::default()), wake: Condvar::new() });
        let theirs = Arc::clone(&shared);
        let (alive, ended) = std::sync::mpsc::channel::<()>();
        thread::Builder::new().name("journal".into()).stack_size(64 * 1024).spawn(move || {
            let _alive = alive;
            write_on(self, &theirs, &facts);
        })?;
        Ok((Writer { shared, ended }, results))
    }
}

/// The driver's end of the journal's thread. Dropping it lets the thread finish what is queued and end.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    /// Hangs up when the thread has ended.
    ended: std::sync::mpsc::Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    work: Mutex<Work>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    /// The newest state and the commits that it stands for.
    commit: Option<(Vec<u64>, String)>,
    replayed: bool,
    closed: bool,
}

impl Writer {
    /// Queues a commit; never blocks on the disk.
    pub fn commit(&self, seq: u64, text: String) {
        self.with(|work| {
            let mut seqs = work.commit.take().map(|(seqs, _)| seqs).unwrap_or_default();
            seqs.push(seq);
            work.commit = Some((seqs, text));
        });
    }

    /// See [`Journal::replayed`].
    pub fn replayed(&self) {
        self.with(|work| work.replayed = true);
    }

    fn with(&self, change: impl FnOnce(&mut Work)) {
        change(&mut self.shared.work.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.wake.notify_one();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Whatever ends the agent now, it isn't the state.
        let explained = !thread::panicking();
        self.with(|work| {
            work.replayed |= explained;
            work.closed = true;
        });
        let _ = self.ended.recv_timeout(LAST_WRITE);
    }
}

/// The thread: take what is queued, write it, tell.
fn write_on(mut journal: Journal, shared: &Shared, facts: &mpsc::UnboundedSender<JournalFact>) {
    let mut has_looked_for_spare = false;
    loop {
        let mut work = shared.work.lock().unwrap_or_else(PoisonError::into_inner);
        while work.commit.is_none() && !work.replayed && !work.closed {
            work = shared.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        let now = std::mem::take(&mut *work);
        work.closed = now.closed;
        drop(work);
        if now.replayed
            && let Err(error) = journal.replayed()
        {
            tracing::warn!(%error, "the journal's replay counter could not be cleared");
        }
        let is_last = now.commit.is_none() && now.closed;
        if let Some((seqs, text)) = now.commit {
            let result = journal.commit(&text).map_err(|error| error.to_string());
            crash::point("journal-synced");
            for seq in seqs {
                let fact = match &result {
                    Ok(()) => JournalFact::Committed { seq },
                    Err(why) => JournalFact::Failed { seq, why: why.clone() },
                };
                let _ = facts.send(fact);
            }
        }
        if !has_looked_for_spare {
            has_looked_for_spare = true;
            keep_spare(&journal.path);
        }
        if is_last {
            return;
        }
    }
}

enum Found {
    State { number: u64, slot: usize, text: Option<String>, replays: u32 },
    Unusable(String),
}

fn read(file: &File) -> io::Result<Found> {
    let mut head = [0; 12];
    match file.read_exact_at(&mut head, 0) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Ok(Found::Unusable("the file is cut short".into()));
        }
        other => other?,
    }
    let mut newest = None;
    let mut damaged = false;
    for slot in 0..2 {
        match read_slot(file, slot)? {
            Slot::Empty => {}
            Slot::Damaged => damaged = true,
            Slot::State { number, text } => {
                if newest.as_ref().is_none_or(|(best, _, _)| number > *best) {
                    newest = Some((number, slot, text));
                }
            }
        }
    }
    // A torn head loses the count, not the state.
    let replays = decode_head(&head).unwrap_or(0);
    Ok(match newest {
        Some((number, slot, text)) => Found::State { number, slot, text: Some(text), replays },
        None if damaged => Found::Unusable("neither slot has a valid checksum".into()),
        None => Found::State { number: 0, slot: 1, text: None, replays: 0 },
    })
}

enum Slot {
    Empty,
    Damaged,
    State { number: u64, text: String },
}

fn read_slot(file: &File, slot: usize) -> io::Result<Slot> {
    let mut bytes = vec![0; SLOT];
    let mut filled = 0;
    while filled < SLOT {
        match file.read_at(&mut bytes[filled..], slot_at(slot) + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(decode(&bytes[..filled]))
}

fn encode(number: u64, text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_HEAD + text.len());
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&checksum(&bytes, text.as_bytes()).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Slot {
    if bytes.len() < SLOT_HEAD || bytes[..SLOT_HEAD].iter().all(|byte| *byte == 0) {
        return Slot::Empty;
    }
    let number = u64::from_le_bytes(array(&bytes[4..12]));
    let length = u32::from_le_bytes(array(&bytes[12..16])) as usize;
    let crc = u32::from_le_bytes(array(&bytes[16..20]));
    let text = bytes.get(SLOT_HEAD..SLOT_HEAD.saturating_add(length));
    match text {
        Some(text) if bytes[..4] == MAGIC.to_le_bytes() && checksum(&bytes[..16], text) == crc => {
            match String::from_utf8(text.to_vec()) {
                Ok(text) => Slot::State { number, text },
                Err(_) => Slot::Damaged,
            }
        }
        _ => Slot::Damaged,
    }
}

fn encode_head(replays: u32) -> [u8; 12] {
    let mut head = [0; 12];
    head[..4].copy_from_slice(&MAGIC.to_le_bytes());
    head[4..8].copy_from_slice(&replays.to_le_bytes());
    let crc = crc32fast::hash(&head[..8]);
    head[8..].copy_from_slice(&crc.to_le_bytes());
    head
}

fn decode_head(head: &[u8; 12]) -> Option<u32> {
    let whole = head[..4] == MAGIC.to_le_bytes() && crc32fast::hash(&head[..8]).to_le_bytes() == head[8..];
    whole.then(|| u32::from_le_bytes(array(&head[4..8])))
}

fn checksum(head: &[u8], text: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[..16]);
    hasher.update(text);
    hasher.finalize()
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}

fn slot_at(slot: usize) -> u64 {
    HEAD + (slot * SLOT) as u64
}

fn no_follow() -> i32 {
    (OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed()
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(no_follow()).open(path)
}

/// Makes the file, every block written.
fn create(path: &Path) -> io::Result<File> {
    files::put(path, 0o600, IfExists::Replace, |file| {
        let zeros = vec![0; SLOT];
        file.write_all_at(&zeros[..HEAD as usize], 0)?;
        file.write_all_at(&encode_head(0), 0)?;
        (0..2).try_for_each(|slot| file.write_all_at(&zeros, slot_at(slot)))
    })
}

fn set_aside(path: &Path, now: Timestamp, why: String, text: Option<String>) -> io::Result<SetAside> {
    let aside = path.with_extension(format!("bad-{}", now.unix_millis()));
    std::fs::rename(path, &aside)?;
    files::sync_directory_of(path)?;
    forget_the_oldest(path);
    Ok(SetAside { path: aside, why, text })
}

fn forget_the_oldest(path: &Path) {
    let Some(entries) = path.parent().and_then(|parent| std::fs::read_dir(parent).ok()) else { return };
    let mut aside: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|other| other.with_extension("") == path.with_extension(""))
        .filter_map(|other| {
            let time: i64 = other.extension()?.to_str()?.strip_prefix("bad-")?.parse().ok()?;
            Some((time, other))
        })
        .collect();
    aside.sort();
    for (_, oldest) in aside.iter().rev().skip(MAX_ASIDE) {
        // It is kept, then, until the next time.
        let _ = std::fs::remove_file(oldest);
    }
}

fn spare(path: &Path) -> PathBuf {
    path.with_extension("spare")
}

/// Makes the spare file, if there is space for it.
fn keep_spare(path: &Path) {
    let spare = spare(path);
    if !spare.exists()
        && let Err(error) = create(&spare)
    {
        tracing::warn!(%error, path = %spare.display(), "there is no space for a spare journal");
    }
}

fn take_spare(path: &Path) -> io::Result<()> {
    let spare = spare(path);
    let file = open_file(&spare)?;
    match read(&file)? {
        Found::State { text: None, .. } => {}
        Found::State { .. } | Found::Unusable(_) => return Err(io::Error::other("the spare journal isn't empty")),
    }
    std::fs::rename(&spare, path)?;
    files::sync_directory_of(path)
}

#[cfg(test)]
mod tests;
