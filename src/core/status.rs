//! The agent as seen from outside.

use super::{
    engine::Core,
    publish::Lane,
    state::{Link, Match, Phase},
};
use crate::model::{
    allocation::ProviderKind,
    game::{CustomDataOf, GamePlayer},
    session::JoinParams,
    status::{AgentStatus, GameStatus, KeeperStatus, PhaseName, Status},
    time::Timestamp,
};

impl Core {
    /// The agent as seen from outside. The driver adds what only it knows: pid, addresses, URL.
    pub fn status(&self) -> Status {
        let game = self.state.phase.game();
        let run = self.state.process.run();
        let roster = run.map(|run| &run.roster);
        let (instance_health, health_reasons) = self.health();
        let params = game.filter(|game| game.first_joinable.is_some()).map(|game| self.join_params(game));
        let configured = self.settings.session.startup_params.as_ref().filter(|_| run.is_some());
        let startup = game.map(|game| &game.params).or(configured);
        Status {
            name: self.settings.name.clone(),
            phase: if self.ended { PhaseName::Ended } else { self.state.phase.name() },
            since: self.state.since,
            join_status: self.join_status(),
            instance_health,
            health_reasons,
            reason: self.reason(),
            session_id: game.map(|game| game.session.clone()),
            instance_id: game.map(|game| game.instance.clone()),
            allocation_id: self.allocation_id(game),
            match_id: game.and_then(|game| game.match_id.clone()),
            public_conn_str: string(params.as_ref(), |params| &params.public_conn_str),
            private_conn_str: string(params.as_ref(), |params| &params.private_conn_str),
            map: run
                .and_then(|run| run.map.clone())
                .or_else(|| startup.map(|p| p.map.clone()))
                .filter(|map| !map.is_empty()),
            mode: run.and_then(|run| run.mode.clone()).or_else(|| startup.and_then(|p| p.mode.clone())),
            ports: self.settings.launch.ports.clone(),
            players: roster.map_or(0, super::players::Roster::players),
            players_known: roster
                .map(|roster| roster.known.values().cloned().collect::<Vec<GamePlayer>>())
                .unwrap_or_default(),
            max_players: self.max_players(),
            custom_data: self.custom(CustomDataOf::Instance),
            agent: self.agent_status(),
            keeper: self.keeper_status(),
            game: self.game_status(),
            machine: None,
            sessions_url: None,
            backend: self.backend.clone(),
            outbox: self.state.lanes.iter().flat_map(Lane::owed).collect(),
            backfill_id: self.backfill.id().map(ToString::to_string),
            warnings: self.warnings(),
            last_end: self.state.last_end.clone(),
            deadline: self.shown_deadline(),
        }
    }

    fn reason(&self) -> Option<String> {
        match &self.state.phase {
            Phase::Draining(_, drain) => Some(drain.reason.clone()),
            Phase::Closing(_, closing) => Some(closing.reason.clone()),
            Phase::Leaving(leaving) => Some(leaving.reason.clone()),
            Phase::Idle | Phase::Acquiring(_) | Phase::Starting(_) | Phase::Serving(_) => None,
        }
    }

    fn shown_deadline(&self) -> Option<Timestamp> {
        match &self.state.phase {
            Phase::Draining(_, drain) => drain.deadline.map(|when| when.0),
            Phase::Closing(_, closing) => closing.ladder.deadline(&self.settings.stop_steps).map(|when| when.0),
            Phase::Leaving(leaving) => Some(leaving.until.0),
            Phase::Idle | Phase::Acquiring(_) | Phase::Starting(_) | Phase::Serving(_) => None,
        }
    }

    fn allocation_id(&self, game: Option<&Match>) -> Option<crate::model::ids::AllocationId> {
        match &self.state.phase {
            Phase::Acquiring(acquiring) => Some(acquiring.allocation.allocation_id.clone()),
            Phase::Idle
            | Phase::Starting(_)
            | Phase::Serving(_)
            | Phase::Draining(..)
            | Phase::Closing(..)
            | Phase::Leaving(_) => game.map(|game| game.allocation.allocation_id.clone()),
        }
    }

    fn max_players(&self) -> Option<u32> {
        let said = self.state.process.run().and_then(|run| run.roster.max);
        let teams = self.session.as_ref().map(|session| session.teams.iter().map(|team| team.max_size).sum());
        said.or(teams)
    }

    fn agent_status(&self) -> AgentStatus {
        let provider = match self.settings.provider {
            ProviderKind::Auto => "auto",
            ProviderKind::Sic => "sic",
            ProviderKind::Hook => "hook",
        };
        AgentStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            provider: provider.to_owned(),
            registered: self.registered,
            journal: self.journal.trouble.clone(),
            ..AgentStatus::default()
        }
    }

    fn keeper_status(&self) -> KeeperStatus {
        let hello = self.keeper.hello.as_ref();
        KeeperStatus {
            pid: hello.map(|hello| hello.pid),
            id: hello.map(|hello| hello.keeper.clone()),
            connected: self.keeper.connected,
            containment: hello.map(|hello| hello.containment),
            memory: None,
        }
    }

    fn game_status(&self) -> GameStatus {
        let run = self.state.process.run();
        GameStatus {
            pid: run.and_then(|run| run.pid),
            run: run.map(|run| run.number),
            started: run.and_then(|run| run.started),
            ready: run.is_some_and(|run| run.ready.is_some()),
            restarts: self.state.phase.game().map_or(0, |game| game.restarts),
            version: self.version().map(|version| version.to_string()),
            speaks: run.map(|run| run.speaks.iter().copied().collect()).unwrap_or_default(),
            sdk: run.and_then(|run| run.sdk.clone()),
            memory: self.stats.map(|stats| stats.memory),
            cpu_ms: self.stats.map(|stats| stats.cpu_us / 1000),
            processes: self.stats.map(|stats| stats.processes),
            tick_rate: self.health.tick_rate(),
            pings_stopped: run.is_some_and(|run| run.pings_stopped),
            kept: run.map(|run| run.kept.clone()).unwrap_or_default(),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        warnings.extend(self.journal.trouble.iter().map(|why| format!("{why}; no new allocation is taken")));
        warnings.extend(self.journal.set_aside.clone());
        warnings.extend(self.keeper.trouble.iter().map(|why| format!("the keeper is away: {why}")));
        warnings.extend(self.registration_trouble.iter().map(|why| format!("not registered: {why}")));
        let refusals = &self.refusals;
        let waiting = refusals.waiting.as_ref().filter(|(instance, _)| self.lane(instance).is_some());
        warnings.extend(refusals.session.clone());
        warnings.extend(waiting.map(|(_, why)| why.clone()));
        warnings.extend(refusals.dropped.clone());
        if self.stranger {
            warnings.push("a game runs that no journal and no record explains; `gameside stop` ends it".to_owned());
        }
        if let super::state::Process::Unkillable { run, left } = &self.state.process {
            warnings.push(format!("{left} processes of run {run} can't be killed; nothing is started here again"));
        }
        if self.state.failures.rest_until.is_some_and(|until| self.now < until) {
            warnings.push("the game failed; no allocation is taken for a while".to_owned());
        }
        match self.state.phase.game().map(|game| &game.link) {
            Some(Link::Gone) => warnings.push("the session is gone; the match plays on".to_owned()),
            Some(Link::Recreating) => warnings.push("the session is gone; a new one is being made".to_owned()),
            Some(Link::Doubtful { .. }) => warnings.push("the session service doesn't know the session".to_owned()),
            Some(Link::Held) | None => {}
        }
        warnings
    }
}

fn string(params: Option<&JoinParams>, which: fn(&JoinParams) -> &String) -> Option<String> {
    params.map(which).filter(|text| !text.is_empty()).cloned()
}
