//! How a game without an SDK is watched: `[probe]`, `[log_patterns]`.

use super::Faults;
use crate::{
    agent::config::AgentConfig,
    config::read::Fault,
    model::probe::{LogPatterns, ProbeKind},
    probes::anchored::is_anchored,
};
use regex::Regex;

pub(super) fn probe(config: &AgentConfig, faults: &mut Faults) {
    let Some(probe) = &config.probe else { return };
    faults.positive(probe.interval, "probe.interval");
    faults.positive(probe.timeout, "probe.timeout");
    match probe.kind {
        ProbeKind::Gamedig => {
            faults.require(probe.protocol.is_some(), "probe.protocol", "a protocol or game, such as \"quake3\"");
        }
        ProbeKind::Exec => faults.require(!probe.command.is_empty(), "probe.command", "a program to run"),
        ProbeKind::Http => faults.require(probe.path.starts_with('/'), "probe.path", "a path that starts with '/'"),
        ProbeKind::Tcp | ProbeKind::Udp => {}
    }
    let needs_port = probe.kind != ProbeKind::Exec;
    faults.require(!needs_port || !config.game.ports.is_empty(), "probe.port", "a port in [game.ports] to ask");
}

pub(super) fn log_patterns(config: &AgentConfig, faults: &mut Faults) {
    let patterns = &config.log_patterns;
    let rows: [(&str, &Option<String>, &[&str]); 6] = [
        ("ready", &patterns.ready, &[]),
        ("player_joined", &patterns.player_joined, &["id", "name"]),
        ("player_left", &patterns.player_left, &["id", "name"]),
        ("map_changed", &patterns.map_changed, &["map"]),
        ("match_started", &patterns.match_started, &[]),
        ("match_ended", &patterns.match_ended, &[]),
    ];
    for (name, pattern, groups) in rows {
        let key = format!("log_patterns.{name}");
        match pattern.as_deref().map(Regex::new) {
            Some(Err(why)) => faults.0.push(bad_pattern(&key, &why)),
            Some(Ok(pattern)) => {
                let has = pattern.capture_names().flatten().any(|group| groups.contains(&group));
                let expected = format!("a named group such as (?<{}>\\S+)", groups.first().unwrap_or(&"id"));
                faults.require(groups.is_empty() || has, &key, &expected);
            }
            None => {}
        }
    }
}

/// Patterns that what a player writes could match.
pub(super) fn open_patterns(config: &AgentConfig) -> Option<String> {
    let LogPatterns { ready: _, player_joined, player_left, map_changed, match_started, match_ended } =
        &config.log_patterns;
    let rows = [
        ("player_joined", player_joined),
        ("player_left", player_left),
        ("map_changed", map_changed),
        ("match_started", match_started),
        ("match_ended", match_ended),
    ];
    let open = rows.iter().filter(|(_, pattern)| pattern.as_deref().is_some_and(|pattern| !is_anchored(pattern)));
    let open: Vec<_> = open.map(|(name, _)| format!("log_patterns.{name}")).collect();
    (!open.is_empty()).then(|| {
        format!(
            "{} may match anywhere in a line, so also what a player writes in the chat; begin it with ^ and the server's own prefix",
            open.join(", ")
        )
    })
}

pub(super) fn bad_pattern(key: &str, why: &regex::Error) -> Fault {
    let why = why.to_string();
    let reason = why.lines().last().unwrap_or(&why).trim_start_matches("error: ").to_owned();
    Fault::new(key, format!("a regular expression ({reason})"))
}
