//! The stop ladder, as a thing that is asked what to do next. No clock, no signal of its own.

use crate::{
    keeper::daemon::Instant,
    model::process::{StandingOrders, StopAction, StopStep},
};
use std::time::Duration;

/// A ladder being climbed.
#[derive(Debug, Clone)]
pub(super) struct Ladder {
    steps: Vec<StopStep>,
    /// The next rung.
    at: usize,
    /// When the next rung is due.
    due: Instant,
    /// When patience ends, wherever it stands.
    end: Instant,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rung {
    /// Nothing before [`Ladder::due`].
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

impl Ladder {
    pub(super) fn new(orders: &StandingOrders, now: Instant) -> Ladder {
        Ladder { steps: orders.ladder.clone(), at: 0, due: now, end: now + orders.total }
    }

    /// The rung that is due, if one is. Behind the last step, or at the total deadline, it is SIGKILL.
    pub(super) fn next(&mut self, now: Instant) -> Rung {
        if now < self.due() {
            return Rung::Wait;
        }
        let step = self.at as u32;
        match self.steps.get(self.at) {
            Some(rung) if now < self.end && rung.action != StopAction::Kill => {
                self.at += 1;
                self.due = now + rung.wait;
                Rung::Do { step, action: rung.action.clone() }
            }
            _ => Rung::Last { step: step.min(self.steps.len() as u32) },
        }
    }

    pub(super) fn due(&self) -> Instant {
        self.due.min(self.end)
    }

    /// Not to wait for the current rung any longer.
    pub(super) fn hasten(&mut self, now: Instant) {
        self.due = now;
    }
}

/// What a keeper goes by that was never told anything: SIGTERM, ten seconds, SIGKILL.
pub(super) fn default_orders(unattended: Option<Duration>) -> StandingOrders {
    let wait = Duration::from_secs(10);
    let ladder = vec![StopStep { action: StopAction::Signal(libc::SIGTERM), wait }];
    StandingOrders { ladder, total: wait + Duration::from_secs(1), unattended }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant(Duration::from_secs(seconds))
    }

    fn orders(total: u64) -> StandingOrders {
        let step = |action, wait| StopStep { action, wait: Duration::from_secs(wait) };
        let ladder = vec![
            step(StopAction::Stdin("quit".into()), 5),
            step(StopAction::Signal(15), 10),
            step(StopAction::Kill, 0),
        ];
        StandingOrders { ladder, total: Duration::from_secs(total), unattended: None }
    }

    #[test]
    fn every_rung_has_its_time() {
        let mut ladder = Ladder::new(&orders(60), at(100));
        assert_eq!(ladder.next(at(100)), Rung::Do { step: 0, action: StopAction::Stdin("quit".into()) });
        assert_eq!(ladder.next(at(104)), Rung::Wait);
        assert_eq!(ladder.next(at(105)), Rung::Do { step: 1, action: StopAction::Signal(15) });
        assert_eq!((ladder.next(at(106)), ladder.due()), (Rung::Wait, at(115)));
        assert_eq!(ladder.next(at(115)), Rung::Last { step: 2 });
        assert_eq!(ladder.next(at(116)), Rung::Last { step: 2 });
    }

    #[test]
    fn the_total_cuts_it_short() {
        let mut ladder = Ladder::new(&orders(7), at(0));
        ladder.next(at(0));
        ladder.next(at(5));
        assert_eq!(ladder.due(), at(7));
        assert_eq!(ladder.next(at(7)), Rung::Last { step: 2 });
    }

    #[test]
    fn haste_goes_up_a_rung_at_once() {
        let mut ladder = Ladder::new(&orders(60), at(0));
        ladder.next(at(0));
        ladder.hasten(at(1));
        assert!(matches!(ladder.next(at(1)), Rung::Do { step: 1, .. }));
    }
}
