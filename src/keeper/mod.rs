//! The keeper is the parent of the game's process and does nothing else. This room has the keeper
//! itself, the protocol that it speaks with the agent, and the agent's client for it.
//!
//! | file | holds |
//! |---|---|
//! | [`protocol`] | what the two say to each other; exit codes; file names |
//! | [`client`] | the agent's side, on tokio |
//! | [`config`] | the section `[keeper]` |
//! | [`probe`](probe()) | whether a keeper lives and what it holds, without taking it over |
//! | `discovery` | lock and socket, seen from outside |
//! | `daemon` | the keeper itself: one thread, a poll loop |

pub(crate) mod client;
pub(crate) mod config;
mod daemon;
mod discovery;
pub mod probe;
pub mod protocol;

pub(crate) use client::KeeperError;
pub use client::{Keeper, KeeperEvent, KeeperPlace, Mode, SpawnKeeper, attach};
pub(crate) use probe::inherited;
pub use probe::{Presence, probe, stop};
pub(crate) use protocol::{ExecStatus, ListenerAddress, ListenerSpec, Losses};

use crate::host::process;
use std::{ffi::OsString, process::ExitCode};

/// The keeper's whole life; `args` are those behind the program's name. Call it first thing in a
/// process: before any thread, and with no descriptor open besides the three standard ones.
pub fn main(args: Vec<OsString>) -> ExitCode {
    process::guard();
    daemon::main(args)
}
