//! How long to wait before the next attempt: the one back-off of everything that retries.
//!
//! | attempt | waits |
//! |---|---|
//! | 1, 2, 3 … | `first`, 2 × `first`, 4 × `first` …, never more than `cap` |
//! | any | up to [`JITTER_SHARE`] less, so that a fleet doesn't act in step |
//!
//! Invariants: a delay is never longer than `cap`, and without jitter never shorter than the one
//! before. Chance is handed in as a number from 0 to 1, so that the pure core can use this too;
//! [`NO_JITTER`] is for a single caller that nobody acts in step with.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The part of a delay that jitter may take away.
pub const JITTER_SHARE: f64 = 0.25;

/// The delays themselves, without chance.
pub const NO_JITTER: f64 = 0.0;

/// Counts the attempts since the last success. Serialised as that number; the moment of the next attempt isn't kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// After a success: the next delay is the first one again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The delay before the next attempt. `jitter`: a random number from 0 to 1.
    pub fn next(&mut self, first: Duration, cap: Duration, jitter: f64) -> Duration {
        let full = first.saturating_mul(1 << self.attempts.min(16)).min(cap);
        self.attempts = self.attempts.saturating_add(1);
        earlier(full, JITTER_SHARE, jitter)
    }
}

/// `span`, or up to `share` of it earlier. `jitter`: a random number from 0 to 1.
pub fn earlier(span: Duration, share: f64, jitter: f64) -> Duration {
    span.mul_f64(1.0 - share * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_millis(1500);

    fn delays(jitter: f64, count: usize) -> Vec<u128> {
        let mut backoff = Backoff::default();
        (0..count).map(|_| backoff.next(FIRST, CAP, jitter).as_millis()).collect()
    }

    #[test]
    fn delays_double_up_to_the_cap_and_jitter_only_shortens_them() {
        assert_eq!(delays(NO_JITTER, 7), [100, 200, 400, 800, 1500, 1500, 1500]);
        assert_eq!(delays(1.0, 6), [75, 150, 300, 600, 1125, 1125]);
        assert_eq!(delays(0.5, 2), [87, 175]);
    }

    #[test]
    fn a_success_starts_over() {
        let mut backoff = Backoff::default();
        backoff.next(FIRST, CAP, NO_JITTER);
        backoff.next(FIRST, CAP, NO_JITTER);
        backoff.reset();
        assert_eq!((backoff, backoff.next(FIRST, CAP, NO_JITTER)), (Backoff::default(), FIRST));
    }

    #[test]
    fn it_never_overflows_and_the_cap_wins_over_the_first_delay() {
        let mut backoff = Backoff { attempts: u32::MAX };
        assert_eq!(backoff.next(Duration::MAX, CAP, NO_JITTER), CAP);
        assert_eq!(backoff, Backoff { attempts: u32::MAX });
        assert_eq!(Backoff::default().next(CAP, FIRST, NO_JITTER), FIRST);
    }

    #[test]
    fn it_is_written_as_the_number_of_attempts() {
        let mut backoff = Backoff::default();
        backoff.next(FIRST, CAP, NO_JITTER);
        assert_eq!(serde_json::to_string(&backoff).unwrap(), "1");
        assert_eq!(serde_json::from_str::<Backoff>("1").unwrap(), backoff);
    }
}
