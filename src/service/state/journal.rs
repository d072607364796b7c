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
//! more than the limits say, oldest first, and then takes no room in the store either; whoever asks
//! for what follows a position gets all of it or [`Gap`], also after the service was killed and
//! started again.

use super::{
    event_batch::{Dropped, EventBatch, FeedItem},
    set_aside::{RowError, SetAside},
};
use crate::{
    model::{
        ids::PlayerUuid,
        time::{Instant, Now, Timestamp},
    },
    service::{
        settings::Limits,
        store::{Seq, Store, StoreError, Table},
    },
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
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
    /// Rows of the store by the number of their first entry.
    rows: BTreeMap<u64, StoredRow>,
    /// Rows of which no entry is kept any more, since the last time that somebody asked.
    emptied: Vec<u64>,
    /// Up to here entries of players that have no stream any more are gone.
    forgotten: u64,
    /// Of all entries that are kept.
    bytes: usize,
}

/// A row of the store.
#[derive(Debug)]
struct StoredRow {
    last: u64,
    at: Timestamp,
    /// Entries that are kept.
    kept: u64,
    /// Whose entries are not.
    gone: Vec<PlayerUuid>,
}

/// What becomes of a row that says nothing any more.
#[derive(Debug, PartialEq, Eq)]
pub enum SpentRow {
    Removed(u64),
    /// Others before it are kept: it only says whose entries it had.
    Emptied(u64, EventBatch),
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
            if first.checked_add(u64::from(u32::MAX)).is_none() {
                return Err(RowError::Last);
            }
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
        self.rows.insert(first, StoredRow { last: self.last, at: batch.at, kept: 0, gone: Vec::new() });
        for (player, told) in batch.entries() {
            self.last += 1;
            let (number, bytes) = (self.last, told.bytes());
            if let Some(row) = self.rows.get_mut(&first) {
                (row.last, row.kept) = (number, row.kept + 1);
            }
            let stream = self.stream(player);
            stream.kept.push_back(FeedEntry { number, seq, told: told.clone(), at, bytes });
            stream.bytes += bytes;
            stream.woken.notify_waiters();
            self.bytes += bytes;
            self.order.push_back((number, player));
            while self.players.get(&player).is_some_and(|stream| stream.has_too_much(limits)) {
                self.drop_oldest(player);
            }
        }
        if let Some(dropped) = &batch.dropped {
            self.skip(first, dropped);
        }
        self.last_seq = seq;
    }

    /// A row whose entries were gone before it was read.
    fn skip(&mut self, first: u64, dropped: &Dropped) {
        self.last = first + u64::from(dropped.count).max(1) - 1;
        if let Some(row) = self.rows.get_mut(&first) {
            row.last = self.last;
            row.gone.clone_from(&dropped.players);
        }
        let last = self.last;
        for player in &dropped.players {
            while self.stream(*player).kept.front().is_some_and(|oldest| oldest.number <= last) {
                self.drop_oldest(*player);
            }
            self.stream(*player).dropped = last;
        }
    }

    /// Drops a player's oldest entry, and what nobody keeps of its row.
    fn drop_oldest(&mut self, player: PlayerUuid) {
        let Some(oldest) = self.players.get_mut(&player).and_then(Stream::drop_oldest) else { return };
        self.bytes -= oldest.bytes;
        let Some((first, row)) = self.rows.range_mut(..=oldest.number).next_back() else { return };
        row.kept = row.kept.saturating_sub(1);
        if !row.gone.contains(&player) {
            row.gone.push(player);
        }
        if row.kept == 0 {
            self.emptied.push(*first);
        }
    }

    /// Drops what is too old or too much. Answers the rows that the store needn't keep any more, or not as they are: never the
    /// newest, which says how far the numbers have come.
    #[must_use]
    pub fn expire(&mut self, now: Instant, limits: &Limits) -> Vec<SpentRow> {
        while let Some((number, player)) = self.order.front().copied() {
            if let Some(stream) = self.players.get(&player)
                && let Some(oldest) = stream.kept.front()
                && oldest.number == number
            {
                let old = oldest.at + limits.event_retention.get() <= now;
                let few = self.order.len() <= limits.events as usize;
                if !old && few && self.bytes as u64 <= limits.event_bytes.0 {
                    break;
                }
                self.drop_oldest(player);
            }
            // Else the player's own limit was faster.
            self.order.pop_front();
            self.forget_empty(player);
        }
        self.spent_rows()
    }

    /// Rows before the oldest entry that is kept, and those behind it that were emptied.
    fn spent_rows(&mut self) -> Vec<SpentRow> {
        let oldest = self.order.front().map_or(u64::MAX, |(number, _)| *number);
        let mut spent = Vec::new();
        while self.rows.len() > 1
            && let Some((first, row)) = self.rows.first_key_value()
            && row.last < oldest
        {
            spent.push(SpentRow::Removed(*first));
            let gone = self.rows.pop_first().map(|(_, row)| row.gone);
            gone.into_iter().flatten().for_each(|player| self.forget_empty(player));
        }
        for first in std::mem::take(&mut self.emptied) {
            if let Some(row) = self.rows.get(&first) {
                let count = u32::try_from(row.last + 1 - first).unwrap_or(u32::MAX);
                let dropped = Dropped { count, players: row.gone.clone() };
                spent.push(SpentRow::Emptied(first, EventBatch::emptied(row.at, dropped)));
            }
        }
        spent
    }
}

impl Stream {
    fn has_too_much(&self, limits: &Limits) -> bool {
        let bytes = self.kept.len() > 1 && self.bytes as u64 > limits.event_bytes_per_player.0;
        self.kept.len() > limits.events_per_player as usize || bytes
    }

    fn drop_oldest(&mut self) -> Option<FeedEntry> {
        let oldest = self.kept.pop_front()?;
        self.dropped = oldest.number;
        self.bytes -= oldest.bytes;
        Some(oldest)
    }
}

#[cfg(test)]
mod tests;
