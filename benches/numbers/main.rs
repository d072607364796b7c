//! `cargo bench`: the agent's and the session service's figures, measured on this machine with the
//! programs as they are released, and printed.
//!
//! | file | measures |
//! |---|---|
//! | [`agones`] | the Agones SDK, against sdk-server |
//! | [`sdk_calls`] | what health pings and reads cost |
//! | [`idle`] | sizes, memory, wake-ups |
//! | [`latency`] | start to READY; allocation to game; the game's end to `closed` on the wire |
//! | [`output`] | the game's output, against `cat > file` on the same pipe |
//! | [`service`] | the session service as its load sees it: [`reads`], [`joins`], [`fleet`] and [`muster`], which makes the fleet |
//! | [`simulation`] | how many simulated lives hold, and what they met; built in by `--features simulation` |
//! | [`bare`] | the service's peer: a handler of the same HTTP library |
//! | [`wire`] | HTTP for the load generators |
//! | [`game`] | the game: this program itself, started by the agent |
//!
//! Nothing passes or fails here; docs/numbers.md names the figures to reach.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a measurement is printed")]
#![allow(unreachable_pub, reason = "a program exports nothing: what is shared between its modules is `pub`")]
#![allow(clippy::unwrap_used, reason = "a measurement that fails has no result")]
#![allow(clippy::disallowed_methods, reason = "measuring time is what this is for")]

mod agones;
mod bare;
mod fleet;
mod game;
mod idle;
mod joins;
mod latency;
mod muster;
mod output;
mod reads;
mod sdk_calls;
mod service;
mod simulation;
#[allow(dead_code, reason = "the tests' harness; not all of it is needed here")]
#[path = "../../tests/it/support/mod.rs"]
mod support;
mod wire;

use std::time::Duration;

fn main() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some(game::WORD) {
        return game::main(&args.collect::<Vec<_>>());
    }
    // `cargo bench -- latency` measures one part, `-- service` all whose names begin so.
    let only: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let parts: [(&str, fn()); 9] = [
        ("idle", idle::measure),
        ("latency", latency::measure),
        ("output", output::measure),
        ("agones", agones::measure),
        ("sdk-calls", sdk_calls::measure),
        ("service-reads", reads::measure),
        ("service-joins", joins::measure),
        ("service-fleet", fleet::measure),
        ("simulation", simulation::measure),
    ];
    println!("{:<58} {:>14}   to reach", "what", "measured");
    for (name, measure) in parts {
        if only.is_empty() || only.iter().any(|only| name.starts_with(only.as_str())) {
            measure();
        }
    }
}

/// Memory of a process in KiB: its own, and its share of what it has in common with others (PSS). 0 where it can't be read.
fn proportional(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// One row of the table.
fn row(what: &str, measured: &str, wanted: &str) {
    println!("{what:<58} {measured:>14}   {wanted}");
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// The middle and the 99th percentile of some measurements.
fn spread(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    (at(50), at(99))
}

fn spread_row(what: &str, times: Vec<Duration>, wanted: &str) {
    let count = times.len();
    let (middle, most) = spread(times);
    row(&format!("{what}, p50 of {count}"), &millis(middle), &format!("{wanted}   (p99 {})", millis(most)));
}
