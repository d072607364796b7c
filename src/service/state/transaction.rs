//! A transaction: what one operation reads and wants to change.
//!
//! ```text
//!   operation ──reads──► changes made so far, else the committed state
//!       │ └──writes──► changes ── answered success ──► State::commit: rows, indexes, events, timers, all at once
//!       └── refused, or something is missing ──► changes are thrown away
//! ```
//!
//! Invariants: nothing of the state changes before [`State::commit`](super::State); a session is
//! given one new version by an operation, however often it changes it; an operation sees its own
//! changes; `seen` covers every write that an answer shows, so that the answer waits for all of
//! them to be durable.

use super::{
    State,
    audit::{AuditLog, Event},
    changes::{Changes, Draft},
    entry::{Entry, Liveness, SessionView},
    index::Index,
    journal::Journal,
    moment::Moment,
    registry::Servers,
};
use crate::{
    model::{
        errors::codes,
        ids::{PlayerUuid, SessionId},
        session::InstanceHealth,
        time::Now,
    },
    service::{
        auth::Caller,
        http::reply::{Outcome, conflict, no_session, unavailable},
        rules::{authz, instance, leave, record::SessionRecord},
        settings::ServiceSettings,
        store::Seq,
    },
};
use rand::{Rng, rngs::StdRng};
use std::sync::Arc;
use uuid::Uuid;

/// Bytes that a player may say of itself in a session, so that nobody fills it for all.
const MOST_OF_PLAYER: usize = 64 << 10;

/// What an operation works on.
#[derive(Debug)]
pub struct Transaction<'s> {
    pub settings: &'s Arc<ServiceSettings>,
    pub now: Now,
    pub(super) state: &'s State,
    pub(super) changes: Changes,
    /// Registered servers, as this operation leaves them.
    pub servers: Servers<'s>,
    moment: &'s Moment,
    rng: Option<StdRng>,
    seen: Seq,
}

impl<'s> Transaction<'s> {
    pub fn new(state: &'s State, moment: &'s Moment) -> Self {
        Transaction {
            settings: &state.settings,
            now: moment.now,
            state,
            changes: Changes::default(),
            servers: Servers::of(&state.servers),
            moment,
            rng: None,
            seen: Seq::default(),
        }
    }

    /// What to commit, and the writes that the answer depends on.
    pub(super) fn finish(mut self) -> (Changes, Seq) {
        self.changes.servers = self.servers.into_changed();
        (self.changes, self.seen)
    }

    pub(super) fn seen(&self) -> Seq {
        self.seen
    }

    /// The answer shows what these writes made.
    pub fn durability(&mut self, writes: impl IntoIterator<Item = Seq>) {
        self.seen = writes.into_iter().fold(self.seen, Seq::max);
    }

    /// Randomness that is the same when the operation is run again.
    pub fn rng(&mut self) -> &mut StdRng {
        self.rng.get_or_insert_with(|| self.moment.rng())
    }

    pub fn new_uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.rng().fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A number for a new session.
    pub fn new_number(&self) -> u64 {
        let made = self.changes.sessions.iter().filter(|draft| draft.before.is_none()).count();
        self.state.next_number + made as u64
    }

    /// The indexes as they were before this operation.
    pub fn index(&self) -> &'s Index {
        &self.state.index
    }

    /// What players were told before this operation.
    pub fn events(&self) -> &'s Journal {
        &self.state.events
    }

    /// The audit log as it was before this operation.
    pub fn audit(&mut self) -> &'s AuditLog {
        self.durability([self.state.audit.last_seq]);
        &self.state.audit
    }

    /// Notes an event.
    pub fn record_event(&mut self, event: Event) {
        self.changes.audit.push(event);
    }

    /// A session as it was before this operation, with what is known of it in memory. Whoever shows it calls
    /// [`Transaction::durability`] with its `seq`.
    pub fn stored(&self, id: &SessionId) -> Option<&'s Entry> {
        self.state.sessions.get(id)
    }

    /// A session by its id or short code.
    pub fn session(&mut self, id_or_code: &str) -> Outcome<Arc<SessionRecord>> {
        Ok(self.view(id_or_code)?.record.clone())
    }

    /// The same with its JSON and entity tag.
    pub fn view(&mut self, id_or_code: &str) -> Outcome<&SessionView> {
        let known = SessionId::new(id_or_code).ok().filter(|id| self.exists(id));
        let id = known.or_else(|| self.state.index.by_code(id_or_code)).ok_or_else(|| no_session(id_or_code))?;
        self.view_of(&id)
    }

    fn exists(&self, id: &SessionId) -> bool {
        self.state.sessions.contains_key(id) || self.changes.draft(id).is_some()
    }

    /// A session whose id is known.
    pub fn view_of(&mut self, id: &SessionId) -> Outcome<&SessionView> {
        let gone = || no_session(id.as_str());
        if let Some(draft) = self.changes.draft(id) {
            return draft.after.as_ref().ok_or_else(gone);
        }
        let entry = self.state.sessions.get(id).ok_or_else(gone)?;
        self.seen = self.seen.max(entry.seq);
        Ok(&entry.view)
    }

    pub(super) fn current(&mut self, id: &SessionId) -> Outcome<Arc<SessionRecord>> {
        Ok(self.view_of(id)?.record.clone())
    }

    /// Adds a session that is new.
    pub fn create(&mut self, mut record: SessionRecord) -> Outcome<()> {
        if self.state.sessions.len() >= self.settings.limits.sessions as usize {
            return Err(unavailable("there are too many sessions", 10));
        }
        if let Some(player) = record.creator {
            let most = self.settings.limits.sessions_per_player;
            if self.index().made_by(player) >= most as usize {
                let desc = format!("a player may have made {most} sessions at a time; delete one");
                return Err(conflict(codes::TOO_MANY_SESSIONS, desc));
            }
        }
        self.fits(None, &record)?;
        self.write_numbers(&mut record);
        let (id, after) = (record.id.clone(), Some(SessionView::new(Arc::new(record))));
        self.changes.sessions.push(Draft { id, before: None, after });
        Ok(())
    }

    /// Whether a player may join one more session by itself. Those that others put it into don't count.
    pub fn may_join_another(&mut self, player: PlayerUuid) -> Outcome<()> {
        let most = self.settings.limits.joined_per_player as usize;
        let sessions = self.index().of_player(player).filter_map(|id| self.stored(id));
        if sessions.filter(|entry| entry.record().has_joined(player)).take(most).count() < most {
            return Ok(());
        }
        let desc = format!("a player may be in {most} sessions at a time; leave one");
        Err(conflict(codes::TOO_MANY_SESSIONS, desc))
    }

    /// Changes a session. On an error it is as it was before. A change that changes nothing keeps the version.
    pub fn update<T>(&mut self, id: &SessionId, change: impl FnOnce(&mut SessionRecord) -> Outcome<T>) -> Outcome<T> {
        let old = self.current(id)?;
        let mut record = (*old).clone();
        let answer = change(&mut record)?;
        if record != *old {
            self.fits(Some(&old), &record)?;
            self.put(&old, record);
        }
        Ok(answer)
    }

    /// Whether a session stays within its bytes. One that is too large already may shrink.
    fn fits(&self, old: Option<&SessionRecord>, new: &SessionRecord) -> Outcome<()> {
        let most = self.settings.limits.session_bytes;
        let rows = [
            ("a session", new.bytes(), old.map_or(0, SessionRecord::bytes), most.0 as usize),
            (
                "a player's custom_data",
                new.largest_player(),
                old.map_or(0, SessionRecord::largest_player),
                MOST_OF_PLAYER,
            ),
        ];
        let all = self.settings.limits.all_session_bytes.0 as usize;
        let (now, before) = (new.bytes(), old.map_or(0, SessionRecord::bytes));
        if now > before && self.index().bytes() + now - before > all {
            return Err(unavailable("the sessions take too many bytes", 10));
        }
        for (what, now, before, most) in rows {
            if now > most && now > before {
                let desc = format!("{what} may have {most} bytes; this would make it {now}");
                return Err(conflict(codes::RECORD_TOO_LARGE, desc));
            }
        }
        Ok(())
    }

    /// Changes a session by something that can't fail: in place, if this operation has changed it already.
    pub(super) fn amend(&mut self, id: &SessionId, change: impl FnOnce(&mut SessionRecord)) -> Outcome<()> {
        if let Some(view) = self.changes.draft_mut(id).and_then(|draft| draft.after.as_mut()) {
            view.amend(change);
            return Ok(());
        }
        self.update(id, |session| {
            change(session);
            Ok(())
        })
    }

    /// Puts a changed session in place of `old`, which it was before this step.
    fn put(&mut self, old: &Arc<SessionRecord>, mut record: SessionRecord) {
        let known = self.changes.sessions.iter().position(|draft| draft.id == record.id);
        let at = known.unwrap_or_else(|| {
            self.changes.sessions.push(Draft { id: record.id.clone(), before: Some(old.clone()), after: None });
            self.changes.sessions.len() - 1
        });
        record.note_departures(old);
        self.write_numbers(&mut record);
        let draft = &mut self.changes.sessions[at];
        record.version = draft.before.as_ref().map_or(1, |before| before.version + 1);
        let record = Arc::new(record);
        draft.after = Some(SessionView::new(record.clone()));
        if let Some(ended) = old.live_instance()
            && record.live_instance().is_none_or(|now| now.id() != ended.id())
        {
            self.server_freed(&record.id, ended);
        }
        self.request_changed(old, &record);
    }

    /// Takes a session away.
    pub fn remove(&mut self, id: &SessionId) -> Outcome<()> {
        let old = self.current(id)?;
        match self.changes.draft_mut(id) {
            Some(draft) => draft.after = None,
            None => self.changes.sessions.push(Draft { id: id.clone(), before: Some(old.clone()), after: None }),
        }
        if let Some(instance) = old.live_instance() {
            self.server_freed(id, instance);
        }
        Ok(())
    }

    /// Takes a player out of a session, and the session away if that leaves it empty and its type says so.
    pub fn leave(&mut self, id: &SessionId, player: PlayerUuid) -> Outcome<leave::Departure> {
        let gone = self.update(id, |session| leave::leave(session, player))?;
        let kind = self.current(id)?.session_type.clone();
        let keeps = self.settings.session_types.get(&kind).is_some_and(|kind| kind.keep_alive_on_empty);
        if gone.empty && gone.player.status.is_active() && !keeps {
            self.remove(id)?;
        }
        Ok(gone)
    }

    /// Keeps a session alive: its participants and its host do.
    pub fn touch(&mut self, id: &SessionId, caller: &Caller, refresh: bool) {
        let Ok(view) = self.view_of(id) else { return };
        let role = authz::role(&view.record, caller);
        let seen = caller.player.filter(|player| view.record.is_active(*player));
        let lease = refresh && role.active;
        if seen.is_some() || lease {
            let alive = self.changes.alive(id);
            alive.seen = seen.or(alive.seen);
            alive.lease |= lease;
            alive.host |= lease && role.host;
        }
    }

    /// A word about the instance: a session that was hidden is shown again.
    pub fn host_spoke(&mut self, id: &SessionId, caller: &Caller) {
        let live = self.current(id).ok();
        let host = live.as_ref().and_then(|session| session.live_instance()?.host.subject.as_ref());
        let itself = host == Some(&caller.subject);
        let alive = self.changes.alive(id);
        alive.shown = true;
        alive.instance |= itself;
    }

    /// The host acknowledged the backfill.
    pub fn backfill_spoke(&mut self, id: &SessionId) {
        self.changes.alive(id).backfill = true;
    }

    /// A health check from the host: what the service makes of it.
    pub fn beat(&mut self, id: &SessionId, reported: InstanceHealth) -> Outcome<InstanceHealth> {
        let now = self.now.mono;
        let settings = super::due::health_settings(self.settings);
        let mut health_checks = self
            .stored(id)
            .and_then(|entry| entry.health_checks.clone())
            .unwrap_or_else(|| crate::service::rules::health::HealthChecks::start(now, reported));
        let health = health_checks.beat(now, reported, &settings);
        let alive = self.changes.alive(id);
        *alive = Liveness { health_checks: Some(health_checks), host: true, ..std::mem::take(alive) };
        self.set_health(id, health)?;
        Ok(health)
    }

    /// Shows a health of the instance.
    pub fn set_health(&mut self, id: &SessionId, health: InstanceHealth) -> Outcome<()> {
        if self.current(id)?.live_instance().is_none_or(|live| live.info.instance_health == Some(health)) {
            return Ok(());
        }
        self.update(id, |session| {
            if let Some(instance) = session.live_instance_mut() {
                instance.info.instance_health = Some(health);
            }
            Ok(())
        })
    }

    /// Whether a player has restrictions: by its own login, or by the configuration.
    pub fn sanctioned(&self, caller: &Caller, player: PlayerUuid) -> bool {
        let own = caller.player == Some(player) && caller.restricted;
        own || !self.settings.auth.restrictions_of(player, self.now.wall).is_empty()
    }

    /// Whether a player has joined a session that the caller hosts, or hosted last, during its term.
    pub fn played_with(&mut self, host: &Caller, player: PlayerUuid) -> bool {
        let known: Vec<&SessionId> = self.index().of_player(player).chain(self.index().left_by(player)).collect();
        known.into_iter().any(|id| {
            self.current(id).is_ok_and(|session| authz::was_host(&session, host) && session.has_played(player))
        })
    }

    /// Ends a session's instance for a reason of the service's own.
    pub fn close_instance(&mut self, id: &SessionId, reason: &str) {
        let closed = self.update(id, |session| {
            instance::close(session);
            Ok(())
        });
        if closed.is_ok() {
            tracing::info!(session = %id, reason, "instance closed by the service");
        }
    }
}
