//! The game's output on disk: `game.log`, rotated by bytes, never larger than its cap in all.
//!
//! Invariants: writing never blocks on a reader and never fails loudly; what the disk doesn't take
//! is counted, and a note in the log says how much is missing once it takes something again. Files
//! are opened without following links.

use crate::{
    keeper::protocol::{
        names::{self, LOG},
        place_in,
    },
    model::process::OutputFrom,
};
use rustix::fs::{AtFlags, Mode, OFlags, SeekFrom, openat, renameat, seek, unlinkat};
use std::{
    fs::File,
    io::Write,
    os::fd::{AsFd, OwnedFd},
};

/// The rotated files, open at the newest.
#[derive(Debug)]
pub(super) struct Log {
    dir: OwnedFd,
    file: Option<File>,
    size: u64,
    /// Bytes in one file.
    cap: u64,
    files: u32,
    /// Bytes that were not written, since the start.
    lost: u64,
    /// Bytes that were not written, since the last note.
    unsaid: u64,
    /// The unfinished line that it ends with, if it does.
    unfinished: Option<Unfinished>,
    last_unfinished: u64,
}

/// An unfinished line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfinished(u64);

impl Log {
    /// `total` bytes over `files` files.
    pub(super) fn new(dir: OwnedFd, total: u64, files: u32) -> Log {
        let cap = (total / u64::from(files.max(1))).max(4096);
        let mut log = Log {
            dir,
            file: None,
            size: 0,
            cap,
            files: files.max(1),
            lost: 0,
            unsaid: 0,
            unfinished: None,
            last_unfinished: 0,
        };
        log.open();
        log
    }

    /// Goes on in another directory.
    pub(super) fn move_to(&mut self, dir: OwnedFd) {
        self.dir = dir;
        self.open();
    }

    /// Bytes that were lost, since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Where the next byte goes.
    pub(super) fn end(&self) -> Option<OutputFrom> {
        let file = self.file.as_ref()?;
        Some(place_in(&file.metadata().ok()?, seek(file, SeekFrom::End(0)).ok()?))
    }

    /// Appends; a file may go over its cap by nothing but the last line that still fitted. Returns whether all of it was taken.
    pub(super) fn write(&mut self, bytes: &[u8]) -> bool {
        if self.unfinished.take().is_some() {
            self.append(b"\n");
        }
        self.append(bytes)
    }

    /// This unfinished line is the last one.
    pub(super) fn ends_with(&self, line: Unfinished) -> bool {
        self.unfinished == Some(line)
    }

    /// More of an unfinished line: of that which the log ends with, or a new one. Returns which, and whether all of it was taken.
    pub(super) fn write_unfinished(&mut self, bytes: &[u8], line: Option<Unfinished>) -> (Unfinished, bool) {
        let same = line.filter(|line| self.ends_with(*line));
        let kept = if same.is_some() { self.append(bytes) } else { self.write(bytes) };
        let line = same.unwrap_or_else(|| {
            self.last_unfinished += 1;
            Unfinished(self.last_unfinished)
        });
        self.unfinished = Some(line);
        (line, kept)
    }

    /// The rest of the unfinished line that the log ends with.
    pub(super) fn go_on(&mut self, bytes: &[u8]) -> bool {
        self.unfinished = None;
        self.append(bytes)
    }

    fn append(&mut self, mut bytes: &[u8]) -> bool {
        if self.unsaid > 0 {
            let note = format!("[gameside: {} bytes of output were lost: no room on the disk]\n", self.unsaid);
            if self.put(note.as_bytes()) == note.len() {
                self.unsaid = 0;
            }
        }
        while !bytes.is_empty() {
            if self.size >= self.cap {
                self.rotate();
            }
            let room = usize::try_from(self.cap - self.size).unwrap_or(usize::MAX).max(1);
            let part = if bytes.len() <= room { bytes } else { &bytes[..whole_lines(bytes, room)] };
            let written = self.put(part);
            if written < part.len() {
                let missing = (bytes.len() - written) as u64;
                self.lost += missing;
                self.unsaid += missing;
                return false;
            }
            bytes = &bytes[part.len()..];
            if !bytes.is_empty() {
                self.size = self.size.max(self.cap); // what remains belongs into the next file
            }
        }
        true
    }

    /// How many of these bytes the disk took.
    fn put(&mut self, bytes: &[u8]) -> usize {
        if self.file.is_none() {
            self.open();
        }
        let Some(file) = &mut self.file else { return 0 };
        let mut done = 0;
        while done < bytes.len() {
            match file.write(&bytes[done..]) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.size += done as u64;
        done
    }

    fn open(&mut self) {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.file = openat(&self.dir, LOG, flags, Mode::from(0o644)).ok().map(File::from);
        self.size = self.file.as_ref().and_then(|file| seek(file, SeekFrom::End(0)).ok()).unwrap_or(0);
    }

    /// `game.log` → `game.log.1` → …; the oldest goes first, so that the total is never over the cap.
    fn rotate(&mut self) {
        let dir = self.dir.as_fd();
        let _ = unlinkat(dir, names::log(self.files - 1), AtFlags::empty());
        for number in (1..self.files).rev() {
            let _ = renameat(dir, names::log(number - 1), dir, names::log(number));
        }
        self.file = None;
        self.open();
        if self.size >= self.cap {
            // The rename failed (a directory we may not write to): better to start anew than to
            // grow for ever.
            let emptied = self.file.as_ref().is_some_and(|file| file.set_len(0).is_ok());
            self.size = if emptied { 0 } else { self.cap - 1 };
        }
    }
}

/// The most bytes, at least one, that fit into `room` and end with a line if any line does.
fn whole_lines(bytes: &[u8], room: usize) -> usize {
    bytes[..room].iter().rposition(|byte| *byte == b'\n').map_or(room, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::CWD;
    use std::{fs, path::Path};

    fn log(dir: &Path, total: u64, files: u32) -> Log {
        Log::new(openat(CWD, dir, OFlags::DIRECTORY, Mode::empty()).unwrap(), total, files)
    }

    #[test]
    fn rotation_keeps_the_newest_and_the_cap() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 3 * 4096, 3);
        for number in 0..4000 {
            log.write(format!("line {number:06}\n").as_bytes());
        }
        let sizes: Vec<u64> = ["", ".1", ".2"]
            .iter()
            .map(|end| fs::metadata(dir.path().join(format!("game.log{end}"))).unwrap().len())
            .collect();
        assert!(sizes.iter().all(|size| *size <= 4096), "{sizes:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        let all: String = [".2", ".1", ""]
            .iter()
            .map(|end| fs::read_to_string(dir.path().join(format!("game.log{end}"))).unwrap())
            .collect();
        let numbers: Vec<u32> = all.lines().map(|line| line[5..].parse().unwrap()).collect();
        assert_eq!(numbers.last(), Some(&3999));
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap, or a line cut in two");
    }

    #[test]
    fn one_huge_write_is_spread_over_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path(), 2 * 4096, 2);
        log.write(&[b'x'; 10_000]);
        assert!(fs::metadata(dir.path().join("game.log")).unwrap().len() <= 4096);
        assert_eq!((log.lost(), fs::read_dir(dir.path()).unwrap().count()), (0, 2));
    }

    #[test]
    fn a_new_keeper_goes_on_in_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        log(dir.path(), 1 << 20, 2).write(b"one\n");
        log(dir.path(), 1 << 20, 2).write(b"two\n");
        assert_eq!(fs::read_to_string(dir.path().join("game.log")).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn a_full_disk_loses_counts_and_says_so_later() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join("full")).unwrap();
        let mut log = log(dir.path(), 1 << 20, 2);
        let good = log.file.take();
        log.file = Some(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        log.write(b"12345\n");
        log.write(b"678\n");
        assert_eq!(log.lost(), 10);
        log.file = good;
        log.write(b"back\n");
        let text = fs::read_to_string(dir.path().join("game.log")).unwrap();
        assert!(text.starts_with("[gameside: 10 bytes") && text.ends_with("back\n"), "{text}");
    }
}
