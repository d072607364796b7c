//! The health of the game: from evidence to a judgement, and the judgement to the session service.
//!
//! Each kind of evidence has a counter of its own: `fall` failures in a row make the game degraded,
//! twice as many unhealthy, `rise` successes in a row healthy again. The worst kind counts; the
//! game's own opinion is one of them, and so are the pings that its SDK promised
//! ([`super::ping_clock`]). Before the first evidence, which may be the proof of readiness, health
//! is unknown. A match without a process is unhealthy.
//!
//! A check goes out at the service's cadence, jittered only earlier, and at once when the judgement
//! changes.
//!
//! | file | holds |
//! |---|---|
//! | this one | the evidence as it comes in |
//! | [`counting`] | the silence that is evidence too |
//! | [`trend`] | the counter of each kind of evidence |
//! | [`judgement`] | how the game is, and what follows when that changes |
//! | [`report`] | the judgement on its way to the session service |

mod counting;
mod judgement;
mod report;
mod trend;

use super::{
    decisions::Decisions,
    facts::{Facts, Phase},
    ping_clock::PingClock,
    process::ProcessStatus,
    revision::{Revision, Tracked},
    steady_time::{SteadyTime, earliest},
};
use crate::model::{
    calls::{Answer, Refusal},
    game::Evidence,
    ids::InstanceId,
    process::ProcessStats,
    session::InstanceHealth,
    time::Timestamp,
};
use std::time::Duration;
use trend::{Kind, Sample, Trends};

/// What other machines know of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HealthFacts {
    /// The run is unhealthy.
    pub is_bad: bool,
}

#[derive(Debug)]
pub(super) enum HealthEvent {
    /// `count` of them came in; the newest at this moment.
    Heartbeats {
        newest: SteadyTime,
        count: u64,
    },
    /// A ping. The SDK's frontend counts the first call of a game as one: from there on silence counts.
    Pinged {
        newest: SteadyTime,
    },
    /// The answer to the question how many heartbeats there were: they have been noted.
    Counted,
    /// The game's own opinion; stands until replaced.
    Opinion {
        health: InstanceHealth,
        reason: Option<String>,
    },
    TickRate {
        measured: f64,
        target: Option<f64>,
    },
    Probed(Evidence),
    Measured(ProcessStats),
    /// The run was proved ready.
    Proved,
    /// The run is watched from now on: it was started, or adopted.
    RunAttended,
    RunChanged,
    NextMatch,
    Configured(Result<Answer, Refusal>),
    Posted {
        instance: InstanceId,
        told: InstanceHealth,
        answer: Result<Answer, Refusal>,
    },
    ServiceUp,
    /// Nothing that should have come meanwhile counts as missed.
    Gap,
    SettingsChanged,
    Tick,
}

/// How the run is, and why it isn't well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub health: InstanceHealth,
    pub reasons: Vec<String>,
}

/// Whether the run's SDK promises pings, and whether they still come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pings {
    /// The run has sent a ping, so it uses an SDK that sends them for as long as the game lives.
    pub promised: bool,
    /// So many pings are missing that the run counts as unhealthy.
    pub stopped: bool,
}

/// What a judgement rests on, beside the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Basis {
    process: ProcessStatus,
    phase: Phase,
    restarts: u32,
}

#[derive(Debug)]
pub(super) struct Health {
    trends: Trends,
    opinion: Option<(InstanceHealth, Option<String>)>,
    proved: bool,
    next_beat: Option<SteadyTime>,
    /// When the heartbeats were asked for, until the answer comes.
    asked: Option<SteadyTime>,
    /// Nobody has answered that.
    stalled: Tracked<bool>,
    pings: PingClock,
    pings_are: Tracked<Pings>,
    tick_rate: Tracked<Option<(f64, Option<f64>)>>,
    /// The evidence has changed since it was judged.
    doubtful: bool,
    basis: Option<Basis>,
    verdict: Tracked<Verdict>,
    /// The health of which the timeline was told last.
    told: Option<InstanceHealth>,
    cadence: Option<Duration>,
    cadence_asked: bool,
    next_post: Option<SteadyTime>,
    /// The health that the service took last.
    posted: Option<InstanceHealth>,
    under_way: bool,
    /// When the game was unhealthy last, and why; until the service has heard of it.
    untold: Option<(String, Timestamp)>,
}

impl Health {
    pub(super) fn restore(pings: Pings) -> Self {
        Health {
            trends: Trends::default(),
            opinion: None,
            proved: false,
            next_beat: None,
            asked: None,
            stalled: Tracked::new(false),
            pings: PingClock::default(),
            pings_are: Tracked::new(pings),
            tick_rate: Tracked::new(None),
            doubtful: true,
            basis: None,
            verdict: Tracked::new(Verdict { health: InstanceHealth::Unknown, reasons: Vec::new() }),
            told: None,
            cadence: None,
            cadence_asked: false,
            next_post: None,
            posted: None,
            under_way: false,
            untold: None,
        }
    }

    pub(super) fn recall(&mut self, pings: Pings) {
        *self.pings_are.edit() = pings;
        self.doubtful = true;
    }

    pub(super) fn pings(&self) -> Pings {
        *self.pings_are
    }

    pub(super) fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    pub(super) fn tick_rate(&self) -> Option<String> {
        let (measured, target) = (*self.tick_rate)?;
        Some(target.map_or_else(|| format!("{measured:.1}"), |target| format!("{measured:.1} of {target:.1}")))
    }

    pub(super) fn revision(&self) -> Revision {
        let visible = self.verdict.changes() + self.tick_rate.changes() + self.stalled.changes();
        Revision { durable: self.pings_are.changes(), visible }
    }

    pub(super) fn facts(&self) -> HealthFacts {
        HealthFacts { is_bad: self.verdict.health == InstanceHealth::Unhealthy }
    }

    pub(super) fn on(&mut self, event: HealthEvent, facts: &Facts, decisions: &mut Decisions) {
        let policy = &facts.settings.health;
        match event {
            HealthEvent::Heartbeats { newest, count } => self.beat(newest, count, facts),
            HealthEvent::Pinged { newest } => self.pinged(newest, facts),
            HealthEvent::Counted => self.counted(facts),
            HealthEvent::Opinion { health, reason } => {
                self.opinion = Some((health, reason));
                self.doubtful = true;
            }
            HealthEvent::TickRate { measured, target } => {
                let target = target.or(policy.tick_target);
                self.tick_rate.set(Some((measured, target)));
                self.doubtful |= self.trends.ticks(policy, measured, target);
            }
            HealthEvent::Probed(evidence) => self.doubtful |= self.trends.probed(policy, &evidence),
            HealthEvent::Measured(stats) => self.doubtful |= self.trends.measured(policy, &stats),
            HealthEvent::Proved => {
                self.doubtful |= !self.proved;
                self.proved = true;
            }
            HealthEvent::RunAttended => {
                self.run_changed();
                self.pings = PingClock::default();
                if let Some(pings) = &facts.settings.sdk_pings {
                    self.pings.begin(pings, facts.now);
                }
            }
            HealthEvent::RunChanged => {
                self.run_changed();
                self.pings_are.set(Pings::default());
            }
            HealthEvent::NextMatch => {
                self.posted = None;
                self.next_post = None;
                self.cadence_asked = false;
                self.untold = None;
            }
            HealthEvent::Configured(answer) => self.configured(&answer, facts),
            HealthEvent::Posted { instance, told, answer } => self.posted(instance, told, &answer, facts, decisions),
            HealthEvent::ServiceUp => {
                self.next_post = None;
                self.cadence_asked = self.cadence.is_some();
            }
            HealthEvent::Gap => {
                self.doubtful |= self.trends.gap();
                self.next_beat = self.next_beat.map(|_| facts.now);
                self.next_post = None;
                if let Some(pings) = &facts.settings.sdk_pings {
                    self.pings.gap(pings, facts.now);
                }
            }
            HealthEvent::SettingsChanged => self.doubtful = true,
            HealthEvent::Tick => self.tick(facts, decisions),
        }
    }

    /// When [`HealthEvent::Tick`] does something next.
    pub(super) fn next_deadline(&self, facts: &Facts) -> Option<SteadyTime> {
        let post = self.next_post.filter(|_| !self.under_way && facts.settings.writes() && facts.linked().is_some());
        earliest([self.counting_deadline(facts), post])
    }

    fn run_changed(&mut self) {
        self.trends = Trends::default();
        self.opinion = None;
        self.proved = false;
        self.next_beat = None;
        self.forget_question();
        self.tick_rate.set(None);
        self.doubtful = true;
    }

    /// The next check of the heartbeat is reckoned from the newest one.
    fn beat(&mut self, newest: SteadyTime, count: u64, facts: &Facts) {
        self.next_beat = self.next_beat.max(Some(newest));
        if facts.settings.health.heartbeat.is_none() || is_going(facts) {
            return;
        }
        // Once there are enough of them to make the game healthy again, more change nothing.
        for _ in 0..count.min(u64::from(facts.settings.health.rise.max(1))) {
            self.doubtful |= self.trends.good(Kind::Heartbeat, &facts.settings.health);
        }
    }

    fn pinged(&mut self, newest: SteadyTime, facts: &Facts) {
        let Some(pings) = &facts.settings.sdk_pings else { return };
        self.pings.ping(pings, newest);
        self.doubtful |= self.pings_are.stopped;
        self.pings_are.set(Pings { promised: true, stopped: false });
    }

    fn tick(&mut self, facts: &Facts, decisions: &mut Decisions) {
        self.ask(facts, decisions);
        self.judge(facts, decisions);
        self.ask_cadence(facts, decisions);
        self.post(facts, decisions);
    }
}

/// Whether the game is about to end: then it may be silent.
fn is_going(facts: &Facts) -> bool {
    facts.words.announced_end || matches!(facts.phase(), Phase::Draining | Phase::Closing)
}
