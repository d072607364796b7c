//! From evidence to a judgement, and the judgement to the service.
//!
//! Each signal has its own counter: `fall` failures in a row make it degraded, twice as many unhealthy, `rise` successes in
//! a row healthy again. The worst signal counts; the game's own opinion is one of them. Before the first evidence, which may
//! be the proof of readiness, health is unknown. A match without a process is unhealthy.
//!
//! A check goes out at the service's cadence, jittered only earlier, and at once when the judgement changes.

use super::{
    clock::{When, earliest},
    engine::{Core, Purpose},
    ping_clock::PingClock,
    state::{Phase, Process},
};
use crate::model::{
    calls::{Answer, Call, Refusal},
    game::Evidence,
    ids::InstanceId,
    policy::{Health, SdkPings, WhenUnhealthy},
    process::ProcessStats,
    session::InstanceHealth,
    units::Span,
};
use std::{collections::BTreeMap, time::Duration};

/// Until the service says otherwise.
const CADENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(1500);

/// What a judgement may rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Signal {
    Heartbeat,
    Probe,
    Memory,
    MemoryPressure,
    CpuPressure,
    TickRate,
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
    fn note(&mut self, sample: Result<(), String>, policy: &Health) {
        match sample {
            Ok(()) => {
                self.successes += 1;
                if !self.fallen || self.successes >= policy.rise {
                    (self.failures, self.fallen) = (0, false);
                }
            }
            Err(why) => {
                self.failures += 1;
                self.successes = 0;
                self.fallen = self.fallen || self.failures >= policy.fall.max(1);
                self.why = why;
            }
        }
    }

    fn judgement(&self, policy: &Health) -> InstanceHealth {
        if !self.fallen {
            InstanceHealth::Healthy
        } else if self.failures >= policy.fall.max(1) * 2 {
            InstanceHealth::Unhealthy
        } else {
            InstanceHealth::Degraded
        }
    }
}

/// Everything about health that needn't survive the agent.
#[derive(Debug, Default)]
pub(super) struct HealthDesk {
    trends: BTreeMap<Signal, Trend>,
    opinion: Option<(InstanceHealth, Option<String>)>,
    proved: bool,
    next_beat: Option<When>,
    /// Heartbeats that weren't noted yet.
    beats: u64,
    pings: PingClock,
    tick_rate: Option<(f64, Option<f64>)>,
    judged: Option<InstanceHealth>,
    closes_gate: bool,
    cadence: Option<Duration>,
    cadence_asked: bool,
    next_post: Option<When>,
    posted: Option<InstanceHealth>,
    under_way: bool,
    /// An unhealthy episode that the service hasn't heard of.
    untold: Option<(String, crate::model::time::Timestamp)>,
}

impl HealthDesk {
    /// Its process is there.
    pub fn process_is_up(&mut self, pings: Option<&SdkPings>, now: When) {
        self.pings = PingClock::default();
        if let Some(pings) = pings {
            self.pings.begin(pings, now);
        }
    }
    pub fn new_run(&mut self, _now: When) {
        self.trends.clear();
        self.opinion = None;
        self.proved = false;
        self.next_beat = None;
        self.beats = 0;
        self.tick_rate = None;
    }
    pub fn next_match(&mut self) {
        self.posted = None;
        self.next_post = None;
        self.cadence_asked = false;
        self.untold = None;
    }
    pub fn proved(&mut self) {
        self.proved = true;
    }
    pub fn process_gone(&mut self) {
        self.new_run(When(crate::model::time::Timestamp::EPOCH));
    }
    /// The next check of the heartbeat is reckoned from the newest one.
    pub fn beat(&mut self, newest: When, count: u64) {
        self.next_beat = self.next_beat.max(Some(newest));
        self.beats = self.beats.saturating_add(count);
    }
    pub fn opinion(&mut self, health: InstanceHealth, reason: Option<String>) {
        self.opinion = Some((health, reason));
    }
    pub fn closes_gate(&self) -> bool {
        self.closes_gate
    }
    pub fn is_bad(&self) -> bool {
        matches!(self.judged, Some(InstanceHealth::Unhealthy))
    }
    pub fn retry_now(&mut self) {
        self.next_post = None;
        self.cadence_asked = self.cadence.is_some();
    }
    pub fn tick_rate(&self) -> Option<String> {
        let (measured, target) = self.tick_rate?;
        Some(target.map_or_else(|| format!("{measured:.1}"), |target| format!("{measured:.1} of {target:.1}")))
    }

    /// Fall counters start anew, and so does every wait.
    pub fn gap(&mut self, now: When, pings: Option<&SdkPings>) {
        if let Some(pings) = pings {
            self.pings.gap(pings, now);
        }
        self.trends.values_mut().filter(|trend| !trend.fallen).for_each(|trend| trend.failures = 0);
        self.next_beat = self.next_beat.map(|_| now);
        self.next_post = None;
    }

    pub fn probed(&mut self, policy: &Health, evidence: &Evidence) {
        let sample = match evidence {
            Evidence::Up => Ok(()),
            Evidence::Down { why } => Err(format!("the probe gets no answer: {why}")),
        };
        self.note(Signal::Probe, sample, policy);
    }

    pub fn ticks(&mut self, policy: &Health, measured: f64, target: Option<f64>) {
        let target = target.or(policy.tick_target);
        self.tick_rate = Some((measured, target));
        if let Some(target) = target.filter(|_| policy.tick_percent > 0) {
            let least = target * f64::from(policy.tick_percent) / 100.0;
            let why = || format!("it runs at {measured:.1} of {target:.1} ticks a second");
            self.note(Signal::TickRate, if measured >= least { Ok(()) } else { Err(why()) }, policy);
        }
    }

    pub fn measured(&mut self, policy: &Health, stats: &ProcessStats) {
        if let Some(limit) = stats.memory_limit.filter(|limit| *limit > 0 && policy.memory_percent > 0) {
            let percent = stats.memory.saturating_mul(100) / limit;
            let why = format!("it uses {percent} % of its memory limit");
            let sample = if percent < u64::from(policy.memory_percent) { Ok(()) } else { Err(why) };
            self.note(Signal::Memory, sample, policy);
        }
        let pressures = [
            (Signal::MemoryPressure, stats.memory_pressure, "memory"),
            (Signal::CpuPressure, stats.cpu_pressure, "CPU"),
        ];
        for (signal, value, what) in pressures {
            if let Some(value) = value.filter(|_| policy.pressure_percent > 0) {
                let why = format!("it loses {value:.0} % of its time to {what} pressure");
                let sample = if value < f32::from(policy.pressure_percent) { Ok(()) } else { Err(why) };
                self.note(signal, sample, policy);
            }
        }
    }

    fn note(&mut self, signal: Signal, sample: Result<(), String>, policy: &Health) {
        self.trends.entry(signal).or_default().note(sample, policy);
    }

    /// The judgement on a live process, with the reasons.
    fn judge(&self, policy: &Health) -> (InstanceHealth, Vec<String>) {
        let fallen = self.trends.values().map(|trend| (trend.judgement(policy), trend.why.clone()));
        let opinion = self
            .opinion
            .iter()
            .map(|(health, reason)| (*health, reason.clone().unwrap_or_else(|| "the game itself says so".to_owned())));
        let bad: Vec<_> = fallen.chain(opinion).filter(|(health, _)| *health != InstanceHealth::Healthy).collect();
        let evidence = self.proved || !self.trends.is_empty() || self.opinion.is_some();
        let worst = bad.iter().map(|(health, _)| *health).max_by_key(|health| rank(*health));
        match worst {
            Some(worst) => (worst, bad.into_iter().map(|(_, why)| why).collect()),
            None if evidence => (InstanceHealth::Healthy, Vec::new()),
            None => (InstanceHealth::Unknown, vec!["nothing is known of it yet".to_owned()]),
        }
    }
}

fn rank(health: InstanceHealth) -> u8 {
    match health {
        InstanceHealth::Healthy => 0,
        InstanceHealth::Unknown => 1,
        InstanceHealth::Degraded => 2,
        InstanceHealth::Unhealthy => 3,
    }
}

/// The reasons of a run that has stopped to ping.
fn reasons_with(pings: &SdkPings, health: InstanceHealth, others: Vec<String>) -> Vec<String> {
    let (periods, seconds) = (pings.failure_threshold, pings.period.as_secs());
    let own = format!("no health ping in {periods} periods of {seconds} s");
    let others = others.into_iter().filter(|_| health != InstanceHealth::Unknown);
    std::iter::once(own).chain(others).collect()
}

fn name(health: InstanceHealth) -> &'static str {
    match health {
        InstanceHealth::Healthy => "healthy",
        InstanceHealth::Degraded => "degraded",
        InstanceHealth::Unhealthy => "unhealthy",
        InstanceHealth::Unknown => "unknown",
    }
}

impl Core {
    /// How the game is, and why it isn't well.
    pub(super) fn health(&self) -> (InstanceHealth, Vec<String>) {
        let in_match = matches!(self.state.phase, Phase::Starting(_) | Phase::Serving(_) | Phase::Draining(..));
        let restarts = self.state.phase.game().map_or(0, |game| game.restarts);
        match &self.state.process {
            Process::Up(run) => {
                let (health, reasons) = self.health.judge(&self.settings.health);
                match self.settings.sdk_pings.as_ref().filter(|_| run.pings_stopped) {
                    Some(pings) => (InstanceHealth::Unhealthy, reasons_with(pings, health, reasons)),
                    None => (health, reasons),
                }
            }
            Process::Failing(_, _, why) => (InstanceHealth::Unhealthy, vec![why.clone()]),
            Process::Delayed { .. } => {
                (InstanceHealth::Unhealthy, vec!["it ended; it is started again soon".to_owned()])
            }
            Process::Unkillable { left, .. } => {
                (InstanceHealth::Unhealthy, vec![format!("{left} of its processes can't be killed")])
            }
            Process::Intended(_) if restarts > 0 => {
                (InstanceHealth::Unhealthy, vec!["it is being started again".to_owned()])
            }
            Process::Off | Process::Intended(_) => {
                let why = if in_match { "it is being started" } else { "it is not running" };
                (InstanceHealth::Unknown, vec![why.to_owned()])
            }
        }
    }

    pub(super) fn health_tick(&mut self) {
        self.count_silence();
        self.count_pings();
        let (health, reasons) = self.health();
        if self.health.judged != Some(health) {
            self.judged_anew(health, &reasons);
        }
        self.ask_cadence();
        self.post_health(health);
    }

    fn count_silence(&mut self) {
        let beats = std::mem::take(&mut self.health.beats);
        let Some(span) = self.settings.health.heartbeat.map(Span::get) else { return };
        let Some(last) = self.health.next_beat else { return };
        // Who is on the way out needn't say that it lives.
        let going = self.state.process.run().is_some_and(|run| run.orderly)
            || matches!(self.state.phase, Phase::Draining(..) | Phase::Closing(..));
        if going {
            return;
        }
        if beats > 0 {
            // More than make it healthy again say nothing new.
            for _ in 0..beats.min(u64::from(self.settings.health.rise.max(1))) {
                let known = self.health.trends.get(&Signal::Heartbeat);
                if known.is_none_or(|trend| trend.failures > 0 || trend.successes == 0) {
                    self.health.note(Signal::Heartbeat, Ok(()), &self.settings.health);
                }
            }
        } else if self.now >= last + span {
            self.health.next_beat = Some(last + span);
            let why = format!("it has sent no heartbeat for over {} s", span.as_secs());
            self.health.note(Signal::Heartbeat, Err(why), &self.settings.health);
        }
    }

    /// A game that uses an SDK which promises pings, and sends none.
    fn count_pings(&mut self) {
        let Some(pings) = &self.settings.sdk_pings else { return };
        if matches!(self.state.phase, Phase::Closing(..)) {
            return;
        }
        let now = self.now;
        if let Process::Up(run) = &mut self.state.process
            && run.promises_pings
            && self.health.pings.runs_out(pings, now)
        {
            run.pings_stopped = true;
        }
    }

    /// A ping. The SDK's frontend counts the first call of a game as one: from there on silence counts.
    pub(super) fn pinged(&mut self, newest: When) {
        let Some(pings) = &self.settings.sdk_pings else { return };
        self.health.pings.ping(pings, newest);
        if let Some(run) = self.state.process.run_mut() {
            run.promises_pings = true;
            run.pings_stopped = false;
        }
    }

    fn pings_deadline(&self) -> Option<When> {
        let counted = self.settings.sdk_pings.is_some() && !matches!(self.state.phase, Phase::Closing(..));
        let Process::Up(run) = &self.state.process else { return None };
        self.health.pings.deadline().filter(|_| counted && run.promises_pings)
    }

    fn judged_anew(&mut self, health: InstanceHealth, reasons: &[String]) {
        let was = self.health.judged.replace(health);
        self.health.next_post = None;
        let why = reasons.join("; ");
        let worth_telling = was.is_some() || health != InstanceHealth::Unknown;
        if worth_telling && self.state.phase.game().is_some() {
            let text = if why.is_empty() { name(health).to_owned() } else { format!("{}: {why}", name(health)) };
            self.happened("health", text, &[("health", name(health)), ("reasons", &why)]);
        }
        if health == InstanceHealth::Unhealthy {
            self.health.untold = Some((why.clone(), self.wall));
        } else {
            self.tell_late();
        }
        let policy = self.settings.health.when_unhealthy;
        self.health.closes_gate = health == InstanceHealth::Unhealthy && policy == WhenUnhealthy::Unjoinable;
        let serving = matches!(self.state.phase, Phase::Serving(_)) && matches!(self.state.process, Process::Up(_));
        if health == InstanceHealth::Unhealthy && policy == WhenUnhealthy::Restart && serving {
            self.fail(&format!("it is unhealthy: {why}"));
        }
    }

    /// An episode that is over before the service could be told of it becomes an audit event.
    fn tell_late(&mut self) {
        let Some((why, at)) = self.health.untold.take() else { return };
        let Some(instance) = self.state.phase.game().map(|game| game.instance.clone()) else { return };
        if let Some(lane) = self.lane_mut(&instance) {
            lane.note("unhealthy", &why, at);
        }
    }

    fn ask_cadence(&mut self) {
        if !self.health.cadence_asked && self.writes() && self.linked().is_some() {
            self.health.cadence_asked = true;
            self.call(Call::HealthConfig, Purpose::HealthConfig);
        }
    }

    fn post_health(&mut self, health: InstanceHealth) {
        let due = self.health.next_post.is_none_or(|at| self.now >= at);
        if !due || self.health.under_way || !self.writes() {
            return;
        }
        let Some((session, instance)) = self.linked().map(|game| (game.session.clone(), game.instance.clone())) else {
            return;
        };
        let cadence = self.health.cadence.unwrap_or(CADENCE);
        self.health.next_post = Some(self.now + self.jitter.earlier(cadence, 0.1));
        self.health.under_way = true;
        let purpose = Purpose::Health(instance.clone(), health);
        self.call(Call::PostHealth { session, instance, health }, purpose);
    }

    pub(super) fn health_posted(
        &mut self,
        instance: &InstanceId,
        told: InstanceHealth,
        answer: &Result<Answer, Refusal>,
    ) {
        self.health.under_way = false;
        match answer {
            Ok(_) => {
                self.health.posted = Some(told);
                if told == InstanceHealth::Unhealthy {
                    self.health.untold = None;
                }
                self.link_held(instance);
            }
            Err(Refusal::SessionNotFound) => self.session_not_found(instance),
            Err(_) => {
                // A change is worth another try soon; the rest comes round again anyway.
                if self.health.posted != Some(told) {
                    let again = self.now + self.jitter.earlier(RETRY, 0.25);
                    self.health.next_post = earliest([self.health.next_post, Some(again)]);
                }
            }
        }
        if self.health.judged != Some(told) {
            self.health.next_post = self.health.next_post.filter(|_| self.health.posted == self.health.judged);
        }
    }

    pub(super) fn health_configured(&mut self, answer: &Result<Answer, Refusal>) {
        if let Ok(Answer::HealthConfig(settings)) = answer {
            let cadence = Duration::from_secs(u64::from(settings.cadence_seconds.max(1)));
            let longest = self.now + cadence;
            self.health.cadence = Some(cadence);
            self.health.next_post = self.health.next_post.map(|at| at.min(longest));
        }
    }

    pub(super) fn health_deadline(&self) -> Option<When> {
        let silence = self.settings.health.heartbeat.and_then(|span| Some(self.health.next_beat? + span.get()));
        let going = matches!(self.state.phase, Phase::Draining(..) | Phase::Closing(..));
        let silence = silence.filter(|_| !going && matches!(&self.state.process, Process::Up(run) if !run.orderly));
        let post = self.health.next_post.filter(|_| !self.health.under_way && self.writes() && self.linked().is_some());
        earliest([silence, self.pings_deadline(), post])
    }
}
