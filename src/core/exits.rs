//! The end of a run: exit → commit → taken; and what follows an end nobody asked for.
//!
//! | the run ended | in `Starting` or `Serving` |
//! |---|---|
//! | because we stopped it: not ready in time, unhealthy | a failure, whatever it says of its end |
//! | after it said `Shutdown` | orderly: the match is closed |
//! | exit 0 after it was ready, and not `restart = always` | the match is closed |
//! | lost with its keeper | the match is closed |
//! | otherwise | started again after a delay, within the crash budget; else the match is closed |
//!
//! In `Idle` a warm game is started again; an end that it had announced is no failure. A word of the game that is overtaken by its exit still counts while the
//! restart is being waited for.

use super::{
    engine::Core,
    io::{Effect, Watch},
    process::REPLACED,
    state::{Phase, Process, Run, Then},
};
use crate::model::{
    keeper::KeeperOrder,
    policy::{RestartWhen, Start},
    process::{ExitReport, ExitStatus},
};
use std::time::Duration;

/// What follows a run that ended without being asked to.
enum Next {
    Again { delay: Duration },
    NotAgain,
    Loop,
}

impl Core {
    /// A run of ours ended, and its containment is empty.
    pub(super) fn exited(&mut self, report: ExitReport) {
        let process = std::mem::replace(&mut self.state.process, Process::Off);
        let (run, why) = match process {
            Process::Intended(run) | Process::Up(run) => (run, None),
            Process::Failing(run, _, why) => (run, Some(why)),
            other @ (Process::Off | Process::Delayed { .. } | Process::Unkillable { .. }) => {
                self.state.process = other;
                return;
            }
        };
        self.journal.drop_held(|effect| matches!(effect, Effect::Keeper(KeeperOrder::Start { .. })));
        self.stranger = false;
        self.stats = None;
        self.next_stats = None;
        let how = describe(&report.status);
        let status = why.clone().map_or_else(|| how.clone(), |why| format!("{why}; {how}"));
        self.effect(Effect::Watch(Watch::Nothing));
        self.happened("exit", format!("the game ended: {how}"), &[("run", &report.run.to_string()), ("status", &how)]);
        self.journal.hold(Effect::ExitHook { report: report.clone(), reason: status.clone() });
        if report.status != ExitStatus::Lost {
            self.journal.hold(Effect::Keeper(KeeperOrder::ExitTaken { run: report.run }));
        }
        self.health.process_gone();
        self.after_exit(&run, why.as_deref(), &status, report);
    }

    fn after_exit(&mut self, run: &Run, failing: Option<&str>, status: &str, report: ExitReport) {
        match &self.state.phase {
            Phase::Closing(_, closing) => {
                let (reason, then) = (closing.reason.clone(), closing.then.clone());
                self.close_match(&reason, then, Some(report));
            }
            Phase::Draining(_, drain) => {
                let (reason, then) = (drain.reason.clone(), drain.then.clone());
                self.close_match(&reason, then, Some(report));
            }
            Phase::Starting(_) | Phase::Serving(_) => self.ended_by_itself(run, failing, status, report),
            Phase::Idle | Phase::Acquiring(_) if self.leaving => self.go_on(status, Then::End),
            Phase::Idle | Phase::Acquiring(_) => self.warm_ended(run, failing, status, report),
            Phase::Leaving(_) => {}
        }
    }

    fn ended_by_itself(&mut self, run: &Run, failing: Option<&str>, status: &str, report: ExitReport) {
        if failing == Some(REPLACED) {
            return;
        }
        if failing.is_some() {
            self.note("failed", status);
        } else if run.orderly {
            return self.close_match("the game ended, as it had said", Then::Recycle, Some(report));
        }
        let success = report.status.is_success() && run.ready.is_some() && failing.is_none();
        if report.status == ExitStatus::Lost {
            return self.close_match("the game was lost with its keeper", Then::Recycle, Some(report));
        }
        if success && self.settings.restart.when != RestartWhen::Always {
            return self.close_match("the game ended by itself", Then::Recycle, Some(report));
        }
        match self.book(run, success) {
            Next::Again { delay } => self.restart(run, failing, status, delay),
            Next::NotAgain => {
                let rest = self.settings.restart.delay.get();
                self.state.failures.rest_until = Some(self.now + rest);
                self.close_match(&format!("the game failed: {status}"), Then::Recycle, Some(report));
            }
            Next::Loop => {
                let count = self.state.failures.times.len();
                self.give_up(&format!("crash loop, {count} failures: {status}"), Some(report));
            }
        }
    }

    fn restart(&mut self, run: &Run, failing: Option<&str>, status: &str, delay: Duration) {
        let (until, after) = (self.now + delay, run.number);
        self.state.process = Process::Delayed { until, after, stopped: failing.is_some() };
        let text = format!("starting the game again in {} ms: {status}", delay.as_millis());
        self.happened("restart", text, &[("reason", status)]);
        if self.state.phase.game().is_none() {
            return;
        }
        if let Some(mut game) = self.state.phase.take_game() {
            game.restarts += 1;
            self.enter(Phase::Starting(game));
        }
    }

    fn warm_ended(&mut self, run: &Run, failing: Option<&str>, status: &str, report: ExitReport) {
        let idle_and_cold = self.settings.launch.start == Start::OnAllocation;
        if failing == Some(REPLACED) || idle_and_cold {
            return;
        }
        let meant = run.orderly || (report.status.is_success() && run.ready.is_some());
        let success = meant && failing.is_none();
        match self.book(run, success) {
            Next::Again { delay } => self.restart(run, failing, status, delay),
            Next::NotAgain => self.restart(run, failing, status, self.settings.restart.delay.get()),
            Next::Loop => self.give_up(&format!("crash loop of the warm game: {status}"), Some(report)),
        }
    }

    /// Writes the end into the crash book.
    fn book(&mut self, run: &Run, success: bool) -> Next {
        let policy = &self.settings.restart;
        let stable = run.up.is_some_and(|up| self.now.since(up) >= policy.stable_after.get());
        let failures = &mut self.state.failures;
        if stable {
            failures.backoff.reset();
        }
        failures.times.retain(|at| self.now.since(*at) < policy.window.get());
        if !success {
            failures.times.push(self.now);
            if policy.budget > 0 && failures.times.len() >= policy.budget as usize {
                return Next::Loop;
            }
        }
        let delay = failures.backoff.next(policy.delay.get(), policy.max_delay.get(), &mut self.jitter);
        match policy.when {
            RestartWhen::Never => Next::NotAgain,
            RestartWhen::OnFailure | RestartWhen::Always => Next::Again { delay },
        }
    }
}

/// An exit status in words.
fn describe(status: &ExitStatus) -> String {
    match status {
        ExitStatus::Exited { code } => format!("exit code {code}"),
        ExitStatus::Signaled { signal, core: false } => format!("signal {signal}"),
        ExitStatus::Signaled { signal, core: true } => format!("signal {signal}, core dumped"),
        ExitStatus::OomKilled => "out of memory".to_owned(),
        ExitStatus::SpawnFailed { error } => format!("it could not be started: {error}"),
        ExitStatus::Lost => "nobody knows how; its keeper is gone".to_owned(),
    }
}
