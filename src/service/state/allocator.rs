//! Assigns registered servers to the sessions that ask for one.
//!
//! A server fits when it is available, of the session's region (a server or a session without one
//! fits everywhere), and compatible with the version of whoever made the session and of every
//! member. Of those that fit: one that has missed no poll before others, then one that is warm for
//! the map, then one with an open long poll. Of servers with an open poll comes whoever has been
//! free longest, of others whoever polled last. Requests are served in the order in which they
//! came.
//!
//! Invariant: no request waits that a server fits which could be handed out. So a new request looks
//! at all servers once, and a server that comes, or polls, looks at the requests that wait, never
//! at other servers: thousands of idle ones poll all the time.

use super::{Transaction, server::Server};
use crate::{
    model::{
        ids::{AllocationId, SessionId},
        session::JoinStatus,
        version::{Matching, compatible},
    },
    service::rules::record::{InstanceRecord, SessionRecord},
};
use std::time::Duration;

impl Transaction<'_> {
    /// An instance waits for a server: it gets one now if one fits. Else the first that comes and fits finds it in the index.
    pub fn request_server(&mut self, id: &SessionId) {
        let waiting = self.current(id).ok().filter(|record| waits(record));
        let chosen = waiting.as_deref().and_then(|record| self.choose(record));
        drop(waiting);
        if let Some(server) = chosen {
            self.assign(id, &server);
        }
    }

    /// A server can be handed out, perhaps: to the oldest request that it fits. The others that could be handed out fit none.
    pub fn offer_server(&mut self, id: &str) {
        let (now, settings) = (self.now.mono, self.settings);
        let Some(server) = self.servers.get(id).filter(|server| server.is_available(now, &settings.allocation)) else {
            return;
        };
        let fitting = self.state.index.requested().find(|id| {
            let record = self.drafted_or_stored(id);
            record.is_some_and(|record| waits(record) && fits(server, record, settings.versions))
        });
        if let Some(session) = fitting.cloned() {
            let server = ChosenServer::of(server);
            self.assign(&session, &server);
        }
    }

    /// The instance that ran on a server is over. A server that never knew of it may serve whoever waits.
    pub(super) fn server_freed(&mut self, session: &SessionId, instance: &InstanceRecord) {
        self.servers.release(session, instance);
        if let Some(server) = &instance.host.server {
            self.offer_server(server);
        }
    }

    /// Serves all requests as far as there are servers: other rules hold now.
    pub fn allocate_waiting(&mut self) {
        let waiting: Vec<SessionId> = self.state.index.requested().cloned().collect();
        for id in waiting {
            self.request_server(&id);
        }
    }

    /// A session that waits for a server may fit one now that it didn't before.
    pub(super) fn request_changed(&mut self, old: &SessionRecord, new: &SessionRecord) {
        let same = old.region_id == new.region_id && old.teams == new.teams;
        if waits(old) && waits(new) && !same {
            self.request_server(&new.id);
        }
    }

    /// The server of a session's instance was told of its allocation.
    pub fn note_delivered(&mut self, id: &SessionId) {
        // Fails only for a session that is gone, and then there is nothing to note.
        let _ = self.amend(id, |session| {
            if let Some(instance) = session.live_instance_mut() {
                instance.host.delivered = true;
            }
        });
    }

    fn drafted_or_stored(&self, id: &SessionId) -> Option<&SessionRecord> {
        match self.changes.draft(id) {
            Some(draft) => draft.after.as_ref().map(|view| &*view.record),
            None => self.stored(id).map(|entry| &**entry.record()),
        }
    }

    fn assign(&mut self, id: &SessionId, server: &ChosenServer) {
        let allocation = AllocationId::from_uuid(self.new_uuid());
        if self.amend(id, |session| assign(session, server, allocation.clone())).is_ok() {
            self.servers.assign(&server.id, allocation, id.clone());
        }
    }

    fn choose(&self, record: &SessionRecord) -> Option<ChosenServer> {
        let map = record.instance.as_ref()?.info.instance_startup_params.as_ref().map(|params| &params.map);
        let (now, allocation) = (self.now.mono, &self.settings.allocation);
        self.servers
            .iter()
            .filter(|server| server.is_available(now, allocation))
            .filter(|server| fits(server, record, self.settings.versions))
            .min_by_key(|server| {
                let warm = map.is_some() && server.registration.warm_map.as_ref() == map;
                let silence = if server.waiting == 0 { now.since(server.seen) } else { Duration::ZERO };
                (server.is_silent(now, allocation), !warm, server.waiting == 0, silence, server.free_since)
            })
            .map(ChosenServer::of)
    }
}

fn waits(record: &SessionRecord) -> bool {
    record.instance.as_ref().is_some_and(|instance| instance.info.join_status == JoinStatus::Requested)
}

/// What the instance is told of its server.
struct ChosenServer {
    id: String,
    incarnation: String,
    subject: String,
    machine: String,
    version: Option<semver::Version>,
}

impl ChosenServer {
    fn of(server: &Server) -> ChosenServer {
        let id = server.registration.id.clone();
        ChosenServer {
            machine: server.tag("server_id").or(server.tag("hostname")).map_or_else(|| id.clone(), str::to_owned),
            id,
            incarnation: server.incarnation.as_str().to_owned(),
            subject: server.subject.clone(),
            version: server.registration.version.clone(),
        }
    }
}

fn fits(server: &Server, record: &SessionRecord, matching: Matching) -> bool {
    let region = match (&server.registration.region_id, &record.region_id) {
        (Some(of_server), Some(of_session)) => of_server == of_session,
        _ => true,
    };
    let Some(host) = &server.registration.version else { return region };
    let members = record.active().filter_map(|player| player.version.as_ref());
    region && members.chain(record.client_version.as_ref()).all(|client| compatible(matching, host, client))
}

fn assign(session: &mut SessionRecord, server: &ChosenServer, allocation: AllocationId) {
    if let Some(instance) = session.live_instance_mut() {
        instance.info.join_status = JoinStatus::Allocated;
        instance.info.allocation_id = Some(allocation);
        instance.info.host_dedicated_server_id = Some(server.machine.clone());
        instance.info.host_dedicated_process_id = Some(server.incarnation.clone());
        instance.info.version.clone_from(&server.version);
        instance.host.subject = Some(server.subject.clone());
        instance.host.server = Some(server.id.clone());
        instance.host.incarnation = Some(server.incarnation.clone());
    }
}

#[cfg(test)]
mod tests {
    use crate::service::{
        settings::ServiceSettings,
        state::testing::{Harness, server},
        templates::Region,
    };
    use serde_json::{Value, json};

    fn harness() -> Harness {
        let region = |name: &str| Region { region_id: name.into(), ..Region::default() };
        Harness::new(ServiceSettings { regions: vec![region("a"), region("b")], ..ServiceSettings::default() })
    }

    fn waiting(harness: &mut Harness, region: &str) -> String {
        let body = json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "session_type": "default",
            "region_id": region, "force_create": true});
        let made = harness.json(&server("platform"), "POST", "/session/v1/session", body);
        let path = format!("/session/v1/session/{}", made["session_id"].as_str().unwrap());
        harness.json(&server("platform"), "POST", &format!("{path}/instance"), json!({"host_type": "dedicated"}));
        path
    }

    fn register(harness: &mut Harness, name: &str, region: &str) {
        let item = json!({"id": name, "public_host": "h", "public_port": 1, "incarnation": "k", "region_id": region});
        harness.json(&server("s"), "POST", "/instances/sic_registration/v3/register", json!({"items": [item]}));
    }

    fn status(harness: &mut Harness, path: &str) -> Value {
        harness.json(&server("platform"), "GET", path, Value::Null)["instance"]["join_status"].clone()
    }

    #[test]
    fn a_server_that_comes_gets_the_oldest_request_that_it_fits() {
        let mut harness = harness();
        let paths = ["a", "b", "b"].map(|region| waiting(&mut harness, region));
        let shown = |harness: &mut Harness| paths.each_ref().map(|path| status(harness, path));
        register(&mut harness, "one", "b");
        assert_eq!(shown(&mut harness), ["requested", "allocated", "requested"]);
        register(&mut harness, "two", "b");
        register(&mut harness, "three", "b");
        assert_eq!(shown(&mut harness), ["requested", "allocated", "allocated"]);
        register(&mut harness, "four", "a");
        assert_eq!(shown(&mut harness), ["allocated", "allocated", "allocated"]);
        let late = waiting(&mut harness, "b");
        assert_eq!(status(&mut harness, &late), "allocated", "one was left over");
    }

    #[test]
    fn a_request_that_changes_gets_the_server_that_it_fits_now() {
        let mut harness = harness();
        register(&mut harness, "one", "a");
        let path = waiting(&mut harness, "b");
        assert_eq!(status(&mut harness, &path), "requested");
        harness.json(&server("platform"), "PATCH", &path, json!({"region_id": "a"}));
        assert_eq!(status(&mut harness, &path), "allocated");
    }
}
