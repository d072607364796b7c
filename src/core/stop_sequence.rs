//! The stop sequence: a step, its wait, the next; at the end SIGKILL of everything, again and again
//! until the keeper says that the containment is empty or that it can't be emptied.
//!
//! ```text
//! step 0 ─wait─► step 1 ─wait─► … ─► kill ─wait─► kill …        kill_by ──► kill
//!    └────────── a second request ─────────────────►
//! ```

use super::steady_time::{SteadyTime, earliest};
use crate::model::process::{StopAction, StopStep};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long the keeper is given to empty the containment before SIGKILL is repeated.
const AGAIN: Duration = Duration::from_secs(5);

/// Where the sequence stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StopSequence {
    /// The step whose action is next; one past the last is SIGKILL, two past it: again.
    #[serde(rename = "next")]
    step: usize,
    due: SteadyTime,
    /// The latest moment for SIGKILL.
    kill_by: Option<SteadyTime>,
}

impl StopSequence {
    /// A sequence whose first step is due now.
    pub(super) fn new(now: SteadyTime, kill_by: Option<SteadyTime>) -> Self {
        StopSequence { step: 0, due: now, kill_by }
    }

    /// How long the steps take together.
    pub(super) fn total(steps: &[StopStep]) -> Duration {
        steps.iter().map(|step| step.wait).sum()
    }

    /// The action that is due, if one is.
    pub(super) fn next(&mut self, steps: &[StopStep], now: SteadyTime) -> Option<StopAction> {
        if self.kill_by.is_some_and(|by| now >= by) && self.step <= steps.len() {
            self.step = steps.len();
            self.due = now;
        }
        if now < self.due {
            return None;
        }
        let step = steps.get(self.step);
        self.step = (self.step + 1).min(steps.len() + 1);
        self.due = now + step.map_or(AGAIN, |step| step.wait.max(Duration::from_millis(1)));
        Some(step.map_or(StopAction::Kill, |step| step.action.clone()))
    }

    /// A second request: the next step at once.
    pub(super) fn hasten(&mut self, now: SteadyTime) {
        self.due = now;
    }

    /// The keeper was away, or we were: the last step may not have been carried out.
    pub(super) fn repeat(&mut self, now: SteadyTime) {
        self.step = self.step.saturating_sub(1);
        self.due = now;
    }

    pub(super) fn bring_forward(&mut self, kill_by: SteadyTime) {
        self.kill_by = Some(self.kill_by.map_or(kill_by, |by| by.min(kill_by)));
    }

    pub(super) fn deadline(&self, steps: &[StopStep]) -> Option<SteadyTime> {
        earliest([Some(self.due), self.kill_by.filter(|_| self.step <= steps.len())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    const T: SteadyTime = SteadyTime(Timestamp::EPOCH);
    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }
    fn steps() -> Vec<StopStep> {
        vec![
            StopStep { action: StopAction::Stdin("quit".into()), wait: s(5) },
            StopStep { action: StopAction::Signal(15), wait: s(10) },
        ]
    }

    #[test]
    fn step_by_step_and_kill_at_the_end_even_if_no_step_says_so() {
        let (steps, mut sequence) = (steps(), StopSequence::new(T, None));
        assert_eq!(sequence.next(&steps, T), Some(StopAction::Stdin("quit".into())));
        assert_eq!(sequence.next(&steps, T + s(4)), None);
        assert_eq!(sequence.next(&steps, T + s(5)), Some(StopAction::Signal(15)));
        assert_eq!(sequence.next(&steps, T + s(15)), Some(StopAction::Kill));
        assert_eq!(sequence.next(&steps, T + s(16)), None);
        assert_eq!(sequence.next(&steps, T + s(20)), Some(StopAction::Kill));
    }

    #[test]
    fn a_second_request_takes_the_next_step_and_the_hosts_deadline_jumps_to_the_kill() {
        let (steps, mut sequence) = (steps(), StopSequence::new(T, None));
        sequence.next(&steps, T);
        sequence.hasten(T + s(1));
        assert_eq!(sequence.next(&steps, T + s(1)), Some(StopAction::Signal(15)));
        sequence.bring_forward(T + s(3));
        assert_eq!(sequence.deadline(&steps), Some(T + s(3)));
        assert_eq!(sequence.next(&steps, T + s(3)), Some(StopAction::Kill));
    }
}
