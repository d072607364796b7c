//! What happens by itself. One entry a session: the earliest moment at which anything about it may be due; what really is due
//! is decided when the moment comes, so that a refreshed lease costs nothing.
//!
//! | due | then |
//! |---|---|
//! | instance `requested` for too long, `allocated` without a word for too long | `closed` |
//! | backfill not acknowledged | it is gone |
//! | a health check is missed | health as [`rules::health`] says |
//! | a member not seen for the type's culling time, and not connected | is dropped |
//! | lease over, no live instance | the session is gone |
//! | lease over, a live instance | health `unknown`, hidden; gone after `instance_lost_after` without a word |
//!
//! [`rules::health`]: crate::service::rules::health

use super::State;
use crate::{
    model::{
        ids::{PlayerUuid, SessionId},
        session::{HealthSettings, InstanceHealth, JoinStatus},
        time::{Instant, Now},
    },
    service::settings::ServiceSettings,
};
use std::{collections::BTreeSet, time::Duration};

#[derive(Debug, Default)]
pub struct Timers {
    due: BTreeSet<(Instant, SessionId)>,
}

/// The contract's health settings.
pub fn health_settings(settings: &ServiceSettings) -> HealthSettings {
    let timings = &settings.timings;
    HealthSettings {
        cadence_seconds: timings.health_cadence.get().as_secs() as u32,
        unhealthy_health_check_percentage: timings.unhealthy_percentage,
        missed_checks_before_unknown: timings.missed_before_unknown,
    }
}

impl State {
    /// When [`State::tick`] must run next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.due.first().map(|(at, _)| *at)
    }

    /// Carries out everything that is due.
    pub fn tick(&mut self, now: Now) {
        self.begin(now);
        while let Some((at, _)) = self.timers.due.first()
            && *at <= now.mono
        {
            let Some((_, id)) = self.timers.due.pop_first() else { break };
            if let Some(entry) = self.sessions.get_mut(&id) {
                entry.timer = None;
                self.session_due(&id);
                self.wake_by_deadline(&id);
            }
        }
        self.end();
    }

    /// Puts a session where its next deadline is, if that is earlier than where it stands.
    pub(super) fn wake_by_deadline(&mut self, id: &SessionId) {
        // Never at this very moment: whatever is due now has been dealt with.
        let Some(next) = self.deadline(id).map(|next| next.max(self.now.mono + Duration::from_millis(1))) else {
            return;
        };
        let Some(entry) = self.sessions.get_mut(id) else { return };
        if entry.timer.is_some_and(|at| at <= next) {
            return;
        }
        if let Some(old) = entry.timer.replace(next) {
            self.timers.due.remove(&(old, id.clone()));
        }
        self.timers.due.insert((next, id.clone()));
    }

    fn deadline(&self, id: &SessionId) -> Option<Instant> {
        let entry = self.sessions.get(id)?;
        let timings = &self.settings.timings;
        let lost = if entry.hidden { entry.host_heard + timings.instance_lost_after.get() } else { entry.lease_until };
        let lease = lost.max(entry.lease_until);
        let pulse = entry.pulse.as_ref().map(|pulse| pulse.deadline(&health_settings(&self.settings)));
        let backfill = entry.record.backfill.as_ref().map(|_| entry.backfill_heard + timings.backfill_expiry.get());
        let culling = self.culled_after(id).and_then(|after| {
            let connected = &entry.record.connected;
            entry.seen.iter().filter(|(player, _)| !connected.contains(player)).map(|(_, seen)| *seen + after).min()
        });
        let allocation = self.allocation_patience(id).map(|patience| entry.status_since + patience);
        [Some(lease), pulse, backfill, culling, allocation].into_iter().flatten().min()
    }

    /// How long the instance may stay as it is without a word.
    fn allocation_patience(&self, id: &SessionId) -> Option<Duration> {
        let allocation = &self.settings.allocation;
        let instance = self.sessions.get(id)?.record.instance.as_ref()?;
        match instance.info.join_status {
            JoinStatus::Requested => Some(allocation.requested_timeout.get()),
            JoinStatus::Allocated if instance.host.server.is_some() => Some(allocation.allocated_timeout.get()),
            _ => None,
        }
    }

    fn culled_after(&self, id: &SessionId) -> Option<Duration> {
        let kind = &self.sessions.get(id)?.record.session_type;
        let seconds = self.settings.session_types.get(kind)?.player_culling_timeout;
        (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
    }

    fn session_due(&mut self, id: &SessionId) {
        self.allocation_due(id);
        self.backfill_due(id);
        self.health_due(id);
        self.culling_due(id);
        self.lease_due(id);
    }

    fn allocation_due(&mut self, id: &SessionId) {
        let now = self.now.mono;
        let over = self
            .allocation_patience(id)
            .is_some_and(|patience| self.sessions.get(id).is_some_and(|entry| entry.status_since + patience <= now));
        if over {
            self.close_instance(id, "no server took it in time");
        }
    }

    fn backfill_due(&mut self, id: &SessionId) {
        let expiry = self.settings.timings.backfill_expiry.get();
        let now = self.now.mono;
        let over = self
            .sessions
            .get(id)
            .is_some_and(|entry| entry.record.backfill.is_some() && entry.backfill_heard + expiry <= now);
        if over {
            let ended = self.update(id, |session| {
                session.backfill = None;
                Ok(())
            });
            tracing::info!(session = %id, ok = ended.is_ok(), "backfill expired unacknowledged");
        }
    }

    fn health_due(&mut self, id: &SessionId) {
        let settings = health_settings(&self.settings);
        let now = self.now.mono;
        let verdict = self.sessions.get_mut(id).and_then(|entry| {
            let pulse = entry.pulse.as_mut().filter(|pulse| pulse.deadline(&settings) <= now)?;
            Some(pulse.lapse(now, &settings))
        });
        if let Some(health) = verdict {
            self.set_health(id, health);
        }
    }

    /// Shows a health of the instance.
    pub fn set_health(&mut self, id: &SessionId, health: InstanceHealth) {
        // Fails only for a session that is gone.
        let _ = self.update(id, |session| {
            if let Some(instance) = session.live_instance_mut() {
                instance.info.instance_health = Some(health);
            }
            Ok(())
        });
    }

    fn culling_due(&mut self, id: &SessionId) {
        let Some(after) = self.culled_after(id) else { return };
        let now = self.now.mono;
        let Some(entry) = self.sessions.get(id) else { return };
        let record = &entry.record;
        let culled: Vec<PlayerUuid> = entry
            .seen
            .iter()
            .filter(|(player, seen)| **seen + after <= now && !record.connected.contains(player))
            .map(|(player, _)| *player)
            .collect();
        for player in culled {
            let gone = self.leave(id, player);
            tracing::info!(session = %id, %player, ok = gone.is_ok(), "player culled");
            if let Some(entry) = self.sessions.get_mut(id) {
                entry.seen.remove(&player);
            }
        }
    }

    fn lease_due(&mut self, id: &SessionId) {
        let now = self.now.mono;
        let lost_after = self.settings.timings.instance_lost_after.get();
        let Some(entry) = self.sessions.get_mut(id) else { return };
        if entry.lease_until > now {
            return;
        }
        let live = entry.record.live_instance().is_some();
        if !live || entry.host_heard + lost_after <= now {
            tracing::info!(session = %id, live, "session expired");
            // It was there a moment ago.
            let _ = self.remove(id);
        } else if !entry.hidden {
            entry.hidden = true;
            self.set_health(id, InstanceHealth::Unknown);
        }
    }

    /// A word from the host of a hidden session: everything is as before.
    pub fn restore_hidden(&mut self, id: &SessionId) {
        let (now, ttl) = (self.now.mono, self.settings.timings.session_ttl.get());
        if let Some(entry) = self.sessions.get_mut(id)
            && entry.hidden
        {
            entry.hidden = false;
            entry.lease_until = now + ttl;
            entry.host_heard = now;
            self.wake_by_deadline(id);
        }
    }
}
