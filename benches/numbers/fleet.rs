//! Ten thousand agents at a cadence of 10 s, and their players.
//!
//! | who, in every cadence | asks |
//! |---|---|
//! | an agent, on a connection of its own | health, state of its registration, its session with the last tag |
//! | a player, on a connection that five share | its session with the last tag |
//! | one player in ten | leaves and joins, besides |
//!
//! A request is late from the moment when it was due, whatever kept the generator.

use crate::{
    millis,
    muster::{Member, Step, fleet},
    row,
    service::{Target, run, start},
    spread,
    support::{proc, world::World},
    wire::Wire,
};
use std::{
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// Another number of agents than ten thousand.
const NUMBER: &str = "GAMESIDE_BENCH_AGENTS";
const CADENCE: Duration = Duration::from_secs(10);
/// Cadences that settle, and that are measured.
const SETTLING: u32 = 2;
const MEASURED: u32 = 3;
const PLAYERS_A_CONNECTION: usize = 5;
const RESTLESS: usize = 10;

pub fn measure() {
    let agents = std::env::var(NUMBER).map_or(10_000, |number| number.parse().unwrap());
    let world = World::new();
    let service = start(&world);
    let target = Rc::new(Target::of(&service));
    let seen = run(play(&target, agents));
    let count = seen.times.len();
    let unchanged = seen.unchanged;
    let (middle, most) = spread(seen.times);
    let rate = count as f64 / (CADENCE * MEASURED).as_secs_f64();
    row(
        &format!("{agents} agents and their players: share of a core"),
        &format!("{:.2}", seen.busy),
        &format!("<= 0.5   ({rate:.0} requests a second; {unchanged} of {count} answers 304)"),
    );
    let beside = format!("<= 20 ms   (p50 {})", millis(middle));
    row("the same: an answer, p99", &millis(most), &beside);
    let memory = crate::proportional(target.pid) as f64 / 1024.0;
    row("the same: the service's memory (PSS)", &format!("{memory:.0} MiB"), "");
}

struct Seen {
    /// The service's share of a core.
    busy: f64,
    times: Vec<Duration>,
    unchanged: usize,
}

/// When answers count.
#[derive(Clone, Copy)]
struct Watch {
    begun: Instant,
    from: Instant,
    until: Instant,
}

/// Requests that come one after the other, once in each cadence.
struct Beat {
    offset: Duration,
    steps: Vec<Step>,
}

async fn play(target: &Rc<Target>, agents: usize) -> Seen {
    let members = fleet(target, agents, RESTLESS).await;
    let begun = Instant::now();
    let watch = Watch { begun, from: begun + CADENCE * SETTLING, until: begun + CADENCE * (SETTLING + MEASURED) };
    let mut playing = JoinSet::new();
    for beats in connections(members) {
        playing.spawn_local(keep(target.address, beats, watch));
    }
    tokio::time::sleep_until(watch.from.into()).await;
    let before = proc::processor_time(target.pid);
    tokio::time::sleep_until(watch.until.into()).await;
    let spent = proc::processor_time(target.pid).saturating_sub(before);
    let answers = playing.join_all().await.concat();
    Seen {
        busy: spent.as_secs_f64() / (CADENCE * MEASURED).as_secs_f64(),
        unchanged: answers.iter().filter(|(_, status)| *status == 304).count(),
        times: answers.into_iter().map(|(took, _)| took).collect(),
    }
}

/// What is asked on each connection, spread over the cadence; a player half a cadence after its agent.
fn connections(members: Vec<Member>) -> Vec<Vec<Beat>> {
    let count = members.len();
    let mut agents = Vec::new();
    let mut players: Vec<Vec<Beat>> = Vec::new();
    players.resize_with(count.div_ceil(PLAYERS_A_CONNECTION), Vec::new);
    for (number, member) in members.into_iter().enumerate() {
        let at = |number: usize| CADENCE.mul_f64((number % count) as f64 / count as f64);
        agents.push(vec![Beat { offset: at(number), steps: member.agent }]);
        let connection = number % players.len();
        players[connection].push(Beat { offset: at(number + count / 2), steps: member.player });
    }
    players.iter_mut().for_each(|beats| beats.sort_by_key(|beat| beat.offset));
    agents.extend(players);
    agents
}

/// Asks what is due on one connection; how long each answer took, and its status.
async fn keep(address: SocketAddr, mut beats: Vec<Beat>, watch: Watch) -> Vec<(Duration, u16)> {
    let mut wire = Wire::open(address).await;
    let mut answers = Vec::new();
    for cadence in 0..SETTLING + MEASURED {
        for beat in &mut beats {
            let mut due = watch.begun + CADENCE * cadence + beat.offset;
            tokio::time::sleep_until(due.into()).await;
            for step in &mut beat.steps {
                let answer = wire.ask(&step.request()).await;
                assert!(answer.status < 400, "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
                if due >= watch.from && due < watch.until {
                    answers.push((due.elapsed(), answer.status));
                }
                step.learn(answer);
                due = Instant::now();
            }
        }
    }
    answers
}
