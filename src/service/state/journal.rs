//! The journal of what players are told, kept for a while so that a subscriber who was away goes on
//! where it was.
//!
//! ```text
//!   an operation's change ─► State::items_of ─► one row of the store, a numbered entry for each player who is told
//!                                                    └─► event stream, long poll: each with a cursor of its own
//! ```
//!
//! A position is `EPOCH-NUMBER`; the epoch is the store's, numbers grow over all players. Nobody
//! has a queue: a subscriber reads what follows its cursor, and learns of a gap when that is gone.
//!
//! Invariants: a row is committed together with the change that it tells of; an entry, and a
//! position, is shown only once it is durable, so that no number is given twice; an entry is
//! dropped only after `limits.event_retention`, or when its player or all players together have
//! more than the limits say, oldest first; whoever asks for what follows a position gets all of it
//! or [`Gap`], also after the service was killed and started again.

use super::{
    event_batch::{EventBatch, FeedItem},
    set_aside::{RowError, SetAside},
};
use crate::{
    model::{
        ids::PlayerUuid,
        time::{Instant, Now},
    },
    service::{
        settings::Limits,
        store::{Seq, Store, StoreError, Table},
    },
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::Notify;

/// An entry of the journal.
#[derive(Debug, Clone)]
pub struct FeedEntry {
    pub number: u64,
    /// The write that made it durable.
    pub seq: Seq,
    pub told: Arc<FeedItem>,
    at: Instant,
    bytes: usize,
}

/// Entries that were asked for are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap;

#[derive(Debug, Default)]
pub struct Journal {
    epoch: u32,
    last: u64,
    /// The write that made the last entry durable.
    last_seq: Seq,
    players: HashMap<PlayerUuid, Stream>,
    /// Every entry, oldest first; those that a player's own limit dropped are passed over.
    order: VecDeque<(u64, PlayerUuid)>,
    /// Rows of the store, by their first and last number, oldest first.
    rows: VecDeque<(u64, u64)>,
    /// Up to here entries of players that have no stream any more are gone.
    forgotten: u64,
    /// Of all entries that are kept.
    bytes: usize,
}

#[derive(Debug, Default)]
struct Stream {
    kept: VecDeque<FeedEntry>,
    bytes: usize,
    /// Up to here this player's entries are gone.
    dropped: u64,
    woken: Arc<Notify>,
    /// Subscribers; the stream stays while there are any.
    watchers: u32,
}

/// The row with the epoch; all others are numbers.
pub(crate) const EPOCH: &str = "epoch";

/// The key of a row.
pub(crate) fn key(first: u64) -> String {
    format!("{first:016x}")
}

impl Journal {
    /// What the store has that isn't too old; a store without a journal gets an epoch, which the caller writes. So does one of
    /// which something can't be read: who was away learns of a gap then, rather than missing it.
    pub(crate) fn read(
        store: &mut dyn Store,
        set_aside: &mut SetAside,
        now: Now,
        limits: &Limits,
    ) -> Result<Journal, StoreError> {
        let fresh = rand::random();
        let mut journal = Journal { epoch: fresh, ..Journal::default() };
        set_aside.rows(store, Table::Events, |key, bytes| {
            if key == EPOCH {
                journal.epoch = u32::from_str_radix(std::str::from_utf8(bytes)?, 16)?;
                return Ok(());
            }
            let first = u64::from_str_radix(key, 16).map_err(|_| RowError::Key)?;
            // Also the number of a row that can't be read is given away.
            journal.last = journal.last.max(first);
            let batch: EventBatch = serde_json::from_slice(bytes)?;
            if journal.rows.is_empty() {
                journal.forgotten = first.saturating_sub(1);
            }
            journal.last = first.saturating_sub(1);
            let age = now.wall.since(batch.at);
            journal.add(&batch, Seq::default(), Instant(now.mono.0.saturating_sub(age)), limits);
            Ok(())
        })?;
        if set_aside.count(Table::Events) > 0 {
            journal.epoch = fresh;
        }
        Ok(journal)
    }

    /// The epoch as text.
    pub fn epoch(&self) -> String {
        format!("{:08x}", self.epoch)
    }
    /// A position as callers see it.
    pub fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.epoch())
    }
    /// The newest position. It may be shown once [`Journal::last_seq`] is durable.
    pub fn last(&self) -> u64 {
        self.last
    }
    pub fn last_seq(&self) -> Seq {
        self.last_seq
    }
    /// A position of this store.
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
    pub fn after(&self, player: PlayerUuid, position: u64, most: usize) -> Result<Vec<FeedEntry>, Gap> {
        if position < self.earliest(player) {
            return Err(Gap);
        }
        let kept = self.players.get(&player).map(|stream| &stream.kept);
        Ok(kept.into_iter().flatten().filter(|kept| kept.number > position).take(most).cloned().collect())
    }

    /// Everything that is kept for a player and not too old, newest first.
    pub fn newest_first(&self, player: PlayerUuid, now: Instant, limits: &Limits) -> impl Iterator<Item = &FeedEntry> {
        let kept = self.players.get(&player).into_iter().flat_map(|stream| stream.kept.iter().rev());
        let retention = limits.event_retention.get();
        kept.take_while(move |entry| entry.at + retention > now)
    }

    /// Subscribes: what wakes the subscriber; none if the player has too many subscribers.
    pub fn watch(&mut self, player: PlayerUuid, most: u32) -> Option<Arc<Notify>> {
        let stream = self.stream(player);
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

    /// A player's stream; a new one doesn't know what came before.
    fn stream(&mut self, player: PlayerUuid) -> &mut Stream {
        let new = || Stream { dropped: self.forgotten, ..Stream::default() };
        self.players.entry(player).or_insert_with(new)
    }

    fn forget_empty(&mut self, player: PlayerUuid) {
        let empty = |stream: &Stream| stream.watchers == 0 && stream.kept.is_empty();
        if self.players.get(&player).is_some_and(empty)
            && let Some(stream) = self.players.remove(&player)
        {
            self.forgotten = self.forgotten.max(stream.dropped);
        }
    }

    /// Takes what one change tells; `seq` is the write of its row. Rows that nobody needs any more are dropped by [`Journal::expire`].
    pub fn add(&mut self, batch: &EventBatch, seq: Seq, at: Instant, limits: &Limits) {
        let first = self.last + 1;
        for (player, told) in batch.entries() {
            self.last += 1;
            let (number, bytes) = (self.last, told.bytes());
            let stream = self.stream(player);
            let before = stream.bytes;
            stream.kept.push_back(FeedEntry { number, seq, told: told.clone(), at, bytes });
            stream.bytes += bytes;
            while stream.kept.len() > limits.events_per_player as usize
                || (stream.kept.len() > 1 && stream.bytes as u64 > limits.event_bytes_per_player.0)
            {
                stream.drop_oldest();
            }
            stream.woken.notify_waiters();
            let after = stream.bytes;
            self.bytes = self.bytes + after - before;
            self.order.push_back((number, player));
        }
        self.rows.push_back((first, self.last));
        self.last_seq = seq;
    }

    /// Drops what is too old or too much. Answers the rows that the store needn't keep any more: never the newest, which says how far the
    /// numbers have come.
    #[must_use]
    pub fn expire(&mut self, now: Instant, limits: &Limits) -> Vec<u64> {
        while let Some((number, player)) = self.order.front().copied() {
            if let Some(stream) = self.players.get_mut(&player)
                && let Some(oldest) = stream.kept.front()
                && oldest.number == number
            {
                let old = oldest.at + limits.event_retention.get() <= now;
                let few = self.order.len() <= limits.events as usize;
                if !old && few && self.bytes as u64 <= limits.event_bytes.0 {
                    break;
                }
                self.bytes -= oldest.bytes;
                stream.drop_oldest();
            }
            // Else the player's own limit was faster.
            self.order.pop_front();
            self.forget_empty(player);
        }
        self.spent_rows()
    }

    /// Rows before the oldest entry that is kept.
    fn spent_rows(&mut self) -> Vec<u64> {
        let oldest = self.order.front().map_or(u64::MAX, |(number, _)| *number);
        let mut spent = Vec::new();
        while self.rows.len() > 1
            && let Some((first, last)) = self.rows.front().copied()
            && last < oldest
        {
            self.rows.pop_front();
            spent.push(first);
        }
        spent
    }
}

impl Stream {
    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.dropped = oldest.number;
            self.bytes -= oldest.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            events::{EventKind, SessionEvent},
            ids::SessionId,
            time::Timestamp,
            units::Span,
        },
        service::store::{Write, memory::Memory},
    };
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
    fn told() -> Arc<FeedItem> {
        Arc::new(FeedItem::Event(SessionEvent {
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
    #[test]
    fn bytes_are_bounded_for_a_player_and_for_all() {
        use crate::model::units::Size;
        let limits = Limits {
            event_bytes_per_player: Size(4000),
            event_bytes: Size(6000),
            events_per_player: 100,
            events: 100,
            ..limits()
        };
        let note = Arc::new(FeedItem::Note(crate::model::events::Notification {
            message: "m".repeat(1000),
            rh_url: None,
            custom_data: <_>::default(),
            etag: None,
            notification_id: String::new(),
            created: Timestamp::EPOCH,
        }));
        let mut journal = Journal::default();
        let mut kept = |who: u128, times: u32| {
            for _ in 0..times {
                let batch = EventBatch::new(Timestamp::EPOCH, vec![(player(who), note.clone())]);
                journal.add(&batch, Seq(0), at(0), &limits);
                let _ = journal.expire(at(0), &limits);
            }
            [1, 2].map(|who| journal.players.get(&player(who)).map_or(0, |stream| stream.kept.len()))
        };
        assert_eq!(kept(1, 9), [3, 0]);
        assert_eq!(kept(2, 1), [3, 1]);
        assert_eq!(kept(2, 1), [2, 2], "the oldest of all goes");
        assert_eq!(kept(2, 9), [1, 3]);
    }

    fn push(journal: &mut Journal, who: u128, second: u64) -> u64 {
        push_row(journal, &EventBatch::new(Timestamp::EPOCH, vec![(player(who), told())]), second)
    }
    fn push_row(journal: &mut Journal, batch: &EventBatch, second: u64) -> u64 {
        journal.add(batch, Seq(0), at(second), &limits());
        let _ = journal.expire(at(second), &limits());
        journal.last()
    }
    fn numbers(journal: &Journal, who: u128, position: u64) -> Result<Vec<u64>, Gap> {
        journal.after(player(who), position, 100).map(|kept| kept.iter().map(|kept| kept.number).collect())
    }

    #[test]
    fn whoever_resumes_gets_all_or_a_gap() {
        let mut journal = Journal::default();
        let mut tell = |who: u128, second| push(&mut journal, who, second);
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
            push(&mut journal, u128::from(second), second);
        }
        push(&mut journal, 9, 5);
        assert_eq!(numbers(&journal, 0, 0), Err(Gap));
        assert_eq!(numbers(&journal, 4, 0), Ok(vec![5]), "its stream is whole");
        assert_eq!(numbers(&journal, 77, 0), Err(Gap), "nobody knows any more whether it had any");
        assert_eq!(numbers(&journal, 77, 1), Ok(vec![]));
        let _ = journal.expire(at(64), &limits());
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
            push(&mut journal, 2, second);
        }
        let _ = journal.expire(at(100), &limits());
        push(&mut journal, 1, 100);
        assert_eq!(numbers(&journal, 1, position), Ok(vec![10]));
        journal.unwatch(player(1));
        assert_eq!(numbers(&journal, 1, position), Ok(vec![10]), "kept for whoever comes back");
    }

    #[test]
    fn positions_of_another_life_or_of_the_future_are_none() {
        let mut journal = Journal::default();
        push(&mut journal, 1, 0);
        assert_eq!(journal.position(&journal.id(1)), Some(1));
        assert_eq!(journal.position(&journal.id(2)), None);
        let other = Journal { epoch: journal.epoch.wrapping_add(1), ..Journal::default() };
        assert_eq!(journal.position(&other.id(1)), None);
        for text in ["", "1", "x-1", "-", "00000000-99999999999999999999999"] {
            assert_eq!(journal.position(text), None, "{text}");
        }
    }

    #[test]
    fn a_journal_that_is_read_again_goes_on_where_it_was() {
        let mut store = Memory::default();
        let mut journal = Journal { epoch: 7, ..Journal::default() };
        store.commit(&[Write::put(Table::Events, EPOCH, journal.epoch())]).unwrap();
        let shared = told();
        for second in 0..4 {
            let wall = Timestamp::EPOCH.plus(Duration::from_secs(second));
            let batch = EventBatch::new(wall, vec![(player(1), shared.clone()), (player(2), shared.clone())]);
            let key = key(journal.last() + 1);
            store.commit(&[Write::put(Table::Events, key, serde_json::to_vec(&batch).unwrap())]).unwrap();
            push_row(&mut journal, &batch, second);
        }
        let now = |second| {
            let wall = Timestamp::EPOCH.plus(Duration::from_secs(second));
            Now { boot: at(second).0, mono: at(second), wall }
        };
        let read =
            |second| Journal::read(&mut store.clone(), &mut SetAside::default(), now(second), &limits()).unwrap();
        let mut again = read(4);
        let _ = again.expire(at(4), &limits());
        for (who, position) in [(1, 1), (1, 3), (2, 4), (2, 8), (3, 3)] {
            assert_eq!(numbers(&again, who, position), numbers(&journal, who, position), "{who} from {position}");
        }
        assert_eq!((again.id(8), again.position(&journal.id(8))), (journal.id(8), Some(8)));
        let mut late = read(62);
        assert_eq!(late.expire(at(62), &limits()), [1, 3, 5], "what was too old meanwhile, but never the newest row");
        assert_eq!((numbers(&late, 1, 3), numbers(&late, 1, 5)), (Err(Gap), Ok(vec![7])));
        assert_eq!(push(&mut late, 1, 62), 9, "no number is given twice");
    }
}
