//! PlayFab's game server SDK (GSDK): the game beats to us over plain HTTP, and finds us by a file that its SDK reads at its start.
//!
//! | route | used by |
//! |---|---|
//! | `POST /v1/metrics/{id}/gsdkinfo` | C++, C#, Java, Unity, Unreal, Godot |
//! | `PATCH /v1/sessionHosts/{id}` | C++, C#, Java, Unreal |
//! | `POST /v1/sessionHosts/{id}/heartbeats` | Unity, Go, Godot |
//!
//! ```text
//!   game says        becomes                         we answer
//!   StandingBy       ready                           Active, with the session, once it is allocated; else Continue
//!   Active           ready                           Continue, with the session
//!   Terminating …    it ends in good order           Terminate, once it is being stopped
//!   players          the whole list, when it changes
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`mod@beat`] | what the flavours send, in all their spellings |
//! | [`answer`] | what every flavour can read |
//! | [`memory`] | what a beat says that the last one didn't |
//! | [`launch`] | the file and the variables by which the game finds us |
//!
//! Invariants: an answer never waits for the core (games give a beat a second); `Active` goes to a game that stands by and to
//! no other, because a repeat kills some flavours; `sessionConfig` is there from the allocation on and never empty. `{id}` is made of the
//! run's token: it is good for this run alone, and nobody guesses it who can't read the game's file. A beat that comes before a restarted agent has met its keeper waits
//! a moment instead of failing: one flavour stops beating for half a minute after a failure.

pub mod answer;
pub mod beat;
pub mod launch;
pub mod memory;
#[cfg(test)]
mod tests;

use super::{
    BindAddress, BoundSocket, Frontend, GameMessage, LaunchContext, LaunchExtension, Shared, SocketSpec,
    http::{self, Problem},
    take_socket,
};
use crate::{
    model::{
        game::{EventSource, IfTaken},
        ids::RunNumber,
    },
    net::{Listener, server::Admits},
};
use ::http::{HeaderMap, StatusCode, header};
use answer::Answer;
use axum::{
    Json, Router,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
    routing::post,
};
use beat::{Beat, Info, Route};
use memory::Memory;
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinSet;

/// Name of its socket at the keeper.
pub const TCP: &str = "gsdk-tcp";
/// How long a beat waits for a run that isn't known yet.
const UNKNOWN_RUN: Duration = Duration::from_millis(700);

/// When the game is told to terminate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Terminate {
    #[default]
    AtStop,
    AtDrain,
}

/// How PlayFab games are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Loopback only; port 0 = any free one.
    pub listen: SocketAddr,
    pub if_taken: IfTaken,
    pub terminate: Terminate,
    /// The game's own word on its health counts.
    pub trust_health: bool,
    /// An empty list of players counts before anybody was named.
    pub empty_means_nobody: bool,
    pub title_id: String,
    /// None: the game's version, else the agent's name.
    pub build_id: Option<String>,
    pub log_dir: Option<PathBuf>,
    pub shared_content_dir: Option<PathBuf>,
    pub certificate_dir: Option<PathBuf>,
    pub certificates: BTreeMap<String, String>,
    pub metadata: BTreeMap<String, String>,
}

/// The frontend.
#[derive(Debug)]
pub struct Gsdk {
    settings: Settings,
}

impl Gsdk {
    pub fn new(settings: Settings) -> Self {
        Gsdk { settings }
    }
}

impl Frontend for Gsdk {
    fn name(&self) -> &'static str {
        "gsdk"
    }

    fn sockets(&self) -> Vec<SocketSpec> {
        let address = BindAddress::Tcp(self.settings.listen);
        vec![SocketSpec { name: TCP.to_owned(), address, if_taken: self.settings.if_taken }]
    }

    /// Everything that the game needs names its run: see [`launch`].
    fn env(&self, _bound: &[BoundSocket]) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    fn launch_extension(&self, bound: &[BoundSocket], context: &LaunchContext) -> Option<Box<dyn LaunchExtension>> {
        let endpoint = bound.iter().find(|bound| bound.name == TCP)?.address()?;
        Some(Box::new(launch::GsdkLaunch::new(endpoint, &self.settings, context)))
    }

    fn serve(self: Box<Self>, bound: &mut Vec<BoundSocket>, shared: Shared, tasks: &mut JoinSet<()>) -> io::Result<()> {
        let router = router(self.settings, shared);
        if let Some(fd) = take_socket(bound, TCP) {
            tasks.spawn(http::serve(Listener::local(fd)?, Admits::Everybody, router));
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Api {
    settings: Arc<Settings>,
    shared: Shared,
    memory: Arc<Mutex<Memory>>,
}

/// Every route, without the checks that belong to a listener.
fn router(settings: Settings, shared: Shared) -> Router {
    let api = Api { settings: Arc::new(settings), shared, memory: Arc::default() };
    Router::new()
        .route("/v1/metrics/{id}/gsdkinfo", post(info))
        .route("/v1/sessionHosts/{id}", post(patched).patch(patched))
        .route("/v1/sessionHosts/{id}/heartbeats", post(posted).patch(posted))
        .fallback(no_route)
        .with_state(api)
}

async fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "no such route; this is where PlayFab's game server SDK beats")
}

/// Which SDK it is. Unreal's waits for the answer before it beats.
async fn info(State(api): State<Api>, Path(id): Path<String>, request: Request) -> Result<Response, Problem> {
    let run = api.run(&id).await?;
    let info = Info::read(&http::body(request).await?);
    let said = api.memory().introduced(run, info);
    if let Some(said) = said {
        // No later request repeats it, but it is worth no failure.
        let _ = api.shared.game_messages.try_send(GameMessage {
            run,
            source: EventSource::Gsdk,
            event: said,
            committed: None,
        });
    }
    Ok(Json(serde_json::json!({})).into_response())
}

async fn patched(state: State<Api>, id: Path<String>, request: Request) -> Result<Json<Answer>, Problem> {
    beat(state, id, request, Route::SessionHost).await
}

async fn posted(state: State<Api>, id: Path<String>, request: Request) -> Result<Json<Answer>, Problem> {
    beat(state, id, request, Route::Heartbeats).await
}

async fn beat(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
    route: Route,
) -> Result<Json<Answer>, Problem> {
    let run = api.run(&id).await?;
    let agent = user_agent(request.headers());
    let beat = Beat::read(&http::body(request).await?)
        .map_err(|why| Problem::new(StatusCode::BAD_REQUEST, "bad_beat", why))?;
    let someone = api.shared.status.borrow().players > 0;
    let heard = api.memory().heard(run, &beat, route.told_by(&agent), someone, &api.settings);
    for said in heard.said {
        if api
            .shared
            .game_messages
            .try_send(GameMessage { run, source: EventSource::Gsdk, event: said, committed: None })
            .is_err()
        {
            // The next beat says it again.
            return Ok(Json(api.answer(run, &beat)));
        }
    }
    api.memory().keep(heard.then);
    Ok(Json(api.answer(run, &beat)))
}

fn user_agent(headers: &HeaderMap) -> String {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

impl Api {
    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, run: RunNumber, beat: &Beat) -> Answer {
        let (levels, number) = self.shared.events.levels();
        let told = if levels.run == Some(run) { levels.events } else { Vec::new() };
        Answer::to(beat.state, told.iter().map(|event| &event.told), self.settings.terminate, number)
    }

    /// The run that this is the name of. An agent that has just started doesn't know its run before its keeper has spoken.
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
        tokio::time::timeout(UNKNOWN_RUN, known).await.ok().flatten().ok_or_else(|| {
            let message =
                "no game of this run goes by that session host id; the game finds its own in GSDK_CONFIG_FILE";
            Problem::new(StatusCode::NOT_FOUND, "unknown_session_host", message)
        })
    }
}
