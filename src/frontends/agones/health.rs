//! The clock of the health pings: every period without one is a failure, any ping starts anew.
//!
//! Counting begins with the game's process, not with the machine or the pod. What this agent couldn't have heard doesn't count:
//! a new agent begins anew, and so does one that was kept from its work.

use crate::model::time::Instant;
use std::time::Duration;

/// `[agones.health]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub disabled: bool,
    pub period: Duration,
    pub failure_threshold: u32,
    pub initial_delay: Duration,
}

/// The clock of one run.
#[derive(Debug, Clone, Default)]
pub struct HealthTracker {
    /// When the period that runs is over.
    due: Option<Instant>,
    failures: u32,
}

impl HealthTracker {
    /// The game's process is there.
    pub fn begin(&mut self, settings: &Settings, now: Instant) {
        self.failures = 0;
        self.due = (!settings.disabled).then(|| now + settings.initial_delay + settings.period);
    }

    pub fn ping(&mut self, settings: &Settings, now: Instant) {
        self.failures = 0;
        if let Some(due) = &mut self.due {
            *due = (now + settings.period).max(*due);
        }
    }

    /// True at the moment when the threshold is reached.
    pub fn is_over(&mut self, settings: &Settings, now: Instant) -> bool {
        let Some(due) = self.due.filter(|due| *due <= now) else { return false };
        if now.since(due) >= settings.period {
            // Nobody looked for a whole period: pings may lie unread.
            self.failures = 0;
            self.due = Some(now + settings.period);
            return false;
        }
        self.due = Some(due + settings.period);
        self.failures = self.failures.saturating_add(1);
        self.failures == settings.failure_threshold
    }

    pub fn due(&self) -> Option<Instant> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        disabled: false,
        period: Duration::from_secs(5),
        failure_threshold: 3,
        initial_delay: Duration::from_secs(5),
    };

    fn at(seconds: u64) -> Instant {
        Instant(Duration::from_secs(1000 + seconds))
    }

    #[test]
    fn it_counts_from_the_games_start_and_any_ping_resets() {
        let mut health = HealthTracker::default();
        assert!(!health.is_over(&SETTINGS, at(99)), "no game yet");
        health.begin(&SETTINGS, at(0));
        let over: Vec<_> = (0..60).filter(|second| health.is_over(&SETTINGS, at(*second))).collect();
        assert_eq!(over, [20], "initial delay and three periods, and it is said once");
        health.ping(&SETTINGS, at(60));
        let over: Vec<_> = (60..90).filter(|second| health.is_over(&SETTINGS, at(*second))).collect();
        assert_eq!(over.len(), 1, "{over:?}");
        health.begin(&SETTINGS, at(90));
        for second in 90..200 {
            if second % 14 == 0 {
                health.ping(&SETTINGS, at(second));
            }
            assert!(!health.is_over(&SETTINGS, at(second)));
        }
    }

    #[test]
    fn what_nobody_could_hear_does_not_count() {
        let mut health = HealthTracker::default();
        health.begin(&SETTINGS, at(0));
        assert!(!health.is_over(&SETTINGS, at(600)));
        let over: Vec<_> = (600..630).filter(|second| health.is_over(&SETTINGS, at(*second))).collect();
        assert_eq!(over, [615]);
    }

    #[test]
    fn it_can_be_off() {
        let mut health = HealthTracker::default();
        let off = Settings { disabled: true, ..SETTINGS };
        health.begin(&off, at(0));
        assert_eq!(health.due(), None);
        assert!((0..90).all(|second| !health.is_over(&off, at(second))));
    }
}
