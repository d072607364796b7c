//! What the keeper does without an agent: when it is told to stop, or when the game has been
//! unattended for too long.
//!
//! ```text
//!   told to stop ─► agent connected? ── yes ─► the agent is told, and decides; in the end it orders the shutdown
//!        │                                └─── it leaves, and isn't back within GRACE ─┐
//!        └─ none, and none within GRACE ───────────────────────────────────────────────┴─► fallback policy ─► exit ORPHANED
//!   unattended for too long ──────────────────────────────────────────────────────────────► fallback policy ─► exit ORPHANED
//! ```
//!
//! A stop sequence that has begun is carried out to its end, whoever connects meanwhile: the agent
//! learns of it in its hello.

use super::{Daemon, Instant, stop_sequence::StopSequence};
use crate::{
    host::clock,
    keeper::protocol::{Event, exit},
};
use std::time::Duration;

/// How long the keeper waits for an agent when one is needed.
const GRACE: Duration = Duration::from_secs(2);

/// Since when there is no agent, and what follows from it.
#[derive(Debug)]
pub(super) struct Orphaned {
    /// Since when no controller is connected.
    since: Option<Instant>,
    /// When we were asked to stop.
    asked: Option<Instant>,
    /// The fallback policy is being carried out.
    acting: bool,
    /// A controller has connected since the start.
    pub(super) met: bool,
}

/// How a stop is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    BySignal,
    /// By an order. To give it again is harmless.
    ToStop,
    ToHasten,
}

impl Orphaned {
    pub(super) fn new(now: Instant) -> Orphaned {
        Orphaned { since: Some(now), asked: None, acting: false, met: false }
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// How long ago we were asked to stop; no time, if we weren't.
    pub(super) fn asked_ago(&self) -> Duration {
        self.asked.map_or(Duration::ZERO, |asked| clock::mono().since(asked))
    }

    pub(super) fn controller_came(&mut self) {
        self.since = None;
        self.met = true;
    }

    /// The keeper could do nothing for so long: no agent could have come.
    pub(super) fn delay(&mut self, span: Duration) {
        self.since = self.since.map(|since| since + span);
    }

    /// Time without a run doesn't count as time unattended.
    pub(super) fn run_began_or_ended(&mut self, now: Instant) {
        self.since = self.since.map(|_| now);
    }
}

impl Daemon {
    /// SIGTERM, SIGINT, or `stop`. While the fallback policy is carried out, a further signal hastens it.
    pub(super) fn asked_to_stop(&mut self, how: Asked) {
        let now = clock::mono();
        let again = self.orphaned.asked.is_some_and(|asked| now.since(asked) > Duration::from_secs(1));
        let hasten = match how {
            Asked::BySignal => again,
            Asked::ToStop => false,
            Asked::ToHasten => true,
        };
        if hasten
            && self.orphaned.acting
            && let Some(sequence) = self.run.as_mut().and_then(|run| run.stop.as_mut())
        {
            sequence.hasten(now);
        }
        if self.orphaned.asked.is_none() {
            warn!("asked to stop");
            self.orphaned.asked = Some(now);
        }
        self.connections.tell(&Event::StopRequested);
    }

    /// When [`Daemon::act_orphaned`] wants to be called next.
    pub(super) fn orphaned_due(&self) -> Option<Instant> {
        let since = self.orphaned.since.filter(|_| self.ending.is_none() && !self.orphaned.acting)?;
        let grace = self.orphaned.asked.map(|asked| asked.max(since) + GRACE);
        let limit = if self.run.is_some() { self.policy().unattended } else { self.settings.idle };
        [grace, limit.map(|limit| since + limit)].into_iter().flatten().min()
    }

    pub(super) fn act_orphaned(&mut self, now: Instant) {
        match (self.connections.has_controller(), self.orphaned.since) {
            (true, _) => self.orphaned.since = None,
            (false, None) => self.orphaned.since = Some(now),
            (false, Some(_)) => {}
        }
        if self.orphaned_due().is_some_and(|due| now >= due) {
            self.orphaned.acting = true;
            let policy = self.policy();
            if let Some(run) = &mut self.run {
                warn!("no agent is connected; carrying out the fallback policy for run {}", run.number);
                self.orphaned.asked.get_or_insert(now);
                if !run.is_ending() {
                    run.stop = Some(StopSequence::new(&policy, now));
                }
            }
        }
        let orphaned = !self.connections.has_controller();
        if self.orphaned.acting && self.run.is_none() && self.ending.is_none() {
            if orphaned {
                self.end(if self.unkillable.is_some() { exit::UNKILLABLE } else { exit::ORPHANED });
            } else {
                self.orphaned.acting = false; // it has come back in time to take the report
            }
        }
    }
}
