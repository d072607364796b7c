//! Ways out of a match: drain, stop, time limits that save money.
//!
//! ```text
//! SIGTERM ─► drain: game told, unjoinable ─► empty, or min(configured, host's deadline − sequence − 2 s)
//!            ─► stop sequence ─► closed
//! again   ─► no more waiting: the stop sequence; and again: its next step
//! ```

use super::{AfterDrain, Drain, GameMatch, Match, MatchStands};
use crate::{
    core::{
        facts::{Facts, Phase},
        session::SessionLink,
        signal::Signal,
        steady_time::{SteadyTime, earliest},
        stop_sequence::StopSequence,
        turn::Turn,
    },
    model::{game::GameNotice, session::JoinStatus},
};
use std::time::Duration;

/// Kept back from the host's deadline, for the last report.
const MARGIN: Duration = Duration::from_secs(2);

impl GameMatch {
    /// No new players; who plays may finish.
    pub(super) fn drain(&mut self, reason: &str, then: AfterDrain, facts: &Facts, turn: &mut Turn) {
        if facts.phase() == Phase::FinalReports {
            return;
        }
        let kill_by = kill_by(facts).filter(|_| then != AfterDrain::Recycle);
        let deadline = facts.now + drain_span(&then, facts);
        match &self.state.stands {
            MatchStands::Idle => {
                if facts.allocation.acquiring.is_some() {
                    turn.signal(Signal::AllocationAbandoned);
                }
                self.go_on(reason, then, facts, turn);
            }
            MatchStands::Starting(_) => self.stop_process(reason, then, kill_by, facts, turn),
            MatchStands::Serving(_) => self.begin_drain(reason, then, deadline, kill_by, facts, turn),
            MatchStands::Draining(..) | MatchStands::Closing(..) if then == AfterDrain::Recycle => {}
            MatchStands::Draining(..) | MatchStands::Closing(..) => self.end_after_this(then, deadline, kill_by),
        }
    }

    /// A way out that is already taken leads to the end of the agent.
    fn end_after_this(&mut self, then: AfterDrain, deadline: SteadyTime, kill_by: Option<SteadyTime>) {
        match &mut self.state.edit().stands {
            MatchStands::Draining(_, drain) => {
                drain.deadline = earliest([drain.deadline, Some(deadline)]);
                drain.then = then;
                drain.kill_by = kill_by;
            }
            MatchStands::Closing(_, closing) => {
                closing.then = then;
                if let Some(by) = kill_by {
                    closing.sequence.bring_forward(by);
                }
            }
            MatchStands::Idle | MatchStands::Starting(_) | MatchStands::Serving(_) => {}
        }
    }

    fn begin_drain(
        &mut self,
        reason: &str,
        then: AfterDrain,
        deadline: SteadyTime,
        kill_by: Option<SteadyTime>,
        facts: &Facts,
        turn: &mut Turn,
    ) {
        let Some(game) = self.take_game() else { return };
        let instance = game.instance.clone();
        let drain = Drain { reason: reason.to_owned(), deadline: Some(deadline), then, kill_by };
        self.enter(MatchStands::Draining(game, drain), facts);
        turn.signal(Signal::Milestone { instance: instance.clone(), status: JoinStatus::Unjoinable });
        turn.signal(Signal::Note { instance, name: "drain", reason: reason.to_owned(), at: facts.wall });
        turn.timeline("drain", format!("draining until {}: {reason}", deadline.0), &[("reason", reason)]);
        if let Some(run) = facts.process.run {
            turn.notify(run, GameNotice::Drain { reason: reason.to_owned(), deadline: deadline.0 });
        }
    }

    pub(super) fn draining(&mut self, facts: &Facts, turn: &mut Turn) {
        let MatchStands::Draining(_, drain) = &self.state.stands else { return };
        let empty = facts.process.run.is_none() || facts.players.is_empty();
        if !empty && drain.deadline.is_none_or(|deadline| facts.now < deadline) {
            return;
        }
        let (reason, then, kill_by) = (drain.reason.clone(), drain.then.clone(), drain.kill_by);
        if then == AfterDrain::Recycle {
            self.finish(&reason, then, facts, turn);
        } else {
            self.stop_process(&reason, then, kill_by, facts, turn);
        }
    }

    pub(super) fn hasten(&mut self, facts: &Facts, turn: &mut Turn) {
        match &self.state.stands {
            MatchStands::Draining(_, drain) => {
                let (reason, then, kill_by) = (drain.reason.clone(), drain.then.clone(), drain.kill_by);
                self.stop_process(&reason, then, kill_by, facts, turn);
            }
            MatchStands::Closing(..) => {
                if let MatchStands::Closing(_, closing) = &mut self.state.edit().stands {
                    closing.sequence.hasten(facts.now);
                }
            }
            MatchStands::Idle | MatchStands::Starting(_) | MatchStands::Serving(_) => {}
        }
    }

    /// The operator's: the stop sequence at once; then the agent ends.
    pub(super) fn stop(&mut self, reason: &str, again: bool, facts: &Facts, turn: &mut Turn) {
        match &self.state.stands {
            MatchStands::Closing(..) => {
                let MatchStands::Closing(_, closing) = &mut self.state.edit().stands else { return };
                if closing.then == AfterDrain::End || again {
                    closing.sequence.hasten(facts.now);
                }
                closing.then = AfterDrain::End;
            }
            MatchStands::Idle => self.drain(reason, AfterDrain::End, facts, turn),
            MatchStands::Starting(_) | MatchStands::Serving(_) | MatchStands::Draining(..) => {
                self.stop_process(reason, AfterDrain::End, kill_by(facts), facts, turn);
            }
        }
    }

    /// The game asks to be ended: the stop sequence begins at once, and the end that it leads to is an
    /// orderly one.
    pub(super) fn stop_wanted(&mut self, facts: &Facts, turn: &mut Turn) {
        const WHY: &str = "the game asked to be ended";
        match &self.state.stands {
            // The match that is about to begin gets a fresh process.
            MatchStands::Idle if facts.phase() == Phase::Acquiring => {
                turn.signal(Signal::RunUseless { why: WHY.to_owned() });
            }
            MatchStands::Idle if facts.phase() == Phase::FinalReports => {}
            MatchStands::Idle | MatchStands::Starting(_) | MatchStands::Serving(_) => {
                self.stop_process(WHY, AfterDrain::Recycle, None, facts, turn);
            }
            MatchStands::Draining(_, drain) => {
                let then = drain.then.clone();
                self.stop_process(WHY, then, None, facts, turn);
            }
            MatchStands::Closing(..) => {}
        }
    }

    /// A game that says it is free has nobody playing; where players are counted, that count says so
    /// itself.
    pub(super) fn game_free(&mut self, facts: &Facts) {
        let MatchStands::Draining(_, drain) = &self.state.stands else { return };
        let over = drain.then == AfterDrain::Recycle && !facts.players.countable;
        if over && let MatchStands::Draining(_, drain) = &mut self.state.edit().stands {
            drain.deadline = Some(facts.now);
        }
    }

    /// Limits that save money.
    pub(super) fn guard(&mut self, facts: &Facts, turn: &mut Turn) {
        let MatchStands::Serving(game) = &self.state.stands else { return };
        if facts.session.link == SessionLink::Gone {
            // The match plays on without its session: it ends with its last player.
            if facts.process.run.is_some() && facts.players.is_empty() {
                self.finish("the session is gone and nobody plays", AfterDrain::Recycle, facts, turn);
            }
            return;
        }
        let due = self.guards(game, facts).into_iter().flatten().find(|(at, _)| facts.now >= *at);
        if let Some((_, reason)) = due {
            self.drain(reason, AfterDrain::Recycle, facts, turn);
        }
    }

    /// Each limit that runs, with its reason.
    fn guards(&self, game: &Match, facts: &Facts) -> [Option<(SteadyTime, &'static str)>; 3] {
        let (guards, players) = (&facts.settings.guards, &facts.players);
        let Some(first) = game.first_joinable.filter(|_| facts.process.run.is_some()) else { return [None; 3] };
        let no_show = guards.no_show_timeout.filter(|_| players.is_empty() && !players.ever);
        let empty = guards.empty_timeout.zip(players.empty_since.filter(|_| players.is_empty()));
        let first_up = first.max(facts.process.ready.unwrap_or(first)).max(self.guards_from);
        [
            no_show.map(|span| (first_up + span.get(), "no_show: nobody came")),
            empty.map(|(span, since)| (since.max(self.guards_from) + span.get(), "empty: everybody has left")),
            guards.max_match_time.map(|span| (first + span.get(), "max_match_time: the match took too long")),
        ]
    }

    pub(super) fn guards_deadline(&self, game: &Match, facts: &Facts) -> Option<SteadyTime> {
        if facts.session.link == SessionLink::Gone {
            return None;
        }
        self.guards(game, facts).into_iter().flatten().map(|(at, _)| at).min()
    }
}

fn kill_by(facts: &Facts) -> Option<SteadyTime> {
    facts.ending.host_deadline.map(|span| facts.now + span.saturating_sub(MARGIN))
}

/// The players' time: as configured, or less if the host waits no longer.
fn drain_span(then: &AfterDrain, facts: &Facts) -> Duration {
    let configured = facts.settings.drain.deadline.get();
    let sequence = StopSequence::total(&facts.settings.stop_steps);
    match facts.ending.host_deadline.filter(|_| *then != AfterDrain::Recycle) {
        Some(host) => configured.min(host.saturating_sub(sequence + MARGIN)),
        None => configured,
    }
}
