//! What the game says, on its way to the agent: in batches, one at a time, each applied once.
//!
//! ```text
//!   a call ──► waits for its turn ──► is evaluated ──► in a batch ──► sent ──► acknowledged ──► answered
//!                 │                                       ▲  the same batch is sent again to the next agent
//!                 └─ withdrawn: it was never applied      └─ posted: what nobody waits for
//! ```
//!
//! A call is evaluated, which may change its SDK's state, only when its turn has come: while an
//! agent is there and no batch is out. So whoever evaluates sees what the last batch has led to,
//! and a call that was withdrawn before has changed nothing.
//!
//! | bound | value | beyond |
//! |---|---|---|
//! | calls that wait for their turn | [`WAITING`] | refused; one place more is kept for a game that says it ends |
//! | time until the turn has come | [`PATIENCE`] | withdrawn |
//! | calls in a batch | [`BATCH`] | in the next one |
//! | messages that nobody waits for | [`POSTED`] | refused: whoever posts says it again later |
//! | batches kept after they were acknowledged | [`KEPT`] | the oldest is forgotten |
//!
//! Acknowledged batches are kept for a while: an agent whose journal is lost goes by the keeper's
//! record, which is a little older, and the batches since then are sent again. What frontends keep
//! aside may be too large for that record: the newest of it is remembered for good, and said again
//! to an agent that knows another.
//!
//! Invariants: at most one batch is out, and it never changes; numbers go up by one; what is in a
//! batch is never taken back; a turn that isn't used is given back when it is dropped.

use crate::model::{
    game::{EventSource, GameEvent, Kept},
    ids::RunNumber,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, oneshot, watch};

pub(crate) const WAITING: usize = 256;
pub(crate) const BATCH: usize = 64;
pub(crate) const POSTED: usize = 256;
/// More than a keeper's record is behind.
pub(crate) const KEPT: usize = 80;
/// How long a call waits for its turn, and then for its acknowledgement.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One message of the game, on its way to the core.
#[derive(Debug, Clone, PartialEq)]
pub struct GameMessage {
    pub run: RunNumber,
    pub source: EventSource,
    pub event: GameEvent,
}

impl GameMessage {
    /// The statement as the agent gets it, for which the whole batch is of one run.
    pub(crate) fn statement(&self) -> (EventSource, GameEvent) {
        (self.source, self.event.clone())
    }
}

/// Messages that are applied together, and once.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    pub number: u64,
    pub messages: Vec<GameMessage>,
}

/// What a call is about, as far as the queue cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallKind {
    Ordinary,
    /// The game says that it ends: there is always a place for it.
    End,
}

/// Why a call was not applied, or can't be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    #[error("{WAITING} calls wait already; call again in a second")]
    Full,
    #[error("no agent took it within {} s; it was not applied, call again", PATIENCE.as_secs())]
    NoAgent,
    #[error("the API is ending; call again")]
    Ending,
}

/// The queue of one run.
#[derive(Debug)]
pub struct GameQueue {
    state: Mutex<State>,
    /// A batch is out that wasn't before.
    sent: Notify,
    /// The highest number that was acknowledged.
    acknowledged: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// An agent is there that knows the run.
    agent: bool,
    /// The run is over: everything that waits is evaluated, agent or not.
    last_call: bool,
    out: Option<Arc<Batch>>,
    /// Batches that are sent again after that one.
    again: VecDeque<Arc<Batch>>,
    /// Batches that were acknowledged, the oldest first.
    kept: VecDeque<Arc<Batch>>,
    /// What goes with the next batch, and how many of it were evaluated and posted.
    next: Vec<GameMessage>,
    calls: usize,
    posted: usize,
    /// Turns that were given and not used yet.
    turns: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
    /// Of the newest batch that was sent.
    number: u64,
    /// What each frontend keeps aside.
    aside: BTreeMap<EventSource, GameMessage>,
}

/// The right to evaluate one call now.
#[derive(Debug)]
pub(crate) struct Turn {
    queue: Arc<GameQueue>,
    used: bool,
}

impl Default for GameQueue {
    fn default() -> Self {
        GameQueue { state: Mutex::default(), sent: Notify::new(), acknowledged: watch::Sender::new(0) }
    }
}

impl GameQueue {
    /// Waits until a call may be evaluated. Dropping the future withdraws it.
    pub(crate) async fn turn(self: &Arc<Self>, kind: CallKind) -> Result<Turn, NotTaken> {
        let given = {
            let mut state = self.lock();
            if state.waiting.is_empty() && state.admits() {
                return Ok(self.give(&mut state));
            }
            state.waiting.retain(|caller| !caller.is_closed());
            let places = match kind {
                CallKind::Ordinary => WAITING,
                CallKind::End => WAITING + 1,
            };
            if state.waiting.len() >= places {
                return Err(NotTaken::Full);
            }
            let (give, given) = oneshot::channel();
            state.waiting.push_back(give);
            given
        };
        match tokio::time::timeout(PATIENCE, given).await {
            Ok(turn) => turn.map_err(|_| NotTaken::Ending),
            Err(_) => Err(NotTaken::NoAgent),
        }
    }

    /// A message that nobody waits for: it goes with the next batch. False: there is no place.
    pub(crate) fn post(self: &Arc<Self>, message: GameMessage) -> bool {
        {
            let mut state = self.lock();
            if state.posted >= POSTED {
                return false;
            }
            state.posted += usize::from(state.add(message));
        }
        self.advance();
        true
    }

    /// Completes once everything up to this batch is durable.
    pub(crate) async fn acknowledged(&self, number: u64) -> Result<(), NotTaken> {
        let mut acknowledged = self.acknowledged.subscribe();
        let done = acknowledged.wait_for(|done| *done >= number);
        match tokio::time::timeout(PATIENCE, done).await {
            Ok(done) => done.map(drop).map_err(|_| NotTaken::Ending),
            Err(_) => Err(NotTaken::NoAgent),
        }
    }

    /// The highest number that was acknowledged, now and whenever it goes up.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.acknowledged.subscribe()
    }

    /// Whether calls are evaluated at once.
    pub(crate) fn has_agent(&self) -> bool {
        self.lock().agent
    }

    /// An agent that knows the run has come, or has gone. The batch that is out stays out.
    pub fn set_agent(self: &Arc<Self>, there: bool) {
        self.lock().agent = there;
        self.advance();
    }

    /// The batch to be sent, until it is acknowledged.
    pub fn out(&self) -> Option<Arc<Batch>> {
        self.lock().out.clone()
    }

    /// Completes when there may be another batch in [`Self::out`]. Cancel-safe.
    pub async fn sent(&self) {
        self.sent.notified().await;
    }

    /// The agent has everything up to this number.
    pub fn acknowledge(self: &Arc<Self>, number: u64) {
        {
            let mut state = self.lock();
            while let Some(done) = state.out.take_if(|out| out.number <= number) {
                self.acknowledged.send_if_modified(|known| {
                    let news = done.number > *known;
                    *known = done.number.max(*known);
                    news
                });
                state.keep(done);
                state.out = state.again.pop_front();
                if state.out.is_some() {
                    self.sent.notify_one();
                }
            }
        }
        self.advance();
    }

    /// A new agent has everything up to this number; what was acknowledged after it is sent again.
    pub(crate) fn resume(self: &Arc<Self>, heard: u64) {
        {
            let mut state = self.lock();
            let State { kept, out, again, .. } = &mut *state;
            let known = kept.partition_point(|batch| batch.number <= heard);
            let rest = kept.split_off(known).into_iter().chain(out.take()).chain(std::mem::take(again));
            *again = rest.collect();
            *out = again.pop_front();
        }
        self.acknowledge(heard);
    }

    /// What the agent has of what frontends keep aside: what an earlier gateway had said, if nothing was said here yet.
    /// Where it differs, it is said again.
    pub(crate) fn known_aside(self: &Arc<Self>, run: RunNumber, known: &BTreeMap<EventSource, Kept>) {
        {
            let mut state = self.lock();
            for (source, kept) in known {
                let message = || GameMessage { run, source: *source, event: GameEvent::KeepAside(kept.clone()) };
                state.aside.entry(*source).or_insert_with(message);
            }
            let differs = |message: &&GameMessage| match &message.event {
                GameEvent::KeepAside(kept) => known.get(&message.source) != Some(kept),
                _ => false,
            };
            let again: Vec<_> = state.aside.values().filter(differs).cloned().collect();
            for message in again {
                state.add(message);
            }
        }
        self.advance();
    }

    /// The highest number that the agent is owed.
    pub(crate) fn owes(&self) -> Option<u64> {
        let state = self.lock();
        state.again.back().or(state.out.as_ref()).map(|batch| batch.number)
    }

    /// The run is over: what waits, and what still comes, is evaluated now.
    pub(crate) fn last_call(self: &Arc<Self>) {
        self.lock().last_call = true;
        self.advance();
    }

    /// Nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.out.is_none() && state.next.is_empty() && state.turns == 0 && state.waiting.is_empty()
    }

    /// No call waits to be evaluated.
    pub(crate) fn is_evaluated(&self) -> bool {
        let state = self.lock();
        state.turns == 0 && state.waiting.iter().all(oneshot::Sender::is_closed)
    }

    /// What no agent has acknowledged, oldest first.
    pub(crate) fn unacknowledged(&self) -> Vec<Batch> {
        let state = self.lock();
        let rest = Batch { number: state.number + 1, messages: state.next.clone() };
        let sent = state.out.iter().chain(&state.again).map(|batch| batch.as_ref().clone());
        sent.chain(Some(rest)).filter(|batch| !batch.messages.is_empty()).collect()
    }

    /// Batches that were acknowledged lately, oldest first.
    pub(crate) fn kept(&self) -> Vec<Arc<Batch>> {
        self.lock().kept.iter().map(Arc::clone).collect()
    }

    /// Gives turns to those who wait, and sends the next batch once all turns are used.
    fn advance(self: &Arc<Self>) {
        while let Some((caller, turn)) = self.next_turn() {
            if let Err(mut turn) = caller.send(turn) {
                // It was withdrawn.
                turn.used = true;
                self.lock().turns -= 1;
            }
        }
        let mut state = self.lock();
        if state.turns == 0 && state.agent && state.out.is_none() && !state.next.is_empty() {
            state.number += 1;
            let messages = std::mem::take(&mut state.next);
            (state.calls, state.posted) = (0, 0);
            state.out = Some(Arc::new(Batch { number: state.number, messages }));
            self.sent.notify_one();
        }
    }

    fn next_turn(self: &Arc<Self>) -> Option<(oneshot::Sender<Turn>, Turn)> {
        let mut state = self.lock();
        if !state.admits() {
            return None;
        }
        let caller = state.waiting.pop_front()?;
        Some((caller, self.give(&mut state)))
    }

    fn give(self: &Arc<Self>, state: &mut State) -> Turn {
        state.turns += 1;
        Turn { queue: Arc::clone(self), used: false }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether one more call may be evaluated now.
    fn admits(&self) -> bool {
        self.last_call || self.agent && self.out.is_none() && self.turns + self.calls < BATCH
    }
}

impl State {
    /// Keeps a batch that was acknowledged, and forgets of older ones what it replaces.
    fn keep(&mut self, done: Arc<Batch>) {
        for level in done.messages.iter().filter(|message| is_level(&message.event)) {
            for older in &mut self.kept {
                if older.messages.iter().any(|message| replaces(level, message)) {
                    let rest = older.messages.iter().filter(|message| !replaces(level, message)).cloned().collect();
                    *older = Arc::new(Batch { number: older.number, messages: rest });
                }
            }
        }
        self.kept.push_back(done);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    /// One more for the next batch. What it replaces isn't worth telling any more. True: it replaces nothing.
    fn add(&mut self, message: GameMessage) -> bool {
        let before = self.next.len();
        if is_level(&message.event) {
            self.next.retain(|other| !replaces(&message, other));
        }
        let replaces = self.next.len() < before;
        if matches!(message.event, GameEvent::KeepAside(_)) {
            self.aside.insert(message.source, message.clone());
        }
        self.next.push(message);
        !replaces
    }
}

/// Whether a level makes an older message needless.
fn replaces(level: &GameMessage, older: &GameMessage) -> bool {
    let kind = std::mem::discriminant(&level.event);
    older.source == level.source && older.run == level.run && std::mem::discriminant(&older.event) == kind
}

/// Whether only the newest of its kind counts, whatever was said in between.
fn is_level(event: &GameEvent) -> bool {
    matches!(event, GameEvent::Keep(_) | GameEvent::KeepAside(_) | GameEvent::SdkState(_) | GameEvent::TickRate { .. })
}

impl Turn {
    /// What the evaluated call says, in this order. Returns the number of its batch.
    pub(crate) fn say(mut self, messages: impl IntoIterator<Item = GameMessage>) -> u64 {
        let number = {
            let mut state = self.queue.lock();
            state.turns -= 1;
            state.calls += 1;
            for message in messages {
                state.add(message);
            }
            state.number + 1
        };
        self.used = true;
        self.queue.advance();
        number
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.used {
            self.queue.lock().turns -= 1;
            self.queue.advance();
        }
    }
}

#[cfg(test)]
mod tests;
