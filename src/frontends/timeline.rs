//! The agent's timeline, for operators who follow it.

use super::ring::{Next, Ring};
use crate::model::status::TimelineEntry;
use std::sync::Arc;
use tokio::sync::watch;

/// How many entries can be read back.
pub(crate) const RETENTION: usize = 1024;

/// The last [`RETENTION`] entries of the timeline. Their numbers are the entries' own.
#[derive(Debug)]
pub struct Timeline {
    ring: Ring<Arc<TimelineEntry>>,
}

impl Timeline {
    /// `seen` = the number of the last entry before the agent's start.
    pub fn new(seen: u64) -> Self {
        Timeline { ring: Ring::new(RETENTION, seen) }
    }
    /// Entries come with increasing numbers.
    pub fn push(&self, entry: TimelineEntry) {
        self.ring.push_as(entry.seq, Arc::new(entry));
    }
    pub fn after(&self, seen: u64, limit: usize) -> Next<Arc<TimelineEntry>> {
        self.ring.after(seen, limit)
    }
    /// The position before the oldest entry that is still there.
    pub fn tail(&self) -> u64 {
        self.ring.tail()
    }
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.ring.watch()
    }
}
