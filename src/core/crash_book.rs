//! The crash book: how often the game failed, over all matches, and what follows from it.
//!
//! A run that lived for `stable_after` starts the delays anew. `budget` failures within `window`
//! are a crash loop.

use super::{
    random::{Backoff, Jitter},
    steady_time::SteadyTime,
};
use crate::model::policy::{Restart, RestartWhen};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Failures {
    /// When, the oldest first; only those within the window.
    pub times: Vec<SteadyTime>,
    pub backoff: Backoff,
    /// No match is begun before this.
    pub rest_until: Option<SteadyTime>,
}

/// Whether an end goes into the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    Yes,
    /// The game ended well, or for no fault of its own.
    No,
}

/// What follows a run that ended without being asked to.
pub(super) enum AfterFailure {
    Restart { delay: Duration },
    NoRestart,
    CrashLoop { failures: usize },
}

impl Failures {
    /// Records the end of a run, if it counts, and says what follows. `up`: since when the run was known to run.
    pub(super) fn record(
        &mut self,
        policy: &Restart,
        up: Option<SteadyTime>,
        counts: Counts,
        now: SteadyTime,
        jitter: &mut Jitter,
    ) -> AfterFailure {
        if up.is_some_and(|up| now.since(up) >= policy.stable_after.get()) {
            self.backoff.reset();
        }
        self.times.retain(|at| now.since(*at) < policy.window.get());
        if counts == Counts::Yes {
            self.times.push(now);
            if policy.budget > 0 && self.times.len() >= policy.budget as usize {
                return AfterFailure::CrashLoop { failures: self.times.len() };
            }
        }
        let delay = self.delay(policy, jitter);
        match policy.when {
            RestartWhen::Never => AfterFailure::NoRestart,
            RestartWhen::OnFailure | RestartWhen::Always => AfterFailure::Restart { delay },
        }
    }

    /// The next delay.
    pub(super) fn delay(&mut self, policy: &Restart, jitter: &mut Jitter) -> Duration {
        self.backoff.next(policy.delay.get(), policy.max_delay.get(), jitter)
    }
}
