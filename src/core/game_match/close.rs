//! The end of a match: the stop sequence, the last report, and what follows.

use super::{AfterDrain, Closing, GameMatch, MatchStage};
use crate::{
    core::{
        decisions::Decisions,
        facts::Facts,
        process::ProcessStatus,
        signal::{MatchClosed, Signal},
        steady_time::SteadyTime,
        stop_sequence::StopSequence,
    },
    model::{process::ExitReport, status::LastEnd},
};

impl GameMatch {
    /// Ends the process, unless it may serve another match; then the match is closed.
    pub(super) fn finish(&mut self, reason: &str, then: AfterDrain, facts: &Facts, decisions: &mut Decisions) {
        if then == AfterDrain::Recycle && !facts.ending.shutting_down && facts.may_serve_again() {
            decisions.signal(Signal::ProcessReused);
            return self.close_match(reason, then, None, facts, decisions);
        }
        self.stop_process(reason, then, None, facts, decisions);
    }

    /// The stop sequence begins.
    pub(super) fn stop_process(
        &mut self,
        reason: &str,
        then: AfterDrain,
        kill_by: Option<SteadyTime>,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        let game = self.take_game();
        let sequence = StopSequence::new(facts.now, kill_by);
        self.enter(MatchStage::Closing(game, Closing { reason: reason.to_owned(), then, sequence }), facts);
        decisions.signal(Signal::StopBegun { reason: reason.to_owned() });
    }

    pub(super) fn closing(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let steps = &facts.settings.stop_steps;
        let MatchStage::Closing(_, closing) = &self.state.stage else { return };
        let Some(run) = facts.process.run else {
            if matches!(facts.process.state, ProcessStatus::Off | ProcessStatus::Delayed) {
                let (reason, then) = (closing.reason.clone(), closing.then.clone());
                self.close_match(&reason, then, None, facts, decisions);
            }
            return;
        };
        if closing.sequence.deadline(steps).is_none_or(|at| facts.now < at) {
            return;
        }
        let MatchStage::Closing(_, closing) = &mut self.state.edit().stage else { return };
        while let Some(action) = closing.sequence.next(steps, facts.now) {
            decisions.stop_step(run, action);
        }
    }

    /// The terminal report, and what follows.
    pub(super) fn close_match(
        &mut self,
        reason: &str,
        then: AfterDrain,
        exit: Option<ExitReport>,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        if facts.allocation.acquiring.is_some() {
            decisions.signal(Signal::AllocationAbandoned);
        }
        decisions.signal(Signal::RestartCancelled);
        self.spec = None;
        if let Some(game) = self.take_game() {
            let (session, instance) = (game.session.clone(), game.instance.clone());
            self.state.edit().last_end = Some(LastEnd {
                session_id: Some(session.clone()),
                reason: reason.to_owned(),
                exit,
                at: facts.wall,
                reported: false,
            });
            let fields = [("session_id", session.as_str()), ("reason", reason)];
            decisions.timeline("closed", format!("the match is closed: {reason}"), &fields);
            decisions.signal(Signal::MatchClosed(MatchClosed { session, instance, reason: reason.to_owned() }));
            decisions.signal(Signal::SessionChanged);
        }
        self.go_on(reason, then, facts, decisions);
    }

    /// What follows a match, or an allocation that came to nothing.
    pub(super) fn go_on(&mut self, reason: &str, then: AfterDrain, facts: &Facts, decisions: &mut Decisions) {
        let limit = facts.settings.recycle.exit_after;
        let used_up = limit > 0 && self.state.matches >= u64::from(limit);
        let then = match then {
            AfterDrain::Recycle if facts.ending.shutting_down || used_up => AfterDrain::End,
            other @ (AfterDrain::Recycle | AfterDrain::End | AfterDrain::Fail { .. }) => other,
        };
        if then == AfterDrain::Recycle {
            decisions.timeline("recycled", "free for the next allocation", &[]);
            return self.enter(MatchStage::Idle, facts);
        }
        if facts.process.run.is_some() {
            decisions.signal(Signal::ShuttingDown);
            return self.stop_process(reason, then, None, facts, decisions);
        }
        self.enter(MatchStage::Idle, facts);
        decisions.signal(Signal::FinalReports { reason: reason.to_owned(), then });
    }

    /// A crash loop, or a start that can't succeed: an agent that only repeats the same ends; one that
    /// waits for the orders of others rests.
    pub(super) fn give_up(&mut self, why: &str, exit: Option<ExitReport>, facts: &Facts, decisions: &mut Decisions) {
        let then =
            if facts.settings.repeats() { AfterDrain::Fail { why: why.to_owned() } } else { AfterDrain::Recycle };
        decisions.signal(Signal::RestAfterFailure);
        self.close_match(why, then, exit, facts, decisions);
    }
}
