//! The stop ladder: a rung, its wait, the next; at the end SIGKILL of everything, again and again until the keeper
//! says that the containment is empty or that it can't be emptied.
//!
//! ```text
//! rung 0 ─wait─► rung 1 ─wait─► … ─► kill ─wait─► kill …        kill_by ──► kill
//!    └────────── a second request ─────────────────►
//! ```

use super::clock::{When, earliest};
use crate::model::process::{StopAction, StopStep};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long the keeper is given to empty the containment before SIGKILL is repeated.
const AGAIN: Duration = Duration::from_secs(5);

/// Where the ladder stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ladder {
    /// The rung whose action is next; one past the last is SIGKILL, two past it: again.
    next: usize,
    due: When,
    /// The latest moment for SIGKILL.
    kill_by: Option<When>,
}

impl Ladder {
    /// A ladder whose first rung is due now.
    pub fn new(now: When, kill_by: Option<When>) -> Self {
        Ladder { next: 0, due: now, kill_by }
    }

    /// How long the rungs take together.
    pub fn total(steps: &[StopStep]) -> Duration {
        steps.iter().map(|step| step.wait).sum()
    }

    /// The action that is due, if one is.
    pub fn climb(&mut self, steps: &[StopStep], now: When) -> Option<StopAction> {
        if self.kill_by.is_some_and(|by| now >= by) && self.next <= steps.len() {
            self.next = steps.len();
            self.due = now;
        }
        if now < self.due {
            return None;
        }
        let step = steps.get(self.next);
        self.next = (self.next + 1).min(steps.len() + 1);
        self.due = now + step.map_or(AGAIN, |step| step.wait.max(Duration::from_millis(1)));
        Some(step.map_or(StopAction::Kill, |step| step.action.clone()))
    }

    /// A second request: the next rung at once.
    pub fn hasten(&mut self, now: When) {
        self.due = now;
    }

    /// The keeper was away, or we were: the last rung may not have been carried out.
    pub fn repeat(&mut self, now: When) {
        self.next = self.next.saturating_sub(1);
        self.due = now;
    }

    pub fn bring_forward(&mut self, kill_by: When) {
        self.kill_by = Some(self.kill_by.map_or(kill_by, |by| by.min(kill_by)));
    }

    pub fn deadline(&self, steps: &[StopStep]) -> Option<When> {
        earliest([Some(self.due), self.kill_by.filter(|_| self.next <= steps.len())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    const T: When = When(Timestamp::EPOCH);
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
    fn rung_by_rung_and_kill_at_the_end_even_if_no_rung_says_so() {
        let (steps, mut ladder) = (steps(), Ladder::new(T, None));
        assert_eq!(ladder.climb(&steps, T), Some(StopAction::Stdin("quit".into())));
        assert_eq!(ladder.climb(&steps, T + s(4)), None);
        assert_eq!(ladder.climb(&steps, T + s(5)), Some(StopAction::Signal(15)));
        assert_eq!(ladder.climb(&steps, T + s(15)), Some(StopAction::Kill));
        assert_eq!(ladder.climb(&steps, T + s(16)), None);
        assert_eq!(ladder.climb(&steps, T + s(20)), Some(StopAction::Kill));
    }

    #[test]
    fn a_second_request_takes_the_next_rung_and_the_hosts_deadline_jumps_to_the_kill() {
        let (steps, mut ladder) = (steps(), Ladder::new(T, None));
        ladder.climb(&steps, T);
        ladder.hasten(T + s(1));
        assert_eq!(ladder.climb(&steps, T + s(1)), Some(StopAction::Signal(15)));
        ladder.bring_forward(T + s(3));
        assert_eq!(ladder.deadline(&steps), Some(T + s(3)));
        assert_eq!(ladder.climb(&steps, T + s(3)), Some(StopAction::Kill));
    }
}
