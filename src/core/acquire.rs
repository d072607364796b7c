//! From an allocation to a session.
//!
//! | allocation | asked | until |
//! |---|---|---|
//! | without a session (`auto`, hook) | `CreateSession`, then our own instance in it | for ever; a hook's: 10 s |
//! | SIC | `FindAllocation`, until the session shows the allocation's id | 30 s |
//! | a hook's, with a session | `ReadSession`; its instance if it carries our allocation id, else our own | 10 s |
//!
//! `instance_id` is minted and committed before it is posted. A repeated allocation id gets the same answer.

use super::{
    clock::{When, earliest},
    engine::{Core, Purpose},
    io::Effect,
    mint::Backoff,
    publish::Lane,
    state::{Acquire, Acquiring, Link, Match, Phase, Then},
};
use crate::model::{
    allocation::{Allocation, ProviderKind},
    calls::{Answer, Call, NewSession, Refusal},
    ids::{InstanceId, SessionId},
    orders::{Accepted, Refused, RequestId},
    policy::ReportBy,
    session::{HostType, InstanceInfo, InstanceRequest, JoinStatus, Session, StartupParams},
};
use std::time::Duration;

const FIND_WITHIN: Duration = Duration::from_secs(30);
const HOOK_WITHIN: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_millis(1500);

impl Core {
    /// The provider's allocation.
    pub(super) fn allocated(&mut self, allocation: Allocation) {
        let current = self.state.phase.game().map(|game| &game.allocation.allocation_id);
        if current == Some(&allocation.allocation_id) {
            return;
        }
        if let Some(obstacle) = self.obstacle() {
            let text = format!("an allocation was refused: {obstacle}");
            return self.happened("refused", text, &[("allocation_id", allocation.allocation_id.as_str())]);
        }
        let (how, within) = match (self.settings.provider, &allocation.session_id) {
            (ProviderKind::Sic, _) => (Acquire::Find, Some(FIND_WITHIN)),
            (ProviderKind::Hook, Some(_)) => (Acquire::Read, Some(HOOK_WITHIN)),
            (ProviderKind::Hook, None) => (Acquire::Create, Some(HOOK_WITHIN)),
            (ProviderKind::Auto, _) => (Acquire::Create, None),
        };
        self.acquire(allocation, how, within);
    }

    fn acquire(&mut self, allocation: Allocation, how: Acquire, within: Option<Duration>) {
        let until = earliest([within.map(|within| self.now + within), allocation.expires.map(When)]);
        self.acquire.retry_at = None;
        self.acquire.under_way = false;
        self.enter(Phase::Acquiring(Box::new(Acquiring { allocation, how, until, retry: Backoff::default() })));
    }

    /// An operator's allocation: `hook`.
    pub(super) fn allocate(&mut self, request: RequestId, allocation: Allocation) {
        if self.repeated(request, &allocation) {
            return;
        }
        if let Some(refused) = self.obstacle().or_else(|| self.unfit(&allocation)) {
            return self.effect(Effect::Reply { request, reply: Err(refused) });
        }
        self.acquire.askers.push(request);
        self.allocated(allocation);
    }

    /// The same allocation again: the same answer, now or as soon as there is one.
    fn repeated(&mut self, request: RequestId, allocation: &Allocation) -> bool {
        if let Phase::Acquiring(acquiring) = &self.state.phase
            && acquiring.allocation.allocation_id == allocation.allocation_id
        {
            self.acquire.askers.push(request);
            return true;
        }
        let known = self.state.answered.clone().filter(|known| known.allocation == allocation.allocation_id);
        let Some(known) = known else { return false };
        let (allocation_id, session_id, instance_id) = (known.allocation, known.session, known.instance);
        let reply = Ok(Accepted::Allocated { allocation_id, session_id, instance_id });
        self.effect(Effect::Reply { request, reply });
        true
    }

    fn unfit(&self, allocation: &Allocation) -> Option<Refused> {
        let provider = match self.settings.provider {
            ProviderKind::Hook => None,
            ProviderKind::Auto => Some("auto"),
            ProviderKind::Sic => Some("sic"),
        };
        if let Some(provider) = provider {
            return Some(Refused::NotByHook { provider });
        }
        if let Some(expired) = allocation.expires.filter(|expires| self.wall >= *expires) {
            return Some(Refused::Expired { expired });
        }
        if allocation.session_id.is_some() && allocation.startup_params.is_none() {
            return None; // Its session may say.
        }
        let game = self.draft(allocation.clone(), None, None);
        self.render(Some(&game)).err().map(|error| Refused::Launch { why: error.to_string() })
    }

    pub(super) fn acquire_tick(&mut self) {
        let Phase::Acquiring(acquiring) = &self.state.phase else { return };
        if acquiring.until.is_some_and(|until| self.now >= until) {
            let why = match acquiring.how {
                Acquire::Find => "no session shows the allocation's id".to_owned(),
                Acquire::Create | Acquire::Read => "the session service did not answer in time".to_owned(),
            };
            return self.not_acquired(&Refused::Backend { why });
        }
        if self.acquire.under_way || self.acquire.retry_at.is_some_and(|at| self.now < at) {
            return;
        }
        let allocation = &acquiring.allocation;
        let call = match (acquiring.how, &allocation.session_id) {
            (Acquire::Find, _) => Call::FindAllocation { allocation: allocation.allocation_id.clone() },
            (Acquire::Read, Some(session)) => Call::ReadSession { session: session.clone() },
            (Acquire::Create | Acquire::Read, _) => self.new_session(allocation),
        };
        self.acquire.under_way = true;
        self.call(call, Purpose::Acquire);
    }

    pub(super) fn new_session(&self, allocation: &Allocation) -> Call {
        let own = &self.settings.session;
        Call::CreateSession(Box::new(NewSession {
            session_type: own.session_type.clone(),
            region: own.region.clone(),
            version: self.version(),
            startup_params: self.params_for(allocation, None),
            joinable: own.joinable,
            browser: own.browser_data.clone(),
            custom_data: own.custom_data.clone(),
            teams: own.teams.clone(),
        }))
    }

    /// The allocation's, else the instance's, else the configured ones. An allocation that names no map
    /// plays the others' map, in their mode unless it names one.
    fn params_for(&self, allocation: &Allocation, info: Option<&InstanceInfo>) -> StartupParams {
        let shown = info.and_then(|info| info.instance_startup_params.as_ref());
        let known = shown.or(self.settings.session.startup_params.as_ref());
        let mut params = allocation.startup_params.as_ref().or(known).cloned().unwrap_or_default();
        if params.map.is_empty()
            && let Some(known) = known
        {
            params.map.clone_from(&known.map);
            params.mode = params.mode.or_else(|| known.mode.clone());
        }
        params
    }

    pub(super) fn acquire_answered(&mut self, answer: Result<Answer, Refusal>) {
        self.acquire.under_way = false;
        let Phase::Acquiring(acquiring) = &self.state.phase else { return };
        let (allocation, how) = (acquiring.allocation.clone(), acquiring.how);
        match answer {
            Ok(Answer::Created(session)) => self.acquired_own(allocation, session),
            Ok(Answer::Session(session)) if how == Acquire::Find => self.found(allocation, *session),
            Ok(Answer::Session(session)) => self.read(allocation, *session),
            Ok(other) => self.acquire_later(&format!("an unexpected answer: {other:?}"), None),
            Err(Refusal::SessionNotFound | Refusal::NotFound { .. }) if how == Acquire::Find => {
                self.acquire_later("no session shows the allocation's id yet", None);
            }
            Err(Refusal::SessionNotFound) => {
                let session = allocation.session_id.map_or_else(String::new, String::from);
                self.not_acquired(&Refused::UnknownSession { session });
            }
            Err(refusal @ (Refusal::Conflict { .. } | Refusal::Invalid { .. } | Refusal::NotFound { .. })) => {
                if self.settings.provider == ProviderKind::Auto {
                    self.refusals.session = Some(format!("no session of our own: {refusal}"));
                    self.acquire_later(&refusal.to_string(), None);
                } else {
                    self.not_acquired(&Refused::Backend { why: refusal.to_string() });
                }
            }
            Err(Refusal::Busy { retry_after }) => self.acquire_later("the service is busy", retry_after),
            Err(
                refusal @ (Refusal::Unreachable { .. }
                | Refusal::Ambiguous { .. }
                | Refusal::Credentials { .. }
                | Refusal::NoSuchApi
                | Refusal::Gone),
            ) => self.acquire_later(&refusal.to_string(), None),
        }
    }

    fn acquire_later(&mut self, _why: &str, at_least: Option<Duration>) {
        let Phase::Acquiring(acquiring) = &mut self.state.phase else { return };
        let delay = acquiring.retry.next(FIRST_RETRY, LAST_RETRY, &mut self.jitter);
        self.acquire.retry_at = Some(self.now + delay.max(at_least.unwrap_or_default()));
    }

    fn not_acquired(&mut self, refused: &Refused) {
        let Phase::Acquiring(acquiring) = &self.state.phase else { return };
        let allocation = acquiring.allocation.allocation_id.to_string();
        self.happened(
            "refused",
            format!("allocation {allocation} came to nothing: {refused}"),
            &[("allocation_id", &allocation)],
        );
        for request in std::mem::take(&mut self.acquire.askers) {
            self.effect(Effect::Reply { request, reply: Err(refused.clone()) });
        }
        self.state.term += 1;
        self.refusals.session = None;
        self.enter(Phase::Idle);
    }

    fn draft(&self, allocation: Allocation, session: Option<SessionId>, info: Option<&InstanceInfo>) -> Match {
        let params = self.params_for(&allocation, info);
        let unknown = || SessionId::new("unknown").expect("seven characters are allowed");
        Match {
            own: allocation.session_id.is_none() && self.settings.provider != ProviderKind::Sic,
            session: session.or_else(|| allocation.session_id.clone()).unwrap_or_else(unknown),
            instance: info.map_or_else(
                || InstanceId::new("unknown").expect("seven characters are allowed"),
                |info| info.instance_id.clone(),
            ),
            params,
            // A place holder, so that a template with a token can be checked; the real one is minted when it begins.
            join_token: self.settings.session.join_token.then(|| "unknown".to_owned()),
            match_id: info.and_then(|info| info.match_id.as_deref()).and_then(|id| id.parse().ok()),
            begun: self.now,
            first_joinable: None,
            operator_gate: None,
            restarts: 0,
            link: Link::Held,
            allocation,
        }
    }

    fn found(&mut self, allocation: Allocation, session: Session) {
        let wanted = Some(&allocation.allocation_id);
        match session.instance.clone().filter(|info| info.allocation_id.as_ref() == wanted) {
            Some(info) if info.join_status == JoinStatus::Closed => {
                self.not_acquired(&Refused::Nothing { why: "its instance is closed already".to_owned() });
            }
            Some(info) => self.take_over(allocation, session, &info),
            None => self.acquire_later("the session doesn't show the allocation's id yet", None),
        }
    }

    fn read(&mut self, allocation: Allocation, session: Session) {
        let ours = Some(&allocation.allocation_id);
        let info = session.instance.clone().filter(|info| info.join_status != JoinStatus::Closed);
        match info {
            Some(info) if info.allocation_id.as_ref() == ours => self.take_over(allocation, session, &info),
            Some(info) => {
                let why = format!("the session has another instance, {}", info.instance_id);
                self.not_acquired(&Refused::Nothing { why });
            }
            None => {
                let id = session.session_id.clone();
                let shown = session.instance.clone();
                self.session = Some(session);
                self.post_own(allocation, id, shown.as_ref());
            }
        }
    }

    fn acquired_own(&mut self, allocation: Allocation, session: SessionId) {
        self.post_own(allocation, session, None);
    }

    /// An instance of ours, in a session that has none.
    fn post_own(&mut self, allocation: Allocation, session: SessionId, old: Option<&InstanceInfo>) {
        let mut game = self.draft(allocation, Some(session), old);
        game.instance = InstanceId::from_uuid(self.mint.uuid());
        game.match_id = None;
        game.join_token = self.settings.session.join_token.then(|| self.mint.token());
        let lane = self.lane_to_post(&game);
        self.begin_if_it_can_start(game, lane);
    }

    pub(super) fn lane_to_post(&self, game: &Match) -> Lane {
        let request = InstanceRequest {
            instance_id: Some(game.instance.clone()),
            instance_startup_params: Some(game.params.clone()),
            host_type: HostType::Preallocated,
            ..InstanceRequest::default()
        };
        Lane::to_post(game.session.clone(), self.settings.session.report, request, game.instance.clone())
    }

    /// The service's instance, which carries our allocation id.
    fn take_over(&mut self, allocation: Allocation, session: Session, info: &InstanceInfo) {
        let mut game = self.draft(allocation, Some(session.session_id.clone()), Some(info));
        let by_agent = self.settings.session.report == ReportBy::Agent;
        game.join_token = (self.settings.session.join_token && by_agent).then(|| self.mint.token());
        let lane = Lane::taken_over(session.session_id.clone(), self.settings.session.report, info);
        self.begin_if_it_can_start(game, lane);
        self.session = Some(session);
    }

    fn begin_if_it_can_start(&mut self, game: Match, lane: Lane) {
        let Err(error) = self.render(Some(&game)) else { return self.begin(game, lane) };
        let why = error.to_string();
        if lane.is_posted() {
            // The service waits for this instance: it gets its end.
            let instance = game.instance.clone();
            self.state.lanes.push(lane);
            self.close_lane(&instance, &why);
        }
        self.not_acquired(&Refused::Launch { why: why.clone() });
        if self.settings.provider == ProviderKind::Auto {
            let why = format!("the game can't be started: {why}");
            self.go_on(&why, Then::Fail { why: why.clone() });
        }
    }

    /// The provider took it back.
    pub(super) fn deallocated(&mut self, allocation: &crate::model::ids::AllocationId) {
        match &self.state.phase {
            Phase::Acquiring(acquiring) if acquiring.allocation.allocation_id == *allocation => {
                self.not_acquired(&Refused::Nothing { why: "the allocation was taken back".to_owned() });
            }
            Phase::Starting(game) | Phase::Serving(game) if game.allocation.allocation_id == *allocation => {
                self.drain("the allocation was taken back", Then::Recycle);
            }
            Phase::Idle
            | Phase::Acquiring(_)
            | Phase::Starting(_)
            | Phase::Serving(_)
            | Phase::Draining(..)
            | Phase::Closing(..)
            | Phase::Leaving(_) => {}
        }
    }

    /// Gives up an acquisition because the agent is to end.
    pub(super) fn abandon(&mut self) {
        self.not_acquired(&Refused::Draining);
    }

    pub(super) fn acquire_deadline(&self) -> Option<When> {
        let Phase::Acquiring(acquiring) = &self.state.phase else { return None };
        earliest([acquiring.until, self.acquire.retry_at.filter(|_| !self.acquire.under_way)])
    }

    /// A new session for a match that has lost its own.
    pub(super) fn recreate_answered(&mut self, answer: Result<Answer, Refusal>) {
        let (Phase::Starting(game) | Phase::Serving(game)) = &self.state.phase else { return };
        if game.link != Link::Recreating {
            return;
        }
        self.acquire.under_way = false;
        let Ok(Answer::Created(session)) = answer else {
            let delay = self.jitter.earlier(LAST_RETRY, 0.25);
            self.acquire.retry_at = Some(self.now + delay);
            return;
        };
        let instance = InstanceId::from_uuid(self.mint.uuid());
        let Some(game) = self.state.phase.game_mut() else { return };
        game.session = session.clone();
        game.instance = instance.clone();
        game.link = Link::Held;
        let game = game.clone();
        let lane = self.lane_to_post(&game);
        self.state.lanes.push(lane);
        self.state.answered = Some(super::state::Answered {
            allocation: game.allocation.allocation_id.clone(),
            session: session.clone(),
            instance,
        });
        self.reset_desks();
        self.milestone(JoinStatus::Pending);
        if game.first_joinable.is_some() {
            self.milestone(JoinStatus::Joinable);
        }
        self.happened(
            "allocated",
            format!("the match goes on in the new session {session}"),
            &[("session_id", session.as_str())],
        );
        self.tell_allocation();
    }

    /// Whether a refusal to post means that we are too late.
    pub(super) fn post_refused(&mut self, instance: &InstanceId, why: &str) {
        if self.state.phase.game().is_some_and(|game| game.instance == *instance) {
            let policy = &self.settings.restart;
            let failures = &mut self.state.failures;
            let rest = failures.backoff.next(policy.delay.get(), policy.max_delay.get(), &mut self.jitter);
            failures.rest_until = Some(self.now + rest);
            self.state.lanes.retain(|lane| lane.instance != *instance);
            self.close(&format!("the session service refused the instance: {why}"), Then::Recycle);
        }
        self.state.lanes.retain(|lane| lane.instance != *instance);
    }
}
