//! What must be true whatever happens, seen from outside.

use super::acts::{Act, Ordered};
use crate::{
    core::{
        io::{Availability, Effect, Ending},
        testing::{Disk, World, secs},
    },
    model::{
        calls::Call,
        game::{Admission, EventSource, GameBatch, GameEvent, Kept},
        ids::{RunNumber, SessionId},
        keeper::KeeperOrder,
        process::RunState,
        session::JoinStatus,
        status::{LastEnd, PhaseName},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How long a drain leaves whoever plays, less the stop sequence that must fit in as well.
const DRAIN: Duration = Duration::from_secs(600 - 15 - 2);

/// What must be true, seen from outside.
#[derive(Default)]
pub(super) struct Model {
    /// Runs whose readiness was proved, under this keeper.
    pub proved: BTreeSet<u64>,
    /// The one that was started last.
    pub run: u64,
    looked_at: usize,
    pub keepers: u32,
    pub said: Words,
    /// What each of two gateways has sent for the present run.
    pub sent: [Vec<GameBatch>; 2],
    /// When this life of the agent was told to let go of its game.
    pub detached: Option<Duration>,
    /// The host stopped the game while no agent was there; so many starts had been ordered by then.
    pub stopped_by_host: Option<usize>,
    /// The session of a game that an operator ended while no agent was there.
    pub stopped_match: Option<SessionId>,
    /// Whoever plays may lose the game from then on, and why: somebody asked for the end of what is played.
    may_end: Option<(Duration, &'static str)>,
    /// Somebody plays, as far as the agent knew before what happened last.
    plays: bool,
}

/// What a run has said of itself.
#[derive(Default)]
pub(super) struct Words {
    pub run: u64,
    ends: bool,
    withheld: Option<HeldBack>,
    kept: BTreeMap<EventSource, Kept>,
    /// Something was said that may not have reached the disk.
    doubtful: bool,
}

/// The run holds itself back until another match has ended. This is the one that had ended last when it said so.
#[derive(Debug, PartialEq)]
struct HeldBack(Option<LastEnd>);

impl Words {
    pub(super) fn heard(&mut self, w: &World, run: RunNumber, source: EventSource, said: &GameEvent) {
        if w.status().game.run != Some(run) {
            return;
        }
        if self.run != run.0 {
            *self = Words { run: run.0, ..Words::default() };
        }
        // A journal that failed is tried again a moment later, also where the disk works by then.
        self.doubtful |= w.disk != Disk::Works || w.status().agent.journal.is_some();
        match said {
            GameEvent::Shutdown | GameEvent::StopMe => self.ends = true,
            GameEvent::Offer(gate) => {
                self.withheld = (*gate == Admission::Closed).then(|| HeldBack(w.status().last_end));
            }
            GameEvent::Keep(kept) => drop(self.kept.insert(source, kept.clone())),
            _ => {}
        }
    }

    /// The agent has begun another life.
    pub(super) fn reborn(&mut self) {
        if self.doubtful {
            *self = Words::default();
        }
    }

    fn look(&self, w: &World) {
        let status = w.status();
        let RunState::Running { run, .. } = w.keeper.run else { return };
        if run.0 != self.run || status.game.run != Some(run) {
            return;
        }
        let shown = status.join_status == Some(JoinStatus::Joinable);
        assert!(!(self.ends && shown), "run {run} has said that it ends, and is joinable");
        if self.withheld.as_ref().is_some_and(|held| held.0 == status.last_end) {
            assert!(!matches!(w.offer, Some(Availability::Free { .. })), "run {run} holds itself back, and is offered");
        }
        for (source, kept) in &self.kept {
            assert_eq!(status.game.kept.get(source), Some(kept), "what run {run} keeps by {source:?}");
        }
    }
}

impl Model {
    /// The agent has begun another life.
    pub(super) fn reborn(&mut self) {
        self.detached = None;
        self.said.reborn();
    }

    /// This is about to happen.
    pub(super) fn comes(&mut self, w: &World, act: &Act) {
        let status = w.status();
        let is_on = matches!(status.phase, PhaseName::Serving | PhaseName::Draining);
        // Where sources disagree, time alone may end it.
        let agreed = status.players_disputed_until.is_none();
        self.plays = is_on && agreed && status.players > Some(0) && !counts_players(act);
        if matches!(status.phase, PhaseName::Idle | PhaseName::Starting) {
            self.may_end = None;
        }
        if let Some((after, why)) = ends_play(act) {
            let from = w.mono + after;
            let sooner = self.may_end.filter(|(known, _)| *known <= from);
            self.may_end = Some(sooner.unwrap_or((from, why)));
        }
    }

    /// The round ends, and the game with it.
    pub(super) fn ends(&mut self) {
        self.plays = false;
    }

    pub(super) fn look(&mut self, w: &World) {
        if let Some(starts) = self.stopped_by_host {
            assert_eq!(w.keeper.starts.len(), starts, "the host stopped the game, and it is started again");
        }
        for effect in &w.seen[self.looked_at..] {
            let may_end = self.may_end.is_some_and(|(from, _)| w.mono >= from);
            if self.plays && !may_end {
                plays_on(effect, w);
            }
            if self.detached.is_some() {
                leaves_the_game_alone(effect);
            }
            match effect {
                Effect::Call { call: Call::PatchInstance { body, .. }, .. }
                    if body.join_status == Some(JoinStatus::Joinable) =>
                {
                    let run = self.run;
                    assert!(self.proved.contains(&run), "joinable before run {run} was proved");
                }
                Effect::Keeper(KeeperOrder::Start { run, .. }) => {
                    self.run = run.0;
                    let session = w.status().session_id;
                    let again = self.stopped_match.is_some() && self.stopped_match == session;
                    assert!(!again, "an operator ended the game of {session:?}, and it is started again");
                }
                _ => {}
            }
        }
        self.looked_at = w.seen.len();
        let orderly = matches!(w.ended, Some(Ending::Orderly { .. }));
        assert!(!orderly || w.status().outbox.is_empty(), "it calls its end orderly, and owes: {:?}", w.status());
        self.said.look(w);
        // The journal is waited for at most 2 s.
        let late = self.detached.is_some_and(|at| w.mono >= at + secs(2));
        assert!(!late || w.ended.is_some(), "told to detach, it hasn't ended: {:?}", w.status());
    }
}

/// What a game is spared in which somebody plays, and whose end nobody has asked for.
fn plays_on(effect: &Effect, w: &World) {
    if let Effect::Keeper(order @ (KeeperOrder::Signal { .. } | KeeperOrder::Kill { .. })) = effect {
        panic!("somebody plays, and the keeper is ordered to {}: {:?}", order.name(), w.status());
    }
}

/// After which nobody may play any more.
fn counts_players(act: &Act) -> bool {
    let counts = |said: &GameEvent| {
        matches!(said, GameEvent::Players(_) | GameEvent::PlayerCount { .. } | GameEvent::PlayerLeft { .. })
    };
    match act {
        Act::Leave => true,
        Act::Says(_, said) => counts(said),
        Act::Batch { said, .. } => said.iter().any(|(_, said)| counts(said)),
        _ => false,
    }
}

/// What ends a game in which somebody plays, and how long it leaves them.
fn ends_play(act: &Act) -> Option<(Duration, &'static str)> {
    let now = Duration::ZERO;
    let of_word = |said: &GameEvent| match said {
        GameEvent::Shutdown | GameEvent::StopMe | GameEvent::MatchEnded { .. } => Some((now, "the game said so")),
        _ => None,
    };
    match act {
        Act::Drain | Act::OrderAndKill(Ordered::Drain) => Some((DRAIN, "a drain's deadline")),
        Act::Terminate | Act::Stop | Act::OrderAndKill(Ordered::Stop) => Some((now, "an operator's order")),
        Act::Deallocated(_) | Act::TakenAway | Act::SessionGone | Act::InstanceDeleted { .. } => {
            Some((now, "the session's owner"))
        }
        Act::Says(_, said) | Act::LateEnd(said) => of_word(said),
        Act::Batch { said, .. } => said.iter().find_map(|(_, said)| of_word(said)),
        Act::Exit(_) | Act::KeeperGone { .. } | Act::HostStops | Act::StoppedWithoutAgent | Act::NewKeeper => {
            Some((now, "the game is gone"))
        }
        Act::LoseJournal => Some((now, "nobody knows of the match")),
        _ => None,
    }
}

/// What an agent does that was told to let go of its game.
fn leaves_the_game_alone(effect: &Effect) {
    match effect {
        Effect::Keeper(
            order @ (KeeperOrder::Shutdown
            | KeeperOrder::Signal { .. }
            | KeeperOrder::Stdin { .. }
            | KeeperOrder::Kill { .. }),
        ) => panic!("told to detach, it orders {}", order.name()),
        Effect::End(ending) => {
            assert!(matches!(ending, Ending::Detached { .. }), "told to detach, it ends as {ending:?}");
        }
        _ => {}
    }
}
