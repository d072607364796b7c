//! The health of an instance: what its host reports, and what the service makes of reports that
//! don't come.
//!
//! ```text
//!   beat      1.25 c    then every c
//!    |----------|----------|----------|
//!             miss 1     miss 2     miss 3 = N  → unknown
//! ```
//!
//! A check is missed 1.25 × cadence after the one before; N misses in a row mean `unknown`, which
//! outranks everything; over a window of 2·N expected checks a share of misses above the percentage
//! means `unhealthy`.

use crate::model::{
    session::{HealthSettings, InstanceHealth},
    time::Instant,
};
use std::{collections::VecDeque, time::Duration};

/// What is known of one instance's checks. Lives in memory: after a start of the service it begins anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthChecks {
    /// The last check, or the last missed one.
    anchor: Instant,
    missed_in_row: u32,
    /// The last expected checks: whether each came.
    window: VecDeque<bool>,
    reported: InstanceHealth,
}

impl HealthChecks {
    pub fn start(now: Instant, reported: InstanceHealth) -> HealthChecks {
        HealthChecks { anchor: now, missed_in_row: 0, window: VecDeque::new(), reported }
    }

    /// A check came in.
    pub fn beat(&mut self, now: Instant, reported: InstanceHealth, settings: &HealthSettings) -> InstanceHealth {
        self.anchor = now;
        self.missed_in_row = 0;
        self.reported = reported;
        self.note(true, settings);
        self.verdict(settings)
    }

    /// When the next check counts as missed.
    pub fn deadline(&self, settings: &HealthSettings) -> Instant {
        let cadence = cadence(settings);
        let wait = if self.missed_in_row == 0 { cadence.mul_f64(1.25) } else { cadence };
        self.anchor + wait
    }

    /// Counts what was missed up to now.
    pub fn lapse(&mut self, now: Instant, settings: &HealthSettings) -> InstanceHealth {
        // After so many the verdict can't change any more, however long nobody looked.
        let enough = 2 * settings.missed_checks_before_unknown;
        for _ in 0..=enough {
            let due = self.deadline(settings);
            if due > now {
                break;
            }
            self.anchor = due;
            self.missed_in_row += 1;
            self.note(false, settings);
        }
        if self.deadline(settings) <= now {
            self.anchor = now;
        }
        self.verdict(settings)
    }

    fn note(&mut self, came: bool, settings: &HealthSettings) {
        self.window.push_back(came);
        while self.window.len() > 2 * settings.missed_checks_before_unknown as usize {
            self.window.pop_front();
        }
    }

    fn verdict(&self, settings: &HealthSettings) -> InstanceHealth {
        if self.missed_in_row >= settings.missed_checks_before_unknown {
            return InstanceHealth::Unknown;
        }
        let missed = self.window.iter().filter(|came| !**came).count() as f64;
        let share = 100.0 * missed / f64::from(2 * settings.missed_checks_before_unknown);
        if share > settings.unhealthy_health_check_percentage { InstanceHealth::Unhealthy } else { self.reported }
    }
}

fn cadence(settings: &HealthSettings) -> Duration {
    Duration::from_secs(u64::from(settings.cadence_seconds.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use InstanceHealth::{Degraded, Healthy, Unhealthy, Unknown};

    const SETTINGS: HealthSettings = HealthSettings {
        cadence_seconds: 10,
        unhealthy_health_check_percentage: 40.0,
        missed_checks_before_unknown: 3,
    };

    fn at(millis: u64) -> Instant {
        Instant(Duration::from_millis(millis))
    }

    #[test]
    fn a_check_is_missed_after_a_quarter_more_than_the_cadence_and_n_in_a_row_are_unknown() {
        let mut health_checks = HealthChecks::start(at(0), Healthy);
        health_checks.beat(at(0), Healthy, &SETTINGS);
        let rows = [(12_400, Healthy), (12_500, Healthy), (22_500, Healthy), (32_400, Healthy), (32_500, Unknown)];
        for (millis, expected) in rows {
            assert_eq!(health_checks.lapse(at(millis), &SETTINGS), expected, "at {millis} ms");
        }
        assert_eq!(health_checks.beat(at(40_000), Healthy, &SETTINGS), Unhealthy, "three of six checks missed");
    }

    #[test]
    fn a_missed_share_above_the_percentage_over_twice_n_checks_is_unhealthy() {
        // Every second check missed: 3 of 6 = 50 % > 40 %.
        let mut health_checks = HealthChecks::start(at(0), Healthy);
        let mut seen = Vec::new();
        for beat in 0..6u64 {
            health_checks.lapse(at(beat * 20_000), &SETTINGS);
            seen.push(health_checks.beat(at(beat * 20_000), Healthy, &SETTINGS));
        }
        assert_eq!(seen, [Healthy, Healthy, Healthy, Unhealthy, Unhealthy, Unhealthy]);
    }

    #[test]
    fn checks_in_time_say_what_was_reported_for_ever() {
        let mut health_checks = HealthChecks::start(at(0), Healthy);
        for beat in 0..500u64 {
            let reported = if beat % 7 == 0 { Degraded } else { Healthy };
            assert_eq!(health_checks.lapse(at(beat * 11_000), &SETTINGS), health_checks.reported);
            assert_eq!(health_checks.beat(at(beat * 11_000), reported, &SETTINGS), reported);
        }
    }

    #[test]
    fn an_hour_of_silence_is_one_step() {
        let mut health_checks = HealthChecks::start(at(0), Healthy);
        assert_eq!(health_checks.lapse(at(3_600_000), &SETTINGS), Unknown);
        assert!(health_checks.deadline(&SETTINGS) > at(3_600_000));
    }
}
