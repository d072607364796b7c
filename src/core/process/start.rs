//! The start of a run: from the intent to the proof of readiness; or its adoption by another life
//! of the agent.

use super::{Process, ProcessMachine, Run, StartedRun};
use crate::{
    core::{
        decisions::Decisions,
        facts::Facts,
        game_match::MatchPhase,
        io::{Effect, Watch},
        signal::Signal,
        stop_sequence::StopSequence,
    },
    model::{
        game::{EventSource, GameNotice},
        ids::RunNumber,
        keeper::KeeperOrder,
        policy::ReadyBy,
        process::{LaunchSpec, OutputRead},
        time::Timestamp,
    },
};
use std::time::Duration;

impl ProcessMachine {
    pub(super) fn intend(&mut self, spec: LaunchSpec, facts: &Facts, decisions: &mut Decisions) {
        let number = RunNumber(self.state.last_run + 1);
        let program = spec.argv.first().cloned().unwrap_or_default();
        decisions.timeline("starting", format!("starting {program} (run {number})"), &[("run", &number.to_string())]);
        self.stopping_since = None;
        let state = self.state.edit();
        state.last_run = number.0;
        let mut run = Run::new(number, Some(spec.clone()));
        run.ready_by = Some(facts.now + facts.settings.readiness.timeout.get());
        state.process = Process::Intended(Box::new(run));
        decisions.after_commit(Effect::Keeper(KeeperOrder::Start { run: number, spec: Box::new(spec) }));
    }

    /// The order to start it has led to nothing in all the time that a start may take.
    pub(super) fn never_came_up(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let Process::Intended(run) = &self.state.process else { return };
        let (run, span) = (run.clone(), facts.settings.readiness.timeout);
        if decisions.withdraw_start() {
            let why = format!("the journal could not be written within {span}, so it was not started");
            return self.start_refused(run.number, why, facts, decisions);
        }
        // The keeper may have started it: the stop sequence settles that.
        self.enter(Process::Up(run));
        self.useless(&format!("nothing was heard of its start within {span}"), facts, decisions);
    }

    pub(super) fn never_started(&mut self, facts: &Facts, decisions: &mut Decisions) {
        if facts.game.phase == MatchPhase::Closing {
            decisions.withdraw_start();
            return self.enter(Process::Off);
        }
        let Process::Intended(run) = &self.state.process else { return };
        let Some(spec) = run.spec.clone() else { return };
        decisions.withdraw_start();
        decisions.after_commit(Effect::Keeper(KeeperOrder::Start { run: run.number, spec: Box::new(spec) }));
    }

    pub(super) fn started(&mut self, theirs: StartedRun, facts: &Facts, decisions: &mut Decisions) {
        let StartedRun { number, pid, started, output_from } = theirs;
        match &self.state.process {
            Process::Intended(run) if run.number == number => {
                let mut run = run.clone();
                run.came_up(pid, started, facts.now);
                run.ready_by = Some(facts.now + facts.settings.readiness.timeout.get());
                run.output = output_from.map(|from| OutputRead { from, to: from });
                let proved = run.proved.take();
                self.enter(Process::Up(run));
                self.attend(facts, decisions);
                if let Some(how) = proved {
                    self.ready(&how, facts, decisions);
                }
            }
            Process::Up(run) | Process::Failing(run, ..) if run.number == number && run.pid != Some(pid) => {
                if let Some(run) = self.state.edit().process.run_mut() {
                    run.pid = Some(pid);
                }
            }
            Process::Off
            | Process::Delayed { .. }
            | Process::Intended(_)
            | Process::Up(_)
            | Process::Failing(..)
            | Process::Unkillable { .. } => {}
        }
    }

    pub(super) fn adopted(&mut self, number: RunNumber, pid: i32, facts: &Facts, decisions: &mut Decisions) {
        self.attend(facts, decisions);
        // Meanwhile nobody could hear that it is ready: it gets some time, whatever its deadline.
        let grace = facts.settings.readiness.timeout.get().min(Duration::from_secs(10));
        if self.state.process.run().is_some_and(|run| run.ready_by.is_some())
            && let Some(run) = self.state.edit().process.run_mut()
        {
            run.ready_by = run.ready_by.map(|at| at.max(facts.now + grace));
        }
        if self.state.process.run().is_some_and(|run| run.ready.is_some()) {
            decisions.signal(Signal::RunReady);
        }
        decisions.timeline("adopted", format!("took over run {number} (pid {pid})"), &[("run", &number.to_string())]);
    }

    /// A game runs that nothing explains: it is kept, and stopped only when somebody says so.
    pub(super) fn unexplained(
        &mut self,
        number: RunNumber,
        pid: i32,
        started: Timestamp,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        let mut run = Run::new(number, None);
        run.came_up(pid, started, facts.now);
        let state = self.state.edit();
        state.last_run = state.last_run.max(number.0);
        state.process = Process::Up(Box::new(run));
        let text = format!(
            "run {number} (pid {pid}) is known to no journal and no record; it is kept. `gameside stop` ends it"
        );
        decisions.timeline("stranger", text, &[("run", &number.to_string())]);
        self.attend(facts, decisions);
    }

    /// Has the run watched, from its start or from its adoption.
    fn attend(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let Some(run) = self.number() else { return };
        let output = self.output_of(run);
        decisions.effect(Effect::Watch(Watch::Run { run, ports: facts.settings.launch.ports.clone(), output }));
        self.next_stats = Some(facts.now);
        decisions.signal(Signal::RunAttended);
        self.tell_what_is_in_force(run, facts, decisions);
    }

    /// How far the run's output has been read.
    pub(in crate::core) fn output_of(&self, run: RunNumber) -> Option<OutputRead> {
        let newest = self.output.filter(|(of, _)| *of == run).map(|(_, read)| read);
        newest.or_else(|| self.state.process.run().filter(|known| known.number == run)?.output)
    }

    /// It is remembered with whatever that reading has changed. Where it begins is remembered at once.
    pub(super) fn output_read(&mut self, run: RunNumber, read: OutputRead) {
        let Some(known) = self.state.process.run().filter(|known| known.number == run) else { return };
        let first = known.output.is_none();
        self.output = Some((run, read));
        if first {
            self.record_output();
        }
    }

    pub(super) fn record_output(&mut self) {
        let Some((run, read)) = self.output.take() else { return };
        if self.state.process.run().is_some_and(|known| known.number == run && known.output != Some(read))
            && let Some(known) = self.state.edit().process.run_mut()
        {
            known.output = Some(read);
        }
    }

    /// Tells a run of its match, and of a drain or stop that is going on; once in each life of the agent.
    fn tell_what_is_in_force(&mut self, run: RunNumber, facts: &Facts, decisions: &mut Decisions) {
        if self.told == Some(run) || facts.keeper.runs_unexplained() {
            return;
        }
        self.told = Some(run);
        self.tell_allocation(facts, decisions);
        if let Some((reason, Some(deadline))) = &facts.game.drain {
            decisions.notify(run, GameNotice::Drain { reason: reason.clone(), deadline: deadline.0 });
        }
        let failing = matches!(self.state.process, Process::Failing(..));
        if facts.game.phase == MatchPhase::Closing || failing {
            decisions.notify(run, GameNotice::Stop { within: StopSequence::total(&facts.settings.stop_steps) });
        }
    }

    pub(super) fn tell_allocation(&mut self, facts: &Facts, decisions: &mut Decisions) {
        if let (Some(run), Some(game)) = (self.number(), &facts.game.game) {
            decisions.notify(run, game.allocated());
        }
    }

    /// What would have proved the run ready, and what came instead.
    pub(super) fn missing_proof(&self, facts: &Facts) -> String {
        let settings = &facts.settings;
        let run = self.number();
        let probed = self.not_yet.as_ref().filter(|(of, _)| Some(*of) == run).map(|(_, why)| why);
        let probe = |why: &String| format!("[probe] was waited for, and found last: {why}");
        let name = &settings.addresses.port;
        let port = settings.launch.ports.get(name).map_or_else(
            || format!("port {name:?} was waited for, which [game.ports] doesn't have"),
            |number| format!("port {number} ({name}) was waited for, and the game did not keep it bound"),
        );
        let speaks = facts.words.speaks.iter().filter_map(|source| match source {
            EventSource::Native => Some("Gameside's API"),
            EventSource::Agones => Some("the Agones SDK"),
            EventSource::Gsdk => Some("PlayFab's GSDK"),
            EventSource::Probe | EventSource::Log => None,
        });
        let speaks = speaks.collect::<Vec<_>>().join(", ");
        let sdk = if speaks.is_empty() {
            "it has spoken no SDK".to_owned()
        } else {
            format!("it speaks {speaks}, and has not said that it is ready")
        };
        match settings.readiness.by {
            ReadyBy::Sdk => format!("the word of an SDK was waited for; {sdk}"),
            ReadyBy::Probe => probed.map_or_else(|| "[probe] was waited for, and got no answer".to_owned(), probe),
            ReadyBy::Port => port,
            ReadyBy::Log => match &settings.readiness.pattern {
                Some(pattern) => format!("a line of its output that matches {pattern:?} was waited for"),
                None => "a line of its output that matches log_patterns.ready was waited for".to_owned(),
            },
            ReadyBy::Delay => "its delay was waited for".to_owned(),
            ReadyBy::Auto if !speaks.is_empty() => sdk,
            ReadyBy::Auto => format!("{sdk}, and {}", probed.map_or(port, probe)),
        }
    }

    /// Readiness was proved. Of a run that the keeper hasn't told of yet, this is kept until it does.
    pub(super) fn ready(&mut self, how: &str, facts: &Facts, decisions: &mut Decisions) {
        match &self.state.process {
            Process::Up(run) if run.ready.is_none() => {}
            Process::Intended(run) => {
                if run.proved.as_deref() != Some(how)
                    && let Some(run) = self.state.edit().process.run_mut()
                {
                    run.proved = Some(how.to_owned());
                }
                return;
            }
            Process::Off
            | Process::Delayed { .. }
            | Process::Up(_)
            | Process::Failing(..)
            | Process::Unkillable { .. } => return,
        }
        let Some(run) = self.state.edit().process.run_mut() else { return };
        run.ready = Some(facts.now);
        run.ready_by = None;
        let took = run.up.map_or(Duration::ZERO, |up| facts.now.since(up));
        decisions.signal(Signal::RunReady);
        decisions.timeline("ready", format!("the game is ready after {} ms ({how})", took.as_millis()), &[("by", how)]);
    }
}
