//! The recent past of each signal that health may rest on.

use crate::model::{game::Evidence, policy::Health as Policy, process::ProcessStats, session::InstanceHealth};
use std::collections::BTreeMap;

/// What a judgement may rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Heartbeat,
    Probe,
    Memory,
    MemoryPressure,
    CpuPressure,
    TickRate,
}

/// What was seen once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sample {
    Good,
    Bad { why: String },
}

impl Sample {
    /// Good if it holds, else bad for this reason.
    fn of(holds: bool, why: impl FnOnce() -> String) -> Self {
        if holds { Sample::Good } else { Sample::Bad { why: why() } }
    }
}

/// A signal's recent past.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Trend {
    failures: u32,
    successes: u32,
    fallen: bool,
    why: String,
}

impl Trend {
    fn note(&mut self, sample: Sample, policy: &Policy) {
        match sample {
            Sample::Good => {
                self.successes = self.successes.saturating_add(1);
                if !self.fallen || self.successes >= policy.rise {
                    (self.failures, self.fallen) = (0, false);
                }
            }
            Sample::Bad { why } => {
                self.failures = self.failures.saturating_add(1);
                self.successes = 0;
                self.fallen = self.fallen || self.failures >= policy.fall.max(1);
                self.why = why;
            }
        }
    }

    /// Another success tells nothing new.
    fn is_well(&self) -> bool {
        self.failures == 0 && self.successes > 0 && !self.fallen
    }

    fn judgement(&self, policy: &Policy) -> InstanceHealth {
        if self.failures >= policy.fall.max(1) * 2 { InstanceHealth::Unhealthy } else { InstanceHealth::Degraded }
    }
}

/// All of one run. Whatever notes a sample says whether the judgement may be another one now.
#[derive(Debug, Default)]
pub(super) struct Trends(BTreeMap<Kind, Trend>);

impl Trends {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn note(&mut self, kind: Kind, sample: Sample, policy: &Policy) -> bool {
        if sample == Sample::Good {
            return self.good(kind, policy);
        }
        self.0.entry(kind).or_default().note(sample, policy);
        true
    }

    /// A good sample.
    pub(super) fn good(&mut self, kind: Kind, policy: &Policy) -> bool {
        let trend = self.0.entry(kind).or_default();
        let news = !trend.is_well();
        trend.note(Sample::Good, policy);
        news
    }

    /// What has fallen, with the reason.
    pub(super) fn fallen(&self, policy: &Policy) -> impl Iterator<Item = (InstanceHealth, String)> {
        let fallen = self.0.values().filter(|trend| trend.fallen);
        fallen.map(|trend| (trend.judgement(policy), trend.why.clone()))
    }

    /// What was missed inside a gap doesn't count.
    pub(super) fn gap(&mut self) -> bool {
        self.0.values_mut().filter(|trend| !trend.fallen).for_each(|trend| trend.failures = 0);
        true
    }

    /// Samples of this kind that were missed don't count; a fall that has been seen does.
    pub(super) fn forgive(&mut self, kind: Kind) {
        if let Some(trend) = self.0.get_mut(&kind).filter(|trend| !trend.fallen) {
            trend.failures = 0;
        }
    }

    pub(super) fn probed(&mut self, policy: &Policy, evidence: &Evidence) -> bool {
        let sample = match evidence {
            Evidence::Up => Sample::Good,
            Evidence::Down { why } => Sample::Bad { why: format!("the probe gets no answer: {why}") },
        };
        self.note(Kind::Probe, sample, policy)
    }

    pub(super) fn ticks(&mut self, policy: &Policy, measured: f64, target: Option<f64>) -> bool {
        let Some(target) = target.filter(|_| policy.tick_percent > 0) else { return false };
        let least = target * f64::from(policy.tick_percent) / 100.0;
        let why = || format!("it runs at {measured:.1} of {target:.1} ticks a second");
        self.note(Kind::TickRate, Sample::of(measured >= least, why), policy)
    }

    pub(super) fn measured(&mut self, policy: &Policy, stats: &ProcessStats) -> bool {
        let mut news = false;
        if let Some(limit) = stats.memory_limit.filter(|limit| *limit > 0 && policy.memory_percent > 0) {
            let percent = stats.memory.saturating_mul(100) / limit;
            let why = || format!("it uses {percent} % of its memory limit");
            let sample = Sample::of(percent < u64::from(policy.memory_percent), why);
            news |= self.note(Kind::Memory, sample, policy);
        }
        let pressures =
            [(Kind::MemoryPressure, stats.memory_pressure, "memory"), (Kind::CpuPressure, stats.cpu_pressure, "CPU")];
        for (kind, value, what) in pressures {
            if let Some(value) = value.filter(|_| policy.pressure_percent > 0) {
                let why = || format!("it loses {value:.0} % of its time to {what} pressure");
                let sample = Sample::of(value < f32::from(policy.pressure_percent), why);
                news |= self.note(kind, sample, policy);
            }
        }
        news
    }
}
