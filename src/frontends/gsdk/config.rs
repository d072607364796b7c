//! `[gsdk]`: PlayFab's game server SDK.

use super::Terminate;
use crate::model::{game::IfTaken, section::section};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

/// `[gsdk]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct GsdkConfig {
    /// Whether a game may use it. It finds everything in GSDK_CONFIG_FILE.
    pub enabled: bool,
    /// Where heartbeats are taken, on the loopback. Port 0: a free one.
    #[cfg_attr(test, schemars(with = "String"))]
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
    #[cfg_attr(test, schemars(example = &"0f2a5c9e-5b0e-4f0e-9d52-3b0f6f0c2a11"))]
    pub build_id: Option<String>,
    /// Where the game and its SDK write logs. Unset: the game's working directory, else /tmp.
    #[cfg_attr(test, schemars(example = &"/srv/game/logs"))]
    pub log_dir: Option<PathBuf>,
    /// The folder that servers of a machine share. Unset: as `log_dir`.
    #[cfg_attr(test, schemars(example = &"/srv/game/shared"))]
    pub shared_content_dir: Option<PathBuf>,
    /// The folder with the game's certificates. Unset: as `log_dir`.
    #[cfg_attr(test, schemars(example = &"/srv/game/certificates"))]
    pub certificate_dir: Option<PathBuf>,
    /// Certificates by name: their thumbprints.
    #[cfg_attr(test, schemars(extend("x-case" = "kept")))]
    pub certificates: BTreeMap<String, String>,
    /// The build's metadata.
    #[cfg_attr(test, schemars(extend("x-case" = "kept")))]
    pub metadata: BTreeMap<String, String>,
}

impl Default for GsdkConfig {
    fn default() -> Self {
        GsdkConfig {
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

section!(GsdkConfig {
    needs_restart: enabled, listen, if_taken, terminate, trust_health, empty_means_nobody, title_id, build_id, log_dir,
        shared_content_dir, certificate_dir, certificates, metadata;
});
