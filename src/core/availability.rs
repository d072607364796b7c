//! Whether this server is free: what the provider is told, and why an allocation is refused.
//!
//! A server is free that has no match, owes no report, can write the journal, has a keeper, is not
//! about to end, and isn't resting after a failure; a server that starts its game at boot, only
//! once that game is ready. An agent that has taken a game over first hears what the game said
//! while no agent was there: it offers nothing before that, for 2 s at most.

use super::{
    decisions::Decisions,
    desired_state,
    facts::{Facts, Phase},
    io,
    io::Effect,
    keeper_link::Recovery,
    process::ProcessStatus,
    revision::{Revision, Tracked},
    steady_time::SteadyTime,
};
use crate::model::{orders::Refused, policy::Start};

/// Why no allocation may be taken now.
pub(super) fn obstacle(facts: &Facts) -> Option<Refused> {
    if matches!(facts.process.state, ProcessStatus::Unkillable { .. }) {
        return Some(Refused::Unkillable);
    }
    let ending = facts.ending.shutting_down || facts.ending.exiting;
    if ending || matches!(facts.phase(), Phase::Draining | Phase::FinalReports) {
        return Some(Refused::Draining);
    }
    let game = facts.game.game.as_ref();
    let busy = match facts.phase() {
        Phase::Idle | Phase::Draining | Phase::FinalReports => None,
        Phase::Acquiring => facts.allocation.acquiring.as_ref().map(ToString::to_string),
        Phase::Starting | Phase::Serving | Phase::Closing => {
            Some(game.map_or_else(String::new, |game| game.allocation.allocation_id.to_string()))
        }
    };
    if let Some(allocation) = busy {
        return Some(Refused::Busy { allocation });
    }
    if facts.keeper.runs_unexplained() {
        return Some(Refused::Busy { allocation: "unknown: a game runs that no journal explains".to_owned() });
    }
    if facts.process.run.is_some() && facts.words.withheld {
        return Some(Refused::HeldBack);
    }
    if !facts.outbox.is_empty() {
        return Some(Refused::EndUndelivered);
    }
    if let Some(why) = &facts.journal.trouble {
        return Some(Refused::JournalBroken { why: why.clone() });
    }
    if facts.keeper.connected { None } else { Some(Refused::NoKeeper) }
}

#[derive(Debug)]
pub(super) enum AvailabilityEvent {
    /// The provider's registration changed.
    Registered {
        registered: bool,
        trouble: Option<String>,
    },
    Tick,
    /// Something that may matter has changed.
    Settle,
}

#[derive(Debug, Default)]
pub(super) struct Availability {
    /// What the provider was told last.
    told: Option<io::Availability>,
    /// The game failed; no allocation is taken for a while.
    resting: Tracked<bool>,
    registered: Tracked<bool>,
    trouble: Tracked<Option<String>>,
}

impl Availability {
    pub(super) fn revision(&self) -> Revision {
        Revision { durable: 0, visible: self.resting.changes() + self.registered.changes() + self.trouble.changes() }
    }

    pub(super) fn is_resting(&self) -> bool {
        *self.resting
    }

    pub(super) fn is_registered(&self) -> bool {
        *self.registered
    }

    /// Why it isn't registered.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn on(&mut self, event: AvailabilityEvent, facts: &Facts, decisions: &mut Decisions) {
        match event {
            AvailabilityEvent::Registered { registered, trouble } => {
                if registered && !*self.registered {
                    decisions.timeline("registered", "registered for allocation", &[]);
                }
                self.registered.set(registered);
                self.trouble.set(trouble);
            }
            AvailabilityEvent::Tick => self.resting.set(is_resting(facts)),
            AvailabilityEvent::Settle => {
                self.resting.set(is_resting(facts));
                let availability = self.of(facts);
                if self.told.as_ref() != Some(&availability) {
                    self.told = Some(availability.clone());
                    decisions.effect(Effect::Availability(availability));
                }
            }
        }
    }

    /// When [`AvailabilityEvent::Tick`] does something next.
    #[expect(clippy::unused_self, reason = "each machine is asked in the same way")]
    pub(super) fn next_deadline(&self, facts: &Facts) -> Option<SteadyTime> {
        facts.process.rest_until.filter(|at| *at > facts.now)
    }

    fn of(&self, facts: &Facts) -> io::Availability {
        let (process, settings) = (&facts.process, &facts.settings);
        let ready = process.run.is_some() && process.ready.is_some();
        let warm = settings.launch.start == Start::AtBoot;
        let up = ready || (!warm && process.run.is_none());
        let lost = facts.keeper.recovery == Recovery::JournalLost;
        if obstacle(facts).is_some() || *self.resting || !up || lost || facts.gateway.owes {
            return io::Availability::Unavailable;
        }
        let configured = settings.session.startup_params.as_ref().map(|params| params.map.clone());
        let warm_map = if ready { facts.words.map.clone().or(configured) } else { None };
        io::Availability::Free { term: facts.allocation.term, warm_map, version: desired_state::version(facts) }
    }
}

fn is_resting(facts: &Facts) -> bool {
    facts.process.rest_until.is_some_and(|until| facts.now < until)
}
