//! The SDK gateway: the process that serves what the game talks to, so that no connection of the
//! game ends because of the agent.
//!
//! ```text
//!            keeper ── control: introduce, end ──► gateway ◄── game: gRPC, REST, heartbeats, queries
//!              │  a socket pair for each agent        │ ▲
//!              └──────────► agent ◄── batches, counts ┘ │
//!                             └── levels, acknowledgements
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`wire`] | what agent and gateway say to each other |
//! | [`connection`] | lines of that over a socket |
//! | [`server`] | the gateway: one run's frontends, and whichever agent is connected |
//! | [`process`] | `gameside gateway`: the process that the keeper starts |
//! | [`confine`] | how little that process may do |
//! | [`client`] | the agent's side |
//!
//! A gateway serves one run: the keeper has the next one ready when a run has ended. Where the
//! keeper can't start one, the agent serves in its own process, with the same code and over the
//! same wire.
//!
//! Invariants:
//!
//! 1. What the game said is in one batch, sent again until an agent has acknowledged it, and
//!    applied once: its number lies in the agent's journal together with what it changed.
//! 2. What the game is told are levels; what it was told already it isn't told again by another
//!    agent.
//! 3. Only the agent that the keeper introduced last is heard.
//! 4. Garbage, another version, a message that is too long: the link ends with one clear line, and
//!    the game notices nothing.

pub(crate) mod client;
pub(crate) mod confine;
pub(crate) mod connection;
pub(crate) mod process;
pub(crate) mod server;
#[cfg(test)]
mod tests;
pub(crate) mod wire;
