//! What the keeper holds for the agent: the fallback policy for when no agent is there, and the
//! record from which a lost journal is made good.

use super::{engine::Core, ladder::Ladder};
use crate::model::{
    keeper::KeeperOrder,
    process::{FallbackPolicy, StopAction, StopStep},
};

/// The most that a keeper holds.
const MAX_RECORD: usize = 64 * 1024;

impl Core {
    /// Deposits what has changed.
    pub(super) fn say_to_keeper(&mut self) {
        if !self.keeper.connected {
            return;
        }
        let by_keeper = |step: &&StopStep| step.action != StopAction::Ask;
        let steps: Vec<_> = self.settings.stop_steps.iter().filter(by_keeper).cloned().collect();
        let policy = FallbackPolicy { total: Ladder::total(&steps), steps, unattended: self.settings.unattended };
        if self.last.fallback.as_ref() != Some(&policy) {
            self.last.fallback = Some(policy.clone());
            self.order(KeeperOrder::Fallback { policy });
        }
        let key = self.record_key();
        if self.last.record.as_ref() != Some(&key) {
            self.last.record = Some(key);
            let record = self.record();
            self.order(KeeperOrder::Record { text: record });
        }
    }

    /// What makes a new record worth depositing: another run, another phase, other ids.
    fn record_key(&self) -> String {
        let run = self.state.process.run();
        let game = self.state.phase.game().map(|game| (&game.session, &game.instance));
        let lanes: Vec<_> = self.state.lanes.iter().map(|lane| (&lane.instance, lane.is_posted())).collect();
        format!(
            "{:?} {:?} {:?} {game:?} {lanes:?}",
            self.state.phase.name(),
            run.map(|r| r.number),
            run.map(|r| r.ready)
        )
    }

    fn record(&self) -> String {
        let full = serde_json::to_string(&self.state).unwrap_or_default();
        if full.len() <= MAX_RECORD {
            return full;
        }
        let mut lean = self.state.clone();
        if let Some(run) = lean.process.run_mut() {
            run.spec = None;
            run.roster = super::players::Roster::default();
            run.custom.clear();
        }
        serde_json::to_string(&lean).ok().filter(|text| text.len() <= MAX_RECORD).unwrap_or_default()
    }
}
