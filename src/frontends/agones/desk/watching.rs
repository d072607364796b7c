//! Those who follow the GameServer: each is a position in the ring, and nobody waits for one that doesn't read.

use super::{Code, Desk, Fault, Picture};
use crate::frontends::ring::Next;
use std::sync::{Arc, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// Watches open at a time.
pub const MAX_WATCHERS: usize = 64;

impl Desk {
    /// Follows the GameServer: the state now, then every change.
    pub fn watch(self: &Arc<Self>) -> Result<Watch, Fault> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let message = format!("{MAX_WATCHERS} watches are open; close one of them");
            Fault::new(Code::ResourceExhausted, message)
        })?;
        let head = self.ring.watch();
        let (picture, seen) = self.now();
        Ok(Watch { desk: Arc::clone(self), first: Some(picture), seen, head, _place: place })
    }
}

/// One who follows the GameServer.
#[derive(Debug)]
pub struct Watch {
    desk: Arc<Desk>,
    first: Option<Arc<Picture>>,
    seen: u64,
    head: watch::Receiver<u64>,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    /// The next state. Cancel-safe.
    pub async fn next(&mut self) -> Arc<Picture> {
        if let Some(first) = self.first.take() {
            return first;
        }
        loop {
            match self.desk.ring.after(self.seen, 1) {
                Next::Entries(mut entries) => {
                    if let Some((number, picture)) = entries.pop() {
                        self.seen = number;
                        self.desk.inner.lock().unwrap_or_else(PoisonError::into_inner).saw(&picture);
                        return picture;
                    }
                }
                Next::Lagged => {
                    let (picture, number) = self.desk.now();
                    self.seen = number;
                    return picture;
                }
            }
            // The sender lives as long as the desk.
            let _ = self.head.changed().await;
        }
    }
}
