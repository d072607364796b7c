//! Players who join and leave as fast as they are answered. An answer means that the change is on
//! disk.

use crate::{
    latency::fsync,
    millis, row,
    service::{Target, join, run, start},
    support::{http, proc, service::Service, world::World},
    wire::{Caller, Wire, keep_busy, request},
};
use std::time::Duration;

const COUNTED: Duration = Duration::from_secs(10);
const PLAYERS: usize = 512;
const PLAYERS_A_SESSION: usize = 4;

pub fn measure() {
    let world = World::new();
    let service = start(&world);
    let target = Target::of(&service);
    let mut callers = run(callers(&target));
    // Each once: a token's signature is checked when it is first seen.
    keep_busy(&mut callers, Duration::ZERO);
    let (commits, before) = (commits(&service), proc::processor_time(target.pid));
    let (changes, took) = keep_busy(&mut callers, COUNTED);
    let spent = proc::processor_time(target.pid).saturating_sub(before);
    let commits = self::commits(&service) - commits;
    let rate = changes as f64 / took.as_secs_f64();
    row(
        &format!("joins and leaves, durable, {PLAYERS} players"),
        &format!("{rate:.0} /s"),
        &format!(
            ">= 20000 /s   (of the service {:.2} cores; {:.0} changes a commit)",
            spent.as_secs_f64() / took.as_secs_f64(),
            changes as f64 / commits
        ),
    );
    row("fsync of 4 KiB in the same directory, p50", &millis(fsync(&world)), "(the disk)");
}

/// Players in front of their sessions, each with a connection.
async fn callers(target: &Target) -> Vec<Caller> {
    let mut wire = Wire::open(target.address).await;
    let mut callers = Vec::new();
    let mut path = String::new();
    for number in 0..PLAYERS {
        if number % PLAYERS_A_SESSION == 0 {
            path = target.session(&mut wire).await;
        }
        let who = target.player(&mut wire, &format!("player{number}")).await;
        let me = format!("{path}/player/me");
        let turns = vec![request("POST", &me, &who, &[], Some(&join())), request("DELETE", &me, &who, &[], None)];
        callers.push(Caller::open(target.address, turns));
    }
    callers
}

/// How many commits the store has made.
fn commits(service: &Service<'_>) -> f64 {
    let text = http::exchange("GET", &format!("{}/metrics", service.url()), &[], None).unwrap().text;
    let line = text.lines().find_map(|line| line.strip_prefix("gameside_sessions_store_commits_total "));
    line.unwrap().parse().unwrap()
}
