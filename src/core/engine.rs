//! The core's door: inputs in, effects out.

use super::{
    io::{Effect, Input, Restored},
    settings::Settings,
};
use crate::model::{
    status::Status,
    time::{Instant, Now},
};

/// The agent's decisions and everything that they rest on.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
}

impl Core {
    /// Wakes a core with what it remembers. Nothing is known of the keeper until it says hello.
    pub fn new(settings: Settings, restored: Restored, now: Now) -> (Self, Vec<Effect>) {
        let _ = (restored, now);
        (Core { settings }, unimplemented!())
    }

    /// Takes one fact and decides. The effects are to be dispatched in this order, none of them waited for.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Effect> {
        let _ = (input, now);
        unimplemented!("{}", self.settings.name)
    }

    /// When [`Input::Tick`] is due next; none: not before another input.
    pub fn next_deadline(&self) -> Option<Instant> {
        unimplemented!()
    }

    /// The agent as seen from outside. The driver adds what only it knows: pid, addresses, URL.
    pub fn status(&self) -> Status {
        unimplemented!()
    }
}
