//! What happened to sessions: events of the service's own (`session.created`), and of others
//! (`customer.…`).
//!
//! Bounded, the oldest first, and kept when the session is gone. The service's events and those of
//! callers are counted apart, so that no caller can push out what the service says; those of
//! callers by their bytes too: a session, a player who writes, and in all. An event about several
//! players is kept once, and shown once for each.

use super::{
    commit::Commit,
    diff::SessionDiff,
    set_aside::{RowError, SetAside},
};
use crate::{
    model::{
        audit::{AuditEvent, CreateAuditRequest},
        ids::PlayerUuid,
        time::Timestamp,
        units::Size,
    },
    service::{
        rules::record::SessionRecord,
        settings::Limits,
        store::{Seq, Store, StoreError, Table},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One event: the contract's members as they came, and those that are searched for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub event_name: String,
    pub session_id: String,
    pub event_datetime: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player_uuid: Option<PlayerUuid>,
    /// More players than one whom it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub players: Vec<PlayerUuid>,
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
            player_uuid: new.player_uuid.filter(|_| new.players.as_ref().is_none_or(Vec::is_empty)),
            players: new.players.clone().unwrap_or_default(),
            more,
        }
    }

    /// Bytes that the store takes for it.
    pub fn bytes(&self) -> usize {
        serde_json::to_vec(self).map_or(0, |text| text.len())
    }

    /// The event as callers see it, about one of its players.
    fn shown(&self, about: Option<PlayerUuid>) -> Option<AuditEvent> {
        let one = Event { player_uuid: about, players: Vec::new(), ..self.clone() };
        serde_json::to_value(one).and_then(serde_json::from_value).ok()
    }

    /// Each player whom it is about; or nobody, once.
    fn about(&self) -> impl Iterator<Item = Option<PlayerUuid>> + '_ {
        let one = self.players.is_empty().then_some(self.player_uuid);
        one.into_iter().chain(self.players.iter().copied().map(Some))
    }

    /// The player who wrote it.
    fn writer(&self) -> Option<&str> {
        self.more.get("requesting_user_uuid").and_then(Value::as_str)
    }

    fn is_callers(&self) -> bool {
        self.event_name.starts_with(CALLERS)
    }
}

/// What callers' events are named by.
pub(crate) const CALLERS: &str = "customer.";

#[derive(Debug, Default)]
pub struct AuditLog {
    events: BTreeMap<u64, Kept>,
    services: EventGroup,
    callers: EventGroup,
    next: u64,
    /// The write that made the last event durable.
    pub(super) last_seq: Seq,
}

#[derive(Debug)]
struct Kept {
    event: Event,
    bytes: usize,
}

/// Events that are counted together.
#[derive(Debug, Default)]
struct EventGroup {
    all: Count,
    by_session: HashMap<String, Count>,
    by_writer: HashMap<String, Count>,
}

/// Events by their numbers, the oldest first.
#[derive(Debug, Default)]
struct Count {
    numbers: BTreeSet<u64>,
    bytes: usize,
}

impl Count {
    fn add(&mut self, number: u64, bytes: usize) {
        self.numbers.insert(number);
        self.bytes += bytes;
    }
    fn remove(&mut self, number: u64, bytes: usize) -> bool {
        self.numbers.remove(&number);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.numbers.is_empty()
    }
    /// The oldest event, if there are too many, or too many bytes.
    fn surplus(&self, most: u32, most_bytes: Size) -> Option<u64> {
        let over = self.numbers.len() > most as usize || self.bytes as u64 > most_bytes.0;
        over.then(|| self.numbers.first().copied()).flatten()
    }
}

impl EventGroup {
    fn add(&mut self, number: u64, kept: &Kept) {
        self.all.add(number, kept.bytes);
        self.by_session.entry(kept.event.session_id.clone()).or_default().add(number, kept.bytes);
        if let Some(writer) = kept.event.writer() {
            self.by_writer.entry(writer.to_owned()).or_default().add(number, kept.bytes);
        }
    }
    fn remove(&mut self, number: u64, kept: &Kept) {
        self.all.remove(number, kept.bytes);
        take(&mut self.by_session, &kept.event.session_id, number, kept.bytes);
        if let Some(writer) = kept.event.writer() {
            take(&mut self.by_writer, writer, number, kept.bytes);
        }
    }
}

fn take(counts: &mut HashMap<String, Count>, key: &str, number: u64, bytes: usize) {
    if counts.get_mut(key).is_some_and(|count| count.remove(number, bytes)) {
        counts.remove(key);
    }
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
    pub(crate) fn read(store: &mut dyn Store, set_aside: &mut SetAside) -> Result<AuditLog, StoreError> {
        let mut log = AuditLog::default();
        set_aside.rows(store, Table::Audit, |key, bytes| {
            let number = u64::from_str_radix(key, 16).map_err(|_| RowError::Key)?;
            if number == u64::MAX {
                return Err(RowError::Last);
            }
            // Also the number of an event that can't be read is given away.
            log.next = log.next.max(number.saturating_add(1));
            log.add(number, serde_json::from_slice(bytes)?, bytes.len());
            Ok(())
        })?;
        Ok(log)
    }

    fn add(&mut self, number: u64, event: Event, bytes: usize) {
        let kept = Kept { event, bytes };
        self.group(kept.event.is_callers()).add(number, &kept);
        self.events.insert(number, kept);
        self.next = self.next.max(number + 1);
    }

    fn group(&mut self, of_callers: bool) -> &mut EventGroup {
        if of_callers { &mut self.callers } else { &mut self.services }
    }

    fn drop_number(&mut self, number: u64) {
        let Some(kept) = self.events.remove(&number) else { return };
        self.group(kept.event.is_callers()).remove(number, &kept);
    }

    /// The number of an event that is too much beside the newest, if one is.
    fn surplus(&self, newest: &Kept, limits: &Limits) -> Option<u64> {
        let unbounded = Size(u64::MAX);
        let event = &newest.event;
        let group = if event.is_callers() { &self.callers } else { &self.services };
        let bytes = |size| if event.is_callers() { size } else { unbounded };
        let own = group.by_session.get(&event.session_id);
        let own =
            own.and_then(|own| own.surplus(limits.audit_events_per_session, bytes(limits.audit_bytes_per_session)));
        let writer = event.writer().and_then(|writer| group.by_writer.get(writer));
        let writer = || writer.and_then(|writer| writer.surplus(u32::MAX, limits.audit_bytes_per_player));
        own.or_else(writer).or_else(|| group.all.surplus(limits.audit_events, bytes(limits.audit_bytes)))
    }

    /// A page, oldest first.
    pub fn page(&self, query: &Query, page: usize, size: usize) -> Vec<AuditEvent> {
        let of_session = query.session_id.as_deref().map(|session| self.of_session(session));
        let every = of_session.is_none().then(|| self.events.keys().copied());
        let numbers = of_session.into_iter().flatten().chain(every.into_iter().flatten());
        let events = numbers.filter_map(|number| self.events.get(&number)).map(|kept| &kept.event).filter(|event| {
            query.from.is_none_or(|from| event.event_datetime >= from)
                && query.to.is_none_or(|to| event.event_datetime <= to)
        });
        let each = events.flat_map(|event| {
            let about = event.about().filter(|player| query.player.is_none_or(|wanted| *player == Some(wanted)));
            about.map(move |player| (event, player))
        });
        let found = each.skip(page.saturating_mul(size)).take(size);
        found.filter_map(|(event, player)| event.shown(player)).collect()
    }

    /// A session's events of both kinds, oldest first.
    fn of_session(&self, session: &str) -> Vec<u64> {
        let groups = [&self.services, &self.callers].into_iter().filter_map(|group| group.by_session.get(session));
        let mut numbers: Vec<u64> = groups.flat_map(|count| count.numbers.iter().copied()).collect();
        numbers.sort_unstable();
        numbers
    }
}

impl AuditLog {
    /// Takes the events of an operation, and drops what is too much.
    pub(super) fn commit(&mut self, events: Vec<Event>, limits: &Limits, commit: &mut Commit) {
        for event in events {
            let number = self.next;
            let text = serde_json::to_vec(&event).unwrap_or_default();
            let bytes = text.len();
            commit.row(Table::Audit, key(number), Some(text));
            self.add(number, event, bytes);
            self.last_seq = commit.seq;
            while let Some(old) = self.events.get(&number).and_then(|newest| self.surplus(newest, limits)) {
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
        players: Vec::new(),
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
