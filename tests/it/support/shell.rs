//! A game's process that does nothing by itself.

use super::world::World;
use std::path::PathBuf;

/// A game that does nothing by itself: it ends as it is told through a pipe, and hears no signal.
pub struct Shell {
    pipe: PathBuf,
}

impl Shell {
    pub fn new(world: &World, name: &str) -> Self {
        let pipe = world.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        Shell { pipe }
    }
    /// Its command line.
    pub fn words(&self) -> [String; 3] {
        ["/bin/sh".to_owned(), "-c".to_owned(), format!("trap '' TERM; read how < {}; eval $how", self.pipe.display())]
    }
    /// Ends it: `exit 0`, `kill -ABRT $$`.
    pub fn ends(&self, how: &str) {
        std::fs::write(&self.pipe, format!("{how}\n")).unwrap();
    }
}
