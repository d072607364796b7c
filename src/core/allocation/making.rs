//! A session of our own that was asked for, until it has its instance. Where it gets none, because
//! the allocation came to nothing or the match ended first, the session is removed: nobody may find
//! one that has no server.
//!
//! ```text
//! asked for ──created──► known ──instance posted──► forgotten
//!     │ not wanted         │ not wanted
//!     ▼                    ▼
//! asked for again ─────► known ──deleted──► forgotten
//! ```
//!
//! The same request makes no second session, so asking again tells which one it was. It is written
//! to the journal before it is asked for, and there is one at a time: the next one waits until this
//! one is used or removed.

use super::{AllocationMachine, FIRST_RETRY, recreate::is_recreating, request};
use crate::{
    core::{
        decisions::{Decisions, Hold, Purpose},
        facts::Facts,
        game_match::Match,
    },
    model::{
        CustomData,
        allocation::Allocation,
        calls::{Answer, Call, NewSession, Refusal},
        ids::SessionId,
        session::StartupParams,
    },
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A service that is away is asked again within this time.
const REMOVE_RETRY: Duration = Duration::from_secs(30);
/// A session that the service doesn't let us remove is left to it after this many answers: most of an hour.
const MOST_REFUSALS: u32 = 100;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::core) struct Making {
    pub request: String,
    pub session_type: String,
    /// None: not known yet, or not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
}

/// What this life knows of it besides.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Nothing was asked for yet: the call still waits for its commit, if there is one.
    unsent: bool,
    refused: u32,
    removals: crate::core::random::Backoff,
}

impl AllocationMachine {
    /// Asks for a session, unless one that isn't wanted has to be removed first.
    pub(super) fn make_session(
        &mut self,
        allocation: &Allocation,
        purpose: Purpose,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        let new = request::new_session(allocation, facts);
        match &self.state.making {
            Some(making) if making.request != new.request => return,
            Some(_) => {}
            None => {
                let making =
                    Making { request: new.request.clone(), session_type: new.session_type.clone(), session: None };
                self.state.edit().making = Some(making);
                self.attempts = Attempts { unsent: true, ..Attempts::default() };
            }
        }
        self.under_way = true;
        // Whoever comes after us has to know what it asked for.
        decisions.call_after_commit(Call::CreateSession(Box::new(new)), purpose, Hold::UntilWritten);
    }

    /// The session of this request was made, or was refused.
    pub(super) fn made(&mut self, answer: &Result<Answer, Refusal>) {
        self.attempts.unsent = false;
        if let Ok(Answer::Created(session)) = answer
            && let Some(making) = self.state.making.as_ref().filter(|making| making.session.is_none()).cloned()
        {
            self.state.edit().making = Some(Making { session: Some(session.clone()), ..making });
        }
    }

    /// It has its instance, or it is gone.
    fn forget_made(&mut self) {
        if self.state.making.is_some() {
            self.state.edit().making = None;
        }
    }

    /// The allocation came to nothing. What was not asked for yet is not asked for any more.
    pub(super) fn unwanted(&mut self, decisions: &mut Decisions) {
        if decisions.withdraw_create() {
            self.under_way = false;
            if self.attempts.unsent {
                self.forget_made();
            }
        }
    }

    fn is_wanted(&self, making: &Making, facts: &Facts) -> bool {
        if facts.game.game.as_ref().is_some_and(|game| making.session.as_ref() == Some(&game.session)) {
            return true;
        }
        let allocation = match (&self.state.acquiring, &facts.game.game) {
            (Some(acquiring), _) => &acquiring.allocation,
            (None, Some(game)) if is_recreating(facts) => &game.allocation,
            (None, _) => return false,
        };
        request::request(allocation, facts) == making.request
    }

    /// Removes a session that is not wanted.
    pub(super) fn remove_unused(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let Some(making) = self.state.making.clone() else { return };
        if has_its_instance(&making, facts) {
            return self.forget_made();
        }
        let waits = self.under_way || self.retry_at.is_some_and(|at| facts.now < at);
        if waits || self.is_wanted(&making, facts) {
            return;
        }
        self.under_way = true;
        let call = match making.session {
            Some(session) => Call::DeleteSession { session },
            None => Call::CreateSession(Box::new(NewSession {
                request: making.request.clone(),
                session_type: making.session_type,
                region: None,
                version: None,
                startup_params: StartupParams::default(),
                joinable: false,
                browser: CustomData::default(),
                custom_data: CustomData::default(),
                teams: Vec::new(),
            })),
        };
        decisions.call(call, Purpose::RemoveUnused(making.request));
    }

    /// What became of [`AllocationMachine::remove_unused`].
    pub(super) fn removed(
        &mut self,
        request: &str,
        answer: Result<Answer, Refusal>,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        if self.state.making.as_ref().is_none_or(|making| making.request != request) {
            return;
        }
        self.under_way = false;
        self.retry_at = None;
        let refusal = match answer {
            Ok(Answer::Created(_)) => return self.made(&answer),
            Ok(_) | Err(Refusal::SessionNotFound) => return self.forget_made(),
            Err(refusal) => refusal,
        };
        let away = matches!(refusal, Refusal::Unreachable { .. } | Refusal::Ambiguous { .. } | Refusal::Busy { .. });
        self.attempts.refused += u32::from(!away);
        if self.attempts.refused >= MOST_REFUSALS {
            let text = format!("a session that was made for nothing ({request}) can't be removed: {refusal}");
            decisions.timeline("session_left", text, &[("request", request)]);
            return self.forget_made();
        }
        let delay = self.attempts.removals.next(FIRST_RETRY, REMOVE_RETRY, &mut decisions.jitter);
        self.retry_at = Some(facts.now + delay);
    }
}

/// A game that reports by itself posts its instance by itself, too.
fn has_its_instance(making: &Making, facts: &Facts) -> bool {
    let current = facts.game.game.as_ref().filter(|game| making.session.as_ref() == Some(&game.session));
    let posted = |game: &Match| facts.outbox.of(&game.instance).is_some_and(|outbox| outbox.posted);
    current.is_some_and(|game| posted(game) || !facts.settings.writes())
}
