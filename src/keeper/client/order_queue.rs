//! Orders on their way to the keeper: waiting, sent or answered.

use super::KeeperError;
use crate::keeper::protocol::{ExecResult, Order, Request};
use std::{
    collections::VecDeque,
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, oneshot};

/// The most orders that may wait; beyond it they are refused.
const MAX_WAITING: usize = 1024;

/// The result of an order that has one.
#[derive(Debug)]
pub(super) enum Answer {
    Listeners(Vec<(String, OwnedFd)>),
    /// The gateway's pid, and our end of the stream to it.
    Gateway(i32, OwnedFd),
    Exec(ExecResult),
}

/// Who waits for a result.
pub(super) type Asker = oneshot::Sender<Result<Answer, KeeperError>>;

#[derive(Debug)]
struct Entry {
    request: Request,
    sent: bool,
    asker: Option<Asker>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    entries: VecDeque<Entry>,
    /// The last levels given, to be given again to a keeper that may not have them.
    record: Option<Order>,
    fallback: Option<Order>,
    output: Option<Order>,
    /// Orders that were not taken, for the link to report.
    refused: Vec<Order>,
    over: bool,
}

/// The orders of one agent. Shared by [`super::Keeper`] and the link.
#[derive(Debug, Default)]
pub(super) struct OrderQueue {
    state: Mutex<State>,
    /// Something is to be sent.
    pub(super) posted: Notify,
    /// Something was answered.
    answered: Notify,
}

impl OrderQueue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues an order whose answer nobody waits for. A newer level replaces a waiting one.
    pub(super) fn post(&self, order: Order) {
        let mut state = self.state();
        match &order {
            Order::Record { .. } => state.record = Some(order.clone()),
            Order::Fallback { .. } => state.fallback = Some(order.clone()),
            Order::Output { .. } => state.output = Some(order.clone()),
            _ => {}
        }
        if is_level(&order)
            && let Some(entry) =
                state.entries.iter_mut().find(|entry| !entry.sent && entry.request.order.name() == order.name())
        {
            entry.request.order = order;
        } else {
            state.push_or_refuse(order);
        }
        drop(state);
        self.posted.notify_one();
    }

    /// Queues an order and waits for its result.
    pub(super) async fn ask(&self, order: Order) -> Result<Answer, KeeperError> {
        let (asker, answer) = oneshot::channel();
        let name = order.name();
        self.state().push(order, Some(asker)).map_err(|_| KeeperError::Full { order: name })?;
        self.posted.notify_one();
        answer.await.unwrap_or(Err(KeeperError::Away { order: name }))
    }

    /// Returns once no order waits for its answer, or none will ever be answered.
    pub(super) async fn settled(&self) {
        loop {
            let answered = self.answered.notified();
            {
                let state = self.state();
                if state.entries.is_empty() || state.over {
                    return;
                }
            }
            answered.await;
        }
    }

    /// The next orders to send, as lines; marks them sent.
    pub(super) fn take_unsent(&self) -> Vec<Request> {
        let mut state = self.state();
        let unsent = state.entries.iter_mut().filter(|entry| !entry.sent);
        unsent
            .map(|entry| {
                entry.sent = true;
                entry.request.clone()
            })
            .collect()
    }

    /// The orders that found no room since the last call.
    pub(super) fn take_refused(&self) -> Vec<Order> {
        std::mem::take(&mut self.state().refused)
    }

    /// The order with this id was answered. Returns it, and who waits for its result.
    pub(super) fn answer(&self, id: u64) -> Option<(Order, Option<Asker>)> {
        let mut state = self.state();
        let at = state.entries.iter().position(|entry| entry.request.id == id)?;
        let entry = state.entries.remove(at)?;
        drop(state);
        self.answered.notify_waiters();
        Some((entry.request.order, entry.asker))
    }

    /// For a new connection: drops what must not be given twice, puts the levels first, and marks the rest as unsent. Another keeper than
    /// before knows nothing of the old one's runs, so orders for these are dropped.
    pub(super) fn rewind(&self, same_keeper: bool) {
        let mut state = self.state();
        state.entries.retain(|entry| {
            same_keeper && !(entry.sent && at_most_once(&entry.request.order)) && !is_level(&entry.request.order)
        });
        for entry in &mut state.entries {
            entry.sent = false;
        }
        for level in [state.output.clone(), state.fallback.clone(), state.record.clone()].into_iter().flatten() {
            let id = state.next_id();
            state.entries.push_front(Entry { request: Request { id, order: level }, sent: false, asker: None });
        }
        drop(state);
        self.answered.notify_waiters();
    }

    /// Nothing will ever be sent or answered again.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.over = true;
        state.entries.clear();
        drop(state);
        self.answered.notify_waiters();
    }
}

impl State {
    fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// SIGKILL to a run that is on its way already is not sent again: while the keeper is away, it is ordered over and over.
    fn push_or_refuse(&mut self, order: Order) {
        let waits = |entry: &Entry| !entry.sent && entry.request.order == order;
        if matches!(order, Order::Kill { .. }) && self.entries.iter().any(waits) {
            return;
        }
        if let Err(order) = self.push(order, None) {
            self.refused.push(order);
        }
    }

    /// Gives the order back where there is no place for it.
    fn push(&mut self, order: Order, asker: Option<Asker>) -> Result<(), Order> {
        if self.over || self.entries.len() >= MAX_WAITING {
            return Err(order);
        }
        let id = self.next_id();
        self.entries.push_back(Entry { request: Request { id, order }, sent: false, asker });
        Ok(())
    }
}

/// Of these only the newest counts.
fn is_level(order: &Order) -> bool {
    matches!(order, Order::Record { .. } | Order::Fallback { .. } | Order::Output { .. })
}

/// Sent a second time, these would be a second event for the game, or a question that nobody asks any more.
fn at_most_once(order: &Order) -> bool {
    matches!(
        order,
        Order::Signal { .. }
            | Order::Stdin { .. }
            | Order::Stats
            | Order::Exec { .. }
            | Order::Stop { .. }
            | Order::Hello { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ids::RunNumber, process::LaunchSpec};

    fn start(run: u64) -> Order {
        let spec = LaunchSpec {
            argv: vec!["x".into()],
            env: [].into(),
            dir: None,
            file: None,
            files: Vec::new(),
            forking: false,
        };
        Order::Start { run: RunNumber(run), spec: Box::new(spec) }
    }

    fn record(text: &str) -> Order {
        Order::Record { text: text.into() }
    }

    fn names(requests: &[Request]) -> Vec<&'static str> {
        requests.iter().map(|request| request.order.name()).collect()
    }

    #[test]
    fn what_was_not_answered_is_given_again_but_a_signal_only_once() {
        let queue = OrderQueue::default();
        queue.post(record("a"));
        queue.post(start(1));
        queue.post(Order::Signal { run: RunNumber(1), signal: 15 });
        let first = queue.take_unsent();
        assert_eq!(names(&first), ["record", "start", "signal"]);
        assert!(queue.take_unsent().is_empty());
        queue.answer(first[0].id);
        queue.post(Order::Stdin { run: RunNumber(1), line: "never sent".into() });
        queue.rewind(true);
        assert_eq!(names(&queue.take_unsent()), ["record", "start", "stdin"]);
    }

    #[test]
    fn the_newest_level_replaces_a_waiting_one() {
        let queue = OrderQueue::default();
        queue.post(record("a"));
        queue.post(start(1));
        queue.post(record("b"));
        let sent = queue.take_unsent();
        assert_eq!(names(&sent), ["record", "start"]);
        assert_eq!(sent[0].order, record("b"));
    }

    #[test]
    fn another_keeper_gets_the_levels_and_no_old_run() {
        let queue = OrderQueue::default();
        queue.post(start(1));
        queue.post(record("a"));
        queue.rewind(false);
        assert_eq!(names(&queue.take_unsent()), ["record"]);
    }

    #[test]
    fn too_much_is_refused() {
        let queue = OrderQueue::default();
        for run in 0..=MAX_WAITING as u64 {
            queue.post(start(run));
        }
        assert_eq!(queue.take_refused(), [start(MAX_WAITING as u64)]);
    }

    #[test]
    fn a_kill_that_waits_is_not_queued_again() {
        let queue = OrderQueue::default();
        let kill = |run| Order::Kill { run: RunNumber(run) };
        [1, 1, 2].into_iter().for_each(|run| queue.post(kill(run)));
        assert_eq!(queue.take_unsent().len(), 2);
        queue.post(kill(1));
        assert_eq!(queue.take_unsent().len(), 1, "the first was sent, and may have come too early");
    }
}
