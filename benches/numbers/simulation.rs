//! The simulation of whole lives, over many seeds: how many rounds and faults, and what was met.

#[cfg(feature = "simulation")]
pub fn measure() {
    use gameside::internals::core::simulation::play_rounds;
    use std::{env, time::Instant};

    let number = |name: &str, usual: u64| env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (first, rounds) = (number("GAMESIDE_SEED", 1), number("GAMESIDE_ROUNDS", 1_000_000));
    let begun = Instant::now();
    let (coverage, failure) = play_rounds(first, rounds, |played| {
        if played % 50_000 == 0 {
            eprintln!("{played} of {rounds} rounds, {} s", begun.elapsed().as_secs());
        }
    });
    println!("{coverage}");
    let rate = coverage.rounds as f64 / begun.elapsed().as_secs_f64();
    super::row("rounds a second", &format!("{rate:.0} /s"), "");
    super::row("rounds in which something didn't hold", if failure.is_some() { "1" } else { "0" }, "0");
    if let Some(failure) = failure {
        println!("GAMESIDE_SEED={}: {}\nThe shortest round that fails:\n{}", failure.seed, failure.why, failure.round);
        std::process::exit(1);
    }
}

#[cfg(not(feature = "simulation"))]
pub fn measure() {
    let how = "cargo bench --features simulation -- simulation";
    super::row("simulation of whole lives, by seeds", "not built in", how);
}
