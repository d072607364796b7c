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
//! | file | decides |
//! |---|---|
//! | [`io`] | nothing: it names what goes in and comes out |
//! | [`settings`] | nothing: what the user configured, as the core wants it |

#![warn(clippy::wildcard_enum_match_arm)]

mod acquire;
mod adopt;
mod backfill;
mod clock;
mod drain;
mod engine;
mod health;
pub mod io;
mod journal;
mod ladder;
pub mod launch;
mod lifecycle;
mod mint;
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
