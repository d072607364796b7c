//! The session service: it does as its contract says, over a line that may fail.

use super::make::{instance, session};
use crate::model::{
    calls::{Answer, Call, Refusal},
    ids::SessionId,
    session::{BackfillSettings, HealthSettings, InstanceHealth, InstanceUpdate, JoinStatus, Session},
    time::Timestamp,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How the service behaves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Net {
    Up,
    /// Does nothing, answers this.
    Refuses(Refusal),
    /// Does it, but the answer is lost.
    LosesAnswers,
    Silent,
}

/// The session service.
#[derive(Debug)]
pub(crate) struct Service {
    pub net: Net,
    pub sessions: BTreeMap<SessionId, Session>,
    /// Everything that was asked, in short.
    pub told: Vec<String>,
    pub audits: Vec<(&'static str, Timestamp)>,
    pub health: Vec<InstanceHealth>,
    pub acks: Vec<Timestamp>,
    pub ack_timeout: f64,
    pub ack_answer: VecDeque<Result<Answer, Refusal>>,
    created: u32,
    /// The session of each request that has made one.
    requests: BTreeMap<String, SessionId>,
    /// Sessions that have, or had, an instance.
    used: BTreeSet<SessionId>,
    pub closed_by_others: bool,
    /// A write to an instance that isn't there is forbidden, not unknown.
    pub forbids: bool,
    /// What an audit event is answered with, for want of a permission.
    pub audit_refused: Option<Refusal>,
}

impl Service {
    pub(super) fn new() -> Self {
        Service {
            net: Net::Up,
            sessions: BTreeMap::new(),
            told: Vec::new(),
            audits: Vec::new(),
            health: Vec::new(),
            acks: Vec::new(),
            ack_timeout: 10.0,
            ack_answer: VecDeque::new(),
            created: 0,
            requests: BTreeMap::new(),
            used: BTreeSet::new(),
            closed_by_others: false,
            forbids: false,
            audit_refused: None,
        }
    }

    pub(crate) fn add_session(&mut self, id: &str) -> &mut Session {
        let id = SessionId::new(id).unwrap();
        self.sessions.entry(id.clone()).or_insert_with(|| session(id))
    }

    pub(super) fn answer(&mut self, call: &Call, now: Timestamp) -> Option<Result<Answer, Refusal>> {
        match self.net.clone() {
            Net::Up => Some(self.carry_out(call, now)),
            Net::Refuses(refusal) => Some(Err(refusal)),
            Net::LosesAnswers => {
                let _lost = self.carry_out(call, now);
                Some(Err(Refusal::Ambiguous { why: "timed out".into() }))
            }
            Net::Silent => None,
        }
    }

    fn carry_out(&mut self, call: &Call, now: Timestamp) -> Result<Answer, Refusal> {
        match call {
            Call::CreateSession(new) => {
                if let Some(made) = self.requests.get(&new.request).filter(|made| self.sessions.contains_key(*made)) {
                    return Ok(Answer::Created(made.clone()));
                }
                self.created += 1;
                let id = SessionId::new(format!("own-{}", self.created)).unwrap();
                self.told.push("create".into());
                self.add_session(id.as_str());
                self.requests.insert(new.request.clone(), id.clone());
                Ok(Answer::Created(id))
            }
            Call::ReadSession { session } => Ok(Answer::Session(Box::new(self.find(session)?.clone()))),
            Call::FindAllocation { allocation } => {
                let mut all = self.sessions.values();
                let of = |s: &&Session| s.instance.as_ref().and_then(|i| i.allocation_id.as_ref()) == Some(allocation);
                all.find(of).map(|s| Answer::Session(Box::new(s.clone()))).ok_or(Refusal::SessionNotFound)
            }
            Call::DeleteSession { session } => {
                self.find(session)?;
                self.sessions.remove(session);
                Ok(Answer::Done)
            }
            Call::PostInstance { session, body } => {
                let session = self.find(session)?;
                let info = instance(body.instance_id.clone().unwrap(), None, JoinStatus::Allocated, now);
                session.instance = Some(info.clone());
                let id = session.session_id.clone();
                self.used.insert(id);
                self.told.push("post".into());
                Ok(Answer::Instance(Box::new(info)))
            }
            Call::PatchInstance { session, body } => self.patch(session, body),
            Call::PostHealth { session, health, .. } => {
                self.find(session)?;
                self.health.push(*health);
                Ok(Answer::Health(*health))
            }
            Call::HealthConfig => Ok(Answer::HealthConfig(HealthSettings {
                cadence_seconds: 10,
                unhealthy_health_check_percentage: 50.0,
                missed_checks_before_unknown: 3,
            })),
            Call::BackfillConfig => Ok(Answer::BackfillConfig(BackfillSettings { timeout: self.ack_timeout })),
            Call::AckBackfill { session, body } => {
                let extensions = self.find(session)?.backfill.as_ref().map(|b| b.extensions.clone());
                assert_eq!(extensions, Some(body.extensions.clone()));
                self.acks.push(now);
                self.ack_answer.pop_front().unwrap_or(Ok(Answer::Backfilled(Vec::new())))
            }
            Call::UpdateBackfill { body, .. } => {
                let needs: Vec<_> = body.teams.iter().map(|need| need.players_required.to_string()).collect();
                self.told.push(format!("needs {}", needs.join("+")));
                Ok(Answer::Done)
            }
            Call::DeleteBackfill { session, .. } => {
                self.told.push("delete backfill".into());
                self.find(session)?.backfill = None;
                Ok(Answer::Done)
            }
            Call::AddPlayer { player, team, .. } => {
                self.told.push(format!("add {player} to {}", team.unwrap_or(9)));
                Ok(Answer::Done)
            }
            Call::RemovePlayer { player, .. } => {
                self.told.push(format!("remove {player}"));
                Ok(Answer::Done)
            }
            Call::UpdateBrowser { .. } => Ok(Answer::Done),
            Call::Audit { name, at, .. } => {
                self.told.push(format!("audit {name}"));
                if let Some(refusal) = &self.audit_refused {
                    return Err(refusal.clone());
                }
                self.audits.push((name, *at));
                Ok(Answer::Done)
            }
        }
    }

    /// A session that the agent made and never gave an instance would be found by players.
    pub(crate) fn look_for_empty_sessions(&self) {
        let empty: Vec<_> = self.sessions.keys().filter(|id| !self.used.contains(*id)).collect();
        assert!(empty.is_empty(), "sessions without an instance were left: {empty:?}");
    }

    fn find(&mut self, id: &SessionId) -> Result<&mut Session, Refusal> {
        self.sessions.get_mut(id).ok_or(Refusal::SessionNotFound)
    }

    fn patch(&mut self, id: &SessionId, body: &InstanceUpdate) -> Result<Answer, Refusal> {
        let others = self.closed_by_others;
        let missing = if self.forbids {
            Refusal::Credentials { desc: "only the host may".into() }
        } else {
            Refusal::NotFound { code: "instance_not_found".into() }
        };
        let info = self.find(id)?.instance.as_mut().ok_or(missing)?;
        if info.allocation_id != body.allocation_id {
            return Err(Refusal::Conflict { code: "allocation_mismatch".into(), desc: String::new() });
        }
        assert!(
            info.join_status != JoinStatus::Closed || body.join_status == Some(JoinStatus::Closed) || others,
            "a report after the last: {body:?}"
        );
        if info.join_status == JoinStatus::Closed {
            return Err(Refusal::Conflict { code: "instance_closed".into(), desc: String::new() });
        }
        info.join_status = body.join_status.unwrap_or(info.join_status);
        info.join_params = body.join_params.clone().or(info.join_params.take());
        info.version = body.version.clone().or(info.version.take());
        info.match_id = body.match_id.clone().or(info.match_id.take());
        info.custom_data = body.custom_data.clone().unwrap_or_default();
        let info = info.clone();
        self.told.push(body.join_status.map_or("details".into(), |status| format!("{status:?}").to_lowercase()));
        Ok(Answer::Instance(Box::new(info)))
    }
}

/// The session that a call writes to, if it changes the instance or the browser's data.
pub(super) fn written_session(call: &Call) -> Option<SessionId> {
    match call {
        Call::PostInstance { session, .. }
        | Call::PatchInstance { session, .. }
        | Call::UpdateBrowser { session, .. } => Some(session.clone()),
        _ => None,
    }
}
