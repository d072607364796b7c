//! From an allocation to a session.
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

mod request;

use super::{
    availability::obstacle,
    facts::{Facts, Phase},
    game_match::{self, Match, Prepared},
    instance_outbox::InstanceOutbox,
    io::Effect,
    launch,
    random::Backoff,
    revision::{Revision, Tracked},
    session::SessionLink,
    signal::Signal,
    steady_time::{SteadyTime, earliest},
    turn::{Purpose, Turn},
};
use crate::model::{
    allocation::{Allocation, ProviderKind},
    calls::{Answer, Call, Refusal},
    ids::{AllocationId, InstanceId, SessionId},
    orders::{Accepted, Refused, RequestId},
    session::{InstanceInfo, JoinStatus, Session},
};
use request::{new_session, outbox_to_post, params_for, unfit};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const FIND_WITHIN: Duration = Duration::from_secs(30);
const HOOK_WITHIN: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_millis(1500);

/// On the way to a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Acquiring {
    pub allocation: Allocation,
    pub how: Acquire,
    /// When it is given up; none: never.
    pub until: Option<SteadyTime>,
    pub retry: Backoff,
}

/// How the session is come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Acquire {
    /// Make an own one.
    Create,
    /// Wait until one shows the allocation's id.
    Find,
    /// It was named.
    Read,
}

/// An allocation that was accepted, and with what.
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

/// Everything that is remembered of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct AllocationState {
    pub acquiring: Option<Box<Acquiring>>,
    /// The last allocation and what was answered: a repeated request gets it again.
    pub answered: Option<Answered>,
    /// Counts allocations, for the provider's offers.
    pub term: u64,
}

/// What others know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AllocationFacts {
    /// The allocation whose session isn't known yet.
    pub acquiring: Option<AllocationId>,
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
    Answered(Result<Answer, Refusal>),
    /// A new session for a match that has lost its own.
    Recreated(Result<Answer, Refusal>),
    /// The agent is to end.
    Abandoned,
    /// The match begins, ends, or goes on in another session.
    MatchChanged,
    /// The session is gone, or the service is back: no more waiting.
    RetryNow,
    SessionLost,
    Tick,
}

#[derive(Debug)]
pub(super) struct AllocationMachine {
    state: Tracked<AllocationState>,
    /// The service won't have a session of our own; until there is one, or none is wanted any more.
    refusal: Tracked<Option<String>>,
    retry_at: Option<SteadyTime>,
    under_way: bool,
    /// Operators who wait for an answer.
    askers: Vec<RequestId>,
    /// Why it is tried again, as the timeline has it.
    waits_for: Option<String>,
}

impl AllocationMachine {
    pub(super) fn restore(state: AllocationState) -> Self {
        AllocationMachine {
            state: Tracked::new(state),
            refusal: Tracked::new(None),
            retry_at: None,
            under_way: false,
            askers: Vec::new(),
            waits_for: None,
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
        AllocationFacts { acquiring, term: self.state.term }
    }

    pub(super) fn on(&mut self, event: AllocationEvent, facts: &Facts, turn: &mut Turn) {
        match event {
            AllocationEvent::Allocated(allocation) => self.allocated(allocation, facts, turn),
            AllocationEvent::Ordered { request, allocation } => self.ordered(request, *allocation, facts, turn),
            AllocationEvent::Deallocated(id) => self.deallocated(&id, facts, turn),
            AllocationEvent::Answered(answer) => self.answered(answer, facts, turn),
            AllocationEvent::Recreated(answer) => self.recreated(answer, facts, turn),
            AllocationEvent::Abandoned => self.not_acquired(&Refused::Draining, turn),
            AllocationEvent::MatchChanged => self.refusal.set(None),
            AllocationEvent::RetryNow => self.retry_at = None,
            AllocationEvent::SessionLost => {
                self.retry_at = None;
                self.under_way = false;
            }
            AllocationEvent::Tick => {
                self.tick(facts, turn);
                self.recreate(facts, turn);
            }
        }
    }

    /// When [`AllocationEvent::Tick`] does something next.
    pub(super) fn next_deadline(&self, facts: &Facts) -> Option<SteadyTime> {
        let retry = self.retry_at.filter(|_| !self.under_way);
        match &self.state.acquiring {
            Some(acquiring) => earliest([acquiring.until, retry]),
            None => retry.filter(|_| is_recreating(facts)),
        }
    }

    fn allocated(&mut self, allocation: Allocation, facts: &Facts, turn: &mut Turn) {
        let current = facts.game.game.as_ref().map(|game| &game.allocation.allocation_id);
        if current == Some(&allocation.allocation_id) {
            return;
        }
        if let Some(obstacle) = obstacle(facts) {
            let text = format!("an allocation was refused: {obstacle}");
            return turn.timeline("refused", text, &[("allocation_id", allocation.allocation_id.as_str())]);
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
        self.waits_for = None;
        let acquiring = Acquiring { allocation, how, until, retry: Backoff::default() };
        self.state.edit().acquiring = Some(Box::new(acquiring));
    }

    fn ordered(&mut self, request: RequestId, allocation: Allocation, facts: &Facts, turn: &mut Turn) {
        if self.repeated(request, &allocation, turn) {
            return;
        }
        if let Some(refused) = obstacle(facts).or_else(|| unfit(&allocation, facts)) {
            return turn.effect(Effect::Reply { request, reply: Err(refused) });
        }
        self.askers.push(request);
        self.allocated(allocation, facts, turn);
    }

    /// The same allocation again: the same answer, now or as soon as there is one.
    fn repeated(&mut self, request: RequestId, allocation: &Allocation, turn: &mut Turn) -> bool {
        let same = |acquiring: &Acquiring| acquiring.allocation.allocation_id == allocation.allocation_id;
        if self.state.acquiring.as_deref().is_some_and(same) {
            self.askers.push(request);
            return true;
        }
        let known = self.state.answered.as_ref().filter(|known| known.allocation == allocation.allocation_id);
        let Some(known) = known else { return false };
        turn.effect(Effect::Reply { request, reply: Ok(known.accepted()) });
        true
    }

    fn tick(&mut self, facts: &Facts, turn: &mut Turn) {
        let Some(acquiring) = &self.state.acquiring else { return };
        if acquiring.until.is_some_and(|until| facts.now >= until) {
            let why = match acquiring.how {
                Acquire::Find => "no session shows the allocation's id".to_owned(),
                Acquire::Create | Acquire::Read => "the session service did not answer in time".to_owned(),
            };
            return self.not_acquired(&Refused::Backend { why }, turn);
        }
        if self.under_way || self.retry_at.is_some_and(|at| facts.now < at) {
            return;
        }
        let allocation = &acquiring.allocation;
        let call = match (acquiring.how, &allocation.session_id) {
            (Acquire::Find, _) => Call::FindAllocation { allocation: allocation.allocation_id.clone() },
            (Acquire::Read, Some(session)) => Call::ReadSession { session: session.clone() },
            (Acquire::Create | Acquire::Read, _) => new_session(allocation, facts),
        };
        self.under_way = true;
        turn.call(call, Purpose::Acquire);
    }

    fn answered(&mut self, answer: Result<Answer, Refusal>, facts: &Facts, turn: &mut Turn) {
        self.under_way = false;
        let Some(acquiring) = &self.state.acquiring else { return };
        let (allocation, how) = (acquiring.allocation.clone(), acquiring.how);
        match answer {
            Ok(Answer::Created(session)) => self.post_own(allocation, session, None, facts, turn),
            Ok(Answer::Session(session)) if how == Acquire::Find => self.found(allocation, *session, facts, turn),
            Ok(Answer::Session(session)) => self.was_read(allocation, &session, facts, turn),
            Ok(other) => self.later(&format!("an unexpected answer: {other:?}"), None, facts, turn),
            Err(Refusal::SessionNotFound | Refusal::NotFound { .. }) if how == Acquire::Find => {
                self.later("no session shows the allocation's id yet", None, facts, turn);
            }
            Err(Refusal::SessionNotFound) => {
                let session = allocation.session_id.map_or_else(String::new, String::from);
                self.not_acquired(&Refused::UnknownSession { session }, turn);
            }
            Err(refusal @ (Refusal::Conflict { .. } | Refusal::Invalid { .. } | Refusal::NotFound { .. })) => {
                if facts.settings.provider == ProviderKind::Auto {
                    self.refusal.set(Some(format!("no session of our own: {refusal}")));
                    self.later(&refusal.to_string(), None, facts, turn);
                } else {
                    self.not_acquired(&Refused::Backend { why: refusal.to_string() }, turn);
                }
            }
            Err(Refusal::Busy { retry_after }) => self.later("the service is busy", retry_after, facts, turn),
            Err(
                refusal @ (Refusal::Unreachable { .. }
                | Refusal::Ambiguous { .. }
                | Refusal::Credentials { .. }
                | Refusal::NoSuchApi
                | Refusal::Gone),
            ) => self.later(&refusal.to_string(), None, facts, turn),
        }
    }

    /// It is tried again; the timeline says why, once for each reason.
    fn later(&mut self, why: &str, at_least: Option<Duration>, facts: &Facts, turn: &mut Turn) {
        let Some(acquiring) = &mut self.state.edit().acquiring else { return };
        let delay = acquiring.retry.next(FIRST_RETRY, LAST_RETRY, &mut turn.jitter);
        self.retry_at = Some(facts.now + delay.max(at_least.unwrap_or_default()));
        if self.waits_for.as_deref() != Some(why) {
            self.waits_for = Some(why.to_owned());
            let id = acquiring.allocation.allocation_id.to_string();
            let text = format!("allocation {id} has no session yet, it is tried again: {why}");
            turn.timeline("allocation_retry", text, &[("allocation_id", &id), ("reason", why)]);
        }
    }

    fn not_acquired(&mut self, refused: &Refused, turn: &mut Turn) {
        let Some(acquiring) = self.state.edit().acquiring.take() else { return };
        let allocation = acquiring.allocation.allocation_id.to_string();
        let text = format!("allocation {allocation} came to nothing: {refused}");
        turn.timeline("refused", text, &[("allocation_id", &allocation)]);
        for request in std::mem::take(&mut self.askers) {
            turn.effect(Effect::Reply { request, reply: Err(refused.clone()) });
        }
        self.state.edit().term += 1;
        self.refusal.set(None);
    }

    fn found(&mut self, allocation: Allocation, session: Session, facts: &Facts, turn: &mut Turn) {
        let wanted = Some(&allocation.allocation_id);
        match session.instance.clone().filter(|info| info.allocation_id.as_ref() == wanted) {
            Some(info) if info.join_status == JoinStatus::Closed => {
                let why = "its instance is closed already".to_owned();
                self.not_acquired(&Refused::Nothing { why }, turn);
            }
            Some(info) => self.take_over(allocation, session, &info, facts, turn),
            None => self.later("the session doesn't show the allocation's id yet", None, facts, turn),
        }
    }

    fn was_read(&mut self, allocation: Allocation, session: &Session, facts: &Facts, turn: &mut Turn) {
        let ours = Some(&allocation.allocation_id);
        let info = session.instance.as_ref().filter(|info| info.join_status != JoinStatus::Closed);
        match info.cloned() {
            Some(info) if info.allocation_id.as_ref() == ours => {
                self.take_over(allocation, session.clone(), &info, facts, turn);
            }
            Some(info) => {
                let why = format!("the session has another instance, {}", info.instance_id);
                self.not_acquired(&Refused::Nothing { why }, turn);
            }
            None => {
                let (id, old) = (session.session_id.clone(), session.instance.as_ref());
                self.post_own(allocation, id, old, facts, turn);
            }
        }
    }

    /// An instance of ours, in a session that has none.
    fn post_own(
        &mut self,
        allocation: Allocation,
        session: SessionId,
        old: Option<&InstanceInfo>,
        facts: &Facts,
        turn: &mut Turn,
    ) {
        let own = allocation.session_id.is_none() && facts.settings.provider != ProviderKind::Sic;
        let game = Match {
            own,
            session,
            instance: InstanceId::from_uuid(turn.ids.uuid()),
            params: params_for(&allocation, old, &facts.settings),
            join_token: facts.settings.session.join_token.then(|| turn.ids.token()),
            match_id: None,
            begun: facts.now,
            first_joinable: None,
            operator_gate: None,
            restarts: 0,
            allocation,
        };
        let outbox = outbox_to_post(&game.session, &game.instance, game.params.clone(), facts);
        self.begin_if_it_can_start(game, outbox, facts, turn);
    }

    /// The service's instance, which carries our allocation id.
    fn take_over(
        &mut self,
        allocation: Allocation,
        session: Session,
        info: &InstanceInfo,
        facts: &Facts,
        turn: &mut Turn,
    ) {
        let by_agent = facts.settings.writes();
        let report = facts.settings.session.report;
        let game = Match {
            own: allocation.session_id.is_none() && facts.settings.provider != ProviderKind::Sic,
            session: session.session_id.clone(),
            instance: info.instance_id.clone(),
            params: params_for(&allocation, Some(info), &facts.settings),
            join_token: (facts.settings.session.join_token && by_agent).then(|| turn.ids.token()),
            match_id: info.match_id.as_deref().and_then(|id| id.parse().ok()),
            begun: facts.now,
            first_joinable: None,
            operator_gate: None,
            restarts: 0,
            allocation,
        };
        let outbox = InstanceOutbox::taken_over(session.session_id.clone(), report, info);
        if self.begin_if_it_can_start(game, outbox, facts, turn) {
            turn.signal(Signal::SessionRead(Box::new(session)));
        }
    }

    /// Renders the launch, once. True: the match begins.
    fn begin_if_it_can_start(&mut self, game: Match, outbox: InstanceOutbox, facts: &Facts, turn: &mut Turn) -> bool {
        match launch::render(&facts.settings.launch, &game_match::values(&facts.settings, Some(&game))) {
            Ok(spec) => {
                self.acquired(&game, turn);
                turn.signal(Signal::MatchPrepared(Box::new(Prepared { game, spec, outbox })));
                true
            }
            Err(error) => {
                let why = error.to_string();
                if outbox.is_posted() {
                    turn.signal(Signal::InstanceRefused { outbox: Box::new(outbox), why: why.clone() });
                }
                self.not_acquired(&Refused::Launch { why: why.clone() }, turn);
                if facts.settings.provider == ProviderKind::Auto {
                    turn.signal(Signal::CantStart { why: format!("the game can't be started: {why}") });
                }
                false
            }
        }
    }

    fn acquired(&mut self, game: &Match, turn: &mut Turn) {
        let answered = Answered {
            allocation: game.allocation.allocation_id.clone(),
            session: game.session.clone(),
            instance: game.instance.clone(),
        };
        for request in std::mem::take(&mut self.askers) {
            turn.after_commit(Effect::Reply { request, reply: Ok(answered.accepted()) });
        }
        let state = self.state.edit();
        state.acquiring = None;
        state.term += 1;
        state.answered = Some(answered);
    }

    fn deallocated(&mut self, id: &AllocationId, facts: &Facts, turn: &mut Turn) {
        if self.state.acquiring.as_ref().is_some_and(|acquiring| acquiring.allocation.allocation_id == *id) {
            return self.not_acquired(&Refused::Nothing { why: "the allocation was taken back".to_owned() }, turn);
        }
        let current = facts.game.game.as_ref().is_some_and(|game| game.allocation.allocation_id == *id);
        if current && matches!(facts.phase(), Phase::Starting | Phase::Serving) {
            turn.signal(Signal::AllocationTakenBack);
        }
    }

    /// Makes a new session for a match that has lost its own.
    fn recreate(&mut self, facts: &Facts, turn: &mut Turn) {
        let waits = self.under_way || self.retry_at.is_some_and(|at| facts.now < at);
        if waits || !is_recreating(facts) {
            return;
        }
        let Some(game) = &facts.game.game else { return };
        self.under_way = true;
        turn.call(new_session(&game.allocation, facts), Purpose::Recreate);
    }

    fn recreated(&mut self, answer: Result<Answer, Refusal>, facts: &Facts, turn: &mut Turn) {
        if !is_recreating(facts) {
            return;
        }
        let Some(game) = &facts.game.game else { return };
        self.under_way = false;
        let Ok(Answer::Created(session)) = answer else {
            self.retry_at = Some(facts.now + turn.jitter.earlier(LAST_RETRY, 0.25));
            return;
        };
        let instance = InstanceId::from_uuid(turn.ids.uuid());
        let outbox = Box::new(outbox_to_post(&session, &instance, game.params.clone(), facts));
        self.state.edit().answered = Some(Answered {
            allocation: game.allocation.allocation_id.clone(),
            session: session.clone(),
            instance: instance.clone(),
        });
        turn.signal(Signal::NewSession { session, instance, outbox });
    }
}

fn is_recreating(facts: &Facts) -> bool {
    facts.session.link == SessionLink::Recreating && matches!(facts.phase(), Phase::Starting | Phase::Serving)
}
