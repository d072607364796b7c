//! The decisions: pure, without a clock, a file, a socket or randomness of its own.
//!
//! ```text
//!   Input ──► Core::handle(input, now) ──► [Effect]
//!                   │
//!                   └─ Core::status(), Core::next_deadline()
//! ```
//!
//! The driver (`agent`) feeds one input at a time and dispatches the effects in order, never waiting for one. What an effect
//! led to comes back as an input that names it (run number, call id, commit number), so that a late answer can't match.
//!
//! Invariants (the property test checks them against a reference model):
//!
//! 1. `joinable` is never reported before readiness was proved for the run that serves.
//! 2. One game at a time: no `Start` before the last run's end was committed and taken.
//! 3. Every instance that was posted or taken over gets a terminal report; it is the last one of its lane.
//! 4. Within a lane, reports keep their order, and one call is under way.
//! 5. No allocation is accepted while an earlier end is undeliverable or the journal can't be written.
//!
//! To read it, follow an input: `engine` (the three steps), `lifecycle` (the match), `reports` and `publish` (what the session is told),
//! then whichever decision you came for.
//!
//! | file | decides |
//! |---|---|
//! | [`io`], [`settings`] | nothing: what goes in and comes out; what the user configured, as the core wants it |
//! | `engine` | in which order an input is taken; what waits for the journal |
//! | `state`, `journal` | nothing: what is remembered, and how it gets to the disk |
//! | `offer`, `acquire` | whether this server is free; from an allocation to a session |
//! | `lifecycle` | the match from its beginning to its end |
//! | [`launch`], `process`, `exits` | what is started; the process while it lives; what follows its end |
//! | `adopt` | journal × keeper: what is taken over, what is lost |
//! | `drain`, `ladder` | ways out, and how a process is stopped |
//! | `said`, `players`, `health`, `backfill` | what follows from the game's words; who is a member; how it is; who is still wanted |
//! | `reports`, `publish` | what the session should show; in which order it is told |
//! | `deposit` | what the keeper holds for the agent |
//! | `poll` | when the session is read, and whether it is still there |
//! | `status` | nothing: the agent as seen from outside |
//! | `clock`, `mint` | nothing: moments; ids, tokens and jitter from given entropy |

#![warn(clippy::wildcard_enum_match_arm)]

mod acquire;
mod adopt;
mod backfill;
mod clock;
mod deposit;
mod drain;
mod engine;
mod exits;
mod health;
pub mod io;
mod journal;
mod ladder;
pub mod launch;
mod lifecycle;
mod mint;
mod offer;
mod ping_clock;
mod players;
mod poll;
mod process;
mod publish;
mod reports;
mod said;
pub mod settings;
mod state;
mod status;

#[cfg(test)]
#[allow(
    clippy::wildcard_enum_match_arm,
    clippy::match_same_arms,
    clippy::too_many_lines,
    reason = "a test's world is for reading"
)]
mod testing;
#[cfg(test)]
#[allow(clippy::wildcard_enum_match_arm, clippy::needless_for_each, reason = "tests look for what they are about")]
mod tests;

pub use engine::Core;
