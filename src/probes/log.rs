//! What the lines that a game prints say.

use super::Found;
use crate::model::{policy::Readiness, probe::LogPatterns};

/// A pattern that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct BadPattern {
    /// The key in the configuration, e.g. `log.player_joined`.
    pub key: &'static str,
    pub why: String,
}

/// The patterns, compiled. Findings: door `Log`.
#[derive(Debug)]
pub struct Log {}

impl Log {
    /// All that is wrong, not only the first. `readiness.pattern` counts where readiness is proved by the log.
    pub fn compile(_patterns: &LogPatterns, _readiness: &Readiness) -> Result<Log, Vec<BadPattern>> {
        unimplemented!("lands next")
    }
    /// Nothing can ever match: the output needn't be asked for.
    pub fn is_empty(&self) -> bool {
        unimplemented!("lands next")
    }
    /// What this line says.
    pub fn line(&mut self, _line: &str) -> Vec<Found> {
        unimplemented!("lands next")
    }
}
