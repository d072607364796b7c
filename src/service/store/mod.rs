//! Durability.
//!
//! ```text
//!   handler ──changes memory──► World ──Write{seq}──► writer thread ──one batch──► Store (fsync)
//!      └────────── waits until `durable ≥ seq`, then answers ◄───────────────────────┘
//! ```
//!
//! | file | holds |
//! |---|---|
//! | this one | the [`Store`] trait and its nouns |
//! | [`redb_store`] | the embedded engine |
//! | [`writer`] | the thread that batches: many requests share one fsync |
//!
//! Invariants: a write is answered only when it is durable, and so is a read of something that isn't durable yet; batches are
//! committed in the order of their sequence numbers, each wholly or not at all.

pub mod redb_store;
pub mod writer;

use std::fmt;

/// The order of changes within a life of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Seq(pub u64);

/// What is kept. A name is for ever: it is the table's name on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Session id → `SessionRecord`.
    Sessions,
    /// Number, 16 hexadecimal digits → audit event.
    Audit,
    /// Deserter id and player UUID → mark.
    Deserters,
}

impl Table {
    pub const ALL: [Table; 3] = [Table::Sessions, Table::Audit, Table::Deserters];

    pub fn name(self) -> &'static str {
        match self {
            Table::Sessions => "sessions",
            Table::Audit => "audit",
            Table::Deserters => "deserters",
        }
    }
}

/// One change: a value, or none for a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub table: Table,
    pub key: String,
    pub value: Option<Vec<u8>>,
}

/// A store that can't be read or written.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing}: {why}")]
pub struct StoreError {
    pub doing: &'static str,
    pub why: String,
}

impl StoreError {
    pub fn new(doing: &'static str, why: impl fmt::Display) -> StoreError {
        StoreError { doing, why: why.to_string() }
    }
}

/// An engine.
pub trait Store: Send {
    /// Everything in a table, in the order of the keys.
    fn read(&mut self, table: Table) -> Result<Vec<(String, Vec<u8>)>, StoreError>;
    /// Makes all changes durable, or none. No two have the same key of the same table.
    fn commit(&mut self, batch: &[Write]) -> Result<(), StoreError>;
}
