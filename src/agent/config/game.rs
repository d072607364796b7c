//! `[game]`: what is run, and how it is known to be ready, stopped and started again.

use crate::{
    config::values::{PortRange, Signal},
    model::{
        ordered::Ordered,
        policy::{GameKind, Readiness, Recycle, Restart, Reuse, Start, Transport},
        process::{StopAction, StopStep},
        section::section,
        units::Span,
    },
};
use semver::Version;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

/// `[game]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Game {
    /// The program and its arguments, each a template: "-port={{ports.game}}", "{{map}}". Never a shell line. Empty: the practice game that ships with Gameside.
    #[cfg_attr(test, schemars(extend("examples" = [["./MyServer", "-port={{ports.game}}", "{{map}}"]])))]
    pub command: Vec<String>,
    /// The game's working directory. Unset: the agent's.
    #[cfg_attr(test, schemars(example = &"/srv/game"))]
    pub dir: Option<String>,
    /// Environment variables for the game, each a template. It inherits nothing of the agent's own.
    #[cfg_attr(test, schemars(extend("x-case" = "kept")))]
    pub env: BTreeMap<String, String>,
    /// What startup values that players may have chosen may be, by their names in templates (misc, map, "custom.KEY"): a regular expression that the whole value has to match. Without one, misc and misc_args aren't passed on in a command, and others hold nothing there that reads as an option or as more than a value.
    #[cfg_attr(test, schemars(extend("x-case" = "kept")))]
    pub allow: BTreeMap<String, String>,
    /// Whether a match or a world is run. Unset: `world` where the agent makes its own sessions (`allocation.provider = "auto"`), but for the practice game; else `match`.
    #[cfg_attr(test, schemars(example = &"world"))]
    pub kind: Option<GameKind>,
    /// When the game is started.
    pub start: Start,
    /// Which allocations a game that waits warm may serve; for any other it is started anew. It is told of its allocation through its SDK.
    pub reuse: Reuse,
    /// The ports that the game listens on, by name: a fixed one or a range to pick a free one from. They keep their order.
    pub ports: Ordered<Port>,
    /// The game's version (semver), unless the game says it itself. Goes to the instance and decides who may play.
    #[cfg_attr(test, schemars(with = "Option<String>", extend("examples" = ["1.4.0"])))]
    pub version: Option<Version>,
    /// A file whose first line is the version.
    #[cfg_attr(test, schemars(example = &"/srv/game/VERSION"))]
    pub version_file: Option<PathBuf>,
    /// An environment variable of the agent that holds the version.
    #[cfg_attr(test, schemars(example = &"GAME_VERSION"))]
    pub version_env: Option<String>,
    /// The program daemonises: the run lasts as long as anything of it lives, not only the first process.
    pub forking: bool,
    /// Where the JSON file with the startup parameters is written. Unset: in the agent's state directory. The game finds it in GAMESIDE_STARTUP_FILE.
    #[cfg_attr(test, schemars(example = &"/srv/game/startup.json"))]
    pub startup_file: Option<String>,
    /// What proves that the game can take players.
    pub readiness: Readiness,
    /// How the game is stopped.
    pub stop: Stop,
    /// When a game that ended by itself is started again.
    pub restart: Restart,
    /// When the game isn't used for another match but started anew.
    pub recycle: Recycle,
}

impl Default for Game {
    fn default() -> Self {
        Game {
            command: Vec::new(),
            dir: None,
            env: BTreeMap::new(),
            allow: BTreeMap::new(),
            kind: None,
            start: Start::default(),
            reuse: Reuse::default(),
            ports: Ordered::from([("game".to_owned(), Port::default())]),
            version: None,
            version_file: None,
            version_env: None,
            forking: false,
            startup_file: None,
            readiness: Readiness::default(),
            stop: Stop::default(),
            restart: Restart::default(),
            recycle: Recycle::default(),
        }
    }
}

/// One port of the game.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Port {
    /// A fixed port, or a range to pick one from that is free and that no other agent of this machine has reserved.
    pub range: PortRange,
    /// What the game speaks on it.
    pub protocol: Transport,
}

impl Default for Port {
    fn default() -> Self {
        let range = PortRange::new(20_000, 20_999).expect("the default range is in order");
        Port { range, protocol: Transport::default() }
    }
}

/// `[game.stop]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Stop {
    /// How the game is asked to end before the ladder begins.
    pub quit: Quit,
    /// What is done one after the other until the game has ended: a line on its stdin, a signal, or a kill of everything that belongs to it; each with the time it is given.
    pub ladder: Vec<Rung>,
}

impl Default for Stop {
    fn default() -> Self {
        let rung = |signal| Rung { signal: Some(signal), ..Rung::default() };
        Stop {
            quit: Quit::default(),
            ladder: vec![
                Rung { wait: Span::from_secs(20), ..rung(Signal::TERM) },
                Rung { kill: true, wait: Span::from_secs(5), ..Rung::default() },
            ],
        }
    }
}

/// One rung of the ladder: exactly one of `stdin`, `signal` and `kill`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Rung {
    /// A line for the game's stdin.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(example = &"quit"))]
    pub stdin: Option<String>,
    /// A signal to the game's process group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// SIGKILL to everything that belongs to the run.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub kill: bool,
    /// How long the game may take before the next rung.
    pub wait: Span,
}

impl Default for Rung {
    fn default() -> Self {
        Rung { stdin: None, signal: None, kill: false, wait: Span::from_secs(10) }
    }
}

impl Rung {
    /// What the rung does; `None` unless it says exactly one thing.
    pub fn step(&self) -> Option<StopStep> {
        let action = match (&self.stdin, self.signal, self.kill) {
            (Some(line), None, false) => StopAction::Stdin(line.clone()),
            (None, Some(signal), false) => StopAction::Signal(signal.number()),
            (None, None, true) => StopAction::Kill,
            _ => return None,
        };
        Some(StopStep { action, wait: self.wait.get() })
    }
}

impl Stop {
    /// The ladder as the core and the keeper take it.
    pub fn steps(&self) -> Vec<StopStep> {
        self.quit.step().into_iter().chain(self.ladder.iter().filter_map(Rung::step)).collect()
    }
}

/// How a game is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum QuitBy {
    /// It isn't: the ladder begins at once.
    #[default]
    Nothing,
    /// Its SDK tells it; this only gives it the time.
    Sdk,
    /// `command` on its stdin.
    Stdin,
    /// `command` through Source's RCON.
    SourceRcon,
    /// `command` through Minecraft's RCON.
    MinecraftRcon,
}

/// `[game.stop.quit]`: the step before the ladder, for games that end in good order when they are asked to, and not on a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Quit {
    /// How the game is asked.
    pub by: QuitBy,
    /// What it is told on its stdin or remote console.
    pub command: String,
    /// How long it may take before the ladder begins.
    pub wait: Span,
    /// Name of the remote console's port in `[game.ports]`; unset = the port that players connect to.
    #[cfg_attr(test, schemars(example = &"rcon"))]
    pub port: Option<String>,
    /// Where the remote console listens.
    pub host: IpAddr,
    /// A file with the remote console's password, read at each use. Nobody else may be able to read it.
    #[cfg_attr(test, schemars(example = &"/etc/gameside/rcon-password"))]
    pub password_file: Option<PathBuf>,
    /// The name of a systemd credential (LoadCredential=) with the password.
    pub password_credential: String,
    /// An environment variable of the agent with the password.
    pub password_env: String,
}

impl Default for Quit {
    fn default() -> Self {
        Quit {
            by: QuitBy::default(),
            command: "quit".to_owned(),
            wait: Span::from_secs(20),
            port: None,
            host: Ipv4Addr::LOCALHOST.into(),
            password_file: None,
            password_credential: "gameside-rcon-password".to_owned(),
            password_env: "GAMESIDE_RCON_PASSWORD".to_owned(),
        }
    }
}

impl Quit {
    /// The step; `None` where the game isn't asked.
    pub fn step(&self) -> Option<StopStep> {
        let action = match self.by {
            QuitBy::Nothing => return None,
            QuitBy::Stdin => StopAction::Stdin(self.command.clone()),
            QuitBy::Sdk | QuitBy::SourceRcon | QuitBy::MinecraftRcon => StopAction::Ask,
        };
        Some(StopStep { action, wait: self.wait.get() })
    }

    /// It needs a port and a password.
    pub fn is_rcon(&self) -> bool {
        matches!(self.by, QuitBy::SourceRcon | QuitBy::MinecraftRcon)
    }
}

section!(Game {
    // What is launched next. Between the practice game and another, `command` needs a restart, too.
    applied: command, env, allow, kind, start, reuse, forking, startup_file;
    needs_restart: dir, ports, version, version_file, version_env;
    sections: readiness, stop, restart, recycle;
});
section!(Stop {
    applied: ladder;
    sections: quit;
});
section!(Quit {
    needs_restart: by, command, wait, port, host, password_file, password_credential, password_env;
});
