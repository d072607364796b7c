//! The judgement on its way to the session service: at its cadence, and at once when it changes.

use super::Health;
use crate::{
    core::{
        decisions::{Decisions, Purpose},
        facts::Facts,
        signal::Signal,
        steady_time::earliest,
    },
    model::{
        calls::{Answer, Call, Refusal},
        ids::InstanceId,
        session::InstanceHealth,
    },
};
use std::time::Duration;

/// Until the service says otherwise.
const CADENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(1500);

impl Health {
    pub(super) fn ask_cadence(&mut self, facts: &Facts, decisions: &mut Decisions) {
        if !self.cadence_asked && facts.settings.writes() && facts.linked().is_some() {
            self.cadence_asked = true;
            decisions.call(Call::HealthConfig, Purpose::HealthConfig);
        }
    }

    pub(super) fn post(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let due = self.next_post.is_none_or(|at| facts.now >= at);
        if !due || self.under_way || !facts.settings.writes() {
            return;
        }
        let Some(game) = facts.linked() else { return };
        let (session, instance) = (game.session.clone(), game.instance.clone());
        let health = self.verdict.health;
        let cadence = self.cadence.unwrap_or(CADENCE);
        self.next_post = Some(facts.now + decisions.jitter.earlier(cadence, 0.1));
        self.under_way = true;
        let purpose = Purpose::Health(instance.clone(), health);
        decisions.call(Call::PostHealth { session, instance, health }, purpose);
    }

    pub(super) fn posted(
        &mut self,
        instance: InstanceId,
        told: InstanceHealth,
        answer: &Result<Answer, Refusal>,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        self.under_way = false;
        match answer {
            Ok(_) => {
                self.posted = Some(told);
                if told == InstanceHealth::Unhealthy {
                    self.untold = None;
                }
                decisions.signal(Signal::ReportAnswered { instance });
            }
            Err(Refusal::SessionNotFound) => decisions.signal(Signal::SessionNotFound { instance }),
            Err(_) => {
                // A change is worth another try soon; the rest comes round again anyway.
                if self.posted != Some(told) {
                    let again = facts.now + decisions.jitter.earlier(RETRY, 0.25);
                    self.next_post = earliest([self.next_post, Some(again)]);
                }
            }
        }
        if self.told != Some(told) {
            self.next_post = self.next_post.filter(|_| self.posted == self.told);
        }
    }

    pub(super) fn configured(&mut self, answer: &Result<Answer, Refusal>, facts: &Facts) {
        if let Ok(Answer::HealthConfig(settings)) = answer {
            let cadence = Duration::from_secs(u64::from(settings.cadence_seconds.max(1)));
            let longest = facts.now + cadence;
            self.cadence = Some(cadence);
            self.next_post = self.next_post.map(|at| at.min(longest));
        }
    }
}
