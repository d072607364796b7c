//! Who is told what: each change of a session becomes events for those whom it concerns, in the
//! [`journal`](super::journal).

use super::{
    State, Transaction,
    diff::{MemberChange, SessionDiff},
    event_batch::FeedItem,
};
use crate::{
    model::{
        events::{EventKind, SessionEvent},
        ids::PlayerUuid,
        player::PlayerStatus,
        time::Timestamp,
    },
    service::rules::{
        record::SessionRecord,
        view::{self, Scope},
    },
};
use std::sync::Arc;

impl Transaction<'_> {
    /// Tells a player something. Answers the number that it will have, if the operation changes no session.
    pub fn tell(&mut self, player: PlayerUuid, item: FeedItem) -> u64 {
        self.changes.items.push((player, Arc::new(item)));
        self.state.events.last() + self.changes.items.len() as u64
    }

    /// A player joined through a platform's session.
    pub fn tell_joined_by_platform(&mut self, player: PlayerUuid, session: &SessionRecord) {
        let event = event(EventKind::OnUISessionJoinRequested, session, Some(session), self.now.wall);
        self.tell(player, FeedItem::Event(event));
    }
}

impl State {
    /// What everybody is told whom a change of a session concerns.
    pub(super) fn items_of(&self, diff: &SessionDiff<'_>, now: Timestamp) -> Vec<(PlayerUuid, Arc<FeedItem>)> {
        let event = |kind| event(kind, diff.record, diff.new, now);
        let mut told = Vec::new();
        let left = SessionEvent { destroyed: diff.new.is_none(), ..event(EventKind::OnSessionLeft) };
        let left = Arc::new(FeedItem::Event(left));
        told.extend(diff.left().map(|player| (player, left.clone())));
        let members = diff.members();
        let any = !members.is_empty();
        let updated = SessionEvent { changed: members, ..event(EventKind::OnSessionUpdated) };
        let updated = Arc::new(FeedItem::Event(updated));
        for place in diff.places() {
            let player = place.player.player_uuid;
            if place.before.is_some_and(PlayerStatus::is_active) && place.player.status.is_active() {
                told.extend(any.then(|| (player, updated.clone())));
                continue;
            }
            let events = self.arrival(diff, &place, now);
            told.extend(events.into_iter().map(|event| (player, Arc::new(FeedItem::Event(event)))));
        }
        told
    }

    /// What a player is told who has come into a session, or was asked into it.
    fn arrival(&self, diff: &SessionDiff<'_>, place: &MemberChange<'_>, now: Timestamp) -> Vec<SessionEvent> {
        let (record, player) = (diff.record, place.player);
        let event = |kind| event(kind, record, Some(record), now);
        match (place.before, player.status) {
            (Some(PlayerStatus::Invited), PlayerStatus::Leader | PlayerStatus::Member) => {
                let invite_id = diff.old.and_then(|old| old.invites.get(&player.player_uuid)).copied();
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
}

fn event(event: EventKind, record: &SessionRecord, new: Option<&SessionRecord>, now: Timestamp) -> SessionEvent {
    SessionEvent {
        event,
        session_id: record.id.clone(),
        session_type: record.session_type.clone(),
        etag: Some(new.map_or_else(|| view::last_etag(record), |new| view::etag(new, Scope::Full))),
        changed: Vec::new(),
        destroyed: false,
        status: None,
        invite_id: None,
        inviting_player_uuid: None,
        created: now,
    }
}
