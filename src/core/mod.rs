//! The decisions: pure, without a clock, a file, a socket or randomness of its own.
//!
//! ```text
//!   Input ──► Core::handle(input, now) ──► [Effect]
//!                   │
//!                   └─ Core::status(), Core::next_deadline()
//! ```
//!
//! The driver (`agent`) feeds one input at a time and dispatches the effects in order, never
//! waiting for one. What an effect led to comes back as an input that names it (run number, call
//! id, commit number), so that a late answer can't match.
//!
//! Invariants (the property test checks them against a reference model):
//!
//! 1. `joinable` is never reported before readiness was proved for the run that serves.
//! 2. One game at a time: no `Start` before the last run's end was committed and taken.
//! 3. Every instance that was posted or taken over gets a terminal report; it is the last one of
//!    its lane.
//! 4. Within a lane, reports keep their order, and one call is under way.
//! 5. No allocation is accepted while an earlier end is undeliverable or the journal can't be
//!    written.
//!
//! The core is made of machines. Each has private state, takes events (`on(event, facts, turn)`)
//! and says when time alone brings something about (`next_deadline(facts)`). No machine sees
//! another: what it knows of the others are [`facts`], and what it has to say to them are signals,
//! which the wiring passes on. To read it, begin with `engine`, the wiring; then whichever machine
//! you came for.
//!
//! | machine | decides |
//! |---|---|
//! | `keeper_link` | nothing: what is known of the keeper, and what it holds for the agent |
//! | `allocation` | from an allocation to a session |
//! | `process` (with `crash_book`) | the game's process, from its intent to its end; whether it is started again |
//! | `game_words` | nothing: what the game said of itself, and stands by |
//! | `players` (with `roster`) | who plays, who of them is a member of the session |
//! | `game_match` | the match from its beginning to its end |
//! | `outbox` (with `instance_outbox`) | what the session is told, and in which order |
//! | `session` | when the session is read, and whether it is still there |
//! | `health` (with `ping_clock`) | how the game is |
//! | `backfill` | who is still wanted |
//! | `availability` | whether this server is free |
//! | `ending` | the agent's own end |
//! | `journal` | when the state is written, and what that lets go |
//!
//! | file | holds |
//! |---|---|
//! | [`io`], [`settings`] | what goes in and comes out; what the user configured, as the core wants it |
//! | `engine` | the wiring: in which order an input is taken, and who hears of what |
//! | `orders`, `keeper_facts`, `game_events` | the three switches: what is ordered, what the keeper says, what the game says |
//! | `facts`, `signal`, `turn` | what machines know of each other, say to each other, and decide |
//! | `durable`, `assembly` | from the machines to the durable text, and back |
//! | `desired_state`, `status`, [`offline`] | what the session, and what people should see; of a dead agent, too |
//! | [`launch`], `stop_sequence` | what is started; how a process is stopped |
//! | `revision` | how a change is noticed |
//! | `steady_time`, `random` | moments; ids, tokens and jitter from given entropy |

#![warn(clippy::wildcard_enum_match_arm)]

mod allocation;
mod assembly;
mod availability;
mod backfill;
mod crash_book;
mod desired_state;
mod durable;
mod ending;
mod engine;
mod facts;
mod game_events;
mod game_match;
mod game_words;
mod health;
mod instance_outbox;
pub(crate) mod io;
mod journal;
mod keeper_facts;
mod keeper_link;
pub(crate) mod launch;
pub(crate) mod offline;
mod orders;
mod outbox;
mod ping_clock;
mod players;
mod process;
mod random;
mod revision;
mod roster;
mod session;
pub(crate) mod settings;
mod signal;
mod status;
mod steady_time;
mod stop_sequence;
mod turn;

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
