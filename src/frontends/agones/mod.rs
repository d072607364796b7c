//! The Agones SDK: gRPC and REST, stable, beta and alpha, for games that were built for Agones. See
//! `docs/agones.md`.
//!
//! | file | holds |
//! |---|---|
//! | this one | where it listens, the frontend |
//! | [`grpc`], [`rest`], [`rest_watch`] | the two wires; the watch over REST as chunks and as WebSocket |
//! | [`operations`] | the calls, for both wires |
//! | [`sdk_server`] | what both wires work with: calls in order, the newest snapshot, watchers |
//! | [`state`] | the SDK state of a run, and the state machine in it |
//! | [`counters_lists`] | counters and lists |
//! | [`saved`] | the state as the agent keeps it |
//! | [`snapshot`] | the GameServer as it is shown |
//! | [`proto`], [`json`], [`error`] | messages, JSON, errors |
//!
//! | the game calls | the agent hears |
//! |---|---|
//! | Ready | readiness is proved, free for allocation; after it has seen that it is allocated: the match is over |
//! | Allocate, Reserve | not free for allocation |
//! | Shutdown | to be ended, in order |
//! | Health | a heartbeat; the core judges silence, and the verdict comes back in the status |
//! | labels, annotations | custom data of the instance |
//! | players | joined and left |
//!
//! What this SDK holds (labels, counters, lists, players, the end of a reservation) lies in the
//! agent's journal with the run.

pub(crate) mod config;
pub(crate) mod counters_lists;
pub(crate) mod error;
pub(crate) mod grpc;
pub(crate) mod json;
pub(crate) mod operations;
pub(crate) mod proto;
pub(crate) mod rest;
pub(crate) mod rest_watch;
mod saved;
pub(crate) mod sdk_server;
pub(crate) mod snapshot;
pub(crate) mod state;
#[cfg(test)]
mod tests;

use super::{
    BindAddress, BoundSocket, Frontend, Shared, SocketSpec,
    http::{self, Gate},
    take_socket,
};
use crate::{
    model::game::IfTaken,
    net::{
        Listener,
        origin::OriginCheck,
        server::{Admits, Http1, Http2},
    },
};
use sdk_server::{MAX_WATCHERS, SdkServer};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// Where it listens, and what a GameServer's specification would say on Agones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Loopback only; port 0 = any free one.
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub if_taken: IfTaken,
    pub health: HealthSpec,
    pub counters: BTreeMap<String, counters_lists::Counter>,
    pub lists: BTreeMap<String, counters_lists::List>,
    /// Where player tracking begins; none = it isn't used until the game does.
    pub player_capacity: Option<i64>,
    /// The list whose values, or the counter whose count, are the connected players.
    pub players_list: Option<String>,
    pub players_counter: Option<String>,
    /// Under which players reach this machine.
    pub public: Option<String>,
    pub private: Option<String>,
}

/// How pings are counted, as the GameServer's specification shows it. The core does the counting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSpec {
    pub disabled: bool,
    pub period: Duration,
    pub failure_threshold: u32,
    pub initial_delay: Duration,
}

/// The state of a GameServer, as far as a game on one machine goes through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GameServerState {
    Scheduled,
    Ready,
    Allocated,
    Reserved,
    Unhealthy,
    Shutdown,
}

impl GameServerState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            GameServerState::Scheduled => "Scheduled",
            GameServerState::Ready => "Ready",
            GameServerState::Allocated => "Allocated",
            GameServerState::Reserved => "Reserved",
            GameServerState::Unhealthy => "Unhealthy",
            GameServerState::Shutdown => "Shutdown",
        }
    }
}

/// Names of its sockets at the keeper.
pub(crate) const GRPC: &str = "agones-grpc";
pub(crate) const HTTP: &str = "agones-http";

/// The frontend.
#[derive(Debug)]
pub(crate) struct Agones {
    settings: Settings,
}

impl Agones {
    pub(crate) fn new(settings: Settings) -> Self {
        Agones { settings }
    }
}

impl Frontend for Agones {
    fn name(&self) -> &'static str {
        "agones"
    }

    fn sockets(&self) -> Vec<SocketSpec> {
        let tcp = |name: &str, address| SocketSpec {
            name: name.to_owned(),
            address: BindAddress::Tcp(address),
            if_taken: self.settings.if_taken,
        };
        vec![tcp(GRPC, self.settings.grpc), tcp(HTTP, self.settings.http)]
    }

    fn env(&self, bound: &[BoundSocket]) -> BTreeMap<String, String> {
        let port = |name: &str, variable: &str| {
            let address = bound.iter().find(|bound| bound.name == name).and_then(BoundSocket::address)?;
            Some((variable.to_owned(), address.port().to_string()))
        };
        [port(GRPC, "AGONES_SDK_GRPC_PORT"), port(HTTP, "AGONES_SDK_HTTP_PORT")].into_iter().flatten().collect()
    }

    fn serve(self: Box<Self>, bound: &mut Vec<BoundSocket>, shared: Shared, tasks: &mut JoinSet<()>) -> io::Result<()> {
        let connections = Arc::clone(&shared.connections);
        let sdk = SdkServer::new(self.settings, shared);
        let gate = |origin| Gate { admits: Admits::Everybody, origin, places: connections.places(MAX_WATCHERS) };
        if let Some(fd) = take_socket(bound, HTTP) {
            let sdk = Arc::clone(&sdk);
            let answer = move |_, request| rest::answer(Arc::clone(&sdk), request);
            tasks.spawn(http::serve_with(Listener::local(fd)?, gate(OriginCheck::LoopbackSocket), Http1, answer));
        }
        if let Some(fd) = take_socket(bound, GRPC) {
            let router = grpc::router(Arc::clone(&sdk));
            let answer = move |_, request| grpc::answer(router.clone(), request);
            tasks.spawn(http::serve_with(Listener::local(fd)?, gate(OriginCheck::Loopback), Http2, answer));
        }
        tasks.spawn(Arc::clone(&sdk).show_changes());
        tasks.spawn(sdk.end_reservations());
        Ok(())
    }
}
