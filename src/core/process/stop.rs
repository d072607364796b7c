//! Stopping a run: because it is no use, because another launch is wanted, or because the match is
//! being closed.

use super::{Process, ProcessMachine, REPLACED};
use crate::{
    core::{decisions::Decisions, facts::Facts, game_match::MatchPhase, launch, stop_sequence::StopSequence},
    model::{
        game::GameNotice,
        ids::RunNumber,
        process::{ExitStatus, LAUNCHER, LAUNCHERS_TIME, LaunchSpec},
    },
};

impl ProcessMachine {
    /// The run is no use: the stop sequence, then the restart policy.
    pub(super) fn useless(&mut self, why: &str, facts: &Facts, decisions: &mut Decisions) {
        let Process::Up(run) = &self.state.process else { return };
        let number = run.number;
        let failing = Process::Failing(run.clone(), StopSequence::new(facts.now, None), why.to_owned());
        self.enter(failing);
        self.stopping_since = Some(facts.now);
        decisions.notify(number, GameNotice::Stop { within: StopSequence::total(&facts.settings.stop_steps) });
        decisions.timeline("stopping", format!("stopping the game: {why}"), &[("reason", why)]);
    }

    /// A launcher has ended and left the game behind, which the keeper is stopping: that is no end of a game.
    pub(super) fn left_behind(
        &mut self,
        number: RunNumber,
        status: &ExitStatus,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        let Process::Up(run) = &self.state.process else { return };
        let soon = run.up.is_none_or(|up| facts.now.since(up) < LAUNCHERS_TIME);
        let ending = matches!(facts.game.phase, MatchPhase::Draining | MatchPhase::Closing);
        let asked = ending || facts.words.announced_end;
        if run.number != number || !status.is_success() || asked || run.ready.is_some() && !soon {
            return;
        }
        let mut sequence = StopSequence::new(facts.now, None);
        // The keeper has taken the first step.
        sequence.next(&facts.settings.stop_steps, facts.now);
        let failing = Process::Failing(run.clone(), sequence, LAUNCHER.to_owned());
        self.enter(failing);
        self.stopping_since = Some(facts.now);
        decisions.timeline("launcher", LAUNCHER, &[("run", &number.to_string())]);
    }

    pub(super) fn stop_on(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let steps = &facts.settings.stop_steps;
        let due = |sequence: &StopSequence| sequence.deadline(steps).is_some_and(|at| facts.now >= at);
        if !matches!(&self.state.process, Process::Failing(_, sequence, _) if due(sequence)) {
            return;
        }
        let Process::Failing(run, sequence, _) = &mut self.state.edit().process else { return };
        while let Some(action) = sequence.next(steps, facts.now) {
            decisions.stop_step(run.number, action);
        }
    }

    /// The match is being closed, and its stop sequence ends the process.
    pub(super) fn stop_begun(&mut self, reason: &str, facts: &Facts, decisions: &mut Decisions) {
        self.take_back_start(decisions);
        self.stopping_since = Some(facts.now);
        if let Process::Up(run) | Process::Failing(run, ..) = &self.state.process {
            let within = StopSequence::total(&facts.settings.stop_steps);
            decisions.notify(run.number, GameNotice::Stop { within });
            decisions.timeline("stopping", format!("stopping the game: {reason}"), &[("reason", reason)]);
        }
        if let Process::Failing(run, ..) = &self.state.process {
            let up = Process::Up(run.clone());
            self.enter(up);
        }
    }

    /// A start that the keeper wasn't told of yet needn't happen.
    fn take_back_start(&mut self, decisions: &mut Decisions) {
        if decisions.withdraw_start() && matches!(self.state.process, Process::Intended(_)) {
            self.enter(Process::Off);
        }
    }

    /// A game is already up when the match begins: it serves if that is one of those it may serve.
    pub(super) fn meet_match(&mut self, wanted: &LaunchSpec, facts: &Facts, decisions: &mut Decisions) {
        let (Process::Up(run) | Process::Intended(run)) = &self.state.process else { return };
        let same = run.spec.as_ref().is_some_and(|warm| launch::may_serve(&facts.settings.launch, warm, wanted));
        if same && matches!(self.state.process, Process::Up(_)) {
            self.tell_allocation(facts, decisions);
        } else if !same {
            // An intended one may or may not have been started: the stop sequence settles it, once
            // the keeper has said so.
            let up = Process::Up(run.clone());
            self.enter(up);
            self.useless(REPLACED, facts, decisions);
        }
    }
}
