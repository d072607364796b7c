//! What each order does.

use super::{
    Daemon,
    cgroup::Leaf,
    connections::Role,
    console::Console,
    exec::{self, ExecCommand},
    output::Drain,
    run::{Run, Spawned},
    spawn::{self, Stdio},
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
        process::{Containment, ExitReport, ExitStatus, KeeperHello, LaunchFile, LaunchSpec, RunState, Users},
    },
};
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    os::fd::OwnedFd,
    path::{Component, Path},
    time::Duration,
};

/// Done, or why not.
type Outcome = Result<(), String>;

impl Daemon {
    /// One line from one peer.
    pub(super) fn carry_out(&mut self, peer: u64, line: &[u8]) {
        let request: Request = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(error) => return self.not_understood(peer, line, &error),
        };
        let (re, name) = (request.id, request.order.name());
        let outcome = match (self.connections.role(peer), request.order) {
            (Some(Role::New), Order::Hello { versions, observe, epoch }) => {
                return self.hello(peer, re, &versions, observe, epoch);
            }
            (Some(Role::Controller | Role::Observer), Order::Stop) => {
                self.asked_to_stop();
                Ok(())
            }
            (Some(Role::Controller), Order::Stats) => return self.stats(peer, re),
            (Some(Role::Controller), Order::Listeners { want }) => self.listeners(peer, re, &want),
            (Some(Role::Controller), Order::Exec { argv, timeout_ms }) => {
                return self.exec(peer, re, &argv, Duration::from_millis(timeout_ms));
            }
            (Some(Role::Controller), order) => self.order(order),
            (Some(Role::Observer), _) => Err("an observer may only look, and stop".into()),
            (Some(Role::New), _) => Err("the first order is hello".into()),
            (None, _) => return,
        };
        match outcome {
            Ok(()) if name == "listeners" => {} // answered with the sockets
            Ok(()) => self.connections.answer(peer, Some(re), Event::Done, Vec::new()),
            Err(why) => self.refuse(peer, Some(re), name, why),
        }
        if name == "shutdown" && self.ending.is_some() {
            self.connections.flush();
        }
    }

    /// Orders that are answered with done or refused.
    fn order(&mut self, order: Order) -> Outcome {
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
                Some(live) => live.console.push(&line),
                None => Err(format!("run {run} isn't running")),
            },
            Order::ExitTaken { run } => {
                if self.store.untaken().is_some_and(|report| report.run == run) {
                    self.store.forget();
                }
                Ok(())
            }
            Order::Record { text } if text.len() > MAX_RECORD_BYTES => {
                Err(format!("an adoption record has at most {MAX_RECORD_BYTES} bytes, not {}", text.len()))
            }
            Order::Record { text } => {
                self.record = Some(text);
                Ok(())
            }
            Order::Fallback { policy } => {
                self.fallback = Some(policy);
                Ok(())
            }
            Order::Output { on } => {
                self.connections.output = on;
                Ok(())
            }
            Order::Shutdown if self.run.is_some() => Err("the game still runs; stop it first".into()),
            Order::Shutdown => {
                self.end(exit::ORDERLY);
                Ok(())
            }
            Order::Hello { .. } => Err("hello was said already".into()),
            Order::Stop | Order::Stats | Order::Listeners { .. } | Order::Exec { .. } => Ok(()),
        }
    }

    fn refuse(&mut self, peer: u64, re: Option<u64>, order: &str, why: String) {
        self.connections.answer(peer, re, Event::Refused { order: order.to_owned(), why }, Vec::new());
    }

    /// A newer agent's order, or nonsense: refused, and on we go.
    fn not_understood(&mut self, peer: u64, line: &[u8], error: &serde_json::Error) {
        let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
        let (re, order) = (value["id"].as_u64(), value["op"].as_str().unwrap_or("?").to_owned());
        self.refuse(peer, re, &order, format!("this keeper doesn't understand it: {error}"));
    }

    fn hello(&mut self, peer: u64, re: u64, versions: &[u32], observe: bool, epoch: Option<u64>) {
        let Some(version) = VERSIONS.iter().copied().find(|version| versions.contains(version)) else {
            self.connections.answer(peer, Some(re), Event::Incompatible { versions: VERSIONS.to_vec() }, Vec::new());
            return self.connections.drop_peer(peer);
        };
        if !observe && !self.connections.may_control(peer) {
            let why = format!("only uid {} may control this keeper; you may observe", self.identity.agent_uid);
            self.refuse(peer, Some(re), "hello", why);
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

    /// Who we are and what we hold.
    fn account(&self) -> KeeperHello {
        let run = match (&self.run, self.unkillable, self.store.untaken()) {
            (Some(run), ..) => RunState::Running { run: run.number, pid: run.pid, started: run.started },
            (None, Some((run, left)), _) => RunState::Unkillable { run, left },
            (None, None, Some(report)) => RunState::Exited { report: report.clone() },
            (None, None, None) => RunState::Empty,
        };
        let own = rustix::process::geteuid().as_raw();
        let game = self.identity.account.as_ref().map_or(own, |account| account.uid);
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
            users: Some(Users { keeper: own, game }),
        }
    }

    /// Idempotent: the same number again says again what became of it.
    fn start(&mut self, run: RunNumber, spec: Box<LaunchSpec>) -> Outcome {
        if let Some((number, left)) = self.unkillable {
            return Err(format!("{left} processes of run {number} can't be killed; nothing is started here any more"));
        }
        match (&self.run, self.store.untaken()) {
            (Some(live), _) if live.number == run => {
                if live.outcome.is_none() {
                    let event = Event::Started { run, pid: live.pid, started: live.started };
                    self.connections.tell(&event);
                }
                return Ok(());
            }
            (Some(live), _) => return Err(format!("run {} isn't over", live.number)),
            (None, Some(report)) if report.run == run => {
                let event = Event::Exited { report: report.clone() };
                self.connections.tell(&event);
                return Ok(());
            }
            (None, Some(report)) => return Err(format!("the exit of run {} isn't taken yet", report.run)),
            (None, None) if run <= self.last_run => return Err(format!("run {run} is over, and its exit was taken")),
            (None, None) => {}
        }
        if self.ending.is_some() || self.orphaned.is_asked() {
            return Err("the keeper was told to stop".into());
        }
        self.last_run = run;
        match self.begin(run, &spec) {
            Ok(begun) => {
                self.run = Some(Run::new(run, spec, begun));
                self.orphaned.run_began_or_ended(clock::mono());
            }
            Err(error) => {
                let at = clock::wall();
                let status = ExitStatus::SpawnFailed { error };
                let report = ExitReport {
                    run,
                    status,
                    started: at,
                    ended: at,
                    stopped_at_step: None,
                    stragglers: 0,
                    peak_memory: None,
                    core_path: None,
                };
                self.store.keep(report.clone());
                self.connections.tell(&Event::Exited { report });
            }
        }
        Ok(())
    }

    fn begin(&mut self, run: RunNumber, spec: &LaunchSpec) -> Result<Spawned, String> {
        let account = self.identity.account.as_ref();
        let plan = spawn::plan(&spec.argv, &spec.env, spec.dir.as_deref(), &self.settings, account)?;
        for file in spec.file.iter().chain(&spec.files) {
            self.write_file(file).map_err(|why| format!("writing {} for the game: {why}", file.path))?;
        }
        let leaf = self.leaf(&run.to_string())?;
        if let (Some(leaf), Some(bytes)) = (&leaf, self.settings.memory)
            && let Err(error) = leaf.limit_memory(bytes)
        {
            eprintln!("gameside-keeper: the game's memory can't be limited: {error}");
        }
        let pipes = || -> std::io::Result<_> { Ok((Console::pipe()?, Drain::pipe()?, Drain::pipe()?)) };
        let ((console, input), (out, output), (err, error)) =
            pipes().map_err(|error| format!("making pipes: {error}"))?;
        let stdio = Stdio { input, output, error };
        let (started, output_from) = (clock::wall(), self.log.end());
        let child = spawn::spawn(&plan, &stdio, leaf.as_ref(), &self.settings, account)
            .map_err(|error| format!("starting a process: {error}"))?;
        Ok(Spawned {
            child,
            started,
            output_from,
            leaf,
            console,
            drains: vec![(Stream::Stdout, out), (Stream::Stderr, err)],
        })
    }

    fn leaf(&self, name: &str) -> Result<Option<Leaf>, String> {
        self.cgroups
            .as_ref()
            .map(|cgroups| cgroups.leaf(name))
            .transpose()
            .map_err(|why| format!("making a cgroup: {why}"))
    }

    /// Into `game/`, under a temporary name first; nothing of the path may be a link.
    fn write_file(&self, file: &LaunchFile) -> Outcome {
        let path = Path::new(&file.path);
        let game = self.settings.dir.join(names::GAME);
        let below = path.strip_prefix(&game).or_else(|_| path.strip_prefix(names::GAME)).ok();
        let name = below.and_then(|below| match below.components().collect::<Vec<_>>()[..] {
            [Component::Normal(name)] => name.to_str(),
            _ => None,
        });
        let name = name.ok_or_else(|| format!("it must lie directly in {}", game.display()))?;
        if file.text.len() > MAX_FILE_BYTES {
            return Err(format!("it has more than {MAX_FILE_BYTES} bytes"));
        }
        let temporary = format!(".{name}.new");
        let write = || -> std::io::Result<()> {
            let _ = unlinkat(&self.store.game, &temporary, AtFlags::empty());
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mut target = File::from(openat(&self.store.game, &temporary, flags, Mode::from(0o644))?);
            target.write_all(file.text.as_bytes())?;
            renameat(&self.store.game, &temporary, &self.store.game, name)?;
            Ok(())
        };
        write().map_err(|error| error.to_string())
    }

    fn stats(&mut self, peer: u64, re: u64) {
        let stats = self.run.as_ref().map(|run| stats::of(run, &self.helpers()));
        let losses = Losses { log_bytes: self.log.lost(), lines: self.connections.lost_lines };
        self.connections.answer(peer, Some(re), Event::Stats { stats, losses }, Vec::new());
    }

    fn listeners(&mut self, peer: u64, re: u64, want: &[ListenerSpec]) -> Outcome {
        let within = self.identity.guarded.then_some(self.settings.dir.as_path());
        let sockets = self.held.get(want, within)?;
        let names = want.iter().map(|spec| spec.name.clone()).collect();
        self.connections.answer(peer, Some(re), Event::Listeners { names }, sockets);
        Ok(())
    }

    fn exec(&mut self, peer: u64, re: u64, argv: &[String], timeout: Duration) {
        match self.begin_exec(peer, re, argv, timeout.min(exec::MAX_TIME)) {
            Ok(command) => self.executed.push(command),
            Err(why) => {
                let result = ExecResult { status: ExecStatus::NotStarted(why), output: String::new() };
                self.connections.answer(peer, Some(re), Event::Exec { result }, Vec::new());
            }
        }
    }

    fn begin_exec(&mut self, peer: u64, re: u64, argv: &[String], timeout: Duration) -> Result<ExecCommand, String> {
        if self.executed.len() >= exec::MAX_COMMANDS {
            return Err(format!("{} commands run already", self.executed.len()));
        }
        let account = self.identity.account.as_ref();
        let (env, dir) =
            self.run.as_ref().map_or((BTreeMap::new(), None), |run| (run.spec.env.clone(), run.spec.dir.clone()));
        let plan = spawn::plan(argv, &env, dir.as_deref(), &self.settings, account)?;
        let failed = |error: std::io::Error| format!("starting a process: {error}");
        let leaf = self.leaf("probe")?;
        let (drain, output) = Drain::pipe().map_err(failed)?;
        let error = output.try_clone().map_err(failed)?;
        let input = OwnedFd::from(File::open("/dev/null").map_err(failed)?);
        let stdio = Stdio { input, output, error };
        let child = spawn::spawn(&plan, &stdio, leaf.as_ref(), &self.settings, account).map_err(failed)?;
        Ok(ExecCommand::new(peer, re, child, drain.pipe, clock::mono() + timeout))
    }
}
