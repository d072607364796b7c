//! The service's fixed resources: session types, regions, request templates, deserter rules. The
//! contract has no writes for them; they come from the configuration, under the names that the
//! contract gives them.

use crate::model::{
    CustomData,
    session::{HostType, StartupParams},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A session type ("template"). Flags are off unless said otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SessionType {
    /// What the game's engine calls such a session; Unreal: `Game` or `Party`.
    pub engine_session_type: String,
    /// Whether sessions of this type may queue for matchmaking.
    pub can_join_matchmaking: bool,
    /// Whether callers may create sessions of this type; else they can only join.
    pub can_be_created_by_players_directly: bool,
    /// Whether `POST /v1/session` first tries to join a public session of this type.
    pub attempt_auto_join: bool,
    /// Whether a new session is open to everybody.
    pub default_public: bool,
    /// Whether a new session is listed in the browser.
    pub auto_add_to_browser: bool,
    /// The listing's data when it is listed by itself.
    pub auto_browser_params: CustomData,
    /// Whether players may list sessions of this type.
    pub can_be_added_to_server_browser: bool,
    /// Whether a session stays when its last player leaves.
    pub keep_alive_on_empty: bool,
    /// What a session's platform sessions are called, by platform.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub platform_templates: BTreeMap<String, PlatformTemplate>,
    /// Starts an instance of this kind with every new session.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<serde_json::Value>"))]
    pub auto_startup_params: Option<StartupParams>,
    /// Starts an instance from this request template with every new session; beats `auto_startup_params`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub auto_startup_instance_template_id: Option<Uuid>,
    /// Free text for clients.
    pub custom_data: CustomData,
    /// How many teams a new session has, 1 to 50.
    pub num_teams: u32,
    /// How many players a team holds, 1 to 100.
    pub players_per_team: u32,
    /// Whether members may change their own team.
    pub can_change_own_team: bool,
    /// Whether a leader may put in anybody; else only friends, and those who come with their party.
    pub leader_adds: bool,
    /// Whether players may give a dedicated server raw startup parameters, and map, mode and custom data of any form.
    pub player_startup: bool,
    /// Whether players are told of a place that is held for them.
    pub notify_on_reservation: bool,
    /// A player who hasn't asked for the session for this many seconds is dropped; 0 = never.
    pub player_culling_timeout: u32,
}

impl Default for SessionType {
    fn default() -> Self {
        SessionType {
            engine_session_type: "Game".to_owned(),
            can_join_matchmaking: false,
            can_be_created_by_players_directly: false,
            attempt_auto_join: false,
            default_public: false,
            auto_add_to_browser: false,
            auto_browser_params: CustomData::new(),
            can_be_added_to_server_browser: false,
            keep_alive_on_empty: false,
            platform_templates: BTreeMap::new(),
            auto_startup_params: None,
            auto_startup_instance_template_id: None,
            custom_data: CustomData::new(),
            num_teams: 1,
            players_per_team: 4,
            can_change_own_team: true,
            leader_adds: false,
            player_startup: false,
            notify_on_reservation: true,
            player_culling_timeout: 0,
        }
    }
}

impl SessionType {
    /// The type `default` of a service without a configuration: open, of 16 players, made and listed by anybody; it
    /// stays when the last player leaves, as a dedicated server's own session must.
    pub fn built_in() -> Self {
        SessionType {
            can_be_created_by_players_directly: true,
            default_public: true,
            can_be_added_to_server_browser: true,
            keep_alive_on_empty: true,
            players_per_team: 16,
            ..SessionType::default()
        }
    }
}

/// A platform's name for the platform sessions of a session type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PlatformTemplate {
    /// The platform's own identifier of the template.
    pub platform_session_type: String,
    /// How many players the platform session takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_players: Option<u32>,
    /// Free text for clients.
    #[serde(default, skip_serializing_if = "CustomData::is_empty")]
    pub custom_data: CustomData,
}

/// A region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Region {
    /// The region's id, 1 to 128 characters.
    pub region_id: String,
    /// Offered for custom games only.
    pub custom_only: bool,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Default for Region {
    fn default() -> Self {
        Region { region_id: "local".to_owned(), custom_only: false, description: String::new() }
    }
}

/// A named choice of maps that an instance may be requested with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RequestTemplate {
    /// The maps to choose from, by weight.
    pub maps: Vec<MapChoice>,
    /// The kind of host, unless the request names one.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "String"))]
    pub default_host_type: HostType,
    /// Goes into the instance's custom data.
    #[serde(default)]
    pub custom_data: CustomData,
}

/// One map of a [`RequestTemplate`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MapChoice {
    /// What the host loads.
    pub map_name: String,
    /// The game mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// How likely, against the others; 0 to 100.
    #[serde(default = "one")]
    pub map_weight: f64,
    /// Raw text for the host.
    #[serde(default)]
    pub misc_params: String,
    /// Goes into the startup parameters.
    #[serde(default)]
    pub custom_data: CustomData,
}

fn one() -> f64 {
    1.0
}

/// A rule for players who desert.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Deserter {
    /// When all marks under this rule were last wiped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub last_cleared: Option<Timestamp>,
}
