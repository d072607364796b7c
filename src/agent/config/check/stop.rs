//! How the game is stopped: `[game.stop]`.

use super::Faults;
use crate::{
    agent::config::{AgentConfig, game::QuitBy},
    model::{policy::Transport, units::Span},
};
use std::time::Duration;

/// What the ladder needs beyond its own time to report the end.
const REPORTING: Duration = Duration::from_secs(2);

pub(super) fn ladder(config: &AgentConfig, faults: &mut Faults) {
    let ladder = &config.game.stop.ladder;
    faults.require(
        !ladder.is_empty(),
        "game.stop.ladder",
        "at least one step, such as { signal = \"SIGTERM\", wait = \"20s\" }",
    );
    for (index, rung) in ladder.iter().enumerate() {
        let key = format!("game.stop.ladder[{index}]");
        faults.require(rung.step().is_some(), &key, "exactly one of stdin, signal and kill in a step");
        faults.positive(rung.wait, &format!("{key}.wait"));
        let one_line = rung.stdin.as_deref().is_none_or(|line| !line.contains(['\n', '\r']));
        faults.require(one_line, &format!("{key}.stdin"), "one line; its end is added");
    }
    let needs = config.game.stop.steps().iter().map(|step| step.wait).sum::<Duration>() + REPORTING;
    if let Some(deadline) = config.drain.host_deadline {
        let expected = format!("at least {}, which the stop ladder needs to end and report", Span(needs));
        faults.require(deadline.get() >= needs, "drain.host_deadline", &expected);
    }
}

pub(super) fn quit(config: &AgentConfig, faults: &mut Faults) {
    let (quit, ports) = (&config.game.stop.quit, &config.game.ports);
    if quit.by == QuitBy::Nothing {
        return;
    }
    faults.positive(quit.wait, "game.stop.quit.wait");
    let text = &quit.command;
    let one_line = !text.trim().is_empty() && !text.contains(['\n', '\r', '\0']);
    faults.require(one_line || quit.by == QuitBy::Sdk, "game.stop.quit.command", "one line; its end is added");
    if quit.is_rcon() {
        let name = quit.port.as_ref().unwrap_or(&config.addresses.port);
        let port = ports.get(name);
        faults.require(port.is_some(), "game.stop.quit.port", "the name of the remote console's port in [game.ports]");
        let tcp = port.is_none_or(|port| port.protocol != Transport::Udp);
        let expected =
            format!("protocol = \"tcp\" or \"both\" for [game.ports.{name}]: the remote console listens there");
        faults.require(tcp, "game.stop.quit.port", &expected);
    }
}
