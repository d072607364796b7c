//! `[a2s]`: Steam's server queries.

use super::Settings;
use crate::model::{CustomData, section::section, units::Span};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

/// `[a2s]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct A2sConfig {
    /// Whether Gameside answers Steam's server queries for a game that doesn't.
    pub enabled: bool,
    /// Name of the port in `[game.ports]` on which it answers. The game must leave that one alone.
    pub port: String,
    /// The address on which it answers.
    #[cfg_attr(test, schemars(with = "String"))]
    pub host: IpAddr,
    /// The server's name. Unset: the agent's.
    #[cfg_attr(test, schemars(example = &"Arena 1 (Frankfurt)"))]
    pub name: Option<String>,
    /// The game's name as people know it.
    pub game: String,
    /// The game's directory name.
    pub folder: String,
    /// Steam's id of the game; 0 = none.
    pub app_id: u32,
    /// Words for server browsers to filter by, with commas.
    pub keywords: String,
    /// More rules (names and values) to show. The browser's custom data is always among them.
    #[cfg_attr(test, schemars(extend("x-case" = "kept")))]
    pub rules: BTreeMap<String, String>,
    /// Answers a second, to everybody together.
    pub rate: u32,
    /// Answers a second to one address.
    pub rate_per_address: u32,
    /// How long a challenge is good for.
    pub challenge_lifetime: Span,
}

impl Default for A2sConfig {
    fn default() -> Self {
        A2sConfig {
            enabled: false,
            port: "query".to_owned(),
            host: Ipv4Addr::UNSPECIFIED.into(),
            name: None,
            game: "Gameside".to_owned(),
            folder: "gameside".to_owned(),
            app_id: 0,
            keywords: String::new(),
            rules: BTreeMap::new(),
            rate: 500,
            rate_per_address: 20,
            challenge_lifetime: Span::from_secs(30),
        }
    }
}

section!(A2sConfig {
    needs_restart: enabled, port, host, name, game, folder, app_id, keywords, rules, rate, rate_per_address,
        challenge_lifetime;
});

/// What the answers are made of besides the section itself.
#[derive(Debug)]
pub struct ServerContext<'a> {
    /// The agent's name.
    pub agent: &'a str,
    /// Where it answers: the number of the port that the section names.
    pub port: u16,
    /// The port, by name, that players connect to.
    pub players: &'a str,
    /// The session browser's custom data, which is among the rules.
    pub browser: &'a CustomData,
}

impl Settings {
    /// `enabled` and `port` are the caller's, who reserves the port.
    pub fn of(config: &A2sConfig, around: &ServerContext<'_>) -> Settings {
        let A2sConfig {
            enabled: _,
            port: _,
            host,
            name,
            game,
            folder,
            app_id,
            keywords,
            rules,
            rate,
            rate_per_address,
            challenge_lifetime,
        } = config;
        Settings {
            listen: (*host, around.port).into(),
            name: name.clone().unwrap_or_else(|| around.agent.to_owned()),
            game: game.clone(),
            folder: folder.clone(),
            app_id: *app_id,
            keywords: keywords.clone(),
            rules: around.browser.clone().into_iter().chain(rules.clone()).collect(),
            port: around.players.to_owned(),
            rate: *rate,
            rate_per_address: *rate_per_address,
            challenge_lifetime: challenge_lifetime.get(),
        }
    }
}
