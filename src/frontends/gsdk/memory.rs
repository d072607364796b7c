//! What a beat says that the last one didn't: games repeat everything every second, the core hears of changes.
//!
//! What was heard is kept only once it has been passed on, so that a beat that found the driver busy is said again by the next.

use super::{
    Settings,
    beat::{Beat, GameState, Health, Info, Silence},
};
use crate::model::{
    game::{GameEvent, GamePlayer},
    ids::RunNumber,
    session::InstanceHealth,
};

/// One run's beats so far, in this life of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    run: Option<RunNumber>,
    flavour: Option<String>,
    up: bool,
    ending: bool,
    health: Option<InstanceHealth>,
    players: Option<Vec<String>>,
}

/// What to pass on, and what to remember once that is done.
#[derive(Debug)]
pub struct News {
    pub said: Vec<GameEvent>,
    pub then: Memory,
}

impl Memory {
    fn of(&self, run: RunNumber) -> Memory {
        if self.run == Some(run) { self.clone() } else { Memory { run: Some(run), ..Memory::default() } }
    }

    /// The game named its SDK.
    pub fn introduced(&mut self, run: RunNumber, info: Info) -> Option<GameEvent> {
        *self = self.of(run);
        let flavour = info.flavour?;
        let name = format!("PlayFab GSDK, {flavour} {}", info.version.unwrap_or_default());
        self.flavour = Some(flavour);
        Some(GameEvent::Sdk(name.trim_end().to_owned()))
    }

    /// `someone`: players are known to be there.
    pub fn heard(&self, run: RunNumber, beat: &Beat, way: Silence, someone: bool, settings: &Settings) -> News {
        let mut then = self.of(run);
        let mut said = Vec::new();
        if then.silence(way) == Silence::Counts {
            said.push(GameEvent::Heartbeat);
        }
        if matches!(beat.state, GameState::StandingBy | GameState::Active) && !std::mem::replace(&mut then.up, true) {
            said.push(GameEvent::Ready);
        }
        if let Some(health) = opinion(beat, settings).filter(|health| then.health != Some(*health)) {
            then.health = Some(health);
            said.push(GameEvent::Health { health, reason: None });
        }
        said.extend(then.list(beat, someone, settings));
        let ending = matches!(beat.state, GameState::Terminating | GameState::Terminated);
        if ending && !std::mem::replace(&mut then.ending, true) {
            said.push(GameEvent::Shutdown);
        }
        News { said, then }
    }

    /// After [`News::said`] was passed on.
    pub fn keep(&mut self, then: Memory) {
        // An introduction may have come meanwhile.
        let flavour = if self.run == then.run { self.flavour.take() } else { None };
        *self = Memory { flavour: flavour.or(then.flavour), ..then };
    }

    fn silence(&self, way: Silence) -> Silence {
        match &self.flavour {
            Some(flavour) if flavour.to_ascii_lowercase().contains("unity") => Silence::MayBeAPause,
            Some(_) => Silence::Counts,
            None => way,
        }
    }

    fn list(&mut self, beat: &Beat, someone: bool, settings: &Settings) -> Option<GameEvent> {
        let list = beat.players.as_ref()?;
        let known = someone || self.players.is_some() || settings.empty_means_nobody;
        if self.players.as_ref() == Some(list) || list.is_empty() && !known {
            return None;
        }
        self.players = Some(list.clone());
        let player = |id: &String| GamePlayer { id: id.clone(), name: None, team: None };
        Some(GameEvent::Players(list.iter().map(player).collect()))
    }
}

/// The game's own word on its health, where it is trusted.
fn opinion(beat: &Beat, settings: &Settings) -> Option<InstanceHealth> {
    let health = match (beat.state, beat.health) {
        (GameState::Quarantined, _) | (_, Some(Health::Unhealthy)) => Some(InstanceHealth::Unhealthy),
        (_, Some(Health::Healthy)) => Some(InstanceHealth::Healthy),
        (_, None) => None,
    };
    health.filter(|_| settings.trust_health)
}
