//! `gameside practice`: a small real UDP game server, to try Gameside with and to test it.
//!
//! It is a game and nothing else: it uses nothing of the agent but the nouns, and reaches it like
//! any other game, over the native API. Players move on a map; there is chat, a match, a console,
//! and everything that a bad server does on a bad day.
//!
//! ```text
//!   players ──UDP──► server ──► game (rules, no I/O)          api::reporter ──► agent
//!   console ──stdin──►  │  ◄──── api::follower ◄── agent
//!   signals ───────────►┘
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`options`] | what it can be told on the command line, by `misc` and by the environment |
//! | [`wire`] | the datagrams, and the Quake 3 query that server browsers and probes ask |
//! | [`game`] | players, map, match: pure |
//! | [`server`] | the loop: sockets, signals, ticks |
//! | [`console`] | commands on stdin |
//! | [`fault_injection`] | misbehaving on purpose |
//! | [`api`] | the agent: what to report, what to listen to |
//! | [`player`] | the other side: a player or a few bots |
//!
//! The whole room reads its own clock: it is a game, not a part of the agent.
#![allow(
    clippy::disallowed_methods,
    reason = "a game has its own clock and may wait; the agent's rules aren't its rules"
)]

pub(crate) mod api;
pub(crate) mod console;
pub(crate) mod fault_injection;
pub(crate) mod game;
pub(crate) mod options;
pub(crate) mod player;
pub(crate) mod server;
pub(crate) mod wire;

pub use options::JoinOptions;
pub(crate) use options::ServeOptions;
pub(crate) use player::join;
pub(crate) use server::serve;
