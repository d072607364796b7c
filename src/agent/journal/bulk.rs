//! The file beside the journal for what is large and seldom changes: who plays, and what the game's
//! SDK keeps. Each of its two slots is known by the id of what lies in it, which a text of the
//! journal names.

use super::slots::{self, Slot, Slots};
use crate::core::io::Bulk;
use std::{
    fs::File,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

pub(super) const SLOTS: Slots = Slots { magic: u32::from_le_bytes(*b"GSB1"), size: 1024 * 1024 };

/// The file, opened where it is needed.
#[derive(Debug)]
pub(super) struct BulkFile {
    path: PathBuf,
    file: Option<File>,
    /// The bulk that is known to lie in each slot, whole and synced.
    holds: [Option<u64>; 2],
}

impl BulkFile {
    /// Of the journal at `path`. Nothing is opened yet.
    pub(super) fn beside(path: &Path) -> Self {
        BulkFile { path: path.with_extension("bulk"), file: None, holds: [None; 2] }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The bulk of this id, if it is there and whole.
    pub(super) fn find(&mut self, id: u64) -> Option<Bulk> {
        let file = slots::open_to_read(&self.path);
        let file =
            file.inspect_err(|error| tracing::warn!(%error, path = %self.path.display(), "can't be read")).ok()?;
        (0..2).find_map(|slot| match SLOTS.read(&file, slot) {
            Ok(Slot::Text { number, text }) if number == id => {
                self.holds[slot] = Some(id);
                Some(Bulk { id, text: text.into() })
            }
            Ok(Slot::Text { .. } | Slot::Empty | Slot::Damaged) | Err(_) => None,
        })
    }

    /// Has it on disk when it returns, and leaves the slot alone that holds `newest`.
    pub(super) fn hold(&mut self, bulk: &Bulk, newest: Option<u64>) -> io::Result<()> {
        if self.holds.contains(&Some(bulk.id)) {
            return Ok(());
        }
        self.prepare()?;
        let Some(file) = &self.file else { return Err(ErrorKind::NotFound.into()) };
        let slot = usize::from(newest.is_some() && self.holds[0] == newest);
        self.holds[slot] = None;
        SLOTS.write(file, slot, bulk.id, &bulk.text)?;
        self.holds[slot] = Some(bulk.id);
        Ok(())
    }

    /// The slot that holds the bulk of this id.
    #[cfg(test)]
    pub(super) fn slot_of(&self, id: u64) -> Option<usize> {
        self.holds.iter().position(|held| *held == Some(id))
    }

    /// Opens the file, and makes it where there is none.
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(match slots::open(&self.path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => SLOTS.create(&self.path, &[])?,
                Err(error) => return Err(error),
            });
        }
        Ok(())
    }
}
