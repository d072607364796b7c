//! A committed session, and what is known of it in memory only. After a start of the service all of
//! that counts from the start.

use crate::{
    model::{
        ids::PlayerUuid,
        session::{InstanceHealth, JoinStatus},
        time::Instant,
    },
    service::{
        rules::{
            health::HealthChecks,
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
    time::Duration,
};

/// One version of a session, and its JSON, which is made once for each scope.
#[derive(Debug)]
pub struct SessionView {
    pub record: Arc<SessionRecord>,
    full: OnceLock<Bytes>,
    limited: OnceLock<Bytes>,
}

impl SessionView {
    pub fn new(record: Arc<SessionRecord>) -> SessionView {
        SessionView { record, full: OnceLock::new(), limited: OnceLock::new() }
    }

    /// Changes a version that nobody has seen yet.
    pub(super) fn amend(&mut self, change: impl FnOnce(&mut SessionRecord)) {
        change(Arc::make_mut(&mut self.record));
        (self.full, self.limited) = (OnceLock::new(), OnceLock::new());
    }

    /// The session as JSON.
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

/// A session in the state.
#[derive(Debug)]
pub struct Entry {
    pub view: SessionView,
    /// The write that made it what it is.
    pub seq: Seq,
    pub lease_until: Instant,
    /// The host's last word.
    pub host_heard: Instant,
    /// The host's last word for its instance: health, an update, about its backfill.
    pub instance_heard: Instant,
    /// Out of browser and matchmaking: its lease has run out under a live instance.
    pub hidden: bool,
    pub health_checks: Option<HealthChecks>,
    /// When the backfill was last acknowledged.
    pub backfill_heard: Instant,
    /// Since when the instance has its present status.
    pub status_since: Instant,
    /// When members last asked for the session.
    pub seen: HashMap<PlayerUuid, Instant>,
    /// Where it stands in the timers.
    pub timer: Option<Instant>,
}

/// Signs of life that an operation brings. They count from its time, and only if it succeeds.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// A member asked for the session.
    pub seen: Option<PlayerUuid>,
    /// The lease is renewed.
    pub lease: bool,
    /// The host was heard.
    pub host: bool,
    /// A word about the instance: a hidden session is shown again.
    pub shown: bool,
    /// It came from the host itself.
    pub instance: bool,
    /// The session is hidden.
    pub hidden: bool,
    /// The backfill was acknowledged.
    pub backfill: bool,
    /// Health checks as they stand now.
    pub health_checks: Option<HealthChecks>,
}

impl Entry {
    pub fn new(view: SessionView, seq: Seq, now: Instant, settings: &ServiceSettings) -> Entry {
        let mut entry = Entry {
            seen: view.record.active().map(|player| (player.player_uuid, now)).collect(),
            view,
            seq,
            lease_until: now + settings.timings.session_ttl.get(),
            host_heard: now,
            instance_heard: now,
            hidden: false,
            health_checks: None,
            backfill_heard: now,
            status_since: now,
            timer: None,
        };
        entry.follow_host(now);
        entry
    }

    pub fn record(&self) -> &Arc<SessionRecord> {
        &self.view.record
    }

    /// Takes a new version, and begins or ends what depends on it.
    pub fn replace(&mut self, view: SessionView, seq: Seq, now: Instant) {
        let old = std::mem::replace(&mut self.view, view).record;
        self.seq = seq;
        let record = &self.view.record;
        let status = |record: &SessionRecord| {
            let info = record.instance.as_ref().map(|instance| &instance.info);
            info.map(|info| (info.instance_id.clone(), info.join_status, info.allocation_id.clone()))
        };
        if status(&old) != status(record) {
            self.status_since = now;
        }
        let backfill = |record: &SessionRecord| record.backfill.as_ref().map(|backfill| backfill.id.clone());
        if backfill(&old) != backfill(record) {
            self.backfill_heard = now;
        }
        if old.instance.as_ref().map(InstanceRecord::id) != record.instance.as_ref().map(InstanceRecord::id) {
            self.health_checks = None;
            self.host_heard = now;
            self.instance_heard = now;
        }
        self.follow_host(now);
        let record = &self.view.record;
        for player in record.active() {
            self.seen.entry(player.player_uuid).or_insert(now);
        }
        if self.seen.len() > record.active().count() {
            self.seen.retain(|player, _| record.is_active(*player));
        }
    }

    /// The checks run from the host's first word to the end of its term.
    fn follow_host(&mut self, now: Instant) {
        let reports = self.view.record.live_instance().filter(|instance| {
            matches!(instance.info.join_status, JoinStatus::Pending | JoinStatus::Joinable | JoinStatus::Unjoinable)
        });
        match (reports, &self.health_checks) {
            (None, _) => self.health_checks = None,
            (Some(instance), None) => {
                let health = instance.info.instance_health.unwrap_or(InstanceHealth::Unknown);
                self.health_checks = Some(HealthChecks::start(now, health));
            }
            (Some(_), Some(_)) => {}
        }
    }

    /// Takes signs of life: times only go forward. Answers whether its next deadline may be earlier now.
    pub(super) fn keep_alive(&mut self, alive: Liveness, now: Instant, ttl: Duration) -> bool {
        let Liveness { seen, lease, host, shown, instance, hidden, backfill, health_checks } = alive;
        let shown = shown && self.hidden;
        if let Some(player) = seen.filter(|player| self.view.record.is_active(*player)) {
            let last = self.seen.entry(player).or_insert(now);
            *last = now.max(*last);
        }
        if lease || shown {
            self.lease_until = self.lease_until.max(now + ttl);
        }
        if host || shown {
            self.host_heard = self.host_heard.max(now);
        }
        if instance {
            self.instance_heard = self.instance_heard.max(now);
        }
        if backfill {
            self.backfill_heard = self.backfill_heard.max(now);
        }
        self.hidden = (self.hidden && !shown) || hidden;
        let sooner = shown || hidden || health_checks.is_some();
        self.health_checks = health_checks.or_else(|| self.health_checks.take());
        sooner
    }
}
