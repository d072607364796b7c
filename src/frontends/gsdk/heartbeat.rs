//! Heartbeats as the flavours send them: keys in any case, members that may be null or absent, a
//! spelling mistake.

use crate::model::text::printable;
use serde_json::{Map, Value};

const MAX_PLAYERS: usize = 1024;
const MAX_TEXT: usize = 128;

/// The state that the game reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GameState {
    /// Also every state that isn't known here: the game lives.
    Invalid,
    Initializing,
    StandingBy,
    Active,
    Terminating,
    Terminated,
    Quarantined,
}

impl GameState {
    /// C# spells one of them in its own way.
    fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "initializing" => GameState::Initializing,
            "standingby" => GameState::StandingBy,
            "active" => GameState::Active,
            "terminating" => GameState::Terminating,
            "terminated" => GameState::Terminated,
            "quarantined" | "quarentined" => GameState::Quarantined,
            _ => GameState::Invalid,
        }
    }
}

/// The game's opinion of its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Healthy,
    Unhealthy,
}

/// One heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    pub state: GameState,
    pub health: Option<Health>,
    pub players: Players,
}

/// What a heartbeat says of players.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Players {
    /// The member is absent.
    Unsaid,
    /// The member is null: C++ and Go write an empty list so, and others have no list at all.
    Null,
    Named(Vec<String>),
}

/// A body that is no heartbeat.
#[derive(Debug, thiserror::Error)]
pub enum BadHeartbeat {
    #[error("a heartbeat is a JSON object")]
    NotAnObject,
    #[error("the heartbeat can't be read: {0}")]
    NotJson(#[from] serde_json::Error),
}

impl Heartbeat {
    /// Only a body that is no JSON object is an error.
    pub fn parse(body: &[u8]) -> Result<Heartbeat, BadHeartbeat> {
        let beat = object(body)?;
        let state = text(&beat, "CurrentGameState").map_or(GameState::Invalid, |name| GameState::named(&name));
        let health = text(&beat, "CurrentGameHealth").and_then(|health| match health.to_ascii_lowercase().as_str() {
            "healthy" => Some(Health::Healthy),
            "unhealthy" => Some(Health::Unhealthy),
            _ => None,
        });
        let players = match member(&beat, "CurrentPlayers") {
            Some(Value::Array(list)) => Players::Named(list.iter().take(MAX_PLAYERS).filter_map(player).collect()),
            Some(Value::Null) => Players::Null,
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) | None => Players::Unsaid,
        };
        Ok(Heartbeat { state, health, players })
    }
}

fn player(value: &Value) -> Option<String> {
    let id = match value {
        Value::Object(player) => text(player, "PlayerId")?,
        Value::String(id) => bounded(id),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return None,
    };
    Some(id).filter(|id| !id.is_empty())
}

/// Which SDK the game uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SdkInfo {
    pub flavour: Option<String>,
    pub version: Option<String>,
}

impl SdkInfo {
    /// What can't be read is unknown; no game is refused for it.
    pub fn parse(body: &[u8]) -> SdkInfo {
        let Ok(info) = object(body) else { return SdkInfo::default() };
        SdkInfo { flavour: text(&info, "Flavor").or_else(|| text(&info, "Flavour")), version: text(&info, "Version") }
    }
}

/// The route of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    SessionHost,
    Heartbeats,
}

/// What it means when no heartbeat comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// This flavour sends one every second, whatever happens: silence counts against the game's health.
    Counts,
    /// It may be Unity's, which pauses for minutes after a failed heartbeat: nothing is counted.
    MayBeAPause,
}

impl Route {
    /// As far as route and user agent tell.
    pub(crate) fn silence(self, user_agent: &str) -> Silence {
        let go = user_agent.starts_with("Go-http-client");
        match self {
            Route::SessionHost => Silence::Counts,
            Route::Heartbeats if go => Silence::Counts,
            Route::Heartbeats => Silence::MayBeAPause,
        }
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, BadHeartbeat> {
    match serde_json::from_slice(body)? {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(BadHeartbeat::NotAnObject)
        }
    }
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    member(object, name).and_then(Value::as_str).map(bounded)
}

fn bounded(text: &str) -> String {
    printable(text, MAX_TEXT)
}
