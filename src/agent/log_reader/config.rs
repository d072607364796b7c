//! `[log]`: where the game logs.

use crate::model::section::section;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// A file that the game logs to, where it doesn't print: the patterns are tried on its lines instead of on the output. From the game's working directory on. It may be made later, rotated or emptied; a link isn't followed.
    #[cfg_attr(test, schemars(example = &"logs/server.log"))]
    pub file: Option<PathBuf>,
}

section!(LogConfig {
    needs_restart: file;
});
