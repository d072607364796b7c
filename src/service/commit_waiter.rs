//! Lets an answer wait until everything that it tells is on the disk.
//!
//! ```text
//!   writer thread ──progress──► one task of the runtime ──► the requests that the commit covers
//! ```
//!
//! The writer wakes that one task alone, once a commit, and it wakes only who can be answered:
//! waking a task from another thread costs a system call, and most of those who wait are waiting
//! for a later commit.
//!
//! Invariant: whoever begins to wait either sees the progress that covers it or is seen by the task
//! after that progress: both look at it under the same lock.

use super::{
    http::reply::{Outcome, unavailable},
    store::{Seq, writer::Progress},
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{oneshot, watch};

/// How long an answer waits for the disk.
const WITHIN: Duration = Duration::from_secs(20);

/// How far the store has come, and who waits for it to come further.
#[derive(Debug)]
pub struct CommitWaiter {
    progress: watch::Receiver<Progress>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    number: u64,
    by_seq: BTreeMap<(Seq, u64), oneshot::Sender<()>>,
}

impl CommitWaiter {
    pub fn new(progress: watch::Receiver<Progress>) -> CommitWaiter {
        CommitWaiter { progress, waiting: Mutex::default() }
    }

    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Waits until a change is on disk, so that nothing is acknowledged that a crash could take back.
    pub async fn wait(&self, seq: Seq) -> Outcome<()> {
        let Some(reached) = self.wait_for(seq)? else { return Ok(()) };
        // Woken, or the task that wakes has ended with the service: how far the store has come says
        // which.
        let woken = tokio::time::timeout(WITHIN, reached).await;
        let progress = self.progress.borrow();
        match (progress.durable >= seq, woken) {
            (true, _) => Ok(()),
            (false, Ok(Ok(()))) => Err(unstored()),
            (false, Ok(Err(_)) | Err(_)) => Err(unavailable("the store does not answer", 1)),
        }
    }

    /// What tells that a change is on disk, or can't be stored; none if it is there already.
    fn wait_for(&self, seq: Seq) -> Outcome<Option<oneshot::Receiver<()>>> {
        if self.progress.borrow().durable >= seq {
            return Ok(None);
        }
        let mut waiting = self.waiting();
        let progress = self.progress.borrow();
        if progress.durable >= seq {
            return Ok(None);
        }
        if progress.failing.is_some() {
            return Err(unstored());
        }
        let (tell, told) = oneshot::channel();
        waiting.number += 1;
        let number = waiting.number;
        waiting.by_seq.insert((seq, number), tell);
        Ok(Some(told))
    }

    /// Wakes whoever has waited long enough, for ever.
    pub async fn wake(&self) {
        let mut progress = self.progress.clone();
        while progress.changed().await.is_ok() {
            let mut waiting = self.waiting();
            let (durable, failing) = {
                let now = progress.borrow_and_update();
                (now.durable, now.failing.is_some())
            };
            let later = if failing { BTreeMap::new() } else { waiting.by_seq.split_off(&(Seq(durable.0 + 1), 0)) };
            let done = std::mem::replace(&mut waiting.by_seq, later);
            drop(waiting);
            for told in done.into_values() {
                // A client that has gone doesn't wait.
                let _ = told.send(());
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unstored() -> super::http::reply::Interrupt {
    unavailable("nothing can be stored at the moment", 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn start() -> (watch::Sender<Progress>, Arc<CommitWaiter>) {
        let (writer, progress) = watch::channel(Progress::default());
        let durable = Arc::new(CommitWaiter::new(progress));
        let waking = durable.clone();
        tokio::spawn(async move { waking.wake().await });
        (writer, durable)
    }

    /// Waits in a task of its own, and has begun to.
    async fn waiter(durable: &Arc<CommitWaiter>, seq: u64) -> tokio::task::JoinHandle<Outcome<()>> {
        let before = durable.waiting().number;
        let one = durable.clone();
        let handle = tokio::spawn(async move { one.wait(Seq(seq)).await });
        while durable.waiting().number == before && !handle.is_finished() {
            tokio::task::yield_now().await;
        }
        handle
    }

    #[tokio::test]
    async fn a_commit_answers_those_that_it_covers_and_no_others() {
        let (writer, durable) = start();
        let first = waiter(&durable, 1).await;
        let (second, twin) = (waiter(&durable, 2).await, waiter(&durable, 2).await);
        let third = waiter(&durable, 3).await;
        writer.send_modify(|progress| progress.durable = Seq(2));
        for covered in [first, second, twin] {
            assert_eq!(covered.await.unwrap(), Ok(()));
        }
        assert!(!third.is_finished());
        assert_eq!(durable.waiting().by_seq.len(), 1);
        assert_eq!(durable.wait(Seq(2)).await, Ok(()), "there already");
        writer.send_modify(|progress| progress.durable = Seq(9));
        assert_eq!(third.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn a_store_that_fails_answers_everybody_and_whoever_comes_after() {
        let (writer, durable) = start();
        let waiting = waiter(&durable, 1).await;
        writer.send_modify(|progress| progress.failing = Some("no room".into()));
        assert_eq!(waiting.await.unwrap(), Err(unstored()));
        assert_eq!(durable.wait(Seq(2)).await, Err(unstored()));
        assert_eq!(durable.wait(Seq(0)).await, Ok(()), "what is on disk can be shown");
        writer.send_modify(|progress| *progress = Progress { durable: Seq(2), ..Progress::default() });
        assert_eq!(durable.wait(Seq(2)).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_says_nothing_is_not_waited_for_for_ever() {
        let (_writer, durable) = start();
        assert_eq!(durable.wait(Seq(1)).await, Err(unavailable("the store does not answer", 1)));
    }
}
