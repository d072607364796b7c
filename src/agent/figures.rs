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
    gateway: Option<MemoryStatus>,
}

impl Figures {
    pub(super) fn new() -> Figures {
        Figures { machine: Machine::new(), seen: None, agent: None, keeper: None, gateway: None }
    }

    /// `status`: which processes are ours.
    pub(super) fn refresh(&mut self, status: &Status) {
        let memory = |pid: Option<i32>| pid.and_then(|pid| resources::memory(pid.try_into().ok()?));
        self.seen = self.machine.look();
        self.agent = resources::memory(std::process::id());
        self.keeper = memory(status.keeper.pid);
        let gateway = status.gateway.as_ref().filter(|gateway| gateway.connected && !gateway.in_process);
        self.gateway = memory(gateway.map(|gateway| gateway.pid));
    }

    pub(super) fn show(&self, status: &mut Status) {
        status.machine.clone_from(&self.seen);
        (status.agent.memory, status.keeper.memory) = (self.agent, self.keeper);
        if let Some(gateway) = &mut status.gateway {
            gateway.memory = self.gateway.filter(|_| gateway.connected);
        }
    }
}
