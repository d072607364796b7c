//! The game's process while it lives: intent → commit → start → ready; how it is watched, failed and told things.
//!
//! A run that is no use (not ready in time, unhealthy, to be replaced by another launch) is *failing*: the ladder runs, and its end
//! is dealt with as any other ([`super::exits`]).

use super::{
    clock::{When, earliest},
    engine::Core,
    io::{Effect, Watch},
    ladder::Ladder,
    launch::{self, LaunchError, Values},
    lifecycle::rung,
    state::{Drain, Match, Phase, Process, Run},
};
use crate::model::{
    game::GameNotice, ids::RunNumber, keeper::KeeperOrder, policy::ReadyBy, process::LaunchSpec, time::Timestamp,
};
use std::time::Duration;

/// The reason of a run that was ended to make room for one with another launch; no failure.
pub(super) const REPLACED: &str = "another launch is wanted";

impl Core {
    /// Nothing stands in the way of a start.
    pub(super) fn may_start(&self) -> bool {
        self.keeper.connected && !self.leaving && !self.stranger && self.farewell.is_none()
    }

    fn values<'a>(&'a self, game: Option<&'a Match>) -> Values<'a> {
        let addresses = &self.settings.addresses;
        Values {
            name: &self.settings.name,
            host: addresses.public.as_deref().or(addresses.private.as_deref()),
            region: self.settings.session.region.as_deref(),
            params: game.map(|game| &game.params).or(self.settings.session.startup_params.as_ref()),
            session: game.map(|game| &game.session),
            instance: game.map(|game| &game.instance),
            allocation: game.map(|game| &game.allocation.allocation_id),
            join_token: game.and_then(|game| game.join_token.as_deref()),
        }
    }

    pub(super) fn render(&self, game: Option<&Match>) -> Result<LaunchSpec, LaunchError> {
        launch::render(&self.settings.launch, &self.values(game))
    }

    pub(super) fn launch(&mut self) {
        let spec = match self.render(self.state.phase.game()) {
            Ok(spec) => spec,
            Err(error) => {
                let why = format!("the game can't be started: {error}");
                self.happened("launch_failed", why.clone(), &[]);
                return self.give_up(&why, None);
            }
        };
        self.state.last_run += 1;
        let number = RunNumber(self.state.last_run);
        let program = spec.argv.first().cloned().unwrap_or_default();
        self.happened("starting", format!("starting {program} (run {number})"), &[("run", &number.to_string())]);
        self.state.process = Process::Intended(Box::new(Run::new(number, Some(spec.clone()))));
        self.journal.hold(Effect::Keeper(KeeperOrder::Start { run: number, spec: Box::new(spec) }));
    }

    /// A start that the keeper wasn't told of yet needn't happen.
    pub(super) fn take_back_start(&mut self) {
        let started = |effect: &Effect| matches!(effect, Effect::Keeper(KeeperOrder::Start { .. }));
        if self.journal.drop_held(started) && matches!(self.state.process, Process::Intended(_)) {
            self.state.process = Process::Off;
        }
    }

    /// The keeper has not heard of the run that the journal intends.
    pub(super) fn start_again(&mut self) {
        if self.is_closing() {
            self.take_back_start();
            self.state.process = Process::Off;
            return;
        }
        let Process::Intended(run) = &self.state.process else { return };
        let Some(spec) = run.spec.clone() else { return };
        let order = Effect::Keeper(KeeperOrder::Start { run: run.number, spec: Box::new(spec) });
        self.journal.drop_held(|effect| matches!(effect, Effect::Keeper(KeeperOrder::Start { .. })));
        self.journal.hold(order);
    }

    pub(super) fn started(&mut self, number: RunNumber, pid: i32, started: Timestamp) {
        let by = self.settings.readiness.timeout.get();
        match &mut self.state.process {
            Process::Intended(run) if run.number == number => {
                let mut run = run.clone();
                run.pid = Some(pid);
                run.started = Some(started);
                run.up = Some(self.now);
                run.ready_by = Some(self.now + by);
                let proved = run.proved.take();
                self.state.process = Process::Up(run);
                self.attend();
                if let Some(how) = proved {
                    self.ready(&how);
                }
            }
            Process::Up(run) | Process::Failing(run, ..) if run.number == number => run.pid = Some(pid),
            Process::Off
            | Process::Delayed { .. }
            | Process::Intended(_)
            | Process::Up(_)
            | Process::Failing(..)
            | Process::Unkillable { .. } => {}
        }
    }

    /// Has the run watched, from its start or from its adoption.
    pub(super) fn attend(&mut self) {
        let Some(run) = self.state.process.run().map(|run| run.number) else { return };
        let ports = self.settings.launch.ports.clone();
        self.effect(Effect::Watch(Watch::Run { run, ports }));
        self.health.new_run(self.now);
        self.health.process_is_up(self.settings.sdk_pings.as_ref(), self.now);
        self.next_stats = Some(self.now);
        self.tell_levels(run);
    }

    /// What is in force for a run that this life of the agent hasn't told anything yet.
    fn tell_levels(&mut self, run: RunNumber) {
        if self.last.told != Some(run) && !self.stranger {
            self.last.told = Some(run);
            self.tell_allocation();
            if let Phase::Draining(_, Drain { reason, deadline: Some(deadline), .. }) = &self.state.phase {
                self.tell(GameNotice::Drain { reason: reason.clone(), deadline: deadline.0 });
            }
            if self.is_closing() || matches!(self.state.process, Process::Failing(..)) {
                self.tell(GameNotice::Stop { within: Ladder::total(&self.settings.stop_steps) });
            }
        }
    }

    /// Readiness was proved. Of a run that the keeper hasn't told of yet, this is kept until it does.
    pub(super) fn ready(&mut self, how: &str) {
        let now = self.now;
        let run = match &mut self.state.process {
            Process::Up(run) if run.ready.is_none() => run,
            Process::Intended(run) => return run.proved = Some(how.to_owned()),
            Process::Off
            | Process::Delayed { .. }
            | Process::Up(_)
            | Process::Failing(..)
            | Process::Unkillable { .. } => return,
        };
        run.ready = Some(now);
        run.ready_by = None;
        let took = run.up.map_or(Duration::ZERO, |up| now.since(up));
        self.health.proved();
        self.happened("ready", format!("the game is ready after {} ms ({how})", took.as_millis()), &[("by", how)]);
    }

    pub(super) fn process_tick(&mut self) {
        match &self.state.process {
            Process::Delayed { until, .. } if self.now >= *until => self.state.process = Process::Off,
            Process::Up(run) if run.ready.is_none() => {
                let delay = self.settings.readiness.delay.get();
                let waited = run.up.is_some_and(|up| self.now >= up + delay);
                if self.settings.readiness.by == ReadyBy::Delay && waited {
                    self.ready("delay");
                } else if run.ready_by.is_some_and(|by| self.now >= by) && !self.is_closing() {
                    let span = self.settings.readiness.timeout;
                    self.fail(&format!("it did not get ready within {span}"));
                }
            }
            Process::Failing(..) if !self.is_closing() => self.failing_tick(),
            Process::Off
            | Process::Up(_)
            | Process::Delayed { .. }
            | Process::Failing(..)
            | Process::Intended(_)
            | Process::Unkillable { .. } => {}
        }
    }

    fn is_closing(&self) -> bool {
        matches!(self.state.phase, Phase::Closing(..))
    }

    /// The run is no use: the ladder, then the restart policy.
    pub(super) fn fail(&mut self, why: &str) {
        let Process::Up(run) = &self.state.process else { return };
        let ladder = Ladder::new(self.now, None);
        self.state.process = Process::Failing(run.clone(), ladder, why.to_owned());
        self.tell(GameNotice::Stop { within: Ladder::total(&self.settings.stop_steps) });
        self.happened("stopping", format!("stopping the game: {why}"), &[("reason", why)]);
    }

    fn failing_tick(&mut self) {
        let steps = self.settings.stop_steps.clone();
        let Process::Failing(run, ladder, _) = &mut self.state.process else { return };
        while let Some(action) = ladder.climb(&steps, self.now) {
            self.out.push(rung(run.number, action));
        }
    }

    pub(super) fn process_deadline(&self) -> Option<When> {
        match &self.state.process {
            Process::Delayed { until, .. } => Some(*until),
            Process::Up(run) if run.ready.is_none() => {
                let delay = self.settings.readiness.delay.get();
                let by_delay = run.up.map(|up| up + delay).filter(|_| self.settings.readiness.by == ReadyBy::Delay);
                earliest([by_delay, run.ready_by.filter(|_| !self.is_closing())])
            }
            Process::Failing(_, ladder, _) if !self.is_closing() => ladder.deadline(&self.settings.stop_steps),
            Process::Off
            | Process::Up(_)
            | Process::Intended(_)
            | Process::Failing(..)
            | Process::Unkillable { .. } => None,
        }
    }

    /// A game is already up when the match begins: it serves if it would be started just so.
    pub(super) fn meet_warm_game(&mut self) {
        let (Process::Up(run) | Process::Intended(run)) = &self.state.process else { return };
        let wanted = self.render(self.state.phase.game());
        let same = match (&run.spec, &wanted) {
            (Some(warm), Ok(wanted)) => launch::same_launch(warm, wanted),
            _ => false,
        };
        if same && matches!(self.state.process, Process::Up(_)) {
            self.tell_allocation();
        } else if !same {
            self.replace();
        }
    }

    fn replace(&mut self) {
        if let Process::Intended(run) = &self.state.process {
            // It may or may not have been started: the ladder settles it, once the keeper has said so.
            self.state.process = Process::Up(run.clone());
        }
        self.fail(REPLACED);
    }

    pub(super) fn tell_allocation(&mut self) {
        let Some(game) = self.state.phase.game() else { return };
        let told = GameNotice::Allocated {
            allocation: game.allocation.clone(),
            session_id: game.session.clone(),
            instance_id: game.instance.clone(),
            startup_params: game.params.clone(),
            join_token: game.join_token.clone(),
        };
        self.tell(told);
    }

    pub(super) fn tell(&mut self, notice: GameNotice) {
        if let Some(run) = self.state.process.run().map(|run| run.number) {
            self.effect(Effect::Notify { run, notice });
        }
    }

    /// The process is fit for another match.
    pub(super) fn may_reuse(&self) -> bool {
        let policy = &self.settings.recycle;
        let Process::Up(run) = &self.state.process else { return false };
        let young = policy.after.is_none_or(|age| run.up.is_some_and(|up| self.now.since(up) < age.get()));
        let small = policy.memory.is_none_or(|limit| self.stats.is_none_or(|stats| stats.memory < limit.0));
        let fresh = policy.after_matches == 0 || run.served + 1 < policy.after_matches;
        run.ready.is_some() && !run.orderly && young && small && fresh && !self.health.is_bad()
    }

    pub(super) fn stats_tick(&mut self) {
        const EVERY: Duration = Duration::from_secs(5);
        if self.next_stats.is_some_and(|at| self.now >= at) {
            let up = matches!(self.state.process, Process::Up(_)) && self.keeper.connected;
            if up {
                self.order(KeeperOrder::Stats);
            }
            self.next_stats = self.state.process.run().map(|_| self.now + EVERY);
        }
    }

    pub(super) fn stats_deadline(&self) -> Option<When> {
        self.next_stats
    }
}
