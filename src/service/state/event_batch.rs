//! What one operation tells players: the body of a row of the store.
//!
//! The same item for several players in a row is written once, with the list of those players.

use crate::model::{
    events::{Notification, SessionEvent},
    ids::PlayerUuid,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The bytes of a row, unless one item has more.
const ROW: usize = 8 << 10;

/// Something a player is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedItem {
    Event(SessionEvent),
    /// From the notification API; its id is put in when it is read.
    Note(Notification),
}

impl FeedItem {
    /// What it takes, about.
    pub fn bytes(&self) -> usize {
        const SHARE: usize = 256;
        match self {
            FeedItem::Event(event) => SHARE + event.session_type.len(),
            FeedItem::Note(note) => {
                let data: usize = note.custom_data.iter().map(|(key, value)| key.len() + value.len()).sum();
                let rest = [&note.rh_url, &note.etag].into_iter().flatten().map(String::len).sum::<usize>();
                SHARE + note.message.len() + data + rest
            }
        }
    }
}

/// A row. Its entries are numbered from the row's own number on.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventBatch {
    pub(super) at: Timestamp,
    told: Vec<ToPlayers>,
    /// In place of entries that nobody keeps any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dropped: Option<Dropped>,
}

/// The entries that a row had.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub(super) count: u32,
    /// Whose they were.
    pub(super) players: Vec<PlayerUuid>,
}

/// The same for several players.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ToPlayers {
    #[serde(with = "shared")]
    told: Arc<FeedItem>,
    players: Vec<PlayerUuid>,
}

impl EventBatch {
    /// `told` to each in turn; what is the same for several players in a row is kept once.
    pub fn new(at: Timestamp, told: Vec<(PlayerUuid, Arc<FeedItem>)>) -> EventBatch {
        let mut grouped: Vec<ToPlayers> = Vec::new();
        for (player, told) in told {
            match grouped.last_mut() {
                Some(last) if Arc::ptr_eq(&last.told, &told) => last.players.push(player),
                Some(_) | None => grouped.push(ToPlayers { told, players: vec![player] }),
            }
        }
        EventBatch { at, told: grouped, dropped: None }
    }

    /// Rows of about so many bytes each at most, so that an entry that is kept keeps few others from going.
    pub fn split(at: Timestamp, told: Vec<(PlayerUuid, Arc<FeedItem>)>) -> Vec<EventBatch> {
        let mut batches = Vec::new();
        let (mut row, mut bytes) = (Vec::new(), 0);
        for (player, item) in told {
            if bytes + item.bytes() > ROW && !row.is_empty() {
                batches.push(EventBatch::new(at, std::mem::take(&mut row)));
                bytes = 0;
            }
            bytes += item.bytes();
            row.push((player, item));
        }
        batches.push(EventBatch::new(at, row));
        batches
    }

    /// A row without entries.
    pub(super) fn emptied(at: Timestamp, dropped: Dropped) -> EventBatch {
        EventBatch { at, told: Vec::new(), dropped: Some(dropped) }
    }

    /// The row's entries: who is told, and what.
    pub(super) fn entries(&self) -> impl Iterator<Item = (PlayerUuid, &Arc<FeedItem>)> {
        self.told.iter().flat_map(|same| same.players.iter().map(|player| (*player, &same.told)))
    }
}

/// What several entries share, as if each had its own.
mod shared {
    use super::{Arc, FeedItem};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(told: &Arc<FeedItem>, serializer: S) -> Result<S::Ok, S::Error> {
        told.as_ref().serialize(serializer)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<FeedItem>, D::Error> {
        FeedItem::deserialize(deserializer).map(Arc::new)
    }
}
