//! A bounded log that any number of readers follow at their own pace.
//!
//! ```text
//!   push ──► [ 41 42 43 44 45 ]      a reader holds a number, "I have seen up to 42",
//!              │        │            and asks for what comes after it
//!   dropped: 40      reader: 43
//! ```
//!
//! Invariants: the writer never waits; a reader that stops costs nothing but its number; one that
//! comes back after its next entry was dropped is told so ([`Next::Lagged`]) instead of silently
//! missing something.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// The log. `T` should be cheap to clone (`Bytes`, `Arc`).
#[derive(Debug)]
pub(crate) struct Ring<T> {
    entries: Mutex<Entries<T>>,
    head: watch::Sender<u64>,
    capacity: usize,
}

#[derive(Debug)]
struct Entries<T> {
    kept: VecDeque<(u64, T)>,
    /// The highest number that was dropped; what is at or below it can't be read any more.
    dropped: u64,
}

/// What comes after a reader's position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<T> {
    /// In order, with their numbers; empty = nothing new.
    Entries(Vec<(u64, T)>),
    /// The reader's next entry is gone.
    Lagged,
}

impl<T: Clone> Ring<T> {
    /// Keeps the last `capacity` entries; numbers go on from `seen`.
    pub(crate) fn new(capacity: usize, seen: u64) -> Self {
        Ring {
            entries: Mutex::new(Entries { kept: VecDeque::new(), dropped: seen }),
            head: watch::Sender::new(seen),
            capacity: capacity.max(1),
        }
    }

    /// Appends under the next number, which it returns.
    pub(crate) fn push(&self, entry: T) -> u64 {
        let mut entries = self.lock();
        let number = *self.head.borrow() + 1;
        self.append(&mut entries, number, entry);
        number
    }

    /// Appends under a number of the caller's; one that isn't above all before is passed over.
    pub(crate) fn push_as(&self, number: u64, entry: T) {
        let mut entries = self.lock();
        if number > *self.head.borrow() {
            self.append(&mut entries, number, entry);
        }
    }

    fn append(&self, entries: &mut MutexGuard<'_, Entries<T>>, number: u64, entry: T) {
        if entries.kept.len() == self.capacity
            && let Some((dropped, _)) = entries.kept.pop_front()
        {
            entries.dropped = dropped;
        }
        entries.kept.push_back((number, entry));
        self.head.send_replace(number);
    }

    /// Up to `limit` entries after number `seen`.
    pub(crate) fn after(&self, seen: u64, limit: usize) -> Next<T> {
        let entries = self.lock();
        if seen < entries.dropped {
            return Next::Lagged;
        }
        let from = entries.kept.partition_point(|(number, _)| *number <= seen);
        Next::Entries(entries.kept.range(from..).take(limit).cloned().collect())
    }

    /// The newest number.
    pub(crate) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// The position before the oldest entry that is still there.
    pub(crate) fn tail(&self) -> u64 {
        self.lock().dropped
    }

    /// Wakes when something was pushed.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Entries<T>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_everything_after_its_position_or_is_told_that_it_lags() {
        let ring = Ring::new(3, 10);
        assert_eq!(ring.after(10, 9), Next::Entries(vec![]));
        for letter in ["a", "b", "c"] {
            ring.push(letter);
        }
        assert_eq!(ring.after(10, 2), Next::Entries(vec![(11, "a"), (12, "b")]));
        ring.push("d");
        assert_eq!(ring.after(10, 9), Next::Lagged);
        assert_eq!(ring.after(11, 9), Next::Entries(vec![(12, "b"), (13, "c"), (14, "d")]));
        assert_eq!((ring.head(), ring.tail()), (14, 11));
    }

    #[test]
    fn numbers_of_the_callers_may_jump_but_never_go_back() {
        let ring = Ring::new(3, 0);
        ring.push_as(5, "a");
        ring.push_as(5, "again");
        ring.push_as(9, "b");
        assert_eq!(ring.after(0, 9), Next::Entries(vec![(5, "a"), (9, "b")]));
        assert_eq!(ring.after(7, 9), Next::Entries(vec![(9, "b")]));
    }
}
