//! What a heartbeat says that the last one didn't: games repeat everything every second, the core
//! hears of changes.
//!
//! ```text
//!   heartbeat ──► History::changes ──► Changes ──► events to the driver ──► History::commit
//! ```
//!
//! Invariants: a heartbeat that changes nothing copies nothing; a change is remembered only once it
//! was passed on, so that a heartbeat that found the driver busy is repeated by the next. The
//! game's word on its health is an opinion that is handed on where the configuration wants it; the
//! core judges.

use super::{
    config::GsdkConfig,
    heartbeat::{GameState, Health, Heartbeat, Players, SdkInfo, Silence},
};
use crate::model::{
    game::{GameEvent, GamePlayer},
    ids::RunNumber,
    session::InstanceHealth,
};

/// What one run's heartbeats have said so far, since the agent's start.
#[derive(Debug, Default)]
pub(crate) struct History {
    run: Option<RunNumber>,
    flavour: Option<String>,
    up: bool,
    ending: bool,
    health: Option<InstanceHealth>,
    players: Option<Vec<String>>,
}

/// What is new in a heartbeat.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    up: bool,
    ending: bool,
    health: Option<InstanceHealth>,
    players: Option<Vec<String>>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Changes::default()
    }

    /// In the order in which the driver is to hear them.
    pub(crate) fn events(&self) -> Vec<GameEvent> {
        let player = |id: &String| GamePlayer { id: id.clone(), name: None, team: None };
        let events = [
            self.up.then_some(GameEvent::Ready),
            self.health.map(|health| GameEvent::Health { health, reason: None }),
            self.players.as_ref().map(|players| GameEvent::Players(players.iter().map(player).collect())),
            self.ending.then_some(GameEvent::Shutdown),
        ];
        events.into_iter().flatten().collect()
    }
}

impl History {
    /// Another run starts with an empty history.
    fn follow_run(&mut self, run: RunNumber) {
        if self.run != Some(run) {
            *self = History { run: Some(run), ..History::default() };
        }
    }

    /// The game named its SDK.
    pub(crate) fn sdk_named(&mut self, run: RunNumber, info: SdkInfo) -> Option<GameEvent> {
        self.follow_run(run);
        let flavour = info.flavour?;
        let name = format!("PlayFab GSDK, {flavour} {}", info.version.unwrap_or_default());
        self.flavour = Some(flavour);
        Some(GameEvent::Sdk(name.trim_end().to_owned()))
    }

    /// The part of a heartbeat that is new. `players_known`: this SDK has named players before, maybe to the agent before this one.
    pub(crate) fn changes(
        &mut self,
        run: RunNumber,
        beat: &Heartbeat,
        players_known: bool,
        config: &GsdkConfig,
    ) -> Changes {
        self.follow_run(run);
        Changes {
            up: !self.up && matches!(beat.state, GameState::StandingBy | GameState::Active),
            ending: !self.ending && matches!(beat.state, GameState::Terminating | GameState::Terminated),
            health: opinion(beat, config).filter(|health| self.health != Some(*health)),
            players: self.new_players(beat, players_known, config),
        }
    }

    /// After [`Changes::events`] were passed on.
    pub(crate) fn commit(&mut self, changes: Changes) {
        self.up |= changes.up;
        self.ending |= changes.ending;
        self.health = changes.health.or(self.health);
        if changes.players.is_some() {
            self.players = changes.players;
        }
    }

    /// What silence of this game means. `by_route`: as far as its way of sending tells.
    pub(crate) fn silence(&self, run: RunNumber, by_route: Silence) -> Silence {
        match self.flavour.as_ref().filter(|_| self.run == Some(run)) {
            Some(flavour) if flavour.to_ascii_lowercase().contains("unity") => Silence::MayBeAPause,
            Some(_) => Silence::Counts,
            None => by_route,
        }
    }

    fn new_players(&self, beat: &Heartbeat, players_known: bool, config: &GsdkConfig) -> Option<Vec<String>> {
        let list = match &beat.players {
            Players::Named(list) => &list[..],
            // Nobody, from a flavour that writes an empty list so; see the next question.
            Players::Null => &[],
            Players::Unsaid => return None,
        };
        let known = players_known || self.players.is_some() || config.empty_means_nobody;
        if self.players.as_deref() == Some(list) || list.is_empty() && !known {
            return None;
        }
        Some(list.to_vec())
    }
}

/// The game's own word on its health, where the configuration wants it handed on.
fn opinion(beat: &Heartbeat, config: &GsdkConfig) -> Option<InstanceHealth> {
    let health = match (beat.state, beat.health) {
        (GameState::Quarantined, _) | (_, Some(Health::Unhealthy)) => Some(InstanceHealth::Unhealthy),
        (_, Some(Health::Healthy)) => Some(InstanceHealth::Healthy),
        (_, None) => None,
    };
    health.filter(|_| config.trust_health)
}
