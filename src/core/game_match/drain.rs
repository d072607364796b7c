//! Ways out of a match: drain, stop, time limits that save money.
//!
//! ```text
//! SIGTERM ─► drain: game told, unjoinable ─► empty, or min(configured, host's deadline − sequence − 2 s);
//!            where nobody knows whether anybody plays, drain.unknown_players ─► stop sequence ─► closed
//! again   ─► no more waiting: the stop sequence; and again: its next step
//! ```

use super::{AfterDrain, Drain, GameMatch, Match, MatchStage};
use crate::{
    core::{
        decisions::Decisions,
        facts::{Facts, Phase},
        headcount::{Background, Headcount},
        session::SessionLink,
        signal::{Report, Signal},
        steady_time::{SteadyTime, earliest},
        stop_sequence::StopSequence,
    },
    model::{game::GameNotice, policy::GameKind, session::JoinStatus},
};
use std::time::Duration;

/// Kept back from the host's deadline, for the last report.
const MARGIN: Duration = Duration::from_secs(2);

impl GameMatch {
    /// No new players; who plays may finish.
    pub(super) fn drain(&mut self, reason: &str, then: AfterDrain, facts: &Facts, decisions: &mut Decisions) {
        if facts.phase() == Phase::FinalReports {
            return;
        }
        let kill_by = kill_by(facts).filter(|_| then != AfterDrain::Recycle);
        let deadline = facts.now + drain_span(&then, facts);
        match &self.state.stage {
            MatchStage::Idle => {
                if facts.allocation.acquiring.is_some() {
                    decisions.signal(Signal::AllocationAbandoned);
                }
                self.go_on(reason, then, facts, decisions);
            }
            MatchStage::Starting(_) => self.stop_process(reason, then, kill_by, facts, decisions),
            MatchStage::Serving(_) => self.begin_drain(reason, then, deadline, kill_by, facts, decisions),
            MatchStage::Draining(..) | MatchStage::Closing(..) if then == AfterDrain::Recycle => {}
            MatchStage::Draining(..) | MatchStage::Closing(..) => self.end_after_this(then, deadline, kill_by),
        }
    }

    /// A way out that is already taken leads to the end of the agent.
    fn end_after_this(&mut self, then: AfterDrain, deadline: SteadyTime, kill_by: Option<SteadyTime>) {
        match &mut self.state.edit().stage {
            MatchStage::Draining(_, drain) => {
                drain.deadline = earliest([drain.deadline, Some(deadline)]);
                drain.then = then;
                drain.kill_by = kill_by;
            }
            MatchStage::Closing(_, closing) => {
                closing.then = then;
                if let Some(by) = kill_by {
                    closing.sequence.bring_forward(by);
                }
            }
            MatchStage::Idle | MatchStage::Starting(_) | MatchStage::Serving(_) => {}
        }
    }

    fn begin_drain(
        &mut self,
        reason: &str,
        then: AfterDrain,
        deadline: SteadyTime,
        kill_by: Option<SteadyTime>,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        let Some(game) = self.take_game() else { return };
        let instance = game.instance.clone();
        let drain =
            Drain { reason: reason.to_owned(), deadline: Some(deadline), then, kill_by, begun: Some(facts.now) };
        self.enter(MatchStage::Draining(game, drain), facts);
        decisions.signal(Signal::Report(Report::milestone(instance.clone(), JoinStatus::Unjoinable)));
        decisions.signal(Signal::Report(Report::note(instance, "drain", reason.to_owned(), facts.wall)));
        decisions.timeline("drain", format!("draining until {}: {reason}", deadline.0), &[("reason", reason)]);
        if let Some(run) = facts.process.run {
            decisions.notify(run, GameNotice::Drain { reason: reason.to_owned(), deadline: deadline.0 });
        }
    }

    pub(super) fn draining(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let MatchStage::Draining(_, drain) = &self.state.stage else { return };
        let empty = facts.process.run.is_none() || facts.players.headcount == Headcount::Nobody;
        if !empty && facts.drain_ends(drain.deadline, drain.begun).is_none_or(|end| facts.now < end) {
            return;
        }
        let (reason, then, kill_by) = (drain.reason.clone(), drain.then.clone(), drain.kill_by);
        if then == AfterDrain::Recycle {
            self.finish(&reason, then, facts, decisions);
        } else {
            self.stop_process(&reason, then, kill_by, facts, decisions);
        }
    }

    pub(super) fn hasten(&mut self, facts: &Facts, decisions: &mut Decisions) {
        match &self.state.stage {
            MatchStage::Draining(_, drain) => {
                let (reason, then, kill_by) = (drain.reason.clone(), drain.then.clone(), drain.kill_by);
                self.stop_process(&reason, then, kill_by, facts, decisions);
            }
            MatchStage::Closing(..) => {
                if let MatchStage::Closing(_, closing) = &mut self.state.edit().stage {
                    closing.sequence.hasten(facts.now);
                }
            }
            MatchStage::Idle | MatchStage::Starting(_) | MatchStage::Serving(_) => {}
        }
    }

    /// The operator's: the stop sequence at once; then the agent ends. To ask again is harmless: a game that saves is not
    /// killed for it.
    pub(super) fn stop(&mut self, reason: &str, now: bool, facts: &Facts, decisions: &mut Decisions) {
        match &self.state.stage {
            MatchStage::Closing(..) => {
                let MatchStage::Closing(_, closing) = &mut self.state.edit().stage else { return };
                if now {
                    closing.sequence.hasten(facts.now);
                }
                closing.then = AfterDrain::End;
            }
            MatchStage::Idle => self.drain(reason, AfterDrain::End, facts, decisions),
            MatchStage::Starting(_) | MatchStage::Serving(_) | MatchStage::Draining(..) => {
                self.stop_process(reason, AfterDrain::End, kill_by(facts), facts, decisions);
            }
        }
    }

    /// The game asks to be ended: the stop sequence begins at once, and the end that it leads to is an
    /// orderly one.
    pub(super) fn stop_wanted(&mut self, facts: &Facts, decisions: &mut Decisions) {
        const WHY: &str = "the game asked to be ended";
        match &self.state.stage {
            MatchStage::Idle if facts.phase() == Phase::FinalReports => {}
            // No match asks for its end: a match that is about to begin gets a fresh process, and a
            // warm game that does so over and over is started again ever later, and given up.
            MatchStage::Idle if !facts.ending.shutting_down => {
                decisions.signal(Signal::RunUseless { why: WHY.to_owned() });
            }
            MatchStage::Idle | MatchStage::Starting(_) | MatchStage::Serving(_) => {
                self.stop_process(WHY, AfterDrain::Recycle, None, facts, decisions);
            }
            MatchStage::Draining(_, drain) => {
                let then = drain.then.clone();
                self.stop_process(WHY, then, None, facts, decisions);
            }
            MatchStage::Closing(..) => {}
        }
    }

    /// A game that says it is free has nobody playing; where players are counted, that count says so
    /// itself.
    pub(super) fn game_free(&mut self, facts: &Facts) {
        let MatchStage::Draining(_, drain) = &self.state.stage else { return };
        let over = drain.then == AfterDrain::Recycle && facts.players.headcount.is_unknown();
        if over && let MatchStage::Draining(_, drain) = &mut self.state.edit().stage {
            drain.deadline = Some(facts.now);
        }
    }

    /// Limits that save money. A world has none.
    pub(super) fn guard(&mut self, facts: &Facts, decisions: &mut Decisions) {
        if facts.settings.kind == GameKind::World {
            return;
        }
        let MatchStage::Serving(game) = &self.state.stage else { return };
        if facts.session.link == SessionLink::Gone {
            // The match plays on without its session: it ends with its last player.
            if facts.process.run.is_some() && facts.players.headcount == Headcount::Nobody {
                self.finish("the session is gone and nobody plays", AfterDrain::Recycle, facts, decisions);
            }
            return;
        }
        let due = self.guards(game, facts).into_iter().flatten().find(|(at, _)| facts.now >= *at);
        if let Some((_, reason)) = due {
            self.drain(reason, AfterDrain::Recycle, facts, decisions);
        }
    }

    /// Each limit that runs, with its reason. Those that wait for players run out only where it is known that nobody plays.
    fn guards(&self, game: &Match, facts: &Facts) -> [Option<(SteadyTime, &'static str)>; 3] {
        let (guards, players) = (&facts.settings.guards, &facts.players);
        let Some(first) = game.first_joinable.filter(|_| facts.process.run.is_some()) else { return [None; 3] };
        let patience = facts.settings.players.count_conflict.get();
        let background = Background { patience, ..players.background };
        let nobody = |at: &SteadyTime| players.headcount_at((*at).max(facts.now), background) == Headcount::Nobody;
        let first_up = first.max(facts.process.ready.unwrap_or(first)).max(self.guards_from);
        let no_show = guards.no_show_timeout.filter(|_| !players.ever).map(|span| first_up + span.get());
        let empty = guards.empty_timeout.zip(players.empty_since).map(|(span, since)| {
            let left = since.max(self.guards_from) + span.get();
            players.disputed_until(patience).map_or(left, |until| left.max(until))
        });
        [
            no_show.filter(nobody).map(|at| (at, "no_show: nobody came")),
            empty.filter(nobody).map(|at| (at, "empty: everybody has left")),
            guards.max_match_time.map(|span| (first + span.get(), "max_match_time: the match took too long")),
        ]
    }

    pub(super) fn guards_deadline(&self, game: &Match, facts: &Facts) -> Option<SteadyTime> {
        if facts.session.link == SessionLink::Gone || facts.settings.kind == GameKind::World {
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
