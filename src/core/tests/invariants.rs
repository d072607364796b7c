//! Random inputs against a simple model: whatever happens, the invariants of [`crate::core`] hold.
//!
//! The world of these tests checks some of them all the time (one game at a time, no start before
//! its commit, one write of a lane under way, nothing after `closed`, no offer while an end is owed
//! or the journal broken); the model here knows
//!
//! | of a run | what must hold |
//! |---|---|
//! | whether it was proved | `joinable` is never published before |
//! | whether it said that it ends | it isn't shown joinable any more |
//! | whether it holds itself back | it isn't offered |
//! | what its frontends keep | it is there, also in the agent's next life |
//!
//! that an agent that was told to detach ends as detached, in time, and orders the keeper neither
//! to stop the game nor to shut down, that a tick before the next deadline changes nothing and one
//! at the deadline makes progress, that what counts as no change is none (neither in the journal's
//! text nor in the status), and that in the end every instance is closed. What the game said while
//! the disk failed may be forgotten by the next life.

use crate::core::{
    io::{Availability, Effect, Ending, Input, SavedState},
    testing::{Disk, Keeper, Net, World, allocation, secs, settings},
};
use crate::model::{
    allocation::ProviderKind,
    calls::{Backend, Call, Refusal},
    game::{Admission, EventSource, Evidence, GameEvent, GamePlayer, Kept},
    ids::RunNumber,
    keeper::KeeperOrder,
    orders::{After, Order},
    policy::{SdkPings, Start},
    process::{ExitStatus, RunState},
    session::{InstanceHealth, JoinStatus},
    status::LastEnd,
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

#[derive(Debug, Clone)]
enum Act {
    Pass(u64),
    /// Time passes up to the next deadline, and no further.
    Deadline,
    Ready,
    LateReady,
    Join,
    Leave,
    /// Anything else, through whatever the game speaks.
    Says(EventSource, GameEvent),
    /// A word of the last run, which may be over.
    LateEnd(GameEvent),
    Exit(i32),
    Net(Net),
    TimeOuts,
    Late,
    Disk(Disk),
    KillAgent,
    LoseJournal,
    NewKeeper,
    Reconnect,
    Allocate(u8),
    Drain,
    Terminate,
    Stop,
    Detach,
    SlowKeeper,
    Gap,
    SessionGone,
    TakenAway,
    Heartbeats,
    Evidence(bool),
    Deallocated(u8),
    Reload,
}

fn nets() -> impl Strategy<Value = Net> {
    let refusals = prop_oneof![
        Just(Refusal::Unreachable { why: "refused".into() }),
        Just(Refusal::Ambiguous { why: "500".into() }),
        Just(Refusal::Busy { retry_after: Some(secs(3)) }),
        Just(Refusal::Credentials { desc: "expired".into() }),
        Just(Refusal::NoSuchApi),
        Just(Refusal::NotFound { code: "not_found".into() }),
        Just(Refusal::Invalid { desc: "no".into() }),
        Just(Refusal::Conflict { code: "busy".into(), desc: "no".into() }),
        Just(Refusal::Gone),
    ];
    prop_oneof![4 => Just(Net::Up), 2 => Just(Net::LosesAnswers), 1 => Just(Net::Silent), 3 => refusals.prop_map(Net::Refuses)]
}

fn sources() -> impl Strategy<Value = EventSource> {
    prop_oneof![
        Just(EventSource::Native),
        Just(EventSource::Agones),
        Just(EventSource::Gsdk),
        Just(EventSource::Log),
        Just(EventSource::Probe)
    ]
}

fn words() -> impl Strategy<Value = GameEvent> {
    let gate = prop_oneof![Just(Admission::Open), Just(Admission::Closed)];
    let player = |number: u128| GamePlayer { id: uuid::Uuid::from_u128(number).to_string(), name: None, team: None };
    let health = prop_oneof![Just(InstanceHealth::Healthy), Just(InstanceHealth::Unhealthy)];
    prop_oneof![
        2 => gate.clone().prop_map(GameEvent::Joinable),
        2 => gate.prop_map(GameEvent::Offer),
        1 => Just(GameEvent::Shutdown),
        2 => Just(GameEvent::StopMe),
        2 => Just(GameEvent::MatchEnded),
        1 => Just(GameEvent::MatchStarted { match_id: None }),
        2 => (0u8..4).prop_map(|number| GameEvent::Keep(Kept::from(format!("book {number}")))),
        1 => Just(GameEvent::Hello),
        1 => Just(GameEvent::Heartbeat),
        1 => health.prop_map(|health| GameEvent::Health { health, reason: None }),
        1 => (0u128..4).prop_map(move |count| GameEvent::Players((0..count).map(player).collect())),
        1 => (0u32..3).prop_map(|players| GameEvent::PlayerCount { players, max: Some(8) }),
        1 => (0u8..3).prop_map(|number| GameEvent::Map { map: Some(format!("map{number}")), mode: None }),
    ]
}

fn starts() -> impl Strategy<Value = Start> {
    prop_oneof![Just(Start::OnAllocation), Just(Start::AtBoot)]
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0u64..40_000).prop_map(Act::Pass),
        4 => Just(Act::Deadline),
        6 => Just(Act::Ready),
        1 => Just(Act::LateReady),
        2 => Just(Act::Join),
        2 => Just(Act::Leave),
        8 => (sources(), words()).prop_map(|(source, said)| Act::Says(source, said)),
        1 => prop_oneof![Just(GameEvent::Shutdown), Just(GameEvent::StopMe)].prop_map(Act::LateEnd),
        3 => (0i32..2).prop_map(Act::Exit),
        5 => nets().prop_map(Act::Net),
        2 => Just(Act::TimeOuts),
        1 => Just(Act::Late),
        2 => prop_oneof![2 => Just(Disk::Works), 1 => Just(Disk::Fails), 1 => Just(Disk::Silent)].prop_map(Act::Disk),
        3 => Just(Act::KillAgent),
        1 => Just(Act::LoseJournal),
        1 => Just(Act::NewKeeper),
        1 => Just(Act::Reconnect),
        3 => (0u8..4).prop_map(Act::Allocate),
        1 => Just(Act::Drain),
        1 => Just(Act::Terminate),
        1 => Just(Act::Stop),
        2 => Just(Act::Detach),
        1 => Just(Act::SlowKeeper),
        1 => Just(Act::Gap),
        1 => Just(Act::SessionGone),
        1 => Just(Act::TakenAway),
        2 => Just(Act::Heartbeats),
        2 => any::<bool>().prop_map(Act::Evidence),
        1 => (0u8..4).prop_map(Act::Deallocated),
        1 => Just(Act::Reload),
    ];
    proptest::collection::vec(act, 1..50)
}

/// What must be true, seen from outside.
#[derive(Default)]
struct Model {
    /// Runs whose readiness was proved, under this keeper.
    proved: BTreeSet<u64>,
    /// The one that was started last.
    run: u64,
    looked_at: usize,
    keepers: u32,
    said: Words,
    /// When this life of the agent was told to let go of its game.
    detached: Option<Duration>,
}

/// What a run has said of itself.
#[derive(Default)]
struct Words {
    run: u64,
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
    fn heard(&mut self, w: &World, run: RunNumber, source: EventSource, said: &GameEvent) {
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
    fn reborn(&mut self) {
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
    fn reborn(&mut self) {
        self.detached = None;
        self.said.reborn();
    }

    fn look(&mut self, w: &World) {
        for effect in &w.seen[self.looked_at..] {
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
                Effect::Keeper(KeeperOrder::Start { run, .. }) => self.run = run.0,
                _ => {}
            }
        }
        self.looked_at = w.seen.len();
        self.said.look(w);
        // The journal is waited for at most 2 s.
        let late = self.detached.is_some_and(|at| w.mono >= at + secs(2));
        assert!(!late || w.ended.is_some(), "told to detach, it hasn't ended: {:?}", w.status());
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

#[expect(clippy::too_many_lines, reason = "a table: an arm for each act")]
fn act(w: &mut World, model: &mut Model, act: Act) {
    let running = if let RunState::Running { run, .. } = w.keeper.run { Some(run) } else { None };
    match act {
        Act::Pass(millis) => w.pass(Duration::from_millis(millis)),
        Act::Deadline => w.keep_the_deadline(),
        Act::Ready => {
            model.proved.extend(running.map(|run| run.0));
            w.say(GameEvent::Ready);
        }
        Act::LateReady => {
            let late = RunNumber(running.map_or(1, |run| run.0.saturating_sub(1)));
            w.give(Input::GameEvent { run: late, source: EventSource::Native, event: GameEvent::Ready });
        }
        Act::Join => {
            w.say(GameEvent::PlayerJoined(GamePlayer {
                id: uuid::Uuid::from_u128(1).to_string(),
                name: None,
                team: None,
            }));
        }
        Act::Leave => w.say(GameEvent::PlayerLeft { id: uuid::Uuid::from_u128(1).to_string() }),
        Act::Says(source, said) => says(w, model, source, said),
        Act::LateEnd(said) if running.is_none() => {
            w.give(Input::GameEvent { run: RunNumber(model.run), source: EventSource::Agones, event: said });
        }
        Act::Exit(code) if running.is_some() => w.game_exits(ExitStatus::Exited { code }),
        Act::LateEnd(_) | Act::Exit(_) => {}
        Act::Net(net) => {
            w.service.net = net;
            if w.service.net == Net::Up {
                w.give(Input::Backend(Backend::Up));
            }
        }
        Act::TimeOuts => w.time_out(),
        Act::Late => w.late_answers(),
        Act::Disk(disk) => {
            w.disk = disk;
            w.catch_up();
        }
        Act::KillAgent => {
            w.kill_agent();
            model.reborn();
        }
        Act::LoseJournal => {
            w.wake(SavedState::SetAside { why: "damaged".into() });
            model.reborn();
            model.said = Words::default();
        }
        Act::NewKeeper => new_keeper(w, model),
        Act::Reconnect => w.connect(),
        Act::Allocate(id) => w.order(Order::Allocate(Box::new(allocation(&format!("a{id}"), None)))),
        Act::Drain => w.order(Order::Drain { reason: None, then: After::Recycle }),
        Act::Terminate => w.give(Input::Terminate),
        Act::Stop => w.order(Order::Stop { reason: None }),
        Act::Detach => {
            model.detached = Some(w.mono);
            w.order(Order::Detach { restart: true });
        }
        Act::SlowKeeper => w.keeper.says_started = !w.keeper.says_started,
        Act::Gap => w.give(Input::Gap(secs(60))),
        Act::SessionGone => {
            let last = w.service.sessions.keys().last().cloned();
            last.into_iter().for_each(|id| drop(w.service.sessions.remove(&id)));
        }
        Act::TakenAway => taken_away(w),
        Act::Heartbeats => {
            let run = RunNumber(model.run);
            w.give(Input::Heartbeats { run, source: EventSource::Agones, count: 3, age: secs(1) });
        }
        Act::Evidence(up) => {
            let why = || "no answer".to_owned();
            let evidence = if up { Evidence::Up } else { Evidence::Down { why: why() } };
            w.give(Input::Evidence { run: RunNumber(model.run), source: EventSource::Probe, evidence });
        }
        Act::Deallocated(id) => {
            w.give(Input::Deallocated { allocation: allocation(&format!("a{id}"), None).allocation_id });
        }
        Act::Reload => {
            let settings = w.settings.clone();
            w.give(Input::Reloaded(Box::new(settings)));
        }
    }
}

fn says(w: &mut World, model: &mut Model, source: EventSource, said: GameEvent) {
    if let RunState::Running { run, .. } = w.keeper.run {
        model.said.heard(w, run, source, &said);
        w.give(Input::GameEvent { run, source, event: said });
    }
}

fn new_keeper(w: &mut World, model: &mut Model) {
    model.keepers += 1;
    model.proved.clear();
    model.said = Words::default();
    let starts = std::mem::take(&mut w.keeper.starts);
    w.keeper = Keeper::new(["k2", "k3", "k4"][model.keepers as usize % 3]);
    w.keeper.starts = starts;
    w.connect();
}

fn taken_away(w: &mut World) {
    let last = w.service.sessions.values_mut().last().and_then(|session| session.instance.as_mut());
    last.into_iter().for_each(|info| info.join_status = JoinStatus::Closed);
    w.service.closed_by_others = true;
}

fn play(provider: ProviderKind, start: Start, acts: Vec<Act>) {
    let mut s = settings();
    s.provider = provider;
    s.launch.start = start;
    // A game that waits warm is given match after match; the other gets a process for each.
    s.recycle.after_matches = u32::from(start == Start::OnAllocation);
    s.restart.budget = 1000;
    s.sdk_pings = Some(SdkPings { period: secs(5), failure_threshold: 3, initial_delay: secs(5) });
    let mut w = World::new(s);
    let mut model = Model::default();
    model.look(&w);
    for one in acts {
        act(&mut w, &mut model, one);
        model.look(&w);
        if w.ended.is_some() {
            w.kill_agent();
            model.reborn();
            model.look(&w);
        }
    }
    // All is well again, and the server is to end: whatever was posted must end up closed.
    (w.service.net, w.disk, w.keeper.says_started, w.allocates) = (Net::Up, Disk::Works, true, false);
    w.catch_up();
    w.time_out();
    w.kill_agent();
    model.reborn();
    w.pass(secs(200));
    if w.ended.is_none() {
        w.order(Order::Stop { reason: None });
        w.pass(secs(60));
    }
    model.look(&w);
    assert!(w.ended.is_some(), "{:?}", w.status());
    let open: Vec<_> = w.service.sessions.values().filter_map(|s| s.instance.as_ref()).collect();
    assert!(open.iter().all(|info| info.join_status == JoinStatus::Closed), "{open:?}");
}

/// A late answer names a call that was made: not one that still waits for a silent disk.
#[test]
fn an_end_that_waits_for_a_silent_disk_is_reported_by_the_next_life() {
    use Act::{Allocate, Exit, KillAgent, Late, Pass, Ready};
    let acts = [Allocate(0), Exit(0), Pass(447), Ready, Act::Disk(Disk::Silent), Exit(0), KillAgent, Late];
    play(ProviderKind::Hook, Start::OnAllocation, acts.to_vec());
}

#[test]
fn an_agent_that_died_over_its_last_words_says_them_in_its_next_life() {
    let acts = [Act::Net(Net::LosesAnswers), Act::Terminate, Act::Disk(Disk::Fails), Act::Pass(4990)];
    play(ProviderKind::Auto, Start::OnAllocation, acts.to_vec());
}

/// A restart that was put off is no concern of an agent that writes its last words.
#[test]
fn an_agent_that_waits_for_its_last_commit_does_nothing_else_meanwhile() {
    let acts = [Act::Disk(Disk::Fails), Act::Terminate, Act::Pass(2000), Act::Terminate, Act::Deadline];
    play(ProviderKind::Hook, Start::AtBoot, acts.to_vec());
}

/// The disk works again, but the journal hasn't been tried anew yet: nobody was promised that this word lasts.
#[test]
fn a_word_said_before_the_journal_is_tried_again_may_be_forgotten_by_the_next_life() {
    let kept = Act::Says(EventSource::Native, GameEvent::Keep(Kept::from("book 0".to_owned())));
    let (fails, works) = (Act::Disk(Disk::Fails), Act::Disk(Disk::Works));
    let acts = [Act::Allocate(0), fails, Act::Pass(0), Act::Join, works, kept, Act::KillAgent];
    play(ProviderKind::Hook, Start::OnAllocation, acts.to_vec());
}

/// 256 new cases each time; `PROPTEST_CASES` asks for more. A failure prints its shortest case: it becomes a test of its own, above.
fn new_cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// Fewer, as each takes longer.
fn few_cases() -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => new_cases(),
        None => ProptestConfig { cases: 128, ..new_cases() },
    }
}

proptest! {
    #![proptest_config(few_cases())]

    #[test]
    fn the_invariants_hold_whatever_happens_to_an_own_session(start in starts(), acts in acts()) {
        play(ProviderKind::Auto, start, acts);
    }
}

proptest! {
    #![proptest_config(new_cases())]

    #[test]
    fn the_invariants_hold_whatever_happens_to_a_hooked_one(start in starts(), acts in acts()) {
        play(ProviderKind::Hook, start, acts);
    }
}
