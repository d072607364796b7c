//! The beginning of a match: its game is started, and players are let in once it is ready.

use super::{AfterDrain, GameMatch, Match, MatchStage, Prepared};
use crate::{
    core::{
        allocation,
        decisions::Decisions,
        facts::Facts,
        launch::{self, Values, WrittenBy},
        process::ProcessStatus,
        settings::Settings,
        signal::{Report, Signal},
    },
    model::{game::Admission, session::JoinStatus},
};

impl GameMatch {
    pub(super) fn starting(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let Some(game) = self.game() else { return };
        if game.expiry().is_some_and(|expires| facts.now >= expires) {
            let reason = "the allocation expired before the game was ready";
            return self.stop_process(reason, AfterDrain::Recycle, None, facts, decisions);
        }
        let posted = facts.outbox.of(&game.instance).is_none_or(|outbox| outbox.posted);
        match &facts.process.state {
            ProcessStatus::Off if posted && facts.may_start() => self.launch(facts, decisions),
            ProcessStatus::Up if posted && facts.process.ready.is_some() => self.serve(facts, decisions),
            ProcessStatus::Off
            | ProcessStatus::Up
            | ProcessStatus::Intended
            | ProcessStatus::Delayed
            | ProcessStatus::Failing { .. }
            | ProcessStatus::Unkillable { .. } => {}
        }
    }

    pub(super) fn launch(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let spec = match self.spec.take() {
            Some(spec) => Ok(spec),
            None => launch::render(&facts.settings.launch, &values(&facts.settings, self.game())),
        };
        match spec {
            Ok(spec) => decisions.signal(Signal::Launch(Box::new(spec))),
            Err(error) => {
                let why = format!("the game can't be started: {error}");
                decisions.timeline("launch_failed", why.clone(), &[]);
                self.give_up(&why, None, facts, decisions);
            }
        }
    }

    /// A session is ours: the match begins.
    pub(super) fn begin(&mut self, prepared: Prepared, facts: &Facts, decisions: &mut Decisions) {
        let Prepared { game, spec, outbox: _ } = prepared;
        self.state.edit().matches += 1;
        decisions.signal(Signal::SessionChanged);
        let fields = [
            ("allocation_id", game.allocation.allocation_id.as_str()),
            ("session_id", game.session.as_str()),
            ("instance_id", game.instance.as_str()),
            ("map", game.params.map.as_str()),
        ];
        decisions.timeline(
            "allocated",
            format!("allocated to session {}, map {}", game.session, game.params.map),
            &fields,
        );
        decisions.signal(Signal::Report(Report::milestone(game.instance.clone(), JoinStatus::Pending)));
        self.enter(MatchStage::Starting(Box::new(game)), facts);
        decisions.signal(Signal::MatchMeetsGame(Box::new(spec.clone())));
        self.spec = Some(spec);
    }

    /// Readiness is proved and the instance posted.
    fn serve(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let Some(mut game) = self.take_game() else { return };
        self.spec = None;
        let first = game.first_joinable.is_none() && facts.gate(&game) == Admission::Open;
        let instance = game.instance.clone();
        if first {
            game.first_joinable = Some(facts.now);
        }
        self.enter(MatchStage::Serving(game), facts);
        if first {
            decisions.signal(Signal::Report(Report::milestone(instance, JoinStatus::Joinable)));
        }
    }

    /// The gate opened after the start of serving.
    pub(super) fn first_joinable_later(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let MatchStage::Serving(game) = &self.state.stage else { return };
        if game.first_joinable.is_some() || facts.gate(game) == Admission::Closed {
            return;
        }
        let instance = game.instance.clone();
        if let Some(game) = self.edit_game() {
            game.first_joinable = Some(facts.now);
        }
        decisions.signal(Signal::Report(Report::milestone(instance, JoinStatus::Joinable)));
    }
}

/// What a launch is filled in with.
pub(crate) fn values<'a>(settings: &'a Settings, game: Option<&'a Match>) -> Values<'a> {
    Values {
        params: game.map(|game| &game.params).or(settings.session.startup_params.as_ref()),
        session: game.map(|game| &game.session),
        instance: game.map(|game| &game.instance),
        allocation: game.map(|game| &game.allocation.allocation_id),
        join_token: game.and_then(|game| game.join_token.as_deref()),
        written_by: game.map_or(WrittenBy::Us, |game| allocation::written_by(&game.allocation, settings)),
        ..launch::own_values(settings)
    }
}
