//! The game's ports: those of the last life again, else free ones, reserved across the agents of this machine.
//!
//! A game that was kept through an agent's crash still has its ports bound, so an earlier port is taken again without a try.

use crate::{
    config::agent::AgentConfig,
    host::{
        files, lock,
        paths::{AgentPlace, Places},
        ports::{NoPort, Ports, Reserved},
    },
};
use std::collections::BTreeMap;

/// The reservations; dropping them gives the ports back.
#[derive(Debug)]
pub struct GamePorts {
    reserved: BTreeMap<String, Reserved>,
}

impl GamePorts {
    /// Numbers by name.
    pub fn numbers(&self) -> BTreeMap<String, u16> {
        self.reserved.iter().map(|(name, reserved)| (name.clone(), reserved.port)).collect()
    }
}

/// Reserves every configured port.
pub fn reserve(config: &AgentConfig, places: &Places, place: &AgentPlace) -> Result<GamePorts, NoPort> {
    let ports = Ports::new(&places.ports(), &format!("agent {}", place.name));
    // Where no keeper is, no game of ours has them either, and they are tried like any other.
    let kept = !matches!(lock::holder(&place.keeper_lock()), Ok(None));
    let earlier = if kept { earlier(place) } else { BTreeMap::new() };
    let mut reserved = BTreeMap::new();
    for (name, port) in &config.game.ports {
        let again = earlier.get(name).filter(|number| port.range.ports().contains(number));
        let taken = match again.map(|number| ports.again(*number)) {
            Some(Ok(taken)) => taken,
            Some(Err(NoPort::Reserved { .. })) | None => ports.pick(name, port.range.ports(), port.protocol)?,
            Some(Err(error)) => return Err(error),
        };
        reserved.insert(name.clone(), taken);
    }
    let ports = GamePorts { reserved };
    let text = serde_json::to_vec(&ports.numbers()).unwrap_or_default();
    if let Err(error) = files::write(&place.ports(), &text, 0o644) {
        tracing::warn!(%error, "the ports could not be noted; after a crash others may be used");
    }
    Ok(ports)
}

fn earlier(place: &AgentPlace) -> BTreeMap<String, u16> {
    let text = files::read(&place.ports(), 64 * 1024).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}
