//! The end of a run, and whether the game is started again after it.

use super::{Process, ProcessMachine, REPLACED, RunEnd, state::describe};
use crate::{
    core::{
        crash_book::{AfterFailure, Counts},
        decisions::Decisions,
        facts::Facts,
        game_match::MatchPhase,
        io::{Effect, Watch},
        signal::{RunFailure, Signal},
    },
    model::{
        ids::RunNumber,
        keeper::KeeperOrder,
        process::{ExitReport, ExitStatus, killed_after},
        text::printable,
    },
};
use std::time::Duration;

/// An exit so soon after a crash of the SDK gateway is put down to that: it broke the game's streams.
const GATEWAY_CRASH: Duration = Duration::from_secs(30);

/// Whether the keeper refused to start the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Yes,
    No,
}

impl ProcessMachine {
    /// A run of ours ended, and its containment is empty.
    pub(super) fn exited(&mut self, report: ExitReport, facts: &Facts, decisions: &mut Decisions) {
        self.end(report, Refusal::No, facts, decisions);
    }

    /// The keeper won't start it. That is no failure of the game, and to ask again at once would be of no use.
    pub(super) fn start_refused(&mut self, run: RunNumber, why: String, facts: &Facts, decisions: &mut Decisions) {
        if !matches!(&self.state.process, Process::Intended(intended) if intended.number == run) {
            return;
        }
        let delay = self.state.edit().failures.delay(&facts.settings.restart, &mut decisions.jitter);
        self.rest(facts, delay);
        let status = ExitStatus::SpawnFailed { error: why };
        self.end(ExitReport::new(run, status, facts.wall, facts.wall), Refusal::Yes, facts, decisions);
    }

    fn end(&mut self, mut report: ExitReport, refusal: Refusal, facts: &Facts, decisions: &mut Decisions) {
        let (run, failing) = match &self.state.process {
            Process::Intended(run) | Process::Up(run) => (run.as_ref().clone(), None),
            Process::Failing(run, _, why) => (run.as_ref().clone(), Some(why.clone())),
            Process::Off | Process::Delayed { .. } | Process::Unkillable { .. } => return,
        };
        self.enter(Process::Off);
        decisions.withdraw_start();
        self.stats.set(None);
        self.next_stats = None;
        // They came as a batch.
        report.last_words = None;
        let stopped = failing.is_some() || facts.game.phase == MatchPhase::Closing || report.was_stopped();
        let took = self.stopping_since.take().map(|since| facts.now.since(since));
        let killed = (stopped && report.status.is_killed()).then(|| killed_after(took));
        let how = [Some(describe(&report.status)), killed.clone()];
        let how = how.into_iter().flatten().collect::<Vec<_>>().join("; ");
        let gateway_crash = gateway_crash(&report);
        let status = [failing.clone(), Some(how.clone()), gateway_crash.map(excuse)];
        let status = status.into_iter().flatten().collect::<Vec<_>>().join("; ");
        decisions.effect(Effect::Watch(Watch::Nothing));
        let fields = [("run", report.run.to_string()), ("status", how.clone())];
        let fields = [(fields[0].0, fields[0].1.as_str()), (fields[1].0, fields[1].1.as_str())];
        let failed = match failing.as_deref() {
            Some(why) => why != REPLACED,
            None => !stopped && (!report.status.is_success() || run.ready.is_none()),
        };
        let lines = if failed { &report.last_lines[..] } else { &[] };
        let text = if matches!(report.status, ExitStatus::SpawnFailed { .. }) {
            how.clone()
        } else if lines.is_empty() {
            format!("the game ended: {how}")
        } else {
            format!("the game ended: {how}; `gameside logs {}` shows more than these lines:", facts.settings.name)
        };
        decisions.timeline("exit", text, &fields);
        for line in lines {
            decisions.timeline("output", printable(line, line.len()), &[("run", &report.run.to_string())]);
        }
        decisions.after_commit(Effect::ExitHook { report: report.clone(), reason: status.clone() });
        if report.status != ExitStatus::Lost {
            decisions.after_commit(Effect::Keeper(KeeperOrder::ExitTaken { run: report.run }));
        }
        let announced = facts.words.announced_end;
        let refused = refusal == Refusal::Yes;
        let excused = gateway_crash.is_some() || refused || report.shortage;
        let end = RunEnd { run, failing, status, announced, excused, refused, killed, report };
        decisions.signal(Signal::RunEnded(Box::new(end)));
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

    /// An end that nobody asked for: the crash book decides what follows, and counts it if it is the game's own doing.
    pub(super) fn failed(&mut self, failure: RunFailure, facts: &Facts, decisions: &mut Decisions) {
        let RunFailure { end, success } = failure;
        let policy = &facts.restart_policy();
        let in_match = facts.game.game.is_some();
        let failures = &mut self.state.edit().failures;
        let (up, now) = (end.run.up, facts.now);
        let counts = if success || end.excused { Counts::No } else { Counts::Yes };
        match failures.record(policy, up, counts, now, &mut decisions.jitter) {
            AfterFailure::Restart { delay } => self.restart(&end, delay, counts, facts, decisions),
            AfterFailure::NoRestart if in_match => {
                self.rest(facts, policy.delay.get());
                decisions.signal(Signal::NotRestarted { status: end.status, report: Box::new(end.report) });
            }
            AfterFailure::NoRestart => self.restart(&end, policy.delay.get(), counts, facts, decisions),
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

    fn restart(&mut self, end: &RunEnd, delay: Duration, counts: Counts, facts: &Facts, decisions: &mut Decisions) {
        let (until, after) = (facts.now + delay, end.run.number);
        let (stopped, uncounted) = (end.failing.is_some(), counts == Counts::No);
        self.enter(Process::Delayed { until, after, stopped, uncounted });
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
        if let Process::Delayed { stopped, uncounted, .. } = &mut state.process {
            // It counts once.
            *stopped = true;
            if !*uncounted {
                state.failures.times.pop();
            }
        }
        decisions.signal(Signal::EndWasAnnounced);
    }
}

/// Why an end isn't put down to the game whose gateway crashed so long before.
fn excuse(before: Duration) -> String {
    let seconds = before.as_secs();
    format!("it ended {seconds} s after its SDK gateway crashed; that doesn't count as a crash of the game")
}

/// How long before its end the run's SDK gateway crashed, if the game may have ended because of that.
fn gateway_crash(report: &ExitReport) -> Option<Duration> {
    let crashed = report.gateway_ended.filter(|crashed| *crashed <= report.ended)?;
    let before = report.ended.since(crashed);
    (before <= GATEWAY_CRASH && !report.status.is_success()).then_some(before)
}
