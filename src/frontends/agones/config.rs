//! `[agones]`: the Agones SDK for games that were built for it.

use super::{HealthSpec, Settings, counters_lists};
use crate::model::{game::IfTaken, policy::SdkPings, section::section, units::Span};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};

/// `[agones]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AgonesConfig {
    /// Whether it is served.
    pub enabled: bool,
    /// Where gRPC is served; the game finds the port in AGONES_SDK_GRPC_PORT. Port 0: a free one.
    #[cfg_attr(test, schemars(with = "String"))]
    pub grpc: SocketAddr,
    /// Where REST is served; the game finds the port in AGONES_SDK_HTTP_PORT. Port 0: a free one.
    #[cfg_attr(test, schemars(with = "String"))]
    pub http: SocketAddr,
    /// What becomes of a port that somebody else has: another one is used, or the agent doesn't start.
    pub if_taken: IfTaken,
    /// Where the capacity of player tracking begins. Unset: player tracking isn't used until the game sets one.
    #[cfg_attr(test, schemars(example = &16))]
    pub player_capacity: Option<u32>,
    /// The list whose values are the connected players, for games that keep them so. Unset: none.
    #[cfg_attr(test, schemars(example = &"players"))]
    pub players_list: Option<String>,
    /// The counter whose count is the number of connected players. Unset: none.
    #[cfg_attr(test, schemars(example = &"players"))]
    pub players_counter: Option<String>,
    /// How health pings are judged.
    pub health: Pings,
    /// The game's counters, by name, as in the GameServer's specification.
    pub counters: BTreeMap<String, CounterConfig>,
    /// The game's lists, by name, as in the GameServer's specification.
    pub lists: BTreeMap<String, ListConfig>,
}

impl Default for AgonesConfig {
    fn default() -> Self {
        AgonesConfig {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CounterConfig {
    /// Where it begins.
    pub count: u32,
    /// Its limit.
    pub capacity: u32,
}

/// One list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ListConfig {
    /// How many values it takes, at most 1000.
    pub capacity: u32,
    /// What it begins with.
    pub values: Vec<String>,
}

section!(AgonesConfig {
    needs_restart: enabled, grpc, http, if_taken, player_capacity, players_list, players_counter, counters, lists;
    sections: health;
});
section!(Pings {
    needs_restart: disabled, period, failure_threshold, initial_delay;
});

impl Settings {
    /// `None`: the SDK isn't served. `public`, `private`: under which players reach this machine.
    pub fn of(config: &AgonesConfig, public: Option<String>, private: Option<String>) -> Option<Settings> {
        let AgonesConfig {
            enabled,
            grpc,
            http,
            if_taken,
            player_capacity,
            players_list,
            players_counter,
            health,
            counters,
            lists,
        } = config;
        enabled.then(|| Settings {
            grpc: *grpc,
            http: *http,
            if_taken: *if_taken,
            health: HealthSpec::of(health),
            counters: counters
                .iter()
                .map(|(name, counter)| (name.clone(), counters_lists::Counter::of(*counter)))
                .collect(),
            lists: lists.iter().map(|(name, list)| (name.clone(), counters_lists::List::of(list))).collect(),
            player_capacity: player_capacity.map(i64::from),
            players_list: players_list.clone(),
            players_counter: players_counter.clone(),
            public,
            private,
        })
    }
}

impl AgonesConfig {
    /// The pings that a game of this SDK promises; none where they aren't counted.
    pub fn sdk_pings(&self) -> Option<SdkPings> {
        let HealthSpec { disabled, period, failure_threshold, initial_delay } = HealthSpec::of(&self.health);
        (self.enabled && !disabled).then_some(SdkPings { period, failure_threshold, initial_delay })
    }
}

impl HealthSpec {
    fn of(config: &Pings) -> Self {
        let Pings { disabled, period, failure_threshold, initial_delay } = config;
        HealthSpec {
            disabled: *disabled,
            period: period.get(),
            failure_threshold: *failure_threshold,
            initial_delay: initial_delay.get(),
        }
    }
}

impl counters_lists::Counter {
    fn of(config: CounterConfig) -> Self {
        let CounterConfig { count, capacity } = config;
        counters_lists::Counter { count: count.into(), capacity: capacity.into() }
    }
}

impl counters_lists::List {
    fn of(config: &ListConfig) -> Self {
        let ListConfig { capacity, values } = config;
        counters_lists::List { capacity: (*capacity).into(), values: values.clone() }
    }
}
