//! What both wires work with: the game's calls go through here one after the other, and so does
//! what it is shown.
//!
//! ```text
//!   REST ─┐                  ┌──────────── SdkServer ─────────────┐
//!   gRPC ─┴─ execute(call) ─►│ SdkState ──► GameEvent …, Keep     │──► driver ─► core ─► journal
//!        └── ping ──────────►│ Heartbeats (a counter, no message) │       │
//!   watch ◄───── Ring ◄──────│ Snapshot ◄── Status, levels        │◄──────┘
//!                            └────────────────────────────────────┘
//! ```
//!
//! | a call | costs |
//! |---|---|
//! | a ping of a game that pings and is well | a lock and a counter |
//! | a read | a lock; JSON and protobuf are written once for each snapshot |
//! | a call that changes nothing | a comparison of the state |
//! | a call that changes something | one serialisation of the state, one new snapshot |
//!
//! Invariants:
//!
//! 1. This is the one owner of the run's SDK state, and it judges nothing: whether the game is
//!    healthy is read from the status.
//! 2. A call is answered once what it changed is in the journal (or can't get there): the next
//!    agent knows it, too.
//! 3. Events reach the driver in the order in which they changed the state: their places in its
//!    queue are taken first.
//! 4. A watcher's first snapshot and its place in the ring are taken under one lock, so that no
//!    change falls in between.
//! 5. Nobody waits for a reader: a watcher is a position; one that falls behind goes on from the
//!    newest snapshot.

mod timers;
mod watch;

use super::{
    GameServerState, Settings,
    error::{Code, RpcError},
    proto,
    snapshot::{self, Snapshot},
    state::{AgentView, CallOutcome, Outcome, SdkState},
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
pub(crate) use watch::GameServerWatch;
pub(super) use watch::MAX_WATCHERS;

/// Snapshots that a slow watcher can still read one by one.
const RETENTION: usize = 32;
/// The most events that one call may cause.
const MAX_EVENTS: usize = 6;
/// How much SDK state is saved of one run, in bytes.
const MAX_SAVED: usize = 24 * 1024;
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(3);
const QUEUE_TIMEOUT: Duration = Duration::from_secs(2);
const GAME_TIMEOUT: Duration = Duration::from_secs(30);

/// The server of one game's SDK, for both wires.
#[derive(Debug)]
pub(crate) struct SdkServer {
    pub settings: Settings,
    shared: Shared,
    inner: Mutex<Inner>,
    ring: Ring<Arc<Snapshot>>,
    wake: Notify,
    watchers: Arc<Semaphore>,
}

#[derive(Debug)]
struct Inner {
    /// The newest run. What arrives after its end still counts for it.
    run: Option<RunNumber>,
    state: SdkState,
    /// The agent hasn't been handed the state as it is now, for want of a place in its queue.
    unsaved: bool,
    view: AgentView,
    /// The status and the number of the last notice that `view` was made from.
    seen: Option<(Arc<Status>, u64)>,
    /// The agent knows that the game uses this SDK.
    announced: bool,
    version: i64,
    snapshot: Arc<Snapshot>,
}

impl SdkServer {
    pub(crate) fn new(settings: Settings, shared: Shared) -> Arc<Self> {
        let inner = Inner {
            run: None,
            state: SdkState::new(&settings),
            unsaved: false,
            view: AgentView::default(),
            seen: None,
            announced: false,
            version: 0,
            snapshot: Arc::new(Snapshot::new(proto::GameServer::default(), None)),
        };
        let sdk = SdkServer {
            settings,
            shared,
            inner: Mutex::new(inner),
            ring: Ring::new(RETENTION, 0),
            wake: Notify::new(),
            watchers: Arc::new(Semaphore::new(MAX_WATCHERS)),
        };
        drop(sdk.current());
        Arc::new(sdk)
    }

    /// Carries out a call that may change the state, and waits until the change is durable.
    pub(crate) async fn execute<T>(
        &self,
        call: impl FnOnce(&mut SdkState, &AgentView) -> Outcome<T>,
    ) -> Result<T, RpcError> {
        self.wait_for_game().await;
        let places = tokio::time::timeout(QUEUE_TIMEOUT, self.shared.game_messages.reserve_many(MAX_EVENTS));
        let places = match places.await {
            Ok(Ok(places)) => places,
            Ok(Err(_)) => return Err(ending()),
            Err(_) => {
                return Err(RpcError::new(Code::Unavailable, "the agent can't keep up; call again in a second"));
            }
        };
        let (value, committed) = self.apply(call, places)?;
        self.wake.notify_one();
        match committed {
            None => Ok(value),
            Some(committed) => match tokio::time::timeout(JOURNAL_TIMEOUT, committed).await {
                Ok(Err(_)) => Err(ending()),
                Ok(Ok(())) | Err(_) => Ok(value),
            },
        }
    }

    /// A client may be faster than the start of its game, or than an agent that comes back: it waits a while.
    async fn wait_for_game(&self) {
        if self.current().run.is_none() {
            let mut status = self.shared.status.clone();
            let there = status.wait_for(|status| status.game.run.is_some());
            drop(tokio::time::timeout(GAME_TIMEOUT, there).await);
        }
    }

    fn apply<T>(
        &self,
        call: impl FnOnce(&mut SdkState, &AgentView) -> Outcome<T>,
        places: PermitIterator<'_, GameMessage>,
    ) -> Result<(T, Option<oneshot::Receiver<()>>), RpcError> {
        let mut inner = self.current();
        let Some(run) = inner.run else {
            return Err(RpcError::new(Code::Unavailable, "no game runs here that could call this"));
        };
        let mut next = inner.state.clone();
        next.used = true;
        let CallOutcome { value, mut events } = call(&mut next, &inner.view)?;
        if !inner.state.used && !events.contains(&GameEvent::Heartbeat) {
            // The first call is a sign of life, and from there on silence counts.
            events.insert(0, GameEvent::Heartbeat);
        }
        let changed = next != inner.state;
        if changed || inner.unsaved {
            events.push(GameEvent::Keep(saved(&next)?.into()));
            inner.unsaved = false;
        }
        inner.announced |= !events.is_empty();
        let committed = send(run, events, places);
        if changed {
            inner.state = next;
            self.publish(&mut inner);
        }
        Ok((value, committed))
    }

    /// A health ping.
    pub(crate) async fn ping(&self) -> Result<(), RpcError> {
        let counted = {
            let inner = self.current();
            inner.run.filter(|_| inner.state.used && !inner.view.unhealthy)
        };
        if let Some(run) = counted {
            self.shared.heartbeats.record(run, EventSource::Agones, clock::mono());
            return Ok(());
        }
        // The first one, or one that makes the game well again: the next call is to find it so.
        self.execute(|_, _| Ok(CallOutcome { value: (), events: vec![GameEvent::Heartbeat] })).await
    }

    /// Reads the state.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&SdkState) -> T) -> T {
        let mut inner = self.current();
        self.announce(&mut inner);
        read(&inner.state)
    }

    /// The GameServer now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.newest().0
    }

    /// The GameServer now, and its number in the ring.
    fn newest(&self) -> (Arc<Snapshot>, u64) {
        let mut inner = self.current();
        self.announce(&mut inner);
        let snapshot = Arc::clone(&inner.snapshot);
        inner.was_shown(&snapshot);
        (snapshot, self.ring.head())
    }

    /// The state, locked, with everything in it that the agent has published.
    fn current(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        let head = self.shared.events.head();
        let status = {
            let status = self.shared.status.borrow();
            if inner.seen.as_ref().is_some_and(|(seen, event)| Arc::ptr_eq(seen, &status) && *event == head) {
                return inner;
            }
            Arc::clone(&status)
        };
        inner.seen = Some((Arc::clone(&status), head));
        self.follow_status(&mut inner, &status);
        self.publish(&mut inner);
        inner
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow_status(&self, inner: &mut Inner, status: &Status) {
        if let Some(run) = status.game.run.filter(|run| inner.run != Some(*run)) {
            self.begin_run(inner, run, status);
        }
        inner.view = snapshot::view(status);
        let (Some(_), Some(run)) = (status.game.run, inner.run) else { return };
        inner.unsaved |= inner.state.track_allocation(&inner.view, clock::wall());
        if inner.unsaved
            && let Ok(text) = saved(&inner.state)
        {
            let message = message(run, GameEvent::Keep(text.into()), None);
            inner.unsaved = self.shared.game_messages.try_send(message).is_err();
        }
    }

    /// A run that is new to this agent: the state that an earlier agent saved of it, or an empty one.
    fn begin_run(&self, inner: &mut Inner, run: RunNumber, status: &Status) {
        let text = status.game.kept.get(&EventSource::Agones);
        let restored = text.and_then(|text| {
            let read = serde_json::from_str::<SdkState>(text.as_str());
            read.inspect_err(|error| tracing::warn!(%error, "the Agones SDK state of an earlier agent is lost")).ok()
        });
        inner.run = Some(run);
        inner.state = restored.unwrap_or_else(|| SdkState::new(&self.settings));
        inner.unsaved = false;
        inner.announced = status.game.speaks.contains(&EventSource::Agones);
    }

    /// Makes a new snapshot if there is something new to show.
    fn publish(&self, inner: &mut Inner) {
        let Some((status, _)) = &inner.seen else { return };
        let (levels, _) = self.shared.events.levels();
        // Higher than any that an earlier agent has shown.
        let version = (inner.version + 1).max(clock::wall().unix_millis());
        let made = (&inner.state, &inner.view);
        let game_server = snapshot::game_server(&self.settings, status, &levels, made, version.to_string());
        if inner.snapshot.shows(&game_server) {
            return;
        }
        inner.version = version;
        let is_allocated = inner.state.game_server_state(&inner.view) == GameServerState::Allocated;
        let allocated = inner.view.allocation.clone().filter(|_| is_allocated);
        inner.snapshot = Arc::new(Snapshot::new(game_server, allocated));
        self.ring.push(Arc::clone(&inner.snapshot));
    }

    /// Lets the agent know, once, that the game uses this SDK.
    fn announce(&self, inner: &mut Inner) {
        if !inner.announced
            && let Some(run) = inner.run
        {
            inner.announced = self.shared.game_messages.try_send(message(run, GameEvent::Hello, None)).is_ok();
        }
    }
}

impl Inner {
    /// The game has been shown this.
    fn was_shown(&mut self, snapshot: &Snapshot) {
        if snapshot.allocated.is_some() && self.state.seen != snapshot.allocated {
            self.state.seen.clone_from(&snapshot.allocated);
        }
    }
}

fn message(run: RunNumber, event: GameEvent, committed: Option<oneshot::Sender<()>>) -> GameMessage {
    GameMessage { run, source: EventSource::Agones, event, committed }
}

/// Sends the events in their order; the receiver completes when the last of them is durable.
fn send(
    run: RunNumber,
    events: Vec<GameEvent>,
    places: PermitIterator<'_, GameMessage>,
) -> Option<oneshot::Receiver<()>> {
    let last = events.len().checked_sub(1)?;
    let (committed, wait) = oneshot::channel();
    let mut committed = Some(committed);
    for ((at, event), place) in events.into_iter().enumerate().zip(places) {
        place.send(message(run, event, if at == last { committed.take() } else { None }));
    }
    Some(wait)
}

/// The state as it is saved for the next agent.
fn saved(state: &SdkState) -> Result<String, RpcError> {
    let text = serde_json::to_string(state).expect("plain data always serialises");
    if text.len() > MAX_SAVED {
        let message = format!("more than {MAX_SAVED} bytes of labels, lists and players can't be saved");
        return Err(RpcError::new(Code::ResourceExhausted, message));
    }
    Ok(text)
}

fn ending() -> RpcError {
    RpcError::new(Code::Unavailable, "the agent is ending; the next one will answer")
}
