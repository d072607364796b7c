//! Gameside's own API for games and operators: HTTP/1.1 and JSON, on loopback ports and unix
//! sockets. See `docs/native-api.md`.
//!
//! | file | routes | for |
//! |---|---|---|
//! | [`game`] | `/v1/game/…`: messages of the game | the game |
//! | [`state`], [`stream`] | `/v1/state`, `/v1/events` | both |
//! | [`state`], [`stream`] | `/v1/status`, `/v1/timeline` | operators |
//! | [`operator`] | `/v1/allocation`, `drain`, `stop`, `detach`, `gate` | operators |
//! | [`meta`], [`metrics`] | `/livez`, `/readyz`, `/metrics`: no token | operators |
//! | [`openapi`] | `/openapi.json`: no token | both |
//! | [`extract`] | extractors: who calls, the body, the parameters, and their bounds | |
//!
//! The game and the operators have listeners of their own ([`Callers`]):
//!
//! | listener | bound by | who calls |
//! |---|---|---|
//! | `[api] listen`, `api.sock` | the keeper, so that they outlive the agent | the game, by its token |
//! | `[api] operator_listen` | the agent | operators, by their token |
//! | `operator.sock` | the agent | operators: the kernel lets in nobody else |
//!
//! Invariants: every route that wants a token wants the one that is meant for it; a route that is
//! for the other side is answered with 404 and the place where it is; a body, a text and a list
//! have a bound; what can't be meant is refused with one error before anything reaches the driver.

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
    BindAddress, BoundSocket, Events, Frontend, GameQueue, Heartbeats, Shared, SocketSpec, Timeline, Tokens,
    http::{self, Problem},
    take_socket,
};
use crate::{
    model::{
        game::IfTaken,
        orders::{Accepted, Order, Refused},
        status::Status,
    },
    net::{Listener, server::Admits},
};
use ::http::{Method, StatusCode};
use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{MethodRouter, any, delete, get, post, put},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinSet,
};

/// Where the native API listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
        let connections = Arc::clone(&shared.connections);
        let api = Api::of_game(shared);
        for name in [TCP, UNIX] {
            if let Some(fd) = take_socket(bound, name) {
                let places = connections.places(0);
                tasks.spawn(http::serve(Listener::local(fd)?, Admits::Everybody, places, router(api.clone())));
            }
        }
        Ok(())
    }
}

/// The operators' listeners, which the agent itself binds: only an agent answers operators.
#[derive(Debug)]
pub(crate) struct OperatorSockets {
    pub tcp: std::net::TcpListener,
    /// Whoever connects here is known by its user, and nobody else can use its places up.
    pub unix: std::os::unix::net::UnixListener,
}

/// A request of an operator. The reply may take as long as an exchange with the session service.
#[derive(Debug)]
pub struct OperatorRequest {
    pub order: Order,
    pub reply: oneshot::Sender<Result<Accepted, Refused>>,
}

/// Everything that the operators' side works with. Cheap to clone.
#[derive(Clone)]
pub struct OperatorShared {
    /// To the driver; bounded.
    pub requests: mpsc::Sender<OperatorRequest>,
    /// The driver answers at once, which shows that it makes progress; `/livez` asks.
    pub liveness: mpsc::Sender<oneshot::Sender<()>>,
    /// The newest status. The driver publishes a new `Arc` only when something changed.
    pub status: watch::Receiver<Arc<Status>>,
    /// What the game is told.
    pub events: Arc<Events>,
    /// The driver writes with [`Timeline::push`].
    pub timeline: Arc<Timeline>,
    pub tokens: Arc<dyn Tokens>,
    pub api_counters: Arc<Counters>,
}

impl std::fmt::Debug for OperatorShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperatorShared").finish_non_exhaustive()
    }
}

/// Serves operators until the set is dropped.
pub(crate) fn serve_operators(
    sockets: OperatorSockets,
    shared: OperatorShared,
    tasks: &mut JoinSet<()>,
) -> io::Result<()> {
    let by_token = Api::of_operators(shared);
    let by_user = by_token.on_another_listener(Callers::Operators);
    let (tcp, unix) = (Listener::local(sockets.tcp.into())?, Listener::local(sockets.unix.into())?);
    let connections = http::Connections::default();
    tasks.spawn(http::serve(tcp, Admits::Everybody, connections.places(0), router(by_token)));
    tasks.spawn(http::serve(unix, http::OPERATOR, connections.places(0), router(by_user)));
    Ok(())
}

/// Counters of all listeners together, for `/metrics`.
#[derive(Debug, Default)]
pub struct Counters {
    answers: metrics::Answers,
    streams: AtomicU64,
    lagged: AtomicU64,
}

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    status: watch::Receiver<Arc<Status>>,
    events: Arc<Events>,
    tokens: TokensHandle,
    counters: Arc<Counters>,
    pages: Arc<state::PageCache>,
    callers: Callers,
    side: Side,
    /// Places for streams: each listener has its own.
    places: Arc<Semaphore>,
}

/// What only one side has.
#[derive(Debug, Clone)]
enum Side {
    Game(GameSide),
    Operators(OperatorSide),
}

/// Where messages of the game go.
#[derive(Debug, Clone)]
struct GameSide {
    queue: Arc<GameQueue>,
    heartbeats: Arc<Heartbeats>,
}

/// Where orders go, and what operators alone may read.
#[derive(Debug, Clone)]
struct OperatorSide {
    requests: mpsc::Sender<OperatorRequest>,
    liveness: mpsc::Sender<oneshot::Sender<()>>,
    timeline: Arc<Timeline>,
}

#[derive(Clone)]
struct TokensHandle(Arc<dyn Tokens>);

impl std::fmt::Debug for TokensHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

/// Who calls on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callers {
    /// The game, by its token.
    Game,
    /// Operators, by their token.
    OperatorsByToken,
    /// Operators: the listener lets in nobody else.
    Operators,
}

impl Callers {
    fn are_operators(self) -> bool {
        match self {
            Callers::Game => false,
            Callers::OperatorsByToken | Callers::Operators => true,
        }
    }
}

impl Api {
    fn of_game(shared: Shared) -> Self {
        Api {
            status: shared.status,
            events: shared.events,
            tokens: TokensHandle(shared.tokens),
            counters: shared.api_counters,
            pages: Arc::default(),
            callers: Callers::Game,
            side: Side::Game(GameSide { queue: shared.queue, heartbeats: shared.heartbeats }),
            places: Self::places(),
        }
    }

    fn of_operators(shared: OperatorShared) -> Self {
        let OperatorShared { requests, liveness, timeline, status, events, tokens, api_counters } = shared;
        Api {
            status,
            events,
            tokens: TokensHandle(tokens),
            counters: api_counters,
            pages: Arc::default(),
            callers: Callers::OperatorsByToken,
            side: Side::Operators(OperatorSide { requests, liveness, timeline }),
            places: Self::places(),
        }
    }

    fn game(&self) -> Result<&GameSide, Problem> {
        match &self.side {
            Side::Game(game) => Ok(game),
            Side::Operators(_) => Err(game_problem()),
        }
    }

    fn operators(&self) -> Result<&OperatorSide, Problem> {
        match &self.side {
            Side::Operators(operators) => Ok(operators),
            Side::Game(_) => Err(operator_problem()),
        }
    }

    /// The same, with the pages that were made already, and places of its own.
    fn on_another_listener(&self, callers: Callers) -> Self {
        Api { callers, places: Self::places(), ..self.clone() }
    }

    fn places() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(stream::MAX_SUBSCRIBERS))
    }
}

/// Who a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    Game,
    Operators,
    Both,
}

/// Every route, with whom it is for and what it answers.
fn routes() -> Vec<(Audience, Method, &'static str, MethodRouter<Api>)> {
    use Audience::{Both, Game, Operators};
    let (get_, put_, post_, delete_) = (Method::GET, Method::PUT, Method::POST, Method::DELETE);
    vec![
        (Game, post_.clone(), "/v1/game/ready", post(game::ready)),
        (Game, post_.clone(), "/v1/game/joinable", post(game::joinable)),
        (Game, post_.clone(), "/v1/game/heartbeat", post(game::heartbeat)),
        (Game, post_.clone(), "/v1/game/health", post(game::health)),
        (Game, post_.clone(), "/v1/game/tick-rate", post(game::tick_rate)),
        (Game, post_.clone(), "/v1/game/players", post(game::player_joined)),
        (Game, put_.clone(), "/v1/game/players", put(game::players)),
        (Game, delete_, "/v1/game/players/{id}", delete(game::player_left)),
        (Game, post_.clone(), "/v1/game/match/start", post(game::match_start)),
        (Game, post_.clone(), "/v1/game/match/end", post(game::match_end)),
        (Game, put_, "/v1/game/custom-data/{whose}", put(game::custom_data)),
        (Game, post_.clone(), "/v1/game/map", post(game::map)),
        (Game, post_.clone(), "/v1/game/version", post(game::version)),
        (Game, post_.clone(), "/v1/game/shutdown", post(game::shutdown)),
        (Both, get_.clone(), "/v1/state", get(state::state)),
        (Operators, get_.clone(), "/v1/status", get(state::status)),
        (Both, get_.clone(), "/v1/events", get(stream::events)),
        (Operators, get_.clone(), "/v1/timeline", get(stream::timeline)),
        (Operators, post_.clone(), "/v1/allocation", post(operator::allocation)),
        (Operators, post_.clone(), "/v1/drain", post(operator::drain)),
        (Operators, post_.clone(), "/v1/stop", post(operator::stop)),
        (Operators, post_.clone(), "/v1/detach", post(operator::detach)),
        (Operators, post_, "/v1/gate", post(operator::gate)),
        (Operators, get_.clone(), "/livez", get(meta::livez)),
        (Operators, get_.clone(), "/readyz", get(meta::readyz)),
        (Operators, get_.clone(), "/metrics", get(meta::metrics)),
        (Both, get_, "/openapi.json", get(meta::description)),
    ]
}

/// The API of one listener, without the checks that belong to it.
fn router(api: Api) -> Router {
    let mut elsewhere = BTreeMap::new();
    let mut router = Router::new();
    for (audience, _, path, handler) in routes() {
        match (audience, api.callers.are_operators()) {
            (Audience::Both, _) | (Audience::Game, false) | (Audience::Operators, true) => {
                router = router.route(path, handler);
            }
            (Audience::Game, true) => drop(elsewhere.insert(path, any(games_route))),
            (Audience::Operators, false) => drop(elsewhere.insert(path, any(operators_route))),
        }
    }
    elsewhere
        .into_iter()
        .fold(router, |router, (path, hint)| router.route(path, hint))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), count))
        .with_state(api)
}

async fn count(State(api): State<Api>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    api.counters.answers.count(response.status());
    response
}

async fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "no such route; /openapi.json lists them all")
}

async fn operators_route() -> Problem {
    operator_problem()
}

fn operator_problem() -> Problem {
    let message = "this route is for operators: ask operator.sock in the agent's state directory, or the address \
        that `gameside status --json` shows as agent.api ([api] operator_listen)";
    Problem::new(StatusCode::NOT_FOUND, "operator_route", message)
}

async fn games_route() -> Problem {
    game_problem()
}

fn game_problem() -> Problem {
    let message = "this route is for the game, which finds it at GAMESIDE_API and GAMESIDE_SOCKET of its environment";
    Problem::new(StatusCode::NOT_FOUND, "game_route", message)
}

async fn wrong_method() -> Problem {
    let message = "this route has another method; /openapi.json lists them all";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
