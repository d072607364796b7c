//! How many answers a second: a token bucket for everybody together, and one for each address, in a table of fixed size.
//!
//! Addresses with the same hash share a bucket: a flood from one of them takes answers only from those few.

use crate::model::time::Instant;
use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
};

const BUCKETS: usize = 512;
/// A bucket holds what so many seconds give.
const BURST: f64 = 2.0;

#[derive(Debug)]
pub struct RateLimiter {
    hash: RandomState,
    all: Bucket,
    each: Vec<Bucket>,
}

#[derive(Debug, Clone)]
struct Bucket {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Bucket {
    fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Bucket { per_second, left: per_second * BURST, at: Instant(std::time::Duration::ZERO) }
    }

    fn fill(&mut self, now: Instant) -> bool {
        let come = now.since(self.at).as_secs_f64() * self.per_second;
        (self.left, self.at) = ((self.left + come).min(self.per_second * BURST), now);
        self.left >= 1.0
    }
}

impl RateLimiter {
    pub fn new(all: u32, each: u32) -> Self {
        RateLimiter { hash: RandomState::new(), all: Bucket::new(all), each: vec![Bucket::new(each); BUCKETS] }
    }

    pub fn allow(&mut self, client: IpAddr, now: Instant) -> bool {
        let bucket = (self.hash.hash_one(client) % BUCKETS as u64) as usize;
        let (one, all) = (&mut self.each[bucket], &mut self.all);
        // A client over its own limit takes nothing from the others.
        let allowed = one.fill(now) && all.fill(now);
        if allowed {
            one.left -= 1.0;
            all.left -= 1.0;
        }
        allowed
    }
}
