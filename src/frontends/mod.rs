//! The protocols that games and operators speak: a room each, all of them mapped onto the same few
//! types.
//!
//! ```text
//!   game ──► native │ agones │ gsdk │ a2s ──► GameQueue ──► batches ─► the gateway's link ─► agent ─► core
//!        │                                ──► Heartbeats ◄─ take ──────────────┤              │
//!        ◄── native │ agones │ gsdk │ a2s ◄── Events (GameNotice), Status ◄────┴──────────────┘
//! ```
//!
//! | file | holds |
//! |---|---|
//! | this one | what every frontend is handed ([`Shared`]), and the registry ([`registry`]) |
//! | [`game_queue`] | what the game says, on its way to the agent: in turns, batched, applied once |
//! | [`heartbeats`] | counters that the agent asks for, in place of a message a heartbeat |
//! | [`tokens`] | who a bearer token speaks for |
//! | [`ring`] | a bounded log that any number of readers follow at their own pace |
//! | [`events`] | the notices to the game, with the levels that are in force |
//! | [`timeline`] | the agent's timeline, for operators who follow it |
//! | [`launch`] | what a frontend adds to the start of the game: variables and files |
//! | [`http`] | one small HTTP/1.1 server for all of them: bounds, Host and Origin |
//! | [`native`] | Gameside's own API |
//! | [`gsdk`] | PlayFab's heartbeats |
//! | [`a2s`] | Steam's server queries |
//! | [`agones`] | the Agones SDK |
//!
//! Adding a frontend is one file with a [`Frontend`] and one row in [`registry`].
//!
//! Invariants:
//!
//! 1. A frontend translates and judges nothing: it hands on events, opinions and counts, and shows
//!    what the core has decided. The SDK state of a run has one owner, the frontend of that SDK.
//! 2. It sees of the agent what [`Shared`] holds and nothing else, all of it channels and values:
//!    so the whole set lives in a process of its own, the SDK gateway ([`crate::gateway`]).
//! 3. Reads and heartbeats are answered at once, from what is acknowledged; they never wait for the
//!    core.
//! 4. A reader that stops reading holds up nobody: it owns a position, not a queue.
//! 5. Nothing wakes while nothing happens.

pub(crate) mod a2s;
pub(crate) mod agones;
pub(crate) mod events;
pub(crate) mod game_queue;
pub(crate) mod gsdk;
pub(crate) mod heartbeats;
pub(crate) mod http;
pub(crate) mod launch;
pub(crate) mod native;
pub(crate) mod ring;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod timeline;
pub(crate) mod tokens;

use crate::model::{game::IfTaken, status::Status};
pub use events::Events;
pub use game_queue::{Batch, GameMessage, GameQueue};
pub(crate) use heartbeats::Heartbeat;
pub use heartbeats::Heartbeats;
pub(crate) use launch::{LaunchContext, LaunchExtension};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    sync::Arc,
};
pub use timeline::Timeline;
pub use tokens::TokenStore;
pub(crate) use tokens::{Bearer, Tokens};
use tokio::{sync::watch, task::JoinSet};

/// Everything that a frontend of the game works with. Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    /// What the game says, on its way to the agent.
    pub queue: Arc<GameQueue>,
    /// Counted here and asked for by the agent.
    pub heartbeats: Arc<Heartbeats>,
    /// The newest status. Whoever publishes it makes a new `Arc` only when something changed.
    pub status: watch::Receiver<Arc<Status>>,
    /// The notices to the game: written with [`Events::publish`], read by frontends.
    pub events: Arc<Events>,
    pub tokens: Arc<dyn Tokens>,
    /// What the native API has answered, for the metrics.
    pub api_counters: Arc<native::Counters>,
    /// Places for connections, of every listener.
    pub connections: Arc<http::Connections>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Which frontends are on, and where. The agent tells its gateway on their wire: additive changes only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settings {
    /// The native API is always on: operators need it.
    pub native: native::Settings,
    /// None: off.
    pub gsdk: Option<gsdk::config::GsdkConfig>,
    pub a2s: Option<a2s::Settings>,
    pub agones: Option<agones::Settings>,
}

/// A socket that a frontend needs; the keeper binds and holds it, so that it outlives the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketSpec {
    /// Unique among all frontends, e.g. `native-tcp`.
    pub name: String,
    pub address: BindAddress,
    pub if_taken: IfTaken,
}

/// Where a socket is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindAddress {
    /// Port 0: any free one.
    Tcp(SocketAddr),
    Udp(SocketAddr),
    /// The path, and the mode of the file.
    Unix(PathBuf, u32),
}

/// A socket that was bound for a [`SocketSpec`] of that name.
#[derive(Debug)]
pub struct BoundSocket {
    pub name: String,
    pub fd: OwnedFd,
}

impl BoundSocket {
    /// The address that a TCP or UDP socket really has; none for another kind.
    pub fn address(&self) -> Option<SocketAddr> {
        rustix::net::getsockname(self.fd.as_fd()).ok().and_then(|address| SocketAddr::try_from(address).ok())
    }
}

/// One protocol, ready to be served.
pub trait Frontend: Send {
    fn name(&self) -> &'static str;
    fn sockets(&self) -> Vec<SocketSpec>;
    /// What the game needs in its environment to find this frontend. `bound` holds at least [`Self::sockets`].
    fn env(&self, bound: &[BoundSocket]) -> BTreeMap<String, String>;
    /// What it adds to each start of the game: variables and files.
    fn launch_extension(&self, _bound: &[BoundSocket], _context: &LaunchContext) -> Option<Box<dyn LaunchExtension>> {
        None
    }
    /// Takes its sockets out of `bound` and serves until the set is dropped.
    fn serve(self: Box<Self>, bound: &mut Vec<BoundSocket>, shared: Shared, tasks: &mut JoinSet<()>) -> io::Result<()>;
}

/// The frontends that are switched on. One row each.
pub(crate) fn registry(settings: &Settings) -> Vec<Box<dyn Frontend>> {
    let mut on: Vec<Box<dyn Frontend>> = vec![Box::new(native::Native::new(settings.native.clone()))];
    if let Some(gsdk) = &settings.gsdk {
        on.push(Box::new(gsdk::Gsdk::new(gsdk.clone())));
    }
    if let Some(a2s) = &settings.a2s {
        on.push(Box::new(a2s::A2s::new(a2s.clone())));
    }
    if let Some(agones) = &settings.agones {
        on.push(Box::new(agones::Agones::new(agones.clone())));
    }
    on
}

/// Takes the socket of that name out of `bound`.
fn take_socket(bound: &mut Vec<BoundSocket>, name: &str) -> Option<OwnedFd> {
    let at = bound.iter().position(|bound| bound.name == name)?;
    Some(bound.swap_remove(at).fd)
}
