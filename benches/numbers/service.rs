//! The session service under load, as a process of its own: what it costs to answer, how much it stores, and a fleet with its
//! players.
//!
//! A machine rarely stands still while it measures, so costs are also told as the processor time of the service.

use crate::{
    bare, row, spread, spread_row,
    support::{
        http, proc,
        service::Service,
        world::{PATIENCE, World},
    },
    wire::{Answer, Wire, request},
};
use base64::Engine as _;
use serde_json::{Value, json};
use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::task::{JoinSet, LocalSet};

/// How long each of the alternating halves of a comparison is, and how often they alternate.
const HALF: Duration = Duration::from_millis(1500);
const ROUNDS: usize = 5;
/// Requests under way on a connection.
const DEPTH: usize = 16;
/// How long joins and leaves are counted.
const COUNTED: Duration = Duration::from_secs(10);
const PLAYERS: usize = 512;

const AGENTS: usize = 10_000;
const CADENCE: Duration = Duration::from_secs(10);
/// Connections that the players of the fleet share.
const PLAYER_CONNECTIONS: usize = 2000;
/// One whole cadence settles, three are measured.
const SETTLING: u32 = 1;
const MEASURED: u32 = 3;

pub fn measure() {
    // The fleet is ten thousand connections from here.
    gameside::host::process::raise_open_files().unwrap();
    reading();
    joining();
    fleet();
}

fn run<T>(load: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, load)
}

/// What every part needs: an address, a token that may do everything, and the process.
struct Target {
    address: SocketAddr,
    server: String,
    pid: u32,
}

impl Target {
    fn of(service: &Service<'_>) -> Target {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("agents:{}", service.secret()));
        let basic = format!("Basic {basic}");
        let body = json!({"grant_type": "client_credentials"});
        let url = format!("{}/users/v1/login", service.url());
        let answer = http::exchange("POST", &url, &[("authorization", &basic)], Some(&body)).unwrap().ok();
        let server = answer["access_token"].as_str().unwrap().to_owned();
        Target { address: service.address(), server, pid: service.pid() }
    }
}

/// A service whose sessions outlive the measurement, and whose servers may do everything.
fn start(world: &World) -> Service<'_> {
    let mut service = Service::start_with(world, "[timings]\nsession_ttl = \"1h\"\n");
    service.permit_agents(&["session:*"]);
    service
}

fn create() -> Value {
    json!({"session_type": "default", "region_id": "local", "client_version": "1.0.0",
        "client_settings": {"input": "gamepad"}, "force_create": true})
}

fn text(answer: &Answer, pointer: &str) -> String {
    let body = answer.ok();
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {body}")).to_owned()
}

/// GET of a session with a matching ETag, against a handler that only compares it.
fn reading() {
    let world = World::new();
    let service = start(&world);
    let target = Target::of(&service);
    let bare = bare::Bare::start();
    let (ours, theirs) = run(async {
        let mut wire = Wire::open(target.address).await;
        let made = wire.ask(&request("POST", "/session/v1/session", &target.server, &[], Some(&create()))).await;
        let path = format!("/session/v1/session/{}", text(&made, "/session_id"));
        let tag = wire.ask(&request("GET", &path, &target.server, &[], None)).await.etag.unwrap();
        let get = |tag: &str| request("GET", &path, &target.server, &[("if-none-match", tag)], None);
        let (mut ours, mut theirs) = (Rate::default(), Rate::default());
        for _ in 0..ROUNDS {
            ours.add(target.pid, target.address, &get(&tag)).await;
            theirs.add(bare.pid(), bare.address, &get(bare::TAG)).await;
        }
        (ours, theirs)
    });
    row("session GET, matching ETag", &format!("{:.0} /s", ours.per_second()), "");
    row("bare handler of the same library", &format!("{:.0} /s", theirs.per_second()), "");
    let spent = format!("by processor time {:.2}", ours.per_processor_second() / theirs.per_processor_second());
    row("ratio", &format!("{:.2}", ours.per_second() / theirs.per_second()), &format!(">= 0.6   ({spent})"));
}

#[derive(Default)]
struct Rate {
    answers: u64,
    took: Duration,
    spent: Duration,
}

impl Rate {
    /// One half of a round: two connections, kept full.
    async fn add(&mut self, pid: u32, address: SocketAddr, request: &[u8]) {
        let (before, begun) = (proc::processor_time(pid), Instant::now());
        let (one, other) = tokio::join!(keep_full(address, request, begun), keep_full(address, request, begun));
        self.answers += one + other;
        self.took += begun.elapsed();
        self.spent += proc::processor_time(pid) - before;
    }
    fn per_second(&self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64()
    }
    fn per_processor_second(&self) -> f64 {
        self.answers as f64 / self.spent.as_secs_f64()
    }
}

/// The same request again and again, some always under way. All answers have the length of the first.
async fn keep_full(address: SocketAddr, request: &[u8], begun: Instant) -> u64 {
    let mut wire = Wire::open(address).await;
    let first = wire.ask(request).await;
    assert_eq!(first.status, 304);
    wire.send(request).await;
    let length = wire.length_of_answer().await;
    let many = request.repeat(DEPTH);
    let mut answers = 0;
    while begun.elapsed() < HALF {
        wire.send(&many).await;
        wire.skip(length * DEPTH).await;
        answers += DEPTH as u64;
    }
    answers
}

/// Players who join and leave as fast as they are answered; an answer means that it is on disk.
fn joining() {
    let world = World::new();
    let service = start(&world);
    let target = Target::of(&service);
    let (changes, took, spent) = run(async {
        let mut wire = Wire::open(target.address).await;
        let mut sessions = Vec::new();
        for _ in 0..PLAYERS / 4 {
            let made = wire.ask(&request("POST", "/session/v1/session", &target.server, &[], Some(&create()))).await;
            sessions.push(text(&made, "/session_id"));
            let path = format!("/session/v1/session/{}", sessions.last().unwrap());
            let open = json!({"joinable": true});
            wire.ask(&request("PATCH", &path, &target.server, &[], Some(&open))).await.ok();
        }
        let mut players = Vec::new();
        for number in 0..PLAYERS {
            let who = log_in(&mut wire, &format!("p{number}")).await;
            players.push((Wire::open(target.address).await, who, sessions[number / 4].clone()));
        }
        let (before, begun) = (proc::processor_time(target.pid), Instant::now());
        let churning: JoinSet<u64> =
            players.into_iter().map(|(wire, who, session)| churn(wire, who, session, begun)).collect();
        let changes: u64 = churning.join_all().await.into_iter().sum();
        (changes, begun.elapsed(), proc::processor_time(target.pid) - before)
    });
    let rate = changes as f64 / took.as_secs_f64();
    let busy = spent.as_secs_f64() / took.as_secs_f64();
    row(
        &format!("joins and leaves, durable, {PLAYERS} players"),
        &format!("{rate:.0} /s"),
        &format!(">= 20000 /s   (the service took {busy:.2} cores, {:.0} µs each)", busy / rate * 1e6),
    );
}

async fn log_in(wire: &mut Wire, name: &str) -> String {
    let body = json!({"grant_type": "basic", "portal_access_token": format!("{name}:x")});
    text(&wire.ask(&request("POST", "/users/v1/login", "", &[], Some(&body))).await, "/access_token")
}

fn join_body() -> Value {
    json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "team_id": 0})
}

async fn churn(mut wire: Wire, who: String, session: String, begun: Instant) -> u64 {
    let me = format!("/session/v1/session/{session}/player/me");
    let join = request("POST", &me, &who, &[], Some(&join_body()));
    let leave = request("DELETE", &me, &who, &[], None);
    let mut changes = 0;
    while begun.elapsed() < COUNTED {
        wire.ask(&join).await.ok();
        wire.ask(&leave).await.ok();
        changes += 2;
    }
    changes
}

/// Ten thousand agents, each with a session, an instance and a player. In every cadence an agent reports its health and looks
/// at its session, and its player looks, too.
fn fleet() {
    let world = World::new();
    let service = start(&world);
    let target = Target::of(&service);
    let (busy, times, unchanged) = run(fleet_load(&target));
    let (_, most) = spread(times.clone());
    let rate = times.len() as f64 / (CADENCE * MEASURED).as_secs_f64();
    row(
        &format!("{AGENTS} agents and their players: share of a core"),
        &format!("{busy:.2}"),
        &format!("<= 0.5   ({rate:.0} requests a second, {unchanged} of {} were 304)", times.len()),
    );
    row("the same: an answer, p99", &crate::millis(most), "<= 20 ms");
    spread_row("the same: an answer", times, "");
    let resident = proc::status(target.pid, "VmRSS").unwrap();
    row("the service with them, resident", &resident, "");
}

async fn fleet_load(target: &Target) -> (f64, Vec<Duration>, usize) {
    let members = members(target).await;
    let begun = Instant::now();
    let watch = Watch { from: begun + CADENCE * SETTLING, until: begun + CADENCE * (SETTLING + MEASURED) };
    let mut playing = JoinSet::new();
    let mut groups: Vec<Vec<Beat>> = (0..PLAYER_CONNECTIONS).map(|_| Vec::new()).collect();
    for (number, member) in members.into_iter().enumerate() {
        let offset = CADENCE * number as u32 / AGENTS as u32;
        playing.spawn_local(beats(target.address, vec![Beat { offset, requests: member.agent }], begun, watch));
        let half_later = (offset + CADENCE / 2).as_nanos() % CADENCE.as_nanos();
        let offset = Duration::from_nanos(half_later as u64);
        groups[number % PLAYER_CONNECTIONS].push(Beat { offset, requests: vec![member.player] });
    }
    for mut group in groups {
        group.sort_by_key(|beat| beat.offset);
        playing.spawn_local(beats(target.address, group, begun, watch));
    }
    tokio::time::sleep_until(watch.from.into()).await;
    let before = proc::processor_time(target.pid);
    tokio::time::sleep_until(watch.until.into()).await;
    let spent = proc::processor_time(target.pid) - before;
    let answers = playing.join_all().await.concat();
    let unchanged = answers.iter().filter(|(_, status)| *status == 304).count();
    let times = answers.into_iter().map(|(took, _)| took).collect();
    (spent.as_secs_f64() / (CADENCE * MEASURED).as_secs_f64(), times, unchanged)
}

/// The requests of an agent, and of its player.
struct Member {
    agent: Vec<Vec<u8>>,
    player: Vec<u8>,
}

/// Makes all sessions, instances and players.
async fn members(target: &Target) -> Vec<Member> {
    let next = Rc::new(Cell::new(0));
    let mut making = JoinSet::new();
    for _ in 0..64 {
        let (next, address, server) = (next.clone(), target.address, target.server.clone());
        making.spawn_local(async move {
            let mut wire = Wire::open(address).await;
            let mut made = Vec::new();
            while next.get() < AGENTS {
                let number = next.get();
                next.set(number + 1);
                made.push(member(&mut wire, &server, number).await);
            }
            made
        });
    }
    let all = tokio::time::timeout(PATIENCE * 5, making.join_all()).await.expect("the fleet comes up");
    all.into_iter().flatten().collect()
}

async fn member(wire: &mut Wire, server: &str, number: usize) -> Member {
    let made = wire.ask(&request("POST", "/session/v1/session", server, &[], Some(&create()))).await;
    let path = format!("/session/v1/session/{}", text(&made, "/session_id"));
    let instance = json!({"instance_id": format!("i{number}"), "host_type": "preallocated"});
    wire.ask(&request("POST", &format!("{path}/instance"), server, &[], Some(&instance))).await.ok();
    let up =
        json!({"join_status": "joinable", "version": "1.0.0", "join_params": {"public_conn_str": "192.0.2.1:7777"}});
    wire.ask(&request("PATCH", &format!("{path}/instance"), server, &[], Some(&up))).await.ok();
    wire.ask(&request("PATCH", &path, server, &[], Some(&json!({"joinable": true})))).await.ok();
    let who = log_in(wire, &format!("fleet{number}")).await;
    wire.ask(&request("POST", &format!("{path}/player/me"), &who, &[], Some(&join_body()))).await.ok();
    let health = json!({"instance_id": format!("i{number}"), "instance_health": "healthy"});
    let health = request("POST", &format!("{path}/instance/health"), server, &[], Some(&health));
    wire.ask(&health).await.ok();
    let tag = wire.ask(&request("GET", &path, server, &[], None)).await.etag.unwrap();
    let look = |token: &str| request("GET", &path, token, &[("if-none-match", &tag)], None);
    Member { agent: vec![health, look(server)], player: look(&who) }
}

/// Requests that come together, once in each cadence.
struct Beat {
    offset: Duration,
    requests: Vec<Vec<u8>>,
}

/// When answers count.
#[derive(Clone, Copy)]
struct Watch {
    from: Instant,
    until: Instant,
}

/// Sends what is due on one connection; how long each answer took, and its status.
async fn beats(address: SocketAddr, beats: Vec<Beat>, begun: Instant, watch: Watch) -> Vec<(Duration, u16)> {
    let mut answers = Vec::new();
    let mut wire = Wire::open(address).await;
    for cadence in 0..SETTLING + MEASURED {
        for beat in &beats {
            let due = begun + CADENCE * cadence + beat.offset;
            tokio::time::sleep_until(due.into()).await;
            for request in &beat.requests {
                let sent = Instant::now();
                let answer = wire.ask(request).await;
                assert!(answer.status < 400, "{answer:?}");
                if sent >= watch.from && sent < watch.until {
                    answers.push((sent.elapsed(), answer.status));
                }
            }
        }
    }
    answers
}
