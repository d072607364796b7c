//! The stop sequence of a run, as a state machine: it says which step comes next, and when. It
//! reads no clock and sends no signal.

use crate::{
    keeper::daemon::Instant,
    model::process::{FallbackPolicy, StopAction, StopStep},
};
use std::time::Duration;

/// A sequence that is being carried out.
#[derive(Debug, Clone)]
pub(super) struct StopSequence {
    steps: Vec<StopStep>,
    /// The next step.
    at: usize,
    /// When the next step is due.
    due: Instant,
    /// When SIGKILL comes, wherever the sequence stands.
    end: Instant,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Nothing is due before [`StopSequence::due`].
    Wait,
    Do {
        step: u32,
        action: StopAction,
    },
    /// SIGKILL to all, and again until nothing lives.
    Last {
        step: u32,
    },
}

impl StopSequence {
    pub(super) fn new(policy: &FallbackPolicy, now: Instant) -> StopSequence {
        StopSequence { steps: policy.steps.clone(), at: 0, due: now, end: now + policy.total }
    }

    /// The step that is due, if one is. Behind the last one, or at the total deadline, it is SIGKILL.
    pub(super) fn next(&mut self, now: Instant) -> NextStep {
        if now < self.due() {
            return NextStep::Wait;
        }
        let step = self.at as u32;
        match self.steps.get(self.at) {
            Some(next) if now < self.end && next.action != StopAction::Kill => {
                self.at += 1;
                self.due = now + next.wait;
                NextStep::Do { step, action: next.action.clone() }
            }
            _ => NextStep::Last { step: step.min(self.steps.len() as u32) },
        }
    }

    pub(super) fn due(&self) -> Instant {
        self.due.min(self.end)
    }

    /// Nobody could do anything for so long: every step keeps its time.
    pub(super) fn delay(&mut self, span: Duration) {
        self.due = self.due + span;
        self.end = self.end + span;
    }

    /// Ends the wait for the current step.
    pub(super) fn hasten(&mut self, now: Instant) {
        self.due = now;
    }
}

/// The policy of a keeper that was never given one: SIGTERM, ten seconds, SIGKILL.
pub(super) fn default_policy(unattended: Option<Duration>) -> FallbackPolicy {
    let wait = Duration::from_secs(10);
    let steps = vec![StopStep { action: StopAction::Signal(libc::SIGTERM), wait }];
    FallbackPolicy { steps, total: wait + Duration::from_secs(1), unattended }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant(Duration::from_secs(seconds))
    }

    fn policy(total: u64) -> FallbackPolicy {
        let step = |action, wait| StopStep { action, wait: Duration::from_secs(wait) };
        let steps = vec![
            step(StopAction::Stdin("quit".into()), 5),
            step(StopAction::Signal(15), 10),
            step(StopAction::Kill, 0),
        ];
        FallbackPolicy { steps, total: Duration::from_secs(total), unattended: None }
    }

    #[test]
    fn every_step_has_its_time() {
        let mut sequence = StopSequence::new(&policy(60), at(100));
        assert_eq!(sequence.next(at(100)), NextStep::Do { step: 0, action: StopAction::Stdin("quit".into()) });
        assert_eq!(sequence.next(at(104)), NextStep::Wait);
        assert_eq!(sequence.next(at(105)), NextStep::Do { step: 1, action: StopAction::Signal(15) });
        assert_eq!((sequence.next(at(106)), sequence.due()), (NextStep::Wait, at(115)));
        assert_eq!(sequence.next(at(115)), NextStep::Last { step: 2 });
        assert_eq!(sequence.next(at(116)), NextStep::Last { step: 2 });
    }

    #[test]
    fn the_total_deadline_cuts_it_short() {
        let mut sequence = StopSequence::new(&policy(7), at(0));
        sequence.next(at(0));
        sequence.next(at(5));
        assert_eq!(sequence.due(), at(7));
        assert_eq!(sequence.next(at(7)), NextStep::Last { step: 2 });
    }

    #[test]
    fn time_in_which_nothing_could_be_done_is_taken_from_no_step() {
        let mut sequence = StopSequence::new(&policy(7), at(0));
        sequence.next(at(0));
        sequence.delay(Duration::from_secs(3600));
        assert_eq!(sequence.next(at(3604)), NextStep::Wait);
        assert!(matches!(sequence.next(at(3605)), NextStep::Do { step: 1, .. }));
        assert_eq!(sequence.due(), at(3607));
    }

    #[test]
    fn hastened_it_goes_to_the_next_step_at_once() {
        let mut sequence = StopSequence::new(&policy(60), at(0));
        sequence.next(at(0));
        sequence.hasten(at(1));
        assert!(matches!(sequence.next(at(1)), NextStep::Do { step: 1, .. }));
    }
}
