//! A simulation of whole lives: agent, keeper, game, session service, disk and clocks on simulated
//! time, from one seed.
//!
//! ```text
//!   seed ──► Round (configuration, acts) ──► play: each act, the world answers, the model looks
//!                                              │ something doesn't hold
//!                                              ▼
//!                                  the shortest round that still fails
//! ```
//!
//! The core is the real one. The world around it is strict by itself (one game at a time, no start
//! before its commit, one write to a session under way, nothing after `closed`, no offer while an
//! end is owed or the journal broken); the model knows
//!
//! | of a run | what must hold |
//! |---|---|
//! | whether it was proved | `joinable` is never published before |
//! | whether it said that it ends | it isn't shown joinable any more |
//! | whether it holds itself back | it isn't offered |
//! | what its frontends keep | it is there, also in the agent's next life |
//! | which batches were given | the newest is known as heard, once all is on disk |
//! | whether its heartbeats were counted | it isn't called silent while they aren't |
//! | whether somebody plays | it isn't stopped before somebody or a deadline asked for its end |
//!
//! that an agent that was told to detach ends as detached, in time, and orders the keeper neither
//! to stop the game nor to shut down, that an order that was answered holds in the next life, that
//! a game that was stopped for the host isn't started again, that a tick before the next deadline
//! changes nothing and one at the deadline makes progress, that what counts as no change is none
//! (neither in the journal's text nor in the status), and that in the end every instance is closed,
//! no session is left without one, and the agent ends. What the game said while the disk failed may
//! be forgotten by the next life.

mod acts;
mod coverage;
mod model;
mod play;
#[cfg(test)]
mod tests;

pub use coverage::Coverage;

use acts::Round;
use std::{
    cell::{Cell, RefCell},
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

/// A round in which something didn't hold.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    /// What the panic said.
    pub why: String,
    /// The shortest round with which it still fails, as the tests write it.
    pub round: String,
}

/// Plays the rounds of so many seeds, up to the first that fails. `progress` hears after each how many were played.
pub fn play_rounds(first: u64, rounds: u64, mut progress: impl FnMut(u64)) -> (Coverage, Option<Failure>) {
    let mut coverage = Coverage::default();
    for seed in first..first.saturating_add(rounds) {
        let round = Round::of(seed);
        if let Err(why) = holds(&round, &mut coverage) {
            let (round, why) = shorten(round, why);
            return (coverage, Some(Failure { seed, why, round: format!("{round:#?}") }));
        }
        coverage.rounds += 1;
        progress(coverage.rounds);
    }
    (coverage, None)
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Plays a round; what its panic said, if it ended in one.
fn holds(round: &Round, coverage: &mut Coverage) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if QUIET.get() {
                PLACE.set(info.location().map(ToString::to_string).unwrap_or_default());
            } else {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    let played = panic::catch_unwind(AssertUnwindSafe(|| play::play(round, coverage)));
    QUIET.set(false);
    played.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("{}: {}", PLACE.take(), text.unwrap_or_default())
    })
}

/// Leaves out what isn't needed for the failure: halves first, then single acts.
fn shorten(mut round: Round, mut why: String) -> (Round, String) {
    let mut size = round.acts.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < round.acts.len() {
            let mut shorter = round.clone();
            shorter.acts.drain(at..(at + size).min(round.acts.len()));
            match holds(&shorter, &mut Coverage::default()) {
                Err(also) => (round, why) = (shorter, also),
                Ok(()) => at += size,
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    (round, why)
}
