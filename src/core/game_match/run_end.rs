//! What follows the end of a run.
//!
//! | the run ended | in `Starting` or `Serving` |
//! |---|---|
//! | because we stopped it: not ready in time, unhealthy | a failure, whatever it says of its end |
//! | after it said `Shutdown` | orderly: the match is closed |
//! | exit 0 after it was ready, and not `restart = always`, nor a world | the match is closed |
//! | lost with its keeper | the match is closed |
//! | by the keeper's fallback policy, while no agent was there | ordered: the match is closed |
//! | before it began: the machine lacked something for it | started again after a delay; not counted |
//! | before it began: the keeper refused to start it | the match is closed; not counted |
//! | with a failure, within 30 s after its SDK gateway crashed | started again after a delay; not counted |
//! | as a launcher that left the game behind, or because it can't be started as it is configured | given up at once |
//! | otherwise, a world that has been up | started again after a delay, for ever |
//! | otherwise | started again after a delay, within the crash budget; else the match is closed |
//!
//! In `Idle` a warm game is started again after a delay; an end that it had announced is no
//! failure, one that it asked of us is. A word of the game that is overtaken by its exit still
//! counts while the restart is being waited for.

use super::{AfterDrain, GameMatch, MatchStage};
use crate::{
    core::{
        decisions::Decisions,
        facts::{Facts, Phase},
        process::RunEnd,
        signal::{Report, RunFailure, Signal},
    },
    model::{
        policy::{RestartWhen, Start},
        process::ExitStatus,
    },
};

impl GameMatch {
    pub(super) fn run_ended(&mut self, end: RunEnd, facts: &Facts, decisions: &mut Decisions) {
        match &self.state.stage {
            MatchStage::Closing(_, closing) => {
                let (reason, then) = (end.because(&closing.reason), closing.then.clone());
                self.close_match(&reason, then, Some(end.report), facts, decisions);
            }
            MatchStage::Draining(_, drain) => {
                let (reason, then) = (drain.reason.clone(), drain.then.clone());
                self.close_match(&reason, then, Some(end.report), facts, decisions);
            }
            MatchStage::Starting(_) | MatchStage::Serving(_) => self.ended_by_itself(end, facts, decisions),
            MatchStage::Idle if facts.phase() == Phase::FinalReports => {}
            MatchStage::Idle if facts.ending.shutting_down => {
                self.go_on(&end.status, AfterDrain::End, facts, decisions);
            }
            MatchStage::Idle => self.warm_game_ended(end, facts, decisions),
        }
    }

    fn ended_by_itself(&mut self, end: RunEnd, facts: &Facts, decisions: &mut Decisions) {
        if end.is_replacement() {
            return;
        }
        let close = |this: &mut Self, reason: &str, end: RunEnd, decisions: &mut Decisions| {
            this.close_match(reason, AfterDrain::Recycle, Some(end.report), facts, decisions);
        };
        if end.failing.is_some() {
            if let Some(game) = self.game() {
                let (instance, reason) = (game.instance.clone(), end.status.clone());
                decisions.signal(Signal::Report(Report::note(instance, "failed", reason, facts.wall)));
            }
        } else if end.announced {
            return close(self, "the game ended, as it had said", end, decisions);
        }
        if end.report.status == ExitStatus::Lost {
            return close(self, "the game was lost with its keeper", end, decisions);
        }
        if end.refused {
            let reason = format!("the keeper did not start the game: {}", end.status);
            return close(self, &reason, end, decisions);
        }
        if end.was_ordered() && end.failing.is_none() {
            let reason = end.because("the game was stopped while no agent was there");
            return close(self, &reason, end, decisions);
        }
        // A program that was no launcher before, and could be started, may be in the middle of an
        // update.
        let restarted = self.game().is_some_and(|game| game.restarts > 0);
        if let Some(why) = end.hopeless()
            && !(restarted && facts.goes_on_for_ever())
        {
            return self.give_up(why, Some(end.report), facts, decisions);
        }
        let success = end.is_success() && end.failing.is_none();
        if success && facts.restart_policy().when != RestartWhen::Always {
            return close(self, "the game ended by itself", end, decisions);
        }
        decisions.signal(Signal::RunFailed(Box::new(RunFailure { end, success })));
    }

    /// The run is started again, in the same match.
    pub(super) fn restarting(&mut self, facts: &Facts) {
        if self.game().is_none() {
            return;
        }
        if let Some(mut game) = self.take_game() {
            game.restarts += 1;
            self.enter(MatchStage::Starting(game), facts);
        }
    }

    /// A game that waits warm is started again.
    fn warm_game_ended(&mut self, end: RunEnd, facts: &Facts, decisions: &mut Decisions) {
        let cold = facts.settings.launch.start == Start::OnAllocation;
        if end.is_replacement() || cold {
            return;
        }
        if let Some(why) = end.hopeless() {
            return self.give_up(why, Some(end.report), facts, decisions);
        }
        let success = (end.announced || end.is_success() || end.was_ordered()) && end.failing.is_none();
        decisions.signal(Signal::RunFailed(Box::new(RunFailure { end, success })));
    }
}
