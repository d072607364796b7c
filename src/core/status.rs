//! The agent as seen from outside.

use super::{
    desired_state,
    engine::Core,
    facts::{Facts, Phase},
    process::{Process, Run},
    session::SessionLink,
};
use crate::model::{
    allocation::ProviderKind,
    game::CustomDataOf,
    ids::AllocationId,
    status::{AgentStatus, GameStatus, KeeperStatus, PhaseName, Status},
    time::Timestamp,
};
use std::collections::BTreeMap;

/// The warning that is shown while a run is kept that nothing explains.
pub(super) const UNEXPLAINED: &str = "a game runs that no journal and no record explains; `gameside stop` ends it";

impl Core {
    /// The agent as seen from outside. The driver adds what only it knows: pid, addresses, URL.
    /// [`Core::status_revision`] says when it may have changed.
    pub fn status(&self) -> Status {
        let facts = &self.facts;
        let game = facts.game.game.as_deref();
        let running = facts.process.run.is_some();
        let verdict = self.health.verdict();
        let configured = facts.settings.session.startup_params.as_ref().filter(|_| running);
        let startup = game.map(|game| &game.params).or(configured);
        let map = facts.words.map.clone().or_else(|| startup.map(|params| params.map.clone()));
        let shown = game.is_some_and(|game| game.first_joinable.is_some());
        let (public, private) = if shown { facts.addresses.both() } else { ("", "") };
        Status {
            name: facts.settings.name.clone(),
            kind: facts.settings.kind,
            phase: if facts.ending.ended { PhaseName::Ended } else { facts.phase().name() },
            since: self.game.state().since,
            join_status: facts.join_status(),
            instance_health: verdict.health,
            health_reasons: verdict.reasons.clone(),
            reason: self.reason(),
            session_id: game.map(|game| game.session.clone()),
            instance_id: game.map(|game| game.instance.clone()),
            allocation_id: allocation_id(facts),
            match_id: game.and_then(|game| game.match_id.clone()),
            public_conn_str: text(public),
            private_conn_str: text(private),
            map: map.filter(|map| !map.is_empty()),
            mode: facts.words.mode.clone().or_else(|| startup.and_then(|params| params.mode.clone())),
            ports: facts.settings.launch.ports.clone(),
            players: if running { facts.players.headcount.shown() } else { Some(0) },
            players_said: said_of_players(facts),
            players_disputed_until: facts.players.headcount.disputed_until().map(|until| until.0),
            players_known: facts.players.named().cloned().collect(),
            players_from: facts.players.source(),
            max_players: max_players(facts),
            custom_data: desired_state::custom(facts, CustomDataOf::Instance),
            agent: self.agent_status(),
            keeper: self.keeper_status(),
            gateway: self.gateway.status().cloned(),
            game: self.game_status(),
            machine: None,
            sessions_url: None,
            backend: self.session.backend().clone(),
            outbox: self.outbox.owed(),
            backfill_id: self.backfill.id().map(ToString::to_string),
            warnings: self.warnings(),
            last_end: self.game.state().last_end.clone(),
            deadline: self.shown_deadline(),
        }
    }

    fn reason(&self) -> Option<String> {
        let facts = &self.facts.game;
        let (drain, closing) = (facts.drain.as_ref(), facts.closing.as_ref());
        drain
            .map(|(reason, _)| reason.clone())
            .or_else(|| closing.map(|(reason, _)| reason.clone()))
            .or_else(|| self.ending.reports().map(|reports| reports.reason.clone()))
    }

    fn shown_deadline(&self) -> Option<Timestamp> {
        let facts = &self.facts.game;
        let deadline = match (&facts.drain, &facts.closing) {
            (Some((_, deadline)), _) => self.facts.drain_ends(*deadline, facts.drain_begun),
            (None, Some((_, sequence))) => sequence.deadline(&self.facts.settings.stop_steps),
            (None, None) => self.ending.reports().map(|reports| reports.until),
        };
        deadline.map(|deadline| deadline.0)
    }

    fn agent_status(&self) -> AgentStatus {
        let provider = match self.facts.settings.provider {
            ProviderKind::Auto => "auto",
            ProviderKind::Sic => "sic",
            ProviderKind::Hook => "hook",
        };
        AgentStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            provider: provider.to_owned(),
            registered: self.availability.is_registered(),
            journal: self.facts.journal.trouble.clone(),
            ..AgentStatus::default()
        }
    }

    fn keeper_status(&self) -> KeeperStatus {
        let hello = self.keeper.hello();
        KeeperStatus {
            pid: hello.map(|hello| hello.pid),
            id: hello.map(|hello| hello.keeper.clone()),
            connected: self.facts.keeper.connected,
            containment: hello.map(|hello| hello.containment),
            users: hello.and_then(|hello| hello.users),
            memory: None,
        }
    }

    fn game_status(&self) -> GameStatus {
        let (facts, words) = (&self.facts, &self.facts.words);
        let (run, stats) = (self.process.state().process.run(), self.process.stats());
        GameStatus {
            restarts: facts.game.game.as_ref().map_or(0, |game| game.restarts),
            version: desired_state::version(facts).map(|version| version.to_string()),
            speaks: words.speaks.iter().copied().collect(),
            sdk: words.sdk.clone(),
            sdk_state: words.sdk_state.clone(),
            memory: facts.process.memory,
            cpu_ms: stats.map(|stats| stats.cpu_us / 1000),
            processes: stats.map(|stats| stats.processes),
            memory_limit: stats.and_then(|stats| stats.memory_limit),
            memory_pressure: stats.and_then(|stats| stats.memory_pressure),
            cpu_pressure: stats.and_then(|stats| stats.cpu_pressure),
            tick_rate: self.health.tick_rate(),
            pings_stopped: self.health.pings().stopped,
            kept: words.kept.clone(),
            kept_aside: words.kept_aside.clone(),
            ..of_run(run)
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let facts = &self.facts;
        warnings.extend(facts.journal.trouble.iter().map(|why| format!("{why}; no new allocation is taken")));
        warnings.extend(self.journal.set_aside().map(str::to_owned));
        warnings.extend(self.keeper.trouble().map(|why| format!("the keeper is away: {why}")));
        warnings.extend(self.availability.trouble().map(|why| format!("not registered: {why}")));
        warnings.extend(self.allocation.refusal().map(str::to_owned));
        warnings.extend(self.outbox.warnings());
        warnings.extend(self.health.stalled().map(str::to_owned));
        if facts.keeper.runs_unexplained() {
            warnings.push(UNEXPLAINED.to_owned());
        }
        warnings.extend(unkillable(&self.process.state().process));
        if self.availability.is_resting() {
            warnings.push("the game failed; no allocation is taken for a while".to_owned());
        }
        let unknown = facts.players.headcount.is_unknown() && facts.process.run.is_some();
        if facts.game.drain.is_some() && unknown {
            warnings.push("nobody knows whether anybody plays; players may go on until the deadline".to_owned());
        }
        if facts.game.game.is_some() {
            warnings.extend(link_warning(facts.session.link));
        }
        warnings
    }
}

/// What the process itself shows.
pub(super) fn of_run(run: Option<&Run>) -> GameStatus {
    GameStatus {
        pid: run.and_then(|run| run.pid),
        run: run.map(|run| run.number),
        started: run.and_then(|run| run.started),
        ready: run.is_some_and(|run| run.ready.is_some()),
        ..GameStatus::default()
    }
}

pub(super) fn unkillable(process: &Process) -> Option<String> {
    let Process::Unkillable { run, left } = process else { return None };
    Some(format!("{left} processes of run {run} can't be killed; nothing is started here again"))
}

pub(super) fn link_warning(link: SessionLink) -> Option<String> {
    let warning = match link {
        SessionLink::Gone => "the session is gone; the match plays on",
        SessionLink::Recreating => "the session is gone; a new one is being made",
        SessionLink::Doubtful { .. } => "the session service doesn't know the session",
        SessionLink::Held => return None,
    };
    Some(warning.to_owned())
}

fn allocation_id(facts: &Facts) -> Option<AllocationId> {
    match facts.phase() {
        Phase::Acquiring => facts.allocation.acquiring.clone(),
        Phase::Idle | Phase::Starting | Phase::Serving | Phase::Draining | Phase::Closing | Phase::FinalReports => {
            facts.game.game.as_ref().map(|game| game.allocation.allocation_id.clone())
        }
    }
}

/// What each source says of how many play.
fn said_of_players(facts: &Facts) -> BTreeMap<String, u32> {
    let voices = facts.players.voices();
    let mut said: BTreeMap<_, _> = voices.iter().map(|voice| (voice.name(), voice.players)).collect();
    said.extend(facts.members().map(|members| ("session".to_owned(), members)));
    said
}

fn max_players(facts: &Facts) -> Option<u32> {
    let teams = facts.session.reading.as_deref();
    let teams = teams.map(|session| session.teams.iter().map(|team| team.max_size).sum());
    facts.players.max.or(teams)
}

fn text(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.is_empty()).map(str::to_owned)
}
