//! A game that does what the test says: a shell that takes its lines from the test.

use super::world::World;
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

const SCRIPT: &str = "exec 3<>\"$1\"\nwhile read -r line <&3; do eval \"$line\"; done\n";

/// The game, from outside.
pub struct Puppet {
    script: PathBuf,
    orders: PathBuf,
    answers: PathBuf,
}

impl Puppet {
    pub fn new(world: &World) -> Self {
        let script = world.file("puppet.sh", SCRIPT);
        let path = |name: &str| world.path().join(name);
        let puppet = Puppet { script, orders: path("orders"), answers: path("answers") };
        for fifo in [&puppet.orders, &puppet.answers] {
            assert!(Command::new("mkfifo").arg(fifo).status().unwrap().success());
        }
        puppet
    }

    /// `command` for the section `[game]`.
    pub fn command(&self) -> String {
        let text = |path: &Path| path.display().to_string();
        format!("command = {:?}\n", ["sh".to_owned(), text(&self.script), text(&self.orders)])
    }

    /// Has it carry out a line of shell; returns when that is done, and what it printed has left it.
    pub fn does(&self, line: &str) {
        self.begins(&format!("{line}; echo > {}", self.answers.display()));
        std::fs::read(&self.answers).unwrap();
    }

    /// The same, not waited for.
    pub fn begins(&self, line: &str) {
        // Waits until the game is there to read it.
        let mut orders = std::fs::OpenOptions::new().write(true).open(&self.orders).unwrap();
        writeln!(orders, "{line}").unwrap();
    }
}
