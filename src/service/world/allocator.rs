//! Who gets which server.
//!
//! A server fits when it is available, of the session's region (a server or a session without one fits everywhere), and compatible with
//! the version of whoever made the session and of every member. Of those that fit: one that is warm for the map before
//! others, one with an open long poll before others, and then whoever has been free longest. Requests are served in the order in which
//! they came.

use super::{
    World,
    registry::{Registry, Server},
};
use crate::{
    model::{
        ids::{AllocationId, SessionId},
        session::JoinStatus,
        version::{Matching, compatible},
    },
    service::rules::record::SessionRecord,
};
use uuid::Uuid;

impl World {
    /// An instance waits for a server: now, or once one comes.
    pub fn request_server(&mut self, id: &SessionId) {
        self.requested.push_back(id.clone());
        self.allocate_waiting();
    }

    /// Serves the queue as far as there are servers.
    pub fn allocate_waiting(&mut self) {
        let mut left = std::mem::take(&mut self.requested);
        left.retain(|id| self.waits(id) && !self.allocate(id));
        self.requested = left;
    }

    /// The server of a session's instance was told of its allocation.
    pub fn note_delivered(&mut self, id: &SessionId) {
        // Fails only for a session that is gone, and then there is nothing to note.
        let _ = self.update(id, |session| {
            if let Some(instance) = session.live_instance_mut() {
                instance.host.delivered = true;
            }
            Ok(())
        });
    }

    fn waits(&self, id: &SessionId) -> bool {
        let instance = self.sessions.get(id).and_then(|entry| entry.record.instance.as_ref());
        instance.is_some_and(|instance| instance.info.join_status == JoinStatus::Requested)
    }

    /// Whether a server was found.
    fn allocate(&mut self, id: &SessionId) -> bool {
        let Some(record) = self.sessions.get(id).map(|entry| entry.record.clone()) else { return false };
        let Some(server) = self.choose(&record) else { return false };
        let allocation = AllocationId::from_uuid(Uuid::new_v4());
        let done = self.update(id, |session| {
            give(session, &server, allocation.clone());
            Ok(())
        });
        if done.is_ok() {
            self.servers.hold(&server.id, allocation, id.clone());
        }
        done.is_ok()
    }

    fn choose(&self, record: &SessionRecord) -> Option<Chosen> {
        let map = record.instance.as_ref()?.info.instance_startup_params.as_ref().map(|params| &params.map);
        let (now, allocation) = (self.now.mono, &self.settings.allocation);
        self.servers
            .iter()
            .filter(|server| Registry::is_available(server, now, allocation))
            .filter(|server| fits(server, record, self.settings.versions))
            .min_by_key(|server| {
                let warm = map.is_some() && server.registration.warm_map.as_ref() == map;
                (!warm, server.waiting == 0, server.free_since)
            })
            .map(Chosen::of)
    }
}

/// What the instance is told of its server.
struct Chosen {
    id: String,
    incarnation: String,
    subject: String,
    machine: String,
    version: Option<semver::Version>,
}

impl Chosen {
    fn of(server: &Server) -> Chosen {
        let id = server.registration.id.clone();
        Chosen {
            machine: server.tag("server_id").or(server.tag("hostname")).map_or_else(|| id.clone(), str::to_owned),
            id,
            incarnation: server.incarnation.clone(),
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

fn give(session: &mut SessionRecord, server: &Chosen, allocation: AllocationId) {
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
