//! The timeline on disk: `timeline.ndjson`, one entry a line, rotated; numbers go on over restarts.
//!
//! A thread of its own writes, so that a slow disk never holds the driver up. What it can't take is
//! dropped and counted: the timeline is for people, the journal is the truth. A sink may look on
//! (the live view of `gameside run`).

use crate::{host::files, model::status::TimelineEntry};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

/// A file larger than this is moved to `timeline.ndjson.1`.
const MAX_BYTES: u64 = 1 << 20;
/// Entries that may wait for the disk.
const WAITING: usize = 1024;

/// The driver's end.
#[derive(Debug)]
pub struct TimelineWriter {
    entries: Option<SyncSender<TimelineEntry>>,
    thread: Option<JoinHandle<()>>,
    dropped: AtomicU64,
}

/// The entries of earlier lives, oldest first, as many as `limit`, from the newest two files.
pub(crate) fn read_back(path: &Path, limit: usize) -> Vec<TimelineEntry> {
    let mut entries = Vec::new();
    for path in [rotated(path), path.to_owned()] {
        if let Ok(file) = open_for_reading(&path) {
            let lines = BufReader::new(file.take(2 * MAX_BYTES)).lines();
            entries.extend(lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()));
        }
    }
    let surplus = entries.len().saturating_sub(limit);
    entries.drain(..surplus);
    entries
}

impl TimelineWriter {
    /// Starts the thread.
    pub fn start(path: &Path) -> io::Result<Self> {
        let (sender, entries) = sync_channel(WAITING);
        let mut file = open(path)?;
        end_broken_line(&mut file)?;
        let path = path.to_owned();
        let thread = thread::Builder::new()
            .name("timeline".into())
            .stack_size(64 * 1024)
            .spawn(move || write_on(&path, file, &entries))?;
        Ok(TimelineWriter { entries: Some(sender), thread: Some(thread), dropped: AtomicU64::new(0) })
    }

    /// Queues an entry; never blocks.
    pub fn write(&self, entry: TimelineEntry) {
        if self.entries.as_ref().is_none_or(|entries| entries.try_send(entry).is_err()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Entries that the disk was too slow for.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Waits until what was queued is written.
impl Drop for TimelineWriter {
    fn drop(&mut self) {
        drop(self.entries.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write_on(path: &Path, mut file: File, entries: &Receiver<TimelineEntry>) {
    let mut size = file.metadata().map_or(0, |meta| meta.len());
    for entry in entries {
        if size > MAX_BYTES
            && std::fs::rename(path, rotated(path)).is_ok()
            && let Ok(fresh) = open(path)
        {
            (file, size) = (fresh, 0);
        }
        let Ok(mut line) = serde_json::to_vec(&entry) else { continue };
        line.push(b'\n');
        if let Err(error) = file.write_all(&line) {
            tracing::debug!(%error, path = %path.display(), "the timeline could not be written");
        }
        size += line.len() as u64;
    }
}

/// A crash may have cut the last line off: the next entry starts a new one.
fn end_broken_line(file: &mut File) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
    }
    Ok(())
}

fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).custom_flags(files::no_follow()).open(path)
}

fn open_for_reading(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(files::no_follow()).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    fn entry(seq: u64, text: &str) -> TimelineEntry {
        TimelineEntry {
            seq,
            at: Timestamp::EPOCH,
            kind: "test".into(),
            text: text.into(),
            fields: std::collections::BTreeMap::new(),
        }
    }

    #[test]
    fn entries_survive_a_restart_and_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("timeline.ndjson");
        let first = TimelineWriter::start(&path).unwrap();
        first.write(entry(1, "one"));
        first.write(entry(2, "two"));
        drop(first);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"seq\": 3, \"te").unwrap();
        let second = TimelineWriter::start(&path).unwrap();
        second.write(entry(4, "four"));
        drop(second);
        let texts: Vec<_> = read_back(&path, 10).into_iter().map(|entry| entry.text).collect();
        assert_eq!(texts, ["one", "two", "four"]);
        assert_eq!(read_back(&path, 1).len(), 1);
    }

    #[test]
    fn a_large_file_is_rotated_and_still_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("timeline.ndjson");
        let long = "x".repeat(10_000);
        for round in 0..3 {
            let writer = TimelineWriter::start(&path).unwrap();
            for seq in 0..100 {
                writer.write(entry(round * 100 + seq, &long));
            }
        }
        assert!(std::fs::metadata(&path).unwrap().len() <= MAX_BYTES + 20_000);
        assert!(read_back(&path, 500).len() > 100);
        assert_eq!(read_back(&path, 500).last().unwrap().seq, 299);
    }
}
