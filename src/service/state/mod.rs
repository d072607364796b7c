//! The state of the service, in memory, behind one lock; every operation of the router runs alone with it.
//!
//! | file | holds |
//! |---|---|
//! | this one | sessions: look-up, change, removal; what a change sets off |
//! | [`entry`] | a session and what is known of it in memory only: lease, pulse, who was seen |
//! | [`index`] | from allocation, short code, player, platform session, type to sessions |
//! | [`timers`] | what happens by itself: leases, health, backfill, culling, allocation time-outs |
//! | [`registry`] | registered servers |
//! | [`allocator`] | who gets which |
//! | [`audit`] | what happened |
//! | [`events`], [`journal`] | what players are told; kept for whoever was away |
//! | [`deserters`] | who deserted matches |
//! | [`friends`], [`presence`] | the friend graph; who shows which session |
//!
//! Invariants: a change either happens whole, with its indexes, write and events, or not at all; `touched` covers
//! everything that an operation saw or wrote, so that its answer waits for all of it to be durable.

pub mod allocator;
pub mod audit;
pub mod deserters;
pub mod entry;
pub mod events;
pub mod friends;
pub mod index;
pub mod journal;
pub mod presence;
pub mod registry;
pub mod timers;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod timer_tests;

use super::{
    auth::Caller,
    http::reply::{Outcome, no_session, unavailable},
    rules::{authz, instance, leave, record::SessionRecord},
    settings::ServiceSettings,
    store::{
        Seq, Store, StoreError, Table,
        writer::{Change, Claim, Progress, Writer},
    },
};
use crate::model::{
    ids::{PlayerUuid, SessionId},
    session::JoinStatus,
    time::Now,
};
use entry::Entry;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::watch;

/// Everything.
#[derive(Debug)]
pub struct State {
    pub settings: Arc<ServiceSettings>,
    /// When the present operation runs.
    pub now: Now,
    pub servers: registry::Registry,
    pub audit: audit::AuditLog,
    pub events: journal::Journal,
    pub friends: friends::Friends,
    presence: presence::Presence,
    deserters: deserters::Deserters,
    sessions: HashMap<SessionId, Entry>,
    index: index::Index,
    timers: timers::Timers,
    writer: Writer,
    touched: Seq,
    next_number: u64,
    /// Instances that wait for a server, oldest first.
    requested: VecDeque<SessionId>,
}

/// What operations work on.
pub type Transaction = State;

impl State {
    /// Reads the store. Leases, culling and missed checks count from `now`.
    pub fn open(
        settings: Arc<ServiceSettings>,
        mut store: Box<dyn Store>,
        now: Now,
    ) -> Result<(State, watch::Receiver<Progress>), StoreError> {
        let claim = Claim::take(&mut *store)?;
        let sessions = read_sessions(&mut *store)?;
        let audit = audit::AuditLog::read(&mut *store)?;
        let friends = friends::Friends::read(&mut *store)?;
        let presence = presence::Presence::read(&mut *store)?;
        let deserters = deserters::Deserters::read(&mut *store)?;
        let events = journal::Journal::read(&mut *store, now, &settings.limits)?;
        let (writer, progress) =
            Writer::start(store, claim).map_err(|why| StoreError::new("start the writer of the store", why))?;
        let mut state = State {
            settings,
            now,
            servers: registry::Registry::default(),
            audit,
            events,
            friends,
            presence,
            deserters,
            sessions: HashMap::new(),
            index: index::Index::default(),
            timers: timers::Timers::default(),
            writer,
            touched: Seq::default(),
            next_number: sessions.iter().map(|session| session.number + 1).max().unwrap_or(1),
            requested: VecDeque::new(),
        };
        for record in sessions {
            state.restore(record);
        }
        let epoch = state.events.epoch().into_bytes();
        state.write(Table::Events, journal::EPOCH.to_owned(), Some(epoch));
        state.expire_events();
        state.end();
        Ok((state, progress))
    }

    fn restore(&mut self, record: SessionRecord) {
        self.index.change(None, Some(&record));
        if let Some(instance) = record.live_instance() {
            self.servers.restore(&record.id, instance, self.now.mono);
            if instance.info.join_status == JoinStatus::Requested {
                self.requested.push_back(record.id.clone());
            }
        }
        let id = record.id.clone();
        let entry = Entry::new(Arc::new(record), Seq::default(), self.now.mono, &self.settings);
        self.sessions.insert(id.clone(), entry);
        self.wake_by_deadline(&id);
    }

    /// Begins an operation.
    pub fn begin(&mut self, now: Now) {
        self.now = now;
        self.touched = Seq::default();
    }

    /// Ends an operation: what it changed goes to the store as one piece. Answers what it depends on.
    pub fn end(&mut self) -> Seq {
        self.writer.send();
        self.touched
    }

    /// The answer shows what these writes made.
    pub fn durability(&mut self, writes: impl IntoIterator<Item = Seq>) {
        self.touched = writes.into_iter().fold(self.touched, Seq::max);
    }

    /// For a change of something other than a session.
    pub fn write(&mut self, table: Table, key: String, value: Option<Vec<u8>>) {
        self.touched = self.writer.push(Change::Row(table, key, value));
    }

    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.sessions.values()
    }
    pub fn live_instances(&self) -> usize {
        self.entries().filter(|entry| entry.record.live_instance().is_some()).count()
    }

    /// A number for something new.
    pub fn new_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// A session by its id or short code.
    pub fn session(&mut self, id_or_code: &str) -> Outcome<Arc<SessionRecord>> {
        Ok(self.entry(id_or_code)?.record.clone())
    }

    pub fn entry(&mut self, id_or_code: &str) -> Outcome<&mut Entry> {
        let known = SessionId::new(id_or_code).ok().filter(|id| self.sessions.contains_key(id));
        let id = known.or_else(|| self.index.by_code(id_or_code)).ok_or_else(|| no_session(id_or_code))?;
        let entry = self.sessions.get_mut(&id).ok_or_else(|| no_session(id_or_code))?;
        self.touched = self.touched.max(entry.seq);
        Ok(entry)
    }

    /// Remembers that there is such a player, so that its legacy number can be used.
    pub fn know_player(&mut self, player: PlayerUuid) {
        self.index.know(player);
    }

    pub fn index(&self) -> &index::Index {
        &self.index
    }

    /// Adds a session that is new.
    pub fn create(&mut self, record: SessionRecord) -> Outcome<()> {
        if self.sessions.len() >= self.settings.limits.sessions as usize {
            return Err(unavailable("there are too many sessions", 10));
        }
        let id = record.id.clone();
        self.index.change(None, Some(&record));
        let record = Arc::new(record);
        let seq = self.writer.push(Change::Session(record.clone()));
        self.touched = seq;
        self.sessions.insert(id.clone(), Entry::new(record.clone(), seq, self.now.mono, &self.settings));
        self.audit_change(None, Some(&record));
        self.tell_change(None, Some(&record));
        self.wake_by_deadline(&id);
        Ok(())
    }

    /// Changes a session. On an error nothing has changed. A change that changes nothing keeps the version.
    pub fn update<T>(&mut self, id: &SessionId, change: impl FnOnce(&mut SessionRecord) -> Outcome<T>) -> Outcome<T> {
        let entry = self.sessions.get_mut(id).ok_or_else(|| no_session(id.as_str()))?;
        self.touched = self.touched.max(entry.seq);
        let old = entry.record.clone();
        let mut record = (*old).clone();
        let answer = change(&mut record)?;
        if record == *old {
            return Ok(answer);
        }
        record.version += 1;
        let record = Arc::new(record);
        let seq = self.writer.push(Change::Session(record.clone()));
        self.touched = seq;
        entry.replace(record.clone(), seq, self.now.mono);
        self.index.change(Some(&old), Some(&record));
        self.instance_changed(&old, &record);
        self.audit_change(Some(&old), Some(&record));
        self.tell_change(Some(&old), Some(&record));
        self.wake_by_deadline(id);
        self.request_changed(&old, &record);
        Ok(answer)
    }

    /// Takes a session out of everything.
    pub fn remove(&mut self, id: &SessionId) -> Outcome<()> {
        let entry = self.sessions.remove(id).ok_or_else(|| no_session(id.as_str()))?;
        self.index.change(Some(&entry.record), None);
        self.touched = self.writer.push(Change::Row(Table::Sessions, id.as_str().to_owned(), None));
        if let Some(instance) = entry.record.live_instance() {
            self.servers.released(id, instance);
        }
        self.audit_change(Some(&entry.record), None);
        self.tell_change(Some(&entry.record), None);
        Ok(())
    }

    /// What a closed, ended or replaced instance means for the server that ran it.
    fn instance_changed(&mut self, old: &SessionRecord, new: &SessionRecord) {
        let Some(before) = old.live_instance() else { return };
        let same = new.live_instance().is_some_and(|after| after.id() == before.id());
        if !same {
            self.servers.released(&old.id, before);
        }
    }

    /// Keeps a session alive: its participants and its host do.
    pub fn touch(&mut self, id: &SessionId, caller: &Caller, refresh: bool) {
        let (now, ttl) = (self.now.mono, self.settings.timings.session_ttl.get());
        let Some(entry) = self.sessions.get_mut(id) else { return };
        if let Some(player) = caller.player
            && entry.record.is_active(player)
        {
            entry.seen.insert(player, now);
        }
        let role = authz::role(&entry.record, caller);
        if refresh && role.active {
            entry.lease_until = now + ttl;
            if role.host {
                entry.host_heard = now;
            }
        }
    }

    /// Takes a player out of a session, and the session away if that leaves it empty and its type says so.
    pub fn leave(&mut self, id: &SessionId, player: PlayerUuid) -> Outcome<leave::Departed> {
        let gone = self.update(id, |session| leave::leave(session, player))?;
        let keeps = |state: &State, kind: &str| {
            state.settings.session_types.get(kind).is_some_and(|template| template.keep_alive_on_empty)
        };
        let kind = self.session(id.as_str())?.session_type.clone();
        if gone.empty && gone.player.status.is_active() && !keeps(self, &kind) {
            self.remove(id)?;
        }
        Ok(gone)
    }

    /// What is known of a session, without waiting for it.
    pub fn peek(&self, id: &SessionId) -> Option<&Entry> {
        self.sessions.get(id)
    }

    /// Whether a player has restrictions: by its own login, or by the configuration.
    pub fn sanctioned(&self, caller: &Caller, player: PlayerUuid) -> bool {
        let own = caller.player == Some(player) && caller.restricted;
        own || !self.settings.auth.restrictions_of(player, self.now.wall).is_empty()
    }

    /// Ends a session's instance for a reason of the service's own.
    pub fn close_instance(&mut self, id: &SessionId, reason: &str) {
        let closed = self.update(id, |session| {
            instance::close(session);
            Ok(())
        });
        if closed.is_ok() {
            tracing::info!(session = %id, reason, "instance closed by the service");
        }
    }

    /// Writes what is queued and ends the writer.
    pub fn finish(&mut self) {
        self.writer.finish();
    }
}

fn read_sessions(store: &mut dyn Store) -> Result<Vec<SessionRecord>, StoreError> {
    let rows = store.read(Table::Sessions)?;
    let read = |(key, bytes): (String, Vec<u8>)| {
        serde_json::from_slice(&bytes)
            .map_err(|why| StoreError::new("read a session of the store", format!("session {key}: {why}")))
    };
    let mut sessions: Vec<SessionRecord> = rows.into_iter().map(read).collect::<Result<_, _>>()?;
    sessions.sort_by_key(|session| session.number);
    Ok(sessions)
}
