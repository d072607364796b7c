//! The practice game's loop: one thread polls the socket, the signals, the console and what the
//! agent says. It ticks only while somebody plays.

use super::{
    api::{
        follower::{self, AgentMessage},
        reporter::Reporter,
    },
    fault_injection::{self, Schedule},
    game::{Event, Game, JoinPolicy, Outcome},
    options::{Readiness, ServeOptions, Sigterm},
    wire::MAX_DATAGRAM,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    low_level::pipe,
};
use std::{
    fmt,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitCode,
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

const HEARTBEAT: Duration = Duration::from_secs(5);
/// Loading a map takes this long.
const LOAD: Duration = Duration::from_millis(50);
/// How long a game that ends waits for the agent to acknowledge its last statements.
const LAST_WORDS: Duration = Duration::from_millis(1500);
/// Datagrams handled before anything else has its turn.
const BURST: usize = 256;
const MAX_LINE: usize = 4096;

/// A line of the game's log. A log that nobody reads is no reason to end.
pub(crate) fn log(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

macro_rules! log {
    ($($text:tt)*) => { $crate::practice::server::log(format_args!($($text)*)) };
}

mod orders;

/// Why the loop ended.
enum LoopEnd {
    Asked(&'static str),
}

struct Server {
    options: ServeOptions,
    game: Game,
    socket: UdpSocket,
    reporter: Reporter,
    schedule: Schedule,
    started: Instant,
    /// Ready from then on; none = it is ready, or never will be.
    ready_at: Option<Duration>,
    next_heartbeat: Duration,
    next_tick: Option<Duration>,
    /// Ticks and time at the last report.
    counted: (u64, Duration),
    allocation: Option<String>,
    running: Option<(String, Duration)>,
    draining: bool,
}

/// What the loop waits on.
struct Sources {
    signals: UnixStream,
    wake: UnixStream,
    followed: Receiver<AgentMessage>,
    stdin: Option<io::Stdin>,
    line: Vec<u8>,
}

/// Runs a server until it is told to end.
pub(crate) fn serve(mut options: ServeOptions) -> ExitCode {
    for strange in options.faults.apply_misc(&options.misc) {
        log!("misc: passing over {strange:?}");
    }
    match fault_injection::at_start(&options.faults) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(error) => log!("can't do what I was told to do wrong: {error}"),
    }
    if let Some(code) = options.faults.exit_during_start {
        log!("ending during the start with code {code}");
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let (bind, port) = (options.bind, options.port);
    let ready = Sources::new().and_then(|(sources, wake)| Server::new(options, wake, sources));
    match ready.and_then(|(mut server, mut sources)| server.run(&mut sources)) {
        Ok(LoopEnd::Asked(why)) => {
            log!("ended: {why}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            log!("failed to serve on {bind} port {port}: {error}");
            ExitCode::FAILURE
        }
    }
}

type WakeHandle = (UnixStream, mpsc::Sender<AgentMessage>);

impl Sources {
    fn new() -> io::Result<(Sources, WakeHandle)> {
        let (signals, raised) = UnixStream::pair()?;
        for signal in [SIGTERM, SIGINT] {
            pipe::register(signal, raised.try_clone()?)?;
        }
        let (wake, waker) = UnixStream::pair()?;
        for stream in [&signals, &wake, &waker] {
            stream.set_nonblocking(true)?;
        }
        let (to, followed) = mpsc::channel();
        let stdin = Some(io::stdin());
        Ok((Sources { signals, wake, followed, stdin, line: Vec::new() }, (waker, to)))
    }
}

fn emptied(mut stream: &UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut some = false;
    while matches!(stream.read(&mut buffer), Ok(1..)) {
        some = true;
    }
    some
}

/// `::` takes IPv4 too; a kernel without IPv6 gets IPv4 alone.
fn open(bind: IpAddr, port: u16) -> io::Result<UdpSocket> {
    UdpSocket::bind((bind, port)).or_else(|error| match bind {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => Err(error),
    })
}

impl Server {
    fn new(options: ServeOptions, (waker, to): WakeHandle, sources: Sources) -> io::Result<(Server, Sources)> {
        let socket = open(options.bind, options.port)?;
        socket.set_nonblocking(true)?;
        let mut game =
            Game::new("gameside practice", &options.map, &options.mode, options.places, options.player_timeout);
        game.join_token.clone_from(&options.join_token);
        game.admin_password.clone_from(&options.admin_password);
        let faults = options.faults.clone();
        let reporter = Reporter::start(options.api.clone());
        if let Some(agent) = options.api.clone() {
            follower::start(agent, to, move || drop((&waker).write(b"!")));
        }
        reporter.set(|facts| facts.version = options.version.as_ref().map(ToString::to_string));
        let delay = faults.start_delay.unwrap_or(LOAD);
        let ready_at = (faults.never_ready == Readiness::Normal).then_some(delay);
        log!("listening on {}; loading {} ({})", socket.local_addr()?, game.map, game.mode);
        let allocation = options.allocation.clone();
        let started = Instant::now();
        let schedule = Schedule::new(faults, Duration::ZERO);
        let server = Server {
            options,
            game,
            socket,
            reporter,
            schedule,
            started,
            ready_at,
            next_heartbeat: Duration::ZERO,
            next_tick: None,
            counted: (0, Duration::ZERO),
            allocation,
            running: None,
            draining: false,
        };
        Ok((server, sources))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn run(&mut self, sources: &mut Sources) -> io::Result<LoopEnd> {
        loop {
            let now = self.now();
            self.by_time(now);
            let wait = self.next().saturating_sub(self.now());
            let (signalled, woken, console) = self.wait(sources, wait)?;
            self.receive()?;
            if signalled && emptied(&sources.signals) {
                if self.schedule.faults.refuse_sigterm == Sigterm::Obeyed {
                    return Ok(self.end("told by a signal"));
                }
                log!("refusing SIGTERM");
            }
            if woken {
                emptied(&sources.wake);
            }
            while let Ok(followed) = sources.followed.try_recv() {
                if let Some(end) = self.told(followed) {
                    return Ok(end);
                }
            }
            if console && let Some(end) = self.console(sources) {
                return Ok(end);
            }
        }
    }

    /// Waits until a source has something or the time is up; answers whether signals, the waker and the console have.
    fn wait(&self, sources: &Sources, wait: Duration) -> io::Result<(bool, bool, bool)> {
        let mut fds = vec![
            PollFd::new(&self.socket, PollFlags::IN),
            PollFd::new(&sources.signals, PollFlags::IN),
            PollFd::new(&sources.wake, PollFlags::IN),
        ];
        let stdin = sources.stdin.as_ref().map(AsFd::as_fd);
        fds.extend(stdin.as_ref().map(|stdin| PollFd::new(stdin, PollFlags::IN)));
        let wait = Timespec { tv_sec: wait.as_secs() as _, tv_nsec: i64::from(wait.subsec_nanos()) as _ };
        match poll(&mut fds, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let has = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ok((has(1), has(2), has(3)))
    }

    /// When the next timer is due.
    fn next(&self) -> Duration {
        let over = self.options.match_time.zip(self.running.as_ref()).map(|(time, (_, since))| *since + time);
        [self.ready_at, self.next_tick, self.game.next_timeout(), self.schedule.next(), over]
            .into_iter()
            .flatten()
            .fold(self.next_heartbeat, Duration::min)
    }

    fn by_time(&mut self, now: Duration) {
        self.schedule.act(now);
        if self.ready_at.is_some_and(|at| at <= now) {
            self.ready_at = None;
            self.ready();
        }
        let expired = self.game.expire(now);
        self.apply(expired);
        if self.next_tick.is_some_and(|at| at <= now) {
            let moved = self.game.tick();
            self.apply(moved);
            self.next_tick = Some(now.max(self.next_tick.unwrap_or(now) + self.tick_time()));
        }
        match (self.game.players().is_empty(), self.next_tick) {
            (true, Some(_)) => self.next_tick = None,
            (false, None) => {
                (self.next_tick, self.counted) = (Some(now + self.tick_time()), (self.game.ticks(), now));
            }
            (true, None) | (false, Some(_)) => {}
        }
        if self.next_heartbeat <= now {
            self.next_heartbeat = now + HEARTBEAT;
            self.beat(now);
        }
        let limit = self.options.match_time;
        if self.running.as_ref().zip(limit).is_some_and(|((_, since), limit)| *since + limit <= now) {
            self.end_match("time is up");
        }
    }

    fn tick_time(&self) -> Duration {
        let percent = self.schedule.faults.slow_ticks.unwrap_or(100).clamp(1, 100);
        Duration::from_secs(1) * 100 / (self.options.tick_rate.max(1) * percent)
    }

    fn beat(&mut self, now: Duration) {
        self.reporter.heartbeat();
        let (ticks, since) = self.counted;
        let span = now.saturating_sub(since).as_secs_f64();
        if self.next_tick.is_some() && span >= 1.0 {
            let measured = (self.game.ticks() - ticks) as f64 / span;
            self.reporter.tick_rate(measured, f64::from(self.options.tick_rate));
            self.counted = (self.game.ticks(), now);
        }
    }

    fn ready(&mut self) {
        log!("ready: map {}, mode {}, {} places", self.game.map, self.game.mode, self.game.places);
        self.reporter.set(|facts| facts.ready = Some(()));
        if self.options.api.is_none() || self.allocation.is_some() {
            self.start_match();
        } else {
            self.game.joins = JoinPolicy::Closed("waiting for an allocation");
            log!("waiting for an allocation");
        }
    }

    fn start_match(&mut self) {
        let id = uuid::Uuid::new_v4().to_string();
        log!("match started: {id} on {}", self.game.map);
        self.reporter.set(|facts| facts.match_id = Some(id.clone()));
        self.running = Some((id, self.now()));
        if !self.draining {
            self.game.joins = JoinPolicy::Open;
        }
    }

    fn end_match(&mut self, why: &'static str) {
        let Some((id, since)) = self.running.take() else { return };
        log!("match ended: {id} after {:.1}s: {why}", self.now().saturating_sub(since).as_secs_f64());
        self.game.joins = JoinPolicy::Closed("between matches");
        let gone = self.game.empty("the match is over");
        self.apply(gone);
        self.reporter.set(|facts| facts.match_id = None);
        // With an agent the next match comes with the next allocation.
        if self.options.api.is_none() && !self.draining {
            self.start_match();
        }
    }

    fn end(&mut self, why: &'static str) -> LoopEnd {
        self.draining = true;
        self.end_match(why);
        let gone = self.game.empty("the server ends");
        self.apply(gone);
        self.reporter.set(|facts| facts.shutdown = Some(()));
        self.reporter.flush(LAST_WORDS);
        LoopEnd::Asked(why)
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut datagram = [0; MAX_DATAGRAM];
        for _ in 0..BURST {
            match self.socket.recv_from(&mut datagram) {
                Ok((length, from)) => {
                    let outcome = self.game.receive(&datagram[..length], from, self.now());
                    self.apply(outcome);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A player's machine said that nobody listens there any more.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn apply(&mut self, outcome: Outcome) {
        for (to, datagram) in outcome.send {
            // Lost like any datagram.
            let _ = self.socket.send_to(&datagram, to);
        }
        for event in outcome.events {
            self.happened(event);
        }
    }

    fn happened(&mut self, event: Event) {
        let (count, places) = (self.game.players().len(), self.game.places);
        match event {
            Event::Joined { id, name, address } => {
                log!("player joined: {name} ({id}) from {address}, {count} of {places}");
                self.reporter.set(|facts| drop(facts.players.insert(id, name)));
            }
            Event::Left { id, name, why } => {
                log!("player left: {name} ({id}): {why}, {count} of {places}");
                self.reporter.set(|facts| drop(facts.players.remove(&id)));
            }
            Event::Refused { name, address, why } => log!("player refused: {name} from {address}: {why}"),
            Event::Said { name, text } => log!("chat: {name}: {text}"),
            Event::Command(line) => {
                if let Some(LoopEnd::Asked(why)) = self.command(&line) {
                    log!("an admin can't end the server over the network: {why}");
                }
            }
        }
    }
}
