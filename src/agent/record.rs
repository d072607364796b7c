//! How others find an agent: `<runtime>/agents/NAME.json`. It stays when the agent dies, so that
//! `gameside status` still finds the state directory and can say who holds the game.

use crate::host::files;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentRecord {
    pub name: String,
    /// `<state>/NAME`.
    pub state_dir: PathBuf,
    /// The agent's own pid; a hint only, `agent.lock` says whether it lives.
    pub pid: u32,
    /// Where operators call: `http://127.0.0.1:PORT`.
    pub api: Option<String>,
    pub socket: Option<PathBuf>,
}

impl AgentRecord {
    /// Replaces the file whole.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        files::write(path, &text, 0o644).map_err(io::Error::other)
    }

    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        serde_json::from_slice(&fs::read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// All of a directory, by name. What can't be read is passed over.
    pub(crate) fn all(dir: &Path) -> Vec<Self> {
        let entries: Vec<_> = fs::read_dir(dir).map_or_else(|_| Vec::new(), |entries| entries.flatten().collect());
        let json = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
        let paths = entries.iter().map(fs::DirEntry::path).filter(json);
        let mut found: Vec<_> = paths.filter_map(|path| Self::read(&path).ok()).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }
}
