//! Watchers of the GameServer: each is a position in the ring, and nobody waits for one that
//! doesn't read.

use super::{Code, RpcError, SdkServer, Snapshot};
use crate::frontends::ring::Next;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// Watches open at a time; as many as Agones's own sdk-server takes.
pub(in crate::frontends::agones) const MAX_WATCHERS: usize = 1000;

impl SdkServer {
    /// Follows the GameServer: the state now, then every change.
    pub(crate) fn watch(self: &Arc<Self>) -> Result<GameServerWatch, RpcError> {
        let permit = Arc::clone(&self.watchers).try_acquire_owned().map_err(|_| {
            let message = format!("{MAX_WATCHERS} watches are open; close one of them");
            RpcError::new(Code::ResourceExhausted, message)
        })?;
        let head = self.ring.watch();
        let (snapshot, seen) = self.newest();
        Ok(GameServerWatch { sdk: Arc::clone(self), first: Some(snapshot), seen, head, _permit: permit })
    }
}

/// One watcher.
#[derive(Debug)]
pub(crate) struct GameServerWatch {
    sdk: Arc<SdkServer>,
    first: Option<Arc<Snapshot>>,
    seen: u64,
    head: watch::Receiver<u64>,
    _permit: OwnedSemaphorePermit,
}

impl GameServerWatch {
    /// The next snapshot. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Arc<Snapshot> {
        if let Some(first) = self.first.take() {
            return first;
        }
        loop {
            match self.sdk.ring.after(self.seen, 1) {
                Next::Entries(mut entries) => {
                    if let Some((number, snapshot)) = entries.pop() {
                        self.seen = number;
                        self.sdk.lock().was_shown(&snapshot);
                        return snapshot;
                    }
                }
                Next::Lagged => {
                    let (snapshot, number) = self.sdk.newest();
                    self.seen = number;
                    return snapshot;
                }
            }
            // The sender lives as long as the server.
            let _ = self.head.changed().await;
        }
    }
}
