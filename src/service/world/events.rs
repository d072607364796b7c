//! What players are told, kept for a while so that a subscriber who was away goes on where it was.
//!
//! ```text
//!   change of a session ─► tell_change ─► one numbered entry a player ─► event stream, long poll (each with its own cursor)
//! ```
//!
//! A position is `EPOCH-NUMBER`; the epoch is of this life of the service, numbers grow over all players. Nobody has a queue:
//! a subscriber reads what follows its cursor, and learns of a gap when that is gone.
//!
//! Invariants: an entry is read only together with the write it tells of, which the reader waits for; an entry is dropped
//! only after `limits.event_retention`, or when its player or all players together have more than the limits say, oldest
//! first; whoever asks for what follows a position gets all of it or [`Gap`].

use super::World;
use crate::{
    model::{
        events::{EventKind, Notification, SessionEvent},
        ids::PlayerUuid,
        player::PlayerStatus,
        session::InstanceInfo,
        time::Instant,
    },
    service::{
        rules::{
            record::SessionRecord,
            view::{self, Scope},
        },
        settings::Limits,
        store::Seq,
    },
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::Notify;

/// Something a player is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Event(SessionEvent),
    /// From the notification API; its id is put in when it is read.
    Note(Notification),
}

/// An entry of the journal.
#[derive(Debug, Clone)]
pub struct Kept {
    pub number: u64,
    /// The write that it tells of.
    pub seq: Seq,
    pub told: Arc<Told>,
    at: Instant,
}

/// Entries that were asked for are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap;

#[derive(Debug)]
pub struct Journal {
    epoch: u32,
    last: u64,
    players: HashMap<PlayerUuid, Stream>,
    /// Every entry, oldest first; those that a player's own limit dropped are passed over.
    order: VecDeque<(u64, PlayerUuid)>,
    /// Up to here entries of players that have no stream any more are gone.
    forgotten: u64,
}

#[derive(Debug, Default)]
struct Stream {
    kept: VecDeque<Kept>,
    /// Up to here this player's entries are gone.
    dropped: u64,
    woken: Arc<Notify>,
    /// Subscribers; the stream stays while there are any.
    watchers: u32,
}

impl Default for Journal {
    fn default() -> Self {
        Journal { epoch: rand::random(), last: 0, players: HashMap::new(), order: VecDeque::new(), forgotten: 0 }
    }
}

impl Journal {
    /// A position as callers see it.
    pub fn id(&self, number: u64) -> String {
        format!("{:08x}-{number}", self.epoch)
    }
    /// The newest position.
    pub fn last(&self) -> u64 {
        self.last
    }
    /// A position of this life of the service.
    pub fn position(&self, id: &str) -> Option<u64> {
        let (epoch, number) = id.split_once('-')?;
        let number = number.parse().ok().filter(|number| *number <= self.last)?;
        (u32::from_str_radix(epoch, 16).ok()? == self.epoch).then_some(number)
    }

    /// The oldest position from which nothing is missing.
    pub fn earliest(&self, player: PlayerUuid) -> u64 {
        self.players.get(&player).map_or(self.forgotten, |stream| stream.dropped)
    }

    /// A player's entries after a position, oldest first, at most `most`.
    pub fn after(&self, player: PlayerUuid, position: u64, most: usize) -> Result<Vec<Kept>, Gap> {
        if position < self.earliest(player) {
            return Err(Gap);
        }
        let kept = self.players.get(&player).map(|stream| &stream.kept);
        Ok(kept.into_iter().flatten().filter(|kept| kept.number > position).take(most).cloned().collect())
    }

    /// Subscribes: what wakes the subscriber; none if the player has too many subscribers.
    pub fn watch(&mut self, player: PlayerUuid, most: u32) -> Option<Arc<Notify>> {
        let forgotten = self.forgotten;
        let new = || Stream { dropped: forgotten, ..Stream::default() };
        let stream = self.players.entry(player).or_insert_with(new);
        if stream.watchers >= most {
            return None;
        }
        stream.watchers += 1;
        Some(stream.woken.clone())
    }

    pub fn unwatch(&mut self, player: PlayerUuid) {
        if let Some(stream) = self.players.get_mut(&player) {
            stream.watchers = stream.watchers.saturating_sub(1);
        }
        self.forget_empty(player);
    }

    fn forget_empty(&mut self, player: PlayerUuid) {
        let empty = |stream: &Stream| stream.watchers == 0 && stream.kept.is_empty();
        if self.players.get(&player).is_some_and(empty)
            && let Some(stream) = self.players.remove(&player)
        {
            self.forgotten = self.forgotten.max(stream.dropped);
        }
    }

    fn push(&mut self, player: PlayerUuid, told: Arc<Told>, seq: Seq, at: Instant, limits: &Limits) -> u64 {
        self.expire(at, limits);
        self.last += 1;
        let forgotten = self.forgotten;
        let new = || Stream { dropped: forgotten, ..Stream::default() };
        let stream = self.players.entry(player).or_insert_with(new);
        stream.kept.push_back(Kept { number: self.last, seq, told, at });
        if stream.kept.len() > limits.events_per_player as usize {
            stream.drop_oldest();
        }
        stream.woken.notify_waiters();
        self.order.push_back((self.last, player));
        self.last
    }

    /// Drops what is too old or too much.
    pub fn expire(&mut self, now: Instant, limits: &Limits) {
        while let Some((number, player)) = self.order.front().copied() {
            let Some(stream) = self.players.get_mut(&player) else {
                self.order.pop_front();
                continue;
            };
            match stream.kept.front() {
                Some(oldest) if oldest.number == number => {
                    let old = oldest.at + limits.event_retention.get() <= now;
                    if !old && self.order.len() < limits.events as usize {
                        return;
                    }
                    stream.drop_oldest();
                }
                // The player's own limit was faster.
                Some(_) | None => {}
            }
            self.order.pop_front();
            self.forget_empty(player);
        }
    }
}

impl Stream {
    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.dropped = oldest.number;
        }
    }
}

impl World {
    /// Tells a player something that is durable with the present operation. Answers its number.
    pub fn tell(&mut self, player: PlayerUuid, told: Told) -> u64 {
        self.tell_too(player, Arc::new(told))
    }

    /// The same for one of several who are told the same.
    fn tell_too(&mut self, player: PlayerUuid, told: Arc<Told>) -> u64 {
        let settings = self.settings.clone();
        self.events.push(player, told, self.touched, self.now.mono, &settings.limits)
    }

    /// Tells everybody whom a change of a session concerns, and clears the presence of whoever has left.
    pub(super) fn tell_change(&mut self, old: Option<&SessionRecord>, new: Option<&SessionRecord>) {
        let Some(record) = new.or(old) else { return };
        let reserved_told =
            self.settings.session_types.get(&record.session_type).is_none_or(|kind| kind.notify_on_reservation);
        let updated = self.updated(old, new);
        for gone in old.into_iter().flat_map(SessionRecord::active).map(|player| player.player_uuid) {
            if !new.is_some_and(|new| new.is_active(gone)) {
                let left =
                    SessionEvent { destroyed: new.is_none(), ..self.event(EventKind::OnSessionLeft, record, new) };
                self.presence_left(gone, &record.id);
                self.tell(gone, Told::Event(left));
            }
        }
        for player in new.into_iter().flat_map(SessionRecord::players) {
            let before = old.and_then(|old| old.player(player.player_uuid)).map(|player| player.status);
            let event = |kind| self.event(kind, record, new);
            let events = match (before, player.status) {
                (Some(PlayerStatus::Leader | PlayerStatus::Member), PlayerStatus::Leader | PlayerStatus::Member) => {
                    if let Some(updated) = &updated {
                        self.tell_too(player.player_uuid, updated.clone());
                    }
                    vec![]
                }
                (Some(PlayerStatus::Invited), PlayerStatus::Leader | PlayerStatus::Member) => {
                    let invite_id = old.and_then(|old| old.invites.get(&player.player_uuid)).copied();
                    let accepted = SessionEvent { invite_id, ..event(EventKind::OnUISessionJoinRequested) };
                    vec![accepted, event(EventKind::OnSessionJoined)]
                }
                (_, PlayerStatus::Leader | PlayerStatus::Member) => vec![event(EventKind::OnSessionJoined)],
                (before, PlayerStatus::Invited) if before != Some(PlayerStatus::Invited) => {
                    vec![SessionEvent {
                        status: Some(PlayerStatus::Invited),
                        invite_id: record.invites.get(&player.player_uuid).copied(),
                        inviting_player_uuid: player.inviting_player_uuid,
                        ..event(EventKind::OnSessionInviteReceived)
                    }]
                }
                (None, PlayerStatus::Reserved) if reserved_told => {
                    let status = Some(PlayerStatus::Reserved);
                    vec![SessionEvent { status, ..event(EventKind::OnSessionInviteReceived) }]
                }
                (_, PlayerStatus::Invited | PlayerStatus::Reserved) => vec![],
            };
            for event in events {
                self.tell(player.player_uuid, Told::Event(event));
            }
        }
    }

    /// What members are told of a change, if it changed anything that they see.
    fn updated(&self, old: Option<&SessionRecord>, new: Option<&SessionRecord>) -> Option<Arc<Told>> {
        let changed = changed(old, new);
        let record = new.filter(|_| !changed.is_empty())?;
        let event = self.event(EventKind::OnSessionUpdated, record, new);
        Some(Arc::new(Told::Event(SessionEvent { changed, ..event })))
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

/// The session's top-level members that differ, as they are named on the wire.
fn changed(old: Option<&SessionRecord>, new: Option<&SessionRecord>) -> Vec<String> {
    let (Some(old), Some(new)) = (old, new) else { return Vec::new() };
    fn info(record: &SessionRecord) -> Option<&InstanceInfo> {
        record.instance.as_ref().map(|instance| &instance.info)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ids::SessionId, time::Timestamp, units::Span};
    use std::time::Duration;

    fn at(second: u64) -> Instant {
        Instant(Duration::from_secs(1000 + second))
    }
    fn player(n: u128) -> PlayerUuid {
        PlayerUuid(uuid::Uuid::from_u128(n))
    }
    fn limits() -> Limits {
        Limits { events_per_player: 3, events: 5, event_retention: Span::from_secs(60), ..Limits::default() }
    }
    fn told() -> Arc<Told> {
        Arc::new(Told::Event(SessionEvent {
            event: EventKind::OnSessionUpdated,
            session_id: SessionId::new("s").unwrap(),
            session_type: "t".into(),
            etag: None,
            changed: vec![],
            destroyed: false,
            status: None,
            invite_id: None,
            inviting_player_uuid: None,
            created: Timestamp::EPOCH,
        }))
    }
    fn numbers(journal: &Journal, who: u128, position: u64) -> Result<Vec<u64>, Gap> {
        journal.after(player(who), position, 100).map(|kept| kept.iter().map(|kept| kept.number).collect())
    }

    #[test]
    fn whoever_resumes_gets_all_or_a_gap() {
        let mut journal = Journal::default();
        let mut tell = |who: u128, second| journal.push(player(who), told(), Seq(0), at(second), &limits());
        for second in 0..4 {
            tell(1, second);
        }
        assert_eq!(tell(2, 4), 5);
        assert_eq!(numbers(&journal, 1, 0), Err(Gap), "its own limit of three dropped the first");
        assert_eq!(numbers(&journal, 1, 1), Ok(vec![2, 3, 4]));
        assert_eq!(numbers(&journal, 2, 0), Ok(vec![5]));
        assert_eq!(numbers(&journal, 3, 0), Ok(vec![]), "a player to whom nothing happened misses nothing");
    }

    #[test]
    fn age_and_the_common_limit_drop_the_oldest_of_all() {
        let mut journal = Journal::default();
        for second in 0..5 {
            journal.push(player(u128::from(second)), told(), Seq(0), at(second), &limits());
        }
        journal.push(player(9), told(), Seq(0), at(5), &limits());
        assert_eq!(numbers(&journal, 0, 0), Err(Gap));
        assert_eq!(numbers(&journal, 4, 0), Ok(vec![5]), "its stream is whole");
        assert_eq!(numbers(&journal, 77, 0), Err(Gap), "nobody knows any more whether it had any");
        assert_eq!(numbers(&journal, 77, 1), Ok(vec![]));
        journal.expire(at(64), &limits());
        assert_eq!(numbers(&journal, 4, 0), Err(Gap));
        assert_eq!(numbers(&journal, 9, 5), Ok(vec![6]));
    }

    #[test]
    fn what_others_forget_is_no_gap_for_whoever_listens() {
        let mut journal = Journal::default();
        assert!(journal.watch(player(1), 1).is_some());
        assert!(journal.watch(player(1), 1).is_none(), "bounded");
        let position = journal.last();
        for second in 0..9 {
            journal.push(player(2), told(), Seq(0), at(second), &limits());
        }
        journal.expire(at(100), &limits());
        journal.push(player(1), told(), Seq(0), at(100), &limits());
        assert_eq!(numbers(&journal, 1, position), Ok(vec![10]));
        journal.unwatch(player(1));
        assert_eq!(numbers(&journal, 1, position), Ok(vec![10]), "kept for whoever comes back");
    }

    #[test]
    fn positions_of_another_life_or_of_the_future_are_none() {
        let mut journal = Journal::default();
        journal.push(player(1), told(), Seq(0), at(0), &limits());
        assert_eq!(journal.position(&journal.id(1)), Some(1));
        assert_eq!(journal.position(&journal.id(2)), None);
        let other = Journal { epoch: journal.epoch.wrapping_add(1), ..Journal::default() };
        assert_eq!(journal.position(&other.id(1)), None);
        for text in ["", "1", "x-1", "-", "00000000-99999999999999999999999"] {
            assert_eq!(journal.position(text), None, "{text}");
        }
    }
}
