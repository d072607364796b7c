//! `[agones]`: the Agones SDK for games that were built for it.

use crate::model::{game::IfTaken, units::Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};

/// `[agones]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Agones {
    /// Whether it is served.
    pub enabled: bool,
    /// Where gRPC is served; the game finds the port in AGONES_SDK_GRPC_PORT. Port 0: a free one.
    #[schemars(with = "String")]
    pub grpc: SocketAddr,
    /// Where REST is served; the game finds the port in AGONES_SDK_HTTP_PORT. Port 0: a free one.
    #[schemars(with = "String")]
    pub http: SocketAddr,
    /// What becomes of a port that somebody else has: another one is used, or the agent doesn't start.
    pub if_taken: IfTaken,
    /// Where the capacity of player tracking begins. Unset: player tracking isn't used until the game sets one.
    #[schemars(example = &16)]
    pub player_capacity: Option<u32>,
    /// The list whose values are the connected players, for games that keep them so. Unset: none.
    #[schemars(example = &"players")]
    pub players_list: Option<String>,
    /// The counter whose count is the number of connected players. Unset: none.
    #[schemars(example = &"players")]
    pub players_counter: Option<String>,
    /// How health pings are judged.
    pub health: Pings,
    /// The game's counters, by name, as in the GameServer's specification.
    pub counters: BTreeMap<String, Counter>,
    /// The game's lists, by name, as in the GameServer's specification.
    pub lists: BTreeMap<String, List>,
}

impl Default for Agones {
    fn default() -> Self {
        Agones {
            enabled: true,
            grpc: SocketAddr::from(([127, 0, 0, 1], 9357)),
            http: SocketAddr::from(([127, 0, 0, 1], 9358)),
            if_taken: IfTaken::default(),
            player_capacity: None,
            players_list: None,
            players_counter: None,
            health: Pings::default(),
            counters: BTreeMap::new(),
            lists: BTreeMap::new(),
        }
    }
}

/// `[agones.health]`: a game that uses this SDK and sends no ping for so long is unhealthy. What follows is in `[health]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Pings {
    /// Pings aren't counted.
    pub disabled: bool,
    /// How often a ping is expected.
    pub period: Span,
    /// So many periods without one make it unhealthy.
    pub failure_threshold: u32,
    /// How long after the start of the game counting begins.
    pub initial_delay: Span,
}

impl Default for Pings {
    fn default() -> Self {
        Pings { disabled: false, period: Span::from_secs(5), failure_threshold: 3, initial_delay: Span::from_secs(5) }
    }
}

/// One counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Counter {
    /// Where it begins.
    pub count: u32,
    /// Its limit.
    pub capacity: u32,
}

/// One list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct List {
    /// How many values it takes, at most 1000.
    pub capacity: u32,
    /// What it begins with.
    pub values: Vec<String>,
}
