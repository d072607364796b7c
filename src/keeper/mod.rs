//! The keeper: the parent of the game process and nothing else. And its protocol, and the agent's client for it.
//!
//! | file | holds |
//! |---|---|
//! | [`protocol`] | what the two say to each other; exit codes; file names |
//! | [`client`] | the agent's side, on tokio |
//! | [`peek`](peek()) | a look without taking over |
//! | `place` | lock and socket as others see them |
//! | `daemon` | the keeper itself: one thread, a poll loop |

pub mod client;
mod daemon;
pub mod peek;
mod place;
pub mod protocol;

pub use client::{Keeper, KeeperError, KeeperEvent, KeeperPlace, Mode, SpawnKeeper, attach};
pub use peek::{Peek, StopError, heir, peek, stop};
pub use protocol::{ExecResult, ExecStatus, ListenerAddress, ListenerSpec, Losses, Stream};

use std::{ffi::OsString, process::ExitCode};

/// The keeper's whole life; `args` without the program's name, `up`: called once it stands. Call it first thing in a process: before
/// any thread, and with no descriptor open besides the three standard ones.
pub fn main(args: Vec<OsString>, up: fn()) -> ExitCode {
    daemon::main(args, up)
}
