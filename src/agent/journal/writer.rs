//! The journal's thread: what is queued is written in one go, and whoever waits for it is told.

use super::Journal;
use crate::{
    agent::crash,
    core::io::{Bulk, JournalFact},
};
use std::{
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::sync::mpsc;

/// How long the end of the agent waits for the last write.
const LAST_WRITE: Duration = Duration::from_secs(2);

pub(super) fn start(journal: Journal) -> io::Result<(Writer, mpsc::UnboundedReceiver<JournalFact>)> {
    let (facts, results) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared { work: Mutex::new(Work::default()), wake: Condvar::new() });
    let theirs = Arc::clone(&shared);
    let (alive, ended) = std::sync::mpsc::channel::<()>();
    thread::Builder::new().name("journal".into()).stack_size(64 * 1024).spawn(move || {
        let _alive = alive;
        write_on(journal, &theirs, &facts);
    })?;
    Ok((Writer { shared, ended }, results))
}

/// The driver's end of the journal's thread. Dropping it lets the thread finish what is queued and end.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    /// Hangs up when the thread has ended.
    ended: std::sync::mpsc::Receiver<()>,
}

#[derive(Debug)]
struct Shared {
    work: Mutex<Work>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Work {
    commit: Option<Commit>,
    replayed: bool,
    closed: bool,
}

/// The newest state and the commits that it stands for.
#[derive(Debug)]
struct Commit {
    seqs: Vec<u64>,
    text: String,
    bulk: Option<Bulk>,
}

impl Writer {
    /// Queues a commit; never blocks on the disk.
    pub fn commit(&self, seq: u64, text: String, bulk: Option<Bulk>) {
        self.with(|work| {
            let mut seqs = work.commit.take().map(|before| before.seqs).unwrap_or_default();
            seqs.push(seq);
            work.commit = Some(Commit { seqs, text, bulk });
        });
    }

    /// See [`Journal::replayed`].
    pub fn replayed(&self) {
        self.with(|work| work.replayed = true);
    }

    fn with(&self, change: impl FnOnce(&mut Work)) {
        change(&mut self.shared.work.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.wake.notify_one();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Whatever ends the agent now, it isn't the state.
        let explained = !thread::panicking();
        self.with(|work| {
            work.replayed |= explained;
            work.closed = true;
        });
        let _ = self.ended.recv_timeout(LAST_WRITE);
    }
}

/// The thread: take what is queued, write it, tell.
fn write_on(mut journal: Journal, shared: &Shared, facts: &mpsc::UnboundedSender<JournalFact>) {
    let mut has_reserves = false;
    loop {
        let mut work = shared.work.lock().unwrap_or_else(PoisonError::into_inner);
        while work.commit.is_none() && !work.replayed && !work.closed {
            work = shared.wake.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
        let now = std::mem::take(&mut *work);
        work.closed = now.closed;
        drop(work);
        if now.replayed
            && let Err(error) = journal.replayed()
        {
            tracing::warn!(%error, "the journal's replay counter could not be cleared");
        }
        let is_last = now.commit.is_none() && now.closed;
        if let Some(Commit { seqs, text, bulk }) = now.commit {
            let result = journal.commit(&text, bulk.as_ref()).map_err(|error| error.to_string());
            crash::point("journal-synced");
            for seq in seqs {
                let fact = match &result {
                    Ok(()) => JournalFact::Committed { seq },
                    Err(why) => JournalFact::Failed { seq, why: why.clone() },
                };
                let _ = facts.send(fact);
            }
        }
        if !has_reserves {
            has_reserves = true;
            journal.make_reserves();
        }
        if is_last {
            return;
        }
    }
}
