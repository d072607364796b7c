//! Registered servers ("SIC"): who is there, and what each was given.
//!
//! ```text
//!   register ──► Free ──allocated──► Held{told} ──instance closed──► Over ──register──► Free
//!                  ▲                    │
//!                  └─── register by another incarnation: the old instance is closed first
//! ```
//!
//! A server is its id and its incarnation. The same incarnation registers idempotently; a new one is a restarted server, which
//! must never be handed the dead match. A client that sends no incarnation gets a new one each time it registers after its
//! `allocated` was delivered. The registry lives in memory; allocations are found again in the sessions after a start.

use crate::{
    model::{
        ids::{AllocationId, SessionId},
        time::Instant,
    },
    service::{rules::record::InstanceRecord, settings::AllocationSettings},
};
use semver::Version;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Notify;

/// What a registration says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registration {
    pub id: String,
    pub group_tags: String,
    pub public_host: String,
    pub public_port: u32,
    /// Extension.
    pub incarnation: Option<String>,
    pub version: Option<Version>,
    pub region_id: Option<String>,
    pub warm_map: Option<String>,
}

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

#[derive(Debug)]
pub struct Server {
    pub registration: Registration,
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
}

#[derive(Debug, Default)]
pub struct Registry {
    servers: BTreeMap<String, Server>,
    count: u64,
}

impl Registry {
    pub fn get(&self, id: &str) -> Option<&Server> {
        self.servers.get(id)
    }
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Server> {
        self.servers.get_mut(id)
    }
    pub fn iter(&self) -> impl Iterator<Item = &Server> {
        self.servers.values()
    }

    /// A server comes, or comes again.
    pub fn register(&mut self, registration: Registration, subject: &str, now: Instant, fresh: String) -> Registered {
        self.count += 1;
        let count = self.count;
        let known = self.servers.get_mut(&registration.id);
        let told =
            known.as_ref().is_some_and(|s| matches!(s.state, ServerState::Held { told: true, .. } | ServerState::Over));
        let incarnation = match (&registration.incarnation, &known) {
            (Some(given), _) => given.clone(),
            (None, Some(server)) if !told => server.incarnation.clone(),
            (None, _) => fresh,
        };
        let Some(server) = known else {
            let id = registration.id.clone();
            self.servers.insert(id, Server::new(registration, incarnation, subject, now, count));
            return Registered::Free;
        };
        server.seen = now;
        server.registration = registration;
        subject.clone_into(&mut server.subject);
        let same = server.incarnation == incarnation;
        server.incarnation = incarnation;
        let before = server.state.clone();
        match before {
            ServerState::Held { .. } if same => Registered::UnderWay,
            ServerState::Held { session, .. } => {
                server.free(count);
                server.long_polls = false;
                Registered::Restarted(session)
            }
            ServerState::Free if same => Registered::Free,
            ServerState::Free | ServerState::Over => {
                server.free(count);
                Registered::Free
            }
        }
    }

    /// Whether a server may be handed out: it is free, and was heard of lately; one that uses long polls has one open, or had
    /// a moment ago.
    pub fn is_available(server: &Server, now: Instant, settings: &AllocationSettings) -> bool {
        let patience = if server.long_polls { settings.poll_gap } else { settings.registration_ttl };
        server.state == ServerState::Free && (server.waiting > 0 || now.since(server.seen) <= patience.get())
    }

    /// Gives a server to a session.
    pub fn hold(&mut self, id: &str, allocation: AllocationId, session: SessionId) {
        if let Some(server) = self.servers.get_mut(id) {
            server.state = ServerState::Held { allocation, session, told: false };
            server.woken.notify_waiters();
        }
    }

    /// The instance that ran on a server is over.
    pub fn released(&mut self, session: &SessionId, instance: &InstanceRecord) {
        let Some(server) = instance.host.server.as_ref().and_then(|id| self.servers.get_mut(id)) else { return };
        let its = matches!(&server.state, ServerState::Held { session: held, allocation, .. }
            if held == session && Some(allocation) == instance.info.allocation_id.as_ref());
        if its {
            server.state = ServerState::Over;
            server.woken.notify_waiters();
        }
    }

    /// A live allocation found in the store at a start.
    pub fn restore(&mut self, session: &SessionId, instance: &InstanceRecord, now: Instant) {
        let (Some(id), Some(allocation)) = (&instance.host.server, &instance.info.allocation_id) else { return };
        let registration = Registration { id: id.clone(), ..Registration::default() };
        let incarnation = instance.host.incarnation.clone().unwrap_or_default();
        let subject = instance.host.subject.clone().unwrap_or_default();
        let told = instance.host.delivered;
        let state = ServerState::Held { allocation: allocation.clone(), session: session.clone(), told };
        let server = Server { state, ..Server::new(registration, incarnation, &subject, now, 0) };
        self.servers.insert(id.clone(), server);
    }

    /// A server that will take no more allocations says so. One that holds an allocation keeps it.
    pub fn withdraw(&mut self, id: &str, subject: &str) {
        if self.servers.get(id).is_some_and(|server| server.subject == subject && server.state == ServerState::Free) {
            self.servers.remove(id);
        }
    }

    /// Forgets servers that were not heard of for an hour and hold nothing.
    pub fn forget_silent(&mut self, now: Instant) {
        let patience = std::time::Duration::from_secs(3600);
        self.servers.retain(|_, server| {
            matches!(server.state, ServerState::Held { .. }) || server.waiting > 0 || now.since(server.seen) < patience
        });
    }
}

impl Server {
    fn new(registration: Registration, incarnation: String, subject: &str, now: Instant, count: u64) -> Server {
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

    fn free(&mut self, count: u64) {
        self.state = ServerState::Free;
        self.free_since = count;
        self.woken.notify_waiters();
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

    fn registration(incarnation: Option<&str>) -> Registration {
        Registration {
            id: "sic_h_1".into(),
            group_tags: "profile_id:p,server_id:box-1,hostname:h".into(),
            incarnation: incarnation.map(str::to_owned),
            ..Registration::default()
        }
    }

    fn held(registry: &mut Registry, told: bool) {
        let (allocation, session) = (AllocationId::new("a").unwrap(), SessionId::new("s").unwrap());
        registry.hold("sic_h_1", allocation.clone(), session.clone());
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
            let mut registry = Registry::default();
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
    fn tags_are_found_by_name() {
        let server = Server::new(registration(None), "i".into(), "client:a", Instant(std::time::Duration::ZERO), 0);
        assert_eq!(server.tag("server_id"), Some("box-1"));
        assert_eq!(server.tag("region"), None);
    }
}
