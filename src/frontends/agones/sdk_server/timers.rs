//! What happens by itself: the end of a reservation, and new snapshots for watchers when something
//! that they show has changed.

use super::{CallOutcome, SdkServer, SdkState};
use crate::{frontends::game_queue::CallKind, host::clock};
use std::{sync::Arc, time::Duration};

impl SdkServer {
    /// Shows watchers what the agent has published, and what it has acknowledged.
    pub(crate) async fn show_changes(self: Arc<Self>) {
        let (mut status, mut events) = (self.shared.status.clone(), self.shared.events.watch());
        let mut acknowledged = self.acknowledged.clone();
        loop {
            drop(self.current());
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                changed = events.changed() => if changed.is_err() { return },
                changed = acknowledged.changed() => if changed.is_err() { return },
            }
            self.wake.notify_one();
        }
    }

    /// Ends reservations whose time is over, as if the game had called Ready.
    pub(crate) async fn end_reservations(self: Arc<Self>) {
        loop {
            let until = self.read_only(SdkState::reserved_until);
            let left = until.map(|until| until.since(clock::wall()));
            if left == Some(Duration::ZERO) && self.end_reservation().await {
                continue;
            }
            let sleep = async {
                match left.filter(|left| !left.is_zero()) {
                    Some(left) => tokio::time::sleep(left.max(Duration::from_millis(1))).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// False: the game can't be made ready. One that is unhealthy stays reserved until it pings again.
    async fn end_reservation(&self) -> bool {
        let ended = self.execute(CallKind::Ordinary, |state, view| {
            let over = state.reserved_until().is_some_and(|until| until <= clock::wall());
            if over { state.ready(view) } else { Ok(CallOutcome { value: (), events: Vec::new() }) }
        });
        ended.await.inspect_err(|error| tracing::debug!(%error, "the reservation is over, the game stays")).is_ok()
    }
}
