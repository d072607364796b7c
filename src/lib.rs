//! Gameside: the agent beside a dedicated game server, and the session service it reports to.
//!
//! Read in this order: [`model`] (the nouns), [`core`] (the decisions), [`agent`] (the driver that
//! owns the core and carries its decisions out through the edges), then the edges: [`keeper`],
//! [`session_api`], [`providers`], [`frontends`], [`probes`]; and the other half, [`service`], with
//! [`client`] for players' programs.

pub mod model;

pub mod core;

pub mod agent;
pub mod frontends;
pub mod keeper;
pub mod net;
pub mod practice;
pub mod probes;
pub mod providers;

pub mod service;
pub mod session_api;

pub use session_api::client;
#[cfg(test)]
mod snapshot;

pub mod config;
pub mod host;

pub mod cli;
