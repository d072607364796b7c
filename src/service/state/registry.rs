//! Registered servers ("SIC"): who is there, and what each was given.
//!
//! ```text
//!   register ──► Free ──allocated──► Held{told} ──instance closed──► Over ──register──► Free
//!                  ▲                    │
//!                  ├─── instance closed, or moved on to another server, before it was told
//!                  └─── register by another incarnation: the old instance is closed first
//! ```
//!
//! An id belongs to the client that registered it, until it holds no allocation and nothing was
//! heard of it for ten minutes, or an operator releases it. A server is its id and its incarnation.
//! The same incarnation registers idempotently; a new one is a restarted server, which must never
//! be handed the dead match. It takes over if it shows the one before, or that one is silent; else
//! it has to try again. A client that sends no incarnation gets a new one each time it registers
//! after its `allocated` was delivered. Registrations are durable; so are allocations, in their
//! sessions.
//!
//! An operation works on [`Servers`]: the registry, and what it changes of it. Long polls are woken
//! when that is committed.

use super::{
    commit::Commit,
    server::{Incarnation, Poll, Server, ServerState},
    set_aside::{RowError, SetAside},
};
use crate::{
    model::{
        ids::{AllocationId, SessionId},
        sic::RegisterItem,
        time::Instant,
    },
    service::{
        rules::record::InstanceRecord,
        store::{Store, StoreError, Table},
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What came of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    Free,
    /// An allocation is under way: poll on.
    UnderWay,
    /// Free, and this session's instance belongs to a life that is over: close it.
    Restarted(SessionId),
    /// Free, and this session was given to a life that never knew: it gets another server.
    NeverTold(SessionId),
    /// The id belongs to another client, which was heard of lately.
    Taken,
    /// Another life of this server was heard of lately.
    Alive,
    /// There are too many servers, of this client or in all.
    Full,
    /// Its texts are too long.
    TooLarge,
}

/// Whether the life of a server that another one would follow has been heard lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predecessor {
    Heard,
    Silent,
}

/// Every server that registered, as committed.
#[derive(Debug, Default)]
pub struct Registry {
    servers: BTreeMap<String, Server>,
    by_subject: HashMap<String, usize>,
    count: u64,
}

/// The registry as an operation leaves it.
#[derive(Debug)]
pub struct Servers<'s> {
    registry: &'s Registry,
    /// By id; none: it is gone.
    changed: BTreeMap<String, Option<Server>>,
}

impl Registry {
    /// The servers of a store. What was heard of them counts from `now`.
    pub(super) fn read(store: &mut dyn Store, set_aside: &mut SetAside, now: Instant) -> Result<Registry, StoreError> {
        let mut registry = Registry::default();
        set_aside.rows(store, Table::Servers, |key, bytes| {
            let server = Server::stored(serde_json::from_slice(bytes)?, now);
            if server.registration.id != key {
                return Err(RowError::Key);
            }
            if server.free_since == u64::MAX {
                return Err(RowError::Last);
            }
            registry.count = registry.count.max(server.free_since);
            registry.insert(key.to_owned(), server);
            Ok(())
        })?;
        Ok(registry)
    }

    pub fn get(&self, id: &str) -> Option<&Server> {
        self.servers.get(id)
    }

    fn insert(&mut self, id: String, server: Server) {
        *self.by_subject.entry(server.subject.clone()).or_default() += 1;
        if let Some(old) = self.servers.insert(id, server) {
            self.one_less(&old.subject);
        }
    }

    fn one_less(&mut self, subject: &str) {
        if let Some(count) = self.by_subject.get_mut(subject) {
            *count -= 1;
            if *count == 0 {
                self.by_subject.remove(subject);
            }
        }
    }
    pub fn iter(&self) -> impl Iterator<Item = &Server> {
        self.servers.values()
    }

    /// Takes what an operation changed, and wakes the long polls of servers to which something has happened.
    pub(super) fn commit(&mut self, changed: BTreeMap<String, Option<Server>>, commit: &mut Commit) {
        for (id, server) in changed {
            let Some(server) = server else {
                if let Some(gone) = self.servers.remove(&id) {
                    self.one_less(&gone.subject);
                    gone.woken.notify_waiters();
                    commit.row(Table::Servers, id, None);
                }
                continue;
            };
            self.count = self.count.max(server.free_since);
            let old = self.servers.get(&id);
            if !old.is_some_and(|old| old.is_stored_as(&server)) {
                // A row is plain data with text keys: it always serialises.
                let row = serde_json::to_vec(&server.row()).unwrap_or_default();
                commit.row(Table::Servers, id.clone(), Some(row));
            }
            let news = old.is_some_and(|old| old.state != server.state);
            let woken = server.woken.clone();
            self.insert(id, server);
            if news {
                woken.notify_waiters();
            }
        }
    }

    /// A live allocation found in the store at a start.
    pub fn restore(&mut self, session: &SessionId, instance: &InstanceRecord, now: Instant) {
        let (Some(id), Some(allocation)) = (&instance.host.server, &instance.info.allocation_id) else { return };
        let state = ServerState::Held {
            allocation: allocation.clone(),
            session: session.clone(),
            told: instance.host.delivered,
        };
        // Stores of before have no row for it.
        if let Some(server) = self.servers.get_mut(id) {
            server.state = state;
            return;
        }
        let registration = RegisterItem { id: id.clone(), ..RegisterItem::default() };
        let incarnation = Incarnation::Given(instance.host.incarnation.clone().unwrap_or_default());
        let subject = instance.host.subject.as_deref().unwrap_or_default();
        let mut server = Server::new(registration, incarnation, subject, now, 0);
        server.state = state;
        self.insert(id.clone(), server);
    }

    /// A long poll of a server of this client has begun; none: the client has no such server.
    pub fn poll_begins(&mut self, id: &str, subject: &str, now: Instant) -> Option<Poll> {
        let own = |server: &&mut Server| server.subject == subject && !server.has_lapsed(now);
        let server = self.servers.get_mut(id).filter(own)?;
        server.waiting += 1;
        server.long_polls = true;
        Some(Poll(server.woken.clone()))
    }

    /// That long poll is over.
    pub fn poll_ends(&mut self, id: &str, poll: &Poll, now: Instant) {
        if let Some(server) = self.servers.get_mut(id).filter(|server| Arc::ptr_eq(&server.woken, &poll.0)) {
            server.waiting = server.waiting.saturating_sub(1);
            server.seen = server.seen.max(now);
        }
    }

    /// The servers that are gone by now.
    pub(super) fn lapsed(&self, now: Instant) -> impl Iterator<Item = &str> {
        self.servers.iter().filter(move |(_, server)| server.has_lapsed(now)).map(|(id, _)| id.as_str())
    }
}

impl<'s> Servers<'s> {
    pub fn of(registry: &'s Registry) -> Servers<'s> {
        Servers { registry, changed: BTreeMap::new() }
    }

    pub(super) fn into_changed(self) -> BTreeMap<String, Option<Server>> {
        self.changed
    }

    pub fn get(&self, id: &str) -> Option<&Server> {
        match self.changed.get(id) {
            Some(changed) => changed.as_ref(),
            None => self.registry.get(id),
        }
    }

    /// A server, to change it.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Server> {
        if !self.changed.contains_key(id) {
            let server = self.registry.get(id)?.clone();
            self.changed.insert(id.to_owned(), Some(server));
        }
        self.changed.get_mut(id)?.as_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Server> {
        let others = self.registry.servers.iter().filter(|(id, _)| !self.changed.contains_key(*id));
        others.map(|(_, server)| server).chain(self.changed.values().flatten())
    }

    /// How many servers there are, in all and of a client.
    pub(super) fn count(&self, subject: &str) -> (usize, usize) {
        let (known, own) = (self.registry.servers.len(), self.registry.by_subject.get(subject).copied().unwrap_or(0));
        // Those that this operation has added; what it took away counts until it is done.
        let added: Vec<&Server> =
            self.changed.values().flatten().filter(|new| self.registry.get(&new.registration.id).is_none()).collect();
        (known + added.len(), own + added.iter().filter(|new| new.subject == subject).count())
    }

    /// The next number in the order in which servers became free.
    fn next_turn(&self) -> u64 {
        let changed = self.changed.values().flatten().map(|server| server.free_since);
        changed.fold(self.registry.count, u64::max) + 1
    }

    /// A server comes, or comes again.
    pub fn register(
        &mut self,
        registration: RegisterItem,
        subject: &str,
        now: Instant,
        fresh: String,
        before: Predecessor,
    ) -> Registered {
        let turn = self.next_turn();
        let id = registration.id.clone();
        let named = registration.incarnation.as_ref().map(|own| Incarnation::Named(own.to_string()));
        let incarnation = named.unwrap_or(Incarnation::Given(fresh));
        let Some(known) = self.get(&id).filter(|server| !server.has_lapsed(now)) else {
            self.changed.insert(id, Some(Server::new(registration, incarnation, subject, now, turn)));
            return Registered::Free;
        };
        if known.subject != subject {
            return Registered::Taken;
        }
        let told = matches!(known.state, ServerState::Held { told: true, .. } | ServerState::Over);
        let same = known.incarnation.is_of(&registration) && (registration.incarnation.is_some() || !told);
        if !same && before == Predecessor::Heard && !known.gives_way_to(&registration) {
            return Registered::Alive;
        }
        let Some(server) = self.get_mut(&id) else { return Registered::Taken };
        server.seen = now;
        server.unresponsive = false;
        server.registration = registration;
        if same {
            if matches!(server.state, ServerState::Held { .. }) {
                return Registered::UnderWay;
            }
            if server.state == ServerState::Over {
                server.free(turn);
            }
            return Registered::Free;
        }
        let held = std::mem::replace(&mut server.state, ServerState::Free);
        server.begin(incarnation, turn);
        match held {
            ServerState::Held { session, told: true, .. } => Registered::Restarted(session),
            ServerState::Held { session, told: false, .. } => Registered::NeverTold(session),
            ServerState::Free | ServerState::Over => Registered::Free,
        }
    }

    /// Gives a server to a session.
    pub fn assign(&mut self, id: &str, allocation: AllocationId, session: SessionId) {
        if let Some(server) = self.get_mut(id) {
            server.state = ServerState::Held { allocation, session, told: false };
        }
    }

    /// The instance that ran on a server is over. A server that never knew of it is free again.
    pub fn release(&mut self, session: &SessionId, instance: &InstanceRecord) {
        let Some(id) = &instance.host.server else { return };
        let turn = self.next_turn();
        let its = self.get(id).and_then(|server| match &server.state {
            ServerState::Held { session: held, allocation, told }
                if held == session && Some(allocation) == instance.info.allocation_id.as_ref() =>
            {
                Some(*told)
            }
            ServerState::Held { .. } | ServerState::Free | ServerState::Over => None,
        });
        let Some((told, server)) = its.and_then(|told| Some((told, self.get_mut(id)?))) else { return };
        if told {
            server.state = ServerState::Over;
        } else {
            server.free(turn);
        }
    }

    /// A server that will take no more allocations says so. One that holds an allocation keeps it.
    pub fn withdraw(&mut self, id: &str, subject: &str) {
        if self.get(id).is_some_and(|server| server.subject == subject && server.state == ServerState::Free) {
            self.forget(id);
        }
    }

    /// Takes a registration away.
    pub(super) fn forget(&mut self, id: &str) {
        self.changed.insert(id.to_owned(), None);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::at, *};
    use crate::service::store::Seq;
    use futures_util::FutureExt;

    fn registration() -> RegisterItem {
        RegisterItem { id: "sic_h_1".into(), ..RegisterItem::default() }
    }

    #[tokio::test]
    async fn a_long_poll_is_woken_when_an_assignment_is_committed_and_not_before() {
        let mut registry = Registry::default();
        let now = at(0);
        let commit = || Commit { seq: Seq::default(), now, writes: Vec::new() };
        let mut servers = Servers::of(&registry);
        servers.register(registration(), "client:a", now.mono, "f".into(), Predecessor::Silent);
        let registered = servers.into_changed();
        registry.commit(registered, &mut commit());
        let woken = registry.get("sic_h_1").unwrap().woken.clone();
        let mut listening = Box::pin(woken.notified());
        listening.as_mut().enable();
        let mut servers = Servers::of(&registry);
        servers.assign("sic_h_1", AllocationId::new("a").unwrap(), SessionId::new("s").unwrap());
        let assigned = servers.into_changed();
        assert!(listening.as_mut().now_or_never().is_none());
        registry.commit(assigned, &mut commit());
        assert!(listening.as_mut().now_or_never().is_some());
    }

    #[test]
    fn the_end_of_a_poll_counts_only_for_the_registration_that_it_was_begun_for() {
        let mut registry = Registry::default();
        let now = at(0);
        let register = |registry: &mut Registry, subject: &str| {
            let mut servers = Servers::of(registry);
            servers.forget("sic_h_1");
            servers.register(registration(), subject, now.mono, "f".into(), Predecessor::Silent);
            let changed = servers.into_changed();
            registry.commit(changed, &mut Commit { seq: Seq::default(), now, writes: Vec::new() });
        };
        register(&mut registry, "client:a");
        assert!(registry.poll_begins("sic_h_1", "client:b", now.mono).is_none());
        let before = registry.poll_begins("sic_h_1", "client:a", now.mono).unwrap();
        register(&mut registry, "client:b");
        let poll = registry.poll_begins("sic_h_1", "client:b", now.mono).unwrap();
        registry.poll_ends("sic_h_1", &before, at(5).mono);
        let server = registry.get("sic_h_1").unwrap();
        assert_eq!((server.waiting, server.seen), (1, now.mono));
        registry.poll_ends("sic_h_1", &poll, at(5).mono);
        let server = registry.get("sic_h_1").unwrap();
        assert_eq!((server.waiting, server.seen), (0, at(5).mono));
    }
}
