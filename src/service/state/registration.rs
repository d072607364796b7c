//! Registrations of servers, as far as sessions are concerned: another life of a server takes over,
//! an operator releases an id, an allocation that isn't taken moves on.
//!
//! Invariants: a match that its server was told of is closed before another life of that server is
//! free; an allocation that its server was never told of is never lost with it: its session asks
//! for another.

use super::{
    State, Transaction,
    audit::Event,
    commit::Commit,
    registry::{Predecessor, Registered},
    server::ServerState,
};
use crate::{
    model::{
        ids::SessionId,
        session::JoinStatus,
        sic::RegisterItem,
        time::{Instant, Now},
    },
    service::rules::record::SessionRecord,
};
use serde_json::Map;
use std::collections::BTreeMap;

/// So many health cadences without a word end the term of a server whose next life has come.
const SILENT_CADENCES: u32 = 3;

impl Transaction<'_> {
    /// A server comes, or comes again. It may be given what waits for it.
    pub fn register_server(&mut self, registration: RegisterItem, subject: &str) -> Registered {
        let fresh = self.new_uuid().to_string();
        let (id, now, before) = (registration.id.clone(), self.now.mono, self.predecessor(&registration.id));
        if bytes(&registration) > MOST_BYTES {
            return Registered::TooLarge;
        }
        if self.servers.get(&id).is_none() && self.is_full(subject) {
            return Registered::Full;
        }
        let came = self.servers.register(registration, subject, now, fresh, before);
        match &came {
            Registered::Restarted(session) => self.close_instance(session, "its server has restarted"),
            Registered::NeverTold(session) => {
                self.request_again(session);
                self.request_server(session);
            }
            Registered::Free | Registered::UnderWay | Registered::Taken | Registered::Alive => {}
            Registered::Full | Registered::TooLarge => return came,
        }
        self.offer_server(&id);
        came
    }

    /// Whether there is no room for another server of a client.
    fn is_full(&self, subject: &str) -> bool {
        let limits = &self.settings.limits;
        let (all, own) = self.servers.count(subject);
        all >= limits.servers as usize || own >= limits.servers_per_client as usize
    }

    /// A server asks how it stands; none: this client has no such server. What it is given it knows from now on.
    pub fn poll_server(&mut self, id: &str, subject: &str) -> Option<ServerState> {
        let now = self.now.mono;
        self.servers.get(id).filter(|server| server.subject == subject && !server.has_lapsed(now))?;
        self.servers.get_mut(id)?.polls(now);
        // It may have been silent for so long that it couldn't be handed out.
        self.offer_server(id);
        let server = self.servers.get_mut(id)?;
        let state = server.state.clone();
        if let ServerState::Held { session, told: told @ false, .. } = &mut server.state {
            *told = true;
            let session = session.clone();
            self.note_delivered(&session);
        }
        Some(state)
    }

    /// Whether the life of a server that is registered is heard of: by its polls, or by what it says for its match.
    fn predecessor(&self, id: &str) -> Predecessor {
        let Some(server) = self.servers.get(id) else { return Predecessor::Silent };
        let silent = match &server.state {
            ServerState::Held { session, told: true, .. } => {
                let after = self.settings.timings.health_cadence.get() * SILENT_CADENCES;
                let entry = self.stored(session);
                entry.is_none_or(|entry| self.now.mono.since(entry.instance_heard.max(entry.status_since)) >= after)
            }
            ServerState::Held { told: false, .. } | ServerState::Free | ServerState::Over => {
                server.is_silent(self.now.mono, &self.settings.allocation)
            }
        };
        if silent { Predecessor::Silent } else { Predecessor::Heard }
    }

    /// Takes a registration away, whosever it is; a match on that server is over. Answers whether there was one.
    pub fn release_server(&mut self, id: &str, by: &str) -> bool {
        let Some(server) = self.servers.get(id).filter(|server| !server.has_lapsed(self.now.mono)) else {
            return false;
        };
        let reason = format!("server {id} of {} was released by {by}", server.subject);
        let session = match &server.state {
            ServerState::Held { session, .. } => Some(session.clone()),
            ServerState::Free | ServerState::Over => None,
        };
        self.servers.forget(id);
        if let Some(session) = &session {
            self.close_instance(session, "its server was released");
        }
        let about = session.iter().map(SessionId::as_str).chain([id]);
        for session_id in about {
            self.record_event(Event {
                event_name: "server.released".to_owned(),
                session_id: session_id.to_owned(),
                event_datetime: self.now.wall,
                player_uuid: None,
                players: Vec::new(),
                more: Map::from_iter([("reason".to_owned(), reason.clone().into())]),
            });
        }
        tracing::warn!(reason, "a registration was taken away");
        true
    }

    /// A session's server has missed two polls since it was chosen: the session asks for another.
    pub(super) fn move_on(&mut self, id: &SessionId) {
        let Ok(record) = self.current(id) else { return };
        let Some(server) = record.live_instance().and_then(|instance| instance.host.server.clone()) else { return };
        tracing::info!(session = %id, server, "the allocation was not taken, another server gets it");
        self.request_again(id);
        if let Some(server) = self.servers.get_mut(&server) {
            server.unresponsive = true;
        }
        self.request_server(id);
    }

    /// A session's server never heard of it: it is free, and the session asks for another.
    fn request_again(&mut self, id: &SessionId) {
        let Ok(old) = self.current(id) else { return };
        if let Some(instance) = old.live_instance().filter(|instance| !instance.host.delivered) {
            self.servers.release(id, instance);
            // Fails only for a session that is gone.
            let _ = self.amend(id, unassign);
        }
    }
}

/// The texts that a server may register with.
const MOST_BYTES: usize = 4096;

fn bytes(registration: &RegisterItem) -> usize {
    let optional = [&registration.warm_map, &registration.region_id];
    let texts = [&registration.id, &registration.group_tags, &registration.public_host];
    texts.into_iter().chain(optional.into_iter().flatten()).map(String::len).sum()
}

fn unassign(session: &mut SessionRecord) {
    let Some(instance) = session.live_instance_mut() else { return };
    instance.info.join_status = JoinStatus::Requested;
    instance.info.allocation_id = None;
    instance.info.host_dedicated_server_id = None;
    instance.info.host_dedicated_process_id = None;
    instance.info.version = None;
    instance.host = <_>::default();
}

impl State {
    /// When a server that was given a session and never told of it has missed two polls; none if it is known of none such.
    pub(super) fn untaken_until(&self, record: &SessionRecord, status_since: Instant) -> Option<Instant> {
        let instance = record.live_instance().filter(|instance| instance.info.join_status == JoinStatus::Allocated)?;
        let server = instance.host.server.as_ref().filter(|_| !instance.host.delivered)?;
        let server = self.servers.get(server)?;
        Some(status_since.max(server.seen) + server.two_polls(&self.settings.allocation))
    }

    /// Forgets the servers that are gone.
    pub fn forget_silent_servers(&mut self, now: Now) {
        let gone: BTreeMap<_, _> = self.servers.lapsed(now.mono).map(|id| (id.to_owned(), None)).collect();
        let mut commit = Commit { seq: self.writer.upcoming(), now, writes: Vec::new() };
        self.servers.commit(gone, &mut commit);
        // Nobody need wait for it.
        self.writer.commit(commit.writes);
    }
}
