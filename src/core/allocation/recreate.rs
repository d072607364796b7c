//! A new session for a match that has lost its own.

use super::{AllocationMachine, Answered, LAST_RETRY, request::outbox_to_post};
use crate::{
    core::{
        decisions::{Decisions, Purpose},
        facts::{Facts, Phase},
        session::SessionLink,
        signal::Signal,
    },
    model::{
        calls::{Answer, Refusal},
        ids::InstanceId,
    },
};

impl AllocationMachine {
    /// Makes a new session for a match that has lost its own.
    pub(super) fn recreate(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let waits = self.under_way || self.retry_at.is_some_and(|at| facts.now < at);
        if waits || !is_recreating(facts) {
            return;
        }
        let Some(game) = &facts.game.game else { return };
        let allocation = game.allocation.clone();
        self.make_session(&allocation, Purpose::Recreate, facts, decisions);
    }

    pub(super) fn recreated(&mut self, answer: Result<Answer, Refusal>, facts: &Facts, decisions: &mut Decisions) {
        self.under_way = false;
        self.made(&answer);
        if !is_recreating(facts) {
            return;
        }
        let Some(game) = &facts.game.game else { return };
        let Ok(Answer::Created(session)) = answer else {
            self.retry_at = Some(facts.now + decisions.jitter.earlier(LAST_RETRY, 0.25));
            return;
        };
        let instance = InstanceId::from_uuid(decisions.ids.uuid());
        let outbox = Box::new(outbox_to_post(&session, &instance, game.params.clone(), facts));
        self.state.edit().answered = Some(Answered {
            allocation: game.allocation.allocation_id.clone(),
            session: session.clone(),
            instance: instance.clone(),
        });
        decisions.signal(Signal::NewSession { session, instance, outbox });
    }
}

pub(super) fn is_recreating(facts: &Facts) -> bool {
    facts.session.link == SessionLink::Recreating && matches!(facts.phase(), Phase::Starting | Phase::Serving)
}
