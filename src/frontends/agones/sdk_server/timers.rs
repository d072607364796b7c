//! What time brings about: the end of a reservation, a silence that is too long.

use super::{AgentView, MAX_WORDS, Outcome, SdkServer, SdkState};
use crate::host::clock;
use std::{sync::Arc, time::Duration};

/// After a word that found the driver's queue full.
const AGAIN: Duration = Duration::from_millis(200);

impl SdkServer {
    /// Follows the agent's state, and does what time brings about: the end of a reservation, silence.
    pub async fn keep_time(self: Arc<Self>) {
        let (mut status, mut events) = (self.shared.status.clone(), self.shared.events.watch());
        loop {
            let due = self.tick();
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

    /// Does what is due; how long until something is again.
    fn tick(&self) -> Option<Duration> {
        let now = clock::now();
        let (silent, lapsed) = {
            let mut inner = self.fresh();
            let silent = inner.health.is_over(&self.settings.health, now.mono);
            let silent = silent && inner.state.used && !inner.state.unhealthy && !inner.view.closing;
            (silent, inner.state.reserved_until().is_some_and(|until| until <= now.wall))
        };
        let health = &self.settings.health;
        let why = format!("no health ping in {} periods of {} s", health.failure_threshold, health.period.as_secs());
        let late =
            (silent && !self.try_act(|state, _| state.silent(why))) || (lapsed && !self.try_act(SdkState::ready));
        if late {
            return Some(AGAIN);
        }
        let inner = self.fresh();
        let health = inner.health.due().filter(|_| inner.state.used).map(|due| due.since(now.mono));
        let reserve = inner.state.reserved_until().map(|until| until.since(now.wall));
        [health, reserve].into_iter().flatten().min().map(|span| span.max(Duration::from_millis(1)))
    }

    /// Says something that nobody waits for; false: no place in the queue.
    fn try_act(&self, op: impl FnOnce(&mut SdkState, &AgentView) -> Outcome<()>) -> bool {
        let Ok(places) = self.shared.game_messages.try_reserve_many(MAX_WORDS) else { return false };
        if let Err(error) = self.apply(op, places) {
            tracing::debug!(%error, "what time brought about was refused");
        }
        true
    }
}
