//! A game's output by patterns: any lines, bounded findings; and what reaches a terminal steers
//! nothing.
#![no_main]

use gameside::{
    internals::{host::escape::escape, probes::Log},
    model::{policy::Readiness, probe::LogPatterns},
};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static LOG: LazyLock<Log> = LazyLock::new(log);

fuzz_target!(|text: &str| {
    let mut log = LOG.clone();
    for line in text.lines() {
        let found = log.line(line);
        assert!(found.len() <= 6, "a line says at most what six patterns find");
        assert!(!escape(line).chars().any(|c| c.is_control() && c != '\t'));
    }
});

fn log() -> Log {
    let pattern = |text: &str| Some(text.to_owned());
    let patterns = LogPatterns {
        ready: pattern("^Ready"),
        player_joined: pattern(r"(?<name>\S+) entered the game"),
        player_left: pattern(r"(?<name>\S+) (?:disconnected|timed out)"),
        map_changed: pattern(r"Loading map (?<map>\S+)"),
        match_started: pattern("^Match begins"),
        match_ended: pattern("^Match ends"),
    };
    Log::compile(&patterns, &Readiness::default()).expect("the patterns are sound")
}
