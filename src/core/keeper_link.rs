//! What is known of the keeper, and what it holds for the agent: the fallback policy for when no
//! agent is there, and the adoption record, from which a lost journal is made good.

use super::{
    decisions::Decisions,
    facts::Facts,
    revision::{Revision, Tracked},
    stop_sequence::StopSequence,
};
use crate::model::{
    ids::KeeperId,
    keeper::KeeperOrder,
    process::{FallbackPolicy, KeeperHello, StopAction, StopStep},
};

/// So many former keepers are remembered: as many lives may follow one another without a registration of their own.
const MAX_FORMER: usize = 4;

/// How much of what runs here is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Recovery {
    /// The journal or the keeper's record explains everything.
    #[default]
    Done,
    /// The journal was unusable: the keeper's record counts, once it has said hello.
    JournalLost,
    /// A run that no record explains: kept, and left alone.
    UnknownRun,
}

/// What other machines know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct KeeperFacts {
    pub connected: bool,
    /// It has introduced itself to this agent.
    pub met: bool,
    pub recovery: Recovery,
}

impl KeeperFacts {
    pub(super) fn runs_unexplained(self) -> bool {
        self.recovery == Recovery::UnknownRun
    }
}

#[derive(Debug)]
pub(super) enum KeeperEvent {
    Met(Box<KeeperHello>),
    Away {
        why: String,
    },
    Recovery(Recovery),
    /// The run that nothing explained is over.
    RunEnded,
    /// The keeper was asked to stop, and passes that on; it counts from then on.
    StopRequested,
}

#[derive(Debug)]
pub(super) struct KeeperLink {
    /// The keeper that was last met.
    id: Tracked<Option<KeeperId>>,
    /// Those that were met before it, the latest first.
    former: Tracked<Vec<KeeperId>>,
    hello: Tracked<Option<KeeperHello>>,
    connected: Tracked<bool>,
    trouble: Tracked<Option<String>>,
    recovery: Tracked<Recovery>,
    stop_seen: bool,
    /// The key of the adoption record that the keeper has.
    recorded: Option<String>,
    /// The fallback policy that the keeper has.
    fallback: Option<FallbackPolicy>,
}

impl KeeperLink {
    pub(super) fn restore(id: Option<KeeperId>, former: Vec<KeeperId>, recovery: Recovery) -> Self {
        KeeperLink {
            id: Tracked::new(id),
            former: Tracked::new(former),
            hello: Tracked::new(None),
            connected: Tracked::new(false),
            trouble: Tracked::new(None),
            recovery: Tracked::new(recovery),
            stop_seen: false,
            recorded: None,
            fallback: None,
        }
    }

    pub(super) fn recall(&mut self, id: Option<KeeperId>, former: Vec<KeeperId>) {
        *self.id.edit() = id;
        *self.former.edit() = former;
    }

    pub(super) fn id(&self) -> Option<&KeeperId> {
        self.id.as_ref()
    }

    pub(super) fn former(&self) -> &[KeeperId] {
        &self.former
    }

    pub(super) fn hello(&self) -> Option<&KeeperHello> {
        self.hello.as_ref()
    }

    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// Whether the keeper has said that it was asked to stop.
    pub(super) fn stop_seen(&self) -> bool {
        self.stop_seen
    }

    pub(super) fn revision(&self) -> Revision {
        let visible =
            self.hello.changes() + self.connected.changes() + self.trouble.changes() + self.recovery.changes();
        Revision { durable: self.id.changes() + self.former.changes(), visible }
    }

    pub(super) fn facts(&self) -> KeeperFacts {
        KeeperFacts { connected: *self.connected, met: self.hello.is_some(), recovery: *self.recovery }
    }

    pub(super) fn on(&mut self, event: KeeperEvent, _facts: &Facts, decisions: &mut Decisions) {
        match event {
            KeeperEvent::Met(hello) => {
                self.meet(hello.keeper.clone());
                self.connected.set(true);
                self.trouble.set(None);
                *self.hello.edit() = Some(*hello);
                // What it was given last may not have arrived.
                self.recorded = None;
                self.fallback = None;
            }
            KeeperEvent::Away { why } => {
                if *self.connected {
                    decisions.timeline("keeper_away", format!("the keeper is away: {why}"), &[]);
                }
                self.connected.set(false);
                self.trouble.set(Some(why));
            }
            KeeperEvent::Recovery(recovery) => self.recovery.set(recovery),
            KeeperEvent::RunEnded => {
                if *self.recovery == Recovery::UnknownRun {
                    self.recovery.set(Recovery::Done);
                }
            }
            KeeperEvent::StopRequested => self.stop_seen = true,
        }
    }

    fn meet(&mut self, keeper: KeeperId) {
        if self.id.as_ref() == Some(&keeper) {
            return;
        }
        if let Some(before) = self.id.edit().replace(keeper) {
            let former = self.former.edit();
            former.insert(0, before);
            former.truncate(MAX_FORMER);
        }
    }

    /// Gives the keeper what has changed: the fallback policy, and the adoption record, which `record` writes. Another
    /// `key` than last time makes a new record worthwhile.
    pub(super) fn update(
        &mut self,
        facts: &Facts,
        decisions: &mut Decisions,
        key: String,
        record: impl FnOnce() -> String,
    ) {
        if !*self.connected {
            return;
        }
        let by_keeper = |step: &&StopStep| step.action != StopAction::Ask;
        let steps: Vec<_> = facts.settings.stop_steps.iter().filter(by_keeper).cloned().collect();
        let unattended = facts.settings.unattended;
        let policy = FallbackPolicy { total: StopSequence::total(&steps), steps, unattended };
        if self.fallback.as_ref() != Some(&policy) {
            self.fallback = Some(policy.clone());
            decisions.order(KeeperOrder::Fallback { policy });
        }
        if self.recorded.as_ref() != Some(&key) {
            self.recorded = Some(key);
            decisions.order(KeeperOrder::Record { text: record() });
        }
    }
}
