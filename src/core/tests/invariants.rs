//! Random inputs against a simple model: whatever happens, the invariants of [`crate::core`] hold.
//!
//! The world of these tests checks some of them all the time (one game at a time, no start before its commit, one write of a
//! lane under way, nothing after `closed`, no offer while an end is owed or the journal broken); the model here knows which runs have been proved, and that in the end every instance is closed.

use crate::core::{
    io::{Effect, Input, Memory},
    testing::{Disk, Keeper, Net, World, allocation, secs, settings},
};
use crate::model::{
    allocation::ProviderKind,
    calls::{Backend, Call, Refusal},
    game::{Door, GamePlayer, Gate, Said},
    ids::RunNumber,
    keeper::KeeperOrder,
    orders::{After, Order},
    process::{ExitStatus, RunState},
    session::JoinStatus,
};
use proptest::{prelude::*, test_runner::RngSeed};
use std::{collections::BTreeSet, time::Duration};

#[derive(Debug, Clone)]
enum Act {
    Pass(u64),
    Ready,
    LateReady,
    Join,
    Leave,
    Gate(bool),
    Shutdown,
    MatchEnded,
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
    SlowKeeper,
    Gap,
    SessionGone,
    TakenAway,
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

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0u64..40_000).prop_map(Act::Pass),
        6 => Just(Act::Ready),
        1 => Just(Act::LateReady),
        2 => Just(Act::Join),
        2 => Just(Act::Leave),
        2 => any::<bool>().prop_map(Act::Gate),
        1 => Just(Act::Shutdown),
        2 => Just(Act::MatchEnded),
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
        1 => Just(Act::SlowKeeper),
        1 => Just(Act::Gap),
        1 => Just(Act::SessionGone),
        1 => Just(Act::TakenAway),
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
}

impl Model {
    fn look(&mut self, w: &World) {
        for effect in &w.seen[self.looked_at..] {
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
    }
}

fn act(w: &mut World, model: &mut Model, act: Act) {
    let running = if let RunState::Running { run, .. } = w.keeper.run { Some(run) } else { None };
    match act {
        Act::Pass(millis) => w.pass(Duration::from_millis(millis)),
        Act::Ready => {
            model.proved.extend(running.map(|run| run.0));
            w.say(Said::Ready);
        }
        Act::LateReady => {
            let late = RunNumber(running.map_or(1, |run| run.0.saturating_sub(1)));
            w.give(Input::Said { run: late, door: Door::Native, said: Said::Ready });
        }
        Act::Join => {
            w.say(Said::PlayerJoined(GamePlayer { id: uuid::Uuid::from_u128(1).to_string(), name: None, team: None }));
        }
        Act::Leave => w.say(Said::PlayerLeft { id: uuid::Uuid::from_u128(1).to_string() }),
        Act::Gate(open) => w.say(Said::Joinable(if open { Gate::Open } else { Gate::Closed })),
        Act::Shutdown => w.say(Said::Shutdown),
        Act::MatchEnded => w.say(Said::MatchEnded),
        Act::Exit(code) if running.is_some() => w.game_exits(ExitStatus::Exited { code }),
        Act::Exit(_) => {}
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
        Act::KillAgent => w.kill_agent(),
        Act::LoseJournal => w.wake(Memory::SetAside { why: "damaged".into() }),
        Act::NewKeeper => {
            model.keepers += 1;
            model.proved.clear();
            let starts = std::mem::take(&mut w.keeper.starts);
            w.keeper = Keeper::new(["k2", "k3", "k4"][model.keepers as usize % 3]);
            w.keeper.starts = starts;
            w.connect();
        }
        Act::Reconnect => w.connect(),
        Act::Allocate(id) => w.order(Order::Allocate(Box::new(allocation(&format!("a{id}"), None)))),
        Act::Drain => w.order(Order::Drain { reason: None, then: After::Recycle }),
        Act::Terminate => w.give(Input::Terminate),
        Act::Stop => w.order(Order::Stop { reason: None }),
        Act::SlowKeeper => w.keeper.running = !w.keeper.running,
        Act::Gap => w.give(Input::Gap(secs(60))),
        Act::SessionGone => {
            let last = w.service.sessions.keys().last().cloned();
            last.into_iter().for_each(|id| drop(w.service.sessions.remove(&id)));
        }
        Act::TakenAway => {
            let last = w.service.sessions.values_mut().last().and_then(|session| session.instance.as_mut());
            last.into_iter().for_each(|info| info.join_status = JoinStatus::Closed);
            w.service.closed_by_others = true;
        }
    }
}

fn play(provider: ProviderKind, acts: Vec<Act>) {
    let mut s = settings();
    s.provider = provider;
    s.restart.budget = 1000;
    let mut w = World::new(s);
    let mut model = Model::default();
    model.look(&w);
    for one in acts {
        act(&mut w, &mut model, one);
        model.look(&w);
        if w.ended.is_some() {
            w.kill_agent();
            model.look(&w);
        }
    }
    // All is well again, and the server is to end: whatever was posted must end up closed.
    (w.service.net, w.disk, w.keeper.running, w.allocates) = (Net::Up, Disk::Works, true, false);
    w.catch_up();
    w.time_out();
    w.kill_agent();
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
    play(ProviderKind::Hook, acts.to_vec());
}

#[test]
fn an_agent_that_died_over_its_last_words_says_them_in_its_next_life() {
    let acts = [Act::Net(Net::LosesAnswers), Act::Terminate, Act::Disk(Disk::Fails), Act::Pass(4990)];
    play(ProviderKind::Auto, acts.to_vec());
}

/// 256 new cases each time; `PROPTEST_CASES` asks for more. A failure prints its shortest case: it becomes a test of its own, above.
fn new_cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// Fewer, as each takes longer, and the same ones each time; `PROPTEST_CASES` asks for more and new ones.
fn few_cases() -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => new_cases(),
        None => ProptestConfig { cases: 128, rng_seed: RngSeed::Fixed(2026), ..new_cases() },
    }
}

proptest! {
    #![proptest_config(few_cases())]

    #[test]
    fn the_invariants_hold_whatever_happens_to_an_own_session(acts in acts()) {
        play(ProviderKind::Auto, acts);
    }
}

proptest! {
    #![proptest_config(new_cases())]

    #[test]
    fn the_invariants_hold_whatever_happens_to_a_hooked_one(acts in acts()) {
        play(ProviderKind::Hook, acts);
    }
}
