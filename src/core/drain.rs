//! Ways out: drain, stop, detach, signals, money guards.
//!
//! ```text
//! SIGTERM ─► drain: game told, unjoinable ─► empty, or min(configured, host's deadline − ladder − 2 s) ─► ladder ─► closed
//! again   ─► no more waiting: the ladder; and again: its next rung
//! ```

use super::{
    clock::{When, earliest},
    engine::Core,
    io::{Effect, Ending},
    ladder::Ladder,
    state::{Drain, Link, Match, Phase, Process, Then},
};
use crate::model::{
    game::GameNotice,
    orders::{Accepted, After, Order, Refused, RequestId},
    session::JoinStatus,
    units::Span,
};
use std::time::Duration;

/// Kept back from the host's deadline, for the last report.
const MARGIN: Duration = Duration::from_secs(2);

impl Core {
    pub(super) fn ordered(&mut self, request: RequestId, order: Order) {
        let reply = match order {
            Order::Allocate(allocation) => return self.allocate(request, *allocation),
            Order::Drain { reason, then } => self.order_drain(reason, then),
            Order::Stop { reason } => {
                self.stop(&reason.unwrap_or_else(|| "stopped by the operator".to_owned()));
                Ok(Accepted::Stopping)
            }
            Order::Detach { restart } => Ok(self.detach(restart)),
            Order::Admission(gate) => match self.state.phase.game_mut() {
                Some(game) => {
                    game.operator_gate = Some(gate);
                    Ok(Accepted::Admission)
                }
                None => Err(Refused::Nothing { why: "no match is on".to_owned() }),
            },
        };
        self.effect(Effect::Reply { request, reply });
    }

    fn order_drain(&mut self, reason: Option<String>, then: After) -> Result<Accepted, Refused> {
        let reason = reason.unwrap_or_else(|| "drained by the operator".to_owned());
        match then {
            After::Recycle if self.state.phase.game().is_none() => {
                return Err(Refused::Nothing { why: "no match is on".to_owned() });
            }
            After::Recycle => self.drain(&reason, Then::Recycle),
            After::End => self.end(&reason),
        }
        let deadline = match &self.state.phase {
            Phase::Draining(_, drain) => drain.deadline,
            Phase::Idle
            | Phase::Acquiring(_)
            | Phase::Starting(_)
            | Phase::Serving(_)
            | Phase::Closing(..)
            | Phase::Leaving(_) => None,
        };
        Ok(Accepted::Draining { deadline: deadline.unwrap_or(self.now).0 })
    }

    /// Asked to end, by a signal or the keeper. A second time hastens.
    pub(super) fn terminate(&mut self, reason: &str) {
        if self.leaving { self.hasten() } else { self.end(reason) }
    }

    fn hasten(&mut self) {
        let now = self.now;
        match &mut self.state.phase {
            Phase::Draining(_, drain) => {
                let (reason, then, kill_by) = (drain.reason.clone(), drain.then.clone(), drain.kill_by);
                self.stop_process(&reason, then, kill_by);
            }
            Phase::Closing(_, closing) => closing.ladder.hasten(now),
            Phase::Leaving(leaving) => leaving.until = now,
            Phase::Idle | Phase::Acquiring(_) | Phase::Starting(_) | Phase::Serving(_) => {}
        }
    }

    /// Players may finish; then the agent ends.
    fn end(&mut self, reason: &str) {
        self.leaving = true;
        self.farewell_if_unkillable();
        if self.farewell.is_none() {
            self.drain(reason, Then::End);
        }
    }

    /// The ladder at once; then the agent ends.
    fn stop(&mut self, reason: &str) {
        let again = self.leaving;
        self.leaving = true;
        self.farewell_if_unkillable();
        if self.farewell.is_some() {
            return;
        }
        match &mut self.state.phase {
            Phase::Closing(_, closing) if closing.then == Then::End || again => {
                closing.then = Then::End;
                closing.ladder.hasten(self.now);
            }
            Phase::Closing(_, closing) => closing.then = Then::End,
            Phase::Leaving(_) => self.hasten(),
            Phase::Idle | Phase::Acquiring(_) => self.drain(reason, Then::End),
            Phase::Starting(_) | Phase::Serving(_) | Phase::Draining(..) => {
                let kill_by = self.kill_by();
                self.stop_process(reason, Then::End, kill_by);
            }
        }
    }

    /// The configured one, or less if the keeper's host, which told it to stop, waits no longer.
    pub(super) fn learn_host_deadline(&mut self) {
        let keepers =
            self.keeper.hello.as_ref().filter(|_| self.keeper.stop_seen).and_then(|hello| hello.host_deadline);
        let configured = self.settings.drain.host_deadline.map(Span::get);
        self.host_deadline = [keepers, configured].into_iter().flatten().min();
    }

    fn kill_by(&self) -> Option<When> {
        self.host_deadline.map(|span| self.now + span.saturating_sub(MARGIN))
    }

    /// The players' time: as configured, or less if the host waits no longer.
    fn drain_span(&self, then: &Then) -> Duration {
        let configured = self.settings.drain.deadline.get();
        let ladder = Ladder::total(&self.settings.stop_steps);
        match self.host_deadline.filter(|_| *then != Then::Recycle) {
            Some(host) => configured.min(host.saturating_sub(ladder + MARGIN)),
            None => configured,
        }
    }

    /// No new players; who plays may finish.
    pub(super) fn drain(&mut self, reason: &str, then: Then) {
        let kill_by = self.kill_by().filter(|_| then != Then::Recycle);
        let deadline = self.now + self.drain_span(&then);
        match &mut self.state.phase {
            Phase::Idle => self.go_on(reason, then),
            Phase::Acquiring(_) => {
                self.abandon();
                self.go_on(reason, then);
            }
            Phase::Starting(_) => self.stop_process(reason, then, kill_by),
            Phase::Serving(_) => self.begin_drain(reason, then, deadline, kill_by),
            Phase::Draining(_, drain) if then != Then::Recycle => {
                drain.deadline = earliest([drain.deadline, Some(deadline)]);
                drain.then = then;
                drain.kill_by = kill_by;
            }
            Phase::Closing(_, closing) if then != Then::Recycle => {
                closing.then = then;
                if let Some(by) = kill_by {
                    closing.ladder.bring_forward(by);
                }
            }
            Phase::Draining(..) | Phase::Closing(..) | Phase::Leaving(_) => {}
        }
    }

    fn begin_drain(&mut self, reason: &str, then: Then, deadline: When, kill_by: Option<When>) {
        let Some(game) = self.state.phase.take_game() else { return };
        let drain = Drain { reason: reason.to_owned(), deadline: Some(deadline), then, kill_by };
        self.enter(Phase::Draining(game, drain));
        self.milestone(JoinStatus::Unjoinable);
        self.note("drain", reason);
        self.happened("drain", format!("draining until {}: {reason}", deadline.0), &[("reason", reason)]);
        self.tell(GameNotice::Drain { reason: reason.to_owned(), deadline: deadline.0 });
    }

    pub(super) fn drain_tick(&mut self) {
        let Phase::Draining(_, drain) = &self.state.phase else { return };
        let empty = self.state.process.run().is_none_or(|run| run.roster.is_empty());
        if !empty && drain.deadline.is_none_or(|deadline| self.now < deadline) {
            return;
        }
        let (reason, then, kill_by) = (drain.reason.clone(), drain.then.clone(), drain.kill_by);
        if then == Then::Recycle { self.close(&reason, then) } else { self.stop_process(&reason, then, kill_by) }
    }

    fn detach(&mut self, restart: bool) -> Accepted {
        self.happened("detached", "let go of the game; it lives on with its keeper", &[]);
        self.farewell = Some((Ending::Detached { restart }, self.now + super::journal::PATIENCE));
        Accepted::Detached
    }

    /// With processes that can't be killed, there is nothing to wait for.
    pub(super) fn farewell_if_unkillable(&mut self) {
        let stuck = matches!(self.state.process, Process::Unkillable { .. });
        if stuck && self.leaving && self.farewell.is_none() {
            self.farewell = Some((Ending::Unkillable, self.now + Duration::from_secs(5)));
        }
    }

    /// Limits that save money.
    pub(super) fn guards_tick(&mut self) {
        let Phase::Serving(game) = &self.state.phase else { return };
        if game.link == Link::Gone {
            // The match plays on without its session: it ends with its last player.
            if self.state.process.run().is_some_and(|run| run.roster.is_empty()) {
                self.close("the session is gone and nobody plays", Then::Recycle);
            }
            return;
        }
        let due = self.guards(game).into_iter().find(|(at, _)| self.now >= *at);
        if let Some((_, reason)) = due {
            self.drain(reason, Then::Recycle);
        }
    }

    /// Each limit that runs, with its reason.
    fn guards(&self, game: &Match) -> Vec<(When, &'static str)> {
        let guards = &self.settings.guards;
        let (Some(first), Some(run)) = (game.first_joinable, self.state.process.run()) else { return Vec::new() };
        let roster = &run.roster;
        let no_show = guards.no_show_timeout.filter(|_| roster.is_empty() && !roster.ever);
        let empty = guards.empty_timeout.zip(roster.empty_since.filter(|_| roster.is_empty()));
        let first_up = first.max(run.ready.unwrap_or(first)).max(self.guards_from);
        let mut running = Vec::new();
        running.extend(no_show.map(|span| (first_up + span.get(), "no_show: nobody came")));
        running
            .extend(empty.map(|(span, since)| (since.max(self.guards_from) + span.get(), "empty: everybody has left")));
        running
            .extend(guards.max_match_time.map(|span| (first + span.get(), "max_match_time: the match took too long")));
        running
    }

    pub(super) fn guards_deadline(&self, game: &Match) -> Option<When> {
        if game.link == Link::Gone {
            return None;
        }
        self.guards(game).into_iter().map(|(at, _)| at).min()
    }
}
