//! What an operator, a signal or the keeper orders: one switch, over whatever is going on.

use super::{
    allocation::AllocationEvent,
    ending::EndingEvent,
    engine::Core,
    facts::Phase,
    game_match::{AfterDrain, MatchEvent},
    io::Effect,
};
use crate::model::orders::{Accepted, After, Order, Refused, RequestId};

impl Core {
    pub(super) fn ordered(&mut self, request: RequestId, order: Order) {
        let reply = match order {
            Order::Allocate(allocation) => {
                return self.on_allocation(AllocationEvent::Ordered { request, allocation });
            }
            Order::Drain { reason, then } => self.order_drain(reason, then),
            Order::Stop { reason, now } => {
                self.order_stop(reason.unwrap_or_else(|| "stopped by the operator".to_owned()), now);
                Ok(Accepted::Stopping)
            }
            Order::Detach { restart } => {
                self.on_ending(EndingEvent::Detach { restart });
                Ok(Accepted::Detached)
            }
            Order::Admission(gate) if self.facts.game.game.is_some() => {
                self.on_game(MatchEvent::OperatorGate(gate));
                Ok(Accepted::Admission)
            }
            Order::Admission(_) => Err(no_match()),
        };
        // An accepted order is on disk before its answer goes out.
        match reply {
            Ok(_) => self.decisions.once_written(Effect::Reply { request, reply }),
            Err(_) => self.decisions.effect(Effect::Reply { request, reply }),
        }
    }

    fn order_drain(&mut self, reason: Option<String>, then: After) -> Result<Accepted, Refused> {
        let reason = reason.unwrap_or_else(|| "drained by the operator".to_owned());
        match then {
            After::Recycle if self.facts.game.game.is_none() => return Err(no_match()),
            After::Recycle => self.on_game(MatchEvent::Drain { reason, then: AfterDrain::Recycle }),
            After::End => self.end(&reason),
        }
        let drain = &self.facts.game;
        let deadline = drain.drain.as_ref().and_then(|(_, at)| self.facts.drain_ends(*at, drain.drain_begun));
        Ok(Accepted::Draining { deadline: deadline.unwrap_or(self.facts.now).0 })
    }

    /// The stop sequence at once; then the agent ends.
    fn order_stop(&mut self, reason: String, now: bool) {
        self.shut_down();
        if self.is_ending_the_game() {
            self.on_game(MatchEvent::Stop { reason, now });
        }
    }

    /// Asked to end, by a signal or the keeper. A second time hastens the end of the game; the last reports have their
    /// time all the same.
    pub(super) fn terminate(&mut self, reason: &str) {
        if !self.facts.ending.shutting_down {
            self.end(reason);
        } else if self.is_ending_the_game() {
            self.on_game(MatchEvent::Hasten);
        }
    }

    /// Nothing but the last reports and the last commit is left otherwise.
    fn is_ending_the_game(&self) -> bool {
        !self.facts.ending.exiting && self.facts.phase() != Phase::FinalReports
    }

    /// Players may finish; then the agent ends.
    fn end(&mut self, reason: &str) {
        self.shut_down();
        if !self.facts.ending.exiting {
            self.on_game(MatchEvent::Drain { reason: reason.to_owned(), then: AfterDrain::End });
        }
    }

    fn shut_down(&mut self) {
        self.on_ending(EndingEvent::ShutDown);
        self.on_ending(EndingEvent::LookForUnkillable);
    }
}

fn no_match() -> Refused {
    Refused::Nothing { why: "no match is on".to_owned() }
}
