//! A log that is read while it is written: file after file, line after line.
//!
//! ```text
//!   game.log.2 ──end, and there is a newer one──► game.log.1 ──► game.log ──end──► wait
//! ```
//!
//! The keeper renames its files by number; a game's own log is one name, behind which there may be
//! another file at any time.
//!
//! Invariants: the file that is being read is held open, so that it can be read to its end when it
//! is renamed or deleted meanwhile, and its inode is nobody else's; a line is given out once, with
//! the place behind it; no more than [`TURN`] bytes are read at a time.

use crate::{
    keeper::protocol::{names, place_in},
    model::process::OutputFrom,
};
use std::{
    fs::{DirEntry, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Bytes read in one turn.
const TURN: usize = 256 << 10;
/// The longest line, in bytes; a longer one is broken there.
const MAX_LINE: usize = 64 << 10;
/// As many files as a keeper may keep.
const FILES: u32 = 100;
/// Bytes by which a place in a game's log is known again.
const MARK: usize = 64;
/// Names that are looked at in the directory of a game's log.
const MAX_NAMES: usize = 1000;

/// A line, without its end, and the place behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub text: String,
    pub end: OutputFrom,
}

/// What a turn of reading came to.
#[derive(Debug, Default)]
pub(super) struct NewLines {
    pub lines: Vec<Line>,
    /// There may be more at once.
    pub more: bool,
}

/// Which files follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Files {
    /// The keeper's, in this directory.
    Keepers(PathBuf),
    /// The game's own log.
    Own(PathBuf),
}

/// A log at a place.
#[derive(Debug)]
pub(super) struct Tail {
    files: Files,
    file: Option<Open>,
    /// The beginning of a line whose end isn't there yet.
    rest: Vec<u8>,
    /// It doesn't go on to a newer file.
    stays: bool,
}

/// A file, and how far it was read.
#[derive(Debug)]
struct Open {
    file: File,
    at: OutputFrom,
    /// The last bytes before that: a file that was emptied and written anew has others there.
    before: Vec<u8>,
}

/// A place with the last bytes before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub at: OutputFrom,
    before: Vec<u8>,
}

impl Mark {
    /// Before everything: the place of a file that isn't there.
    pub(super) fn nowhere() -> Mark {
        Mark { at: OutputFrom { inode: 0, offset: 0, born: None }, before: Vec::new() }
    }
}

impl Tail {
    /// At a place; where its file is gone, everything that is left is newer.
    pub(super) fn at(files: Files, place: OutputFrom) -> io::Result<Tail> {
        let file = match files.find(place)? {
            Some(mut found) => {
                found.seek(place.offset)?;
                Some(found)
            }
            None => files.oldest()?,
        };
        Ok(Tail { files, file, rest: Vec::new(), stays: false })
    }

    /// Reads this file and no newer one.
    pub(super) fn stay(&mut self) {
        self.stays = true;
    }

    /// The file is to have these bytes before this place, if it is the one.
    pub(super) fn expect(&mut self, mark: &Mark) {
        if let Some(open) = self.file.as_mut().filter(|open| open.at == mark.at) {
            open.before.clone_from(&mark.before);
        }
    }

    /// The place up to which whole lines have been given out.
    pub(super) fn place(&self) -> Option<OutputFrom> {
        let open = self.file.as_ref()?;
        Some(OutputFrom { offset: open.at.offset.saturating_sub(self.rest.len() as u64), ..open.at })
    }

    /// The line whose end isn't there yet.
    pub(super) fn unfinished(&self) -> Option<Line> {
        let open = self.file.as_ref().filter(|_| !self.rest.is_empty())?;
        let text = self.rest.strip_suffix(b"\r").unwrap_or(&self.rest);
        Some(Line { text: String::from_utf8_lossy(text).into_owned(), end: open.at })
    }

    /// The next lines.
    pub(super) fn read(&mut self) -> io::Result<NewLines> {
        let mut turn = NewLines::default();
        if self.file.is_none() {
            self.file = self.files.oldest()?;
        }
        let Some(open) = &mut self.file else { return Ok(turn) };
        let own = matches!(self.files, Files::Own(_));
        if open.file.metadata()?.len() < open.at.offset || own && open.was_written_anew()? {
            // It was emptied.
            let end = open.at;
            open.seek(0)?;
            cut_off(&mut self.rest, end, &mut turn.lines);
        }
        let mut bytes = Vec::new();
        open.read(&mut bytes)?;
        if bytes.is_empty()
            && !self.stays
            && let Some(newer) = self.files.newer(open)?
        {
            // A renamed file gets nothing more; what was written before that is read first.
            open.read(&mut bytes)?;
            if bytes.is_empty() {
                let end = open.at;
                self.file = Some(newer);
                if own {
                    cut_off(&mut self.rest, end, &mut turn.lines);
                }
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
}

impl Files {
    /// The file of this place is still there.
    pub(super) fn have(&self, place: OutputFrom) -> io::Result<bool> {
        Ok(self.find(place)?.is_some())
    }

    /// The end of what is there now.
    pub(super) fn end(&self) -> io::Result<Option<Mark>> {
        let Some(mut open) = self.open(0)? else { return Ok(None) };
        open.seek(open.file.metadata()?.len())?;
        Ok(Some(Mark { at: open.at, before: open.before }))
    }

    /// The file after this one. None: there is none yet.
    fn newer(&self, open: &Open) -> io::Result<Option<Open>> {
        // Between two looks the keeper may rename them all: then we look again.
        for _ in 0..8 {
            let is_ours = |number: u32| self.open(number).map(|found| found.is_some_and(|found| found.is(open)));
            let mut ours = None;
            for number in 0..self.count() {
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
        for number in (0..self.count()).rev() {
            if let Some(found) = self.open(number)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find(&self, place: OutputFrom) -> io::Result<Option<Open>> {
        for number in 0..self.count() {
            if let Some(found) = self.open(number)?.filter(|found| found.at.is_in_the_file_of(&place)) {
                return Ok(Some(found));
            }
        }
        match self {
            Files::Keepers(_) => Ok(None),
            Files::Own(path) => renamed(path, place),
        }
    }

    /// How many names there may be.
    fn count(&self) -> u32 {
        match self {
            Files::Keepers(_) => FILES,
            Files::Own(_) => 1,
        }
    }

    /// The newest has the number 0.
    fn open(&self, number: u32) -> io::Result<Option<Open>> {
        match self {
            Files::Keepers(dir) => open(&dir.join(names::log(number))),
            Files::Own(path) => open(path),
        }
    }
}

/// A line that gets no end any more is one as it stands.
fn cut_off(rest: &mut Vec<u8>, end: OutputFrom, lines: &mut Vec<Line>) {
    if !rest.is_empty() {
        lines.push(Line { text: String::from_utf8_lossy(rest).into_owned(), end });
        rest.clear();
    }
}

/// A game's log that has another name in the same directory by now.
fn renamed(path: &Path, place: OutputFrom) -> io::Result<Option<Open>> {
    let entries = match path.parent().map(std::fs::read_dir) {
        Some(Ok(entries)) => entries,
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Some(Err(_)) | None => return Ok(None),
    };
    let same = |entry: &DirEntry| entry.metadata().is_ok_and(|meta| place_in(&meta, 0).is_in_the_file_of(&place));
    entries.take(MAX_NAMES).flatten().find(same).map_or(Ok(None), |entry| open(&entry.path()))
}

/// Without following a link, and without waiting for whatever it may be. None: there is no such file.
fn open(path: &Path) -> io::Result<Option<Open>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => {
            let metadata = file.metadata()?;
            if metadata.is_file() {
                return Ok(Some(Open { at: place_in(&metadata, 0), file, before: Vec::new() }));
            }
            Err(io::Error::other(format!("{} is no regular file", path.display())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            Err(io::Error::other(format!("{} is a link, which isn't followed; name the file itself", path.display())))
        }
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

impl Open {
    fn is(&self, other: &Open) -> bool {
        self.at.inode == other.at.inode
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.at.offset = offset;
        self.before = self.bytes_before(MARK)?;
        Ok(())
    }

    fn read(&mut self, into: &mut Vec<u8>) -> io::Result<()> {
        let count = (&mut self.file).take(TURN as u64).read_to_end(into)?;
        self.at.offset += count as u64;
        self.before.extend_from_slice(&into[into.len().saturating_sub(MARK.min(count))..]);
        self.before.drain(..self.before.len().saturating_sub(MARK));
        Ok(())
    }

    /// So many bytes before the place, or as many as there are.
    fn bytes_before(&self, count: usize) -> io::Result<Vec<u8>> {
        let count = self.at.offset.min(count as u64);
        let mut bytes = vec![0; count as usize];
        let mut read = 0;
        while read < bytes.len() {
            match self.file.read_at(&mut bytes[read..], self.at.offset - count + read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }

    /// It was emptied, and has grown again since.
    fn was_written_anew(&self) -> io::Result<bool> {
        Ok(self.bytes_before(self.before.len())? != self.before)
    }
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
