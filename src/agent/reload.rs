//! SIGHUP: the configuration is read again. Each key that changed is applied or needs a restart,
//! and the timeline says which.
//!
//! ```text
//!   file, environment, command line ─► read ─► merged with what runs ─► sound? ─► core, log filter
//!                                                 │ needs_restart keys stay as they are
//! ```
//!
//! What only the core and the log go by is applied; what an edge was built with needs a new agent,
//! which takes the match over (`gameside detach --restart`). Invariants: core and edges go by one
//! merged configuration, so no key is half applied; a configuration with a fault changes nothing.

use super::{
    Options,
    config::{AgentConfig, Overrides, check},
    inbox::Control,
    settings, validate,
};
use crate::{
    config::{provenance::Provenance, report::Style},
    host::{
        notify,
        paths::AgentPlace,
        telemetry::{NoLog, Telemetry},
    },
    model::section::{Changes, Section as _},
};
use std::path::PathBuf;
use tokio::sync::watch;

/// Reads the file again as it was read at the start.
#[derive(Debug)]
pub(crate) struct Reloader {
    path: Option<PathBuf>,
    overrides: Overrides,
    running: AgentConfig,
    place: AgentPlace,
    /// What was found out about this machine; none: the agent is still starting.
    found: watch::Receiver<Option<settings::Found>>,
    telemetry: Option<Telemetry>,
}

/// Why all stays as it was.
#[derive(Debug, thiserror::Error)]
enum NotReloaded {
    #[error("the agent is still starting")]
    Starting,
    #[error("{0}")]
    Faults(String),
    #[error(
        "the keys that can be applied don't fit those that need a restart ({}): {fault}; restart the agent (`gameside detach --restart`)",
        needs_restart.join(", ")
    )]
    Unfit { needs_restart: Vec<String>, fault: String },
    #[error(transparent)]
    Log(#[from] NoLog),
    #[error(transparent)]
    Setup(#[from] settings::BadSetup),
}

impl Reloader {
    /// The sender is given what was found out as soon as it is known.
    pub(crate) fn new(options: &Options, place: AgentPlace) -> (Self, watch::Sender<Option<settings::Found>>) {
        let (sender, found) = watch::channel(None);
        let reloader = Reloader {
            path: options.loaded.path.clone(),
            overrides: options.overrides.clone(),
            running: options.loaded.config.clone(),
            place,
            found,
            telemetry: options.telemetry.clone(),
        };
        (reloader, sender)
    }

    /// What the driver is to be told.
    pub(crate) fn reload(&mut self) -> Vec<Control> {
        notify::reloading();
        let orders = self.read().unwrap_or_else(|why| vec![note(format!("not reloaded, all stays as it was: {why}"))]);
        notify::ready("reloaded");
        orders
    }

    fn read(&mut self) -> Result<Vec<Control>, NotReloaded> {
        let found = self.found.borrow().clone().ok_or(NotReloaded::Starting)?;
        let loaded = validate::load(self.path.as_deref(), validate::environment(), self.overrides.clone())
            .map_err(|report| NotReloaded::Faults(report.render(Style::Plain)))?;
        let (config, changes) = merge(&self.running, loaded.config);
        fits(&config, &loaded.provenance, &changes)?;
        let core = settings::core(&config, &self.place, &found)?;
        if let Some(telemetry) = &self.telemetry {
            telemetry.set_filter(config.agent.log.as_deref())?;
        }
        self.running = config;
        Ok(vec![Control::Reload(Box::new(core)), note(said(&changes))])
    }
}

fn note(text: String) -> Control {
    Control::Note { kind: "reload", text }
}

/// The new configuration with what needs a restart as it was, and the keys that differ.
fn merge(running: &AgentConfig, new: AgentConfig) -> (AgentConfig, Changes) {
    let mut changes = Changes::default();
    let mut merged = AgentConfig::reload(running, new, &mut changes);
    // The practice game's readiness, map and mode follow from there being no command.
    if merged.is_practice() != running.is_practice() {
        merged.game.command.clone_from(&running.game.command);
        changes.applied.retain(|key| key != "game.command");
        changes.needs_restart.push("game.command".to_owned());
    }
    (merged, changes)
}

/// Whether the merged configuration is sound: `"{{ports.query}}"` may be new, and the port need a restart.
fn fits(merged: &AgentConfig, provenance: &Provenance, changes: &Changes) -> Result<(), NotReloaded> {
    let faults = check::faults(merged, provenance).into_iter().chain(validate::faults(merged));
    match faults.map(|fault| format!("{}: expected {}", fault.key, fault.expected)).next() {
        None => Ok(()),
        Some(fault) => Err(NotReloaded::Unfit { needs_restart: changes.needs_restart.clone(), fault }),
    }
}

/// For the timeline.
fn said(changes: &Changes) -> String {
    let mut text = "the configuration was read again".to_owned();
    if changes.applied.is_empty() && changes.needs_restart.is_empty() {
        text.push_str("; nothing has changed");
    }
    if !changes.applied.is_empty() {
        text.push_str(&format!("; applied: {}", changes.applied.join(", ")));
    }
    if !changes.needs_restart.is_empty() {
        let keys = changes.needs_restart.join(", ");
        text.push_str(&format!("; needs a restart (`gameside detach --restart`): {keys}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        host::paths::Places,
        model::{policy::ReadyBy, units::Span},
    };
    use std::path::Path;

    /// An agent that has read `text`, and its configuration file.
    fn running(text: &str) -> (tempfile::TempDir, PathBuf, Reloader) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("agent.toml");
        std::fs::write(&file, text).unwrap();
        let runtime = dir.path().join("run");
        let env = |key: &str| (key == "GAMESIDE_RUNTIME_DIR").then(|| runtime.display().to_string());
        let uid = rustix::process::geteuid().as_raw();
        let places = Places::find(Some(&dir.path().join("state")), uid, env).unwrap();
        let loaded = validate::load(Some(&file), Vec::new(), Overrides::default()).unwrap();
        let found = settings::Found {
            ports: [("game".to_owned(), 7777)].into(),
            frontends: std::collections::BTreeMap::new(),
            hosts: crate::host::addresses::Hosts::default(),
            version: settings::version(&loaded.config).unwrap(),
            seed: 1,
        };
        let reloader = Reloader {
            path: Some(file.clone()),
            overrides: Overrides::default(),
            running: loaded.config,
            place: places.prepare_agent("one").unwrap(),
            found: watch::channel(Some(found)).1,
            telemetry: None,
        };
        (dir, file, reloader)
    }

    /// The core's settings after a reload, if there are new ones, and what the timeline says.
    fn reload(
        reloader: &mut Reloader,
        file: &Path,
        text: &str,
    ) -> (Option<Box<crate::core::settings::Settings>>, String) {
        std::fs::write(file, text).unwrap();
        let (mut core, mut said) = (None, String::new());
        for order in reloader.reload() {
            match order {
                Control::Reload(settings) => core = Some(settings),
                Control::Note { text, .. } => said = text,
                Control::Terminate => panic!("a reload ends nothing"),
            }
        }
        (core, said)
    }

    const GAME: &str = "[game]\ncommand = [\"./server\"]\n[session.startup]\nmap = \"dm1\"\n";

    #[test]
    fn each_changed_key_is_applied_or_needs_a_restart() {
        let (_dir, file, mut reloader) = running(GAME);
        let text = format!("{GAME}[guards]\nempty_timeout = \"7s\"\n[hooks]\ntimeout = \"9s\"\n");
        let (core, said) = reload(&mut reloader, &file, &text);
        assert_eq!(core.unwrap().guards.empty_timeout, Some(Span::from_secs(7)));
        assert!(said.contains("applied: guards.empty_timeout;"), "{said}");
        assert!(said.ends_with("needs a restart (`gameside detach --restart`): hooks.timeout"), "{said}");
        // What was applied is no news; what waits for a restart still waits.
        let (_, said) = reload(&mut reloader, &file, &text);
        assert!(!said.contains("applied") && said.ends_with(": hooks.timeout"), "{said}");
    }

    #[test]
    fn a_new_proof_of_readiness_waits_for_the_agent_that_can_watch_for_it() {
        let (_dir, file, mut reloader) = running(GAME);
        let text = format!("{GAME}[game.readiness]\nby = \"log\"\npattern = \"^up$\"\ntimeout = \"9s\"\n");
        let (core, said) = reload(&mut reloader, &file, &text);
        let readiness = core.unwrap().readiness;
        assert_eq!((readiness.by, readiness.pattern, readiness.timeout), (ReadyBy::Auto, None, Span::from_secs(9)));
        assert!(said.contains("applied: game.readiness.timeout; needs a restart"), "{said}");
        assert!(said.ends_with("game.readiness.by, game.readiness.pattern"), "{said}");
    }

    #[test]
    fn no_key_is_applied_by_the_core_alone_while_an_edge_keeps_the_old() {
        let (_dir, file, mut reloader) = running(GAME);
        let text = format!(
            "{GAME}[session]\nregion = \"eu\"\nca_file = \"/ca.pem\"\n[game.stop.quit]\nby = \"stdin\"\n\
             [custom_data]\nbrowser = {{ a = \"b\" }}\n"
        )
        .replace("[session.startup]", "version = \"2.0.0\"\ndir = \"/srv\"\n[session.startup]");
        let before = settings::core(&reloader.running, &reloader.place, reloader.found.borrow().as_ref().unwrap());
        let (core, said) = reload(&mut reloader, &file, &text);
        assert_eq!(*core.unwrap(), before.unwrap());
        for key in [
            "session.region",
            "session.ca_file",
            "game.stop.quit.by",
            "custom_data.browser",
            "game.dir",
            "game.version",
        ] {
            assert!(said.contains(key), "{key}: {said}");
        }
    }

    #[test]
    fn what_is_applied_has_to_fit_what_stays() {
        let (_dir, file, mut reloader) = running(GAME);
        let text = GAME.replace("\"./server\"", "\"./server\", \"{{ports.query}}\"")
            + "[game.ports.game]\nrange = \"20000-20999\"\n[game.ports.query]\nrange = \"7000-7999\"\n";
        let (core, said) = reload(&mut reloader, &file, &text);
        assert!(core.is_none() && said.contains("game.ports") && said.contains("game.command[1]"), "{said}");
    }

    #[test]
    fn the_practice_game_and_another_are_not_exchanged_under_a_running_agent() {
        let (_dir, file, mut reloader) = running("");
        let (core, said) = reload(&mut reloader, &file, GAME);
        assert!(said.contains("needs a restart") && said.contains("game.command"), "{said}");
        assert_eq!(core.unwrap().readiness.by, ReadyBy::Sdk);
    }

    #[test]
    fn a_file_with_a_fault_changes_nothing() {
        let (_dir, file, mut reloader) = running(GAME);
        let (core, said) = reload(&mut reloader, &file, &GAME.replace("dm1\"", "dm1"));
        assert!(core.is_none() && said.starts_with("not reloaded, all stays as it was: "), "{said}");
    }

    #[test]
    fn what_the_command_line_said_is_said_again() {
        let (_dir, file, mut reloader) = running(GAME);
        reloader.overrides = Overrides { log: Some("debug".into()), connect_keeper: true, ..Overrides::default() };
        reloader.running = validate::load(Some(&file), Vec::new(), reloader.overrides.clone()).unwrap().config;
        let (_, said) = reload(&mut reloader, &file, &format!("[agent]\nlog = \"warn\"\n{GAME}"));
        assert_eq!(said, "the configuration was read again; nothing has changed");
        assert_eq!(reloader.running.agent.log.as_deref(), Some("debug"));
    }
}
