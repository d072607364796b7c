//! The machine's side: `[agent]`, `[api]`, `[addresses]`, `[keeper]`, `[hooks]`.

use crate::model::{
    policy::LogFormat,
    units::{Size, Span},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

/// `[agent]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// The agent's name, unique per user and machine.
    pub name: String,
    /// How the agent's own log is written.
    pub log_format: LogFormat,
    /// What is logged: a level (error, warn, info, debug, trace) or directives such as "warn,gameside::session_api=debug". Unset: "warn" in a terminal, else "info".
    #[schemars(example = &"info")]
    pub log: Option<String>,
}

impl Default for Agent {
    fn default() -> Self {
        Agent { name: "default".to_owned(), log_format: LogFormat::default(), log: None }
    }
}

/// `[api]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Where the API listens besides its unix socket. Port 0: a free one.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The operator's token. Unset: `operator.token` in the state directory, made when there is none.
    #[schemars(example = &"/etc/gameside/operator-token")]
    pub operator_token_file: Option<PathBuf>,
}

impl Default for Api {
    fn default() -> Self {
        Api { listen: SocketAddr::from(([127, 0, 0, 1], 0)), operator_token_file: None }
    }
}

/// `[addresses]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Addresses {
    /// The host or address that players reach. Unset: a globally routable address of this machine, or none.
    #[schemars(example = &"203.0.113.7")]
    pub public: Option<String>,
    /// The host or address in the local network. Unset: the address of this machine there.
    #[schemars(example = &"10.0.0.7")]
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

/// Where the keeper comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeeperMode {
    /// The agent starts it, detached.
    #[default]
    Spawn,
    /// It is started by somebody else (a systemd unit, the pod); the agent waits for it.
    Connect,
}

/// `[keeper]`: a keeper that is started by somebody else takes these from its own command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keeper {
    /// Where the keeper comes from.
    pub mode: KeeperMode,
    /// The user that the game runs as. Unset: the keeper's own. Needs a keeper that runs as root.
    #[schemars(example = &"game")]
    pub user: Option<String>,
    /// The group that the game runs as. Unset: the user's.
    #[schemars(example = &"game")]
    pub group: Option<String>,
    /// Directories below which the game's program must lie. Empty: anywhere.
    #[schemars(extend("examples" = [["/srv/game"]]))]
    pub executable_roots: Vec<PathBuf>,
    /// Resource limits of the game, by the name that `prlimit` uses: nofile, core, nproc, as, ….
    pub limits: BTreeMap<String, u64>,
    /// The size at which a file of the game's output is rotated.
    pub log_size: Size,
    /// Files of the game's output that are kept, the current one included.
    pub log_files: u32,
    /// How long the game may live without an agent before the keeper stops it. Unset: for ever.
    #[schemars(example = &"1h")]
    pub unattended: Option<Span>,
}

impl Default for Keeper {
    fn default() -> Self {
        Keeper {
            mode: KeeperMode::default(),
            user: None,
            group: None,
            executable_roots: Vec::new(),
            limits: BTreeMap::new(),
            log_size: Size(16 << 20),
            log_files: 4,
            unattended: None,
        }
    }
}

/// `[hooks]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hooks {
    /// A program and its arguments, run by the agent after the game has ended. It gets the exit report and the paths of log and core as JSON on stdin. Empty: none.
    #[schemars(extend("examples" = [["/usr/local/bin/upload-crash"]]))]
    pub on_exit: Vec<String>,
    /// A hook that takes longer is killed.
    pub timeout: Span,
}

impl Default for Hooks {
    fn default() -> Self {
        Hooks { on_exit: Vec::new(), timeout: Span::from_secs(60) }
    }
}
