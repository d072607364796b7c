//! `[keeper]`: where the keeper comes from, and its command line.

use crate::model::{
    section::section,
    units::{Size, Span},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

/// Where the keeper comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum KeeperMode {
    /// The agent starts it, detached.
    #[default]
    Spawn,
    /// It is started by somebody else (a systemd unit, the pod); the agent waits for it.
    Connect,
}

/// `[keeper]`: a keeper that is started by somebody else takes these from its own command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct KeeperConfig {
    /// Where the keeper comes from.
    pub mode: KeeperMode,
    /// The user that the game runs as. Unset: the keeper's own. Needs a keeper that runs as root.
    #[cfg_attr(test, schemars(example = &"game"))]
    pub user: Option<String>,
    /// The group that the game runs as. Unset: the user's.
    #[cfg_attr(test, schemars(example = &"game"))]
    pub group: Option<String>,
    /// The user that the SDK gateway runs as. Unset: the agent's, else the keeper's. Needs a keeper that runs as root.
    #[cfg_attr(test, schemars(example = &"gateway"))]
    pub gateway_user: Option<String>,
    /// Directories below which the game's program must lie. Empty: anywhere.
    #[cfg_attr(test, schemars(extend("examples" = [["/srv/game"]])))]
    pub executable_roots: Vec<PathBuf>,
    /// Resource limits of the game, by the name that `prlimit` uses: nofile, core, nproc, as, ….
    pub limits: BTreeMap<String, u64>,
    /// The size at which a file of the game's output is rotated.
    pub log_size: Size,
    /// Files of the game's output that are kept, the current one included.
    pub log_files: u32,
    /// How long the game may live without an agent before the keeper stops it. Unset: for ever.
    #[cfg_attr(test, schemars(example = &"1h"))]
    pub unattended: Option<Span>,
}

impl Default for KeeperConfig {
    fn default() -> Self {
        KeeperConfig {
            mode: KeeperMode::default(),
            user: None,
            group: None,
            gateway_user: None,
            executable_roots: Vec::new(),
            limits: BTreeMap::new(),
            log_size: Size(16 << 20),
            log_files: 4,
            unattended: None,
        }
    }
}

section!(KeeperConfig {
    needs_restart: mode, user, group, gateway_user, executable_roots, limits, log_size, log_files, unattended;
});

impl KeeperConfig {
    /// What the section says, as the keeper's command line.
    pub fn args(&self) -> Vec<OsString> {
        // `mode` says who starts it.
        let KeeperConfig {
            mode: _,
            user,
            group,
            gateway_user,
            executable_roots,
            limits,
            log_size,
            log_files,
            unattended,
        } = self;
        let mut args: Vec<OsString> = Vec::new();
        let mut add = |option: &str, value: String| args.extend([option.into(), value.into()]);
        if let Some(user) = user {
            add("--user", user.clone());
        }
        if let Some(group) = group {
            add("--group", group.clone());
        }
        if let Some(user) = gateway_user {
            add("--gateway-user", user.clone());
        }
        for root in executable_roots {
            add("--executable-root", root.display().to_string());
        }
        for (name, value) in limits {
            add("--limit", format!("{name}={value}"));
        }
        let all_files = log_size.0.saturating_mul(u64::from((*log_files).max(1)));
        add("--log-cap", Size(all_files).to_string());
        add("--log-files", log_files.to_string());
        if let Some(span) = unattended {
            add("--unattended", span.to_string());
        }
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keeper_is_told_what_is_configured() {
        let config = KeeperConfig {
            user: Some("game".into()),
            group: Some("games".into()),
            gateway_user: Some("gateway".into()),
            executable_roots: vec![PathBuf::from("/srv/game")],
            limits: BTreeMap::from([("nofile".into(), 4096)]),
            log_size: Size(1 << 20),
            log_files: 3,
            unattended: Some(Span::from_secs(90)),
            ..KeeperConfig::default()
        };
        let args: Vec<_> = config.args().into_iter().map(|arg| arg.into_string().unwrap()).collect();
        let expected = [
            "--user",
            "game",
            "--group",
            "games",
            "--gateway-user",
            "gateway",
            "--executable-root",
            "/srv/game",
            "--limit",
            "nofile=4096",
            "--log-cap",
            "3MiB",
            "--log-files",
            "3",
            "--unattended",
            "1m30s",
        ];
        assert_eq!(args, expected);
    }
}
