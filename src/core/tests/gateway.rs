//! What comes through the SDK gateway: numbered batches, each applied once, and the gateway itself.

use crate::core::{
    io::{Availability, Effect, Input, SavedState},
    testing::{Disk, World, exit, secs, settings},
};
use crate::model::{
    CustomData,
    allocation::ProviderKind,
    game::{Admission, BatchId, CustomDataOf, EventSource, GameBatch, GameEvent, GamePlayer, Kept},
    gateway_facts::GatewayFact,
    ids::{GatewayId, RunNumber},
    keeper::{KeeperFact, KeeperOrder},
    policy::Start,
    process::{ExitReport, ExitStatus, RunState},
    session::{InstanceHealth, JoinStatus},
    status::{GatewayStatus, PhaseName},
};
use proptest::prelude::*;
use std::time::Duration;

fn gateway(name: &str) -> GatewayId {
    GatewayId::new(name).unwrap()
}

fn batch_id(name: &str, batch: u64) -> BatchId {
    BatchId { gateway: gateway(name), batch }
}

/// The first run says this natively.
fn batch(number: u64, said: impl IntoIterator<Item = GameEvent>) -> GameBatch {
    let said = said.into_iter().map(|event| (EventSource::Native, event)).collect();
    GameBatch { gateway: gateway("g1"), number, run: RunNumber(1), said }
}

fn says(w: &mut World, number: u64, said: impl IntoIterator<Item = GameEvent>) {
    w.give(Input::GameBatch(batch(number, said)));
}

fn commits(w: &World) -> usize {
    w.seen.iter().filter(|effect| matches!(effect, Effect::Commit { .. })).count()
}

fn closed() -> GameEvent {
    GameEvent::Joinable(Admission::Closed)
}

fn open() -> GameEvent {
    GameEvent::Joinable(Admission::Open)
}

fn tick_rate(measured: u32) -> GameEvent {
    GameEvent::TickRate { measured: f64::from(measured), target: Some(1000.0) }
}

fn in_journal(w: &World, number: u64) -> bool {
    w.journal.as_ref().unwrap().contains(&format!(r#""gateway":{{"id":"g1","batch":{number}}}"#))
}

#[test]
fn a_batch_and_its_number_are_one_commit() {
    let mut w = World::serving(settings());
    w.say(GameEvent::Hello);
    let before = commits(&w);
    says(&mut w, 1, [GameEvent::Sdk("s".to_owned()), GameEvent::Keep(Kept::from("k".to_owned()))]);
    assert_eq!(commits(&w), before + 1);
    assert!(in_journal(&w, 1));
    assert_eq!(w.core.heard(), Some(batch_id("g1", 1)));
    w.kill_agent();
    assert_eq!(w.core.heard(), Some(batch_id("g1", 1)), "the next agent knows it");
    assert_eq!(w.status().game.sdk.as_deref(), Some("s"));
}

#[test]
fn a_batch_that_comes_again_is_passed_over_and_one_of_another_gateway_is_not() {
    let mut w = World::serving(settings());
    says(&mut w, 1, [closed()]);
    says(&mut w, 2, [open()]);
    for number in [1, 2, 1] {
        says(&mut w, number, [closed()]);
        assert_eq!(w.shown(), Some(JoinStatus::Joinable), "batch {number}");
    }
    w.kill_agent();
    says(&mut w, 1, [closed()]);
    assert_eq!(w.shown(), Some(JoinStatus::Joinable), "the next agent passes it over as well");
    w.give(Input::GameBatch(GameBatch { gateway: gateway("g2"), ..batch(1, [closed()]) }));
    assert_eq!(w.shown(), Some(JoinStatus::Unjoinable));
    assert_eq!(w.core.heard(), Some(batch_id("g2", 1)));
}

#[test]
fn what_changes_nothing_that_is_remembered_is_no_reason_for_a_commit() {
    let mut w = World::serving(settings());
    says(&mut w, 1, [GameEvent::Sdk("s".to_owned())]);
    let before = (commits(&w), w.journal.clone());
    for number in 2..1000 {
        let run = RunNumber(1);
        let said = vec![(EventSource::Native, tick_rate(1000 + number as u32)), (EventSource::Native, open())];
        w.give(Input::GameBatch(GameBatch { gateway: gateway("g1"), number, run, said }));
    }
    assert_eq!((commits(&w), w.journal.clone()), before);
    assert_eq!(w.core.heard(), Some(batch_id("g1", 999)), "this agent has applied them");
    says(&mut w, 1000, [closed()]);
    assert!(in_journal(&w, 1000));
    // The next commit, whatever it is for, writes down the newest number.
    says(&mut w, 1001, [tick_rate(1)]);
    w.say(open());
    assert!(in_journal(&w, 1001));
}

#[test]
fn a_batch_counts_as_heard_once_it_is_on_disk() {
    let mut w = World::serving(settings());
    says(&mut w, 1, [closed()]);
    w.disk = Disk::Silent;
    says(&mut w, 2, [open()]);
    assert_eq!((w.core.heard(), w.core.is_written()), (Some(batch_id("g1", 1)), false));
    says(&mut w, 2, [open()]);
    assert!(!w.core.is_written(), "that it comes again doesn't bring it to the disk");
    w.disk = Disk::Works;
    w.catch_up();
    assert_eq!((w.core.heard(), w.core.is_written()), (Some(batch_id("g1", 2)), true));
}

#[test]
fn the_numbers_of_a_run_end_with_it() {
    let mut w = World::serving(settings());
    says(&mut w, 7, [closed()]);
    w.game_exits(ExitStatus::Exited { code: 1 });
    assert_eq!(w.core.heard(), None);
    assert!(!w.journal.as_ref().unwrap().contains("gateway"));
    w.pass(secs(5));
    assert_eq!(w.keeper.starts, [1, 2]);
    says(&mut w, 8, [GameEvent::Sdk("old".to_owned())]);
    assert_eq!((w.core.heard(), w.status().game.sdk), (None, None), "said by a run that is over");
    let first = GameBatch { run: RunNumber(2), ..batch(1, [GameEvent::Sdk("new".to_owned())]) };
    w.give(Input::GameBatch(first));
    assert_eq!((w.core.heard(), w.status().game.sdk), (Some(batch_id("g1", 1)), Some("new".to_owned())));
}

#[test]
fn an_end_that_a_late_batch_announces_is_orderly() {
    let mut w = World::serving(settings());
    w.game_exits(ExitStatus::Exited { code: 1 });
    assert_eq!(w.status().game.restarts, 1);
    says(&mut w, 3, [tick_rate(1), GameEvent::Shutdown]);
    assert_eq!(w.status().last_end.unwrap().reason, "the game ended, as it had said");
}

#[test]
fn the_keepers_record_says_which_batch_it_has_the_effects_of() {
    let mut w = World::new(settings());
    says(&mut w, 4, [GameEvent::Sdk("s".to_owned()), GameEvent::Ready]);
    let mut records = w.seen.iter().filter_map(|effect| match effect {
        Effect::Keeper(KeeperOrder::Record { text }) => Some(text),
        _ => None,
    });
    let record = records.next_back().unwrap();
    assert!(record.contains(r#""sdk":"s""#) && record.contains(r#""gateway":{"id":"g1","batch":4}"#), "{record}");
    w.wake(SavedState::SetAside { why: "damaged".into(), text: None });
    assert_eq!(w.core.heard(), Some(batch_id("g1", 4)));
}

/// The agent dies, and the game says that it ends, and does; its last words lie with the keeper.
fn ended_meanwhile(w: &mut World) -> GameBatch {
    w.allocates = false;
    let RunState::Running { run, started, .. } = w.keeper.run else { panic!("no game runs") };
    let report = ExitReport {
        last_words: Some("opaque".to_owned()),
        ..exit(run, ExitStatus::Exited { code: 1 }, started, w.now().wall)
    };
    w.keeper.run = RunState::Exited { report };
    batch(9, [GameEvent::Shutdown])
}

#[test]
fn last_words_make_an_end_orderly_that_the_agent_sees() {
    let mut w = World::serving(settings());
    let words = ended_meanwhile(&mut w);
    let RunState::Exited { report } = w.keeper.run.clone() else { panic!() };
    w.give(Input::GameBatch(words));
    w.give(Input::Keeper(KeeperFact::Exited(report)));
    let end = w.status().last_end.unwrap();
    assert_eq!(end.reason, "the game ended, as it had said");
    assert_eq!(end.exit.unwrap().last_words, None, "they aren't kept for ever");
    assert_eq!(w.status().game.restarts, 0);
}

#[test]
fn last_words_make_an_end_orderly_that_happened_while_no_agent_was_there() {
    let journal = |w: &World| SavedState::Journal(w.journal.clone().unwrap().into());
    let lost = |_: &World| SavedState::SetAside { why: "damaged".into(), text: None };
    for saved in [journal, lost] {
        let mut w = World::serving(settings());
        let words = ended_meanwhile(&mut w);
        let saved = saved(&w);
        w.last_words = Some(words);
        w.wake(saved);
        assert_eq!(w.shown(), Some(JoinStatus::Closed));
        assert_eq!(w.status().last_end.unwrap().reason, "the game ended, as it had said");
        assert!(matches!(w.keeper.run, RunState::Empty), "taken");
        assert_eq!(w.keeper.starts, [1], "no restart");
    }
}

/// A warm game that is ready, in the hands of a new agent, which is free to offer it.
fn taken_over() -> World {
    let mut s = settings();
    s.provider = ProviderKind::Hook;
    s.launch.start = Start::AtBoot;
    let mut w = World::new(s);
    w.say(GameEvent::Ready);
    assert!(is_offered(&w));
    w.catches_up = false;
    w.kill_agent();
    w
}

fn is_offered(w: &World) -> bool {
    matches!(w.offer, Some(Availability::Free { .. }))
}

#[test]
fn an_agent_that_takes_a_game_over_first_hears_what_it_said_meanwhile() {
    let mut w = taken_over();
    assert!(!is_offered(&w));
    says(&mut w, 1, [GameEvent::Offer(Admission::Closed)]);
    w.give(Input::Gateway(GatewayFact::Heard));
    assert!(!is_offered(&w), "it holds itself back");
    w.kill_agent();
    says(&mut w, 2, [GameEvent::Offer(Admission::Open)]);
    assert!(!is_offered(&w));
    w.give(Input::Gateway(GatewayFact::Heard));
    assert!(is_offered(&w));
    w.connect();
    assert!(is_offered(&w), "its keeper coming back is no reason to wait again");
}

#[test]
fn an_agent_that_takes_a_game_over_waits_for_its_gateway_no_longer_than_2_s() {
    let mut w = taken_over();
    w.pass(Duration::from_millis(1999));
    assert!(!is_offered(&w));
    w.pass(Duration::from_millis(1));
    assert!(is_offered(&w));
}

fn linked(pid: i32) -> Input {
    Input::Gateway(GatewayFact::Linked { pid, build: "1.0.0".to_owned(), in_process: false })
}

fn lost() -> Input {
    Input::Gateway(GatewayFact::Lost { why: "signal 9".to_owned() })
}

#[test]
fn the_status_shows_the_gateway_and_the_timeline_its_loss_and_the_match_plays_on() {
    let mut w = World::serving(settings());
    assert_eq!(w.status().gateway, None);
    w.give(linked(5));
    let shown = |connected| {
        Some(GatewayStatus { pid: 5, build: "1.0.0".to_owned(), connected, in_process: false, memory: None })
    };
    assert_eq!(w.status().gateway, shown(true));
    w.seen.clear();
    w.give(lost());
    assert_eq!(w.status().gateway, shown(false));
    assert_eq!(w.timeline(), ["the SDK gateway is gone: signal 9"]);
    assert_eq!((w.status().phase, w.status().instance_health), (PhaseName::Serving, InstanceHealth::Healthy));
    w.allocates = false;
    w.game_exits(ExitStatus::Exited { code: 0 });
    assert_eq!(w.status().gateway, None, "it served that run");
    w.give(linked(6));
    w.seen.clear();
    w.give(lost());
    assert_eq!((w.timeline(), w.status().gateway), (Vec::new(), None), "no game misses it");
}

/// What happens between a gateway and the agents that it outlives.
#[derive(Debug, Clone)]
enum Step {
    /// The next batch; while the one before it isn't acknowledged, that one again.
    Says(Vec<(EventSource, GameEvent)>),
    /// A batch that was sent so many batches ago comes again.
    Repeats(usize),
    /// The agent crashes; the next one gets what isn't acknowledged.
    Crash,
    Disk(Disk),
}

fn statements() -> impl Strategy<Value = (EventSource, GameEvent)> {
    let gate = || prop_oneof![Just(Admission::Open), Just(Admission::Closed)];
    let player = |number: u8| GamePlayer { id: format!("p{number}"), name: None, team: None };
    let data = |number: u8| CustomData::from([("k".to_owned(), format!("v{number}"))]);
    let event = prop_oneof![
        gate().prop_map(GameEvent::Joinable),
        gate().prop_map(GameEvent::Offer),
        (0u8..3).prop_map(move |number| GameEvent::PlayerJoined(player(number))),
        (0u8..3).prop_map(|number| GameEvent::PlayerLeft { id: format!("p{number}") }),
        (0u8..3).prop_map(move |count| GameEvent::Players((0..count).map(player).collect())),
        (0u8..3).prop_map(|number| GameEvent::Map { map: Some(format!("m{number}")), mode: None }),
        (0u8..3).prop_map(|number| GameEvent::MatchStarted { match_id: Some(format!("m{number}").parse().unwrap()) }),
        (0u8..3).prop_map(move |number| GameEvent::CustomData { whose: CustomDataOf::Instance, data: data(number) }),
        (0u8..3).prop_map(|number| GameEvent::Keep(Kept::from(format!("k{number}")))),
        (0u8..3).prop_map(|number| GameEvent::Sdk(format!("s{number}"))),
        (0u32..3).prop_map(tick_rate),
        Just(GameEvent::Hello),
        Just(GameEvent::Heartbeat),
    ];
    (prop_oneof![Just(EventSource::Native), Just(EventSource::Agones)], event)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => proptest::collection::vec(statements(), 0..4).prop_map(Step::Says),
        3 => (0usize..4).prop_map(Step::Repeats),
        2 => Just(Step::Crash),
        2 => prop_oneof![Just(Disk::Works), Just(Disk::Silent)].prop_map(Step::Disk),
    ];
    proptest::collection::vec(step, 1..40)
}

/// A gateway that sends a batch until it is acknowledged, and then the next.
struct Gateway {
    world: World,
    sent: Vec<GameBatch>,
    acknowledged: usize,
}

impl Gateway {
    fn new() -> Self {
        Gateway { world: World::serving(settings()), sent: Vec::new(), acknowledged: 0 }
    }

    fn send(&mut self, at: usize) {
        self.world.give(Input::GameBatch(self.sent[at].clone()));
        self.look();
    }

    /// Everything that was given to the agent is on disk: nothing needs to be kept.
    fn look(&mut self) {
        let heard = self.world.core.heard().map_or(0, |id| id.batch as usize);
        assert!(heard <= self.sent.len());
        self.acknowledged = self.acknowledged.max(heard);
    }

    fn deliver(&mut self) {
        for at in self.acknowledged..self.sent.len() {
            self.send(at);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Says(said) => {
                if self.acknowledged == self.sent.len() {
                    let number = self.sent.len() as u64 + 1;
                    self.sent.push(GameBatch { said, ..batch(number, []) });
                }
                self.send(self.sent.len() - 1);
            }
            Step::Repeats(ago) => {
                if let Some(at) = self.sent.len().checked_sub(ago + 1) {
                    self.send(at);
                }
            }
            Step::Crash => {
                self.world.kill_agent();
                self.deliver();
            }
            Step::Disk(disk) => {
                self.world.disk = disk;
                self.world.catch_up();
                self.look();
            }
        }
    }

    /// What the game has said, as the agent knows it.
    fn state(&self) -> String {
        let (facts, status) = (&self.world.core.facts, self.world.status());
        format!("{:?} {:?} {:?} {:?}", facts.words, status.players_known, status.match_id, status.join_status)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn repeats_and_crashes_come_to_the_same_as_each_batch_once_in_order(steps in steps()) {
        let mut gateway = Gateway::new();
        for step in steps {
            gateway.step(step);
        }
        gateway.step(Step::Disk(Disk::Works));
        gateway.step(Step::Crash);
        let mut once = Gateway::new();
        once.sent.clone_from(&gateway.sent);
        for at in 0..once.sent.len() {
            once.send(at);
        }
        prop_assert_eq!(gateway.state(), once.state());
    }
}
