//! What the machines decide while one input is taken, and what they draw on.
//!
//! | part | is |
//! |---|---|
//! | effects | what is to be carried out, in this order |
//! | waiting effects | what must not be carried out before a commit |
//! | signals | what one machine has to say to another; the wiring passes it on |
//! | calls | which question each open call asked |
//! | ids, jitter | random values, from given entropy |

use super::{
    io::{Effect, TimelineEvent},
    random::{IdGenerator, Jitter},
    signal::Signal,
};
use crate::model::{
    calls::{Call, CallId},
    game::GameNotice,
    ids::{AllocationId, InstanceId, RunNumber},
    keeper::KeeperOrder,
    process::StopAction,
    session::InstanceHealth,
};
use std::collections::BTreeMap;

/// How long an effect waits for a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    UntilWritten,
    /// The same, but a broken journal doesn't hold it up.
    WhileJournalWorks,
}

/// Why a call was made.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Purpose {
    Acquire(AllocationId),
    Recreate,
    /// The session that this request has made isn't wanted.
    RemoveUnused(String),
    Outbox(InstanceId),
    Poll,
    HealthConfig,
    Health(InstanceId, InstanceHealth),
    BackfillConfig,
    Ack,
    Need,
    DropBackfill,
    /// A player was added, known to the game by this id; or one was removed.
    Player(Option<String>),
}

/// An effect that waits for a commit; without a number until the journal has given it one.
#[derive(Debug)]
struct Waiting {
    commit: Option<u64>,
    effect: Effect,
    hold: Hold,
}

/// The decisions on the input that is being taken, and what earlier ones still wait for.
#[derive(Debug)]
pub(super) struct Decisions {
    pub ids: IdGenerator,
    pub jitter: Jitter,
    effects: Vec<Effect>,
    waiting: Vec<Waiting>,
    signals: Vec<Signal>,
    last_call: u64,
    calls: BTreeMap<CallId, Purpose>,
}

impl Decisions {
    pub(super) fn new(entropy: [u8; 32], seed: u64) -> Self {
        Decisions {
            ids: IdGenerator::new(entropy),
            jitter: Jitter::new(seed),
            effects: Vec::new(),
            waiting: Vec::new(),
            signals: Vec::new(),
            last_call: 0,
            calls: BTreeMap::new(),
        }
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn order(&mut self, order: KeeperOrder) {
        self.effect(Effect::Keeper(order));
    }

    pub(super) fn notify(&mut self, run: RunNumber, notice: GameNotice) {
        self.effect(Effect::Notify { run, notice });
    }

    /// Something that a person wants to see.
    pub(super) fn timeline(&mut self, kind: &'static str, text: impl Into<String>, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.effect(Effect::Timeline(TimelineEvent { kind, text: text.into(), fields }));
    }

    /// For another machine.
    pub(super) fn signal(&mut self, signal: Signal) {
        self.signals.push(signal);
    }

    /// Not before the present state is on disk.
    pub(super) fn after_commit(&mut self, effect: Effect) {
        self.waiting.push(Waiting { commit: None, effect, hold: Hold::UntilWritten });
    }

    /// The same, but at once where the journal doesn't work.
    pub(super) fn once_written(&mut self, effect: Effect) {
        self.waiting.push(Waiting { commit: None, effect, hold: Hold::WhileJournalWorks });
    }

    pub(super) fn call(&mut self, call: Call, purpose: Purpose) {
        let effect = self.numbered(call, purpose);
        self.effect(effect);
    }

    /// The same, but not before the present state is on disk, or for as long as `hold` says.
    pub(super) fn call_after_commit(&mut self, call: Call, purpose: Purpose, hold: Hold) {
        let effect = self.numbered(call, purpose);
        self.waiting.push(Waiting { commit: None, effect, hold });
    }

    fn numbered(&mut self, call: Call, purpose: Purpose) -> Effect {
        self.last_call += 1;
        let id = CallId(self.last_call);
        self.calls.insert(id, purpose);
        Effect::Call { id, call }
    }

    /// Takes back a start that still waits for its commit; says whether there was one.
    pub(super) fn withdraw_start(&mut self) -> bool {
        self.withdraw(|effect| matches!(effect, Effect::Keeper(KeeperOrder::Start { .. })))
    }

    /// Takes back a request for a session that still waits for its commit; says whether there was one.
    pub(super) fn withdraw_create(&mut self) -> bool {
        self.withdraw(|effect| matches!(effect, Effect::Call { call: Call::CreateSession(_), .. }))
    }

    fn withdraw(&mut self, which: impl Fn(&Effect) -> bool) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| !which(&waiting.effect));
        self.waiting.len() < before
    }

    /// Has a step of a stop sequence carried out.
    pub(super) fn stop_step(&mut self, run: RunNumber, action: StopAction) {
        self.effect(match action {
            StopAction::Stdin(line) => Effect::Keeper(KeeperOrder::Stdin { run, line }),
            StopAction::Signal(signal) => Effect::Keeper(KeeperOrder::Signal { run, signal }),
            StopAction::Kill => Effect::Keeper(KeeperOrder::Kill { run }),
            StopAction::Ask => Effect::AskToQuit { run },
        });
    }

    /// What an answer is about. Late and repeated answers name a call that isn't open.
    pub(super) fn close_call(&mut self, id: CallId) -> Option<Purpose> {
        self.calls.remove(&id)
    }

    pub(super) fn take_signals(&mut self) -> Vec<Signal> {
        std::mem::take(&mut self.signals)
    }

    pub(super) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Nothing that was decided so far is to be carried out.
    pub(super) fn drop_effects(&mut self) {
        self.effects.clear();
    }

    pub(super) fn nothing_waits(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The present state is on disk once this commit is done.
    pub(super) fn wait_for(&mut self, commit: u64) {
        self.waiting.iter_mut().for_each(|waiting| {
            waiting.commit.get_or_insert(commit);
        });
    }

    /// A change that was made while a commit was under way has been undone: no other commit will follow.
    pub(super) fn wait_at_most_for(&mut self, commit: u64) {
        self.waiting.iter_mut().for_each(|waiting| {
            waiting.commit = waiting.commit.map(|waits_for| waits_for.min(commit));
        });
    }

    /// Lets go the effects whose commit is done; and where the journal doesn't work, those that don't insist on it.
    pub(super) fn release(&mut self, done: u64, works: JournalWorks) {
        let mut still = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            let written = waiting.commit.is_some_and(|commit| commit <= done);
            let brief =
                waiting.commit.is_some() && works == JournalWorks::No && waiting.hold == Hold::WhileJournalWorks;
            if written || brief {
                self.effects.push(waiting.effect);
            } else {
                still.push(waiting);
            }
        }
        self.waiting = still;
    }
}

/// Whether the journal can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JournalWorks {
    Yes,
    No,
}
