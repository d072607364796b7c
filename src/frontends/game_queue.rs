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
//! What was acknowledged is kept for a while: an agent whose journal is lost goes by the keeper's
//! record, which is a little older, and what was said since is sent again.
//!
//! Invariants: at most one batch is out, and it never changes; numbers go up by one; what is in a
//! batch is never taken back; a turn that isn't used is given back when it is dropped.

use crate::model::{
    game::{EventSource, GameEvent},
    ids::RunNumber,
};
use std::{
    collections::VecDeque,
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
    /// What is sent again after that one.
    again: VecDeque<Arc<Batch>>,
    /// What was acknowledged, the oldest first.
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

    /// What was acknowledged lately, oldest first.
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
    matches!(event, GameEvent::Keep(_) | GameEvent::SdkState(_) | GameEvent::TickRate { .. })
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
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    const RUN: RunNumber = RunNumber(7);

    fn message(id: usize) -> GameMessage {
        let event = GameEvent::PlayerLeft { id: id.to_string() };
        GameMessage { run: RUN, source: EventSource::Native, event }
    }

    fn queue(agent: bool) -> Arc<GameQueue> {
        let queue = Arc::new(GameQueue::default());
        queue.set_agent(agent);
        queue
    }

    fn ids(batch: &Batch) -> Vec<usize> {
        let id = |message: &GameMessage| match &message.event {
            GameEvent::PlayerLeft { id } => id.parse().unwrap(),
            other => panic!("{other:?}"),
        };
        batch.messages.iter().map(id).collect()
    }

    fn out(queue: &GameQueue) -> (u64, Vec<usize>) {
        queue.out().map_or((0, Vec::new()), |batch| (batch.number, ids(&batch)))
    }

    #[tokio::test]
    async fn a_call_is_evaluated_while_an_agent_is_there_and_no_batch_is_out() {
        let queue = queue(false);
        let mut early = Box::pin(queue.turn(CallKind::Ordinary));
        assert!(early.as_mut().now_or_never().is_none(), "nobody is there");
        queue.set_agent(true);
        let number = early.await.unwrap().say([message(1)]);
        assert_eq!((number, out(&queue)), (1, (1, vec![1])));
        let mut later = Box::pin(queue.turn(CallKind::Ordinary));
        assert!(later.as_mut().now_or_never().is_none(), "a batch is out");
        queue.set_agent(false);
        queue.acknowledge(1);
        assert!(later.as_mut().now_or_never().is_none(), "the agent has gone");
        queue.set_agent(true);
        assert_eq!(later.await.unwrap().say([message(2)]), 2);
        assert_eq!(queue.acknowledged(1).now_or_never(), Some(Ok(())));
        assert_eq!(queue.acknowledged(2).now_or_never(), None);
    }

    #[tokio::test]
    async fn the_same_batch_is_out_until_it_is_acknowledged() {
        let queue = queue(true);
        queue.turn(CallKind::Ordinary).await.unwrap().say([message(1), message(2)]);
        let first = queue.out().unwrap();
        assert!(queue.post(message(3)));
        for agent in [false, true] {
            queue.set_agent(agent);
            assert_eq!(queue.out().unwrap(), first);
        }
        queue.acknowledge(0);
        assert_eq!(queue.out().unwrap(), first, "another number");
        queue.acknowledge(1);
        assert_eq!(out(&queue), (2, vec![3]));
        queue.acknowledge(2);
        assert!(queue.is_empty());
    }

    #[tokio::test]
    async fn an_agent_that_knows_less_than_the_last_one_is_told_again() {
        let queue = queue(true);
        for id in 1..=4 {
            queue.turn(CallKind::Ordinary).await.unwrap().say([message(id)]);
            queue.acknowledge(id as u64);
        }
        queue.turn(CallKind::Ordinary).await.unwrap().say([message(5)]);
        queue.set_agent(false);
        for _ in 0..2 {
            queue.resume(2);
            assert_eq!((out(&queue), queue.owes()), ((3, vec![3]), Some(5)), "in their order");
        }
        queue.set_agent(true);
        assert!(queue.turn(CallKind::Ordinary).now_or_never().is_none(), "first the agent catches up");
        assert_eq!(queue.acknowledged(4).now_or_never(), Some(Ok(())), "it was, once");
        for number in 3..=5 {
            assert_eq!(out(&queue), (number, vec![number as usize]));
            queue.acknowledge(number);
        }
        assert!(queue.is_empty());
        queue.resume(5);
        assert_eq!((out(&queue).0, queue.owes()), (0, None));
        queue.resume(0);
        assert_eq!(out(&queue), (1, vec![1]), "to one that knows nothing, all of it");
    }

    #[tokio::test]
    async fn only_so_much_is_kept_and_of_levels_the_newest() {
        let queue = queue(true);
        for measured in 1..=KEPT as u32 + 5 {
            let event = GameEvent::TickRate { measured: f64::from(measured), target: None };
            let level = GameMessage { event, ..message(0) };
            queue.turn(CallKind::Ordinary).await.unwrap().say([message(measured as usize), level]);
            queue.acknowledge(u64::from(measured));
        }
        let kept = queue.kept();
        assert_eq!((kept.len(), kept[0].number), (KEPT, 6));
        let levels: Vec<_> = kept.iter().map(|batch| batch.messages.len()).collect();
        assert_eq!(levels, [vec![1; KEPT - 1], vec![2]].concat());
    }

    #[tokio::test]
    async fn what_waited_goes_together_in_its_order_and_what_was_withdrawn_never_goes() {
        let queue = queue(false);
        let mut calls: Vec<_> = (0..100).map(|_| Box::pin(queue.turn(CallKind::Ordinary))).collect();
        for call in &mut calls {
            assert!(call.as_mut().now_or_never().is_none());
        }
        drop(calls.remove(1));
        assert!(queue.post(message(1000)));
        queue.set_agent(true);
        assert_eq!(out(&queue).0, 0, "the turns that were given are waited for");
        let mut evaluated = 0;
        for (at, mut call) in calls.into_iter().enumerate() {
            let Some(turn) = call.as_mut().now_or_never() else { continue };
            evaluated += 1;
            if at == 0 {
                drop(turn.unwrap());
            } else {
                turn.unwrap().say([message(at)]);
            }
        }
        assert_eq!(evaluated, BATCH + 1, "one gave its turn back");
        let (number, said) = out(&queue);
        assert_eq!((number, said.len(), said[0], said[1], said[64]), (1, BATCH + 1, 1000, 1, 64));
    }

    #[tokio::test(start_paused = true)]
    async fn bounds_hold_and_a_game_that_ends_has_a_place() {
        let queue = queue(false);
        let mut calls: Vec<_> = (0..WAITING).map(|_| Box::pin(queue.turn(CallKind::Ordinary))).collect();
        for call in &mut calls {
            assert!(call.as_mut().now_or_never().is_none());
        }
        assert_eq!(queue.turn(CallKind::Ordinary).await.unwrap_err(), NotTaken::Full);
        let mut end = Box::pin(queue.turn(CallKind::End));
        assert!(end.as_mut().now_or_never().is_none());
        assert_eq!(queue.turn(CallKind::End).await.unwrap_err(), NotTaken::Full);
        drop(calls.pop());
        drop(calls.pop());
        let mut one_more = Box::pin(queue.turn(CallKind::Ordinary));
        assert!(one_more.as_mut().now_or_never().is_none(), "a place was given back");
        assert_eq!(one_more.await.unwrap_err(), NotTaken::NoAgent, "the time is up");
        let posted = (0..=POSTED).filter(|n| queue.post(message(*n))).count();
        assert_eq!(posted, POSTED);
    }

    #[test]
    fn of_a_level_only_the_newest_goes() {
        let queue = queue(false);
        let ticks = |measured| {
            let event = GameEvent::TickRate { measured, target: None };
            GameMessage { run: RUN, source: EventSource::Native, event }
        };
        for second in 0..1000 {
            assert!(queue.post(ticks(f64::from(second))));
        }
        assert!(queue.post(message(1)) && queue.post(ticks(1.0)));
        queue.set_agent(true);
        assert_eq!(queue.out().unwrap().messages, [message(1), ticks(1.0)]);
    }

    #[tokio::test]
    async fn at_the_runs_end_everything_is_evaluated_and_handed_over() {
        let queue = queue(true);
        queue.turn(CallKind::Ordinary).await.unwrap().say([message(1)]);
        queue.set_agent(false);
        let waiting = queue.turn(CallKind::End);
        let mut waiting = Box::pin(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(!queue.is_evaluated());
        queue.last_call();
        waiting.await.unwrap().say([message(2)]);
        queue.turn(CallKind::Ordinary).await.unwrap().say([message(3)]);
        assert!(queue.is_evaluated() && !queue.is_empty());
        let left: Vec<_> = queue.unacknowledged().iter().map(|batch| (batch.number, ids(batch))).collect();
        assert_eq!(left, [(1, vec![1]), (2, vec![2, 3])]);
        queue.acknowledge(1);
        let left: Vec<_> = queue.unacknowledged().iter().map(|batch| (batch.number, ids(batch))).collect();
        assert_eq!(left, [(2, vec![2, 3])]);
    }
}
