//! The end of a reservation, and new snapshots for watchers when the agent's state changes.

use super::{MAX_EVENTS, SdkServer, SdkState};
use crate::host::clock;
use std::{sync::Arc, time::Duration};

/// Delay after a call that found the driver's queue full.
const RETRY: Duration = Duration::from_millis(200);

impl SdkServer {
    /// Follows the agent's state, and ends reservations whose time is over.
    pub(crate) async fn keep_time(self: Arc<Self>) {
        let (mut status, mut events) = (self.shared.status.clone(), self.shared.events.watch());
        loop {
            let due = self.end_reservation();
            let sleep = async {
                match due {
                    Some(span) => tokio::time::sleep(span).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {}
                () = self.wake.notified() => {}
                changed = status.changed() => if changed.is_err() { return },
                changed = events.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Calls Ready when the reservation is over. How long until there is something to do again.
    fn end_reservation(&self) -> Option<Duration> {
        let now = clock::wall();
        if self.current().state.reserved_until().is_some_and(|until| until <= now) {
            let Ok(places) = self.shared.game_messages.try_reserve_many(MAX_EVENTS) else { return Some(RETRY) };
            if let Err(error) = self.apply(SdkState::ready, places) {
                // An unhealthy game stays reserved until it pings again, which changes the status.
                tracing::debug!(%error, "the reservation is over, and the game can't be made ready");
                return None;
            }
        }
        let until = self.current().state.reserved_until()?;
        Some(until.since(now).max(Duration::from_millis(1)))
    }
}
