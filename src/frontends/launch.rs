//! What a frontend adds to the start of the game: variables, and files that an SDK reads before it
//! can ask anybody.
//!
//! A [`LaunchExtension`] is made once, when the sockets are bound, and applied at each start with
//! the run's own token. What the user configured wins over it.

use crate::model::{
    ordered::Ports,
    process::{LaunchFile, LaunchSpec},
};
use secrecy::SecretString;
use std::{fmt, path::PathBuf};

/// Where the game runs, as far as a frontend may tell the game.
#[derive(Debug, Clone, Default)]
pub struct LaunchContext {
    /// The agent's name.
    pub name: String,
    /// The host that players reach, and the one in the local network.
    pub public: Option<String>,
    pub private: Option<String>,
    /// This machine's name.
    pub hostname: String,
    pub region: Option<String>,
    /// The game's version, where it is known before the game says it.
    pub version: Option<String>,
    /// Port numbers by name.
    pub ports: Ports,
    /// The game's working directory.
    pub work_dir: Option<String>,
    /// Where files for the game are written.
    pub game_dir: PathBuf,
}

/// Adds to a launch of the game.
pub trait LaunchExtension: Send + fmt::Debug {
    /// `token`: the game's token for this run.
    fn apply(&self, token: &SecretString, spec: &mut LaunchSpec);
    /// From the next start on the game has these ports.
    fn set_ports(&mut self, ports: &Ports);
}

/// Sets a variable unless it is set.
pub(crate) fn default_variable(spec: &mut LaunchSpec, key: &str, text: impl Into<String>) {
    spec.env.entry(key.to_owned()).or_insert_with(|| text.into());
}

/// Has a file written before the start.
pub(crate) fn add_file(spec: &mut LaunchSpec, path: &std::path::Path, text: String) {
    spec.files.push(LaunchFile { path: path.display().to_string(), text });
}
