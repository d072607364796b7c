//! The agent's durable state: one small, preallocated file with two slots, written in turn, and
//! beside it one for what is large and seldom changes.
//!
//! ```text
//!   journal        0        4096                 4096 + SLOT            4096 + 2 × SLOT
//!                  ├─ head ─┼──── slot 0 ────────┼──── slot 1 ──────────┤
//!                  magic    magic number length crc | text  {…,"bulk":ID}
//!                  replays                                          │
//!                  crc                                              ▼
//!   journal.bulk   ├────────┼──── slot 0 ────────┼──── slot 1 ──────────┤
//!                           magic ID length crc | text
//! ```
//!
//! | file | holds |
//! |---|---|
//! | this one | what is opened, which state counts, commits |
//! | [`slots`] | two checksummed slots in a preallocated file |
//! | [`bulk`] | the file beside it |
//! | [`writer`] | the thread that writes |
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
//! 6. A text that refers to a bulk is a state only together with it. The bulk is written and synced
//!    before the text, into the slot that the newest state doesn't refer to, and once: the texts
//!    after it refer to the same. A state whose bulk isn't whole gives way to the one before; if
//!    neither has its bulk, the newest counts without.

mod bulk;
mod slots;
mod writer;

use crate::{
    core::io::{Bulk, JournalFact, Saved},
    host::files,
    model::time::Timestamp,
};
use bulk::BulkFile;
use slots::{Slot, Slots};
use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};
use tokio::sync::mpsc;
pub use writer::Writer;

/// Bytes of state that fit into a slot.
pub const MAX_TEXT: usize = SLOTS.room();
/// Bytes of bulk that fit into one of its slots.
pub const MAX_BULK: usize = bulk::SLOTS.room();
/// A state that was being replayed when the agent died this many times in a row is set aside.
pub const MAX_REPLAYS: u32 = 3;

/// Files that were set aside and are kept.
const MAX_ASIDE: usize = 3;
const MAGIC: u32 = u32::from_le_bytes(*b"GSJ1");
const SLOTS: Slots = Slots { magic: MAGIC, size: 256 * 1024 };

/// A journal that was opened, with what it held.
#[derive(Debug)]
pub struct Opened {
    pub journal: Journal,
    /// The newest committed state.
    pub saved: Option<Saved>,
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
    /// The bulk that it refers to.
    refers_to: Option<u64>,
    bulk: BulkFile,
}

/// Opens the journal at `path`, makes it if there is none, and counts the replay that follows.
pub fn open(path: &Path, now: Timestamp) -> io::Result<Opened> {
    let mut aside = None;
    loop {
        match slots::open(path) {
            Ok(file) => {
                let mut bulk = BulkFile::beside(path);
                match read(&file, &mut bulk)? {
                    Found::State { number, slot, saved, replays } if replays < MAX_REPLAYS => {
                        let refers_to = saved.as_ref().and_then(|saved| Some(saved.bulk.as_ref()?.id));
                        let path = path.to_owned();
                        let journal = Journal { path, file, number, newest: slot, refers_to, bulk };
                        if saved.is_some() {
                            journal.write_head(replays + 1)?;
                        }
                        return Ok(Opened { journal, saved, aside });
                    }
                    Found::State { replays, saved, .. } => {
                        let why = format!("the agent died {replays} times in a row while it took this state up");
                        aside = Some(set_aside(path, now, why, saved.map(|saved| saved.text))?);
                    }
                    Found::Unusable(why) => aside = Some(set_aside(path, now, why, None)?),
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                take_spare(path).or_else(|_| create(path).map(drop))?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The newest state at `path` for somebody who only looks, such as `gameside status` beside a dead agent.
pub fn peek(path: &Path) -> io::Result<Option<Saved>> {
    let file = slots::open_to_read(path)?;
    Ok(match read(&file, &mut BulkFile::beside(path))? {
        Found::State { saved, .. } => saved,
        Found::Unusable(_) => None,
    })
}

impl Journal {
    /// Writes `text` into the older slot and syncs it; before that the bulk that it refers to, unless that lies there already.
    pub fn commit(&mut self, text: &str, bulk: Option<&Bulk>) -> io::Result<()> {
        if let Some(bulk) = bulk {
            self.bulk.hold(bulk, self.refers_to)?;
        }
        let (slot, number) = (1 - self.newest, self.number + 1);
        SLOTS.write(&self.file, slot, number, text)?;
        (self.newest, self.number) = (slot, number);
        self.refers_to = bulk.map(|bulk| bulk.id);
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
        writer::start(self)
    }

    /// Makes what a full disk would have no space for, behind the first commit.
    fn make_reserves(&mut self) {
        if let Err(error) = self.bulk.prepare() {
            tracing::warn!(%error, path = %self.bulk.path().display(), "there is no space for what the game's SDK keeps");
        }
        keep_spare(&self.path);
    }
}

enum Found {
    State { number: u64, slot: usize, saved: Option<Saved>, replays: u32 },
    Unusable(String),
}

fn read(file: &File, bulk: &mut BulkFile) -> io::Result<Found> {
    let mut head = [0; 12];
    match file.read_exact_at(&mut head, 0) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Ok(Found::Unusable("the file is cut short".into()));
        }
        other => other?,
    }
    let mut states = Vec::new();
    let mut damaged = false;
    for slot in 0..2 {
        match SLOTS.read(file, slot)? {
            Slot::Empty => {}
            Slot::Damaged => damaged = true,
            Slot::Text { number, text } => states.push((number, slot, text)),
        }
    }
    states.sort_by_key(|(number, ..)| std::cmp::Reverse(*number));
    // A torn head loses the count, not the state.
    let replays = decode_head(&head).unwrap_or(0);
    Ok(match with_its_bulk(states, bulk) {
        Some((number, slot, saved)) => Found::State { number, slot, saved: Some(saved), replays },
        None if damaged => Found::Unusable("neither slot has a valid checksum".into()),
        None => Found::State { number: 0, slot: 1, saved: None, replays: 0 },
    })
}

/// The newest state that has the bulk that it refers to; if there is none, the newest without.
fn with_its_bulk(states: Vec<(u64, usize, String)>, file: &mut BulkFile) -> Option<(u64, usize, Saved)> {
    let mut newest = None;
    for (number, slot, text) in states {
        let named = Saved::bulk_named_in(&text);
        let bulk = named.and_then(|id| file.find(id));
        let whole = named.is_some() == bulk.is_some();
        let state = (number, slot, Saved { text, bulk });
        if whole {
            return Some(state);
        }
        tracing::warn!(number, "what this state of the journal refers to isn't whole");
        newest.get_or_insert(state);
    }
    newest
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
    whole.then(|| u32::from_le_bytes([head[4], head[5], head[6], head[7]]))
}

/// Makes the file, every block written.
fn create(path: &Path) -> io::Result<File> {
    SLOTS.create(path, &encode_head(0))
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
    let file = slots::open(&spare)?;
    match read(&file, &mut BulkFile::beside(path))? {
        Found::State { saved: None, .. } => {}
        Found::State { .. } | Found::Unusable(_) => return Err(io::Error::other("the spare journal isn't empty")),
    }
    std::fs::rename(&spare, path)?;
    files::sync_directory_of(path)
}

#[cfg(test)]
mod bulk_tests;
#[cfg(test)]
mod tests;
