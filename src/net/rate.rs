//! A token bucket: how fast somebody may ask; and many of them, of which those used least lately
//! are forgotten.

use crate::model::time::Instant;
use quick_cache::sync::Cache;
use std::{
    convert::Infallible,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

/// How fast a bucket fills, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rate {
    pub per_second: f64,
    pub burst: f64,
}

/// What is left of a rate. Each request takes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Bucket { left: rate.burst, at: now }
    }

    /// Adds what has come in since it was last filled.
    pub(crate) fn fill(&mut self, rate: Rate, now: Instant) {
        let gained = now.since(self.at).as_secs_f64() * rate.per_second;
        (self.left, self.at) = ((self.left + gained).min(rate.burst), now);
    }

    pub(crate) fn has_one(&self) -> bool {
        self.left >= 1.0
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self) -> bool {
        let taken = self.has_one();
        if taken {
            self.left -= 1.0;
        }
        taken
    }

    /// Whole seconds, at least one, until there is one again.
    pub(crate) fn seconds_until_one(&self, rate: Rate) -> u32 {
        ((1.0 - self.left) / rate.per_second).ceil().max(1.0) as u32
    }
}

/// A bucket for each of many, known by a keyed hash: however long a key is, it costs the same.
#[derive(Debug)]
pub(crate) struct Buckets {
    hasher: RandomState,
    by_key: Cache<u64, Arc<Mutex<Bucket>>>,
}

impl Buckets {
    /// With room for so many.
    pub(crate) fn new(remembered: usize) -> Self {
        Buckets { hasher: RandomState::new(), by_key: Cache::new(remembered) }
    }

    /// Takes one from the bucket of `key`; else says in how many seconds there will be one.
    pub(crate) fn take(&self, key: impl Hash, rate: Rate, now: Instant) -> Result<(), u32> {
        let full = || Ok::<_, Infallible>(Arc::new(Mutex::new(Bucket::full(rate, now))));
        let Ok(bucket) = self.by_key.get_or_insert_with(&self.hasher.hash_one(key), full);
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.fill(rate, now);
        if bucket.take() { Ok(()) } else { Err(bucket.seconds_until_one(rate)) }
    }

    /// Lets the bucket of `key` be full again.
    pub(crate) fn forget(&self, key: impl Hash) {
        self.by_key.remove(&self.hasher.hash_one(key));
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate { per_second: 2.0, burst: 3.0 };
        let at = |millis: u64| Instant(Duration::from_millis(1_000_000 + millis));
        let mut bucket = Bucket::full(rate, at(0));
        assert_eq!([0; 4].map(|_| bucket.take()), [true, true, true, false]);
        assert_eq!(bucket.seconds_until_one(rate), 1);
        for (millis, taken) in [(499, false), (500, true), (999, false), (60_000, true)] {
            bucket.fill(rate, at(millis));
            assert_eq!(bucket.take(), taken, "{millis}");
        }
        assert!(bucket.has_one());
    }
}
