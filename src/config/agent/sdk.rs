//! What games speak that were built for other platforms: `[gsdk]`, `[a2s]`.

use crate::model::{game::IfTaken, units::Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// When a PlayFab game is told to terminate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Terminate {
    /// When it is stopped. A drain before that shows as scheduled maintenance, and players may finish.
    #[default]
    AtStop,
    /// As soon as it is drained: for games that let players finish by themselves.
    AtDrain,
}

/// `[gsdk]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gsdk {
    /// Whether a game may use it. It finds everything in GSDK_CONFIG_FILE.
    pub enabled: bool,
    /// Where heartbeats are taken, on the loopback. Port 0: a free one.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// What becomes of a port that somebody else has: another one is used, or the agent doesn't start.
    pub if_taken: IfTaken,
    /// When the game is told to terminate.
    pub terminate: Terminate,
    /// Whether the health that the game reports counts. Some flavours say "Unhealthy" where the game registered no health callback.
    pub trust_health: bool,
    /// Whether an empty list of players counts before anybody was named. Some flavours send it although the game never names its players.
    pub empty_means_nobody: bool,
    /// The title's id.
    pub title_id: String,
    /// The build's id. Unset: the game's version, else the agent's name.
    #[schemars(example = &"0f2a5c9e-5b0e-4f0e-9d52-3b0f6f0c2a11")]
    pub build_id: Option<String>,
    /// Where the game and its SDK write logs. Unset: the game's working directory, else /tmp.
    #[schemars(example = &"/srv/game/logs")]
    pub log_dir: Option<PathBuf>,
    /// The folder that servers of a machine share. Unset: as `log_dir`.
    #[schemars(example = &"/srv/game/shared")]
    pub shared_content_dir: Option<PathBuf>,
    /// The folder with the game's certificates. Unset: as `log_dir`.
    #[schemars(example = &"/srv/game/certificates")]
    pub certificate_dir: Option<PathBuf>,
    /// Certificates by name: their thumbprints.
    #[schemars(extend("x-case" = "kept"))]
    pub certificates: BTreeMap<String, String>,
    /// The build's metadata.
    #[schemars(extend("x-case" = "kept"))]
    pub metadata: BTreeMap<String, String>,
}

impl Default for Gsdk {
    fn default() -> Self {
        Gsdk {
            enabled: true,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            if_taken: IfTaken::default(),
            terminate: Terminate::default(),
            trust_health: false,
            empty_means_nobody: false,
            title_id: "gameside".to_owned(),
            build_id: None,
            log_dir: None,
            shared_content_dir: None,
            certificate_dir: None,
            certificates: BTreeMap::new(),
            metadata: BTreeMap::new(),
        }
    }
}

/// `[a2s]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct A2s {
    /// Whether Gameside answers Steam's server queries for a game that doesn't.
    pub enabled: bool,
    /// Name of the port in `[game.ports]` on which it answers. The game must leave that one alone.
    pub port: String,
    /// The address on which it answers.
    #[schemars(with = "String")]
    pub host: IpAddr,
    /// The server's name. Unset: the agent's.
    #[schemars(example = &"Arena 1 (Frankfurt)")]
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
    #[schemars(extend("x-case" = "kept"))]
    pub rules: BTreeMap<String, String>,
    /// Answers a second, to everybody together.
    pub rate: u32,
    /// Answers a second to one address.
    pub rate_per_address: u32,
    /// How long a challenge is good for.
    pub challenge_lifetime: Span,
}

impl Default for A2s {
    fn default() -> Self {
        A2s {
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
