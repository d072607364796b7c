//! From evidence to a judgement, and the judgement to the service.
//!
//! Each signal has its own counter: `fall` failures in a row make it degraded, twice as many
//! unhealthy, `rise` successes in a row healthy again. The worst signal counts; the game's own
//! opinion is one of them, and so are the pings that its SDK promised ([`super::ping_clock`]).
//! Before the first evidence, which may be the proof of readiness, health is unknown. A match
//! without a process is unhealthy.
//!
//! A check goes out at the service's cadence, jittered only earlier, and at once when the judgement
//! changes.

mod report;
mod trend;

use super::{
    facts::{Facts, Phase},
    ping_clock::PingClock,
    process::ProcessIs,
    revision::{Revision, Tracked},
    signal::Signal,
    steady_time::{SteadyTime, earliest},
    turn::Turn,
};
use crate::model::{
    calls::{Answer, Refusal},
    game::Evidence,
    ids::InstanceId,
    policy::{SdkPings, WhenUnhealthy},
    process::ProcessStats,
    session::InstanceHealth,
    time::Timestamp,
    units::Span,
};
use std::time::Duration;
use trend::{Kind, Sample, Trends};

/// What others know of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HealthFacts {
    /// The run is unhealthy.
    pub is_bad: bool,
}

#[derive(Debug)]
pub(super) enum HealthEvent {
    /// So many signs of life.
    Heartbeats {
        newest: SteadyTime,
        count: u64,
    },
    /// A ping. The SDK's frontend counts the first call of a game as one: from there on silence counts.
    Pinged {
        newest: SteadyTime,
    },
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

/// The pings that an SDK promises, as far as the run lives by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pings {
    /// It has sent one: its games send them for as long as they live.
    pub promised: bool,
    /// It sends none any more.
    pub stopped: bool,
}

/// What a judgement rests on, beside the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Basis {
    process: ProcessIs,
    phase: Phase,
    restarts: u32,
}

#[derive(Debug)]
pub(super) struct Health {
    trends: Trends,
    opinion: Option<(InstanceHealth, Option<String>)>,
    proved: bool,
    next_beat: Option<SteadyTime>,
    pings: PingClock,
    pings_are: Tracked<Pings>,
    tick_rate: Tracked<Option<(f64, Option<f64>)>>,
    /// The evidence has changed since it was judged.
    doubtful: bool,
    basis: Option<Basis>,
    verdict: Tracked<Verdict>,
    told: Option<InstanceHealth>,
    cadence: Option<Duration>,
    cadence_asked: bool,
    next_post: Option<SteadyTime>,
    posted: Option<InstanceHealth>,
    under_way: bool,
    /// An unhealthy episode that the service hasn't heard of.
    untold: Option<(String, Timestamp)>,
}

impl Health {
    pub(super) fn restore(pings: Pings) -> Self {
        Health {
            trends: Trends::default(),
            opinion: None,
            proved: false,
            next_beat: None,
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
        Revision { durable: self.pings_are.changes(), visible: self.verdict.changes() + self.tick_rate.changes() }
    }

    pub(super) fn facts(&self) -> HealthFacts {
        HealthFacts { is_bad: self.verdict.health == InstanceHealth::Unhealthy }
    }

    pub(super) fn on(&mut self, event: HealthEvent, facts: &Facts, turn: &mut Turn) {
        let policy = &facts.settings.health;
        match event {
            HealthEvent::Heartbeats { newest, count } => self.beat(newest, count, facts),
            HealthEvent::Pinged { newest } => self.pinged(newest, facts),
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
            HealthEvent::Posted { instance, told, answer } => self.posted(instance, told, &answer, facts, turn),
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
            HealthEvent::Tick => self.tick(facts, turn),
        }
    }

    /// When [`HealthEvent::Tick`] does something next.
    pub(super) fn next_deadline(&self, facts: &Facts) -> Option<SteadyTime> {
        let up = facts.process.state == ProcessIs::Up;
        let going = matches!(facts.phase(), Phase::Draining | Phase::Closing) || facts.words.announced_end;
        let silence = facts.settings.health.heartbeat.and_then(|span| Some(self.next_beat? + span.get()));
        let pings = self.pings.deadline().filter(|_| self.counts_pings(facts));
        let post = self.next_post.filter(|_| !self.under_way && facts.settings.writes() && facts.linked().is_some());
        earliest([silence.filter(|_| up && !going), pings, post])
    }

    fn run_changed(&mut self) {
        self.trends = Trends::default();
        self.opinion = None;
        self.proved = false;
        self.next_beat = None;
        self.tick_rate.set(None);
        self.doubtful = true;
    }

    /// The next check of the heartbeat is reckoned from the newest one.
    fn beat(&mut self, newest: SteadyTime, count: u64, facts: &Facts) {
        self.next_beat = self.next_beat.max(Some(newest));
        if facts.settings.health.heartbeat.is_none() || is_going(facts) {
            return;
        }
        // More than make it healthy again say nothing new.
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

    fn tick(&mut self, facts: &Facts, turn: &mut Turn) {
        self.count_silence(facts);
        self.count_pings(facts);
        self.judge(facts, turn);
        self.ask_cadence(facts, turn);
        self.post(facts, turn);
    }

    fn count_silence(&mut self, facts: &Facts) {
        let Some(span) = facts.settings.health.heartbeat.map(Span::get) else { return };
        let Some(last) = self.next_beat.filter(|last| facts.now >= *last + span) else { return };
        if is_going(facts) {
            return;
        }
        self.next_beat = Some(last + span);
        let why = format!("it has sent no heartbeat for over {} s", span.as_secs());
        self.doubtful |= self.trends.note(Kind::Heartbeat, Sample::Bad { why }, &facts.settings.health);
    }

    /// A game that uses an SDK which promises pings, and sends none.
    fn count_pings(&mut self, facts: &Facts) {
        let Some(pings) = facts.settings.sdk_pings.as_ref().filter(|_| self.counts_pings(facts)) else { return };
        if self.pings.runs_out(pings, facts.now) {
            self.doubtful |= !self.pings_are.stopped;
            self.pings_are.set(Pings { promised: true, stopped: true });
        }
    }

    /// It uses the SDK that promises pings, and isn't being stopped.
    fn counts_pings(&self, facts: &Facts) -> bool {
        let up = facts.process.state == ProcessIs::Up && facts.phase() != Phase::Closing;
        up && self.pings_are.promised && facts.settings.sdk_pings.is_some()
    }

    /// Judges anew, where something has changed.
    fn judge(&mut self, facts: &Facts, turn: &mut Turn) {
        let restarts = facts.game.game.as_ref().map_or(0, |game| game.restarts);
        let same = |basis: &Basis| {
            basis.process == facts.process.state && basis.phase == facts.phase() && basis.restarts == restarts
        };
        if !self.doubtful && self.basis.as_ref().is_some_and(same) {
            return;
        }
        self.doubtful = false;
        self.basis = Some(Basis { process: facts.process.state.clone(), phase: facts.phase(), restarts });
        let verdict = self.judgement(facts, restarts);
        let news = self.told != Some(verdict.health);
        self.verdict.set(verdict);
        if news {
            self.judged_anew(facts, turn);
        }
    }

    fn judgement(&self, facts: &Facts, restarts: u32) -> Verdict {
        let unhealthy = |why: String| Verdict { health: InstanceHealth::Unhealthy, reasons: vec![why] };
        match &facts.process.state {
            ProcessIs::Up => self.of_a_live_process(facts),
            ProcessIs::Failing { why } => unhealthy(why.clone()),
            ProcessIs::Delayed => unhealthy("it ended; it is started again soon".to_owned()),
            ProcessIs::Unkillable { left } => unhealthy(format!("{left} of its processes can't be killed")),
            ProcessIs::Intended if restarts > 0 => unhealthy("it is being started again".to_owned()),
            ProcessIs::Off | ProcessIs::Intended => {
                let in_match = matches!(facts.phase(), Phase::Starting | Phase::Serving | Phase::Draining);
                let why = if in_match { "it is being started" } else { "it is not running" };
                Verdict { health: InstanceHealth::Unknown, reasons: vec![why.to_owned()] }
            }
        }
    }

    fn of_a_live_process(&self, facts: &Facts) -> Verdict {
        let pings = facts.settings.sdk_pings.as_ref().filter(|_| self.pings_are.stopped);
        let pings = pings.map(|pings| (InstanceHealth::Unhealthy, silence(pings)));
        let opinion = self.opinion.as_ref().filter(|(health, _)| *health != InstanceHealth::Healthy);
        let opinion = opinion
            .map(|(health, reason)| (*health, reason.clone().unwrap_or_else(|| "the game itself says so".to_owned())));
        let bad: Vec<_> = pings.into_iter().chain(self.trends.fallen(&facts.settings.health)).chain(opinion).collect();
        let evidence = self.proved || !self.trends.is_empty() || self.opinion.is_some();
        let worst = bad.iter().map(|(health, _)| *health).max_by_key(|health| rank(*health));
        match worst {
            Some(health) => Verdict { health, reasons: bad.into_iter().map(|(_, why)| why).collect() },
            None if evidence => Verdict { health: InstanceHealth::Healthy, reasons: Vec::new() },
            None => Verdict { health: InstanceHealth::Unknown, reasons: vec!["nothing is known of it yet".to_owned()] },
        }
    }

    fn judged_anew(&mut self, facts: &Facts, turn: &mut Turn) {
        let health = self.verdict.health;
        let was = self.told.replace(health);
        self.next_post = None;
        let why = self.verdict.reasons.join("; ");
        let worth_telling = was.is_some() || health != InstanceHealth::Unknown;
        if worth_telling && facts.game.game.is_some() {
            let text = if why.is_empty() { name(health).to_owned() } else { format!("{}: {why}", name(health)) };
            turn.timeline("health", text, &[("health", name(health)), ("reasons", &why)]);
        }
        if health == InstanceHealth::Unhealthy {
            self.untold = Some((why.clone(), facts.wall));
        } else {
            self.tell_late(facts, turn);
        }
        let serving = facts.phase() == Phase::Serving && facts.process.state == ProcessIs::Up;
        let restart = facts.settings.health.when_unhealthy == WhenUnhealthy::Restart;
        if health == InstanceHealth::Unhealthy && restart && serving {
            turn.signal(Signal::RunUseless { why: format!("it is unhealthy: {why}") });
        }
    }

    /// An episode that is over before the service could be told of it becomes an audit event.
    fn tell_late(&mut self, facts: &Facts, turn: &mut Turn) {
        let Some((reason, at)) = self.untold.take() else { return };
        if let Some(game) = &facts.game.game {
            turn.signal(Signal::Note { instance: game.instance.clone(), name: "unhealthy", reason, at });
        }
    }
}

/// A game on its way out needn't say that it lives.
fn is_going(facts: &Facts) -> bool {
    facts.words.announced_end || matches!(facts.phase(), Phase::Draining | Phase::Closing)
}

fn silence(pings: &SdkPings) -> String {
    format!("no health ping in {} periods of {} s", pings.failure_threshold, pings.period.as_secs())
}

fn rank(health: InstanceHealth) -> u8 {
    match health {
        InstanceHealth::Healthy => 0,
        InstanceHealth::Unknown => 1,
        InstanceHealth::Degraded => 2,
        InstanceHealth::Unhealthy => 3,
    }
}

fn name(health: InstanceHealth) -> &'static str {
    match health {
        InstanceHealth::Healthy => "healthy",
        InstanceHealth::Degraded => "degraded",
        InstanceHealth::Unhealthy => "unhealthy",
        InstanceHealth::Unknown => "unknown",
    }
}
