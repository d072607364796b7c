//! The core's sense of time.
//!
//! Deadlines have to be measured on the monotonic clock and to survive a restart in the journal,
//! where only the wall clock means anything. [`SteadyTime`] is both: the wall clock as it was when
//! the agent started, moved on by the monotonic clock. A wall clock that is set moves no deadline;
//! the next life of the agent reads the wall clock again.

use crate::model::time::{Instant, Now, Timestamp};
use serde::{Deserialize, Serialize};
use std::{ops::Add, time::Duration};

/// A moment on the steady clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SteadyTime(pub Timestamp);

impl SteadyTime {
    pub(super) fn before(self, span: Duration) -> SteadyTime {
        SteadyTime(self.0.minus(span))
    }

    /// How long after `earlier` this is; zero if it isn't.
    pub(super) fn since(self, earlier: SteadyTime) -> Duration {
        self.0.since(earlier.0)
    }
}

impl Add<Duration> for SteadyTime {
    type Output = SteadyTime;
    fn add(self, span: Duration) -> SteadyTime {
        SteadyTime(self.0.plus(span))
    }
}

/// Turns the clocks of [`Now`] into moments, and back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    start: Now,
}

impl Clock {
    pub(super) fn starting(now: Now) -> Self {
        Clock { start: now }
    }

    pub(super) fn steady(&self, now: Now) -> SteadyTime {
        SteadyTime(self.start.wall.plus(now.mono.since(self.start.mono)))
    }

    /// The monotonic time at which `when` has come.
    pub(super) fn instant(&self, when: SteadyTime) -> Instant {
        self.start.mono + when.0.since(self.start.wall)
    }
}

/// The earliest of several moments.
pub(super) fn earliest(moments: impl IntoIterator<Item = Option<SteadyTime>>) -> Option<SteadyTime> {
    moments.into_iter().flatten().min()
}
