//! Counts the game's heartbeats. The driver reads the counts, so that a heartbeat costs no message.
//!
//! ```text
//!   native, agones, gsdk ── record ──► [ run, source: count, newest ] ◄── take ── driver, before each deadline
//!                                           │
//!                                           └── wakes the driver only where a heartbeat may change the verdict
//! ```
//!
//! A game may ping thousands of times a second, and all of its pings say the same. What the core
//! judges is their count and the age of the newest, and it asks for both at its own deadline.
//!
//! | a heartbeat | the driver hears of it |
//! |---|---|
//! | the first of a run and source | at once: from here on silence counts |
//! | while the game isn't known to be healthy | at once: it may make it so |
//! | any other | when the core's next deadline is due, before the deadline is judged |
//!
//! Invariants: recording never waits and never fails; no heartbeat is lost: one that was recorded
//! before a deadline is taken before that deadline is judged; there is one entry a source, and only
//! for the newest run.

use crate::model::{game::EventSource, ids::RunNumber, time::Instant};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// What was recorded of one run and source since the last [`Heartbeats::take`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    pub run: RunNumber,
    pub source: EventSource,
    /// How many; at least one.
    pub count: u64,
    /// How long ago the newest was.
    pub age: Duration,
}

/// The counters. Frontends record, the driver takes.
#[derive(Debug, Default)]
pub struct Heartbeats {
    counters: Mutex<Counters>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Counters {
    entries: Vec<Counter>,
    /// Each one matters: the driver is woken for it.
    urgent: bool,
}

#[derive(Debug)]
struct Counter {
    run: RunNumber,
    source: EventSource,
    count: u64,
    newest: Instant,
}

impl Heartbeats {
    /// One heartbeat, now.
    pub fn record(&self, run: RunNumber, source: EventSource, now: Instant) {
        let mut counters = self.lock();
        let wakes = counters.record(run, source, now) || counters.urgent;
        drop(counters);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// What was recorded since the last time.
    pub fn take(&self, now: Instant) -> Vec<Heartbeat> {
        let mut counters = self.lock();
        let recorded = counters.entries.iter_mut().filter(|entry| entry.count > 0);
        let taken = recorded.map(|entry| Heartbeat {
            run: entry.run,
            source: entry.source,
            count: std::mem::take(&mut entry.count),
            age: now.since(entry.newest),
        });
        taken.collect()
    }

    /// The newest of each source that was ever heard in this run, for an agent that knows of none: each counts at least once.
    pub(crate) fn take_known(&self, now: Instant) -> Vec<Heartbeat> {
        let mut counters = self.lock();
        let known = counters.entries.iter_mut().map(|entry| Heartbeat {
            run: entry.run,
            source: entry.source,
            count: std::mem::take(&mut entry.count).max(1),
            age: now.since(entry.newest),
        });
        known.collect()
    }

    /// Whether the driver wants to hear of each one at once: while the game isn't known to be healthy.
    pub fn set_urgent(&self, urgent: bool) {
        self.lock().urgent = urgent;
    }

    /// Completes when there is something to [`Self::take`] that can't wait. Cancel-safe.
    pub async fn urgent(&self) {
        self.wake.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    /// True for the first of its run and source.
    fn record(&mut self, run: RunNumber, source: EventSource, now: Instant) -> bool {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.run == run && entry.source == source) {
            entry.count += 1;
            entry.newest = now;
            return false;
        }
        if self.entries.iter().any(|entry| entry.run > run) {
            // A late heartbeat of a run that is over says nothing about the next one.
            return false;
        }
        self.entries.retain(|entry| entry.run == run);
        self.entries.push(Counter { run, source, count: 1, newest: now });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    const RUN: RunNumber = RunNumber(7);

    fn at(seconds: u64) -> Instant {
        Instant(Duration::from_secs(seconds))
    }

    fn is_urgent(heartbeats: &Heartbeats) -> bool {
        heartbeats.urgent().now_or_never().is_some()
    }

    #[test]
    fn none_is_lost_and_only_the_first_wakes_anybody() {
        let heartbeats = Heartbeats::default();
        heartbeats.record(RUN, EventSource::Agones, at(1));
        assert!(is_urgent(&heartbeats));
        for second in 2..1000 {
            heartbeats.record(RUN, EventSource::Agones, at(second));
        }
        heartbeats.record(RUN, EventSource::Native, at(500));
        assert!(is_urgent(&heartbeats), "the first of another source");
        heartbeats.record(RUN, EventSource::Native, at(501));
        assert!(!is_urgent(&heartbeats));
        let taken = |source, count, age| Heartbeat { run: RUN, source, count, age: Duration::from_secs(age) };
        let expected = [taken(EventSource::Agones, 999, 1), taken(EventSource::Native, 2, 499)];
        assert_eq!(heartbeats.take(at(1000)), expected);
        assert_eq!(heartbeats.take(at(1001)), []);
        let known = [taken(EventSource::Agones, 1, 2), taken(EventSource::Native, 1, 500)];
        assert_eq!(heartbeats.take_known(at(1001)), known, "another agent asks");
        heartbeats.record(RUN, EventSource::Agones, at(1002));
        assert_eq!(heartbeats.take(at(1003)), [taken(EventSource::Agones, 1, 1)]);
    }

    #[test]
    fn each_one_is_urgent_while_the_game_is_not_known_to_be_healthy() {
        let heartbeats = Heartbeats::default();
        heartbeats.record(RUN, EventSource::Gsdk, at(1));
        assert!(is_urgent(&heartbeats));
        heartbeats.set_urgent(true);
        for second in 2..5 {
            heartbeats.record(RUN, EventSource::Gsdk, at(second));
            assert!(is_urgent(&heartbeats));
        }
        heartbeats.set_urgent(false);
        heartbeats.record(RUN, EventSource::Gsdk, at(5));
        assert!(!is_urgent(&heartbeats));
    }

    #[test]
    fn a_new_run_starts_anew_and_an_old_one_counts_no_more() {
        let heartbeats = Heartbeats::default();
        heartbeats.record(RUN, EventSource::Agones, at(1));
        heartbeats.record(RunNumber(8), EventSource::Agones, at(2));
        assert!(is_urgent(&heartbeats));
        heartbeats.record(RUN, EventSource::Native, at(3));
        assert!(!is_urgent(&heartbeats));
        let runs: Vec<_> = heartbeats.take(at(4)).into_iter().map(|heartbeat| heartbeat.run).collect();
        assert_eq!(runs, [RunNumber(8)]);
    }
}
