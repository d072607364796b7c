//! The agent's side: finds or starts the keeper, stays connected, and passes its facts on.
//!
//! ```text
//!   attach ──► connect ──► hello ──► orders out, events in ──► connection breaks ─┐
//!                ▲  └─ no socket, lock free: spawn (Mode::Spawn) or wait          │
//!                └──────────────── back-off, 20 ms … 1 s ◄────────────────────────┘
//! ```
//!
//! Invariants:
//! - Calls never block. What can't be queued is refused with an event.
//! - Orders that were not answered when a connection broke are given again, in their order;
//!   `signal` and `stdin` only if they were not sent yet. Record, fallback policy and the output
//!   switch are always given again.
//! - That no keeper lives and none can be had is said at once: the end of a match is not held up.
//! - A second keeper is never spawned while the lock is held, whether its socket answers or not;
//!   nor while the keeper or the game that was met last is known to live ([`note`]).
//! - After the facts `Superseded` and `Incompatible` nothing is sent or tried any more.

mod link;
mod note;
mod order_queue;
mod spawn;

use super::protocol::{ExecResult, Losses, Stream};
use crate::model::{
    ids::RunNumber,
    keeper::{Forward, KeeperFact, KeeperOrder, ListenerSpec},
};
use order_queue::{Answer, OrderQueue};
use std::{ffi::OsString, os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Where a keeper lives: the agent's state directory, with `keeper.lock` and `keeper.sock` inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperPlace {
    pub dir: PathBuf,
    /// A file outside of it that names keeper and game, so that they are found out where the directory is deleted under them.
    pub note: PathBuf,
}

/// What to do when there is no keeper.
#[derive(Debug, Clone)]
pub enum Mode {
    /// Start one, detached from the terminal and from this process.
    Spawn(SpawnKeeper),
    /// Wait for it: systemd or the pod starts it.
    Connect,
}

/// How a keeper is started. `--dir` and `--detach` are added.
#[derive(Debug, Clone)]
pub struct SpawnKeeper {
    pub program: PathBuf,
    pub args: Vec<OsString>,
}

/// What comes from the keeper.
#[derive(Debug, Clone, PartialEq)]
pub enum KeeperEvent {
    /// What bears on the match.
    Fact(KeeperFact),
    /// Output was lost; the figures are totals since the keeper started. It comes with stats, when a figure went up.
    Lost(Losses),
    Output {
        run: RunNumber,
        stream: Stream,
        line: String,
        /// The log could not take it, so it is nowhere else.
        lost: bool,
    },
    /// The log has more of the game's output.
    OutputKept {
        run: RunNumber,
    },
    Refused {
        order: String,
        why: String,
    },
}

/// Why a call to the keeper has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeeperError {
    #[error("the keeper refused {order}: {why}")]
    Refused { order: String, why: String },
    #[error("the connection to the keeper ended before it answered {order}; ask again")]
    Away { order: &'static str },
    #[error("too many orders wait for the keeper, {order} was not taken; is the keeper stopped?")]
    Full { order: &'static str },
}

/// Connects in the background, for as long as a [`Keeper`] and the receiver live. Must be called within a tokio runtime.
pub fn attach(place: KeeperPlace, mode: Mode) -> (Keeper, mpsc::Receiver<KeeperEvent>) {
    let (events, received) = mpsc::channel(256);
    let queue = Arc::new(OrderQueue::default());
    tokio::spawn(link::run(place, mode, Arc::clone(&queue), events));
    (Keeper { queue }, received)
}

/// Gives orders to a keeper; clones give them to the same one.
#[derive(Debug, Clone)]
pub struct Keeper {
    queue: Arc<OrderQueue>,
}

impl Keeper {
    /// Queued, never waited for; what it led to comes back as an event. An order whose result is wanted has a call of its own:
    /// [`Keeper::listeners`], [`Keeper::gateway`], [`Keeper::exec`].
    pub fn give(&self, order: KeeperOrder) {
        self.queue.post(order);
    }

    /// What is forwarded of the game's output.
    pub fn output(&self, what: Forward) {
        self.queue.post(what.order());
    }

    /// Has these sockets bound, unless they are held already, and returns them by name.
    pub async fn listeners(&self, want: Vec<ListenerSpec>) -> Result<Vec<(String, OwnedFd)>, KeeperError> {
        match self.queue.ask(KeeperOrder::Listeners { want }).await? {
            Answer::Listeners(sockets) => Ok(sockets),
            Answer::Gateway(..) | Answer::Exec(_) => Err(KeeperError::Away { order: "listeners" }),
        }
    }

    /// Has itself introduced to the SDK gateway, which serves all sockets that the keeper holds by now. Returns its pid, and our end of
    /// the stream to it, which doesn't block.
    pub async fn gateway(&self) -> Result<(i32, OwnedFd), KeeperError> {
        match self.queue.ask(KeeperOrder::Gateway).await? {
            Answer::Gateway(pid, stream) => Ok((pid, stream)),
            Answer::Listeners(_) | Answer::Exec(_) => Err(KeeperError::Away { order: "gateway" }),
        }
    }

    /// Runs a command in the game's context.
    pub async fn exec(&self, argv: Vec<String>, timeout: Duration) -> Result<ExecResult, KeeperError> {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        match self.queue.ask(KeeperOrder::Exec { argv, timeout_ms }).await? {
            Answer::Exec(result) => Ok(result),
            Answer::Listeners(_) | Answer::Gateway(..) => Err(KeeperError::Away { order: "exec" }),
        }
    }

    /// Whether every order given so far was answered; for a last flush before an orderly end.
    pub async fn settled(&self) {
        self.queue.settled().await;
    }
}
