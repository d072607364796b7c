//! What happened to sessions: events of the service's own (`session.created`), and of others
//! (`customer.…`).
//!
//! Bounded twice: a number a session and a number in all, the oldest first. Kept when the session
//! is gone.

use super::{commit::Commit, diff::SessionDiff};
use crate::{
    model::{
        audit::{AuditEvent, CreateAuditRequest},
        ids::PlayerUuid,
        time::Timestamp,
    },
    service::{
        rules::record::SessionRecord,
        settings::Limits,
        store::{Seq, Store, StoreError, Table},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

/// One event: the contract's members as they came, and those that are searched for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub event_name: String,
    pub session_id: String,
    pub event_datetime: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player_uuid: Option<PlayerUuid>,
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Event {
    /// An event that a caller adds, named as the caller names it.
    pub fn of(new: &CreateAuditRequest, by: Option<PlayerUuid>, at: Timestamp) -> Event {
        let mut more = match serde_json::to_value(new) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        for known in ["event_name", "session_id", "player_uuid", "players"] {
            more.remove(known);
        }
        more.extend(by.map(|player| ("requesting_user_uuid".to_owned(), player.to_string().into())));
        Event {
            event_name: new.event_name.clone(),
            session_id: new.session_id.as_str().to_owned(),
            event_datetime: at,
            player_uuid: new.player_uuid,
            more,
        }
    }

    /// The event as callers see it.
    pub fn shown(&self) -> Option<AuditEvent> {
        serde_json::to_value(self).and_then(serde_json::from_value).ok()
    }
}

#[derive(Debug, Default)]
pub struct AuditLog {
    events: BTreeMap<u64, Arc<Event>>,
    by_session: HashMap<String, VecDeque<u64>>,
    next: u64,
    /// The write that made the last event durable.
    pub(super) last_seq: Seq,
}

/// What to look for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pub session_id: Option<String>,
    pub player: Option<PlayerUuid>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

impl AuditLog {
    pub fn read(store: &mut dyn Store) -> Result<AuditLog, StoreError> {
        let mut log = AuditLog::default();
        for (key, bytes) in store.read(Table::Audit)? {
            let number = u64::from_str_radix(&key, 16).map_err(|why| StoreError::new("read the audit log", why))?;
            let event = serde_json::from_slice(&bytes).map_err(|why| StoreError::new("read the audit log", why))?;
            log.add(number, event);
        }
        Ok(log)
    }

    fn add(&mut self, number: u64, event: Event) {
        self.by_session.entry(event.session_id.clone()).or_default().push_back(number);
        self.events.insert(number, Arc::new(event));
        self.next = self.next.max(number + 1);
    }

    fn drop_number(&mut self, number: u64) {
        let Some(event) = self.events.remove(&number) else { return };
        if let Some(numbers) = self.by_session.get_mut(&event.session_id) {
            numbers.retain(|other| *other != number);
            if numbers.is_empty() {
                self.by_session.remove(&event.session_id);
            }
        }
    }

    /// The numbers that are one too many after an event of this session.
    fn surplus(&self, session: &str, per_session: usize, in_all: usize) -> Vec<u64> {
        let own = self.by_session.get(session).filter(|numbers| numbers.len() > per_session);
        let oldest = (self.events.len() > in_all).then(|| self.events.keys().next().copied()).flatten();
        own.and_then(|numbers| numbers.front().copied()).or(oldest).into_iter().collect()
    }

    /// A page, oldest first.
    pub fn page(&self, query: &Query, page: usize, size: usize) -> Vec<Arc<Event>> {
        let fits = |event: &&Arc<Event>| {
            query.player.is_none_or(|player| event.player_uuid == Some(player))
                && query.from.is_none_or(|from| event.event_datetime >= from)
                && query.to.is_none_or(|to| event.event_datetime <= to)
        };
        let skip = page.saturating_mul(size);
        match &query.session_id {
            Some(session) => {
                let numbers = self.by_session.get(session).into_iter().flatten();
                let events = numbers.filter_map(|number| self.events.get(number));
                events.filter(fits).skip(skip).take(size).cloned().collect()
            }
            None => self.events.values().filter(fits).skip(skip).take(size).cloned().collect(),
        }
    }
}

impl AuditLog {
    /// Takes the events of an operation, and drops what is too much.
    pub(super) fn commit(&mut self, events: Vec<Event>, limits: &Limits, commit: &mut Commit) {
        let (own, all) = (limits.audit_events_per_session as usize, limits.audit_events as usize);
        for event in events {
            let number = self.next;
            let session = event.session_id.clone();
            commit.row(Table::Audit, key(number), Some(serde_json::to_vec(&event).unwrap_or_default()));
            self.add(number, event);
            self.last_seq = commit.seq;
            for old in self.surplus(&session, own, all) {
                self.drop_number(old);
                commit.row(Table::Audit, key(old), None);
            }
        }
    }
}

fn key(number: u64) -> String {
    format!("{number:016x}")
}

/// The service's own events about a change of a session. Joins and leaves are told apart by who is in which version.
pub(super) fn events_of(diff: &SessionDiff<'_>, now: Timestamp) -> Vec<Event> {
    let event = |name: &str, more| Event {
        event_name: name.to_owned(),
        session_id: diff.record.id.as_str().to_owned(),
        event_datetime: now,
        player_uuid: None,
        more,
    };
    let mut events = Vec::new();
    match (diff.old, diff.new) {
        (None, Some(new)) => events.push(event("session.created", about(new))),
        (Some(old), None) => events.push(event("session.deleted", about(old))),
        (Some(_), Some(_)) | (None, None) => {}
    }
    if let Some(instance) = diff.instance() {
        let mut more = Map::new();
        more.insert("instance_id".into(), instance.instance_id.as_str().into());
        more.insert("join_status".into(), serde_json::to_value(instance.join_status).unwrap_or_default());
        if let Some(allocation) = &instance.allocation_id {
            more.insert("allocation_id".into(), allocation.as_str().into());
        }
        events.push(event("instance.updated", more));
    }
    events
}

fn about(record: &SessionRecord) -> Map<String, Value> {
    let mut more = Map::new();
    more.insert("session_type".into(), record.session_type.clone().into());
    if let Some(region) = &record.region_id {
        more.insert("region_id".into(), region.clone().into());
    }
    more
}
