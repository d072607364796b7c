//! What may happen: to the agent, its game, its keeper, the session service and the disk.

use crate::{
    core::testing::{Disk, Net, secs},
    model::{
        calls::Refusal,
        game::{Admission, EventSource, GameEvent, GamePlayer, Kept},
        gateway_facts::GatewayFact,
        policy::Start,
        session::InstanceHealth,
    },
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(super) enum Act {
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
    /// A batch of one of two gateways: the next, or the one that it sent so many batches ago.
    Batch {
        gateway: usize,
        ago: usize,
        said: Vec<(EventSource, GameEvent)>,
    },
    /// The game sends a heartbeat; whoever counts them tells of it when asked.
    Beat(EventSource),
    /// Whoever counts heartbeats answers from now on, or doesn't.
    Counts(bool),
    Gateway(GatewayFact),
    /// From now on a gateway has something to deliver to each new agent, or hasn't.
    Owes(bool),
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
        2 => Just(GameEvent::MatchEnded { allocation: None }),
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

fn batches() -> impl Strategy<Value = Act> {
    let word = prop_oneof![8 => words(), 1 => Just(GameEvent::Ready), 1 => Just(tick_rate())];
    let said = proptest::collection::vec((sources(), word), 0..4);
    let ago = prop_oneof![3 => Just(0), 2 => 1usize..4];
    (0usize..2, ago, said).prop_map(|(gateway, ago, said)| Act::Batch { gateway, ago, said })
}

fn tick_rate() -> GameEvent {
    GameEvent::TickRate { measured: 20.0, target: Some(30.0) }
}

fn gateway_facts() -> impl Strategy<Value = GatewayFact> {
    prop_oneof![
        (1i32..3).prop_map(|pid| GatewayFact::Linked { pid, build: "1".into(), in_process: false }),
        Just(GatewayFact::Heard),
        Just(GatewayFact::Lost { why: "gone".into() }),
    ]
}

pub(super) fn starts() -> impl Strategy<Value = Start> {
    prop_oneof![Just(Start::OnAllocation), Just(Start::AtBoot)]
}

pub(super) fn acts() -> impl Strategy<Value = Vec<Act>> {
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
        2 => Just(Act::Terminate),
        1 => Just(Act::Stop),
        2 => Just(Act::Detach),
        1 => Just(Act::SlowKeeper),
        1 => Just(Act::Gap),
        1 => Just(Act::SessionGone),
        1 => Just(Act::TakenAway),
        2 => Just(Act::Heartbeats),
        8 => batches(),
        2 => sources().prop_map(Act::Beat),
        2 => any::<bool>().prop_map(Act::Counts),
        2 => gateway_facts().prop_map(Act::Gateway),
        1 => any::<bool>().prop_map(Act::Owes),
        2 => any::<bool>().prop_map(Act::Evidence),
        1 => (0u8..4).prop_map(Act::Deallocated),
        1 => Just(Act::Reload),
    ];
    proptest::collection::vec(act, 1..50)
}
