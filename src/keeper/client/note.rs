//! Which keeper and which game this agent's name has met last, in a file outside of the state
//! directory. Where that directory, or the lock in it, was deleted under a live match, this is how
//! the next agent knows that nothing may be started beside it.
//!
//! A process is named by pid and start time, of one boot of the machine: no other has these.

use crate::{
    host::clock,
    keeper::daemon,
    model::{
        process::{KeeperHello, RunState},
        time::BootId,
    },
};
use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};

/// The last keeper, and its game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    boot: BootId,
    keeper: Known,
    #[serde(default)]
    game: Option<Known>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    pid: i32,
    born: u64,
}

/// What still lives of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Survivor {
    Keeper(i32),
    /// The game, without its keeper.
    Game(i32),
}

impl Note {
    /// None: the keeper can't be seen from here, as it lives in another pid namespace.
    pub(super) fn of(hello: &KeeperHello) -> Option<Note> {
        let game = match hello.run {
            RunState::Running { pid, .. } => Known::now(pid),
            RunState::Empty | RunState::Exited { .. } | RunState::Unkillable { .. } => None,
        };
        Some(Note { boot: clock::boot_id()?, keeper: Known::now(hello.pid)?, game })
    }

    pub(super) fn read(path: &Path) -> Option<Note> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Replaces the file whole.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("keeper.new");
        fs::write(&new, serde_json::to_vec(self)?)?;
        fs::rename(&new, path)
    }

    /// Another game runs, or none.
    pub(super) fn set_game(&mut self, pid: Option<i32>) {
        self.game = pid.and_then(Known::now);
    }

    pub(super) fn survivor(&self) -> Option<Survivor> {
        if clock::boot_id() != Some(self.boot) {
            return None;
        }
        let game = || self.game.filter(|game| game.lives()).map(|game| Survivor::Game(game.pid));
        if self.keeper.lives() { Some(Survivor::Keeper(self.keeper.pid)) } else { game() }
    }
}

impl Known {
    fn now(pid: i32) -> Option<Known> {
        daemon::born(pid).map(|born| Known { pid, born })
    }

    fn lives(self) -> bool {
        daemon::born(self.pid) == Some(self.born)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_again_and_no_other_is_taken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.keeper");
        let ours = Known::now(std::process::id() as i32).unwrap();
        let stranger = Known { born: ours.born + 1, ..ours };
        let note = |keeper, game| Note { boot: clock::boot_id().unwrap(), keeper, game };
        note(ours, None).write(&path).unwrap();
        assert_eq!(Note::read(&path).unwrap().survivor(), Some(Survivor::Keeper(ours.pid)));
        assert_eq!(note(stranger, Some(ours)).survivor(), Some(Survivor::Game(ours.pid)));
        assert_eq!(note(stranger, Some(stranger)).survivor(), None);
        assert_eq!(Note { boot: BootId::default(), ..note(ours, None) }.survivor(), None);
    }
}
