//! The allocation: from its acceptance to the match that it leads to.
//!
//! | allocation | asked | until |
//! |---|---|---|
//! | without a session (`auto`, hook) | `CreateSession`, then our own instance in it | for ever; a hook's: 10 s |
//! | SIC | `FindAllocation`, until the session shows the allocation's id | 30 s |
//! | a hook's, with a session | `ReadSession`; its instance if it carries our allocation id, else our own | 10 s |
//!
//! `instance_id` is drawn and committed before it is posted. A repeated allocation id gets the same
//! answer. The launch is rendered here, once, with everything that the match knows; what can't be
//! started is given back.
//!
//! | file | holds |
//! |---|---|
//! | this one | which allocations are taken, and how their session is found |
//! | [`prepare`] | from the session to a match that can begin |
//! | [`recreate`] | a new session for a match that has lost its own |
//! | [`making`] | a session that was asked for, until it has its instance or is removed |
//! | [`request`] | what the session service is asked for |

mod making;
mod prepare;
mod recreate;
mod request;

use super::{
    availability::obstacle,
    decisions::{Decisions, Purpose},
    facts::{Facts, Phase},
    io::Effect,
    random::Backoff,
    revision::{Revision, Tracked},
    signal::Signal,
    steady_time::{SteadyTime, earliest},
};
use crate::model::{
    allocation::{Allocation, ProviderKind},
    calls::{Answer, Call, Refusal},
    ids::{AllocationId, InstanceId, SessionId},
    orders::{Accepted, Refused, RequestId},
};
use making::Attempts;
pub(super) use making::Making;
use recreate::is_recreating;
use request::unfit;
pub(super) use request::written_by;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const FIND_WITHIN: Duration = Duration::from_secs(30);
const HOOK_WITHIN: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_millis(1500);

/// An allocation that was taken, and whose session is still looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Acquiring {
    pub allocation: Allocation,
    pub how: Acquire,
    /// When it is given up; none: never.
    pub until: Option<SteadyTime>,
    pub retry: Backoff,
}

/// How the session is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Acquire {
    /// A new one is made.
    Create,
    /// The service is asked until a session shows the allocation's id.
    Find,
    /// The allocation names it.
    Read,
}

/// An allocation that was accepted, and what was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answered {
    pub allocation: AllocationId,
    pub session: SessionId,
    pub instance: InstanceId,
}

impl Answered {
    fn accepted(&self) -> Accepted {
        Accepted::Allocated {
            allocation_id: self.allocation.clone(),
            session_id: self.session.clone(),
            instance_id: self.instance.clone(),
        }
    }
}

/// Everything that the journal remembers of allocations.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct AllocationState {
    pub acquiring: Option<Box<Acquiring>>,
    /// The last allocation and what was answered: a repeated request gets it again.
    pub answered: Option<Answered>,
    /// The session that was asked for last, until it has its instance.
    pub making: Option<Making>,
    /// Goes up with every allocation that was taken or refused, so that the provider notices the next offer.
    pub term: u64,
}

/// What other machines know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AllocationFacts {
    /// The allocation whose session isn't known yet.
    pub acquiring: Option<AllocationId>,
    /// Once no match is on: a session is to be removed.
    pub removes: bool,
    pub term: u64,
}

#[derive(Debug)]
pub(super) enum AllocationEvent {
    /// The provider's.
    Allocated(Allocation),
    /// An operator's: `hook`.
    Ordered {
        request: RequestId,
        allocation: Box<Allocation>,
    },
    /// The provider took it back.
    Deallocated(AllocationId),
    Answered(AllocationId, Result<Answer, Refusal>),
    /// What became of a session that nobody wants, named by the request that made it.
    Removed(String, Result<Answer, Refusal>),
    /// A new session for a match that has lost its own.
    Recreated(Result<Answer, Refusal>),
    /// The agent is to end.
    Abandoned,
    /// The match begins, ends, or goes on in another session.
    MatchChanged,
    /// The service is back: the next attempt needn't wait.
    RetryNow,
    /// The match has lost its session: a new one is made for it.
    SessionLost,
    Tick,
}

#[derive(Debug)]
pub(super) struct AllocationMachine {
    state: Tracked<AllocationState>,
    /// Why the service makes no session for us; until it makes one, or none is wanted any more.
    refusal: Tracked<Option<String>>,
    retry_at: Option<SteadyTime>,
    under_way: bool,
    attempts: Attempts,
    /// Operators who wait for an answer.
    waiting_operators: Vec<RequestId>,
    /// The reason for trying again that the timeline was told last.
    retry_reason: Option<String>,
}

impl AllocationMachine {
    pub(super) fn restore(state: AllocationState) -> Self {
        AllocationMachine {
            state: Tracked::new(state),
            refusal: Tracked::new(None),
            retry_at: None,
            under_way: false,
            attempts: Attempts::default(),
            waiting_operators: Vec::new(),
            retry_reason: None,
        }
    }

    pub(super) fn recall(&mut self, state: AllocationState) {
        *self.state.edit() = state;
    }

    pub(super) fn state(&self) -> &AllocationState {
        &self.state
    }

    pub(super) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    pub(super) fn revision(&self) -> Revision {
        Revision { durable: self.state.changes(), visible: self.refusal.changes() }
    }

    pub(super) fn facts(&self) -> AllocationFacts {
        let acquiring = self.state.acquiring.as_ref().map(|acquiring| acquiring.allocation.allocation_id.clone());
        let removes = self.state.making.is_some() && acquiring.is_none();
        AllocationFacts { acquiring, removes, term: self.state.term }
    }

    pub(super) fn on(&mut self, event: AllocationEvent, facts: &Facts, decisions: &mut Decisions) {
        match event {
            AllocationEvent::Allocated(allocation) => self.allocated(allocation, facts, decisions),
            AllocationEvent::Ordered { request, allocation } => self.ordered(request, *allocation, facts, decisions),
            AllocationEvent::Deallocated(id) => self.deallocated(&id, facts, decisions),
            AllocationEvent::Answered(allocation, answer) => self.answered(&allocation, answer, facts, decisions),
            AllocationEvent::Removed(request, answer) => self.removed(&request, answer, facts, decisions),
            AllocationEvent::Recreated(answer) => self.recreated(answer, facts, decisions),
            AllocationEvent::Abandoned => self.not_acquired(&Refused::Draining, decisions),
            AllocationEvent::MatchChanged => self.refusal.set(None),
            AllocationEvent::RetryNow => self.retry_at = None,
            AllocationEvent::SessionLost => {
                self.retry_at = None;
                self.under_way = false;
            }
            AllocationEvent::Tick => {
                self.tick(facts, decisions);
                self.recreate(facts, decisions);
                self.remove_unused(facts, decisions);
            }
        }
    }

    /// When [`AllocationEvent::Tick`] does something next.
    pub(super) fn next_deadline(&self, facts: &Facts) -> Option<SteadyTime> {
        let retry = self.retry_at.filter(|_| !self.under_way);
        match &self.state.acquiring {
            Some(acquiring) => earliest([acquiring.until, retry]),
            None => retry.filter(|_| is_recreating(facts) || self.state.making.is_some()),
        }
    }

    fn allocated(&mut self, allocation: Allocation, facts: &Facts, decisions: &mut Decisions) {
        let current = facts.game.game.as_ref().map(|game| &game.allocation.allocation_id);
        if current == Some(&allocation.allocation_id) {
            return;
        }
        if let Some(obstacle) = obstacle(facts) {
            let text = format!("an allocation was refused: {obstacle}");
            return decisions.timeline("refused", text, &[("allocation_id", allocation.allocation_id.as_str())]);
        }
        let (how, within) = match (facts.settings.provider, &allocation.session_id) {
            (ProviderKind::Sic, _) => (Acquire::Find, Some(FIND_WITHIN)),
            (ProviderKind::Hook, Some(_)) => (Acquire::Read, Some(HOOK_WITHIN)),
            (ProviderKind::Hook, None) => (Acquire::Create, Some(HOOK_WITHIN)),
            (ProviderKind::Auto, _) => (Acquire::Create, None),
        };
        let until = earliest([within.map(|within| facts.now + within), allocation.expires.map(SteadyTime)]);
        self.retry_at = None;
        self.under_way = false;
        self.retry_reason = None;
        let acquiring = Acquiring { allocation, how, until, retry: Backoff::default() };
        self.state.edit().acquiring = Some(Box::new(acquiring));
    }

    fn ordered(&mut self, request: RequestId, allocation: Allocation, facts: &Facts, decisions: &mut Decisions) {
        if self.repeated(request, &allocation, decisions) {
            return;
        }
        if let Some(refused) = obstacle(facts).or_else(|| unfit(&allocation, facts)) {
            return decisions.effect(Effect::Reply { request, reply: Err(refused) });
        }
        self.waiting_operators.push(request);
        self.allocated(allocation, facts, decisions);
    }

    /// The same allocation again: the same answer, now or as soon as there is one.
    fn repeated(&mut self, request: RequestId, allocation: &Allocation, decisions: &mut Decisions) -> bool {
        let same = |acquiring: &Acquiring| acquiring.allocation.allocation_id == allocation.allocation_id;
        if self.state.acquiring.as_deref().is_some_and(same) {
            self.waiting_operators.push(request);
            return true;
        }
        let known = self.state.answered.as_ref().filter(|known| known.allocation == allocation.allocation_id);
        let Some(known) = known else { return false };
        decisions.effect(Effect::Reply { request, reply: Ok(known.accepted()) });
        true
    }

    fn tick(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let Some(acquiring) = &self.state.acquiring else { return };
        if acquiring.until.is_some_and(|until| facts.now >= until) {
            let why = match acquiring.how {
                Acquire::Find => "no session shows the allocation's id".to_owned(),
                Acquire::Create | Acquire::Read => "the session service did not answer in time".to_owned(),
            };
            return self.not_acquired(&Refused::Backend { why }, decisions);
        }
        if self.under_way || self.retry_at.is_some_and(|at| facts.now < at) {
            return;
        }
        let allocation = &acquiring.allocation;
        let purpose = Purpose::Acquire(allocation.allocation_id.clone());
        let call = match (acquiring.how, &allocation.session_id) {
            (Acquire::Find, _) => Call::FindAllocation { allocation: allocation.allocation_id.clone() },
            (Acquire::Read, Some(session)) => Call::ReadSession { session: session.clone() },
            (Acquire::Create | Acquire::Read, _) => {
                let allocation = allocation.clone();
                return self.make_session(&allocation, purpose, facts, decisions);
            }
        };
        self.under_way = true;
        decisions.call(call, purpose);
    }

    fn answered(
        &mut self,
        about: &AllocationId,
        answer: Result<Answer, Refusal>,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        self.under_way = false;
        self.made(&answer);
        let current = self.state.acquiring.as_ref();
        let Some(acquiring) = current.filter(|current| current.allocation.allocation_id == *about) else { return };
        let (allocation, how) = (acquiring.allocation.clone(), acquiring.how);
        match answer {
            Ok(Answer::Created(session)) => self.post_own(allocation, session, None, facts, decisions),
            Ok(Answer::Session(session)) if how == Acquire::Find => self.found(allocation, *session, facts, decisions),
            Ok(Answer::Session(session)) => self.was_read(allocation, &session, facts, decisions),
            Ok(other) => self.later(&format!("an unexpected answer: {other:?}"), None, facts, decisions),
            Err(Refusal::SessionNotFound | Refusal::NotFound { .. }) if how == Acquire::Find => {
                self.later("no session shows the allocation's id yet", None, facts, decisions);
            }
            Err(Refusal::SessionNotFound) => {
                let session = allocation.session_id.map_or_else(String::new, String::from);
                self.not_acquired(&Refused::UnknownSession { session }, decisions);
            }
            Err(refusal @ (Refusal::Conflict { .. } | Refusal::Invalid { .. } | Refusal::NotFound { .. })) => {
                if facts.settings.provider == ProviderKind::Auto {
                    self.refusal.set(Some(format!("no session of our own: {refusal}")));
                    self.later(&refusal.to_string(), None, facts, decisions);
                } else {
                    self.not_acquired(&Refused::Backend { why: refusal.to_string() }, decisions);
                }
            }
            Err(Refusal::Busy { retry_after }) => self.later("the service is busy", retry_after, facts, decisions),
            Err(
                refusal @ (Refusal::Unreachable { .. }
                | Refusal::Ambiguous { .. }
                | Refusal::Credentials { .. }
                | Refusal::NoSuchApi
                | Refusal::Gone),
            ) => self.later(&refusal.to_string(), None, facts, decisions),
        }
    }

    /// It is tried again; the timeline says why, once for each reason.
    fn later(&mut self, why: &str, at_least: Option<Duration>, facts: &Facts, decisions: &mut Decisions) {
        let Some(acquiring) = &mut self.state.edit().acquiring else { return };
        let delay = acquiring.retry.next(FIRST_RETRY, LAST_RETRY, &mut decisions.jitter);
        self.retry_at = Some(facts.now + delay.max(at_least.unwrap_or_default()));
        if self.retry_reason.as_deref() != Some(why) {
            self.retry_reason = Some(why.to_owned());
            let id = acquiring.allocation.allocation_id.to_string();
            let text = format!("allocation {id} has no session yet, it is tried again: {why}");
            decisions.timeline("allocation_retry", text, &[("allocation_id", &id), ("reason", why)]);
        }
    }

    fn not_acquired(&mut self, refused: &Refused, decisions: &mut Decisions) {
        let Some(acquiring) = self.state.edit().acquiring.take() else { return };
        let allocation = acquiring.allocation.allocation_id.to_string();
        let text = format!("allocation {allocation} came to nothing: {refused}");
        decisions.timeline("refused", text, &[("allocation_id", &allocation)]);
        for request in std::mem::take(&mut self.waiting_operators) {
            decisions.effect(Effect::Reply { request, reply: Err(refused.clone()) });
        }
        self.unwanted(decisions);
        self.state.edit().term += 1;
        self.refusal.set(None);
    }

    fn deallocated(&mut self, id: &AllocationId, facts: &Facts, decisions: &mut Decisions) {
        if self.state.acquiring.as_ref().is_some_and(|acquiring| acquiring.allocation.allocation_id == *id) {
            return self.not_acquired(&Refused::Nothing { why: "the allocation was taken back".to_owned() }, decisions);
        }
        let current = facts.game.game.as_ref().is_some_and(|game| game.allocation.allocation_id == *id);
        if current && matches!(facts.phase(), Phase::Starting | Phase::Serving) {
            decisions.signal(Signal::AllocationTakenBack);
        }
    }
}
