//! The keeper itself: one thread, one poll loop.
//!
//! ```text
//!                 ┌───────────── poll ─────────────┐
//!   signals ──────┤                                ├──► commands ──► run, exec, listeners, store
//!   socket, peers ┤   which is ready, what is due  ├──► run (reaped, outcome, stop sequence, kill)
//!   game's pipes ─┤                                ├──► output ──► log, agent
//!   deadlines ────┘                                └──► orphaned (fallback policy)
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `start` | from a command line to a running keeper |
//! | `settings`, `privileges` | its settings; the game's user, and how little of root is kept |
//! | `watcher` | its parent, which ends the game when the keeper is killed |
//! | `init` | the agent as a child, for containers |
//! | `directory`, `store` | the state directory, found once; lock, epoch, exit report |
//! | `presence` | lock and socket, taken back when somebody deletes them |
//! | `connections`, `commands`, `error` | connections and fencing; what each order does, and why it is refused |
//! | `run`, `stop_sequence` | one run, from fork to an empty containment |
//! | `spawn`, `process_tree`, `cgroup` | how a process starts; which processes belong to a run |
//! | `output`, `log`, `console` | its pipes |
//! | `last_lines` | what its end is reported with |
//! | `gateway` | the SDK gateway, a helper that serves what the game talks to |
//! | `exec`, `stats`, `listeners` | commands beside the game; figures; sockets held |
//! | `orphaned` | SIGTERM, and the time without an agent |
//! | `sys` | system calls that have no safe wrapper |
//!
//! Invariants:
//! - One game at a time: no start before the last run's containment is empty and its exit taken.
//! - An exit is on the disk before anybody is told.
//! - Nothing blocks: pipes and sockets are non-blocking, and the keeper waits only in `poll`. The
//!   one exception is the disk, when an exit is synced.
//! - Only this loop waits for children.

/// A line on standard error, which is the keeper's own log where it is detached. `eprintln!` would panic when the disk is full.
macro_rules! warn {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "gameside-keeper: {}", format_args!($($what)*));
    }};
}

mod cgroup;
mod commands;
mod connections;
mod console;
mod directory;
mod error;
mod exec;
mod gateway;
mod init;
mod last_lines;
mod listeners;
mod log;
mod orphaned;
mod output;
mod presence;
mod privileges;
mod process_tree;
mod run;
mod settings;
mod spawn;
mod start;
mod stats;
mod stop_sequence;
mod store;
mod sys;
mod watcher;

use super::protocol::{Event, names};
use crate::{
    host::{clock, socket},
    model::{ids::RunNumber, process::FallbackPolicy},
};
use cgroup::Cgroups;
use connections::Connections;
use exec::ExecCommand;
use gateway::Gateways;
use init::Runner;
use listeners::HeldSockets;
use log::Log;
use orphaned::{Asked, Orphaned};
use output::ReadOutcome;
use presence::Presence;
use privileges::Identity;
use run::{Run, RunStep};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::AsFd,
};
use settings::Settings;
use std::{
    ffi::{OsStr, OsString},
    io,
    os::fd::OwnedFd,
    process::ExitCode,
    time::Duration,
};
use store::Store;

pub(super) use crate::model::time::Instant;
pub(super) use process_tree::born;
pub(super) use store::left;

/// The signals that the loop reads.
const SIGNALS: [i32; 5] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];
/// Being later than this makes a gap.
const GAP: Duration = Duration::from_secs(2);
/// Bytes read at once.
const BUFFER: usize = 64 << 10;

/// See [`super::main`].
pub(super) fn main(args: Vec<OsString>) -> ExitCode {
    ExitCode::from(start::life(args))
}

/// Everything the keeper knows.
#[derive(Debug)]
pub(super) struct Daemon {
    settings: Settings,
    identity: Identity,
    store: Store,
    cgroups: Option<Cgroups>,
    server: OwnedFd,
    signals: OwnedFd,
    runner: Option<Runner>,
    presence: Presence,
    connections: Connections,
    run: Option<Run>,
    /// A run of which something can't be killed, and of how many processes. Never unset.
    unkillable: Option<(RunNumber, u32)>,
    /// The highest run number that was started.
    last_run: RunNumber,
    executed: Vec<ExecCommand>,
    /// Which cgroup the commands run in, see [`exec::leaf_name`].
    exec_leaf: u64,
    held: HeldSockets,
    gateways: Gateways,
    log: Log,
    record: Option<String>,
    fallback: Option<FallbackPolicy>,
    orphaned: Orphaned,
    /// The exit code to end with, and until when an agent that is our child may go on.
    ending: Option<(u8, Instant)>,
}

/// What a descriptor is for.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Server,
    Names,
    Connection(u64),
    Outcome,
    Output(usize),
    Console,
    Exec(usize),
    Runner,
    Gateway,
    GatewayOutcome,
}

impl Daemon {
    fn new(
        settings: Settings,
        identity: Identity,
        store: Store,
        cgroups: Option<Cgroups>,
        server: OwnedFd,
        signals: OwnedFd,
        runner: Option<Runner>,
    ) -> io::Result<Daemon> {
        let log = Log::new(store.logs.try_clone()?, settings.log_cap, settings.log_files);
        let last_run = store.untaken().map_or(RunNumber(0), |report| report.run);
        let presence = Presence::new(&store.dir, clock::mono());
        let gateways = Gateways::new(&settings, &identity);
        Ok(Daemon {
            settings,
            identity,
            store,
            cgroups,
            server,
            signals,
            runner,
            presence,
            connections: Connections::default(),
            run: None,
            unkillable: None,
            last_run,
            executed: Vec::new(),
            exec_leaf: 0,
            held: HeldSockets::default(),
            gateways,
            log,
            record: None,
            fallback: None,
            orphaned: Orphaned::new(clock::mono()),
            ending: None,
        })
    }

    /// Serves until the keeper ends; returns the exit code.
    fn run(&mut self) -> u8 {
        let mut buffer = vec![0; BUFFER];
        loop {
            let due = self.due();
            let ready = self.wait(due);
            if let Some(gap) = gap(due, clock::mono()) {
                warn!("this process stood still for {} s; that counts against no deadline", gap.as_secs());
                self.run.iter_mut().for_each(|run| run.delay(gap));
                self.orphaned.delay(gap);
            }
            for (source, events) in ready {
                self.serve(source, events, &mut buffer);
            }
            for (peer, line) in self.connections.lines() {
                self.carry_out(peer, &line);
            }
            self.advance(clock::mono(), &mut buffer);
            self.connections.flush();
            self.start_due_gateway();
            if let Some((code, until)) = self.ending
                && (self.runner.is_none() || clock::mono() >= until)
            {
                self.gateways.kill();
                let _ = socket::remove(&self.store.dir, OsStr::new(names::SOCKET));
                return code;
            }
        }
    }

    /// Waits until something is ready or due.
    fn wait(&self, due: Option<Instant>) -> Vec<(Source, PollFlags)> {
        let mut sources = Vec::with_capacity(16);
        let mut fds = Vec::with_capacity(16);
        let mut add = |source, fd, flags| {
            sources.push(source);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        add(Source::Signals, self.signals.as_fd(), PollFlags::IN);
        if self.connections.accepts(clock::mono()) {
            add(Source::Server, self.server.as_fd(), PollFlags::IN);
        }
        if let Some(events) = self.presence.events() {
            add(Source::Names, events.as_fd(), PollFlags::IN);
        }
        for (number, socket, writes) in self.connections.sockets() {
            add(
                Source::Connection(number),
                socket,
                if writes { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN },
            );
        }
        if let Some(run) = &self.run {
            if let Some(pipe) = &run.outcome {
                add(Source::Outcome, pipe.as_fd(), PollFlags::IN);
            }
            for (at, (_, output)) in run.outputs.iter().enumerate() {
                add(Source::Output(at), output.pipe.as_fd(), PollFlags::IN);
            }
            if let Some(pipe) = run.console.waiting() {
                add(Source::Console, pipe.as_fd(), PollFlags::OUT);
            }
        }
        for (at, command) in self.executed.iter().enumerate() {
            if let Some(pipe) = &command.pipe {
                add(Source::Exec(at), pipe.as_fd(), PollFlags::IN);
            }
        }
        if let Some(runner) = &self.runner {
            add(Source::Runner, runner.ends.as_fd(), PollFlags::IN);
        }
        if let Some(socket) = self.gateways.control() {
            add(Source::Gateway, socket.as_fd(), PollFlags::IN);
        }
        if let Some(pipe) = self.gateways.outcome() {
            add(Source::GatewayOutcome, pipe.as_fd(), PollFlags::IN);
        }
        let due = if self.connections.has_lines() { Some(clock::mono()) } else { due };
        let left = due.map(|due| due.since(clock::mono()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Vec::new();
        }
        sources.into_iter().zip(fds.iter().map(PollFd::revents)).filter(|(_, events)| !events.is_empty()).collect()
    }

    fn serve(&mut self, source: Source, events: PollFlags, buffer: &mut [u8]) {
        match source {
            Source::Signals => self.signalled(buffer),
            Source::Server => self.connections.accept(&self.server, self.identity.agent_uid, clock::mono()),
            Source::Names => self.presence.changed(clock::mono()),
            Source::Connection(number) if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) => {
                self.connections.read(number, buffer);
            }
            Source::Connection(_) => {} // written to at the end of the turn
            Source::Outcome => self.outcome(),
            Source::Output(at) => self.read_output(at, buffer),
            Source::Console => {
                if let Some(run) = &mut self.run {
                    run.console.flush();
                }
            }
            Source::Exec(at) => {
                if let Some(command) = self.executed.get_mut(at) {
                    command.pump(buffer);
                }
            }
            Source::Runner => self.agent_ended(),
            Source::Gateway => self.gateways.read(clock::mono()),
            Source::GatewayOutcome => self.gateway_outcome(),
        }
    }

    fn signalled(&mut self, buffer: &mut [u8]) {
        while let Some(signal) = sys::next_signal(&self.signals) {
            match signal {
                libc::SIGTERM | libc::SIGINT => self.asked_to_stop(Asked::BySignal),
                _ => {}
            }
        }
        while let Some(child) = sys::reap() {
            if let Some(command) = self.executed.iter_mut().find(|command| command.pid == child.pid) {
                command.ended(child.status);
            } else if self.runner.as_ref().is_some_and(|runner| runner.pid == child.pid) {
                self.agent_ended();
                self.runner_ended();
            } else if !self.gateway_reaped(&child)
                && let Some(run) = &mut self.run
            {
                run.reaped(&child);
                if child.pid == run.pid {
                    self.outcome();
                    self.executed.iter_mut().for_each(ExecCommand::kill);
                }
            }
        }
        self.answer_executed(buffer);
        self.check_run(buffer);
    }

    /// It has become known whether exec worked.
    fn outcome(&mut self) {
        if let Some(run) = &mut self.run
            && run.read_outcome()
        {
            let event = run.started_event();
            self.connections.tell(&event);
        }
    }

    fn read_output(&mut self, at: usize, buffer: &mut [u8]) {
        let Some(run) = &mut self.run else { return };
        let Some((stream, output)) = run.outputs.get_mut(at) else { return };
        let mut forwarder = self.connections.forwarder(run.number, *stream, &mut run.last_lines);
        let outcome = output.pump(buffer, &mut self.log, &mut forwarder);
        output.was_read(clock::mono());
        if outcome == ReadOutcome::Ended {
            // The positions that `wait` has handed out must stay valid in this round: `advance`
            // takes the pipe out.
            output.ended = true;
        }
    }

    /// A run is over when nothing of it lives. Then its gateway hands over its last words, and the end is written to the disk, and told.
    fn check_run(&mut self, buffer: &mut [u8]) {
        let (helpers, policy) = (self.helpers(), self.policy());
        let Some(run) = &mut self.run else { return };
        if run.ended.is_none() {
            if !run.is_over(&helpers, &policy, clock::mono()) {
                return;
            }
            run.ended = Some(clock::wall());
            if run.was_executed() {
                self.gateways.run_is_over(clock::mono());
            }
        }
        if !self.gateways.is_reading_out() {
            self.end_run(buffer);
        }
    }

    fn end_run(&mut self, buffer: &mut [u8]) {
        let Some(mut run) = self.run.take() else { return };
        for (stream, output) in &mut run.outputs {
            let mut forwarder = self.connections.forwarder(run.number, *stream, &mut run.last_lines);
            output.empty(buffer, &mut self.log, &mut forwarder);
        }
        let report = run.report(self.gateways.take_words());
        if let Some(leaf) = &run.leaf {
            leaf.remove();
        }
        self.store.keep(report.clone());
        self.connections.tell(&Event::Exited { report });
        self.orphaned.run_began_or_ended(clock::mono());
        self.replace_gateway();
    }

    fn answer_executed(&mut self, buffer: &mut [u8]) {
        for command in &mut self.executed {
            if let Some(result) = command.result(buffer) {
                self.connections.answer(command.peer, Some(command.re), Event::Exec { result }, Vec::new());
            }
        }
        let before = self.executed.len();
        self.executed.retain(|command| !command.is_answered());
        // Processes that commands left behind are killed with the last command; without cgroups
        // they end with the run.
        if before > 0
            && self.executed.is_empty()
            && let Some(cgroups) = &self.cgroups
        {
            if let Ok(leaf) = cgroups.leaf(&exec::leaf_name(self.exec_leaf)) {
                leaf.kill();
            }
            self.exec_leaf += 1;
            cgroups.remove_leaves(exec::LEAF);
        }
    }

    /// Our own children that belong to no run.
    fn helpers(&self) -> Vec<i32> {
        let runner = self.runner.iter().map(|runner| runner.pid);
        runner.chain(self.executed.iter().map(|command| command.pid)).chain(self.gateways.pids()).collect()
    }

    fn policy(&self) -> FallbackPolicy {
        self.fallback.clone().unwrap_or_else(|| stop_sequence::default_policy(self.settings.unattended))
    }

    /// Does what is due by the clock.
    fn advance(&mut self, now: Instant, buffer: &mut [u8]) {
        let helpers = self.helpers();
        if let Some(run) = &mut self.run {
            run.outputs.retain(|(_, output)| !output.ended);
            for (stream, output) in &mut run.outputs {
                output.show(
                    now,
                    &mut self.log,
                    &mut self.connections.forwarder(run.number, *stream, &mut run.last_lines),
                );
            }
            if run.ended.is_none()
                && let RunStep::Unkillable(left) = run.advance(now, &helpers, self.settings.last_deadline)
            {
                let number = run.number;
                self.run = None;
                self.unkillable = Some((number, left));
                self.connections.tell(&Event::Unkillable { run: number, left });
                self.replace_gateway();
            }
        }
        if let Some(event) = self.run.as_mut().and_then(Run::left_behind) {
            self.connections.tell(&event);
        }
        self.gateways.advance(now);
        if self.run.as_ref().is_some_and(|run| run.is_ending() || run.ended.is_some()) {
            self.check_run(buffer);
        }
        for command in self.executed.iter_mut().filter(|command| now >= command.deadline) {
            command.kill();
        }
        self.act_orphaned(now);
        self.keep_names(now);
    }

    fn due(&self) -> Option<Instant> {
        let run = self.run.as_ref().filter(|run| run.ended.is_none()).and_then(Run::due);
        let unfinished = self.run.iter().flat_map(|run| &run.outputs).filter_map(|(_, output)| output.due()).min();
        let probes = self.executed.iter().map(|command| command.deadline).min();
        let ending = self.ending.map(|(_, until)| until);
        let names = Some(self.presence.due());
        let accept = self.connections.accept_from().filter(|from| clock::mono() < *from);
        [run, unfinished, probes, ending, names, accept, self.orphaned_due(), self.gateways.due()]
            .into_iter()
            .flatten()
            .min()
    }
}

/// How long this process, or the machine, stood still beyond what was due: frozen, stopped or asleep.
fn gap(due: Option<Instant>, now: Instant) -> Option<Duration> {
    due.map(|due| now.since(due)).filter(|late| *late > GAP)
}

/// Waits until the descriptor can be read, or the time is up.
fn wait_for(fd: &OwnedFd, timeout: Option<Duration>) {
    let timeout = timeout.and_then(|span| Timespec::try_from(span).ok());
    let _ = poll(&mut [PollFd::new(fd, PollFlags::IN)], timeout.as_ref());
}

/// Waits for this long.
fn pause(span: Duration) {
    let _ = poll(&mut [], Timespec::try_from(span).ok().as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_time_behind_what_was_due() {
        let at = |seconds| Instant(Duration::from_secs(seconds));
        assert_eq!(gap(None, at(9000)), None);
        assert_eq!(gap(Some(at(10)), at(12)), None);
        assert_eq!(gap(Some(at(10)), at(70)), Some(Duration::from_secs(60)));
        assert_eq!(gap(Some(at(10)), at(5)), None);
    }
}
