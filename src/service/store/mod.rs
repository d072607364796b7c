//! The store: it makes the state's changes durable, as rows of tables, with whatever engine there
//! is.
//!
//! ```text
//!   operation ──commit──► State ──all of its changes──► writer thread ──one batch──► Store (fsync)
//!      └────────── waits until `durable ≥ seq`, then answers ◄───────────────────────┘
//! ```
//!
//! | file | holds |
//! |---|---|
//! | this one | the [`Store`] trait and its nouns |
//! | [`redb_store`] | the embedded engine |
//! | [`writer`] | the thread that batches: many requests share one fsync |
//! | `conformance` | what every engine has to do, as tests |
//! | `memory` | an engine for tests, and the shortest example of one |
//!
//! Invariants: a write is answered only when it is durable, and so is a read of something that
//! isn't durable yet; batches are committed in the order of their sequence numbers, each wholly or
//! not at all, and what one operation changes never stands in two; of two services on one store
//! only the one that claimed it last writes ([`writer::Claim`]).
//!
//! # Adding an engine
//!
//! Implement [`Store`] in a file of its own. In its tests implement `conformance::Engine` (how to
//! get one more handle on the same rows, how to restart, how to make storing fail) and write
//! `conformance::suite!(…)`: every rule below then is a test of that engine. An index is a table of
//! rows `term␟key`, a log is a table of numbered rows; both are written by the batch that they
//! belong to, so no engine needs to know of them: `scan` reads both.

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "a rule has its engine to itself, and ends it")]
pub(crate) mod conformance;
#[cfg(test)]
pub(crate) mod memory;
pub(crate) mod redb_store;
pub(crate) mod writer;

use crate::model::time::Timestamp;
use std::fmt;

/// The order of changes within a life of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Seq(pub u64);

/// What is kept. A name is for ever: it is the table's name on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// `writer` → who writes to this store at present.
    Owner,
    /// Session id → `SessionRecord`.
    Sessions,
    /// Number, 16 hexadecimal digits → audit event.
    Audit,
    /// Deserter id and player UUID → mark.
    Deserters,
    /// Player UUID and the other's → the player's side of the relationship.
    Friends,
    /// Player UUID → session id.
    Presence,
    /// Number, 8 hexadecimal digits → UUID of the player who has it.
    Numbers,
    /// Number of its first entry, 16 hexadecimal digits → what players were told; `epoch` → what positions begin with.
    Events,
    /// Id → a registered server.
    Servers,
}

impl Table {
    pub const ALL: [Table; 9] = [
        Table::Owner,
        Table::Sessions,
        Table::Audit,
        Table::Deserters,
        Table::Friends,
        Table::Presence,
        Table::Numbers,
        Table::Events,
        Table::Servers,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Table::Owner => "owner",
            Table::Sessions => "sessions",
            Table::Audit => "audit",
            Table::Deserters => "deserters",
            Table::Friends => "friends",
            Table::Presence => "presence",
            Table::Numbers => "numbers",
            Table::Events => "events",
            Table::Servers => "servers",
        }
    }
}

/// The state of a row: every commit that writes it gives it a new one, larger than any before in the whole store, so that a row
/// that was removed and made again is never taken for the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// What is stored under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub key: String,
    pub value: Vec<u8>,
    pub version: Version,
    pub expires: Option<Timestamp>,
}

/// What becomes of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowUpdate {
    /// A value; from `expires` on the row may be gone, see [`Store::expire`].
    Value {
        bytes: Vec<u8>,
        expires: Option<Timestamp>,
    },
    Nothing,
    /// It stays as it is: its condition guards the rest of the batch.
    Same,
}

/// On what condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    Always,
    IfAbsent,
    /// It is there, and nobody has written it since.
    IfVersion(Version),
}

impl Precondition {
    pub fn allows(self, found: Option<Version>) -> bool {
        match self {
            Precondition::Always => true,
            Precondition::IfAbsent => found.is_none(),
            Precondition::IfVersion(wanted) => found == Some(wanted),
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub table: Table,
    pub key: String,
    pub to: RowUpdate,
    pub only: Precondition,
}

impl Write {
    pub fn put(table: Table, key: impl Into<String>, value: impl Into<Vec<u8>>) -> Write {
        let to = RowUpdate::Value { bytes: value.into(), expires: None };
        Write { table, key: key.into(), to, only: Precondition::Always }
    }
    pub fn remove(table: Table, key: impl Into<String>) -> Write {
        Write { table, key: key.into(), to: RowUpdate::Nothing, only: Precondition::Always }
    }
    /// Nothing but a condition for the whole batch.
    pub fn check(table: Table, key: impl Into<String>, only: Precondition) -> Write {
        Write { table, key: key.into(), to: RowUpdate::Same, only }
    }
    pub fn only(self, only: Precondition) -> Write {
        Write { only, ..self }
    }
}

/// Which rows of a table: those whose keys begin with `prefix`, from behind `after`, so many at most.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    pub prefix: &'a str,
    pub after: Option<&'a str>,
    pub limit: usize,
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

/// Why nothing of a batch was stored.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The condition of a write doesn't hold: somebody else was there first.
    #[error("could not write {key:?} of {}: somebody else has changed it", .table.name())]
    Conflict { table: Table, key: String, found: Option<Version> },
    /// It isn't known whether the batch was stored; the same batch may be committed again.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

/// How many rows are read at a time by [`Store::read`].
const PAGE: usize = 1024;

/// An engine. Several handles, in several processes if the engine can do that, may use the same rows at the same time.
pub trait Store: Send {
    /// The row of a key.
    fn get(&mut self, table: Table, key: &str) -> Result<Option<Row>, StoreError>;
    /// Rows in the order of their keys' bytes.
    fn scan(&mut self, table: Table, page: Page<'_>) -> Result<Vec<Row>, StoreError>;
    /// Makes all changes durable, or none, and none that a condition forbids. No two have the same key of the same table.
    /// Answers the version of the rows that it wrote.
    fn commit(&mut self, batch: &[Write]) -> Result<Version, CommitError>;
    /// Removes what has expired by `now`, and says what that was. A row is there until its time; after that it may go by itself,
    /// and has gone when this returns.
    fn expire(&mut self, now: Timestamp) -> Result<Vec<(Table, String)>, StoreError>;

    /// Everything in a table, in the order of the keys.
    fn read(&mut self, table: Table) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut all: Vec<(String, Vec<u8>)> = Vec::new();
        loop {
            let after = all.last().map(|(key, _)| key.clone());
            let rows = self.scan(table, Page { prefix: "", after: after.as_deref(), limit: PAGE })?;
            let last = rows.len() < PAGE;
            all.extend(rows.into_iter().map(|row| (row.key, row.value)));
            if last {
                return Ok(all);
            }
        }
    }
}
