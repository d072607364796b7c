//! How a game that speaks no SDK is watched from outside. `config` reads these types as they are.

use super::{section::section, units::Span};
use serde::{Deserialize, Serialize};

/// How a probe asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// A game query, with `protocol` (`gameside probes` lists them). Also gives players and map.
    #[default]
    Gamedig,
    /// A TCP connection is accepted.
    Tcp,
    /// The UDP port is bound; nothing is sent.
    Udp,
    /// An HTTP GET of `path` is answered with 2xx.
    Http,
    /// `command` ends with 0, run in the game's context by the keeper.
    Exec,
}

/// Whether bots are players.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Bots {
    /// They are shown and counted; a server full of bots isn't empty.
    #[default]
    Count,
    /// Left out where the protocol tells them apart. Beware: Quake tells them by a ping of 0, which a player on the same machine may have too.
    Ignore,
}

/// `[probe]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Probe {
    /// How a probe asks.
    pub kind: ProbeKind,
    /// With `kind = "gamedig"`: the protocol or game, as `gameside probes` lists them.
    #[cfg_attr(test, schemars(example = &"quake3"))]
    pub protocol: Option<String>,
    /// Name of the port in `[game.ports]`; unset = the port that players connect to.
    #[cfg_attr(test, schemars(example = &"query"))]
    pub port: Option<String>,
    /// Where the game listens.
    pub host: std::net::IpAddr,
    /// Whether bots are players.
    pub bots: Bots,
    /// With `kind = "http"`: the path.
    pub path: String,
    /// With `kind = "exec"`: the program and its arguments.
    #[cfg_attr(test, schemars(extend("examples" = [["/srv/game/healthy"]])))]
    pub command: Vec<String>,
    /// Time between two questions while the game is up. While it starts, it is asked more often.
    pub interval: Span,
    /// An answer that takes longer is none.
    pub timeout: Span,
}

impl Default for Probe {
    fn default() -> Self {
        Probe {
            kind: ProbeKind::default(),
            protocol: None,
            port: None,
            host: std::net::Ipv4Addr::LOCALHOST.into(),
            bots: Bots::default(),
            path: "/".to_owned(),
            command: Vec::new(),
            interval: Span::from_secs(5),
            timeout: Span::from_secs(2),
        }
    }
}

section!(Probe {
    needs_restart: kind, protocol, port, host, bots, path, command, interval, timeout;
});

/// `[log_patterns]`: regular expressions over the game's output, line by line, with named groups.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LogPatterns {
    /// The game can take players. `[game.readiness] pattern` does the same.
    #[cfg_attr(test, schemars(example = &"^Server started"))]
    pub ready: Option<String>,
    /// A player came: group `id` or `name` (or both), and `team` if it is there.
    #[cfg_attr(test, schemars(example = &r"^(?<name>\S+) entered the game$"))]
    pub player_joined: Option<String>,
    /// A player went: group `id` or `name`, the same as when it came.
    #[cfg_attr(test, schemars(example = &r"^(?<name>\S+) disconnected$"))]
    pub player_left: Option<String>,
    /// The map changed: group `map`, and `mode` if it is there.
    #[cfg_attr(test, schemars(example = &r"^Loading map (?<map>\S+)"))]
    pub map_changed: Option<String>,
    /// A match began: group `match` if it is there.
    #[cfg_attr(test, schemars(example = &"^Match begins"))]
    pub match_started: Option<String>,
    /// The match is over.
    #[cfg_attr(test, schemars(example = &"^Match over"))]
    pub match_ended: Option<String>,
}

section!(LogPatterns {
    needs_restart: ready, player_joined, player_left, map_changed, match_started, match_ended;
});
