//! What the service manager (systemd) is told: that decisions are still made, that an orderly end
//! takes longer, and what the agent does.
//!
//! Invariant: without a service manager nothing is told, and nobody wakes up for it.

use crate::{
    host::notify,
    model::time::{Instant, Now},
};
use std::time::Duration;

/// While the agent ends, the service manager is asked for this much more time …
const EXTEND_BY: Duration = Duration::from_secs(60);
/// … this often.
const EXTEND_EVERY: Duration = Duration::from_secs(20);

/// When it is told what next, and what it was told last.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// None: no watchdog is configured.
    watchdog_due: Option<Instant>,
    extend_due: Instant,
    status_line: String,
}

impl Supervisor {
    pub(super) fn new(now: Now) -> Supervisor {
        let watchdog_due = notify::watchdog_interval().map(|every| now.mono + every);
        Supervisor { watchdog_due, extend_due: now.mono, status_line: String::new() }
    }

    /// When [`Supervisor::tick`] does something next. `ending`: the agent drains or closes.
    pub(super) fn next_deadline(&self, ending: bool) -> Option<Instant> {
        let extend = (ending && notify::is_supervised()).then_some(self.extend_due);
        [self.watchdog_due, extend].into_iter().flatten().min()
    }

    /// Says that decisions are still made, and that the end takes longer.
    pub(super) fn tick(&mut self, ending: bool, now: Now) {
        if let Some(every) = notify::watchdog_interval()
            && self.watchdog_due.is_some_and(|due| due <= now.mono)
        {
            notify::watchdog();
            self.watchdog_due = Some(now.mono + every);
        }
        if ending && notify::is_supervised() && self.extend_due <= now.mono {
            notify::extend_timeout(EXTEND_BY);
            self.extend_due = now.mono + EXTEND_EVERY;
        }
    }

    /// Says what the agent does, if that is another line than the last.
    pub(super) fn show(&mut self, line: String) {
        if line != self.status_line {
            notify::status(&line);
            self.status_line = line;
        }
    }
}
