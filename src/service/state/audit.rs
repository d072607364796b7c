//! What happened to sessions: events of the service's own (`session.created`), and of others (`customer.…`).
//!
//! Bounded twice: a number a session and a number in all, the oldest first. Kept when the session is gone.

use super::State;
use crate::{
    model::{ids::PlayerUuid, time::Timestamp},
    service::{
        rules::record::SessionRecord,
        store::{Store, StoreError, Table},
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

#[derive(Debug, Default)]
pub struct AuditLog {
    events: BTreeMap<u64, Arc<Event>>,
    by_session: HashMap<String, VecDeque<u64>>,
    next: u64,
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

impl State {
    /// Notes an event, durably.
    pub fn record_event(&mut self, event: Event) {
        let number = self.audit.next;
        let bytes = serde_json::to_vec(&event).unwrap_or_default();
        let session = event.session_id.clone();
        self.audit.add(number, event);
        self.write(Table::Audit, key(number), Some(bytes));
        let limits = &self.settings.limits;
        let (own, all) = (limits.audit_events_per_session as usize, limits.audit_events as usize);
        for old in self.audit.surplus(&session, own, all) {
            self.audit.drop_number(old);
            self.write(Table::Audit, key(old), None);
        }
    }

    /// The service's own events about a change of a session. Joins and leaves are told apart by who is in which version.
    pub(super) fn audit_change(&mut self, old: Option<&SessionRecord>, new: Option<&SessionRecord>) {
        for (name, player, more) in told(old, new) {
            let Some(record) = new.or(old) else { return };
            self.record_event(Event {
                event_name: name.to_owned(),
                session_id: record.id.as_str().to_owned(),
                event_datetime: self.now.wall,
                player_uuid: player,
                more,
            });
        }
    }
}

fn key(number: u64) -> String {
    format!("{number:016x}")
}

type Told = (&'static str, Option<PlayerUuid>, Map<String, Value>);

fn told(old: Option<&SessionRecord>, new: Option<&SessionRecord>) -> Vec<Told> {
    let mut told = Vec::new();
    let about = |record: &SessionRecord| {
        let mut more = Map::new();
        more.insert("session_type".into(), record.session_type.clone().into());
        if let Some(region) = &record.region_id {
            more.insert("region_id".into(), region.clone().into());
        }
        more
    };
    match (old, new) {
        (None, Some(new)) => told.push(("session.created", None, about(new))),
        (Some(old), None) => told.push(("session.deleted", None, about(old))),
        _ => {}
    }
    let instance = |record: Option<&SessionRecord>| {
        record.and_then(|record| record.instance.as_ref()).map(|instance| {
            (instance.info.instance_id.clone(), instance.info.join_status, instance.info.allocation_id.clone())
        })
    };
    if instance(old) != instance(new)
        && let Some((id, status, allocation)) = instance(new)
    {
        let mut more = Map::new();
        more.insert("instance_id".into(), id.as_str().into());
        more.insert("join_status".into(), serde_json::to_value(status).unwrap_or_default());
        if let Some(allocation) = allocation {
            more.insert("allocation_id".into(), allocation.as_str().into());
        }
        told.push(("instance.updated", None, more));
    }
    told
}
