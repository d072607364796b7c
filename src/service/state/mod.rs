//! The committed state of the service, in memory behind one lock, and the transactions that change
//! it.
//!
//! ```text
//!   operation ◄──reads── Transaction ◄── State          one lock: no read is overtaken before its commit
//!       └─────writes───► Changes ──commit──► State, and one piece for the writer thread
//! ```
//!
//! | file | holds |
//! |---|---|
//! | this one | the [`State`]: what is read from the store at a start |
//! | [`transaction`], [`changes`] | what an operation reads and wants to change |
//! | [`commit`], [`diff`] | putting that in place; what a change of a session sets off |
//! | [`moment`] | an operation's time and randomness |
//! | [`entry`] | a session, its JSON, and what is known of it in memory only: lease, health checks, who was seen |
//! | [`index`] | from allocation, short code, player, platform session, type to sessions: a pure function of the record |
//! | [`due`] | what happens by itself: leases, health, backfill, culling, allocation time-outs |
//! | [`server`], [`registry`], [`registration`], [`allocator`] | a registered server; all of them; who takes over from whom; who gets which |
//! | [`audit`] | what happened |
//! | [`events`], [`event_batch`], [`journal`] | which players are told of a change; a row with what they are told; what is kept for those who were away |
//! | [`set_aside`] | rows of the store that can't be read |
//! | [`deserters`], [`friends`], [`presence`], [`numbers`] | who deserted matches; the friend graph; who shows which session; the numbers of older clients |
//!
//! Invariants: an operation changes nothing unless it answers success, and then everything at once,
//! with indexes, write and events; what is answered, a refusal too, waits until everything that it
//! shows is durable.

pub(crate) mod allocator;
pub(crate) mod audit;
mod changes;
mod commit;
pub(crate) mod deserters;
mod diff;
pub(crate) mod due;
pub(crate) mod entry;
pub(crate) mod event_batch;
pub(crate) mod events;
pub(crate) mod friends;
pub(crate) mod index;
pub(crate) mod journal;
pub(crate) mod moment;
mod numbers;
pub(crate) mod presence;
mod registration;
pub(crate) mod registry;
pub(crate) mod server;
mod set_aside;
mod transaction;

#[cfg(test)]
mod due_tests;
#[cfg(test)]
mod growth_tests;
#[cfg(test)]
mod limits_tests;
#[cfg(test)]
mod registration_tests;
#[cfg(test)]
mod rights_tests;
#[cfg(test)]
mod stranger_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod transaction_tests;

pub(crate) use transaction::Transaction;

use super::{
    auth::Caller,
    http::rate::Hosting,
    rules::{authz, record::SessionRecord},
    settings::ServiceSettings,
    store::{
        Seq, Store, StoreError, Table,
        writer::{Change, Claim, Progress, Writer},
    },
};
use crate::model::{ids::SessionId, time::Now};
use entry::{Entry, SessionView};
use set_aside::{RowError, SetAside};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::watch;

/// Everything that is committed.
#[derive(Debug)]
pub struct State {
    pub settings: Arc<ServiceSettings>,
    pub servers: registry::Registry,
    pub events: journal::Journal,
    audit: audit::AuditLog,
    friends: friends::Friends,
    presence: presence::Presence,
    deserters: deserters::Deserters,
    numbers: numbers::Numbers,
    sessions: HashMap<SessionId, Entry>,
    index: index::Index,
    timers: due::Timers,
    writer: Writer,
    pub(crate) set_aside: SetAside,
    next_number: u64,
}

impl State {
    /// Reads the store. Leases, culling and missed checks count from `now`.
    pub fn open(
        settings: Arc<ServiceSettings>,
        mut store: Box<dyn Store>,
        now: Now,
    ) -> Result<(State, watch::Receiver<Progress>), StoreError> {
        let claim = Claim::take(&mut *store)?;
        let mut set_aside = SetAside::default();
        let sessions = read_sessions(&mut *store, &mut set_aside)?;
        let audit = audit::AuditLog::read(&mut *store, &mut set_aside)?;
        let friends = friends::Friends::read(&mut *store, &mut set_aside)?;
        let presence = presence::Presence::read(&mut *store, &mut set_aside)?;
        let deserters = deserters::Deserters::read(&mut *store, &mut set_aside)?;
        let numbers = numbers::Numbers::read(&mut *store, &mut set_aside)?;
        let servers = registry::Registry::read(&mut *store, &mut set_aside, now.mono)?;
        let events = journal::Journal::read(&mut *store, &mut set_aside, now, &settings.limits)?;
        let (writer, progress) =
            Writer::start(store, claim).map_err(|why| StoreError::new("start the writer of the store", why))?;
        let mut state = State {
            settings,
            servers,
            events,
            audit,
            friends,
            presence,
            deserters,
            numbers,
            sessions: HashMap::new(),
            index: index::Index::default(),
            timers: due::Timers::default(),
            writer,
            set_aside,
            next_number: sessions.iter().map(|session| session.number + 1).max().unwrap_or(1),
        };
        for record in sessions {
            state.restore(record, now);
        }
        let epoch = state.events.epoch().into_bytes();
        state.writer.commit(vec![Change::Row(Table::Events, journal::EPOCH.to_owned(), Some(epoch))]);
        state.expire_events(now);
        state.number_players(&moment::Moment::new(now));
        Ok((state, progress))
    }

    fn restore(&mut self, mut record: SessionRecord, now: Now) {
        self.numbers.write_into(&mut record);
        self.index.change(None, Some(&record));
        if let Some(instance) = record.live_instance() {
            self.servers.restore(&record.id, instance, now.mono);
        }
        let id = record.id.clone();
        let entry = Entry::new(SessionView::new(Arc::new(record)), Seq::default(), now.mono, &self.settings);
        self.sessions.insert(id.clone(), entry);
        self.schedule(&id, now);
    }

    /// Whether a caller hosts a session that lives, and as which server.
    pub(crate) fn hosting(&self, id_or_code: &str, caller: &Caller) -> Hosting {
        let known = SessionId::new(id_or_code).ok().filter(|id| self.sessions.contains_key(id));
        let entry = known.or_else(|| self.index.by_code(id_or_code)).and_then(|id| self.sessions.get(&id));
        match entry.map(Entry::record).filter(|session| authz::is_host(session, caller)) {
            Some(session) => Hosting::Live(session.live_instance().and_then(|instance| instance.host.server.clone())),
            None => Hosting::No,
        }
    }

    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }
    pub fn live_instances(&self) -> usize {
        self.index.live()
    }

    /// Writes what is queued and ends the writer.
    pub fn finish(&mut self) {
        self.writer.finish();
    }
}

fn read_sessions(store: &mut dyn Store, set_aside: &mut SetAside) -> Result<Vec<SessionRecord>, StoreError> {
    let mut sessions: Vec<SessionRecord> = Vec::new();
    set_aside.rows(store, Table::Sessions, |_, bytes| {
        let session: SessionRecord = serde_json::from_slice(bytes)?;
        if session.number.max(session.version) == u64::MAX {
            return Err(RowError::Last);
        }
        sessions.push(session);
        Ok(())
    })?;
    sessions.sort_by_key(|session| session.number);
    Ok(sessions)
}
