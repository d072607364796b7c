//! The machine's side: `[agent]`, `[addresses]`.

use crate::model::{policy::LogFormat, section::section};
use serde::{Deserialize, Serialize};

/// `[agent]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// The agent's name, unique per user and machine.
    pub name: String,
    /// How the agent's own log is written.
    pub log_format: LogFormat,
    /// What is logged: a level (error, warn, info, debug, trace) or directives such as "warn,gameside::session_api=debug". Unset: "warn" in a terminal, else "info".
    #[cfg_attr(test, schemars(example = &"info"))]
    pub log: Option<String>,
}

impl Default for Agent {
    fn default() -> Self {
        Agent { name: "default".to_owned(), log_format: LogFormat::default(), log: None }
    }
}

/// `[addresses]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Addresses {
    /// The host or address that players reach. Unset: a globally routable address of this machine, or none.
    #[cfg_attr(test, schemars(example = &"203.0.113.7"))]
    pub public: Option<String>,
    /// The host or address in the local network. Unset: the address of this machine there.
    #[cfg_attr(test, schemars(example = &"10.0.0.7"))]
    pub private: Option<String>,
    /// How the public connection string is written.
    pub public_format: String,
    /// How the private connection string is written.
    pub private_format: String,
    /// The port, by name, that players connect to. Where there is only one, it is that.
    pub port: String,
    /// Ask the session service from which address it sees us, where no public one is known.
    pub connection_info: bool,
}

impl Default for Addresses {
    fn default() -> Self {
        Addresses {
            public: None,
            private: None,
            public_format: "{host}:{port}".to_owned(),
            private_format: "{host}:{port}".to_owned(),
            port: "game".to_owned(),
            connection_info: false,
        }
    }
}

section!(Agent {
    applied: log;
    needs_restart: name, log_format;
});
section!(Addresses {
    needs_restart: public, private, public_format, private_format, port, connection_info;
});
