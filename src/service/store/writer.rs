//! The writer thread: group commit.
//!
//! Everything that an operation changes is queued as one piece, so that a crash never leaves half
//! of it. The thread takes everything that is queued, keeps the newest change of each key,
//! serialises, commits, and announces the last sequence number as durable. While a commit fails it
//! tries the same changes again, together with what has come meanwhile, and everybody who waits is
//! answered 503.
//!
//! Before anything is read the store is claimed: every commit then holds only while nobody else has
//! claimed it since. A service that was superseded (a stand-by took over while it was cut off)
//! writes nothing any more and answers 503.
//!
//! The queue needs no bound of its own: each entry belongs to a request that waits for it, or to a
//! timer of a session.

use super::{CommitError, Precondition, RowUpdate, Seq, Store, StoreError, Table, Version, Write};
use crate::service::{
    rules::record::SessionRecord,
    state::{event_batch::EventBatch, journal},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::watch;

/// A row as a commit makes it. Sessions and events are serialised by the writer, without holding the state's lock.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Session(Arc<SessionRecord>),
    /// By the number of the first.
    Events(u64, Arc<EventBatch>),
    Row(Table, String, Option<Vec<u8>>),
}

/// How far the store has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    pub durable: Seq,
    /// The error of the last attempt, while it fails.
    pub failing: Option<String>,
    /// Commits and changes so far, for the metrics.
    pub commits: u64,
    pub written: u64,
}

/// The right to write to a store, until somebody else takes it.
#[derive(Debug)]
pub(crate) struct Claim(Version);

/// The row that is claimed.
const CLAIMED: &str = "writer";

impl Claim {
    /// Takes it from whoever has it.
    pub(crate) fn take(store: &mut dyn Store) -> Result<Claim, StoreError> {
        let me = uuid::Uuid::new_v4().to_string();
        match store.commit(&[Write::put(Table::Owner, CLAIMED, me)]) {
            Ok(version) => Ok(Claim(version)),
            Err(CommitError::Failed(why)) => Err(why),
            Err(conflict @ CommitError::Conflict { .. }) => Err(StoreError::new("claim the store", conflict)),
        }
    }

    fn check(&self) -> Write {
        Write::check(Table::Owner, CLAIMED, Precondition::IfVersion(self.0))
    }
}

/// The changes of one operation, in order.
type Operation = (Seq, Vec<Change>);

/// Where commits are queued.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<Sender<Operation>>,
    last: Seq,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(store: Box<dyn Store>, claim: Claim) -> std::io::Result<(Writer, watch::Receiver<Progress>)> {
        let (queue, changes) = channel();
        let (progress, seen) = watch::channel(Progress::default());
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || Batcher { store, claim, changes, progress, waiting: BTreeMap::new() }.run())?;
        Ok((Writer { queue: Some(queue), last: Seq(0), thread: Some(thread) }, seen))
    }

    /// The number that the next operation's write will have.
    pub(crate) fn upcoming(&self) -> Seq {
        Seq(self.last.0 + 1)
    }

    /// Queues what one operation changes, as one piece. It is durable once the progress has reached the returned number; without
    /// changes there is nothing to wait for.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) -> Seq {
        if changes.is_empty() {
            return Seq::default();
        }
        self.last = self.upcoming();
        if let Some(queue) = &self.queue {
            // The thread lives as long as this sender; if it has died, nothing becomes durable and
            // callers get 503.
            let _ = queue.send((self.last, changes));
        }
        self.last
    }

    /// Writes what is queued and ends the thread.
    pub(crate) fn finish(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}

struct Batcher {
    store: Box<dyn Store>,
    claim: Claim,
    changes: Receiver<Operation>,
    progress: watch::Sender<Progress>,
    waiting: BTreeMap<(Table, String), Change>,
}

/// How long to wait after a failed commit.
const RETRY: Duration = Duration::from_millis(500);

impl Batcher {
    fn run(mut self) {
        let mut last = Seq(0);
        while let Some(seq) = self.gather() {
            last = last.max(seq);
            match self.commit() {
                Ok(written) => {
                    self.waiting.clear();
                    self.progress.send_modify(|progress| {
                        progress.durable = last;
                        progress.failing = None;
                        progress.commits += 1;
                        progress.written += written;
                    });
                }
                Err(why) => self.report(&why),
            }
        }
    }

    /// Waits for a change and takes all there are. None when the state has gone and nothing is left to write.
    fn gather(&mut self) -> Option<Seq> {
        let mut last = Seq(0);
        let first = if self.waiting.is_empty() {
            self.changes.recv().ok()
        } else {
            match self.changes.recv_timeout(RETRY) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        };
        if first.is_none() && self.waiting.is_empty() {
            return None;
        }
        for (seq, changes) in first.into_iter().chain(self.changes.try_iter()) {
            last = last.max(seq);
            self.waiting.extend(changes.into_iter().map(|change| (key(&change), change)));
        }
        Some(last)
    }

    fn commit(&mut self) -> Result<u64, StoreError> {
        let changes = self.waiting.iter().map(|((table, key), change)| serialised(*table, key, change));
        let batch: Vec<Write> = std::iter::once(Ok(self.claim.check())).chain(changes).collect::<Result<_, _>>()?;
        self.store.commit(&batch).map_err(|why| match why {
            CommitError::Failed(why) => why,
            CommitError::Conflict { .. } => StoreError::new("write the store", "another service has taken it over"),
        })?;
        Ok(batch.len() as u64 - 1)
    }

    fn report(&self, why: &StoreError) {
        let why = why.to_string();
        self.progress.send_if_modified(|progress| {
            let new = progress.failing.as_ref() != Some(&why);
            if new {
                tracing::error!(%why, "nothing can be made durable; callers are answered 503 until it can");
                progress.failing = Some(why.clone());
            }
            new
        });
    }
}

fn key(change: &Change) -> (Table, String) {
    match change {
        Change::Session(session) => (Table::Sessions, session.id.as_str().to_owned()),
        Change::Events(first, _) => (Table::Events, journal::key(*first)),
        Change::Row(table, key, _) => (*table, key.clone()),
    }
}

fn serialised(table: Table, key: &str, change: &Change) -> Result<Write, StoreError> {
    let bytes = match change {
        Change::Session(session) => {
            Some(serde_json::to_vec(&**session).map_err(|why| StoreError::new("serialise a session", why))?)
        }
        Change::Events(_, batch) => {
            Some(serde_json::to_vec(&**batch).map_err(|why| StoreError::new("serialise events", why))?)
        }
        Change::Row(_, _, value) => value.clone(),
    };
    let to = bytes.map_or(RowUpdate::Nothing, |bytes| RowUpdate::Value { bytes, expires: None });
    Ok(Write { table, key: key.to_owned(), to, only: Precondition::Always })
}

#[cfg(test)]
mod tests {
    use super::{super::memory::Memory, *};

    fn start(store: &Memory) -> (Writer, watch::Receiver<Progress>) {
        let claim = Claim::take(&mut store.clone()).unwrap();
        Writer::start(Box::new(store.clone()), claim).unwrap()
    }

    fn row(key: &str, value: &str) -> Change {
        Change::Row(Table::Deserters, key.into(), Some(value.into()))
    }

    /// An operation of one change.
    fn write(writer: &mut Writer, change: Change) -> Seq {
        writer.commit(vec![change])
    }

    #[tokio::test]
    async fn a_failing_store_is_said_so_and_loses_nothing_once_it_works_again() {
        let mut store = Memory::default();
        let (mut writer, mut progress) = start(&store);
        store.refuse_writes(true);
        write(&mut writer, row("a", "1"));
        progress.wait_for(|progress| progress.failing.is_some()).await.unwrap();
        let last = write(&mut writer, row("a", "2"));
        store.refuse_writes(false);
        progress.wait_for(|progress| progress.durable >= last && progress.failing.is_none()).await.unwrap();
        writer.finish();
        assert_eq!(store.get(Table::Deserters, "a").unwrap().unwrap().value, b"2");
    }

    #[tokio::test]
    async fn finishing_writes_what_is_queued() {
        let mut store = Memory::default();
        let (mut writer, progress) = start(&store);
        let last = (0..100).map(|n| write(&mut writer, row(&n.to_string(), "x"))).last().unwrap();
        writer.finish();
        assert_eq!(progress.borrow().durable, last);
        assert_eq!(store.read(Table::Deserters).unwrap().len(), 100);
    }

    #[tokio::test]
    async fn a_service_that_was_superseded_writes_nothing_more() {
        let mut store = Memory::default();
        let (mut old, mut old_progress) = start(&store);
        let first = write(&mut old, row("a", "old"));
        old_progress.wait_for(|progress| progress.durable >= first).await.unwrap();
        let (mut new, mut new_progress) = start(&store);
        let second = write(&mut new, row("a", "new"));
        new_progress.wait_for(|progress| progress.durable >= second).await.unwrap();
        let lost = write(&mut old, row("a", "late"));
        let told = old_progress.wait_for(|progress| progress.failing.is_some()).await.unwrap().clone();
        assert!(told.durable < lost && told.failing.unwrap().contains("another service"));
        old.finish();
        new.finish();
        assert_eq!(store.get(Table::Deserters, "a").unwrap().unwrap().value, b"new");
    }

    #[tokio::test]
    async fn what_one_operation_changes_is_never_stored_by_half() {
        let mut store = Memory::default();
        let (mut writer, progress) = start(&store);
        for n in 0..200 {
            writer.commit(vec![row("a", &n.to_string()), row("b", &n.to_string())]);
            std::thread::yield_now();
            let rows = store.read(Table::Deserters).unwrap();
            assert!(rows.windows(2).all(|pair| pair[0].1 == pair[1].1), "{rows:?}");
            assert_ne!(rows.len(), 1);
        }
        writer.finish();
        assert_eq!(progress.borrow().durable, Seq(200));
        assert_eq!(store.get(Table::Deserters, "a").unwrap().unwrap().value, b"199");
    }
}
