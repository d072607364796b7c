//! Two checksummed, numbered slots in a file whose every block was written when it was made, behind
//! a head of a page. Writing a slot needs no space, and tears nothing but that slot.

use crate::host::files::{self, IfExists};
use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

pub(super) const HEAD: u64 = 4096;
pub(super) const SLOT_HEAD: usize = 20;

/// How the slots of a file lie in it.
pub(super) struct Slots {
    pub magic: u32,
    /// Bytes of a slot.
    pub size: usize,
}

/// What a slot holds.
pub(super) enum Slot {
    Empty,
    Damaged,
    Text { number: u64, text: String },
}

impl Slots {
    /// Bytes of text that fit into a slot.
    pub(super) const fn room(&self) -> usize {
        self.size - SLOT_HEAD
    }

    pub(super) fn at(&self, slot: usize) -> u64 {
        HEAD + (slot * self.size) as u64
    }

    /// Makes the file, every block written.
    pub(super) fn create(&self, path: &Path, head: &[u8]) -> io::Result<File> {
        files::put(path, 0o600, IfExists::Replace, |file| {
            let zeros = vec![0; self.size];
            file.write_all_at(&zeros[..HEAD as usize], 0)?;
            file.write_all_at(head, 0)?;
            (0..2).try_for_each(|slot| file.write_all_at(&zeros, self.at(slot)))
        })
    }

    /// Replaces what a slot holds; durable when it returns.
    pub(super) fn write(&self, file: &File, slot: usize, number: u64, text: &str) -> io::Result<()> {
        if text.len() > self.room() {
            let why = format!("the state has {} bytes, a journal slot holds {}", text.len(), self.room());
            return Err(io::Error::new(ErrorKind::FileTooLarge, why));
        }
        file.write_all_at(&self.encode(number, text), self.at(slot))?;
        file.sync_data()
    }

    pub(super) fn read(&self, file: &File, slot: usize) -> io::Result<Slot> {
        let mut bytes = vec![0; self.size];
        let mut filled = 0;
        while filled < self.size {
            match file.read_at(&mut bytes[filled..], self.at(slot) + filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        Ok(self.decode(bytes))
    }

    fn encode(&self, number: u64, text: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SLOT_HEAD + text.len());
        bytes.extend_from_slice(&self.magic.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&checksum(&bytes, text.as_bytes()).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    fn decode(&self, mut bytes: Vec<u8>) -> Slot {
        if bytes.len() < SLOT_HEAD || bytes[..SLOT_HEAD].iter().all(|byte| *byte == 0) {
            return Slot::Empty;
        }
        let number = u64::from_le_bytes(array(&bytes[4..12]));
        let length = u32::from_le_bytes(array(&bytes[12..16])) as usize;
        let crc = u32::from_le_bytes(array(&bytes[16..20]));
        let text = bytes.get(SLOT_HEAD..SLOT_HEAD.saturating_add(length));
        let whole = text.is_some_and(|text| checksum(&bytes[..16], text) == crc);
        if !whole || bytes[..4] != self.magic.to_le_bytes() {
            return Slot::Damaged;
        }
        bytes.truncate(SLOT_HEAD + length);
        String::from_utf8(bytes.split_off(SLOT_HEAD)).map_or(Slot::Damaged, |text| Slot::Text { number, text })
    }
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

/// Opens a file without following a link.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(files::no_follow()).open(path)
}

/// The same for somebody who only looks.
pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(files::no_follow()).open(path)
}
