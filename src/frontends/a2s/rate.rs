//! How many answers a second: a token bucket for everybody together, and one for each address, in a
//! table of fixed size.
//!
//! Addresses with the same hash share a bucket: a flood from one of them takes answers only from
//! those few.

use crate::{
    model::time::Instant,
    net::rate::{Bucket, Rate},
};
use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    time::Duration,
};

const BUCKETS: usize = 512;
/// A bucket holds what so many seconds give.
const BURST: f64 = 2.0;

#[derive(Debug)]
pub(crate) struct RateLimiter {
    hash: RandomState,
    rate_of_all: Rate,
    all: Bucket,
    rate_of_each: Rate,
    each: Vec<Bucket>,
}

fn rate(per_second: u32) -> Rate {
    let per_second = f64::from(per_second.max(1));
    Rate { per_second, burst: per_second * BURST }
}

impl RateLimiter {
    pub(crate) fn new(all: u32, each: u32) -> Self {
        let (rate_of_all, rate_of_each) = (rate(all), rate(each));
        let full = |rate| Bucket::full(rate, Instant(Duration::ZERO));
        let each = vec![full(rate_of_each); BUCKETS];
        RateLimiter { hash: RandomState::new(), rate_of_all, all: full(rate_of_all), rate_of_each, each }
    }

    pub(crate) fn allow(&mut self, client: IpAddr, now: Instant) -> bool {
        let bucket = (self.hash.hash_one(client) % BUCKETS as u64) as usize;
        let (one, all) = (&mut self.each[bucket], &mut self.all);
        one.fill(self.rate_of_each, now);
        all.fill(self.rate_of_all, now);
        // A client over its own limit takes nothing from the others.
        one.has_one() && all.take() && one.take()
    }
}
