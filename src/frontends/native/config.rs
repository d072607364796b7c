//! `[api]`: the HTTP API for the game and for operators.

use crate::model::section::section;
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};

/// `[api]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Where the game's API listens besides its unix socket; it serves the game alone. Port 0: a free one.
    #[cfg_attr(test, schemars(with = "String"))]
    pub listen: SocketAddr,
    /// Where the operators' API listens besides `operator.sock`: allocation, status, orders, `/metrics`, `/livez`, `/readyz`. Port 0: a
    /// free one, another after each restart of the agent.
    #[cfg_attr(test, schemars(with = "String"))]
    pub operator_listen: SocketAddr,
    /// The operator's token. Unset: `operator.token` in the state directory, made when there is none.
    #[cfg_attr(test, schemars(example = &"/etc/gameside/operator-token"))]
    pub operator_token_file: Option<PathBuf>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        ApiConfig { listen: loopback, operator_listen: loopback, operator_token_file: None }
    }
}

section!(ApiConfig {
    needs_restart: listen, operator_listen, operator_token_file;
});
