//! The Agones SDK: `GET /gameserver` over eight connections, memory, watchers; beside it Agones's
//! own sdk-server in local mode, where `GAMESIDE_SDK_SERVER` names one.

use crate::{
    row, spread,
    support::world::{PATIENCE, World},
    wire::{Caller, request},
};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const CONNECTIONS: usize = 8;
const WATCHERS: usize = 32;
const MEASURED: Duration = Duration::from_secs(5);

/// What was measured of one server.
struct Figures {
    requests: f64,
    p99: Duration,
    /// Resident before, and with watchers, in MiB.
    memory: f64,
    watched: f64,
}

pub fn measure() {
    let ours = ours();
    let theirs = std::env::var_os("GAMESIDE_SDK_SERVER").map(theirs);
    let beside = |theirs: Option<String>| theirs.map_or("no sdk-server to compare with".to_owned(), |it| it);
    let peer = theirs.as_ref();
    let requests =
        peer.map(|peer| format!(">= 6 x sdk-server: {:.1} x {:.0} /s", ours.requests / peer.requests, peer.requests));
    row("GET /gameserver, requests a second, 8 connections", &format!("{:.0} /s", ours.requests), &beside(requests));
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let p99 = peer.map(|peer| {
        format!("<= 1/4 of sdk-server: {:.2} of {:.0} us", micros(ours.p99) / micros(peer.p99), micros(peer.p99))
    });
    row("GET /gameserver, p99", &format!("{:.0} us", micros(ours.p99)), &beside(p99));
    let memory =
        peer.map(|peer| format!("<= 1/6 of sdk-server: {:.2} of {:.1} MiB", ours.memory / peer.memory, peer.memory));
    row("memory after it (PSS)", &format!("{:.2} MiB", ours.memory), &beside(memory));
    let watched = peer.map(|peer| format!("sdk-server: {:.1} MiB", peer.watched));
    row(&format!("memory with {WATCHERS} watchers (PSS)"), &format!("{:.2} MiB", ours.watched), &beside(watched));
}

fn ours() -> Figures {
    let world = World::new();
    let config = "[game]\ncommand = [\"/bin/sleep\", \"100000\"]\nstart = \"at-boot\"\n[allocation]\nprovider = \"hook\"\n\
        [agones]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n";
    let agent = world.agent("sdk", config);
    let status = agent.wait("a game and its gateway", |status| {
        status["game"]["pid"].is_u64() && status["gateway"]["connected"] == true
    });
    let gateway = u32::try_from(status["gateway"]["pid"].as_u64().unwrap()).unwrap();
    let env = std::fs::read_to_string(format!("/proc/{}/environ", status["game"]["pid"])).unwrap();
    let port = env.split('\0').find_map(|entry| entry.strip_prefix("AGONES_SDK_HTTP_PORT=")).unwrap();
    figures(port.parse().unwrap(), gateway)
}

fn theirs(program: std::ffi::OsString) -> Figures {
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (grpc, http) = (free(), free());
    let mut command = Command::new(program);
    command.args(["--local", "--address", "127.0.0.1"]);
    command.args(["--grpc-port", &grpc.to_string(), "--http-port", &http.to_string()]);
    // At its own level it writes a line a request.
    command.env("LOG_LEVEL", "error");
    let peer = Peer(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", http)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "sdk-server never listened");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    figures(http, peer.0.id())
}

struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn figures(port: u16, pid: u32) -> Figures {
    let begun = Instant::now();
    let times: Vec<Duration> = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(move || ask(port, begun))).collect();
        askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect()
    });
    let requests = times.len() as f64 / begun.elapsed().as_secs_f64();
    let memory = proportional(pid);
    let watchers: Vec<_> = (0..WATCHERS).map(|_| watch(port)).collect();
    let watched = proportional(pid);
    drop(watchers);
    Figures { requests, p99: spread(times).1, memory, watched }
}

/// In MiB. Shared code counts in proportion, for both alike.
fn proportional(pid: u32) -> f64 {
    crate::proportional(pid) as f64 / 1024.0
}

/// One connection's worth: how long each request took.
fn ask(port: u16, begun: Instant) -> Vec<Duration> {
    let get = request("GET", "/gameserver", "", &[], None);
    let mut caller = Caller::open(([127, 0, 0, 1], port).into(), vec![get]);
    let mut times = Vec::new();
    while begun.elapsed() < MEASURED {
        let asked = Instant::now();
        caller.ask();
        let answer = caller.hear();
        times.push(asked.elapsed());
        assert_eq!(answer.status, 200);
    }
    times
}

/// A watch that has got its first state.
fn watch(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /watch/gameserver HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while !line.contains("\"result\"") {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the watch ended");
    }
    stream
}
