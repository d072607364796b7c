//! From the evidence to a judgement: how the run is, and why it isn't well.

use super::{Basis, Health, Verdict};
use crate::{
    core::{
        decisions::Decisions,
        facts::{Facts, Phase},
        process::ProcessStatus,
        signal::{Report, Signal},
    },
    model::{
        policy::{SdkPings, WhenUnhealthy},
        session::InstanceHealth,
    },
};

impl Health {
    /// Judges again where something has changed since the last time.
    pub(super) fn judge(&mut self, facts: &Facts, decisions: &mut Decisions) {
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
            self.judged_anew(facts, decisions);
        }
    }

    fn judgement(&self, facts: &Facts, restarts: u32) -> Verdict {
        let unhealthy = |why: String| Verdict { health: InstanceHealth::Unhealthy, reasons: vec![why] };
        match &facts.process.state {
            ProcessStatus::Up => self.of_a_live_process(facts),
            ProcessStatus::Failing { why } => unhealthy(why.clone()),
            ProcessStatus::Delayed => unhealthy("it ended; it is started again soon".to_owned()),
            ProcessStatus::Unkillable { left } => unhealthy(format!("{left} of its processes can't be killed")),
            ProcessStatus::Intended if restarts > 0 => unhealthy("it is being started again".to_owned()),
            ProcessStatus::Off | ProcessStatus::Intended => {
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

    fn judged_anew(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let health = self.verdict.health;
        let was = self.told.replace(health);
        self.next_post = None;
        let why = self.verdict.reasons.join("; ");
        let worth_telling = was.is_some() || health != InstanceHealth::Unknown;
        if worth_telling && facts.game.game.is_some() {
            let text = if why.is_empty() { name(health).to_owned() } else { format!("{}: {why}", name(health)) };
            decisions.timeline("health", text, &[("health", name(health)), ("reasons", &why)]);
        }
        if health == InstanceHealth::Unhealthy {
            self.untold = Some((why.clone(), facts.wall));
        } else {
            self.tell_late(facts, decisions);
        }
        let serving = facts.phase() == Phase::Serving && facts.process.state == ProcessStatus::Up;
        let restart = facts.settings.health.when_unhealthy == WhenUnhealthy::Restart;
        if health == InstanceHealth::Unhealthy && restart && serving {
            decisions.signal(Signal::RunUseless { why: format!("it is unhealthy: {why}") });
        }
    }

    /// An episode that is over before the service could be told of it becomes an audit event.
    fn tell_late(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let Some((reason, at)) = self.untold.take() else { return };
        if let Some(game) = &facts.game.game {
            decisions.signal(Signal::Report(Report::note(game.instance.clone(), "unhealthy", reason, at)));
        }
    }
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
