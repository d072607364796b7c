//! PlayFab's game server SDK (GSDK): the game sends heartbeats over plain HTTP, and finds us by a
//! file that its SDK reads at its start.
//!
//! | route | used by |
//! |---|---|
//! | `POST /v1/metrics/{id}/gsdkinfo` | C++, C#, Java, Unity, Unreal, Godot |
//! | `PATCH /v1/sessionHosts/{id}` | C++, C#, Java, Unreal |
//! | `POST /v1/sessionHosts/{id}/heartbeats` | Unity, Go, Godot |
//!
//! ```text
//!   game reports     becomes                         answer
//!   StandingBy       ready                           Active, with the session, once it is allocated; else Continue
//!   Active           ready                           Continue, with the session
//!   Terminating …    it ends in good order           Terminate, once it is being stopped
//!   health           an opinion, where configured
//!   players          the whole list, when it changes
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`mod@heartbeat`] | what the flavours send, in all their spellings |
//! | [`response`] | what every flavour can read |
//! | [`history`] | what a heartbeat says that the last one didn't |
//! | [`launch`] | the file and the variables by which the game finds us |
//!
//! Invariants:
//!
//! 1. An answer never waits for the core: games give a heartbeat a second. It is written once for
//!    each change of what it says.
//! 2. `Active` goes to a game that stands by and to no other, because a repeat kills some flavours.
//! 3. `sessionConfig` is there from the allocation on and never empty.
//! 4. `{id}` is made of the run's token: it is good for this run alone, and nobody guesses it who
//!    can't read the game's file.
//! 5. A heartbeat that arrives before a restarted agent knows its run waits a moment instead of
//!    failing: one flavour sends none for half a minute after a failure.

pub(crate) mod config;
pub(crate) mod heartbeat;
pub(crate) mod history;
pub(crate) mod launch;
pub(crate) mod response;
#[cfg(test)]
mod tests;

use super::{
    BindAddress, BoundSocket, Frontend, GameMessage, LaunchContext, LaunchExtension, Shared, SocketSpec,
    http::{self, Problem},
    take_socket,
};
use crate::{
    host::clock,
    model::{
        game::{EventSource, GameEvent},
        ids::RunNumber,
    },
    net::{Listener, server::Admits},
};
use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::{
    Json, Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use config::GsdkConfig;
use heartbeat::{GameState, Heartbeat, Route, SdkInfo, Silence};
use history::History;
use response::HeartbeatResponse;
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::task::JoinSet;

/// Name of its socket at the keeper.
pub(crate) const TCP: &str = "gsdk-tcp";
/// How long a heartbeat waits for a run that isn't known yet.
const UNKNOWN_RUN_TIMEOUT: Duration = Duration::from_millis(700);

/// When a PlayFab game is told to terminate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Terminate {
    /// When it is stopped. A drain before that shows as scheduled maintenance, and players may finish.
    #[default]
    AtStop,
    /// As soon as it is drained: for games that let players finish by themselves.
    AtDrain,
}

/// The frontend.
#[derive(Debug)]
pub(crate) struct Gsdk {
    config: GsdkConfig,
}

impl Gsdk {
    pub(crate) fn new(config: GsdkConfig) -> Self {
        Gsdk { config }
    }
}

impl Frontend for Gsdk {
    fn name(&self) -> &'static str {
        "gsdk"
    }

    fn sockets(&self) -> Vec<SocketSpec> {
        let address = BindAddress::Tcp(self.config.listen);
        vec![SocketSpec { name: TCP.to_owned(), address, if_taken: self.config.if_taken }]
    }

    /// Everything that the game needs names its run: see [`launch`].
    fn env(&self, _bound: &[BoundSocket]) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn launch_extension(&self, bound: &[BoundSocket], context: &LaunchContext) -> Option<Box<dyn LaunchExtension>> {
        let endpoint = bound.iter().find(|bound| bound.name == TCP)?.address()?;
        Some(Box::new(launch::GsdkLaunch::new(endpoint, &self.config, context)))
    }

    fn serve(self: Box<Self>, bound: &mut Vec<BoundSocket>, shared: Shared, tasks: &mut JoinSet<()>) -> io::Result<()> {
        let places = shared.connections.places(0);
        let router = router(self.config, shared);
        if let Some(fd) = take_socket(bound, TCP) {
            tasks.spawn(http::serve(Listener::local(fd)?, Admits::Everybody, places, router));
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Api {
    config: Arc<GsdkConfig>,
    shared: Shared,
    history: Arc<Mutex<History>>,
    responses: Arc<Mutex<ResponseCache>>,
}

/// The answers to the newest run, as of a notice: what they say depends on nothing else but whether the game stands by.
#[derive(Debug, Default)]
struct ResponseCache {
    made_for: Option<(RunNumber, u64)>,
    standing_by: Option<Bytes>,
    other: Option<Bytes>,
}

/// Every route, without the checks that belong to a listener.
fn router(config: GsdkConfig, shared: Shared) -> Router {
    let api = Api { config: Arc::new(config), shared, history: Arc::default(), responses: Arc::default() };
    Router::new()
        .route("/v1/metrics/{id}/gsdkinfo", post(info))
        .route("/v1/sessionHosts/{id}", post(patched).patch(patched))
        .route("/v1/sessionHosts/{id}/heartbeats", post(posted).patch(posted))
        .fallback(no_route)
        .with_state(api)
}

async fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "no such route; heartbeats of PlayFab's game server SDK come here")
}

/// Which SDK it is. Unreal's waits for the answer before its first heartbeat.
async fn info(State(api): State<Api>, Path(id): Path<String>, request: Request) -> Result<Response, Problem> {
    let run = api.run(&id).await?;
    let info = SdkInfo::parse(&http::body(request).await?);
    let named = api.history().sdk_named(run, info);
    if let Some(event) = named {
        // No later request repeats it, but it is worth no failure.
        api.shared.queue.post(message(run, event));
    }
    Ok(Json(serde_json::json!({})).into_response())
}

async fn patched(state: State<Api>, id: Path<String>, request: Request) -> Result<Response, Problem> {
    heartbeat(state, id, request, Route::SessionHost).await
}

async fn posted(state: State<Api>, id: Path<String>, request: Request) -> Result<Response, Problem> {
    heartbeat(state, id, request, Route::Heartbeats).await
}

async fn heartbeat(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
    route: Route,
) -> Result<Response, Problem> {
    let run = api.run(&id).await?;
    let by_route = route.silence(user_agent(request.headers()));
    let beat = Heartbeat::parse(&http::body(request).await?)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "bad_beat", error.to_string()))?;
    api.hand_on(run, &beat, by_route);
    Ok(api.respond(run, beat.state))
}

fn user_agent(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn message(run: RunNumber, event: GameEvent) -> GameMessage {
    GameMessage { run, source: EventSource::Gsdk, event }
}

impl Api {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the heartbeat, and passes on what is new in it. If too much waits already, the next heartbeat says it again.
    fn hand_on(&self, run: RunNumber, beat: &Heartbeat, by_route: Silence) {
        let players_known = {
            let status = self.shared.status.borrow();
            status.players.is_some_and(|players| players > 0) && status.players_from == Some(EventSource::Gsdk)
        };
        let mut history = self.history();
        let changes = history.changes(run, beat, players_known, &self.config);
        if history.silence(run, by_route) == Silence::Counts {
            self.shared.heartbeats.record(run, EventSource::Gsdk, clock::mono());
        }
        if changes.is_empty() {
            return;
        }
        let mut posted = changes.events().into_iter().map(|event| self.shared.queue.post(message(run, event)));
        if posted.all(|posted| posted) {
            history.commit(changes);
        }
    }

    fn respond(&self, run: RunNumber, state: GameState) -> Response {
        let body = self.response(run, state);
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
    }

    fn response(&self, run: RunNumber, state: GameState) -> Bytes {
        let mut cache = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        let made_for = Some((run, self.shared.events.head()));
        if cache.made_for != made_for {
            *cache = ResponseCache { made_for, ..ResponseCache::default() };
        }
        let cached = match state {
            GameState::StandingBy => &mut cache.standing_by,
            GameState::Invalid
            | GameState::Initializing
            | GameState::Active
            | GameState::Terminating
            | GameState::Terminated
            | GameState::Quarantined => &mut cache.other,
        };
        cached.get_or_insert_with(|| self.make_response(run, state)).clone()
    }

    fn make_response(&self, run: RunNumber, state: GameState) -> Bytes {
        let (levels, number) = self.shared.events.levels();
        let notices = if levels.run == Some(run) { levels.events } else { Vec::new() };
        let notices = notices.iter().map(|event| &event.notice);
        let response = HeartbeatResponse::to(state, notices, self.config.terminate, number);
        serde_json::to_vec(&response).expect("plain data always serialises").into()
    }

    /// The run that goes by this id. An agent that has just started doesn't know its run before its keeper has spoken.
    async fn run(&self, id: &str) -> Result<RunNumber, Problem> {
        let mut status = self.shared.status.clone();
        let known = async {
            loop {
                if let Some(run) = self.shared.tokens.host(id) {
                    return Some(run);
                }
                let early = { status.borrow_and_update().game.run.is_none() };
                if !early || status.changed().await.is_err() {
                    return self.shared.tokens.host(id);
                }
            }
        };
        tokio::time::timeout(UNKNOWN_RUN_TIMEOUT, known).await.ok().flatten().ok_or_else(|| {
            let message =
                "no game of this run goes by that session host id; the game finds its own in GSDK_CONFIG_FILE";
            Problem::new(StatusCode::NOT_FOUND, "unknown_session_host", message)
        })
    }
}
