//! Whether this server is free: what the provider is told, and why an allocation is refused.
//!
//! Free is who has no match, owes no report, can write the journal, has a keeper, is not about to end, and isn't resting after
//! a failure; a server that starts its game at boot, only once that game is ready.

use super::{
    clock::When,
    engine::Core,
    io::Availability,
    state::{Phase, Process},
};
use crate::model::{orders::Refused, policy::Start};

impl Core {
    /// Why no allocation may be taken now.
    pub(super) fn obstacle(&self) -> Option<Refused> {
        if matches!(self.state.process, Process::Unkillable { .. }) {
            return Some(Refused::Unkillable);
        }
        if self.leaving
            || self.farewell.is_some()
            || matches!(self.state.phase, Phase::Draining(..) | Phase::Leaving(_))
        {
            return Some(Refused::Draining);
        }
        let busy = match &self.state.phase {
            Phase::Idle | Phase::Draining(..) | Phase::Leaving(_) => None,
            Phase::Acquiring(acquiring) => Some(acquiring.allocation.allocation_id.to_string()),
            Phase::Starting(game) | Phase::Serving(game) => Some(game.allocation.allocation_id.to_string()),
            Phase::Closing(game, _) => {
                Some(game.as_ref().map_or_else(String::new, |g| g.allocation.allocation_id.to_string()))
            }
        };
        if let Some(allocation) = busy {
            return Some(Refused::Busy { allocation });
        }
        if self.stranger {
            return Some(Refused::Busy { allocation: "unknown: a game runs that no journal explains".to_owned() });
        }
        if self.state.process.run().is_some_and(|run| run.withheld) {
            return Some(Refused::HeldBack);
        }
        if !self.state.lanes.is_empty() {
            return Some(Refused::EndUndelivered);
        }
        if let Some(why) = &self.journal.trouble {
            return Some(Refused::JournalBroken { why: why.clone() });
        }
        if self.keeper.connected { None } else { Some(Refused::NoKeeper) }
    }

    /// When an offer that is withheld becomes due by time alone.
    pub(super) fn offer_deadline(&self) -> Option<When> {
        self.state.failures.rest_until.filter(|at| matches!(self.state.phase, Phase::Idle) && *at > self.now)
    }

    /// What the provider is told.
    pub(super) fn offer(&self) -> Availability {
        let resting = self.state.failures.rest_until.is_some_and(|until| self.now < until);
        let warm = self.settings.launch.start == Start::AtBoot;
        let run = self.state.process.run().filter(|run| run.ready.is_some());
        let up = if warm { run.is_some() } else { run.is_some() || self.state.process.run().is_none() };
        if self.obstacle().is_some() || resting || !up || self.amnesia {
            return Availability::Unavailable;
        }
        let params = self.settings.session.startup_params.as_ref();
        let warm_map = run.and_then(|run| run.map.clone().or_else(|| params.map(|params| params.map.clone())));
        Availability::Free { term: self.state.term, warm_map, version: self.version() }
    }
}
