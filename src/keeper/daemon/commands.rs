//! What each order of an agent does.

use super::{
    Daemon,
    cgroup::Leaf,
    connections::Role,
    console::Console,
    error::{FileError, Refusal, SpawnError},
    exec::{self, ExecCommand},
    listeners::Places,
    orphaned::Asked,
    output::OutputPipe,
    run::{Run, Spawned},
    spawn::{self, Confinement, Stdio},
    stats,
};
use crate::{
    host::clock,
    keeper::protocol::{
        Event, ExecResult, ExecStatus, ListenerSpec, Losses, MAX_FILE_BYTES, MAX_RECORD_BYTES, Order, Request, Stream,
        VERSIONS, exit, names,
    },
    model::{
        ids::RunNumber,
        keeper::Forward,
        process::{Containment, ExitReport, ExitStatus, KeeperHello, LaunchFile, LaunchSpec, RunState, Users},
    },
};
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    path::{Component, Path},
    time::Duration,
};

impl Daemon {
    /// One line from one peer.
    pub(super) fn carry_out(&mut self, peer: u64, line: &[u8]) {
        let request: Request = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(error) => return self.not_understood(peer, line, error),
        };
        let (re, name) = (request.id, request.order.name());
        let outcome = match (self.connections.role(peer), request.order) {
            (Some(Role::New), Order::Hello { versions, observe, epoch }) => {
                return self.hello(peer, re, &versions, observe, epoch);
            }
            (Some(Role::Controller | Role::Observer), Order::Stop { now }) => {
                self.asked_to_stop(if now { Asked::ToHasten } else { Asked::ToStop });
                Ok(())
            }
            (Some(Role::Controller), Order::Stats) => return self.stats(peer, re),
            (Some(Role::Controller), Order::Listeners { want }) => self.listeners(peer, re, &want),
            (Some(Role::Controller), Order::Gateway) => return self.gateway(peer, re),
            (Some(Role::Controller), Order::Exec { argv, timeout_ms }) => {
                return self.exec(peer, re, &argv, Duration::from_millis(timeout_ms));
            }
            (Some(Role::Controller), order) => self.order(order),
            (Some(Role::Observer), _) => Err(Refusal::Observer),
            (Some(Role::New), _) => Err(Refusal::NoHello),
            (None, _) => return,
        };
        match outcome {
            Ok(()) if name == "listeners" => {} // answered with the sockets
            Ok(()) => self.connections.answer(peer, Some(re), Event::Done, Vec::new()),
            Err(why) => self.refuse(peer, Some(re), name, &why),
        }
        if name == "shutdown" && self.ending.is_some() {
            self.connections.flush();
        }
    }

    /// Orders that are answered with done or refused.
    fn order(&mut self, order: Order) -> Result<(), Refusal> {
        match order {
            Order::Start { run, spec } => self.start(run, spec),
            Order::Signal { run, signal } => {
                let helpers = self.helpers();
                if let Some(live) = self.run.as_ref().filter(|live| live.number == run) {
                    live.signal(signal, &helpers);
                }
                Ok(())
            }
            Order::Kill { run } => {
                if let Some(live) = self.run.as_mut().filter(|live| live.number == run) {
                    live.kill(self.settings.last_deadline, clock::mono());
                }
                Ok(())
            }
            Order::Stdin { run, line } => match self.run.as_mut().filter(|live| live.number == run) {
                Some(live) => Ok(live.console.push(&line)?),
                None => Err(Refusal::NotRunning(run)),
            },
            Order::ExitTaken { run } => {
                if self.store.untaken().is_some_and(|report| report.run == run) {
                    self.store.forget();
                }
                Ok(())
            }
            Order::Record { text } if text.len() > MAX_RECORD_BYTES => Err(Refusal::RecordTooLong(text.len())),
            Order::Record { text } => {
                self.record = Some(text);
                Ok(())
            }
            Order::Fallback { policy } => {
                self.fallback = Some(policy);
                Ok(())
            }
            Order::Output { on, kept } => {
                self.connections.output = Forward::ordered(on, kept);
                Ok(())
            }
            Order::Shutdown if self.run.is_some() => Err(Refusal::GameRuns),
            Order::Shutdown => {
                self.end(exit::ORDERLY);
                Ok(())
            }
            Order::Hello { .. } => Err(Refusal::SecondHello),
            Order::Stop { .. } | Order::Stats | Order::Listeners { .. } | Order::Gateway | Order::Exec { .. } => Ok(()),
        }
    }

    pub(super) fn refuse(&mut self, peer: u64, re: Option<u64>, order: &str, why: &Refusal) {
        let event = Event::Refused { order: order.to_owned(), why: why.to_string() };
        self.connections.answer(peer, re, event, Vec::new());
    }

    /// An order of a newer agent, or nonsense: it is refused, and the connection goes on.
    fn not_understood(&mut self, peer: u64, line: &[u8], error: serde_json::Error) {
        let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        let (re, order) = (value["id"].as_u64(), value["op"].as_str().unwrap_or("?").to_owned());
        self.refuse(peer, re, &order, &error.into());
    }

    fn hello(&mut self, peer: u64, re: u64, versions: &[u32], observe: bool, epoch: Option<u64>) {
        let Some(version) = VERSIONS.iter().copied().find(|version| versions.contains(version)) else {
            self.connections.answer(peer, Some(re), Event::Incompatible { versions: VERSIONS.to_vec() }, Vec::new());
            return self.connections.drop_peer(peer);
        };
        if !observe && !self.connections.may_control(peer) {
            self.refuse(peer, Some(re), "hello", &Refusal::NotTheAgent(self.identity.agent_uid));
            return self.connections.drop_peer(peer);
        }
        if observe {
            self.connections.set_role(peer, Role::Observer);
        } else if epoch.is_some_and(|epoch| epoch < self.store.epoch()) {
            self.connections.answer(peer, Some(re), Event::Superseded, Vec::new());
            return self.connections.drop_peer(peer);
        } else {
            self.connections.set_controller(peer);
            self.store.next_epoch(epoch.unwrap_or(0));
            self.orphaned.controller_came();
        }
        let hello = Box::new(self.account());
        self.connections.answer(peer, Some(re), Event::Hello { version, hello }, Vec::new());
    }

    /// What hello is answered with: who we are and what we hold.
    fn account(&self) -> KeeperHello {
        let run = match (&self.run, self.unkillable, self.store.untaken()) {
            (Some(run), ..) => RunState::Running { run: run.number, pid: run.pid, started: run.started },
            (None, Some((run, left)), _) => RunState::Unkillable { run, left },
            (None, None, Some(report)) => RunState::Exited { report: report.clone() },
            (None, None, None) => RunState::Empty,
        };
        let own = rustix::process::geteuid().as_raw();
        let game = self.identity.account.as_ref().map_or(own, |account| account.uid);
        let gateways = self.identity.gateway.as_ref().map_or(own, |account| account.uid);
        let gateway = self.gateways.program().is_ok().then_some(gateways);
        KeeperHello {
            keeper: self.store.keeper.clone(),
            pid: std::process::id() as i32,
            epoch: self.store.epoch(),
            run,
            containment: if self.cgroups.is_some() { Containment::Cgroup } else { Containment::Subreaper },
            record: self.record.clone(),
            listeners: self.held.names(),
            stop_requested: self.orphaned.is_asked(),
            output_from: self.run.as_ref().and_then(|run| run.output_from),
            host_deadline: self.settings.host_deadline.map(|span| span.saturating_sub(self.orphaned.asked_ago())),
            users: Some(Users { keeper: own, game, agent: Some(self.identity.agent_uid), gateway }),
            gateway: gateway.is_some(),
        }
    }

    /// Idempotent: for a number that was started already, it only tells again what became of the run.
    fn start(&mut self, run: RunNumber, spec: Box<LaunchSpec>) -> Result<(), Refusal> {
        if let Some((number, left)) = self.unkillable {
            return Err(Refusal::Unkillable { run: number, left });
        }
        match (&self.run, self.store.untaken()) {
            (Some(live), _) if live.number == run => {
                if live.outcome.is_none() {
                    let event = live.started_event();
                    self.connections.tell(&event);
                }
                return Ok(());
            }
            (Some(live), _) => return Err(Refusal::RunLives(live.number)),
            (None, Some(report)) if report.run == run => {
                let event = Event::Exited { report: report.clone() };
                self.connections.tell(&event);
                return Ok(());
            }
            (None, Some(report)) => return Err(Refusal::ExitNotTaken(report.run)),
            (None, None) if run <= self.last_run => return Err(Refusal::RunIsOver(run)),
            (None, None) => {}
        }
        if self.ending.is_some() || self.orphaned.is_asked() {
            return Err(Refusal::Stopping);
        }
        self.last_run = run;
        match self.begin(run, &spec) {
            Ok(begun) => {
                self.run = Some(Run::new(run, spec, begun));
                self.orphaned.run_began_or_ended(clock::mono());
            }
            Err(error) => {
                let at = clock::wall();
                let shortage = error.shortage();
                let named = shortage.map_or_else(|| error.to_string(), |what| format!("{error}: {what}"));
                let status = ExitStatus::SpawnFailed { error: named };
                let (shortage, lasting) = (shortage.is_some(), error.is_lasting());
                let report = ExitReport { shortage, lasting, ..ExitReport::new(run, status, at, at) };
                self.store.keep(report.clone());
                self.connections.tell(&Event::Exited { report });
                self.replace_gateway();
            }
        }
        Ok(())
    }

    fn begin(&mut self, run: RunNumber, spec: &LaunchSpec) -> Result<Spawned, SpawnError> {
        let plan = spawn::plan(&spec.argv, &spec.env, spec.dir.as_deref(), &self.settings, &self.identity)?;
        for file in spec.file.iter().chain(&spec.files) {
            self.write_file(file).map_err(|why| SpawnError::File { path: file.path.clone(), why })?;
        }
        let leaf = self.leaf(&run.to_string())?;
        if let (Some(leaf), Some(bytes)) = (&leaf, self.settings.memory)
            && let Err(error) = leaf.limit_memory(bytes)
        {
            warn!("the game's memory can't be limited: {error}");
        }
        let pipes = || -> std::io::Result<_> { Ok((Console::pipe()?, OutputPipe::pipe()?, OutputPipe::pipe()?)) };
        let ((console, input), (out, output), (err, error)) = pipes().map_err(SpawnError::Pipes)?;
        let stdio = Stdio { input, output, error, control: None };
        let (started, output_from) = (clock::wall(), self.log.end());
        let confinement = Confinement::of_game(leaf.as_ref(), &self.settings, &self.identity);
        let child = spawn::spawn(&plan, &stdio, &confinement).map_err(SpawnError::Fork)?;
        Ok(Spawned {
            child,
            started,
            output_from,
            leaf,
            console,
            outputs: vec![(Stream::Stdout, out), (Stream::Stderr, err)],
        })
    }

    fn leaf(&self, name: &str) -> Result<Option<Leaf>, SpawnError> {
        self.cgroups.as_ref().map(|cgroups| cgroups.leaf(name)).transpose().map_err(SpawnError::Cgroup)
    }

    /// Into `game/`, under a temporary name first; nothing of the path may be a link. Nobody but the game and we may read it: where the
    /// game has a user of its own, by that user's group.
    fn write_file(&self, file: &LaunchFile) -> Result<(), FileError> {
        let path = Path::new(&file.path);
        let game = self.settings.dir.join(names::GAME);
        let below = path.strip_prefix(&game).or_else(|_| path.strip_prefix(names::GAME)).ok();
        let name = below.and_then(|below| match below.components().collect::<Vec<_>>()[..] {
            [Component::Normal(name)] => name.to_str(),
            _ => None,
        });
        let name = name.ok_or(FileError::Outside(game))?;
        if file.text.len() > MAX_FILE_BYTES {
            return Err(FileError::TooLong);
        }
        let temporary = format!(".{name}.new");
        let _ = unlinkat(&self.store.game, &temporary, AtFlags::empty());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || openat(&self.store.game, &temporary, flags, Mode::from(0o640));
        let target = match &self.identity.account {
            Some(account) => super::sys::in_group(account.gid, create)?,
            None => openat(&self.store.game, &temporary, flags, Mode::from(0o600)),
        };
        let target = target.map_err(io::Error::from)?;
        File::from(target).write_all(file.text.as_bytes())?;
        renameat(&self.store.game, &temporary, &self.store.game, name).map_err(io::Error::from)?;
        Ok(())
    }

    fn stats(&mut self, peer: u64, re: u64) {
        let stats = self.run.as_ref().map(|run| stats::of(run, &self.helpers()));
        let losses = Losses { log_bytes: self.log.lost(), lines: self.connections.lost_lines };
        self.connections.answer(peer, Some(re), Event::Stats { stats, losses }, Vec::new());
    }

    fn listeners(&mut self, peer: u64, re: u64, want: &[ListenerSpec]) -> Result<(), Refusal> {
        let ours = [&self.store.dir, &self.store.game];
        let places = if self.identity.guarded { Places::In(&ours) } else { Places::Anywhere };
        let sockets = self.held.get(want, places)?;
        let names = want.iter().map(|spec| spec.name.clone()).collect();
        self.connections.answer(peer, Some(re), Event::Listeners { names }, sockets);
        Ok(())
    }

    fn exec(&mut self, peer: u64, re: u64, argv: &[String], timeout: Duration) {
        match self.begin_exec(peer, re, argv, timeout.min(exec::MAX_TIME)) {
            Ok(command) => self.executed.push(command),
            Err(why) => {
                let result = ExecResult { status: ExecStatus::NotStarted(why.to_string()), output: String::new() };
                self.connections.answer(peer, Some(re), Event::Exec { result }, Vec::new());
            }
        }
    }

    fn begin_exec(
        &mut self,
        peer: u64,
        re: u64,
        argv: &[String],
        timeout: Duration,
    ) -> Result<ExecCommand, SpawnError> {
        if self.executed.len() >= exec::MAX_COMMANDS {
            return Err(SpawnError::TooManyCommands(self.executed.len()));
        }
        let (env, dir) =
            self.run.as_ref().map_or((BTreeMap::new(), None), |run| (run.spec.env.clone(), run.spec.dir.clone()));
        let plan = spawn::plan(argv, &env, dir.as_deref(), &self.settings, &self.identity)?;
        let leaf = self.leaf(&exec::leaf_name(self.exec_leaf))?;
        let (reader, output) = OutputPipe::pipe().map_err(SpawnError::Pipes)?;
        let error = output.try_clone().map_err(SpawnError::Pipes)?;
        let input = OwnedFd::from(File::open("/dev/null").map_err(SpawnError::Pipes)?);
        let stdio = Stdio { input, output, error, control: None };
        let confinement = Confinement::of_game(leaf.as_ref(), &self.settings, &self.identity);
        let child = spawn::spawn(&plan, &stdio, &confinement).map_err(SpawnError::Fork)?;
        Ok(ExecCommand::new(peer, re, child, reader.pipe, clock::mono() + timeout))
    }
}
