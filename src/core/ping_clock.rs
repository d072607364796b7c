//! The clock of an SDK's health pings: every period without one is a failure, any ping starts anew.
//!
//! Counting begins with the game's process, not with the machine or the pod. What this agent could
//! not have heard does not count: a new agent begins anew, and so does one that was kept from its
//! work.

use super::steady_time::SteadyTime;
use crate::model::policy::SdkPings;

/// The clock of one run.
#[derive(Debug, Clone, Default)]
pub(super) struct PingClock {
    /// When the period that runs is over.
    due: Option<SteadyTime>,
    failures: u32,
}

impl PingClock {
    /// The game's process is there.
    pub(super) fn begin(&mut self, pings: &SdkPings, now: SteadyTime) {
        self.failures = 0;
        self.due = Some(now + pings.initial_delay + pings.period);
    }

    pub(super) fn ping(&mut self, pings: &SdkPings, now: SteadyTime) {
        self.failures = 0;
        if let Some(due) = &mut self.due {
            *due = (now + pings.period).max(*due);
        }
    }

    /// Nobody looked for a while: pings may lie unread.
    pub(super) fn gap(&mut self, pings: &SdkPings, now: SteadyTime) {
        self.ping(pings, now);
    }

    /// True at the moment when the threshold is reached.
    pub(super) fn runs_out(&mut self, pings: &SdkPings, now: SteadyTime) -> bool {
        let Some(due) = self.due.filter(|due| *due <= now) else { return false };
        if now.since(due) >= pings.period {
            self.gap(pings, now);
            return false;
        }
        self.due = Some(due + pings.period);
        self.failures = self.failures.saturating_add(1);
        self.failures == pings.failure_threshold
    }

    pub(super) fn deadline(&self) -> Option<SteadyTime> {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;
    use std::time::Duration;

    const PINGS: SdkPings =
        SdkPings { period: Duration::from_secs(5), failure_threshold: 3, initial_delay: Duration::from_secs(5) };

    fn at(seconds: u64) -> SteadyTime {
        SteadyTime(Timestamp::EPOCH) + Duration::from_secs(1000 + seconds)
    }

    #[test]
    fn it_counts_from_the_games_start_and_any_ping_resets() {
        let mut clock = PingClock::default();
        assert!(!clock.runs_out(&PINGS, at(99)), "no game yet");
        clock.begin(&PINGS, at(0));
        let over: Vec<_> = (0..60).filter(|second| clock.runs_out(&PINGS, at(*second))).collect();
        assert_eq!(over, [20], "initial delay and three periods, and it is said once");
        clock.ping(&PINGS, at(60));
        let over: Vec<_> = (60..90).filter(|second| clock.runs_out(&PINGS, at(*second))).collect();
        assert_eq!(over.len(), 1, "{over:?}");
        clock.begin(&PINGS, at(90));
        for second in 90..200 {
            if second % 14 == 0 {
                clock.ping(&PINGS, at(second));
            }
            assert!(!clock.runs_out(&PINGS, at(second)));
        }
    }

    #[test]
    fn what_nobody_could_hear_does_not_count() {
        let mut clock = PingClock::default();
        clock.begin(&PINGS, at(0));
        assert!(!clock.runs_out(&PINGS, at(600)));
        let over: Vec<_> = (600..630).filter(|second| clock.runs_out(&PINGS, at(*second))).collect();
        assert_eq!(over, [615]);
    }
}
