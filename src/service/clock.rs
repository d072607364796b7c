//! The service's time: it stands still while the process, or the machine, does.
//!
//! ```text
//!   timers: next look by T ──► a reading at T or before: as it is
//!                          └─► a reading later than T by more than GAP: what lies between counts for nobody
//! ```
//!
//! Leases, allocations and health checks go by this time, so that nobody is dropped for a silence
//! in which nobody was listening.

use crate::{
    host::clock,
    model::time::{Instant, Now},
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Being later than this is a gap.
const GAP: Duration = Duration::from_secs(1);

/// Where the time comes from. Its copies are the same clock.
#[derive(Clone)]
pub struct Clock {
    source: Arc<dyn Fn() -> Now + Send + Sync>,
    pace: Arc<Mutex<Pace>>,
}

#[derive(Debug, Default)]
struct Pace {
    /// When somebody looks again, by the source.
    next_look: Option<Instant>,
    /// All gaps so far, and how many they were.
    lost: Duration,
    gaps: u64,
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Clock {
    /// The machine's.
    pub fn system() -> Clock {
        Clock::of(clock::now)
    }

    fn of(source: impl Fn() -> Now + Send + Sync + 'static) -> Clock {
        Clock { source: Arc::new(source), pace: Arc::default() }
    }

    pub fn now(&self) -> Now {
        let now = (self.source)();
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = pace.next_look
            && now.mono.since(look) > GAP
        {
            pace.lost += now.mono.since(look);
            pace.gaps += 1;
            pace.next_look = Some(now.mono);
            tracing::warn!(
                seconds = now.mono.since(look).as_secs_f64(),
                "the service stood still; nobody is dropped for it"
            );
        }
        Now { mono: Instant(now.mono.0.saturating_sub(pace.lost)), ..now }
    }

    /// Says that the clock is read again within this time, whatever happens.
    pub fn looks_within(&self, span: Duration) {
        let now = (self.source)().mono;
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).next_look = Some(now + span);
    }

    /// How often it has stood still.
    pub fn gaps(&self) -> u64 {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn a_process_that_stood_still_has_no_later() {
        let millis = Arc::new(AtomicU64::new(1000));
        let read = Arc::clone(&millis);
        let clock = Clock::of(move || {
            let at = Duration::from_millis(read.load(Ordering::Relaxed));
            Now { boot: at, mono: Instant(at), wall: Timestamp::EPOCH, boot_id: crate::model::time::BootId::default() }
        });
        let at = |raw| {
            millis.store(raw, Ordering::Relaxed);
            clock.now().mono.0.as_millis()
        };
        assert_eq!((at(1000), at(90_000)), (1000, 90_000), "nobody has promised to look");
        clock.looks_within(Duration::from_secs(1));
        assert_eq!((at(91_900), clock.gaps()), (91_900, 0), "a little late");
        clock.looks_within(Duration::from_secs(1));
        assert_eq!((at(152_900), clock.gaps()), (92_900, 1), "a minute is missing");
        assert_eq!(at(153_000), 93_000, "it goes on");
        clock.looks_within(Duration::from_secs(1));
        assert_eq!((at(164_000), clock.gaps()), (94_000, 2));
    }
}
