//! Gameside's own API for games and operators: HTTP/1.1 and JSON, on a loopback port and unix
//! sockets. See `docs/native-api.md`.
//!
//! | file | routes |
//! |---|---|
//! | [`game`] | `/v1/game/…`: messages of the game |
//! | [`state`] | `/v1/state` for both, `/v1/status` for operators |
//! | [`stream`] | `/v1/events` for both, `/v1/timeline` for operators |
//! | [`operator`] | `/v1/allocation`, `drain`, `stop`, `detach`, `gate` |
//! | [`meta`], [`metrics`], [`openapi`] | `/livez`, `/readyz`, `/metrics`, `/openapi.json`: no token |
//! | [`extract`] | extractors: who calls, the body, the parameters, and their bounds |
//!
//! Invariants: every route but the last row wants the token that is meant for it; a body, a text
//! and a list have a bound; what can't be meant is refused with one error before anything reaches
//! the driver.

pub(crate) mod config;
pub(crate) mod extract;
pub(crate) mod game;
pub(crate) mod meta;
pub(crate) mod metrics;
pub(crate) mod openapi;
pub(crate) mod operator;
pub(crate) mod state;
pub(crate) mod stream;
#[cfg(test)]
pub(super) mod tests;

use super::{
    BindAddress, BoundSocket, Frontend, Shared, SocketSpec,
    http::{self, Problem},
    take_socket,
};
use crate::{
    model::game::IfTaken,
    net::{Listener, server::Admits},
};
use ::http::{Method, StatusCode};
use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{MethodRouter, delete, get, post, put},
};
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
};
use tokio::{sync::Semaphore, task::JoinSet};

/// Where the native API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Loopback only; port 0 = any free one.
    pub tcp: SocketAddr,
    /// A unix socket that the game may connect to; none = off.
    pub socket: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { tcp: (Ipv4Addr::LOCALHOST, 0).into(), socket: None }
    }
}

/// Names of its sockets at the keeper.
pub(crate) const TCP: &str = "native-tcp";
pub(crate) const UNIX: &str = "native-unix";
/// The operator's socket, which the agent itself binds: only an agent answers operators. Whoever connects is known by its user,
/// and nobody else can use its places up.
pub(crate) const OPERATOR: &str = "native-operator";

/// The frontend.
#[derive(Debug)]
pub struct Native {
    settings: Settings,
}

impl Native {
    pub fn new(settings: Settings) -> Self {
        Native { settings }
    }
}

impl Frontend for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn sockets(&self) -> Vec<SocketSpec> {
        let unix = |name: &str, path: &Option<PathBuf>, mode| {
            path.clone().map(|path| SocketSpec {
                name: name.to_owned(),
                address: BindAddress::Unix(path, mode),
                if_taken: IfTaken::Fail,
            })
        };
        let tcp =
            SocketSpec { name: TCP.to_owned(), address: BindAddress::Tcp(self.settings.tcp), if_taken: IfTaken::Fail };
        std::iter::once(tcp).chain(unix(UNIX, &self.settings.socket, 0o666)).collect()
    }

    fn env(&self, bound: &[BoundSocket]) -> BTreeMap<String, String> {
        let tcp = bound.iter().find(|bound| bound.name == TCP).and_then(BoundSocket::address);
        let api = tcp.map(|address| ("GAMESIDE_API".to_owned(), format!("http://{address}")));
        let socket = self.settings.socket.as_ref();
        let socket = socket.map(|path| ("GAMESIDE_SOCKET".to_owned(), path.display().to_string()));
        api.into_iter().chain(socket).collect()
    }

    fn serve(self: Box<Self>, bound: &mut Vec<BoundSocket>, shared: Shared, tasks: &mut JoinSet<()>) -> io::Result<()> {
        let api = Api::new(shared);
        for name in [TCP, UNIX] {
            if let Some(fd) = take_socket(bound, name) {
                tasks.spawn(http::serve(Listener::local(fd)?, Admits::Everybody, router(api.clone())));
            }
        }
        if let Some(fd) = take_socket(bound, OPERATOR) {
            tasks.spawn(http::serve(Listener::local(fd)?, http::OPERATOR, router(api.for_operators())));
        }
        Ok(())
    }
}

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    shared: Shared,
    pages: Arc<state::PageCache>,
    callers: Callers,
    streams: Streams,
    answers: Arc<metrics::Answers>,
    lagged: Arc<AtomicU64>,
}

/// Who calls on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callers {
    /// Whoever its token says.
    ByToken,
    /// Operators: the listener lets in nobody else.
    Operators,
}

/// Places for streams: those of the operator's socket are its own.
#[derive(Debug, Clone)]
struct Streams {
    by_token: Arc<Semaphore>,
    operator: Arc<Semaphore>,
}

impl Streams {
    fn of(&self, callers: Callers) -> &Arc<Semaphore> {
        match callers {
            Callers::ByToken => &self.by_token,
            Callers::Operators => &self.operator,
        }
    }

    fn open(&self) -> usize {
        2 * stream::MAX_SUBSCRIBERS - self.by_token.available_permits() - self.operator.available_permits()
    }
}

impl Api {
    fn new(shared: Shared) -> Self {
        let places = || Arc::new(Semaphore::new(stream::MAX_SUBSCRIBERS));
        Api {
            shared,
            pages: Arc::default(),
            callers: Callers::ByToken,
            streams: Streams { by_token: places(), operator: places() },
            answers: Arc::default(),
            lagged: Arc::default(),
        }
    }

    /// The same on the operator's socket.
    fn for_operators(&self) -> Self {
        Api { callers: Callers::Operators, ..self.clone() }
    }
}

/// Every route, with what it answers.
fn routes() -> Vec<(Method, &'static str, MethodRouter<Api>)> {
    let (get_, put_, post_, delete_) = (Method::GET, Method::PUT, Method::POST, Method::DELETE);
    vec![
        (post_.clone(), "/v1/game/ready", post(game::ready)),
        (post_.clone(), "/v1/game/joinable", post(game::joinable)),
        (post_.clone(), "/v1/game/heartbeat", post(game::heartbeat)),
        (post_.clone(), "/v1/game/health", post(game::health)),
        (post_.clone(), "/v1/game/tick-rate", post(game::tick_rate)),
        (post_.clone(), "/v1/game/players", post(game::player_joined)),
        (put_.clone(), "/v1/game/players", put(game::players)),
        (delete_, "/v1/game/players/{id}", delete(game::player_left)),
        (post_.clone(), "/v1/game/match/start", post(game::match_start)),
        (post_.clone(), "/v1/game/match/end", post(game::match_end)),
        (put_, "/v1/game/custom-data/{whose}", put(game::custom_data)),
        (post_.clone(), "/v1/game/map", post(game::map)),
        (post_.clone(), "/v1/game/version", post(game::version)),
        (post_.clone(), "/v1/game/shutdown", post(game::shutdown)),
        (get_.clone(), "/v1/state", get(state::state)),
        (get_.clone(), "/v1/status", get(state::status)),
        (get_.clone(), "/v1/events", get(stream::events)),
        (get_.clone(), "/v1/timeline", get(stream::timeline)),
        (post_.clone(), "/v1/allocation", post(operator::allocation)),
        (post_.clone(), "/v1/drain", post(operator::drain)),
        (post_.clone(), "/v1/stop", post(operator::stop)),
        (post_.clone(), "/v1/detach", post(operator::detach)),
        (post_, "/v1/gate", post(operator::gate)),
        (get_.clone(), "/livez", get(meta::livez)),
        (get_.clone(), "/readyz", get(meta::readyz)),
        (get_.clone(), "/metrics", get(meta::metrics)),
        (get_, "/openapi.json", get(meta::description)),
    ]
}

/// The whole API, without the checks that belong to a listener.
fn router(api: Api) -> Router {
    let router = routes().into_iter().fold(Router::new(), |router, (_, path, handler)| router.route(path, handler));
    router
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), count))
        .with_state(api)
}

async fn count(State(api): State<Api>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    api.answers.count(response.status());
    response
}

async fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "no such route; /openapi.json lists them all")
}

async fn wrong_method() -> Problem {
    let message = "this route has another method; /openapi.json lists them all";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
