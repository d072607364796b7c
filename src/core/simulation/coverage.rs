//! What was met on the way: which act in which phase, and in how many different states.

use super::acts::Act;
use crate::{
    core::testing::{Disk, Net, World},
    model::status::PhaseName,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display},
};

/// Counts over many rounds.
#[derive(Debug, Default, Clone)]
pub struct Coverage {
    pub rounds: u64,
    pub acts: u64,
    pub faults: u64,
    met: BTreeMap<(String, PhaseName), u64>,
    states: BTreeSet<String>,
}

impl Coverage {
    /// This is about to happen.
    pub(super) fn met(&mut self, w: &World, act: &Act) {
        let status = w.status();
        self.acts += 1;
        self.faults += u64::from(act.is_fault());
        *self.met.entry((act.name(), status.phase)).or_default() += 1;
        let keeper = (w.keeper.gone, status.keeper.connected, std::mem::discriminant(&w.keeper.run));
        let ways = (w.disk, matches!(w.service.net, Net::Up), status.outbox.len().min(3));
        let shown = (status.join_status, status.instance_health, status.players.map(|players| players.min(2)));
        self.states.insert(format!("{:?} {keeper:?} {ways:?} {shown:?}", status.phase));
    }

    /// How many different states were met.
    pub fn states(&self) -> usize {
        self.states.len()
    }

    /// The cells of the table in which nothing was met: act and phase.
    pub fn unmet(&self) -> Vec<(String, PhaseName)> {
        let acts: BTreeSet<_> = self.met.keys().map(|(act, _)| act).collect();
        let cells = acts.into_iter().flat_map(|act| PHASES.map(|phase| (act.clone(), phase)));
        cells.filter(|cell| !self.met.contains_key(cell)).collect()
    }
}

/// An agent that has ended is followed by the next one before anything else happens.
const PHASES: [PhaseName; 5] =
    [PhaseName::Idle, PhaseName::Starting, PhaseName::Serving, PhaseName::Draining, PhaseName::Closing];

impl Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16}{}", "", PHASES.map(|phase| format!("{:>10}", format!("{phase:?}"))).concat())?;
        let acts: BTreeSet<_> = self.met.keys().map(|(act, _)| act).collect();
        for act in acts {
            let cell = |phase| self.met.get(&(act.clone(), phase)).copied().unwrap_or(0);
            writeln!(f, "{act:<16}{}", PHASES.map(|phase| format!("{:>10}", cell(phase))).concat())?;
        }
        let (rounds, acts, faults, states) = (self.rounds, self.acts, self.faults, self.states());
        write!(f, "{rounds} rounds, {acts} acts, of them {faults} faults; {states} different states")
    }
}

impl Act {
    /// Nothing that a server in order meets.
    fn is_fault(&self) -> bool {
        match self {
            Act::Pass(_)
            | Act::Deadline
            | Act::Ready
            | Act::Join
            | Act::Leave
            | Act::Says(..)
            | Act::Allocate(_)
            | Act::Drain
            | Act::Terminate
            | Act::Stop
            | Act::Heartbeats
            | Act::Beat(_)
            | Act::Owes(_)
            | Act::Reload => false,
            Act::Net(net) => *net != Net::Up,
            Act::Disk(disk) => *disk != Disk::Works,
            Act::Counts(counts) | Act::Evidence(counts) => !counts,
            Act::Batch { ago, .. } => *ago > 0,
            Act::Gateway(_)
            | Act::LateReady
            | Act::LateEnd(_)
            | Act::Exit(_)
            | Act::TimeOuts
            | Act::Late
            | Act::KillAgent
            | Act::LoseJournal
            | Act::NewKeeper
            | Act::Reconnect
            | Act::Detach
            | Act::SlowKeeper
            | Act::Gap
            | Act::SessionGone
            | Act::TakenAway
            | Act::Deallocated(_)
            | Act::KeeperGone { .. }
            | Act::HostStops
            | Act::StoppedWithoutAgent
            | Act::StartRefused
            | Act::InstanceDeleted { .. }
            | Act::ClockStep(_)
            | Act::OrderAndKill(_) => true,
        }
    }
}
