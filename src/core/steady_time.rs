//! The core's sense of time.
//!
//! Deadlines have to be measured on the monotonic clock and to survive a restart in the journal.
//! [`SteadyTime`] is the wall clock as it was when the agent started, moved on by the monotonic
//! clock. A wall clock that is set moves no deadline.
//!
//! The next life reads the wall clock again. The journal has an [`Anchor`] beside the moments:
//! where that life's clock began. So a moment is read as what is left of it, also where the wall
//! clock was set in between. After a reboot of the machine, and in texts without an anchor, the
//! wall clock is all there is to go by.

use crate::model::time::{BootId, Instant, Now, Timestamp};
use chrono::TimeDelta;
use serde::{Deserialize, Deserializer, Serialize};
use std::{cell::Cell, ops::Add, time::Duration};

/// A moment on the steady clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(super) struct SteadyTime(pub Timestamp);

/// Where the steady clock of a life began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Anchor {
    boot: BootId,
    mono_ms: u64,
    wall: Timestamp,
}

/// By how much the moments of another life's clock are moved to be those of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shift(TimeDelta);

thread_local! {
    /// What every [`SteadyTime`] that is read is moved by: it lies deep in many types.
    static SHIFT: Cell<Shift> = const { Cell::new(Shift(TimeDelta::zero())) };
}

impl Shift {
    /// Reads something by the clock of another life.
    pub(super) fn reading<T>(self, read: impl FnOnce() -> T) -> T {
        let before = SHIFT.replace(self);
        let result = read();
        SHIFT.set(before);
        result
    }
}

impl<'de> Deserialize<'de> for SteadyTime {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Shift(shift) = SHIFT.get();
        let (at, span) = (Timestamp::deserialize(from)?, shift.abs().to_std().unwrap_or_default());
        Ok(SteadyTime(if shift < TimeDelta::zero() { at.minus(span) } else { at.plus(span) }))
    }
}

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

    pub(super) fn anchor(&self) -> Anchor {
        let mono_ms = u64::try_from(self.start.mono.0.as_millis()).unwrap_or(u64::MAX);
        Anchor { boot: self.start.boot_id, mono_ms, wall: self.start.wall }
    }

    /// What the moments of a life that began at `anchor` are moved by; `now` is on our clock.
    pub(super) fn shift_from(&self, anchor: Anchor, now: SteadyTime) -> Shift {
        let (begun, mono) = (Duration::from_millis(anchor.mono_ms), self.instant(now).0);
        if anchor.boot != self.start.boot_id || anchor.boot == BootId::default() || mono < begun {
            return Shift::default();
        }
        let theirs = anchor.wall.plus(mono.saturating_sub(begun));
        Shift(now.0.0 - theirs.0)
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
