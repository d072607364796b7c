//! The keeper: the parent of the game process and nothing else. And its protocol, and the agent's
//! client for it.
//!
//! | file | holds |
//! |---|---|
//! | [`protocol`] | what the two say to each other; exit codes; file names |
//! | [`client`] | the agent's side, on tokio |
//! | [`config`] | the section `[keeper]` |
//! | [`probe`](probe()) | whether a keeper lives and what it holds, without taking it over |
//! | `discovery` | lock and socket, seen from outside |
//! | `daemon` | the keeper itself: one thread, a poll loop |

pub mod client;
pub mod config;
mod daemon;
mod discovery;
pub mod probe;
pub mod protocol;

pub use client::{Keeper, KeeperError, KeeperEvent, KeeperPlace, Mode, SpawnKeeper, attach};
pub use probe::{Presence, StopError, inherited, probe, stop};
pub use protocol::{ExecResult, ExecStatus, ListenerAddress, ListenerSpec, Losses, Stream};

use std::{ffi::OsString, process::ExitCode};

/// The keeper's whole life; `args` are those behind the program's name. Call it first thing in a
/// process: before any thread, and with no descriptor open besides the three standard ones.
pub fn main(args: Vec<OsString>) -> ExitCode {
    daemon::main(args)
}
