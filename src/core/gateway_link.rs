//! The SDK gateway as the core knows it: which of its batches were applied, and whether it is
//! there.
//!
//! ```text
//!   batch k ──► applied = k ──► its events ──► something to remember has changed?
//!                                                 yes: recorded = k, in the same commit
//!                                                 no:  nothing is written
//! ```
//!
//! Invariants: the recorded number is that of the last batch whose effects are in the same text; a
//! batch that was applied is not applied again by this agent, and one that is recorded by no other
//! either. The next commit, whatever it is for, records the newest number. A batch that is not
//! recorded has changed nothing that is remembered, so that it does no harm if it comes again.

use super::{
    decisions::Decisions,
    facts::Facts,
    revision::{Revision, Tracked},
    steady_time::SteadyTime,
};
use crate::model::{
    game::{BatchId, GameBatch},
    gateway_facts::GatewayFact,
    status::GatewayStatus,
};
use std::time::Duration;

/// For so long an agent that takes a game over waits for what was said before it, and offers itself to nobody.
const CATCH_UP: Duration = Duration::from_secs(2);

/// What other machines know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct GatewayFacts {
    /// The game may have said something that this agent hasn't been told yet.
    pub owes: bool,
}

#[derive(Debug)]
pub(super) enum GatewayEvent {
    /// This batch is about to be applied.
    Batch(BatchId),
    /// The newest applied batch is written down.
    Record,
    /// Whether all that was applied is on disk.
    Written(bool),
    Fact(GatewayFact),
    /// The last words of a run that isn't known yet: the keeper's record may tell of it.
    Early(Box<GameBatch>),
    /// A run was taken over.
    RunAdopted,
    RunChanged,
    Tick,
}

#[derive(Debug, Default)]
pub(super) struct GatewayLink {
    applied: Option<BatchId>,
    recorded: Tracked<Option<BatchId>>,
    /// The last one whose effects are on disk.
    written: Option<BatchId>,
    /// What came before the keeper had introduced itself, and could not be applied.
    early: Option<Box<GameBatch>>,
    status: Tracked<Option<GatewayStatus>>,
    /// It has delivered what it owed.
    caught_up: bool,
    /// Until when what it owes is waited for.
    owes_until: Tracked<Option<SteadyTime>>,
}

impl GatewayLink {
    pub(super) fn restore(heard: Option<BatchId>) -> Self {
        let (applied, written) = (heard.clone(), heard.clone());
        GatewayLink { applied, written, recorded: Tracked::new(heard), ..GatewayLink::default() }
    }

    pub(super) fn recall(&mut self, heard: Option<BatchId>) {
        self.applied.clone_from(&heard);
        self.written.clone_from(&heard);
        *self.recorded.edit() = heard;
    }

    /// For the journal.
    pub(super) fn recorded(&self) -> Option<&BatchId> {
        self.recorded.as_ref()
    }

    /// The last batch that its gateway needn't keep.
    pub(super) fn written(&self) -> Option<&BatchId> {
        self.written.as_ref()
    }

    pub(super) fn has_applied(&self, batch: &BatchId) -> bool {
        self.applied.as_ref().is_some_and(|known| known.gateway == batch.gateway && batch.batch <= known.batch)
    }

    pub(super) fn take_early(&mut self) -> Option<Box<GameBatch>> {
        self.early.take()
    }

    pub(super) fn status(&self) -> Option<&GatewayStatus> {
        self.status.as_ref()
    }

    pub(super) fn revision(&self) -> Revision {
        let visible = self.status.changes() + self.owes_until.changes();
        Revision { durable: self.recorded.changes(), visible }
    }

    pub(super) fn facts(&self) -> GatewayFacts {
        GatewayFacts { owes: self.owes_until.is_some() }
    }

    pub(super) fn on(&mut self, event: GatewayEvent, facts: &Facts, decisions: &mut Decisions) {
        match event {
            GatewayEvent::Batch(batch) => self.applied = Some(batch),
            GatewayEvent::Record => self.recorded.set(self.applied.clone()),
            GatewayEvent::Written(true) => self.written.clone_from(&self.applied),
            GatewayEvent::Written(false) => {}
            GatewayEvent::Fact(fact) => self.learn(fact, facts, decisions),
            GatewayEvent::Early(batch) => self.early = Some(batch),
            GatewayEvent::RunAdopted => {
                if !self.caught_up {
                    self.owes_until.set(Some(facts.now + CATCH_UP));
                }
            }
            GatewayEvent::RunChanged => {
                self.applied = None;
                self.written = None;
                self.caught_up = false;
                self.owes_until.set(None);
                if self.status.as_ref().is_some_and(|gateway| !gateway.connected) {
                    self.status.set(None);
                }
            }
            GatewayEvent::Tick => {
                if self.owes_until.is_some_and(|until| facts.now >= until) {
                    self.owes_until.set(None);
                }
            }
        }
    }

    /// When [`GatewayEvent::Tick`] does something next.
    pub(super) fn next_deadline(&self) -> Option<SteadyTime> {
        *self.owes_until
    }

    fn learn(&mut self, fact: GatewayFact, facts: &Facts, decisions: &mut Decisions) {
        match fact {
            GatewayFact::Linked { pid, build, in_process } => {
                self.status.set(Some(GatewayStatus { pid, build, connected: true, in_process, memory: None }));
            }
            GatewayFact::Heard => {
                self.caught_up = true;
                self.owes_until.set(None);
            }
            GatewayFact::Lost { why } => {
                self.caught_up = false;
                let run = facts.process.run;
                let status = self.status.clone().filter(|_| run.is_some());
                self.status.set(status.map(|gateway| GatewayStatus { connected: false, ..gateway }));
                if let Some(run) = run {
                    let text = format!("the SDK gateway is gone: {why}");
                    decisions.timeline("gateway", text, &[("run", &run.to_string()), ("why", &why)]);
                }
            }
        }
    }
}
