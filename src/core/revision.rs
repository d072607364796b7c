//! How often something has changed, so that nobody has to compare it to know whether it has.

use std::ops::{Add, Deref};

/// Counts the changes of a machine. It only ever goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Revision {
    /// Of what the journal remembers.
    pub durable: u64,
    /// Of what else the status shows, or other machines know of it.
    pub visible: u64,
}

impl Add for Revision {
    type Output = Revision;
    fn add(self, other: Revision) -> Revision {
        Revision { durable: self.durable + other.durable, visible: self.visible + other.visible }
    }
}

/// A value that counts its changes. Reading it is free, every way to change it counts.
#[derive(Debug, Default)]
pub(super) struct Tracked<T> {
    value: T,
    changes: u64,
}

impl<T> Tracked<T> {
    pub(super) fn new(value: T) -> Self {
        Tracked { value, changes: 0 }
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// For a change: it counts as one whatever is done.
    pub(super) fn edit(&mut self) -> &mut T {
        self.changes += 1;
        &mut self.value
    }

    /// Replaces the value; the same one again is no change.
    pub(super) fn set(&mut self, value: T)
    where
        T: PartialEq,
    {
        if self.value != value {
            *self.edit() = value;
        }
    }
}

impl<T> Deref for Tracked<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_counts() {
        let mut tracked = Tracked::new(1);
        tracked.set(1);
        assert_eq!((*tracked, tracked.changes()), (1, 0));
        tracked.set(2);
        *tracked.edit() += 1;
        assert_eq!((*tracked, tracked.changes()), (3, 2));
    }
}
