//! The game's ports: those of the last life again, else free ones, reserved across the agents of
//! this machine.
//!
//! | when | a port is |
//! |---|---|
//! | the keeper holds a game that was kept | the one of the last life, without a try: the game has it bound |
//! | the agent starts otherwise | the one of the last life if it is free, else another |
//! | a run ended before it was ready ([`GamePorts::renew`]) | another, if somebody else has bound it meanwhile |

use super::config::AgentConfig;
use crate::{
    host::{
        files,
        paths::AgentPlace,
        ports::{self, NoPort, Reserved},
    },
    keeper::{self, Presence},
    model::{
        ordered::{Ordered, Ports as Numbers},
        policy::Transport,
        process::{ExitReport, RunState},
    },
};
use std::{ops::RangeInclusive, path::PathBuf};

/// The reservations; dropping them gives the ports back.
#[derive(Debug, Default)]
pub struct GamePorts {
    ports: Ordered<Port>,
    /// Where the next life finds them.
    note: PathBuf,
}

#[derive(Debug)]
struct Port {
    reserved: Reserved,
    range: RangeInclusive<u16>,
    transport: Transport,
}

/// A run that ended before it was ready, and what its ports have to do with it.
#[derive(Debug)]
pub struct Examined {
    pub report: ExitReport,
    /// For the timeline, a sentence each.
    pub taken: Vec<String>,
    /// The ports from now on, if there are others.
    pub renewed: Option<Numbers>,
}

/// Reserves every configured port.
pub(crate) fn reserve(config: &AgentConfig, place: &AgentPlace) -> Result<GamePorts, NoPort> {
    let earlier = earlier(place);
    let kept = match keeper::probe(&place.dir) {
        Presence::None => false,
        Presence::Silent { .. } => true,
        Presence::Here(hello) => match hello.run {
            RunState::Running { .. } | RunState::Unkillable { .. } => true,
            RunState::Empty | RunState::Exited { .. } => false,
        },
    };
    let mut reserved = Ordered::default();
    for (name, port) in config.game.ports.iter() {
        let (range, transport) = (port.range.ports(), port.protocol);
        let again = earlier.get(name).copied().filter(|number| range.contains(number));
        let taken = match again {
            Some(number) if kept || ports::is_free(number, transport)? => ports::again(number),
            Some(_) | None => ports::pick(name, range.clone(), transport),
        };
        let taken = match taken {
            Err(NoPort::Reserved { .. }) => ports::pick(name, range.clone(), transport)?,
            other => other?,
        };
        reserved.insert(name.clone(), Port { reserved: taken, range, transport });
    }
    let ports = GamePorts { ports: reserved, note: place.ports() };
    ports.write_down();
    Ok(ports)
}

impl GamePorts {
    /// Numbers by name.
    pub fn numbers(&self) -> Numbers {
        self.ports.iter().map(|(name, port)| (name.clone(), port.reserved.port)).collect()
    }

    /// While no game of ours runs: what somebody else has bound is given up for another port of its range, where there is one.
    pub fn renew(&mut self, report: ExitReport) -> Examined {
        let mut taken = Vec::new();
        let mut moved = false;
        for (name, port) in self.ports.iter_mut() {
            let number = port.reserved.port;
            if !matches!(ports::is_free(number, port.transport), Ok(false)) {
                continue;
            }
            let lost = format!("port {number} ({name}) was reserved for the game, but another program has bound it");
            match ports::pick(name, port.range.clone(), port.transport) {
                Ok(other) => {
                    taken.push(format!("{lost}; the next start gets {}", other.port));
                    port.reserved = other;
                    moved = true;
                }
                Err(error) => taken.push(format!("{lost}; {error}")),
            }
        }
        if moved {
            self.write_down();
        }
        Examined { report, taken, renewed: moved.then(|| self.numbers()) }
    }

    fn write_down(&self) {
        let text = serde_json::to_vec(&self.numbers()).unwrap_or_default();
        if let Err(error) = files::write(&self.note, &text, 0o644) {
            tracing::warn!(%error, "the ports could not be noted; after a crash others may be used");
        }
    }
}

fn earlier(place: &AgentPlace) -> Numbers {
    let text = files::read(&place.ports(), 64 * 1024).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}
