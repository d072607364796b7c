//! Registered servers ("SIC"): who is there, and what each was given.
//!
//! ```text
//!   register ──► Free ──allocated──► Held{told} ──instance closed──► Over ──register──► Free
//!                  ▲                    │
//!                  └─── register by another incarnation: the old instance is closed first
//! ```
//!
//! An id belongs to the client that registered it, until it holds no allocation and nothing was
//! heard of it for ten minutes. A server is its id and its incarnation. The same incarnation
//! registers idempotently; a new one is a restarted server, which must never be handed the dead
//! match. A client that sends no incarnation gets a new one each time it registers after its
//! `allocated` was delivered. The registry lives in memory; allocations are found again in the
//! sessions after a start.
//!
//! An operation works on [`Servers`]: the registry, and what it changes of it. Long polls are woken
//! when that is committed.

use crate::{
    model::{
        ids::{AllocationId, SessionId},
        sic::RegisterItem,
        time::Instant,
    },
    service::{rules::record::InstanceRecord, settings::AllocationSettings},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// What a server has been given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerState {
    Free,
    Held {
        allocation: AllocationId,
        session: SessionId,
        told: bool,
    },
    /// Its allocation is over; it must register to get another.
    Over,
}

#[derive(Debug, Clone)]
pub struct Server {
    pub registration: RegisterItem,
    pub incarnation: String,
    /// The credential that registered it.
    pub subject: String,
    pub state: ServerState,
    /// The last register or state call.
    pub seen: Instant,
    /// Open long polls.
    pub waiting: u32,
    /// Whether it has used a long poll in this incarnation.
    pub long_polls: bool,
    /// Grows with each time it became free: fairness.
    pub free_since: u64,
    /// Wakes its long polls.
    pub woken: Arc<Notify>,
}

/// What came of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    Free,
    /// An allocation is under way: poll on.
    UnderWay,
    /// Free, and this session's instance belongs to a life that is over: close it.
    Restarted(SessionId),
    /// The id belongs to another client, which was heard of lately.
    Taken,
}

/// Every server that registered, as committed.
#[derive(Debug, Default)]
pub struct Registry {
    servers: BTreeMap<String, Server>,
    count: u64,
}

/// The registry as an operation leaves it.
#[derive(Debug)]
pub struct Servers<'s> {
    registry: &'s Registry,
    /// By id; none: it is gone.
    changed: BTreeMap<String, Option<Server>>,
}

/// After so much silence another client may register a server's id.
const LAPSES_AFTER: Duration = Duration::from_secs(600);

/// How long a server that holds nothing is remembered in silence.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

impl Registry {
    pub fn get(&self, id: &str) -> Option<&Server> {
        self.servers.get(id)
    }
    pub fn iter(&self) -> impl Iterator<Item = &Server> {
        self.servers.values()
    }

    /// Takes what an operation changed, and wakes the long polls of servers to which something has happened.
    pub(super) fn commit(&mut self, changed: BTreeMap<String, Option<Server>>) {
        for (id, server) in changed {
            let Some(server) = server else {
                self.servers.remove(&id);
                continue;
            };
            self.count = self.count.max(server.free_since);
            let woken = server.woken.clone();
            let news = self.servers.get(&id).is_some_and(|old| old.state != server.state);
            self.servers.insert(id, server);
            if news {
                woken.notify_waiters();
            }
        }
    }

    /// A live allocation found in the store at a start.
    pub fn restore(&mut self, session: &SessionId, instance: &InstanceRecord, now: Instant) {
        let (Some(id), Some(allocation)) = (&instance.host.server, &instance.info.allocation_id) else { return };
        let registration = RegisterItem { id: id.clone(), ..RegisterItem::default() };
        let incarnation = instance.host.incarnation.clone().unwrap_or_default();
        let subject = instance.host.subject.clone().unwrap_or_default();
        let told = instance.host.delivered;
        let state = ServerState::Held { allocation: allocation.clone(), session: session.clone(), told };
        let server = Server { state, ..Server::new(registration, incarnation, &subject, now, 0) };
        self.servers.insert(id.clone(), server);
    }

    /// A long poll of a server has begun.
    pub fn poll_begins(&mut self, id: &str, subject: &str) {
        if let Some(server) = self.servers.get_mut(id).filter(|server| server.subject == subject) {
            server.waiting += 1;
            server.long_polls = true;
        }
    }

    /// A long poll of a server is over.
    pub fn poll_ends(&mut self, id: &str, now: Instant) {
        if let Some(server) = self.servers.get_mut(id) {
            server.waiting = server.waiting.saturating_sub(1);
            server.seen = server.seen.max(now);
        }
    }

    /// Forgets servers that were not heard of for an hour and hold nothing.
    pub fn forget_silent(&mut self, now: Instant) {
        self.servers.retain(|_, server| {
            matches!(server.state, ServerState::Held { .. })
                || server.waiting > 0
                || now.since(server.seen) < FORGOTTEN_AFTER
        });
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

    /// The next number in the order in which servers became free.
    fn next_turn(&self) -> u64 {
        let changed = self.changed.values().flatten().map(|server| server.free_since);
        changed.fold(self.registry.count, u64::max) + 1
    }

    /// A server comes, or comes again.
    pub fn register(&mut self, registration: RegisterItem, subject: &str, now: Instant, fresh: String) -> Registered {
        let turn = self.next_turn();
        let id = registration.id.clone();
        let Some(server) = self.get_mut(&id) else {
            let incarnation = registration.incarnation.as_ref().map_or(fresh, ToString::to_string);
            self.changed.insert(id, Some(Server::new(registration, incarnation, subject, now, turn)));
            return Registered::Free;
        };
        if server.subject != subject && !server.has_lapsed(now) {
            return Registered::Taken;
        }
        let told = matches!(server.state, ServerState::Held { told: true, .. } | ServerState::Over);
        let incarnation = match &registration.incarnation {
            Some(given) => given.to_string(),
            None if !told => server.incarnation.clone(),
            None => fresh,
        };
        server.seen = now;
        server.registration = registration;
        subject.clone_into(&mut server.subject);
        let same = server.incarnation == incarnation;
        server.incarnation = incarnation;
        match server.state.clone() {
            ServerState::Held { .. } if same => Registered::UnderWay,
            ServerState::Held { session, .. } => {
                server.free(turn);
                server.long_polls = false;
                Registered::Restarted(session)
            }
            ServerState::Free if same => Registered::Free,
            ServerState::Free | ServerState::Over => {
                server.free(turn);
                Registered::Free
            }
        }
    }

    /// Gives a server to a session.
    pub fn assign(&mut self, id: &str, allocation: AllocationId, session: SessionId) {
        if let Some(server) = self.get_mut(id) {
            server.state = ServerState::Held { allocation, session, told: false };
        }
    }

    /// The instance that ran on a server is over.
    pub fn release(&mut self, session: &SessionId, instance: &InstanceRecord) {
        let Some(id) = &instance.host.server else { return };
        let its = self.get(id).is_some_and(|server| {
            matches!(&server.state, ServerState::Held { session: held, allocation, .. }
                if held == session && Some(allocation) == instance.info.allocation_id.as_ref())
        });
        if its && let Some(server) = self.get_mut(id) {
            server.state = ServerState::Over;
        }
    }

    /// A server that will take no more allocations says so. One that holds an allocation keeps it.
    pub fn withdraw(&mut self, id: &str, subject: &str) {
        if self.get(id).is_some_and(|server| server.subject == subject && server.state == ServerState::Free) {
            self.changed.insert(id.to_owned(), None);
        }
    }
}

impl Server {
    fn new(registration: RegisterItem, incarnation: String, subject: &str, now: Instant, count: u64) -> Server {
        Server {
            registration,
            incarnation,
            subject: subject.to_owned(),
            state: ServerState::Free,
            seen: now,
            waiting: 0,
            long_polls: false,
            free_since: count,
            woken: Arc::default(),
        }
    }

    /// Whether nothing was heard of it for so long that its id may go to another client.
    fn has_lapsed(&self, now: Instant) -> bool {
        let held = matches!(self.state, ServerState::Held { .. });
        !held && self.waiting == 0 && now.since(self.seen) >= LAPSES_AFTER
    }

    fn free(&mut self, count: u64) {
        self.state = ServerState::Free;
        self.free_since = count;
    }

    /// Whether it may be handed out: it is free, and was heard of lately; a server that uses long polls has one open, or had
    /// one a moment ago.
    pub fn is_available(&self, now: Instant, settings: &AllocationSettings) -> bool {
        let silence = if self.long_polls { settings.poll_gap } else { settings.registration_ttl };
        self.state == ServerState::Free && (self.waiting > 0 || now.since(self.seen) <= silence.get())
    }

    /// A tag of `group_tags` (`profile_id:P,server_id:S,hostname:H`).
    pub fn tag(&self, name: &str) -> Option<&str> {
        let tags = self.registration.group_tags.split(',').filter_map(|tag| tag.trim().split_once(':'));
        tags.filter(|(key, _)| *key == name).map(|(_, value)| value).find(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn registration(incarnation: Option<&str>) -> RegisterItem {
        RegisterItem {
            id: "sic_h_1".into(),
            group_tags: "profile_id:p,server_id:box-1,hostname:h".into(),
            incarnation: incarnation.map(|text| text.parse().unwrap()),
            ..RegisterItem::default()
        }
    }

    fn held(registry: &mut Servers<'_>, told: bool) {
        let (allocation, session) = (AllocationId::new("a").unwrap(), SessionId::new("s").unwrap());
        registry.assign("sic_h_1", allocation.clone(), session.clone());
        registry.get_mut("sic_h_1").unwrap().state = ServerState::Held { allocation, session, told };
    }

    /// The identity rule of sic.md, row by row: first incarnation, told, second incarnation, what comes of it.
    #[test]
    fn the_same_incarnation_is_idempotent_and_a_new_one_never_gets_the_dead_match() {
        let restarted = Registered::Restarted(SessionId::new("s").unwrap());
        let rows = [
            (Some("k1"), false, Some("k1"), Registered::UnderWay),
            (Some("k1"), true, Some("k1"), Registered::UnderWay),
            (Some("k1"), false, Some("k2"), restarted.clone()),
            (Some("k1"), true, Some("k2"), restarted.clone()),
            (None, false, None, Registered::UnderWay),
            (None, true, None, restarted),
        ];
        for (first, told, second, expected) in rows {
            let registry = Registry::default();
            let mut registry = Servers::of(&registry);
            let now = Instant(std::time::Duration::ZERO);
            assert_eq!(registry.register(registration(first), "client:a", now, "f1".into()), Registered::Free);
            held(&mut registry, told);
            let came = registry.register(registration(second), "client:a", now, "f2".into());
            assert_eq!(came, expected, "{first:?} told={told} {second:?}");
            let free = registry.get("sic_h_1").unwrap().state == ServerState::Free;
            assert_eq!(free, matches!(expected, Registered::Restarted(_)));
        }
    }

    #[test]
    fn an_id_belongs_to_its_client_until_ten_minutes_after_its_last_word() {
        let registry = Registry::default();
        let mut registry = Servers::of(&registry);
        let at = |seconds| Instant(Duration::from_secs(seconds));
        let register = |registry: &mut Servers<'_>, who: &str, incarnation, seconds| {
            registry.register(registration(incarnation), who, at(seconds), "f".into())
        };
        assert_eq!(register(&mut registry, "client:a", Some("k1"), 0), Registered::Free);
        for incarnation in [Some("k1"), Some("k2"), None] {
            assert_eq!(register(&mut registry, "client:b", incarnation, 599), Registered::Taken, "{incarnation:?}");
        }
        held(&mut registry, true);
        assert_eq!(register(&mut registry, "client:b", Some("k1"), 100_000), Registered::Taken, "it holds a match");
        assert_eq!(registry.get("sic_h_1").unwrap().subject, "client:a");
        registry.get_mut("sic_h_1").unwrap().state = ServerState::Over;
        assert_eq!(register(&mut registry, "client:b", Some("k1"), 600), Registered::Free);
        assert_eq!(registry.get("sic_h_1").unwrap().subject, "client:b");
    }

    #[tokio::test]
    async fn a_long_poll_is_woken_when_an_assignment_is_committed_and_not_before() {
        let mut registry = Registry::default();
        let mut servers = Servers::of(&registry);
        servers.register(registration(None), "client:a", Instant(Duration::ZERO), "f".into());
        let registered = servers.into_changed();
        registry.commit(registered);
        let woken = registry.get("sic_h_1").unwrap().woken.clone();
        let mut listening = Box::pin(woken.notified());
        listening.as_mut().enable();
        let mut servers = Servers::of(&registry);
        held(&mut servers, false);
        let assigned = servers.into_changed();
        assert!(listening.as_mut().now_or_never().is_none());
        registry.commit(assigned);
        assert!(listening.as_mut().now_or_never().is_some());
    }

    #[test]
    fn tags_are_found_by_name() {
        let server = Server::new(registration(None), "i".into(), "client:a", Instant(std::time::Duration::ZERO), 0);
        assert_eq!(server.tag("server_id"), Some("box-1"));
        assert_eq!(server.tag("region"), None);
    }
}
