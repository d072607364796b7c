//! GET of a session with a matching ETag, in turns with a bare handler of the same HTTP library.

use crate::{
    bare::{self, Bare},
    row,
    service::{Target, join, run, start},
    support::{proc, world::World},
    wire::{Caller, Wire, keep_busy, request},
};
use std::time::Duration;

/// How long each turn is, and how often they alternate.
const TURN: Duration = Duration::from_millis(1500);
const ROUNDS: usize = 5;
const CONNECTIONS: usize = 64;
const PLAYERS: usize = 8;

pub fn measure() {
    let world = World::new();
    let service = start(&world);
    let (target, bare) = (Target::of(&service), Bare::start());
    let (path, token, tag) = run(full_session(&target));
    let get = |tag: &str| vec![request("GET", &path, &token, &[("if-none-match", tag)], None)];
    let callers =
        |address, tag: &str| -> Vec<Caller> { (0..CONNECTIONS).map(|_| Caller::open(address, get(tag))).collect() };
    let mut to_us = callers(target.address, &tag);
    let mut to_bare = callers(bare.address, bare::TAG);
    let (mut ours, mut theirs) = (Rate::default(), Rate::default());
    for _ in 0..ROUNDS {
        ours.add(target.pid, &mut to_us);
        theirs.add(bare.pid(), &mut to_bare);
    }
    row(&format!("session GET, matching ETag, {CONNECTIONS} connections"), &format!("{:.0} /s", ours.a_second()), "");
    row("bare handler of the same HTTP library", &format!("{:.0} /s", theirs.a_second()), "");
    let by_time = format!("by processor time {:.2}", ours.a_busy_second() / theirs.a_busy_second());
    row("ratio", &format!("{:.2}", ours.a_second() / theirs.a_second()), &format!(">= 0.6   ({by_time})"));
}

/// A session with players; its path, a member's token, its tag.
async fn full_session(target: &Target) -> (String, String, String) {
    let mut wire = Wire::open(target.address).await;
    let path = target.session(&mut wire).await;
    let mut token = String::new();
    for number in 0..PLAYERS {
        token = target.player(&mut wire, &format!("reader{number}")).await;
        wire.ask(&request("POST", &format!("{path}/player/me"), &token, &[], Some(&join()))).await.ok();
    }
    let tag = wire.ask(&request("GET", &path, &token, &[], None)).await.etag.unwrap();
    let again = wire.ask(&request("GET", &path, &token, &[("if-none-match", &tag)], None)).await;
    assert_eq!(again.status, 304);
    (path, token, tag)
}

#[derive(Default)]
struct Rate {
    answers: u64,
    took: Duration,
    spent: Duration,
}

impl Rate {
    fn add(&mut self, pid: u32, callers: &mut [Caller]) {
        let before = proc::processor_time(pid);
        let (answers, took) = keep_busy(callers, TURN);
        self.spent += proc::processor_time(pid).saturating_sub(before);
        self.answers += answers;
        self.took += took;
    }
    fn a_second(&self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64()
    }
    /// A machine that has other work disturbs this less.
    fn a_busy_second(&self) -> f64 {
        self.answers as f64 / self.spent.as_secs_f64()
    }
}
