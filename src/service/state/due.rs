//! What happens by itself, and when. One timer a session: the earliest moment at which anything
//! about it may be due; what really is due is decided when the moment comes, so that a renewed
//! lease costs nothing.
//!
//! | due | then |
//! |---|---|
//! | instance `requested` for too long, `allocated` without a word for too long | `closed` |
//! | its server was never told, and has missed two polls | another server gets it |
//! | backfill not acknowledged | it is gone |
//! | a health check is missed | health as [`rules::health`] says |
//! | a member not seen for the type's culling time, and not connected | is dropped |
//! | lease over, no live instance | the session is gone |
//! | lease over, a live instance | health `unknown`, hidden; gone after `instance_lost_after` without a word |
//!
//! Invariant: a deadline is a pure function of a session, its signs of life, its server and the
//! settings: [`Deadlines::of`].
//!
//! [`rules::health`]: crate::service::rules::health

use super::{State, Transaction, entry::Entry, moment::Moment};
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
pub(super) struct Timers {
    due: BTreeSet<(Instant, SessionId)>,
}

/// The contract's health settings.
pub(crate) fn health_settings(settings: &ServiceSettings) -> HealthSettings {
    let timings = &settings.timings;
    HealthSettings {
        cadence_seconds: timings.health_cadence.get().as_secs() as u32,
        unhealthy_health_check_percentage: timings.unhealthy_percentage,
        missed_checks_before_unknown: timings.missed_before_unknown,
    }
}

/// When each thing about a session is due, if at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Deadlines {
    allocation: Option<Instant>,
    /// The server that was chosen hasn't asked.
    untaken: Option<Instant>,
    backfill: Option<Instant>,
    health: Option<Instant>,
    /// Of the member that was seen least lately.
    culling: Option<Instant>,
    /// Of a hidden session: when its instance counts as lost.
    lease: Instant,
}

impl Deadlines {
    fn of(entry: &Entry, state: &State) -> Deadlines {
        let settings = &*state.settings;
        let timings = &settings.timings;
        let lost = if entry.hidden { entry.host_heard + timings.instance_lost_after.get() } else { entry.lease_until };
        Deadlines {
            allocation: allocation_timeout(entry, settings).map(|timeout| entry.status_since + timeout),
            untaken: state.untaken_until(entry.record(), entry.status_since),
            backfill: entry.record().backfill.as_ref().map(|_| entry.backfill_heard + timings.backfill_expiry.get()),
            health: entry
                .health_checks
                .as_ref()
                .map(|health_checks| health_checks.deadline(&health_settings(settings))),
            culling: cullable(entry, settings).map(|(_, at)| at).min(),
            lease: lost.max(entry.lease_until),
        }
    }

    fn next(self) -> Instant {
        let Deadlines { allocation, untaken, backfill, health, culling, lease } = self;
        [allocation, untaken, backfill, health, culling].into_iter().flatten().fold(lease, Instant::min)
    }
}

/// How long the instance may stay as it is without a word.
fn allocation_timeout(entry: &Entry, settings: &ServiceSettings) -> Option<Duration> {
    let instance = entry.record().instance.as_ref()?;
    match instance.info.join_status {
        JoinStatus::Requested => Some(settings.allocation.requested_timeout.get()),
        JoinStatus::Allocated if instance.host.server.is_some() => Some(settings.allocation.allocated_timeout.get()),
        _ => None,
    }
}

/// The members who may be dropped for their silence, and when.
fn cullable<'e>(entry: &'e Entry, settings: &ServiceSettings) -> impl Iterator<Item = (PlayerUuid, Instant)> + 'e {
    let seconds =
        settings.session_types.get(&entry.record().session_type).map_or(0, |kind| kind.player_culling_timeout);
    let after = (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)));
    after.into_iter().flat_map(move |after| {
        let record = entry.record();
        let cullable = |player| record.is_active(player) && !record.connected.contains(&player);
        let silent = entry.seen.iter().filter(move |(player, _)| cullable(**player));
        silent.map(move |(player, seen)| (*player, *seen + after))
    })
}

impl State {
    /// When [`State::tick`] must run next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.due.first().map(|(at, _)| *at)
    }

    /// Carries out everything that is due, each session in a transaction of its own.
    pub fn tick(&mut self, now: Now) {
        while let Some((at, _)) = self.timers.due.first()
            && *at <= now.mono
        {
            let Some((_, id)) = self.timers.due.pop_first() else { break };
            let Some(entry) = self.sessions.get_mut(&id) else { continue };
            entry.timer = None;
            let _ = self.transact(&Moment::new(now), |tx| {
                tx.carry_out_due(&id);
                Ok(())
            });
            self.schedule(&id, now);
        }
    }

    /// Puts a session where its next deadline is, if that is earlier than where it stands.
    pub(super) fn schedule(&mut self, id: &SessionId, now: Now) {
        let Some(entry) = self.sessions.get(id) else { return };
        // Never at this very moment: whatever is due now has been dealt with.
        let next = Deadlines::of(entry, self).next().max(now.mono + Duration::from_millis(1));
        if entry.timer.is_some_and(|at| at <= next) {
            return;
        }
        let old = self.sessions.get_mut(id).and_then(|entry| entry.timer.replace(next));
        if let Some(old) = old {
            self.timers.due.remove(&(old, id.clone()));
        }
        self.timers.due.insert((next, id.clone()));
    }
}

impl Transaction<'_> {
    fn carry_out_due(&mut self, id: &SessionId) {
        let Some(entry) = self.stored(id) else { return };
        let now = self.now.mono;
        let deadlines = Deadlines::of(entry, self.state);
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(deadlines.allocation) {
            self.close_instance(id, "no server took it in time");
        }
        if due(deadlines.untaken) {
            self.move_on(id);
        }
        if due(deadlines.backfill) {
            let ended = self.update(id, |session| {
                session.backfill = None;
                Ok(())
            });
            tracing::info!(session = %id, ok = ended.is_ok(), "backfill expired unacknowledged");
        }
        if due(deadlines.health) {
            self.health_due(id, entry);
        }
        if due(deadlines.culling) {
            let settings = self.settings;
            for (player, _) in cullable(entry, settings).filter(|(_, at)| *at <= now) {
                let gone = self.leave(id, player);
                tracing::info!(session = %id, %player, ok = gone.is_ok(), "player culled");
            }
        }
        if entry.lease_until <= now {
            self.lease_due(id, entry);
        }
    }

    fn health_due(&mut self, id: &SessionId, entry: &Entry) {
        let lives = self.current(id).is_ok_and(|session| session.live_instance().is_some());
        let Some(mut health_checks) = entry.health_checks.clone().filter(|_| lives) else { return };
        let health = health_checks.lapse(self.now.mono, &health_settings(self.settings));
        self.changes.alive(id).health_checks = Some(health_checks);
        // Fails only for a session that is gone.
        let _ = self.set_health(id, health);
    }

    fn lease_due(&mut self, id: &SessionId, entry: &Entry) {
        // Whoever was culled last may have taken the session along.
        let Ok(session) = self.current(id) else { return };
        let live = session.live_instance().is_some();
        let lost = entry.host_heard + self.settings.timings.instance_lost_after.get() <= self.now.mono;
        if !live || lost {
            tracing::info!(session = %id, live, "session expired");
            // It was there a moment ago.
            let _ = self.remove(id);
        } else if !entry.hidden {
            self.changes.alive(id).hidden = true;
            let _ = self.set_health(id, InstanceHealth::Unknown);
        }
    }
}
