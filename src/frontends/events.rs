//! Notices to the game: a log of changes, and the levels that are in force.
//!
//! A level (allocated, backfilled, drain, stop, session lost) is kept for as long as it holds,
//! apart from the log: a reader that starts anew gets the levels first, in their order, then every
//! change after them. Both are taken under one lock, so that nothing falls in between.
//!
//! | notice | becomes a level | ends |
//! |---|---|---|
//! | `Allocated` | yes | with the next one, or the next run |
//! | `Backfilled` | yes, merged | with the allocation |
//! | `Drain`, `Stop`, `SessionLost` | yes | with the next allocation or run |
//! | `NotInSession` | no | |

use super::ring::{Next, Ring};
use crate::model::{game::GameNotice, ids::RunNumber};
use bytes::Bytes;
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How many changes can be read back.
pub(crate) const RETENTION: usize = 256;
/// Players named by the merged `Backfilled` level; older ones are in the session anyway.
const MAX_BACKFILLED: usize = 1024;

/// One change.
#[derive(Debug)]
pub struct Event {
    pub number: u64,
    pub run: RunNumber,
    pub notice: GameNotice,
    /// `{"run": …, "event": …, …}`: serialised once for all readers.
    pub json: Bytes,
}

/// The log and the levels. The driver writes, frontends read.
#[derive(Debug)]
pub struct Events {
    /// Names this log: numbers of another one mean nothing here.
    id: String,
    ring: Ring<Arc<Event>>,
    levels: Mutex<Levels>,
}

/// The levels in force for the newest run.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    pub run: Option<RunNumber>,
    /// In the order of their numbers.
    pub events: Vec<Arc<Event>>,
}

impl Events {
    /// `id`: random, new whenever the agent starts.
    pub fn new(id: impl Into<String>) -> Self {
        Events { id: id.into(), ring: Ring::new(RETENTION, 0), levels: Mutex::default() }
    }

    /// Adds a notice. An agent that has adopted a run adds the levels again; a reader that resumes sees a log of another id.
    pub fn publish(&self, run: RunNumber, notice: GameNotice) {
        let mut levels = self.lock();
        let event = Arc::new(Event::new(self.ring.head() + 1, run, notice));
        levels.absorb(&event);
        self.ring.push(event);
    }

    /// Adds what is news: what holds already isn't told again, whoever says so.
    pub(crate) fn tell(&self, run: RunNumber, notice: GameNotice) {
        let news = self.lock().news(run, notice);
        if let Some(notice) = news {
            self.publish(run, notice);
        }
    }

    pub fn log_id(&self) -> &str {
        &self.id
    }

    /// The levels, and the number up to which they hold everything.
    pub fn levels(&self) -> (Levels, u64) {
        let levels = self.lock();
        (levels.clone(), self.ring.head())
    }

    pub fn after(&self, seen: u64, limit: usize) -> Next<Arc<Event>> {
        self.ring.after(seen, limit)
    }
    pub fn head(&self) -> u64 {
        self.ring.head()
    }
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.ring.watch()
    }
    fn lock(&self) -> MutexGuard<'_, Levels> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Event {
    fn new(number: u64, run: RunNumber, notice: GameNotice) -> Self {
        #[derive(Serialize)]
        struct Wire<'a> {
            run: RunNumber,
            #[serde(flatten)]
            notice: &'a GameNotice,
        }
        let json = serde_json::to_vec(&Wire { run, notice: &notice }).expect("plain data always serialises");
        Event { number, run, notice, json: json.into() }
    }
}

impl Levels {
    fn absorb(&mut self, event: &Arc<Event>) {
        match self.run {
            Some(run) if run > event.run => return,
            Some(run) if run == event.run => {}
            Some(_) | None => *self = Levels { run: Some(event.run), events: Vec::new() },
        }
        let event = match &event.notice {
            GameNotice::NotInSession { .. } => return,
            GameNotice::Allocated { .. } => {
                self.events.clear();
                Arc::clone(event)
            }
            GameNotice::Backfilled { .. } => self.merged(event),
            GameNotice::Drain { .. } | GameNotice::Stop { .. } | GameNotice::SessionLost => Arc::clone(event),
        };
        let kind = std::mem::discriminant(&event.notice);
        self.events.retain(|other| std::mem::discriminant(&other.notice) != kind);
        self.events.push(event);
    }

    /// What of a notice doesn't hold already.
    fn news(&self, run: RunNumber, notice: GameNotice) -> Option<GameNotice> {
        match self.run {
            Some(known) if known > run => return None,
            Some(known) if known == run => {}
            Some(_) | None => return Some(notice),
        }
        let kind = std::mem::discriminant(&notice);
        let known = self.events.iter().map(|event| &event.notice).find(|known| std::mem::discriminant(*known) == kind);
        match (notice, known) {
            // How much time is left is another figure each time.
            (GameNotice::Stop { .. }, Some(_)) => None,
            (GameNotice::Backfilled { mut players }, Some(GameNotice::Backfilled { players: known })) => {
                players.retain(|player| !known.contains(player));
                if players.is_empty() { None } else { Some(GameNotice::Backfilled { players }) }
            }
            (notice, Some(known)) if notice == *known => None,
            (notice, _) => Some(notice),
        }
    }

    /// The new event with the players of the level before it.
    fn merged(&self, event: &Arc<Event>) -> Arc<Event> {
        let named = |notice: &GameNotice| match notice {
            GameNotice::Backfilled { players } => players.clone(),
            GameNotice::Allocated { .. }
            | GameNotice::NotInSession { .. }
            | GameNotice::Drain { .. }
            | GameNotice::Stop { .. }
            | GameNotice::SessionLost => Vec::new(),
        };
        let mut players: Vec<_> = self.events.iter().flat_map(|event| named(&event.notice)).collect();
        for player in named(&event.notice) {
            if !players.contains(&player) {
                players.push(player);
            }
        }
        let surplus = players.len().saturating_sub(MAX_BACKFILLED);
        players.drain(..surplus);
        Arc::new(Event::new(event.number, event.run, GameNotice::Backfilled { players }))
    }
}
