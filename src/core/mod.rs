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
//! id, commit number), so that a late answer can't be taken for another one's.
//!
//! Invariants (the property test checks them against a reference model):
//!
//! 1. `joinable` is never reported before readiness was proved for the run that serves.
//! 2. One game at a time: no `Start` before the end of the last run is committed and the keeper
//!    told so.
//! 3. Every instance that was posted or taken over gets `closed` as its last report.
//! 4. The reports about one instance keep their order, and one of them is under way at a time.
//! 5. No allocation is accepted while the end of an earlier match can't be delivered or the journal
//!    can't be written.
//!
//! Some words that are used everywhere:
//!
//! | word | means |
//! |---|---|
//! | run | one process of the game, from its start to its end; numbered, and never known by its pid |
//! | match | what is played in one session, from the allocation to `closed`; a run may serve several |
//! | life | of the agent: from one start of its process to its end. The next life takes the game over |
//! | level | what the session should show now. The newest level replaces the ones before it |
//! | milestone | a level that the session is told of even if a newer one has replaced it |
//! | evidence | what a probe, a line of the log or an SDK says of how the game is |
//!
//! The core is made of machines. Each has private state, takes events (`on(event, facts,
//! decisions)`) and says when time alone brings something about (`next_deadline(facts)`). No
//! machine sees another: what it knows of the others are [`facts`], and what it has to say to them
//! are signals, which the wiring passes on. To read it, begin with `engine`, the wiring; then
//! whichever machine you came for.
//!
//! | machine | decides |
//! |---|---|
//! | `keeper_link` | nothing: what is known of the keeper, and what it holds for the agent |
//! | `allocation` | which allocation is taken, and how its session is found |
//! | `process` (with `crash_book`) | the game's process, from its intent to its end; whether it is started again |
//! | `game_words` | nothing: what the game has said of itself |
//! | `gateway_link` | nothing: which batches of the SDK gateway were applied, and whether it is there |
//! | `players` (with `roster`, `headcount`) | who plays, how many, and who of them is a member of the session |
//! | `game_match` | the match from its beginning to its end |
//! | `outbox` (with `instance_outbox`) | what the session is told, and in which order |
//! | `session` | when the session is read, and whether it is still there |
//! | `health` (with `ping_clock`) | how well the game is |
//! | `backfill` | how many more players the matchmaker is asked for |
//! | `availability` | whether this server is free for an allocation |
//! | `ending` | the agent's own end |
//! | `journal` | when the state is written, and which effects that lets go |
//!
//! | file | holds |
//! |---|---|
//! | [`io`], [`settings`] | what goes in and comes out; what the user configured, as the core wants it |
//! | `engine` | the wiring: in which order an input is taken |
//! | `routing` | the wiring: which machines hear of which signal |
//! | `orders`, `keeper_facts`, `game_events` | the three switches: what is ordered, what the keeper says, what the game says |
//! | `facts`, `signal`, `decisions` | what machines know of each other, say to each other, and decide |
//! | `durable`, `assembly` | from the machines to the durable text, and back |
//! | `desired_state`, `status`, [`offline`] | what the session, and what people should see; also while no agent is there |
//! | [`launch`], `stop_sequence` | what is started; how a process is stopped |
//! | `revision` | how a change is noticed |
//! | `steady_time`, `random` | moments in time; ids, tokens and jitter from given entropy |

#![warn(clippy::wildcard_enum_match_arm)]

mod allocation;
mod assembly;
mod availability;
mod backfill;
mod crash_book;
mod decisions;
mod desired_state;
mod durable;
mod ending;
mod engine;
mod facts;
mod game_events;
mod game_match;
mod game_words;
mod gateway_link;
mod headcount;
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
mod roster_text;
mod routing;
mod session;
pub(crate) mod settings;
mod signal;
mod status;
mod steady_time;
mod stop_sequence;

#[cfg(any(test, feature = "simulation"))]
#[allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "it is there to fail")]
pub(crate) mod simulation;
#[cfg(any(test, feature = "simulation"))]
#[cfg_attr(not(test), allow(dead_code, unused_imports, reason = "tests use more of it than the simulation does"))]
#[allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::match_same_arms,
    clippy::too_many_lines,
    reason = "what plays the keeper and the service in tests is written to be read"
)]
mod testing;
#[cfg(test)]
#[allow(clippy::wildcard_enum_match_arm, clippy::needless_for_each, reason = "tests look for what they are about")]
mod tests;

pub use engine::Core;
