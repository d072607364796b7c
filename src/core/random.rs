//! Where ids, tokens and jitter come from: two generators, so that drawing an id doesn't change the
//! jitter.

use crate::model::backoff;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use std::{fmt, time::Duration};
use uuid::Uuid;

/// Makes ids and tokens, which nobody else may guess; seeded by the operating system at each start.
pub(super) struct IdGenerator(StdRng);

impl IdGenerator {
    pub(super) fn new(entropy: [u8; 32]) -> Self {
        IdGenerator(StdRng::from_seed(entropy))
    }

    pub(super) fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    pub(super) fn number(&mut self) -> u64 {
        self.0.random()
    }

    /// 256 bits as hexadecimal.
    pub(super) fn token(&mut self) -> String {
        format!("{}{}", self.uuid().simple(), self.uuid().simple())
    }
}

impl fmt::Debug for IdGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdGenerator")
    }
}

/// Spreads what many agents would do in step.
#[derive(Debug)]
pub(super) struct Jitter(StdRng);

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Jitter(StdRng::seed_from_u64(seed))
    }

    /// Between (1 − share) × `span` and `span`: only ever earlier.
    pub(super) fn earlier(&mut self, span: Duration, share: f64) -> Duration {
        backoff::earlier(span, share, self.0.random())
    }
}

/// The back-off of [`backoff`], with the core's own random values; the attempts are journalled, the moment isn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Backoff(backoff::Backoff);

impl Backoff {
    pub(super) fn reset(&mut self) {
        self.0.reset();
    }

    /// The delay before the next attempt.
    pub(super) fn next(&mut self, first: Duration, cap: Duration, jitter: &mut Jitter) -> Duration {
        self.0.next(first, cap, jitter.0.random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_jitter_only_earlier() {
        let (mut backoff, mut jitter) = (Backoff::default(), Jitter::new(7));
        for full in [100, 200, 400, 800, 1500, 1500, 1500] {
            let delay = backoff.next(Duration::from_millis(100), Duration::from_millis(1500), &mut jitter).as_millis();
            assert!((full * 3 / 4..=full).contains(&delay), "{delay} of {full}");
        }
    }

    #[test]
    fn the_same_entropy_makes_the_same_ids_and_never_one_twice() {
        let (mut a, mut b) = (IdGenerator::new([1; 32]), IdGenerator::new([1; 32]));
        let ids: Vec<_> = (0..100).map(|_| a.uuid()).collect();
        assert!(ids.iter().all(|id| *id == b.uuid()));
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 100);
    }
}
