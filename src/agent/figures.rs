//! What the machine and our own processes cost, for the status.

use crate::{
    host::resources::{self, Machine},
    model::status::{MachineStatus, MemoryStatus, Status},
};

/// The figures that were read last. They are read when the keeper has told its figures of the game, so that nobody
/// wakes up for these alone.
#[derive(Debug)]
pub(super) struct Figures {
    machine: Machine,
    seen: Option<MachineStatus>,
    agent: Option<MemoryStatus>,
    keeper: Option<MemoryStatus>,
}

impl Figures {
    pub(super) fn new() -> Figures {
        Figures { machine: Machine::new(), seen: None, agent: None, keeper: None }
    }

    pub(super) fn refresh(&mut self, keeper: Option<i32>) {
        self.seen = self.machine.look();
        self.agent = resources::memory(std::process::id());
        self.keeper = keeper.and_then(|pid| resources::memory(pid.try_into().ok()?));
    }

    pub(super) fn show(&self, status: &mut Status) {
        status.machine.clone_from(&self.seen);
        (status.agent.memory, status.keeper.memory) = (self.agent, self.keeper);
    }
}
