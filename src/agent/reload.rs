//! SIGHUP: the configuration is read again; what can change changes, and what can't is said.

use super::{Options, inbox::Control, settings};
use crate::{
    agent::validate,
    config::agent::{AgentConfig, Overrides},
    config::report::Style,
    host::{notify, paths::AgentPlace, telemetry::Telemetry},
};
use std::path::PathBuf;
use tokio::sync::watch;

/// Reads the file again as it was read at the start.
#[derive(Debug)]
pub struct Reloader {
    path: Option<PathBuf>,
    overrides: Overrides,
    running: AgentConfig,
    place: AgentPlace,
    /// What was found out about this machine; none: the agent is still starting.
    found: watch::Receiver<Option<settings::Found>>,
    telemetry: Option<Telemetry>,
}

impl Reloader {
    /// The sender is given what was found out as soon as it is known.
    pub fn new(options: &Options, place: AgentPlace) -> (Self, watch::Sender<Option<settings::Found>>) {
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
    pub fn reload(&mut self) -> Vec<Control> {
        notify::reloading();
        let orders = self.read().unwrap_or_else(|why| vec![note(format!("not reloaded, all stays as it was: {why}"))]);
        notify::ready("reloaded");
        orders
    }

    fn read(&mut self) -> Result<Vec<Control>, String> {
        let found = self.found.borrow().clone().ok_or("the agent is still starting")?;
        let loaded = validate::load(self.path.as_deref(), validate::environment(), self.overrides.clone())
            .map_err(|report| report.render(Style::Plain))?;
        let (config, fixed) = merge(&self.running, loaded.config);
        if let (Some(telemetry), Some(filter)) = (&self.telemetry, &config.agent.log) {
            telemetry.set_filter(filter).map_err(|error| error.to_string())?;
        }
        let core = settings::core(&config, &self.place, &found).map_err(|error| error.to_string())?;
        self.running = config;
        let text = if fixed.is_empty() {
            "the configuration was read again".to_owned()
        } else {
            format!(
                "the configuration was read again; needs a new agent (`gameside detach --restart`): {}",
                fixed.join(", ")
            )
        };
        Ok(vec![Control::Reload(Box::new(core)), note(text)])
    }
}

fn note(text: String) -> Control {
    Control::Note { kind: "reload", text }
}

/// The new configuration with what can't change in a running agent as it was, and the names of what was meant to.
fn merge(running: &AgentConfig, new: AgentConfig) -> (AgentConfig, Vec<&'static str>) {
    let mut fixed = Vec::new();
    let mut keep = |differs: bool, name: &'static str| {
        if differs {
            fixed.push(name);
        }
    };
    keep(new.agent.name != running.agent.name, "agent.name");
    keep(new.agent.log_format != running.agent.log_format, "agent.log_format");
    keep(new.game.ports != running.game.ports, "game.ports");
    keep(new.probe != running.probe, "[probe]");
    keep(new.log_patterns != running.log_patterns, "[log_patterns]");
    keep(new.allocation != running.allocation, "[allocation]");
    keep(new.session.url != running.session.url, "session.url");
    keep(new.session.call_timeout != running.session.call_timeout, "session.call_timeout");
    keep(new.credentials != running.credentials, "[credentials]");
    keep(new.addresses != running.addresses, "[addresses]");
    keep(new.keeper != running.keeper, "[keeper]");
    keep(new.hooks != running.hooks, "[hooks]");
    keep(new.api != running.api, "[api]");
    keep(new.gsdk != running.gsdk, "[gsdk]");
    keep(new.a2s != running.a2s, "[a2s]");
    keep(new.agones != running.agones, "[agones]");
    let mut merged = new;
    let old = running.clone();
    merged.agent.name = old.agent.name;
    merged.agent.log_format = old.agent.log_format;
    merged.game.ports = old.game.ports;
    merged.probe = old.probe;
    merged.log_patterns = old.log_patterns;
    merged.allocation = old.allocation;
    merged.session.url = old.session.url;
    merged.session.call_timeout = old.session.call_timeout;
    merged.credentials = old.credentials;
    merged.addresses = old.addresses;
    merged.keeper = old.keeper;
    merged.hooks = old.hooks;
    merged.api = old.api;
    merged.gsdk = old.gsdk;
    merged.a2s = old.a2s;
    merged.agones = old.agones;
    (merged, fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::Span;

    #[test]
    fn what_can_change_changes_and_the_rest_is_named() {
        let running = AgentConfig::default();
        let mut new = running.clone();
        new.guards.empty_timeout = Some(Span::from_secs(7));
        new.session.url = "https://elsewhere.example".into();
        let (merged, fixed) = merge(&running, new);
        assert_eq!(merged.guards.empty_timeout, Some(Span::from_secs(7)));
        assert_eq!(merged.session.url, running.session.url);
        assert_eq!(fixed, ["session.url"]);
    }
}
