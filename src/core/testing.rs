//! A small world for tests: a keeper, a session service and a journal that do as they should, until
//! told otherwise.
//!
//! [`World::give`] hands an input to the core and lets the world answer until all is quiet;
//! [`World::pass`] lets time pass from deadline to deadline. What the core decided is in
//! [`World::seen`], what the service was told in [`Service::told`].
//!
//! The world is strict: two games at once, a start before its commit, two writes to a session at
//! once, a report after `closed`, or an offer while an end is owed or the journal broken are
//! panics, whatever the test is about.

mod effects;
mod keeper;
mod make;
mod service;

pub(super) use keeper::Keeper;
pub(super) use make::{allocation, at, backfill, exit, instance, member, secs, settings, stats};
pub(super) use service::{Net, Service};

use super::{
    Core,
    io::{Availability, Bulk, Effect, Ending, Input, Saved, SavedState},
    settings::Settings,
};
use crate::model::{
    calls::{Backend, CallId, Refusal},
    game::{Counted, EventSource, GameBatch, GameEvent, GameNotice},
    gateway_facts::GatewayFact,
    ids::SessionId,
    keeper::KeeperFact,
    orders::{Order, RequestId},
    process::{ExitStatus, RunState},
    session::JoinStatus,
    status::Status,
    time::{Instant, Now},
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// How the journal behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    Works,
    Fails,
    Silent,
}

pub(super) struct World {
    pub core: Core,
    pub settings: Settings,
    pub mono: Duration,
    /// How far the wall clock was set forward.
    pub clock_set: Duration,
    pub disk: Disk,
    pub journal: Option<String>,
    pub bulk: Option<Bulk>,
    pub service: Service,
    pub keeper: Keeper,
    pub seen: Vec<Effect>,
    pub offer: Option<Availability>,
    pub ended: Option<Ending>,
    /// What the gateway has counted since it was asked last.
    pub counted: Vec<Counted>,
    /// Whether it answers.
    pub counts: bool,
    /// What the game said last, as the keeper's report of its exit has it.
    pub last_words: Option<GameBatch>,
    /// Whether it has delivered what it owed as soon as the keeper is there.
    pub catches_up: bool,
    /// Whether the agent dies as soon as it has accepted an order: nothing that comes after the answer happens.
    pub dies_answering: bool,
    pub allocates: bool,
    allocations: u32,
    inputs: VecDeque<Input>,
    /// Calls that nobody has answered, and the session that they write to.
    open: BTreeMap<CallId, Option<SessionId>>,
    /// Calls of this life of the agent that were answered.
    answered: Vec<CallId>,
    uncommitted: Option<(u64, Saved)>,
    /// The status when it was looked at last, and its revision.
    looked: Option<(u64, Status)>,
}

impl World {
    /// A core that has met its keeper.
    pub(super) fn new(settings: Settings) -> Self {
        let now = at(Duration::ZERO);
        let (core, effects) = Core::new(settings.clone(), SavedState::Fresh, [7; 32], now);
        let mut world = World {
            core,
            settings,
            mono: Duration::ZERO,
            clock_set: Duration::ZERO,
            disk: Disk::Works,
            journal: None,
            bulk: None,
            service: Service::new(),
            keeper: Keeper::new("keeper-1"),
            seen: Vec::new(),
            offer: None,
            ended: None,
            counted: Vec::new(),
            counts: true,
            last_words: None,
            catches_up: true,
            dies_answering: false,
            allocates: true,
            allocations: 0,
            inputs: VecDeque::new(),
            open: BTreeMap::new(),
            answered: Vec::new(),
            uncommitted: None,
            looked: None,
        };
        world.carry_out(effects);
        world.run();
        world.give(Input::Backend(Backend::Up));
        world.connect();
        world
    }

    /// The same, up to a game that serves, and says that nobody plays yet.
    pub(super) fn serving(settings: Settings) -> Self {
        let mut world = World::new(settings);
        world.say(GameEvent::Ready);
        world.say(GameEvent::Players(Vec::new()));
        assert_eq!(world.shown(), Some(JoinStatus::Joinable), "{:?}", world.service.told);
        world
    }

    pub(super) fn now(&self) -> Now {
        let now = at(self.mono);
        Now { wall: now.wall.plus(self.clock_set), ..now }
    }

    pub(super) fn give(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.run();
    }

    fn run(&mut self) {
        let mut steps = 0;
        while let Some(input) = self.inputs.pop_front() {
            if let Input::Answered { call, .. } = &input {
                self.answered.extend(self.open.remove(call).map(|_| *call));
            }
            let effects = self.core.handle(input, self.now());
            self.look();
            self.carry_out(effects);
            steps += 1;
            assert!(steps < 5000, "the core and the world keep answering each other: {:?}", self.seen.last());
        }
    }

    /// Where no change was counted, nothing may have changed: nobody looks again.
    fn look(&mut self) {
        assert_eq!(self.core.memory_text(), self.core.journal.text(), "a change that the journal hasn't noticed");
        let (revision, status) = (self.core.status_revision(), self.core.status());
        if let Some((known, shown)) = self.looked.replace((revision, status.clone())) {
            assert!(
                known != revision || shown == status,
                "a change that the status hasn't noticed: {shown:?} {status:?}"
            );
        }
    }

    /// Time passes, from deadline to deadline.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.mono + span;
        for _ in 0..100_000 {
            let next = self.core.next_deadline().map_or(end, |Instant(at)| at.max(self.mono)).min(end);
            // A deadline that doesn't move must not hold up time.
            self.mono = if next == self.mono && next < end { (next + Duration::from_millis(1)).min(end) } else { next };
            self.give(Input::Tick);
            if let Some(Instant(at)) = self.core.next_deadline() {
                assert!(at > self.mono, "a deadline that is due stays due");
            }
            if self.mono >= end {
                return;
            }
        }
        panic!("too many deadlines: {:?}", self.core.next_deadline());
    }

    /// A tick before the next deadline changes nothing, and one at the deadline makes progress.
    pub(super) fn keep_the_deadline(&mut self) {
        let Some(Instant(due)) = self.core.next_deadline().filter(|_| self.ended.is_none()) else { return };
        let before = due.saturating_sub(Duration::from_millis(1));
        if before <= self.mono {
            return;
        }
        self.mono = before;
        let known = (self.core.status_revision(), self.core.written());
        let effects = self.core.handle(Input::Tick, self.now());
        assert!(effects.is_empty(), "nothing was due yet: {effects:?}");
        assert_eq!((self.core.status_revision(), self.core.written()), known, "nothing was due yet");
        assert_eq!(self.core.next_deadline(), Some(Instant(due)), "what is due is due when it was");
        self.mono = due;
        self.give(Input::Tick);
        assert!(self.ended.is_some() || self.core.next_deadline() != Some(Instant(due)), "what is due is done");
    }

    pub(super) fn connect(&mut self) {
        if let Some(words) = self.last_words.take() {
            self.give(Input::GameBatch(words));
        }
        if self.keeper.gone {
            let left = self.keeper.left.clone().map(Box::new);
            self.give(Input::Keeper(KeeperFact::Gone { left }));
            return;
        }
        self.give(Input::Keeper(KeeperFact::Connected(Box::new(self.keeper.hello()))));
        if self.catches_up {
            self.give(Input::Gateway(GatewayFact::Heard));
        }
    }

    pub(super) fn say(&mut self, said: GameEvent) {
        if let RunState::Running { run, .. } = self.keeper.run {
            self.give(Input::GameEvent { run, source: EventSource::Native, event: said });
        }
    }

    pub(super) fn order(&mut self, order: Order) {
        self.give(Input::Ordered { request: RequestId(99), order });
    }

    /// The game ends by itself.
    pub(super) fn game_exits(&mut self, status: ExitStatus) {
        let RunState::Running { run, started, .. } = self.keeper.run else { panic!("no game runs") };
        let report = exit(run, status, started, self.now().wall);
        self.keeper.run = RunState::Exited { report: report.clone() };
        self.give(Input::Keeper(KeeperFact::Exited(report)));
    }

    /// The agent is killed, and a new one wakes from what reached the disk.
    pub(super) fn kill_agent(&mut self) {
        self.inputs.clear();
        self.mono += Duration::from_millis(10);
        let saved = |text| SavedState::Journal(Saved { text, bulk: self.bulk.clone() });
        let memory = self.journal.clone().map_or(SavedState::Fresh, saved);
        self.wake(memory);
    }

    pub(super) fn wake(&mut self, memory: SavedState) {
        let mut entropy = [7; 32];
        entropy[0] = self.mono.as_millis() as u8;
        entropy[1] = (self.mono.as_millis() >> 8) as u8;
        let (core, effects) = Core::new(self.settings.clone(), memory, entropy, self.now());
        self.core = core;
        self.open.clear();
        self.answered.clear();
        self.uncommitted = None;
        self.looked = None;
        self.offer = None;
        self.ended = None;
        self.carry_out(effects);
        self.run();
        self.give(Input::Backend(Backend::Up));
        self.connect();
    }

    /// Calls were made that nobody has answered.
    pub(super) fn waits_for_answers(&self) -> bool {
        !self.open.is_empty()
    }

    /// Every open call times out.
    pub(super) fn time_out(&mut self) {
        let open: Vec<_> = self.open.keys().copied().collect();
        for call in open {
            self.give(Input::Answered { call, answer: Err(Refusal::Ambiguous { why: "timed out".into() }) });
        }
    }

    /// The calls that were answered last are answered again: nobody waits for them any more.
    pub(super) fn late_answers(&mut self) {
        for call in self.answered.split_off(self.answered.len().saturating_sub(16)) {
            self.give(Input::Answered { call, answer: Err(Refusal::SessionNotFound) });
        }
    }

    /// A disk that was silent has written after all.
    pub(super) fn catch_up(&mut self) {
        if self.disk != Disk::Silent
            && let Some((seq, saved)) = self.uncommitted.take()
        {
            self.commit(seq, saved);
            self.run();
        }
    }

    pub(super) fn status(&self) -> Status {
        self.core.status()
    }

    /// What the service shows of our (or the last) instance.
    pub(super) fn shown(&self) -> Option<JoinStatus> {
        let ours = self.status().session_id;
        let session =
            ours.and_then(|id| self.service.sessions.get(&id)).or_else(|| self.service.sessions.values().last());
        session.and_then(|session| session.instance.as_ref()).map(|info| info.join_status)
    }

    pub(super) fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.service.told)
    }

    pub(super) fn kinds(&self) -> Vec<&'static str> {
        let kinds = self.seen.iter().filter_map(|effect| match effect {
            Effect::Timeline(happening) => Some(happening.kind),
            _ => None,
        });
        kinds.collect()
    }

    /// What the timeline shows.
    pub(super) fn timeline(&self) -> Vec<&str> {
        let texts = self.seen.iter().filter_map(|effect| match effect {
            Effect::Timeline(happening) => Some(happening.text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    pub(super) fn told_game(&self) -> Vec<&GameNotice> {
        let told = self.seen.iter().filter_map(|effect| match effect {
            Effect::Notify { notice, .. } => Some(notice),
            _ => None,
        });
        told.collect()
    }
}
