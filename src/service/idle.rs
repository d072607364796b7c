//! Idleness: a local service ends once nobody has used it for a while.

use super::Shared;
use crate::model::time::Instant;
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

/// Tells when nobody needs the service any more.
#[derive(Debug, Clone)]
pub struct Idle(pub(super) Arc<Shared>);

impl Idle {
    /// Ends once no instance has lived, no server has waited and no request has come in for so long.
    pub async fn wait(&self, span: Duration) {
        loop {
            let used = self.used();
            let idle = self.0.clock.now().mono.since(used);
            if idle >= span {
                return;
            }
            tokio::time::sleep(span.saturating_sub(idle).max(Duration::from_millis(50))).await;
        }
    }

    fn used(&self) -> Instant {
        let now = self.0.clock.now().mono;
        let needed = self
            .0
            .with_state(|state| state.live_instances() > 0 || state.servers.iter().any(|server| server.waiting > 0));
        if needed {
            self.0.someone_is_here(now);
            return now;
        }
        *self.0.last_used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
