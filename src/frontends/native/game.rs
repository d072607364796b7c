//! Messages of the game: `/v1/game/…`.
//!
//! | message | answered with 204 |
//! |---|---|
//! | heartbeat | at once: it is counted ([`Heartbeats`](crate::frontends::Heartbeats)) |
//! | tick rate | at once: it isn't journalled |
//! | any other | once what it changed is in the agent's journal, so that it survives the agent; 202 if that takes longer than [`PATIENCE`](crate::frontends::game_queue::PATIENCE) (it counts all the same) |
//!
//! A message that no agent takes within [`PATIENCE`](crate::frontends::game_queue::PATIENCE) is
//! answered with 503 and was not applied. Sending the same message twice is harmless: a game
//! retries until it is answered.

use super::{
    Api,
    extract::{Game, Json, invalid, text},
};
use crate::{
    frontends::{
        GameMessage,
        game_queue::{CallKind, NotTaken},
        http::Problem,
    },
    host::clock,
    model::{
        CustomData,
        game::{Admission, CustomDataOf, EventSource, GameEvent, GamePlayer},
        ids::{MatchId, RunNumber},
        session::InstanceHealth,
    },
};
use axum::extract::{Path, State, rejection::PathRejection};
use http::StatusCode;
use serde::Deserialize;
const MAX_PLAYERS: usize = 1024;
const MAX_KEYS: usize = 64;
const MAX_ID: usize = 128;
const MAX_TEXT: usize = 512;
const MAX_VALUE: usize = 4096;
const MAX_TICKS: f64 = 1_000_000.0;

type Answer = Result<StatusCode, Problem>;

/// No members.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Whether new players may come.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Joinable {
    pub joinable: bool,
}

/// The game's opinion of itself; stands until replaced.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    pub health: InstanceHealth,
    #[serde(default)]
    #[cfg_attr(test, schema(max_length = 512))]
    pub reason: Option<String>,
}

/// Simulation ticks per second.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct TickRate {
    #[cfg_attr(test, schema(minimum = 0, maximum = 1_000_000))]
    pub measured: f64,
    /// What it should be.
    #[serde(default)]
    #[cfg_attr(test, schema(exclusive_minimum = 0, maximum = 1_000_000))]
    pub target: Option<f64>,
}

/// Everybody who is connected.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Players {
    #[cfg_attr(test, schema(max_items = 1024))]
    pub players: Vec<GamePlayer>,
}

/// A match begins.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct MatchStart {
    /// Shown as the instance's `match_id`.
    #[serde(default)]
    #[cfg_attr(test, schema(value_type = Option<String>, min_length = 1, max_length = 128))]
    pub match_id: Option<MatchId>,
}

/// What is played now; at least one of the two.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Map {
    #[serde(default)]
    #[cfg_attr(test, schema(max_length = 512))]
    pub map: Option<String>,
    #[serde(default)]
    #[cfg_attr(test, schema(max_length = 512))]
    pub mode: Option<String>,
}

/// The game's version.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    #[cfg_attr(test, schema(value_type = String, example = "1.4.2-rc.1"))]
    pub version: semver::Version,
}

impl From<NotTaken> for Problem {
    fn from(why: NotTaken) -> Self {
        let code = match why {
            NotTaken::Full => "busy",
            NotTaken::NoAgent => "no_agent",
            NotTaken::Ending => "ending",
        };
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, why.to_string())
    }
}

fn message(run: RunNumber, event: GameEvent) -> GameMessage {
    GameMessage { run, source: EventSource::Native, event }
}

/// Hands a message on and waits until it is durable. It is made when its turn has come.
async fn submit_with(api: &Api, run: RunNumber, kind: CallKind, event: impl FnOnce() -> GameEvent) -> Answer {
    let queue = &api.game()?.queue;
    let batch = queue.turn(kind).await?.say([message(run, event())]);
    match queue.acknowledged(batch).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(NotTaken::Full | NotTaken::NoAgent) => Ok(StatusCode::ACCEPTED),
        Err(ending @ NotTaken::Ending) => Err(ending.into()),
    }
}

async fn submit(api: &Api, run: RunNumber, event: GameEvent) -> Answer {
    submit_with(api, run, CallKind::Ordinary, || event).await
}

/// The game can take players. Proof of readiness where `[game.readiness] by = "sdk"`.
#[cfg_attr(test, utoipa::path(post, path = "/v1/game/ready", tag = "game", request_body = Nothing,
    responses((status = 204), (status = 202), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn ready(State(api): State<Api>, Game(run): Game, _: Json<Nothing>) -> Answer {
    submit(&api, run, GameEvent::Ready).await
}

/// Open to new players, or closed to them, until said otherwise.
#[cfg_attr(test, utoipa::path(post, path = "/v1/game/joinable", tag = "game", request_body = Joinable,
    responses((status = 204), (status = 202), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn joinable(State(api): State<Api>, Game(run): Game, Json(body): Json<Joinable>) -> Answer {
    let admission = if body.joinable { Admission::Open } else { Admission::Closed };
    submit(&api, run, GameEvent::Joinable(admission)).await
}

/// It is alive. From the first one on, silence counts against its health.
#[cfg_attr(test, utoipa::path(post, path = "/v1/game/heartbeat", tag = "game", request_body = Nothing,
    responses((status = 204), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn heartbeat(State(api): State<Api>, Game(run): Game, _: Json<Nothing>) -> Answer {
    api.game()?.heartbeats.record(run, EventSource::Native, clock::mono());
    Ok(StatusCode::NO_CONTENT)
}

/// Its own opinion of its health; stands until replaced.
#[cfg_attr(test, utoipa::path(post, path = "/v1/game/health", tag = "game", request_body = Health,
    responses((status = 204), (status = 202), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn health(State(api): State<Api>, Game(run): Game, Json(body): Json<Health>) -> Answer {
    if let Some(reason) = &body.reason {
        text("reason", reason, 0..=MAX_TEXT)?;
    }
    let event = GameEvent::Health { health: body.health, reason: body.reason.filter(|reason| !reason.is_empty()) };
    submit(&api, run, event).await
}

/// How fast it simulates.
#[cfg_attr(test, utoipa::path(post, path = "/v1/game/tick-rate", tag = "game", request_body = TickRate,
    responses((status = 204), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn tick_rate(State(api): State<Api>, Game(run): Game, Json(body): Json<TickRate>) -> Answer {
    if !(0.0..=MAX_TICKS).contains(&body.measured) {
        return Err(invalid(format!("measured must be 0 to {MAX_TICKS} ticks a second, found {}", body.measured)));
    }
    if let Some(target) = body.target.filter(|target| *target <= 0.0 || *target > MAX_TICKS) {
        return Err(invalid(format!("target must be above 0 and at most {MAX_TICKS} ticks a second, found {target}")));
    }
    let event = GameEvent::TickRate { measured: body.measured, target: body.target };
    if api.game()?.queue.post(message(run, event)) { Ok(StatusCode::NO_CONTENT) } else { Err(NotTaken::Full.into()) }
}

fn check_player(player: &GamePlayer) -> Result<(), Problem> {
    text("a player's id", &player.id, 1..=MAX_ID)?;
    player.name.as_ref().map_or(Ok(()), |name| text("a player's name", name, 0..=MAX_ID))
}

/// A player connected.
#[cfg_attr(test, utoipa::path(post, path = "/v1/game/players", tag = "game", request_body = GamePlayer,
    responses((status = 204), (status = 202), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn player_joined(State(api): State<Api>, Game(run): Game, Json(player): Json<GamePlayer>) -> Answer {
    check_player(&player)?;
    submit(&api, run, GameEvent::PlayerJoined(player)).await
}

/// A player is gone. One that isn't there is no error.
#[cfg_attr(test, utoipa::path(delete, path = "/v1/game/players/{id}", tag = "game", params(("id" = String, Path, description = "As in the POST")),
    responses((status = 204), (status = 202), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn player_left(
    State(api): State<Api>,
    Game(run): Game,
    id: Result<Path<String>, PathRejection>,
    _: Json<Nothing>,
) -> Answer {
    let Path(id) = id.map_err(|error| invalid(format!("the player's id can't be read: {error}")))?;
    text("a player's id", &id, 1..=MAX_ID)?;
    submit(&api, run, GameEvent::PlayerLeft { id }).await
}

/// Everybody who is connected; replaces what was known.
#[cfg_attr(test, utoipa::path(put, path = "/v1/game/players", tag = "game", request_body = Players,
    responses((status = 204), (status = 202), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn players(State(api): State<Api>, Game(run): Game, Json(body): Json<Players>) -> Answer {
    if body.players.len() > MAX_PLAYERS {
        return Err(invalid(format!("at most {MAX_PLAYERS} players, found {}", body.players.len())));
    }
    let mut seen = std::collections::HashSet::new();
    for player in &body.players {
        check_player(player)?;
        if !seen.insert(player.id.as_str()) {
            return Err(invalid(format!("player {:?} is named twice", player.id)));
        }
    }
    submit(&api, run, GameEvent::Players(body.players)).await
}

/// A match begins.
#[cfg_attr(test, utoipa::path(post, path = "/v1/game/match/start", tag = "game", request_body = MatchStart,
    responses((status = 204), (status = 202), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn match_start(State(api): State<Api>, Game(run): Game, Json(body): Json<MatchStart>) -> Answer {
    submit(&api, run, GameEvent::MatchStarted { match_id: body.match_id }).await
}

/// The match is over.
#[cfg_attr(test, utoipa::path(post, path = "/v1/game/match/end", tag = "game", request_body = Nothing,
    responses((status = 204), (status = 202), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn match_end(State(api): State<Api>, Game(run): Game, _: Json<Nothing>) -> Answer {
    // As of now, not of when its turn has come: it may be another match's by then.
    let allocation = api.status.borrow().allocation_id.clone();
    submit(&api, run, GameEvent::MatchEnded { allocation }).await
}

/// Data of the game's own, for the session's instance, its join parameters, or the browser. Merged key by key over what is
/// there; an empty value removes a key.
#[cfg_attr(test, utoipa::path(put, path = "/v1/game/custom-data/{whose}", tag = "game", request_body = std::collections::BTreeMap<String, String>,
    params(("whose" = CustomDataOf, Path)),
    responses((status = 204), (status = 202), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn custom_data(
    State(api): State<Api>,
    Game(run): Game,
    whose: Result<Path<CustomDataOf>, PathRejection>,
    Json(data): Json<CustomData>,
) -> Answer {
    let Ok(Path(whose)) = whose else {
        let message = "custom data is kept for instance, join_params and browser";
        return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", message));
    };
    if data.len() > MAX_KEYS {
        return Err(invalid(format!("at most {MAX_KEYS} keys at a time, found {}", data.len())));
    }
    for (key, value) in &data {
        text("a key", key, 1..=MAX_ID)?;
        text(&format!("the value of {key:?}"), value, 0..=MAX_VALUE)?;
    }
    submit(&api, run, GameEvent::CustomData { whose, data }).await
}

/// The map or mode changed.
#[cfg_attr(test, utoipa::path(post, path = "/v1/game/map", tag = "game", request_body = Map,
    responses((status = 204), (status = 202), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn map(State(api): State<Api>, Game(run): Game, Json(body): Json<Map>) -> Answer {
    if body.map.is_none() && body.mode.is_none() {
        return Err(invalid("name the map, the mode, or both"));
    }
    for (what, value) in [("map", &body.map), ("mode", &body.mode)] {
        value.as_ref().map_or(Ok(()), |value| text(what, value, 1..=MAX_TEXT))?;
    }
    submit(&api, run, GameEvent::Map { map: body.map, mode: body.mode }).await
}

/// The game's version, if it knows better than the configuration.
#[cfg_attr(test, utoipa::path(post, path = "/v1/game/version", tag = "game", request_body = Version,
    responses((status = 204), (status = 202), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn version(State(api): State<Api>, Game(run): Game, Json(body): Json<Version>) -> Answer {
    submit(&api, run, GameEvent::Version(body.version)).await
}

/// The game is about to end, in good order: its exit is no crash.
#[cfg_attr(test, utoipa::path(post, path = "/v1/game/shutdown", tag = "game", request_body = Nothing,
    responses((status = 204), (status = 202), (status = "default", body = crate::frontends::http::ErrorBody<'static>)), security(("game" = []))))]
pub(crate) async fn shutdown(State(api): State<Api>, Game(run): Game, _: Json<Nothing>) -> Answer {
    submit_with(&api, run, CallKind::End, || GameEvent::Shutdown).await
}
