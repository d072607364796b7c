//! A session, and what is known of it in memory only. After a start of the service all of that counts from the start.

use crate::{
    model::{
        ids::PlayerUuid,
        session::{HealthSettings, InstanceHealth, JoinStatus},
        time::Instant,
    },
    service::{
        rules::{
            health::Pulse,
            record::{InstanceRecord, SessionRecord},
            view::{self, Scope},
        },
        settings::ServiceSettings,
        store::Seq,
    },
};
use bytes::Bytes;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

#[derive(Debug)]
pub struct Entry {
    pub record: Arc<SessionRecord>,
    /// The write that made it what it is.
    pub seq: Seq,
    pub lease_until: Instant,
    /// The host's last word.
    pub host_heard: Instant,
    /// Out of browser and matchmaking: its lease has run out under a live instance.
    pub hidden: bool,
    pub pulse: Option<Pulse>,
    /// When the backfill was last acknowledged.
    pub backfill_heard: Instant,
    /// Since when the instance has its present status.
    pub status_since: Instant,
    /// When members last asked for the session.
    pub seen: HashMap<PlayerUuid, Instant>,
    /// Where it stands in the timers.
    pub timer: Option<Instant>,
    full: OnceLock<Bytes>,
    limited: OnceLock<Bytes>,
}

impl Entry {
    pub fn new(record: Arc<SessionRecord>, seq: Seq, now: Instant, settings: &ServiceSettings) -> Entry {
        let mut entry = Entry {
            seen: record.active().map(|player| (player.player_uuid, now)).collect(),
            record,
            seq,
            lease_until: now + settings.timings.session_ttl.get(),
            host_heard: now,
            hidden: false,
            pulse: None,
            backfill_heard: now,
            status_since: now,
            timer: None,
            full: OnceLock::new(),
            limited: OnceLock::new(),
        };
        entry.follow_host(now);
        entry
    }

    /// Takes a new version of the record, and begins or ends what depends on it.
    pub fn replace(&mut self, record: Arc<SessionRecord>, seq: Seq, now: Instant) {
        let old = std::mem::replace(&mut self.record, record);
        self.seq = seq;
        (self.full, self.limited) = (OnceLock::new(), OnceLock::new());
        let status = |record: &SessionRecord| {
            record.instance.as_ref().map(|instance| (instance.id().clone(), instance.info.join_status))
        };
        if status(&old) != status(&self.record) {
            self.status_since = now;
        }
        let backfill = |record: &SessionRecord| record.backfill.as_ref().map(|backfill| backfill.id.clone());
        if backfill(&old) != backfill(&self.record) {
            self.backfill_heard = now;
        }
        let another =
            old.instance.as_ref().map(InstanceRecord::id) != self.record.instance.as_ref().map(InstanceRecord::id);
        if another {
            self.pulse = None;
            self.host_heard = now;
        }
        self.follow_host(now);
        for player in self.record.active() {
            self.seen.entry(player.player_uuid).or_insert(now);
        }
        if self.seen.len() > self.record.players().count() {
            let record = &self.record;
            self.seen.retain(|player, _| record.player(*player).is_some());
        }
    }

    /// The pulse runs from the host's first word to the end of its term.
    fn follow_host(&mut self, now: Instant) {
        let reports = self.record.live_instance().filter(|instance| {
            matches!(instance.info.join_status, JoinStatus::Pending | JoinStatus::Joinable | JoinStatus::Unjoinable)
        });
        match (reports, &self.pulse) {
            (None, _) => self.pulse = None,
            (Some(instance), None) => {
                let health = instance.info.instance_health.unwrap_or(InstanceHealth::Unknown);
                self.pulse = Some(Pulse::start(now, health));
            }
            (Some(_), Some(_)) => {}
        }
    }

    /// A health check from the host: what the service makes of it.
    pub fn beat(&mut self, now: Instant, reported: InstanceHealth, settings: &HealthSettings) -> InstanceHealth {
        self.host_heard = now;
        self.pulse.get_or_insert_with(|| Pulse::start(now, reported)).beat(now, reported, settings)
    }

    /// The session as JSON; made once a version and view.
    pub fn json(&self, scope: Scope) -> Bytes {
        let kept = match scope {
            Scope::Full => &self.full,
            Scope::Limited => &self.limited,
        };
        kept.get_or_init(|| view::session(&self.record, scope).into()).clone()
    }

    pub fn etag(&self, scope: Scope) -> String {
        view::etag(&self.record, scope)
    }
}
