//! Finds the agent that a command is about: the one that is named, or the only one there is.
//!
//! Agents are found by their records in the runtime directory; one that was given another
//! `--state-dir` too. With `--state-dir` on the command line, directories below it count as well.

use super::{error::Failure, exit::Exit};
use crate::{
    agent::record::AgentRecord,
    host::{
        lock,
        paths::{AgentPlace, Places},
    },
    keeper::{self, Presence},
    model::process::RunState,
};
use std::{path::PathBuf, time::Duration};

/// Knows where agents may be.
#[derive(Debug)]
pub(crate) struct Finder {
    pub state_dir: Option<PathBuf>,
    pub places: Places,
}

/// An agent that runs, or ran.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub name: String,
    /// Its state directory.
    pub place: AgentPlace,
    /// The agent's pid, if it lives.
    pub pid: Option<u32>,
}

impl Finder {
    pub(crate) fn new(state_dir: Option<PathBuf>) -> Result<Self, Failure> {
        let places =
            Places::here(state_dir.as_deref()).map_err(|error| Failure { exit: Exit::Usage, error: error.into() })?;
        Ok(Finder { state_dir, places })
    }

    /// Everything that is known on this machine to this user.
    pub(crate) fn all(&self) -> Vec<Found> {
        let mut found: Vec<Found> = Vec::new();
        for record in AgentRecord::all(&self.places.agents()) {
            if self.state_dir.is_some() && record.state_dir.parent() != Some(self.places.state.as_path()) {
                continue;
            }
            if let Ok(mut place) = self.places.agent(&record.name) {
                place.dir.clone_from(&record.state_dir);
                if place.dir.is_dir() {
                    found.push(Found { name: record.name.clone(), pid: holder(&place), place });
                }
            }
        }
        for name in self.names_below() {
            if !found.iter().any(|known| known.name == name)
                && let Ok(place) = self.places.agent(&name)
                && place.lock().exists()
            {
                found.push(Found { name, pid: holder(&place), place });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    fn names_below(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.places.state) else { return Vec::new() };
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// The agent of that name, or the only one.
    pub(crate) fn one(&self, name: Option<&str>) -> Result<Found, Failure> {
        let all = self.all();
        let Some(name) = name else { return Self::the_only(all) };
        let known: Vec<_> = all.iter().map(|found| found.name.clone()).collect();
        all.into_iter().find(|found| found.name == name).ok_or_else(|| {
            let there = if known.is_empty() {
                "none was ever started here".to_owned()
            } else {
                format!("known here: {}", known.join(", "))
            };
            Failure::new(Exit::NotRunning, format!("no agent {name:?} on this machine for this user; {there}"))
        })
    }

    /// The only one that lives; else the only one at all.
    fn the_only(all: Vec<Found>) -> Result<Found, Failure> {
        let living = all.iter().filter(|found| found.pid.is_some()).count();
        let mut candidates: Vec<_> =
            if living > 0 { all.into_iter().filter(|found| found.pid.is_some()).collect() } else { all };
        if candidates.len() > 1 {
            let names: Vec<_> = candidates.iter().map(|found| found.name.as_str()).collect();
            let message = format!("several agents are here, name one: {}", names.join(", "));
            return Err(Failure::new(Exit::Usage, message));
        }
        candidates
            .pop()
            .ok_or_else(|| Failure::new(Exit::NotRunning, "no agent runs here; start one with `gameside run`"))
    }
}

/// The pid of the agent that lives there.
pub(crate) fn holder(place: &AgentPlace) -> Option<u32> {
    lock::holder(&place.lock()).ok().flatten().map(|holder| holder.pid)
}

/// How often a wait for an agent's end looks at its lock.
///
/// The lock alone says so across pid namespaces, and waiting *in* it would miss a new agent that is faster than we are.
const LOOK: Duration = Duration::from_millis(50);

impl Found {
    /// An agent that lives and can be talked to.
    pub(crate) fn living(self) -> Result<Found, Failure> {
        if self.pid.is_some() { Ok(self) } else { Err(self.down()) }
    }

    /// Returns once the agent that was found is no more: dead, or another one in its place.
    pub(crate) async fn gone(&self) {
        while self.pid.is_some() && holder(&self.place) == self.pid {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// That no agent is there: who holds the game, and what to do.
    pub(crate) fn down(&self) -> Failure {
        let name = &self.name;
        let left = match keeper::probe(&self.place.dir) {
            Presence::None => format!("no keeper is left either; `gameside run --name {name}` starts it again"),
            Presence::Silent { pid, why } => format!(
                "its keeper{} doesn't answer ({why}), so the game may still run; wait, or look at that process",
                pid.map_or(String::new(), |pid| format!(" (pid {pid})"))
            ),
            Presence::Here(hello) => {
                let over = format!("`gameside run --name {name}` takes over, `gameside stop {name}` ends it");
                match hello.run {
                    RunState::Running { pid, .. } => {
                        format!("its keeper (pid {}) holds the game (pid {pid}); {over}", hello.pid)
                    }
                    RunState::Unkillable { .. } => {
                        format!("its keeper (pid {}) can't get rid of the game's processes; {over}", hello.pid)
                    }
                    RunState::Exited { .. } => format!(
                        "the game has ended, and its keeper (pid {}) has the report for the next agent; {over}",
                        hello.pid
                    ),
                    RunState::Empty => format!("its keeper (pid {}) holds no game; {over}", hello.pid),
                }
            }
        };
        Failure::new(Exit::NotRunning, format!("the agent {name:?} is down; {left}"))
    }
}
