//! What both wires work with: the game's calls go through here one after the other, and so does
//! what it is shown.
//!
//! ```text
//!   REST ─┐                  ┌──────────── SdkServer ─────────────┐
//!   gRPC ─┴─ execute(call) ─►│ SdkState ──► GameEvent, Keep …     │──► queue ─► agent ─► journal
//!        └── ping ──────────►│ Heartbeats (a counter, no message) │              │
//!   watch ◄───── Ring ◄──────│ Snapshot ◄── Status, levels        │◄─────────────┘
//!                            └────────────────────────────────────┘
//! ```
//!
//! | a call | costs |
//! |---|---|
//! | a ping of a game that pings and is well | a lock and a counter |
//! | a read | a lock; JSON and protobuf are written once for each snapshot |
//! | a call that changes nothing | a comparison of the state |
//! | a call that changes something | one serialisation of the part of the state that it changes, one new snapshot |
//!
//! Invariants:
//!
//! 1. This is the one owner of the run's SDK state, and it judges nothing: whether the game is
//!    healthy is read from the status.
//! 2. A call is evaluated when its turn has come ([`GameQueue`](crate::frontends::GameQueue)), and
//!    answered once the agent has what it changed in its journal (or can't get it there).
//! 3. What is read and watched is what was acknowledged: of a call under way nobody sees anything.
//! 4. A watcher's first snapshot and its place in the ring are taken under one lock, so that no
//!    change falls in between.
//! 5. Nobody waits for a reader: a watcher is a position; one that falls behind goes on from the
//!    newest snapshot.

mod timers;
mod watch;

use super::{
    GameServerState, Settings,
    error::{Code, RpcError},
    proto, saved,
    snapshot::{self, Snapshot},
    state::{AgentView, CallOutcome, Outcome, SdkState},
};
use crate::{
    frontends::{
        GameMessage, Shared,
        game_queue::{CallKind, NotTaken, Turn},
        ring::Ring,
    },
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
use tokio::sync::{Notify, Semaphore, watch as watch_channel};
pub(crate) use watch::GameServerWatch;
pub(super) use watch::MAX_WATCHERS;

/// Snapshots that a slow watcher can still read one by one.
const RETENTION: usize = 32;
/// How long a ping waits until the agent has heard of it, where that may change what follows.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
const GAME_TIMEOUT: Duration = Duration::from_secs(30);

/// The server of one game's SDK, for both wires.
#[derive(Debug)]
pub(crate) struct SdkServer {
    pub settings: Settings,
    shared: Shared,
    inner: Mutex<Inner>,
    ring: Ring<Arc<Snapshot>>,
    /// Of the queue: the batch up to which everything counts.
    acknowledged: watch_channel::Receiver<u64>,
    wake: Notify,
    watchers: Arc<Semaphore>,
}

#[derive(Debug)]
struct Inner {
    /// The newest run. What arrives after its end still counts for it.
    run: Option<RunNumber>,
    /// As it was acknowledged: this is shown.
    state: SdkState,
    /// What calls under way have led to, and the batch that has the last of them.
    evaluated: Option<(u64, SdkState)>,
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
            evaluated: None,
            unsaved: false,
            view: AgentView::default(),
            seen: None,
            announced: false,
            version: 0,
            snapshot: Arc::new(Snapshot::new(proto::GameServer::default(), None)),
        };
        let sdk = SdkServer {
            settings,
            acknowledged: shared.queue.watch(),
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
        kind: CallKind,
        call: impl FnOnce(&mut SdkState, &AgentView) -> Outcome<T>,
    ) -> Result<T, RpcError> {
        self.wait_for_game().await;
        let turn = self.shared.queue.turn(kind).await.map_err(RpcError::from)?;
        let (value, batch) = self.apply(call, turn)?;
        self.wake.notify_one();
        if let Some(batch) = batch {
            self.shared.queue.acknowledged(batch).await.map_err(outcome_unknown)?;
        }
        Ok(value)
    }

    /// A client may be faster than the start of its game, or than an agent that comes back: it waits a while.
    async fn wait_for_game(&self) {
        if self.current().run.is_none() {
            let mut status = self.shared.status.clone();
            let there = status.wait_for(|status| status.game.run.is_some());
            drop(tokio::time::timeout(GAME_TIMEOUT, there).await);
        }
    }

    /// Evaluates a call. Its outcome is good once the batch of this number is acknowledged; none: at once.
    fn apply<T>(
        &self,
        call: impl FnOnce(&mut SdkState, &AgentView) -> Outcome<T>,
        turn: Turn,
    ) -> Result<(T, Option<u64>), RpcError> {
        let mut inner = self.current();
        let Some(run) = inner.run else {
            return Err(RpcError::new(Code::Unavailable, "no game runs here that could call this"));
        };
        let mut next = inner.newest().clone();
        let first = !next.used;
        next.used = true;
        let CallOutcome { value, mut events } = call(&mut next, &inner.view)?;
        if first && !events.contains(&GameEvent::Heartbeat) {
            // The first call is a sign of life, and from there on silence counts.
            events.insert(0, GameEvent::Heartbeat);
        }
        let changed = next != *inner.newest();
        if changed || inner.unsaved {
            if inner.unsaved || next.self_state.name() != inner.newest().self_state.name() {
                events.push(sdk_state(&next));
            }
            let known = (!inner.unsaved).then(|| inner.newest());
            events.extend(saved::statements(known, &next)?);
            inner.unsaved = false;
        }
        if events.is_empty() {
            // What it has seen may be under way itself.
            return Ok((value, inner.evaluated.as_ref().map(|(batch, _)| *batch)));
        }
        inner.announced = true;
        let batch = turn.say(events.into_iter().map(|event| message(run, event)));
        if changed || inner.evaluated.is_some() {
            inner.evaluated = Some((batch, next));
        }
        Ok((value, Some(batch)))
    }

    /// A health ping. It fails only where no game runs: whatever else becomes of it, it counts.
    pub(crate) async fn ping(&self) -> Result<(), RpcError> {
        let well = {
            let mut inner = self.current();
            let well = inner.run.filter(|_| inner.newest().used && !inner.view.unhealthy);
            // Without an agent nobody would judge it now.
            well.or_else(|| if self.shared.queue.has_agent() { None } else { self.first_use(&mut inner) })
        };
        if let Some(run) = well {
            self.shared.heartbeats.record(run, EventSource::Agones, clock::mono());
            return Ok(());
        }
        // The first one, or one that makes the game well again: the next call is to find it so.
        let ping = |_: &mut SdkState, _: &AgentView| Ok(CallOutcome { value: (), events: vec![GameEvent::Heartbeat] });
        let heard = tokio::time::timeout(PING_TIMEOUT, self.execute(CallKind::Ordinary, ping)).await;
        if matches!(heard, Ok(Ok(()))) {
            return Ok(());
        }
        let mut inner = self.current();
        let Some(run) = self.first_use(&mut inner) else {
            return Err(RpcError::new(Code::Unavailable, "no game runs here that could ping"));
        };
        self.shared.heartbeats.record(run, EventSource::Agones, clock::mono());
        Ok(())
    }

    /// Notes that the game uses this SDK, without waiting for an agent.
    fn first_use(&self, inner: &mut Inner) -> Option<RunNumber> {
        let run = inner.run?;
        if !inner.newest().used {
            let before = inner.newest().clone();
            inner.each_state(|state| state.used = true);
            self.save(inner, run, Some(&before));
        }
        Some(run)
    }

    /// Reads the state.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&SdkState) -> T) -> T {
        let mut inner = self.current();
        self.announce(&mut inner);
        read(&inner.state)
    }

    /// Reads the state for ourselves: that is no use of the SDK.
    fn read_only<T>(&self, read: impl FnOnce(&SdkState) -> T) -> T {
        read(&self.current().state)
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
        if inner.promote(*self.acknowledged.borrow()) {
            self.publish(&mut inner);
        }
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
        let (view, now) = (inner.view.clone(), clock::wall());
        let mut changed = false;
        inner.each_state(|state| changed |= state.track_allocation(&view, now));
        if changed || inner.unsaved {
            self.save(inner, run, None);
        }
    }

    /// Hands the state to the agent, for the next one: what differs from what the agent was handed before, if that is known.
    fn save(&self, inner: &mut Inner, run: RunNumber, known: Option<&SdkState>) {
        let known = known.filter(|_| !inner.unsaved);
        inner.unsaved = true;
        if let Ok(said) = saved::statements(known, inner.newest()) {
            self.shared.queue.post(message(run, sdk_state(inner.newest())));
            let posted: Vec<_> = said.into_iter().map(|said| self.shared.queue.post(message(run, said))).collect();
            inner.unsaved = posted.contains(&false);
        }
    }

    /// A run that is new to this agent: the state that an earlier agent saved of it, or an empty one.
    fn begin_run(&self, inner: &mut Inner, run: RunNumber, status: &Status) {
        let game = &status.game;
        let (kept, aside) = (game.kept.get(&EventSource::Agones), game.kept_aside.get(&EventSource::Agones));
        inner.run = Some(run);
        inner.state = saved::restore(&self.settings, kept, aside);
        inner.evaluated = None;
        // An earlier gateway kept nothing aside; nor may the agent have it any more.
        inner.unsaved = kept.is_some() && aside.is_none();
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
            inner.announced = self.shared.queue.post(message(run, GameEvent::Hello));
        }
    }
}

impl Inner {
    /// The game has been shown this.
    fn was_shown(&mut self, snapshot: &Snapshot) {
        if snapshot.allocated.is_some() && self.state.seen != snapshot.allocated {
            self.each_state(|state| state.seen.clone_from(&snapshot.allocated));
        }
    }

    /// The state that the next call is evaluated on.
    fn newest(&self) -> &SdkState {
        self.evaluated.as_ref().map_or(&self.state, |(_, state)| state)
    }

    /// For what is no call of the game's: it holds whatever becomes of the calls under way.
    fn each_state(&mut self, mut change: impl FnMut(&mut SdkState)) {
        change(&mut self.state);
        if let Some((_, state)) = &mut self.evaluated {
            change(state);
        }
    }

    /// The evaluated state counts once its batch is acknowledged. True: there was one.
    fn promote(&mut self, acknowledged: u64) -> bool {
        let Some((_, state)) = self.evaluated.take_if(|(batch, _)| *batch <= acknowledged) else { return false };
        self.state = state;
        true
    }
}

fn message(run: RunNumber, event: GameEvent) -> GameMessage {
    GameMessage { run, source: EventSource::Agones, event }
}

fn sdk_state(state: &SdkState) -> GameEvent {
    GameEvent::SdkState(state.self_state.name().to_owned())
}

impl From<NotTaken> for RpcError {
    fn from(why: NotTaken) -> Self {
        let code = match why {
            NotTaken::Full => Code::ResourceExhausted,
            NotTaken::NoAgent | NotTaken::Ending => Code::Unavailable,
        };
        RpcError::new(code, why.to_string())
    }
}

/// The call was evaluated and will be applied, but nobody can say that it was.
fn outcome_unknown(_: NotTaken) -> RpcError {
    let message = "the call is on its way to the agent, which hasn't confirmed it yet; it will be applied";
    RpcError::new(Code::DeadlineExceeded, message)
}
