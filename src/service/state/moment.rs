//! When an operation runs, and what its ids are made of. Both come with the request, so that an
//! operation that is run again has the same time and makes the same ids.

use crate::model::time::Now;
use rand::{SeedableRng, rngs::StdRng};
use std::sync::OnceLock;

/// The time of an operation, and the seed of its randomness.
#[derive(Clone)]
pub struct Moment {
    pub now: Now,
    /// Drawn when it is first needed: most operations make no ids.
    seed: OnceLock<[u8; 32]>,
}

impl std::fmt::Debug for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Moment").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Moment {
    pub fn new(now: Now) -> Moment {
        Moment { now, seed: OnceLock::new() }
    }

    /// A generator that begins anew, with the same numbers, each time it is asked for.
    pub fn rng(&self) -> StdRng {
        StdRng::from_seed(*self.seed.get_or_init(rand::random))
    }
}
