//! What can be said of an agent that is down: what its journal and its keeper know, seen through the core's own eyes.

use super::{
    config::{AgentConfig, Overrides, load},
    journal,
    record::AgentRecord,
    settings,
};
use crate::{
    core::{
        Core,
        io::{Input, Restored, SavedState},
    },
    host::addresses::Hosts,
    host::paths::AgentPlace,
    keeper::{self, Presence, probe},
    model::{ids::KeeperId, keeper::KeeperFact, ordered::Ports, process::KeeperHello, status::Status, time::Now},
};
use std::collections::BTreeMap;

/// The status of a dead agent. Nothing is taken over and nothing changed.
pub fn status(name: &str, place: &AgentPlace, now: Now) -> Status {
    let saved = match journal::peek(&place.journal()) {
        Ok(Some(text)) => SavedState::Journal(text),
        Ok(None) | Err(_) => SavedState::Fresh,
    };
    let overrides = Overrides { name: Some(name.to_owned()), ..Overrides::default() };
    let config = load(None, [], overrides).map_or_else(|_| AgentConfig::default(), |loaded| loaded.config);
    let found = settings::Found {
        ports: Ports::default(),
        frontends: BTreeMap::new(),
        hosts: Hosts::default(),
        version: None,
        seed: 0,
    };
    let settings =
        settings::core(&config, place, &found).unwrap_or_else(|_| unreachable!("the defaults can be carried out"));
    let (mut core, _) = Core::new(settings, Restored { saved, entropy: [0; 32] }, now);
    let running = core.status().game.run.is_some();
    let (hello, gone) = match probe(&place.dir) {
        Presence::Here(hello) => (Some(hello), false),
        Presence::Silent { .. } => (None, false),
        // What ran under it is gone; the next keeper will say how it ended.
        Presence::None => (running.then(|| inherited(place)), true),
    };
    if let Some(hello) = hello {
        // The effects are dropped: this only looks.
        let _ = core.handle(Input::Keeper(KeeperFact::Connected(hello)), now);
    }
    let mut status = core.status();
    if gone {
        (status.keeper.connected, status.keeper.id, status.keeper.pid) = (false, None, None);
        status.keeper.containment = None;
        status.game.pid = None;
    }
    name.clone_into(&mut status.name);
    status.agent.api = None;
    status.agent.pid = 0;
    if let Ok(record) = AgentRecord::read(&place.record) {
        record.name.clone_into(&mut status.name);
    }
    status
}

fn inherited(place: &AgentPlace) -> Box<KeeperHello> {
    let nobody = KeeperId::new("nobody").unwrap_or_else(|_| unreachable!("a word is an id"));
    Box::new(keeper::inherited(&place.dir, nobody))
}
