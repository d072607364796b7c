//! What the session should show of the match: a level, made from the facts whenever one has
//! changed.

use super::{
    facts::Facts,
    game_match::{Match, MatchPhase},
    launch,
    settings::Settings,
};
use crate::model::{
    CustomData,
    game::CustomDataOf,
    session::{InstanceUpdate, JoinParams},
};

/// The key under which the join token travels.
pub(super) const JOIN_TOKEN_KEY: &str = "rh.SessionSecurityToken";

/// Where players connect to; empty where it isn't known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    public: String,
    private: String,
}

impl Addresses {
    /// Public only if it is known: a private address never goes there.
    pub(super) fn new(settings: &Settings) -> Self {
        let addresses = &settings.addresses;
        let fill = |host: &Option<String>, format: &str| {
            let host = host.as_deref()?;
            launch::address(format, host, &addresses.port, &settings.launch.ports).ok()
        };
        Addresses {
            public: fill(&addresses.public, &addresses.public_format).unwrap_or_default(),
            private: fill(&addresses.private, &addresses.private_format).unwrap_or_default(),
        }
    }

    /// The public one and the private one.
    pub(super) fn both(&self) -> (&str, &str) {
        (&self.public, &self.private)
    }
}

/// The level of the instance.
pub(super) fn level(facts: &Facts, game: &Match) -> InstanceUpdate {
    let ready = game.first_joinable.is_some() || facts.game.phase == MatchPhase::Serving;
    InstanceUpdate {
        allocation_id: None,
        join_status: facts.join_status(),
        join_params: ready.then(|| join_params(facts, game)),
        version: version(facts),
        custom_data: ready.then(|| custom(facts, CustomDataOf::Instance)),
        match_id: game.match_id.as_ref().filter(|_| ready).map(|id| id.as_str().to_owned()),
    }
}

/// The data for the session browser, where the agent may write it.
pub(super) fn browser(facts: &Facts, game: &Match) -> Option<CustomData> {
    let ours = game.own || facts.words.custom.contains_key(&CustomDataOf::Browser);
    ours.then(|| custom(facts, CustomDataOf::Browser))
}

pub(super) fn version(facts: &Facts) -> Option<semver::Version> {
    facts.words.version.clone().or_else(|| facts.settings.launch.version.clone())
}

pub(super) fn join_params(facts: &Facts, game: &Match) -> JoinParams {
    let mut custom_data = custom(facts, CustomDataOf::JoinParams);
    if let Some(token) = &game.join_token {
        custom_data.insert(JOIN_TOKEN_KEY.to_owned(), token.clone());
    }
    let (public, private) = facts.addresses.both();
    JoinParams { public_conn_str: public.to_owned(), private_conn_str: private.to_owned(), custom_data }
}

/// The configuration's data, and the game's over it; an empty value of the game's removes the key.
pub(super) fn custom(facts: &Facts, whose: CustomDataOf) -> CustomData {
    let session = &facts.settings.session;
    let mut data = match whose {
        CustomDataOf::Instance => session.instance_data.clone(),
        CustomDataOf::JoinParams => session.join_data.clone(),
        CustomDataOf::Browser => session.browser_data.clone(),
    };
    if whose == CustomDataOf::Instance {
        data.extend(played(facts));
    }
    for (key, value) in facts.words.custom.get(&whose).into_iter().flatten() {
        if value.is_empty() {
            data.remove(key);
        } else {
            data.insert(key.clone(), value.clone());
        }
    }
    data
}

/// The map and mode that are played now, where the match was started with others.
fn played(facts: &Facts) -> Vec<(String, String)> {
    let Some(game) = facts.game.game.as_deref() else { return Vec::new() };
    let map = facts.words.map.clone().filter(|map| *map != game.params.map);
    let mode = facts.words.mode.clone().filter(|mode| Some(mode) != game.params.mode.as_ref());
    [("map", map), ("mode", mode)].into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?))).collect()
}
