//! Who is told what: each change of a session becomes events for those whom it concerns, in the [`journal`].

use super::{
    State,
    journal::{self, EventBatch, Told},
};
use crate::{
    model::{
        events::{EventKind, SessionEvent},
        ids::PlayerUuid,
        player::{PlayerStatus, SessionPlayer},
        session::InstanceInfo,
    },
    service::{
        rules::{
            record::SessionRecord,
            view::{self, Scope},
        },
        store::{Table, writer::Change},
    },
};
use std::sync::Arc;

impl State {
    /// Tells a player something. Answers its number.
    pub fn tell(&mut self, player: PlayerUuid, told: Told) -> u64 {
        self.tell_all(vec![(player, Arc::new(told))]);
        self.events.last()
    }

    /// Tells players what one change brings: one row, durable together with whatever else the operation writes.
    fn tell_all(&mut self, told: Vec<(PlayerUuid, Arc<Told>)>) {
        if told.is_empty() {
            return;
        }
        let batch = Arc::new(EventBatch::new(self.now.wall, told));
        self.touched = self.writer.push(Change::Events(self.events.last() + 1, batch.clone()));
        let settings = self.settings.clone();
        self.events.add(&batch, self.touched, self.now.mono, &settings.limits);
        self.expire_events();
    }

    /// Drops what nobody is told any more.
    pub fn expire_events(&mut self) {
        let settings = self.settings.clone();
        for row in self.events.expire(self.now.mono, &settings.limits) {
            // Nobody need wait for it.
            self.writer.push(Change::Row(Table::Events, journal::key(row), None));
        }
    }

    /// Tells everybody whom a change of a session concerns, and clears the presence of whoever has left.
    pub(super) fn tell_change(&mut self, old: Option<&SessionRecord>, new: Option<&SessionRecord>) {
        let Some(record) = new.or(old) else { return };
        let mut told = Vec::new();
        let left = SessionEvent { destroyed: new.is_none(), ..self.event(EventKind::OnSessionLeft, record, new) };
        let left = Arc::new(Told::Event(left));
        for gone in old.into_iter().flat_map(SessionRecord::active).map(|player| player.player_uuid) {
            if !new.is_some_and(|new| new.is_active(gone)) {
                self.presence_left(gone, &record.id);
                told.push((gone, left.clone()));
            }
        }
        let changed = changed(old, new);
        let any = !changed.is_empty();
        let updated = SessionEvent { changed, ..self.event(EventKind::OnSessionUpdated, record, new) };
        let updated = Arc::new(Told::Event(updated));
        for player in new.into_iter().flat_map(SessionRecord::players) {
            let before = old.and_then(|old| old.player(player.player_uuid)).map(|player| player.status);
            if before.is_some_and(PlayerStatus::is_active) && player.status.is_active() {
                told.extend(any.then(|| (player.player_uuid, updated.clone())));
                continue;
            }
            let events = self.arrival(old, record, before, player);
            told.extend(events.into_iter().map(|event| (player.player_uuid, Arc::new(Told::Event(event)))));
        }
        self.tell_all(told);
    }

    /// What a player is told who has come into a session, or was asked into it.
    fn arrival(
        &self,
        old: Option<&SessionRecord>,
        record: &SessionRecord,
        before: Option<PlayerStatus>,
        player: &SessionPlayer,
    ) -> Vec<SessionEvent> {
        let event = |kind| self.event(kind, record, Some(record));
        match (before, player.status) {
            (Some(PlayerStatus::Invited), PlayerStatus::Leader | PlayerStatus::Member) => {
                let invite_id = old.and_then(|old| old.invites.get(&player.player_uuid)).copied();
                let accepted = SessionEvent { invite_id, ..event(EventKind::OnUISessionJoinRequested) };
                vec![accepted, event(EventKind::OnSessionJoined)]
            }
            (_, PlayerStatus::Leader | PlayerStatus::Member) => vec![event(EventKind::OnSessionJoined)],
            (before, PlayerStatus::Invited) if before != Some(PlayerStatus::Invited) => vec![SessionEvent {
                status: Some(PlayerStatus::Invited),
                invite_id: record.invites.get(&player.player_uuid).copied(),
                inviting_player_uuid: player.inviting_player_uuid,
                ..event(EventKind::OnSessionInviteReceived)
            }],
            (None, PlayerStatus::Reserved) if self.tells_of_reservations(&record.session_type) => {
                let status = Some(PlayerStatus::Reserved);
                vec![SessionEvent { status, ..event(EventKind::OnSessionInviteReceived) }]
            }
            (_, PlayerStatus::Invited | PlayerStatus::Reserved) => vec![],
        }
    }

    fn tells_of_reservations(&self, kind: &str) -> bool {
        self.settings.session_types.get(kind).is_none_or(|kind| kind.notify_on_reservation)
    }

    /// A player joined through a platform's session.
    pub fn tell_joined_by_platform(&mut self, player: PlayerUuid, session: &SessionRecord) {
        let event = self.event(EventKind::OnUISessionJoinRequested, session, Some(session));
        self.tell(player, Told::Event(event));
    }

    fn event(&self, event: EventKind, record: &SessionRecord, new: Option<&SessionRecord>) -> SessionEvent {
        SessionEvent {
            event,
            session_id: record.id.clone(),
            session_type: record.session_type.clone(),
            etag: new.map(|new| view::etag(new, Scope::Full)),
            changed: Vec::new(),
            destroyed: false,
            status: None,
            invite_id: None,
            inviting_player_uuid: None,
            created: self.now.wall,
        }
    }
}

fn info(record: &SessionRecord) -> Option<&InstanceInfo> {
    record.instance.as_ref().map(|instance| &instance.info)
}

/// The session's top-level members that differ, as they are named on the wire.
fn changed(old: Option<&SessionRecord>, new: Option<&SessionRecord>) -> Vec<String> {
    let (Some(old), Some(new)) = (old, new) else { return Vec::new() };
    let rows = [
        ("instance", info(old) != info(new)),
        ("backfill", old.backfill != new.backfill),
        ("browser", old.browser != new.browser),
        ("joinability", old.joinability != new.joinability),
        ("allow_new_members", old.allow_new_members != new.allow_new_members),
        ("teams", old.teams != new.teams),
        ("platform_session", old.platform_sessions != new.platform_sessions),
        ("platform_scouts", old.platform_scouts != new.platform_scouts),
        ("custom_data", old.custom_data != new.custom_data),
        ("region_id", old.region_id != new.region_id),
        ("short_code", old.short_code != new.short_code),
    ];
    rows.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}
