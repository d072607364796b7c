//! A keeper in a directory of its own, and the wire by hand.

use crate::support::proc;
use gameside::{
    internals::keeper::protocol::{Event, Order, Reply, Request},
    model::{
        ids::RunNumber,
        process::{ExitReport, FallbackPolicy, KeeperHello, LaunchSpec, RunState, StopAction, StopStep},
    },
};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Everything that must happen happens within this.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_gameside-keeper");

/// One keeper, in the foreground; killed with all that is its own when dropped.
pub struct Keeper {
    pub dir: TempDir,
    args: Vec<String>,
    watcher: Option<Child>,
}

impl Keeper {
    pub fn start() -> Keeper {
        Keeper::start_with(&[])
    }

    pub fn start_with(args: &[&str]) -> Keeper {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut keeper = Keeper { dir: tempfile::tempdir().unwrap(), args, watcher: None };
        keeper.again();
        keeper
    }

    /// Starts one (again) in the same directory and waits until it stands.
    pub fn again(&mut self) {
        let mut command = Command::new(PROGRAM);
        command.arg("--dir").arg(self.dir.path()).args(&self.args).stdin(Stdio::null());
        self.watcher = Some(command.spawn().unwrap());
        let patience = Instant::now() + PATIENCE;
        while self.try_wire().is_none() {
            assert!(Instant::now() < patience, "the keeper doesn't stand");
            moment();
        }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn socket(&self) -> PathBuf {
        self.path().join("keeper.sock")
    }

    /// The keeper itself, not its watcher.
    pub fn pid(&self) -> u32 {
        std::fs::read_to_string(self.path().join("keeper.lock")).unwrap().trim().parse().unwrap()
    }

    fn try_wire(&self) -> Option<Wire> {
        UnixStream::connect(self.socket()).ok().map(Wire::new)
    }

    /// A connection that hasn't said anything yet.
    pub fn wire(&self) -> Wire {
        self.try_wire().expect("no keeper answers")
    }

    /// A controller.
    pub fn control(&self) -> (Wire, KeeperHello) {
        let mut wire = self.wire();
        let hello = wire.hello(None);
        (wire, hello)
    }

    pub fn signal(&self, signal: i32) {
        proc::signal(self.pid(), signal);
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let patience = Instant::now() + PATIENCE;
        loop {
            // Only a keeper that has ended is let go: should this fail, it is killed when dropped.
            if let Some(status) = self.watcher.as_mut().expect("it has ended before").try_wait().unwrap() {
                self.watcher = None;
                return status;
            }
            assert!(Instant::now() < patience, "the keeper doesn't end");
            moment();
        }
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path().join("logs/game.log")).unwrap()).into_owned()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            if watcher.try_wait().unwrap().is_none() {
                self.signal(9);
            }
            let _ = watcher.wait();
        }
    }
}

/// A stream whose reader keeps the descriptors that come along.
struct Socket {
    stream: UnixStream,
    fds: VecDeque<OwnedFd>,
}

impl Read for Socket {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(&self.stream, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        Ok(received.bytes)
    }
}

/// One connection.
pub struct Wire {
    reader: BufReader<Socket>,
    next: u64,
    /// Events that came while another was waited for.
    seen: VecDeque<Reply>,
}

impl Wire {
    fn new(socket: UnixStream) -> Wire {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let socket = Socket { stream: socket, fds: VecDeque::new() };
        Wire { reader: BufReader::new(socket), next: 0, seen: VecDeque::new() }
    }

    /// To a keeper that wasn't started by [`Keeper::start`].
    pub fn at(socket: &Path) -> Wire {
        until("the socket answers", || UnixStream::connect(socket).is_ok());
        Wire::new(UnixStream::connect(socket).unwrap())
    }

    pub fn line(&mut self, line: &str) {
        self.reader.get_mut().stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub fn send(&mut self, order: Order) -> u64 {
        self.next += 1;
        let line = serde_json::to_string(&Request { id: self.next, order }).unwrap();
        self.line(&line);
        self.next
    }

    fn read(&mut self) -> Option<Reply> {
        let mut line = String::new();
        let count = self.reader.read_line(&mut line).expect("the keeper says nothing");
        (count > 0).then(|| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// The first reply, seen or to come, that the closure wants.
    pub fn wait<T>(&mut self, what: &str, wanted: impl Fn(&Reply) -> Option<T>) -> T {
        if let Some(at) = self.seen.iter().position(|reply| wanted(reply).is_some()) {
            return wanted(&self.seen.remove(at).unwrap()).unwrap();
        }
        let patience = Instant::now() + PATIENCE;
        while let Some(reply) = self.read() {
            if let Some(found) = wanted(&reply) {
                return found;
            }
            self.seen.push_back(reply);
            assert!(Instant::now() < patience, "never came: {what}; but {:?}", self.seen);
        }
        panic!("the keeper hung up before: {what}; seen {:?}", self.seen);
    }

    /// Gives an order and returns its answer.
    pub fn ask(&mut self, order: Order) -> Event {
        let id = self.send(order);
        self.wait("an answer", |reply| (reply.re == Some(id)).then(|| reply.event.clone()))
    }

    pub fn done(&mut self, order: Order) {
        assert_eq!(self.ask(order), Event::Done);
    }

    pub fn refused(&mut self, order: Order) -> String {
        match self.ask(order) {
            Event::Refused { why, .. } => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    pub fn try_hello(&mut self, observe: bool, epoch: Option<u64>) -> Event {
        self.ask(Order::Hello { versions: vec![1], observe, epoch })
    }

    pub fn hello(&mut self, epoch: Option<u64>) -> KeeperHello {
        match self.try_hello(false, epoch) {
            Event::Hello { hello, .. } => *hello,
            other => panic!("no hello: {other:?}"),
        }
    }

    /// The next descriptor that came.
    pub fn descriptor(&mut self) -> OwnedFd {
        self.reader.get_mut().fds.pop_front().expect("a descriptor came along")
    }

    pub fn started(&mut self, run: u64) -> u32 {
        self.wait("started", |reply| match &reply.event {
            Event::Started { run: which, pid, .. } if which.0 == run => Some(*pid as u32),
            _ => None,
        })
    }

    pub fn exited(&mut self, run: u64) -> ExitReport {
        self.wait("exited", |reply| match &reply.event {
            Event::Exited { report } if report.run.0 == run => Some(report.clone()),
            _ => None,
        })
    }

    /// The next forwarded line that contains this.
    pub fn output(&mut self, text: &str) -> String {
        self.wait(text, |reply| match &reply.event {
            Event::Output { line, .. } if line.contains(text) => Some(line.clone()),
            _ => None,
        })
    }

    /// Starts a shell script as the game, with output forwarded.
    pub fn run(&mut self, run: u64, script: &str) -> u32 {
        self.done(Order::Output { on: true, kept: false });
        self.done(start(run, script));
        self.started(run)
    }

    /// Until the keeper hangs up.
    pub fn rest(mut self) -> Vec<Event> {
        let mut events: Vec<Event> = self.seen.drain(..).map(|reply| reply.event).collect();
        let mut text = String::new();
        let _ = self.reader.read_to_string(&mut text);
        events.extend(text.lines().filter_map(|line| Some(serde_json::from_str::<Reply>(line).ok()?.event)));
        events
    }
}

/// A shell script as the game.
pub fn spec(script: &str) -> LaunchSpec {
    LaunchSpec {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: [].into(),
        dir: None,
        file: None,
        files: Vec::new(),
        forking: false,
    }
}

pub fn start(run: u64, script: &str) -> Order {
    Order::Start { run: RunNumber(run), spec: Box::new(spec(script)) }
}

pub fn taken(run: u64) -> Order {
    Order::ExitTaken { run: RunNumber(run) }
}

/// SIGTERM, so long, SIGKILL.
pub fn policy(wait: Duration) -> FallbackPolicy {
    let steps = vec![StopStep { action: StopAction::Signal(15), wait }];
    FallbackPolicy { steps, total: Duration::from_secs(60), unattended: None }
}

pub fn running(hello: &KeeperHello) -> (u64, u32) {
    match hello.run {
        RunState::Running { run, pid, .. } => (run.0, pid as u32),
        ref other => panic!("not running: {other:?}"),
    }
}

/// A number that a script printed after `word`.
pub fn number(line: &str, word: &str) -> u32 {
    line.split(word).nth(1).unwrap().trim().parse().unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Waits for a condition that nothing announces.
pub fn until(what: &str, condition: impl Fn() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < patience, "never came true: {what}");
        moment();
    }
}

fn moment() {
    let span = rustix::event::Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
    let _ = rustix::event::poll(&mut [], Some(&span));
}

/// Copies a program without ever having it open for writing ourselves: a process that another test forks meanwhile would keep it
/// open, and nobody could start it ("Text file busy").
pub fn install(from: &Path, to: &Path) {
    assert!(Command::new("install").args(["-m", "755"]).arg(from).arg(to).status().unwrap().success());
}
