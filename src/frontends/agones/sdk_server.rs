//! What both wires work with: the game's words go through here, one after the other, and so does what it is shown.
//!
//! ```text
//!   REST ─┐             ┌──────────── SdkServer ────────────┐
//!   gRPC ─┴─ act(op) ──►│ SdkState ──► GameEvent … Keep(text) ──┼─► driver ─► core ─► journal
//!                       │   │                          │                │
//!   watch ◄── Ring ◄────┤ Snapshot ◄── Status, levels ◄─┼────────────────┘
//!                       └──────────────────────────────┘
//! ```
//!
//! Invariants:
//!
//! 1. A word is answered once what it changed is in the journal (or can't get there): the next agent knows it, too.
//! 2. Words reach the driver in the order in which they changed the state: their places in its queue are taken first.
//! 3. A watcher's first state and its place in the ring are taken under one lock, so that no change falls in between.
//! 4. Nobody who reads is waited for: a watcher is a position; one that falls behind goes on from the newest state.

mod timers;
mod watch;

use super::{
    Settings,
    error::{Code, RpcError},
    health::HealthTracker,
    snapshot::{self, Snapshot},
    state::{AgentView, Done, Outcome, SdkState},
};
use crate::{
    frontends::{GameMessage, Shared, ring::Ring},
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
pub use watch::Watch;

/// States that a slow watcher can still read one by one.
const RETENTION: usize = 32;
/// The most that one operation events.
const MAX_WORDS: usize = 6;
/// How much is kept of one run, in bytes.
const MAX_KEPT: usize = 24 * 1024;
const JOURNAL_PATIENCE: Duration = Duration::from_secs(3);
const QUEUE_PATIENCE: Duration = Duration::from_secs(2);
const GAME_PATIENCE: Duration = Duration::from_secs(30);

/// The one place where this SDK's state lies.
#[derive(Debug)]
pub struct SdkServer {
    pub settings: Settings,
    shared: Shared,
    inner: Mutex<Inner>,
    ring: Ring<Arc<Snapshot>>,
    wake: Notify,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Inner {
    /// The newest run; what is said after its end is still its word.
    run: Option<RunNumber>,
    state: SdkState,
    /// The state as the agent was last told to keep it.
    kept: String,
    view: AgentView,
    /// As of when.
    seen: Option<(Arc<Status>, u64)>,
    health: HealthTracker,
    health_runs: bool,
    /// The agent knows that this SDK is used.
    greeted: bool,
    version: i64,
    snapshot: Arc<Snapshot>,
}

impl SdkServer {
    pub fn new(settings: Settings, shared: Shared) -> Arc<Self> {
        let state = SdkState::new(&settings);
        let inner = Inner {
            run: None,
            kept: text(&state),
            state,
            view: AgentView::default(),
            seen: None,
            health: HealthTracker::default(),
            health_runs: false,
            greeted: false,
            version: 0,
            snapshot: Arc::new(Snapshot::new(super::proto::GameServer::default(), None)),
        };
        let sdk = SdkServer {
            settings,
            shared,
            inner: Mutex::new(inner),
            ring: Ring::new(RETENTION, 0),
            wake: Notify::new(),
            places: Arc::new(Semaphore::new(watch::MAX_WATCHERS)),
        };
        drop(sdk.fresh());
        Arc::new(sdk)
    }

    /// Says something, and waits until it is safe.
    pub async fn act<T>(&self, op: impl FnOnce(&mut SdkState, &AgentView) -> Outcome<T>) -> Result<T, RpcError> {
        self.game_there().await;
        let places = tokio::time::timeout(QUEUE_PATIENCE, self.shared.game_messages.reserve_many(MAX_WORDS));
        let places = match places.await {
            Ok(Ok(places)) => places,
            Ok(Err(_)) => return Err(ending()),
            Err(_) => {
                return Err(RpcError::new(Code::Unavailable, "the agent can't keep up; say it again in a second"));
            }
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
        op: impl FnOnce(&mut SdkState, &AgentView) -> Outcome<T>,
        places: PermitIterator<'_, GameMessage>,
    ) -> Result<(T, Option<oneshot::Receiver<()>>), RpcError> {
        let mut inner = self.fresh();
        let Some(run) = inner.run else {
            return Err(RpcError::new(Code::Unavailable, "no game runs here that could say this"));
        };
        let before = inner.state.clone();
        inner.state.used = true;
        let view = inner.view.clone();
        let outcome = op(&mut inner.state, &view);
        let kept = text(&inner.state);
        let outcome = match outcome {
            Ok(_) if kept.len() > MAX_KEPT => {
                let message = format!("more than {MAX_KEPT} bytes of labels, lists and players aren't kept");
                Err(RpcError::new(Code::ResourceExhausted, message))
            }
            other => other,
        };
        let Done { value, mut events } = match outcome {
            Ok(done) => done,
            Err(error) => {
                inner.state = before;
                return Err(error);
            }
        };
        if !before.used {
            inner.health.ping(&self.settings.health, clock::mono());
        }
        if kept != inner.kept {
            events.push(GameEvent::Keep(kept.clone().into()));
            inner.kept = kept;
        }
        inner.greeted |= !events.is_empty();
        let taken = send(run, events, places);
        self.publish(&mut inner);
        Ok((value, taken))
    }

    /// A sign of life.
    pub async fn ping(&self) -> Result<(), RpcError> {
        {
            let mut inner = self.fresh();
            inner.health.ping(&self.settings.health, clock::mono());
            if inner.state.used && !inner.state.unhealthy {
                // The usual case, many times a second maybe: nothing is kept, and one that finds no place is no loss.
                if let Some(run) = inner.run {
                    drop(self.shared.game_messages.try_send(heard(run, GameEvent::Heartbeat, None)));
                }
                return Ok(());
            }
        }
        self.act(|state, _| state.ping()).await
    }

    /// Reads the state.
    pub fn read<T>(&self, read: impl FnOnce(&SdkState) -> T) -> T {
        let mut inner = self.fresh();
        self.greet(&mut inner);
        read(&inner.state)
    }

    /// The GameServer now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.now().0
    }

    fn now(&self) -> (Arc<Snapshot>, u64) {
        let mut inner = self.fresh();
        self.greet(&mut inner);
        let snapshot = Arc::clone(&inner.snapshot);
        inner.saw(&snapshot);
        (snapshot, self.ring.head())
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
            self.begin_run(inner, run, status);
        }
        inner.view = snapshot::view(status);
        if !inner.health_runs && status.game.pid.is_some() {
            inner.health_runs = true;
            inner.health.begin(&self.settings.health, clock::mono());
        }
        if status.game.run.is_none() {
            return;
        }
        let view = inner.view.clone();
        inner.state.track_allocation(&view, clock::wall());
        let kept = text(&inner.state);
        if kept != inner.kept
            && let Some(run) = inner.run
            && self.shared.game_messages.try_send(heard(run, GameEvent::Keep(kept.clone().into()), None)).is_ok()
        {
            inner.kept = kept;
        }
    }

    /// A run that is new to this agent: what an earlier one kept of it, or an empty state.
    fn begin_run(&self, inner: &mut Inner, run: RunNumber, status: &Status) {
        let kept = status.game.kept.get(&EventSource::Agones);
        let known = kept.and_then(|kept| {
            let read = serde_json::from_str::<SdkState>(kept.as_str());
            read.inspect_err(|error| tracing::warn!(%error, "what an earlier agent kept of the Agones SDK is lost"))
                .ok()
        });
        inner.run = Some(run);
        inner.state = known.unwrap_or_else(|| SdkState::new(&self.settings));
        inner.kept = text(&inner.state);
        inner.health = HealthTracker::default();
        inner.health_runs = false;
        inner.greeted = status.game.speaks.contains(&EventSource::Agones);
        if inner.state.unhealthy {
            let why = "its health pings had stopped".to_owned();
            if let Ok(done) = inner.state.silent(why) {
                for event in done.events {
                    drop(self.shared.game_messages.try_send(heard(run, event, None)));
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
            snapshot::game_server(&self.settings, status, &levels, (&inner.state, &inner.view), version.to_string());
        if inner.snapshot.shows(&server) {
            return;
        }
        inner.version = version;
        let shown = inner.state.game_server_state(&inner.view) == super::GameServerState::Allocated;
        let allocated = inner.view.allocation.clone().filter(|_| shown);
        inner.snapshot = Arc::new(Snapshot::new(server, allocated));
        self.ring.push(Arc::clone(&inner.snapshot));
    }

    /// Makes it known that this SDK is used, once.
    fn greet(&self, inner: &mut Inner) {
        if !inner.greeted
            && let Some(run) = inner.run
        {
            inner.greeted = self.shared.game_messages.try_send(heard(run, GameEvent::Hello, None)).is_ok();
        }
    }
}

impl Inner {
    /// The game has been shown this.
    fn saw(&mut self, snapshot: &Snapshot) {
        if snapshot.allocated.is_some() && self.state.seen != snapshot.allocated {
            self.state.seen.clone_from(&snapshot.allocated);
        }
    }
}

fn heard(run: RunNumber, said: GameEvent, taken: Option<oneshot::Sender<()>>) -> GameMessage {
    GameMessage { run, source: EventSource::Agones, event: said, committed: taken }
}

/// Sends the words in their order; the receiver hears when the last of them is safe.
fn send(
    run: RunNumber,
    events: Vec<GameEvent>,
    places: PermitIterator<'_, GameMessage>,
) -> Option<oneshot::Receiver<()>> {
    let last = events.len().checked_sub(1)?;
    let (taken, wait) = oneshot::channel();
    let mut taken = Some(taken);
    for ((at, said), place) in events.into_iter().enumerate().zip(places) {
        place.send(heard(run, said, if at == last { taken.take() } else { None }));
    }
    Some(wait)
}

fn text(state: &SdkState) -> String {
    serde_json::to_string(state).expect("plain data always serialises")
}

fn ending() -> RpcError {
    RpcError::new(Code::Unavailable, "the agent is ending; the next one will answer")
}
