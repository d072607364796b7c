//! Which connections of a listener wait for a request, so that one of them can make room for who
//! has something to ask.
//!
//! ```text
//!   accepted ──► waits, has asked nothing ──► a request is under way ──► waits, has been answered
//!                        │ 1st                                                │ 2nd
//!                        └───────── cut when places are short ────────────────┘   the oldest of its kind first
//! ```
//!
//! Invariant: a connection with a request under way, its answer's body included, or with one that
//! lies unread in its socket, is never cut.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tokio::sync::Notify;

/// The connections of one listener.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    /// By rank: who has asked nothing comes before who has, the longest wait first.
    by_rank: BTreeMap<(Asked, u64), Arc<Notify>>,
    /// One that was to make room has a request after all.
    declined: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Nothing,
    Something,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that was just accepted.
    pub(super) fn opened(&self) -> Arc<Connection> {
        let connection = Connection { all: self.clone(), cut: Arc::default(), state: Mutex::default() };
        connection.state().rank = Some(self.rank(Asked::Nothing, &connection.cut));
        Arc::new(connection)
    }

    /// Has the connection end that has waited longest. False: none waits.
    pub(super) fn cut_one(&self) -> bool {
        let first = self.lock().by_rank.pop_first();
        first.inspect(|(_, cut)| cut.notify_one()).is_some()
    }

    /// Until one that was to end doesn't.
    pub(super) async fn declined(&self) {
        let declined = Arc::clone(&self.lock().declined);
        declined.notified().await;
    }

    fn rank(&self, asked: Asked, cut: &Arc<Notify>) -> (Asked, u64) {
        let mut waiting = self.lock();
        waiting.next += 1;
        let rank = (asked, waiting.next);
        waiting.by_rank.insert(rank, cut.clone());
        rank
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    all: Connections,
    cut: Arc<Notify>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    /// None: it doesn't wait.
    rank: Option<(Asked, u64)>,
}

impl Connection {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until it has to make room. Whoever asks just then is answered.
    pub(super) async fn cut(&self) {
        loop {
            self.cut.notified().await;
            // What it has sent is read before: it may lie in the socket.
            for _ in 0..2 {
                tokio::task::yield_now().await;
            }
            if self.state().under_way == 0 {
                return;
            }
            self.all.lock().declined.notify_one();
        }
    }

    /// A request has come.
    pub(super) fn asked(self: &Arc<Self>) -> UnderWay {
        let mut state = self.state();
        state.under_way += 1;
        if let Some(rank) = state.rank.take() {
            self.all.lock().by_rank.remove(&rank);
        }
        UnderWay(self.clone())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(rank) = self.state().rank.take() {
            self.all.lock().by_rank.remove(&rank);
        }
    }
}

/// A request, until it is answered to the last byte.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Connection>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.under_way -= 1;
        if state.under_way == 0 {
            state.rank = Some(self.0.all.rank(Asked::Something, &self.0.cut));
        }
    }
}

/// An answer's body, with the request that it answers.
#[derive(Debug)]
pub(super) struct Answer<B> {
    body: B,
    _under_way: UnderWay,
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, under_way: UnderWay) -> Self {
        Answer { body, _under_way: under_way }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_silent_is_cut_first_then_the_longest_answered_and_never_one_at_work() {
        let all = Connections::default();
        let each: Vec<_> = (0..4).map(|_| all.opened()).collect();
        drop(each[1].asked());
        let busy = each[3].asked();
        for number in [0, 2, 1] {
            assert!(all.cut_one());
            each[number].cut().await;
        }
        assert!(!all.cut_one(), "the last one's request is under way");
        drop(busy);
        assert!(all.cut_one());
        each[3].cut().await;
        drop(all.opened());
        assert!(!all.cut_one(), "it has gone");
    }
}
