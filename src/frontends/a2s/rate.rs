//! How many answers whom: a bucket for everybody together, and one for each address, in a table that never grows.
//!
//! Addresses that fall into the same place of the table share its bucket: a flood can only take from those few.

use crate::model::time::Instant;
use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
};

const PLACES: usize = 512;
/// A bucket holds as much as comes in so many seconds.
const BURST: f64 = 2.0;

#[derive(Debug)]
pub struct Rates {
    hash: RandomState,
    all: Bucket,
    each: Vec<Bucket>,
}

#[derive(Debug, Clone)]
struct Bucket {
    a_second: f64,
    left: f64,
    at: Instant,
}

impl Bucket {
    fn new(a_second: u32) -> Self {
        let a_second = f64::from(a_second.max(1));
        Bucket { a_second, left: a_second * BURST, at: Instant(std::time::Duration::ZERO) }
    }

    fn fill(&mut self, now: Instant) -> bool {
        let come = now.since(self.at).as_secs_f64() * self.a_second;
        (self.left, self.at) = ((self.left + come).min(self.a_second * BURST), now);
        self.left >= 1.0
    }
}

impl Rates {
    pub fn new(all: u32, each: u32) -> Self {
        Rates { hash: RandomState::new(), all: Bucket::new(all), each: vec![Bucket::new(each); PLACES] }
    }

    pub fn allow(&mut self, who: IpAddr, now: Instant) -> bool {
        let place = (self.hash.hash_one(who) % PLACES as u64) as usize;
        let (one, all) = (&mut self.each[place], &mut self.all);
        // Whoever asks too often takes nothing from the others.
        let allowed = one.fill(now) && all.fill(now);
        if allowed {
            one.left -= 1.0;
            all.left -= 1.0;
        }
        allowed
    }
}
