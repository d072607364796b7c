//! The end of a run, and whether the game is started again after it.

use super::{Process, ProcessMachine, RunEnd, state::describe};
use crate::{
    core::{
        crash_book::AfterFailure,
        decisions::Decisions,
        facts::Facts,
        io::{Effect, Watch},
        signal::{RunFailure, Signal},
    },
    model::{
        ids::RunNumber,
        keeper::KeeperOrder,
        process::{ExitReport, ExitStatus},
    },
};
use std::time::Duration;

impl ProcessMachine {
    /// A run of ours ended, and its containment is empty.
    pub(super) fn exited(&mut self, report: ExitReport, facts: &Facts, decisions: &mut Decisions) {
        let (run, failing) = match &self.state.process {
            Process::Intended(run) | Process::Up(run) => (run.as_ref().clone(), None),
            Process::Failing(run, _, why) => (run.as_ref().clone(), Some(why.clone())),
            Process::Off | Process::Delayed { .. } | Process::Unkillable { .. } => return,
        };
        self.enter(Process::Off);
        decisions.withdraw_start();
        self.stats.set(None);
        self.next_stats = None;
        let how = describe(&report.status);
        let status = failing.clone().map_or_else(|| how.clone(), |why| format!("{why}; {how}"));
        decisions.effect(Effect::Watch(Watch::Nothing));
        let fields = [("run", report.run.to_string()), ("status", how.clone())];
        let fields = [(fields[0].0, fields[0].1.as_str()), (fields[1].0, fields[1].1.as_str())];
        decisions.timeline("exit", format!("the game ended: {how}"), &fields);
        decisions.after_commit(Effect::ExitHook { report: report.clone(), reason: status.clone() });
        if report.status != ExitStatus::Lost {
            decisions.after_commit(Effect::Keeper(KeeperOrder::ExitTaken { run: report.run }));
        }
        let announced = facts.words.announced_end;
        decisions.signal(Signal::RunEnded(Box::new(RunEnd { run, failing, status, announced, report })));
    }

    pub(super) fn lost(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let Some(run) = self.state.process.run() else { return };
        let started = run.started.unwrap_or(facts.wall);
        let report = ExitReport::new(run.number, ExitStatus::Lost, started, facts.wall);
        self.exited(report, facts, decisions);
    }

    pub(super) fn unkillable(&mut self, run: RunNumber, left: u32, decisions: &mut Decisions) {
        if matches!(self.state.process, Process::Unkillable { .. }) {
            return;
        }
        self.enter(Process::Unkillable { run, left });
        let why = format!("{left} processes of run {run} can't be killed");
        decisions.timeline("unkillable", format!("{why}; nothing is started here again"), &[]);
        decisions.signal(Signal::Unkillable { why });
    }

    /// An end that nobody asked for: it is written into the crash book, which decides.
    pub(super) fn failed(&mut self, failure: RunFailure, facts: &Facts, decisions: &mut Decisions) {
        let RunFailure { end, success } = failure;
        let policy = &facts.settings.restart;
        let in_match = facts.game.game.is_some();
        let failures = &mut self.state.edit().failures;
        match failures.record(policy, end.run.up, success, facts.now, &mut decisions.jitter) {
            AfterFailure::Restart { delay } => self.restart(&end, delay, facts, decisions),
            AfterFailure::NoRestart if in_match => {
                self.rest(facts, policy.delay.get());
                decisions.signal(Signal::NotRestarted { status: end.status, report: Box::new(end.report) });
            }
            AfterFailure::NoRestart => self.restart(&end, policy.delay.get(), facts, decisions),
            AfterFailure::CrashLoop { failures } => {
                let why = if in_match {
                    format!("crash loop, {failures} failures: {}", end.status)
                } else {
                    format!("crash loop of the warm game: {}", end.status)
                };
                decisions.signal(Signal::CrashLoop { why, report: Box::new(end.report) });
            }
        }
    }

    fn restart(&mut self, end: &RunEnd, delay: Duration, facts: &Facts, decisions: &mut Decisions) {
        let (until, after) = (facts.now + delay, end.run.number);
        self.enter(Process::Delayed { until, after, stopped: end.failing.is_some() });
        let text = format!("starting the game again in {} ms: {}", delay.as_millis(), end.status);
        decisions.timeline("restart", text, &[("reason", &end.status)]);
        decisions.signal(Signal::Restarting);
    }

    pub(super) fn rest(&mut self, facts: &Facts, span: Duration) {
        self.state.edit().failures.rest_until = Some(facts.now + span);
    }

    /// `Shutdown` that arrives after the exit that it announced: the end was orderly after all.
    pub(super) fn late_end(&mut self, run: RunNumber, decisions: &mut Decisions) {
        if !matches!(self.state.process, Process::Delayed { after, stopped: false, .. } if after == run) {
            return;
        }
        let state = self.state.edit();
        if let Process::Delayed { stopped, .. } = &mut state.process {
            // It counts once.
            *stopped = true;
        }
        state.failures.times.pop();
        decisions.signal(Signal::EndWasAnnounced);
    }
}
