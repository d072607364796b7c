//! From a session to a match that can begin: its instance is found, or gets a
//! new id, and its launch is rendered.

use super::{
    AllocationMachine, Answered,
    request::{outbox_to_post, params_for},
};
use crate::{
    core::{
        decisions::Decisions,
        facts::Facts,
        game_match::{self, Match, Prepared},
        instance_outbox::InstanceOutbox,
        io::Effect,
        launch,
        signal::Signal,
    },
    model::{
        allocation::{Allocation, ProviderKind},
        ids::{InstanceId, SessionId},
        orders::Refused,
        session::{InstanceInfo, JoinStatus, Session},
    },
};

impl AllocationMachine {
    pub(super) fn found(&mut self, allocation: Allocation, session: Session, facts: &Facts, decisions: &mut Decisions) {
        let wanted = Some(&allocation.allocation_id);
        match session.instance.clone().filter(|info| info.allocation_id.as_ref() == wanted) {
            Some(info) if info.join_status == JoinStatus::Closed => {
                let why = "its instance is closed already".to_owned();
                self.not_acquired(&Refused::Nothing { why }, decisions);
            }
            Some(info) => self.take_over(allocation, session, &info, facts, decisions),
            None => self.later("the session doesn't show the allocation's id yet", None, facts, decisions),
        }
    }

    pub(super) fn was_read(
        &mut self,
        allocation: Allocation,
        session: &Session,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        let ours = Some(&allocation.allocation_id);
        let info = session.instance.as_ref().filter(|info| info.join_status != JoinStatus::Closed);
        match info.cloned() {
            Some(info) if info.allocation_id.as_ref() == ours => {
                self.take_over(allocation, session.clone(), &info, facts, decisions);
            }
            Some(info) => {
                let why = format!("the session has another instance, {}", info.instance_id);
                self.not_acquired(&Refused::Nothing { why }, decisions);
            }
            None => {
                let (id, old) = (session.session_id.clone(), session.instance.as_ref());
                self.post_own(allocation, id, old, facts, decisions);
            }
        }
    }

    /// An instance of ours, in a session that has none.
    pub(super) fn post_own(
        &mut self,
        allocation: Allocation,
        session: SessionId,
        old: Option<&InstanceInfo>,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        let own = allocation.session_id.is_none() && facts.settings.provider != ProviderKind::Sic;
        let game = Match {
            own,
            session,
            instance: InstanceId::from_uuid(decisions.ids.uuid()),
            params: params_for(&allocation, old, &facts.settings),
            join_token: facts.settings.session.join_token.then(|| decisions.ids.token()),
            match_id: None,
            begun: facts.now,
            first_joinable: None,
            operator_gate: None,
            restarts: 0,
            allocation,
        };
        let outbox = outbox_to_post(&game.session, &game.instance, game.params.clone(), facts);
        self.begin_if_it_can_start(game, outbox, facts, decisions);
    }

    /// The service's instance, which carries our allocation id.
    fn take_over(
        &mut self,
        allocation: Allocation,
        session: Session,
        info: &InstanceInfo,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        let by_agent = facts.settings.writes();
        let report = facts.settings.session.report;
        let game = Match {
            own: allocation.session_id.is_none() && facts.settings.provider != ProviderKind::Sic,
            session: session.session_id.clone(),
            instance: info.instance_id.clone(),
            params: params_for(&allocation, Some(info), &facts.settings),
            join_token: (facts.settings.session.join_token && by_agent).then(|| decisions.ids.token()),
            match_id: info.match_id.as_deref().and_then(|id| id.parse().ok()),
            begun: facts.now,
            first_joinable: None,
            operator_gate: None,
            restarts: 0,
            allocation,
        };
        let outbox = InstanceOutbox::taken_over(session.session_id.clone(), report, info);
        if self.begin_if_it_can_start(game, outbox, facts, decisions) {
            decisions.signal(Signal::SessionRead(Box::new(session)));
        }
    }

    /// Renders the launch, once. True: the match begins.
    fn begin_if_it_can_start(
        &mut self,
        game: Match,
        outbox: InstanceOutbox,
        facts: &Facts,
        decisions: &mut Decisions,
    ) -> bool {
        match launch::render(&facts.settings.launch, &game_match::values(&facts.settings, Some(&game))) {
            Ok(spec) => {
                self.acquired(&game, decisions);
                decisions.signal(Signal::MatchPrepared(Box::new(Prepared { game, spec, outbox })));
                true
            }
            Err(error) => {
                let why = error.to_string();
                if outbox.is_posted() {
                    decisions.signal(Signal::InstanceRefused { outbox: Box::new(outbox), why: why.clone() });
                }
                self.not_acquired(&Refused::Launch { why: why.clone() }, decisions);
                if facts.settings.provider == ProviderKind::Auto {
                    decisions.signal(Signal::CantStart { why: format!("the game can't be started: {why}") });
                }
                false
            }
        }
    }

    fn acquired(&mut self, game: &Match, decisions: &mut Decisions) {
        let answered = Answered {
            allocation: game.allocation.allocation_id.clone(),
            session: game.session.clone(),
            instance: game.instance.clone(),
        };
        for request in std::mem::take(&mut self.waiting_operators) {
            decisions.after_commit(Effect::Reply { request, reply: Ok(answered.accepted()) });
        }
        let state = self.state.edit();
        state.acquiring = None;
        state.term += 1;
        state.answered = Some(answered);
    }
}
