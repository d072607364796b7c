//! `gameside check`: every fault of a configuration at once; or, when there is none, what it comes
//! to and what about it is open to whom.

use super::{error::Failure, exit::Exit, find::Finder, load, terminal};
use crate::{
    agent::{
        config::{AgentConfig, Loaded, Overrides, game::QuitBy},
        validate,
    },
    config::{keys::Step, provenance::Provenance, report::Report, service, values::Signal},
    model::{
        allocation::ProviderKind,
        policy::ReadyBy,
        probe::ProbeKind,
        process::StopAction,
        section::{Answers, OnReload, Section},
        units::Span,
    },
    service::settings::ServiceSettings,
};
use serde_json::json;
use std::path::{Path, PathBuf};

mod advisories;

/// Check a configuration and report all its faults at once.
///
/// Nothing is done, and nothing is started. `run` checks the same before it does anything.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration (TOML). Without: the defaults and what the environment overrides.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The agent's name, as `run` would be given it.
    #[arg(long, conflicts_with = "service")]
    name: Option<String>,
    /// It is the session service's.
    #[arg(long)]
    service: bool,
    /// For programs: one object.
    #[arg(long)]
    json: bool,
    /// The game's command, as `run` would be given it.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

pub(crate) fn run(args: Args, finder: &Finder) -> Result<Exit, Failure> {
    let path = args.config.as_deref();
    if args.service {
        let loaded = service::load::<ServiceSettings>(path, validate::environment(), ServiceSettings::faults);
        let what = |(settings, provenance): &(ServiceSettings, Provenance)| Outcome {
            summary: of_service(settings),
            reload: Reload::of::<ServiceSettings>(provenance),
            notes: Vec::new(),
        };
        return tell(args.json, path, loaded.as_ref().map(what));
    }
    let overrides = Overrides { name: args.name, command: args.command, ..Overrides::default() };
    let loaded = validate::load(path, validate::environment(), overrides);
    tell(args.json, path, loaded.as_ref().map(|loaded| of_agent(loaded, finder)))
}

/// A configuration without a fault.
struct Outcome {
    /// What it comes to: a word and what it is.
    summary: Vec<(&'static str, String)>,
    reload: Reload,
    /// What should be known.
    notes: Vec<String>,
}

/// What a reload (SIGHUP) would do with the keys that somebody wrote.
#[derive(Debug, Default, PartialEq, Eq, serde::Serialize)]
struct Reload {
    applied: Vec<String>,
    needs_restart: Vec<String>,
}

impl Reload {
    fn of<T: Section>(provenance: &Provenance) -> Self {
        let answers = Answers::of::<T>();
        let mut reload = Reload::default();
        for path in provenance.written() {
            // An element of a list is no key, and has no answer of its own.
            if path.steps().iter().any(|step| matches!(step, Step::Index(_))) {
                continue;
            }
            let key = path.to_string();
            match answers.at(&key) {
                Some(OnReload::Applied) => reload.applied.push(key),
                Some(OnReload::NeedsRestart) => reload.needs_restart.push(key),
                // A section: its keys are listed.
                None => {}
            }
        }
        reload
    }

    /// A line for each answer that there is.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let rows = [("applied", &self.applied), ("needs a restart", &self.needs_restart)];
        rows.into_iter().filter(|(_, keys)| !keys.is_empty()).map(|(word, keys)| (word, keys.join(", "))).collect()
    }
}

fn tell(json: bool, path: Option<&Path>, outcome: Result<Outcome, &Report>) -> Result<Exit, Failure> {
    match outcome {
        Ok(outcome) if json => {
            let summary: serde_json::Map<_, _> =
                outcome.summary.into_iter().map(|(word, text)| (word.to_owned(), text.into())).collect();
            say!(
                "{}",
                json!({
                    "ok": true, "problems": [], "notes": outcome.notes, "reload": outcome.reload, "summary": summary
                })
            );
            Ok(Exit::Done)
        }
        Ok(outcome) => {
            let name = path.map_or_else(|| "The default configuration".to_owned(), |path| path.display().to_string());
            say!("{} has no fault.\n", terminal::escape_lines(&name));
            for (word, text) in &outcome.summary {
                say!("  {word:<9} {}", terminal::escape_lines(text));
            }
            let lines = outcome.reload.lines();
            if !lines.is_empty() {
                say!("\nIf one of these keys changes, a reload (SIGHUP) answers:");
            }
            for (word, keys) in lines {
                say!("  {word:<16} {}", terminal::escape_lines(&keys));
            }
            if !outcome.notes.is_empty() {
                say!("\nNotes:");
            }
            for note in &outcome.notes {
                say!("  - {}", terminal::escape_lines(note));
            }
            Ok(Exit::Done)
        }
        Err(report) if json => {
            say!("{}", report.to_json());
            Ok(Exit::Usage)
        }
        Err(report) => Err(load::refuse(report)),
    }
}

fn of_agent(loaded: &Loaded, finder: &Finder) -> Outcome {
    let config = &loaded.config;
    let mut notes = loaded.warnings.clone();
    let place = finder.places.agent(&config.agent.name).ok();
    notes.extend(advisories::security(loaded, place.as_ref().map(|place| place.dir.as_path())));
    Outcome {
        summary: vec![
            ("name", config.agent.name.clone()),
            ("runs", command(config)),
            ("ready", readiness(config)),
            ("ports", ports(config)),
            ("stops", ladder(config)),
            ("sessions", sessions(config)),
        ],
        reload: Reload::of::<AgentConfig>(&loaded.provenance),
        notes,
    }
}

fn command(config: &AgentConfig) -> String {
    let when = match config.game.start {
        crate::model::policy::Start::OnAllocation => "with each allocation",
        crate::model::policy::Start::AtBoot => "with the agent",
    };
    if config.is_practice() {
        return format!("the practice game, {when}");
    }
    format!("{}, {when}", shell_words::join(&config.game.command))
}

/// When the game counts as ready.
pub(crate) fn readiness(config: &AgentConfig) -> String {
    let within = config.game.readiness.timeout;
    let by = match config.game.readiness.by {
        ReadyBy::Sdk => "when the game says so".to_owned(),
        ReadyBy::Auto if config.is_practice() => "when the game says so".to_owned(),
        ReadyBy::Auto if config.probe.is_some() => {
            "when the game says so; if it speaks no SDK, when the probe is answered".to_owned()
        }
        ReadyBy::Auto => {
            "when the game says so; if it speaks no SDK, once the port that players connect to stays bound".to_owned()
        }
        ReadyBy::Probe => match &config.probe {
            Some(probe) if probe.kind == ProbeKind::Gamedig => {
                format!("when it answers a {} query", probe.protocol.as_deref().unwrap_or("game"))
            }
            _ => "when the probe is answered".to_owned(),
        },
        ReadyBy::Port => "when the port that players connect to is bound".to_owned(),
        ReadyBy::Log => "when it writes the line".to_owned(),
        ReadyBy::Delay => format!("{} after its start", config.game.readiness.delay),
    };
    format!("{by}, within {within}")
}

fn ports(config: &AgentConfig) -> String {
    let each = config.game.ports.iter().map(|(name, port)| {
        let protocol = serde_json::to_value(port.protocol).unwrap_or_default();
        format!("{name} {}/{}", port.range, protocol.as_str().unwrap_or_default())
    });
    let all = each.collect::<Vec<_>>().join(", ");
    if all.is_empty() { "none".to_owned() } else { all }
}

fn ladder(config: &AgentConfig) -> String {
    let each = config.game.stop.steps().into_iter().map(|step| {
        let action = match step.action {
            StopAction::Stdin(line) => format!("{line:?} on stdin"),
            StopAction::Signal(number) => {
                Signal::name(number).map_or_else(|| format!("signal {number}"), str::to_owned)
            }
            StopAction::Kill => "kill".to_owned(),
            StopAction::Ask => asks(config),
        };
        format!("{action}, {}", Span(step.wait))
    });
    each.collect::<Vec<_>>().join("; then ")
}

fn asks(config: &AgentConfig) -> String {
    let quit = &config.game.stop.quit;
    match quit.by {
        QuitBy::SourceRcon | QuitBy::MinecraftRcon => format!("{:?} on its remote console", quit.command),
        QuitBy::Nothing | QuitBy::Sdk | QuitBy::Stdin => "told by its SDK".to_owned(),
    }
}

fn sessions(config: &AgentConfig) -> String {
    let from = match config.allocation.provider {
        ProviderKind::Auto => "its own sessions",
        ProviderKind::Sic => "allocated by the session service",
        ProviderKind::Hook => "allocated through its API",
    };
    format!("{from}, at {}", if config.session.is_local() { "the local service" } else { &config.session.url })
}

fn of_service(settings: &ServiceSettings) -> Vec<(&'static str, String)> {
    let names = |names: Vec<&str>| names.join(", ");
    vec![
        ("types", names(settings.session_types.keys().map(String::as_str).collect())),
        ("regions", names(settings.regions.iter().map(|region| region.region_id.as_str()).collect())),
        ("health", format!("every {}", settings.timings.health_cadence)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_says_what_a_reload_would_do_with_each_written_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        let text = "[game.ports.query]\nrange = \"7777\"\n[game.stop]\nladder = [{ kill = true }]\n\
                    [guards]\nempty_timeout = \"5m\"\n";
        std::fs::write(&path, text).unwrap();
        let env = [("GAMESIDE_SESSION__REGION".to_owned(), "eu".to_owned())];
        let loaded = validate::load(Some(&path), env, Overrides::default()).unwrap();
        let reload = Reload::of::<AgentConfig>(&loaded.provenance);
        assert_eq!(reload.applied, ["game.stop.ladder", "guards.empty_timeout"]);
        assert_eq!(reload.needs_restart, ["game.ports.query.range", "session.region"]);
        assert_eq!(reload.lines()[0], ("applied", "game.stop.ladder, guards.empty_timeout".to_owned()));
    }
}
