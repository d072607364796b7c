//! Gameside: the agent beside a dedicated game server, and the session service it reports to.
//!
//! Programs use [`client`], with the nouns of [`model`]. All else is private; read it in this
//! order: [`model`], [`core`] (the decisions), [`agent`] (the driver that owns the core and carries
//! its decisions out through the edges), then the edges: [`mod@keeper`], [`session_api`],
//! [`providers`], [`frontends`], [`probes`]; and the other half, [`service`].

pub mod model;

mod core;

mod agent;
mod frontends;
mod gateway;
mod keeper;
mod net;
mod practice;
mod probes;
mod providers;

mod service;
mod session_api;

pub use session_api::client;
#[cfg(test)]
mod snapshot;

mod config;
mod host;

mod cli;

#[doc(hidden)]
pub mod internals;

/// What the two programs are: their `main`s call these.
pub mod programs {
    pub use crate::{cli::main as gameside, keeper::main as keeper};
}
