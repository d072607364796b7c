//! What both wires work with: the game's words go through here, one after the other, and so does what it is shown.
//!
//! ```text
//!   REST ─┐             ┌──────────── Desk ────────────┐
//!   gRPC ─┴─ act(op) ──►│ Book ──► GameEvent … Keep(text) ──┼─► driver ─► core ─► journal
//!                       │   │                          │                │
//!   watch ◄── Ring ◄────┤ Picture ◄── Status, levels ◄─┼────────────────┘
//!                       └──────────────────────────────┘
//! ```
//!
//! Invariants:
//!
//! 1. A word is answered once what it changed is in the journal (or can't get there): the next agent knows it, too.
//! 2. Words reach the driver in the order in which they changed the book: their places in its queue are taken first.
//! 3. A watcher's first state and its place in the ring are taken under one lock, so that no change falls in between.
//! 4. Nobody who reads is waited for: a watcher is a position; one that falls behind goes on from the newest state.

mod time;
mod watching;

use super::{
    Settings,
    book::{Book, Done, Outcome, View},
    fault::{Code, Fault},
    health::Pulse,
    picture::{self, Picture},
};
use crate::{
    frontends::{Heard, Shared, ring::Ring},
    host::clock,
    model::{
        game::{EventSource, GameEvent},
        ids::RunNumber,
        status::Status,
    },
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, Semaphore, mpsc::PermitIterator, oneshot};
pub use watching::Watch;

/// States that a slow watcher can still read one by one.
const RETENTION: usize = 32;
/// The most that one operation says.
const MAX_WORDS: usize = 6;
/// How much is kept of one run, in bytes.
const MAX_KEPT: usize = 24 * 1024;
const JOURNAL_PATIENCE: Duration = Duration::from_secs(3);
const QUEUE_PATIENCE: Duration = Duration::from_secs(2);
const GAME_PATIENCE: Duration = Duration::from_secs(30);

/// The one place where this SDK's state lies.
#[derive(Debug)]
pub struct Desk {
    pub settings: Settings,
    shared: Shared,
    inner: Mutex<Inner>,
    ring: Ring<Arc<Picture>>,
    wake: Notify,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Inner {
    /// The newest run; what is said after its end is still its word.
    run: Option<RunNumber>,
    book: Book,
    /// The book as the agent was last told to keep it.
    kept: String,
    view: View,
    /// As of when.
    seen: Option<(Arc<Status>, u64)>,
    pulse: Pulse,
    pulse_runs: bool,
    /// The agent knows that this SDK is used.
    greeted: bool,
    version: i64,
    picture: Arc<Picture>,
}

impl Desk {
    pub fn new(settings: Settings, shared: Shared) -> Arc<Self> {
        let book = Book::new(&settings);
        let inner = Inner {
            run: None,
            kept: text(&book),
            book,
            view: View::default(),
            seen: None,
            pulse: Pulse::default(),
            pulse_runs: false,
            greeted: false,
            version: 0,
            picture: Arc::new(Picture::new(super::proto::GameServer::default(), None)),
        };
        let desk = Desk {
            settings,
            shared,
            inner: Mutex::new(inner),
            ring: Ring::new(RETENTION, 0),
            wake: Notify::new(),
            places: Arc::new(Semaphore::new(watching::MAX_WATCHERS)),
        };
        drop(desk.fresh());
        Arc::new(desk)
    }

    /// Says something, and waits until it is safe.
    pub async fn act<T>(&self, op: impl FnOnce(&mut Book, &View) -> Outcome<T>) -> Result<T, Fault> {
        self.game_there().await;
        let places = tokio::time::timeout(QUEUE_PATIENCE, self.shared.said.reserve_many(MAX_WORDS));
        let places = match places.await {
            Ok(Ok(places)) => places,
            Ok(Err(_)) => return Err(ending()),
            Err(_) => return Err(Fault::new(Code::Unavailable, "the agent can't keep up; say it again in a second")),
        };
        let (value, taken) = self.apply(op, places)?;
        self.wake.notify_one();
        match taken {
            None => Ok(value),
            Some(taken) => match tokio::time::timeout(JOURNAL_PATIENCE, taken).await {
                Ok(Err(_)) => Err(ending()),
                Ok(Ok(())) | Err(_) => Ok(value),
            },
        }
    }

    /// A client may be faster than the start of its game, or than an agent that comes back: it waits a while.
    async fn game_there(&self) {
        if self.fresh().run.is_none() {
            let mut status = self.shared.status.clone();
            let there = status.wait_for(|status| status.game.run.is_some());
            drop(tokio::time::timeout(GAME_PATIENCE, there).await);
        }
    }

    fn apply<T>(
        &self,
        op: impl FnOnce(&mut Book, &View) -> Outcome<T>,
        places: PermitIterator<'_, Heard>,
    ) -> Result<(T, Option<oneshot::Receiver<()>>), Fault> {
        let mut inner = self.fresh();
        let Some(run) = inner.run else {
            return Err(Fault::new(Code::Unavailable, "no game runs here that could say this"));
        };
        let before = inner.book.clone();
        inner.book.spoken = true;
        let view = inner.view.clone();
        let outcome = op(&mut inner.book, &view);
        let kept = text(&inner.book);
        let outcome = match outcome {
            Ok(_) if kept.len() > MAX_KEPT => {
                let message = format!("more than {MAX_KEPT} bytes of labels, lists and players aren't kept");
                Err(Fault::new(Code::ResourceExhausted, message))
            }
            other => other,
        };
        let Done { value, mut says } = match outcome {
            Ok(done) => done,
            Err(fault) => {
                inner.book = before;
                return Err(fault);
            }
        };
        if !before.spoken {
            inner.pulse.ping(&self.settings.health, clock::mono());
        }
        if kept != inner.kept {
            says.push(GameEvent::Keep(kept.clone().into()));
            inner.kept = kept;
        }
        inner.greeted |= !says.is_empty();
        let taken = send(run, says, places);
        self.publish(&mut inner);
        Ok((value, taken))
    }

    /// A sign of life.
    pub async fn ping(&self) -> Result<(), Fault> {
        {
            let mut inner = self.fresh();
            inner.pulse.ping(&self.settings.health, clock::mono());
            if inner.book.spoken && !inner.book.unhealthy {
                // The usual case, many times a second maybe: nothing is kept, and one that finds no place is no loss.
                if let Some(run) = inner.run {
                    drop(self.shared.said.try_send(heard(run, GameEvent::Heartbeat, None)));
                }
                return Ok(());
            }
        }
        self.act(|book, _| book.ping()).await
    }

    /// Reads the book.
    pub fn read<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        let mut inner = self.fresh();
        self.greet(&mut inner);
        read(&inner.book)
    }

    /// The GameServer now.
    pub fn look(&self) -> Arc<Picture> {
        self.now().0
    }

    fn now(&self) -> (Arc<Picture>, u64) {
        let mut inner = self.fresh();
        self.greet(&mut inner);
        let picture = Arc::clone(&inner.picture);
        inner.saw(&picture);
        (picture, self.ring.head())
    }

    /// The state with everything in it that is known by now.
    fn fresh(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let head = self.shared.events.head();
        let status = {
            let status = self.shared.status.borrow();
            if inner.seen.as_ref().is_some_and(|(seen, event)| Arc::ptr_eq(seen, &status) && *event == head) {
                return inner;
            }
            Arc::clone(&status)
        };
        inner.seen = Some((Arc::clone(&status), head));
        self.absorb(&mut inner, &status);
        self.publish(&mut inner);
        inner
    }

    fn absorb(&self, inner: &mut Inner, status: &Status) {
        if let Some(run) = status.game.run.filter(|run| inner.run != Some(*run)) {
            self.open_book(inner, run, status);
        }
        inner.view = picture::view(status);
        if !inner.pulse_runs && status.game.pid.is_some() {
            inner.pulse_runs = true;
            inner.pulse.begin(&self.settings.health, clock::mono());
        }
        if status.game.run.is_none() {
            return;
        }
        let view = inner.view.clone();
        inner.book.follow(&view, clock::wall());
        let kept = text(&inner.book);
        if kept != inner.kept
            && let Some(run) = inner.run
            && self.shared.said.try_send(heard(run, GameEvent::Keep(kept.clone().into()), None)).is_ok()
        {
            inner.kept = kept;
        }
    }

    /// A run that is new to this agent: what an earlier one kept of it, or an empty book.
    fn open_book(&self, inner: &mut Inner, run: RunNumber, status: &Status) {
        let kept = status.game.kept.get(&EventSource::Agones);
        let known = kept.and_then(|kept| {
            let read = serde_json::from_str::<Book>(kept.as_str());
            read.inspect_err(|error| tracing::warn!(%error, "what an earlier agent kept of the Agones SDK is lost"))
                .ok()
        });
        inner.run = Some(run);
        inner.book = known.unwrap_or_else(|| Book::new(&self.settings));
        inner.kept = text(&inner.book);
        inner.pulse = Pulse::default();
        inner.pulse_runs = false;
        inner.greeted = status.game.speaks.contains(&EventSource::Agones);
        if inner.book.unhealthy {
            let why = "its health pings had stopped".to_owned();
            if let Ok(done) = inner.book.silent(why) {
                for said in done.says {
                    drop(self.shared.said.try_send(heard(run, said, None)));
                }
            }
        }
    }

    /// Shows what has changed.
    fn publish(&self, inner: &mut Inner) {
        let Some((status, _)) = &inner.seen else { return };
        let (levels, _) = self.shared.events.levels();
        // Higher than any that an earlier agent has shown.
        let version = (inner.version + 1).max(clock::wall().unix_millis());
        let server =
            picture::game_server(&self.settings, status, &levels, (&inner.book, &inner.view), version.to_string());
        if inner.picture.shows(&server) {
            return;
        }
        inner.version = version;
        let shown = inner.book.shown(&inner.view) == super::Shown::Allocated;
        let allocated = inner.view.allocation.clone().filter(|_| shown);
        inner.picture = Arc::new(Picture::new(server, allocated));
        self.ring.push(Arc::clone(&inner.picture));
    }

    /// Makes it known that this SDK is used, once.
    fn greet(&self, inner: &mut Inner) {
        if !inner.greeted
            && let Some(run) = inner.run
        {
            inner.greeted = self.shared.said.try_send(heard(run, GameEvent::Hello, None)).is_ok();
        }
    }
}

impl Inner {
    /// The game has been shown this.
    fn saw(&mut self, picture: &Picture) {
        if picture.allocated.is_some() && self.book.seen != picture.allocated {
            self.book.seen.clone_from(&picture.allocated);
        }
    }
}

fn heard(run: RunNumber, said: GameEvent, taken: Option<oneshot::Sender<()>>) -> Heard {
    Heard { run, door: EventSource::Agones, said, taken }
}

/// Sends the words in their order; the receiver hears when the last of them is safe.
fn send(run: RunNumber, says: Vec<GameEvent>, places: PermitIterator<'_, Heard>) -> Option<oneshot::Receiver<()>> {
    let last = says.len().checked_sub(1)?;
    let (taken, wait) = oneshot::channel();
    let mut taken = Some(taken);
    for ((at, said), place) in says.into_iter().enumerate().zip(places) {
        place.send(heard(run, said, if at == last { taken.take() } else { None }));
    }
    Some(wait)
}

fn text(book: &Book) -> String {
    serde_json::to_string(book).expect("plain data always serialises")
}

fn ending() -> Fault {
    Fault::new(Code::Unavailable, "the agent is ending; the next one will answer")
}
