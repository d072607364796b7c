//! A log that is read while it is written: file after file, line after line.
//!
//! ```text
//!   game.log.2 ──end, and there is a newer one──► game.log.1 ──► game.log ──end──► wait
//! ```
//!
//! Invariants: the file that is being read is held open, so that it can be read to its end when it
//! is renamed or deleted meanwhile, and its inode is nobody else's; a line is given out once, with
//! the place behind it; no more than [`TURN`] bytes are read at a time.

use crate::{keeper::protocol::names::LOG, model::process::OutputFrom};
use std::{
    fs::{File, Metadata},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// Bytes read in one turn.
const TURN: usize = 256 << 10;
/// The longest line, in bytes; a longer one is broken there.
const MAX_LINE: usize = 64 << 10;
/// As many files as a keeper may keep.
const FILES: u32 = 100;

/// A line, without its end, and the place behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub text: String,
    pub end: OutputFrom,
}

/// What a turn of reading came to.
#[derive(Debug, Default)]
pub(super) struct Turn {
    pub lines: Vec<Line>,
    /// There may be more at once.
    pub more: bool,
}

/// The keeper's log of the game's output, at a place.
#[derive(Debug)]
pub(super) struct Tail {
    dir: PathBuf,
    file: Option<Open>,
    /// The beginning of a line whose end isn't there yet.
    rest: Vec<u8>,
}

/// A file, and how far it was read.
#[derive(Debug)]
struct Open {
    file: File,
    at: OutputFrom,
}

impl Tail {
    /// At a place; where its file is gone, everything that is left is newer.
    pub(super) fn at(dir: &Path, place: OutputFrom) -> io::Result<Tail> {
        let mut tail = Tail { dir: dir.to_owned(), file: None, rest: Vec::new() };
        tail.file = match tail.find(|found| found.is_in_the_file_of(&place))? {
            Some(mut found) => {
                found.seek(place.offset)?;
                Some(found)
            }
            None => tail.oldest()?,
        };
        Ok(tail)
    }

    /// The file of this place is still there.
    pub(super) fn has(dir: &Path, place: OutputFrom) -> io::Result<bool> {
        let looking = Tail { dir: dir.to_owned(), file: None, rest: Vec::new() };
        Ok(looking.find(|found| found.is_in_the_file_of(&place))?.is_some())
    }

    /// The place up to which whole lines have been given out.
    pub(super) fn place(&self) -> Option<OutputFrom> {
        let open = self.file.as_ref()?;
        Some(OutputFrom { offset: open.at.offset.saturating_sub(self.rest.len() as u64), ..open.at })
    }

    /// The next lines.
    pub(super) fn read(&mut self) -> io::Result<Turn> {
        let mut turn = Turn::default();
        if self.file.is_none() {
            self.file = self.oldest()?;
        }
        let Some(open) = &mut self.file else { return Ok(turn) };
        if open.file.metadata()?.len() < open.at.offset {
            // It was emptied.
            open.seek(0)?;
            self.rest.clear();
        }
        let mut bytes = Vec::new();
        open.read(&mut bytes)?;
        if bytes.is_empty()
            && let Some(newer) = self.newer()?
        {
            // Nothing is written to a file once it has been renamed; what was written before that is read first.
            let Some(open) = &mut self.file else { return Ok(turn) };
            open.read(&mut bytes)?;
            if bytes.is_empty() {
                self.file = Some(newer);
                turn.more = true;
                return Ok(turn);
            }
        }
        turn.more = !bytes.is_empty();
        self.split(&bytes, &mut turn.lines);
        Ok(turn)
    }

    fn split(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        let Some(open) = &self.file else { return };
        let mut end = OutputFrom { offset: open.at.offset - bytes.len() as u64, ..open.at };
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in part.chunks(MAX_LINE) {
                end.offset += piece.len() as u64;
                self.rest.extend_from_slice(piece);
                let whole = self.rest.strip_suffix(b"\n");
                if whole.is_none() && self.rest.len() < MAX_LINE {
                    continue;
                }
                let text = whole.unwrap_or(&self.rest);
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                lines.push(Line { text: String::from_utf8_lossy(text).into_owned(), end });
                self.rest.clear();
            }
        }
    }

    /// The file after the one that is open. None: there is none yet.
    fn newer(&self) -> io::Result<Option<Open>> {
        let Some(open) = &self.file else { return Ok(None) };
        // Between two looks the keeper may rename them all: then we look again.
        for _ in 0..8 {
            let is_ours = |number: u32| self.open(number).map(|found| found.is_some_and(|found| found.is(open)));
            let mut ours = None;
            for number in 0..FILES {
                if is_ours(number)? {
                    ours = Some(number);
                    break;
                }
            }
            let newer = match ours {
                Some(0) => return Ok(None),
                Some(number) => {
                    let newer = self.open(number - 1)?;
                    if !is_ours(number)? {
                        continue;
                    }
                    newer
                }
                None => self.oldest()?,
            };
            if let Some(newer) = newer {
                return Ok(Some(newer));
            }
        }
        Ok(None)
    }

    fn oldest(&self) -> io::Result<Option<Open>> {
        for number in (0..FILES).rev() {
            if let Some(found) = self.open(number)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find(&self, wanted: impl Fn(&OutputFrom) -> bool) -> io::Result<Option<Open>> {
        for number in 0..FILES {
            if let Some(found) = self.open(number)?.filter(|found| wanted(&found.at)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn open(&self, number: u32) -> io::Result<Option<Open>> {
        let name = if number == 0 { LOG.to_owned() } else { format!("{LOG}.{number}") };
        match File::open(self.dir.join(name)) {
            Ok(file) => Ok(Some(Open { at: beginning(&file.metadata()?), file })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Open {
    fn is(&self, other: &Open) -> bool {
        self.at.inode == other.at.inode
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.at.offset = offset;
        Ok(())
    }

    fn read(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        let count = (&mut self.file).take(TURN as u64).read_to_end(into)?;
        self.at.offset += count as u64;
        Ok(())
    }
}

fn beginning(metadata: &Metadata) -> OutputFrom {
    let born = metadata.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    OutputFrom { inode: metadata.ino(), offset: 0, born: born.and_then(|age| u64::try_from(age.as_nanos()).ok()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Write as _};

    fn append(path: &Path, text: &str) {
        let mut file = File::options().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn end(path: &Path) -> OutputFrom {
        let metadata = fs::metadata(path).unwrap();
        OutputFrom { offset: metadata.len(), ..beginning(&metadata) }
    }

    fn all(tail: &mut Tail) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let turn = tail.read().unwrap();
            texts.extend(turn.lines.into_iter().map(|line| line.text));
            if !turn.more {
                return texts;
            }
        }
    }

    /// As the keeper does it.
    fn rotate(dir: &Path, files: u32) {
        let name = |number: u32| dir.join(if number == 0 { LOG.to_owned() } else { format!("{LOG}.{number}") });
        let _ = fs::remove_file(name(files - 1));
        for number in (1..files).rev() {
            let _ = fs::rename(name(number - 1), name(number));
        }
    }

    #[test]
    fn lines_come_once_through_every_rotation_and_after_a_new_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join(LOG);
        append(&log, "of the run before\n");
        let mut tail = Tail::at(dir.path(), end(&log)).unwrap();
        append(&log, "one\r\ntw");
        assert_eq!(all(&mut tail), ["one"]);
        append(&log, "o\nthree\n");
        rotate(dir.path(), 3);
        append(&log, "four\n");
        rotate(dir.path(), 3);
        append(&log, "five\n");
        let half = tail.read().unwrap().lines.remove(0);
        assert_eq!(half.text, "two");
        let mut again = Tail::at(dir.path(), half.end).unwrap();
        assert_eq!(all(&mut again), ["three", "four", "five"], "from the place of a line");

        // The file that is open goes, and the one behind it: what it held is read, what followed it is what is left.
        append(&log, "six\n");
        rotate(dir.path(), 3);
        append(&log, "seven\n");
        rotate(dir.path(), 3);
        append(&log, "eight\n");
        let mut kept = all(&mut tail);
        assert_eq!(kept.remove(0), "five".to_owned(), "{kept:?}");
        assert_eq!(kept, ["six", "seven", "eight"]);
        assert_eq!(tail.place(), Some(end(&log)));
        append(&log, "nine\n");
        assert_eq!(all(&mut tail), ["nine"]);

        File::create(&log).unwrap();
        assert_eq!(all(&mut tail), [""; 0]);
        append(&log, "ten\n");
        assert_eq!(all(&mut tail), ["ten"], "it was emptied");
    }

    #[test]
    fn a_place_in_a_file_that_is_gone_is_older_than_everything() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join(LOG);
        append(&log, "one\ntwo\n");
        let place = end(&log);
        let gone = OutputFrom { born: Some(1), ..place };
        assert_eq!(all(&mut Tail::at(dir.path(), gone).unwrap()), ["one", "two"], "another file of the same inode");
        assert_eq!(all(&mut Tail::at(dir.path(), place).unwrap()), [""; 0]);
        let unknown = OutputFrom { born: None, ..place };
        assert_eq!(all(&mut Tail::at(dir.path(), unknown).unwrap()), [""; 0], "an older keeper doesn't say");
    }

    #[test]
    fn a_line_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join(LOG);
        append(&log, &format!("{}\nshort\n", "x".repeat(3 * MAX_LINE / 2)));
        let lengths: Vec<usize> = {
            let mut tail = Tail::at(dir.path(), OutputFrom { offset: 0, ..end(&log) }).unwrap();
            all(&mut tail).iter().map(String::len).collect()
        };
        assert_eq!(lengths, [MAX_LINE, MAX_LINE / 2, 5]);
    }
}
