//! The gRPC wire and the SDK server, with a driver that only takes note.

mod transitions;

use super::{
    HealthSpec, Settings,
    counters_lists::{Counter, List},
    grpc, proto,
    sdk_server::SdkServer,
};
use crate::{
    frontends::testing::{Recorder, TestDriver, warm_status},
    model::{
        game::{EventSource, GameEvent, IfTaken},
        ids::RunNumber,
        status::{GameStatus, Status},
    },
};
use axum::{body::Body, extract::Request};
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use prost::Message;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tower::ServiceExt as _;

fn settings() -> Settings {
    Settings {
        grpc: ([127, 0, 0, 1], 0).into(),
        http: ([127, 0, 0, 1], 0).into(),
        if_taken: IfTaken::Move,
        health: HealthSpec {
            disabled: true,
            period: Duration::from_secs(5),
            failure_threshold: 3,
            initial_delay: Duration::from_secs(5),
        },
        counters: BTreeMap::from([("rooms".to_owned(), Counter { count: 1, capacity: 10 })]),
        lists: BTreeMap::from([("players".to_owned(), List { capacity: 2, values: vec!["a".to_owned()] })]),
        player_capacity: None,
        players_list: Some("players".to_owned()),
        players_counter: None,
        public: None,
        private: None,
    }
}

/// An SDK server, and what its driver has noted.
struct Fixture {
    sdk: Arc<SdkServer>,
    driver: Recorder,
}

fn fixture(status: Status) -> Fixture {
    let driver = TestDriver::new(status).record(EventSource::Agones);
    Fixture { sdk: SdkServer::new(settings(), driver.shared.clone()), driver }
}

impl Fixture {
    /// A procedure with one message in: the code, and the messages that came out.
    async fn call<Out: Message + Default>(&self, name: &str, asked: &impl Message) -> (i32, Vec<Out>) {
        let router = grpc::router(Arc::clone(&self.sdk));
        let mut frame = vec![0];
        frame.extend(u32::try_from(asked.encoded_len()).unwrap().to_be_bytes());
        frame.extend(asked.encode_to_vec());
        let request = Request::post(format!("/agones.dev.{name}")).header("content-type", "application/grpc");
        let response = router.oneshot(request.body(Body::from(frame)).unwrap()).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/grpc");
        let early = response.headers().get("grpc-status").cloned();
        let body = response.into_body().collect().await.unwrap();
        let late = body.trailers().and_then(|trailers| trailers.get("grpc-status").cloned());
        let code = early.or(late).expect("a code").to_str().unwrap().parse().unwrap();
        let bytes = body.to_bytes();
        let mut rest = bytes.as_ref();
        let mut messages = Vec::new();
        while let Some((head, body)) = rest.split_at_checked(5) {
            let (message, next) = body.split_at(u32::from_be_bytes(head[1..].try_into().unwrap()) as usize);
            messages.push(Out::decode(message).unwrap());
            rest = next;
        }
        (code, messages)
    }
}

#[tokio::test]
async fn procedures_do_what_they_are_called_and_events_come_in_order() {
    let fixture = fixture(warm_status());
    let (code, out) = fixture.call::<proto::Empty>("sdk.SDK/Ready", &proto::Empty {}).await;
    assert_eq!((code, out.len()), (0, 1));
    let events = fixture.driver.take();
    assert!(
        matches!(
            events[..],
            [GameEvent::Heartbeat, GameEvent::Ready, GameEvent::Offer(_), GameEvent::SdkState(_), GameEvent::Keep(_)]
        ),
        "{events:?}"
    );
    let label = proto::KeyValue { key: "a".to_owned(), value: "b".to_owned() };
    assert_eq!(fixture.call::<proto::Empty>("sdk.SDK/SetLabel", &label).await.0, 0);
    let (code, servers) = fixture.call::<proto::GameServer>("sdk.SDK/GetGameServer", &proto::Empty {}).await;
    assert_eq!((code, servers.len()), (0, 1));
    assert_eq!(servers[0].object_meta.as_ref().unwrap().labels["agones.dev/sdk-a"], "b");
    assert_eq!(servers[0].status.as_ref().unwrap().state, "Ready");
    let value = |value: &str| proto::ListValue { name: "players".to_owned(), value: value.to_owned() };
    let add = "sdk.beta.SDK/AddListValue";
    assert_eq!(fixture.call::<proto::List>(add, &value("b")).await.1[0].values, ["a", "b"]);
    assert_eq!(fixture.call::<proto::List>(add, &value("b")).await.0, 6);
    assert_eq!(fixture.call::<proto::List>(add, &value("c")).await.0, 11);
    assert!(fixture.driver.take().iter().any(|said| matches!(said, GameEvent::Players(all) if all.len() == 2)));
    let empty_mask = proto::UpdateList {
        list: Some(proto::List { name: "players".to_owned(), capacity: 1, values: Vec::new() }),
        update_mask: None,
    };
    assert_eq!(fixture.call::<proto::List>("sdk.beta.SDK/UpdateList", &empty_mask).await.1[0].values, ["a"]);
    assert_eq!(fixture.call::<proto::Empty>("sdk.SDK/Nothing", &proto::Empty {}).await.0, 12);
}

#[tokio::test]
async fn the_next_agent_knows_what_was_kept_and_nothing_of_another_run() {
    let first = fixture(warm_status());
    first.sdk.label("a", "b").await.unwrap();
    first.sdk.reserve(3600).await.unwrap();
    let mut later = warm_status();
    keep(&mut later, first.driver.take());
    let second = fixture(later.clone());
    let server = second.sdk.snapshot().game_server.clone();
    assert_eq!(server.object_meta.unwrap().labels["agones.dev/sdk-a"], "b");
    assert_eq!(server.status.unwrap().state, "Reserved");
    later.game = GameStatus { run: Some(RunNumber(8)), ..GameStatus::default() };
    second.driver.status.send_replace(Arc::new(later));
    let server = second.sdk.snapshot().game_server.clone();
    assert!(server.object_meta.unwrap().labels.is_empty());
}

/// The agent keeps what is said.
fn keep(status: &mut Status, said: Vec<GameEvent>) {
    for event in said {
        match event {
            GameEvent::Keep(kept) => drop(status.game.kept.insert(EventSource::Agones, kept)),
            GameEvent::KeepAside(kept) => drop(status.game.kept_aside.insert(EventSource::Agones, kept)),
            _ => {}
        }
    }
}

fn is_aside(event: &GameEvent) -> bool {
    matches!(event, GameEvent::KeepAside(_))
}

fn uuids(count: u32) -> Vec<String> {
    (0..count).map(|n| uuid::Uuid::from_u128(u128::from(n) << 64).to_string()).collect()
}

#[tokio::test]
async fn a_list_of_a_thousand_uuids_is_kept_and_said_again_only_when_it_changes() {
    let fixture = fixture(warm_status());
    let list = proto::List { name: "players".to_owned(), capacity: 1000, values: uuids(1000) };
    let mask = proto::FieldMask { paths: vec!["capacity".to_owned(), "values".to_owned()] };
    let update = proto::UpdateList { list: Some(list.clone()), update_mask: Some(mask) };
    let (code, lists) = fixture.call::<proto::List>("sdk.beta.SDK/UpdateList", &update).await;
    assert_eq!((code, &lists[0].values), (0, &list.values));
    let mut later = warm_status();
    keep(&mut later, fixture.driver.take());
    fixture.sdk.ready().await.unwrap();
    let counter = proto::CounterUpdate { name: "rooms".to_owned(), count_diff: 1, ..proto::CounterUpdate::default() };
    fixture.sdk.update_counter(&counter).await.unwrap();
    fixture.sdk.reserve(60).await.unwrap();
    let said = fixture.driver.take();
    assert!(!said.iter().any(is_aside), "{said:?}");
    let longest = said.iter().filter_map(|event| match event {
        GameEvent::Keep(kept) => Some(kept.as_str().len()),
        _ => None,
    });
    assert!(longest.max().unwrap() < 512);
    keep(&mut later, said);
    let next = self::fixture(later);
    let server = next.sdk.snapshot().game_server.clone();
    let status = server.status.unwrap();
    assert_eq!((&status.lists["players"].values, status.counters["rooms"].count), (&list.values, 2));
    assert_eq!(status.state, "Reserved");
    next.sdk.label("a", "b").await.unwrap();
    assert!(next.driver.take().iter().any(is_aside));
}

#[tokio::test]
async fn what_an_earlier_gateway_kept_in_one_text_is_read_and_kept_in_two() {
    let mut status = warm_status();
    let book = r#"{"own":"ready","spoken":true,"labels":{"agones.dev/sdk-a":"b"},"annotations":{},
        "counters":{"rooms":{"count":7,"capacity":10}},"lists":{"players":{"capacity":2,"values":["x"]}},
        "players":{"capacity":3,"ids":["ada"]},"allocation":null,"returned":null}"#;
    keep(&mut status, vec![GameEvent::Keep(book.to_owned().into())]);
    let first = fixture(status.clone());
    let before = first.sdk.snapshot().game_server.status.clone().unwrap();
    assert_eq!((&*before.state, before.counters["rooms"].count), ("Ready", 7));
    assert_eq!(
        (&*before.lists["players"].values, &*before.players.as_ref().unwrap().ids),
        (&["x".to_owned()][..], &["ada".to_owned()][..])
    );
    let mut acknowledged = first.driver.shared.queue.watch();
    acknowledged.wait_for(|done| *done > 0).await.unwrap();
    keep(&mut status, first.driver.take());
    assert!(!status.game.kept_aside.is_empty(), "it is said at once");
    let after = fixture(status).sdk.snapshot().game_server.status.clone().unwrap();
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_damaged_or_lost_part_of_what_was_kept_leaves_the_rest() {
    let first = fixture(warm_status());
    first.sdk.label("a", "b").await.unwrap();
    first.sdk.reserve(3600).await.unwrap();
    let mut status = warm_status();
    keep(&mut status, first.driver.take());
    for aside in [None, Some("{broken".to_owned()), Some("[]".to_owned()), Some(r#"{"lists":7}"#.to_owned())] {
        status.game.kept_aside = aside.map(|text| (EventSource::Agones, text.into())).into_iter().collect();
        let later = fixture(status.clone()).sdk.snapshot().game_server.clone();
        let shown = later.status.unwrap();
        assert_eq!((&*shown.state, &*shown.lists["players"].values), ("Reserved", &["a".to_owned()][..]));
    }
}

#[tokio::test]
async fn a_change_between_the_first_state_and_the_stream_is_in_the_stream() {
    let fixture = fixture(warm_status());
    let mut watch = fixture.sdk.watch().unwrap();
    let mut slow = fixture.sdk.watch().unwrap();
    for round in 0..100 {
        fixture.sdk.label("round", &round.to_string()).await.unwrap();
    }
    let round = |server: &proto::GameServer| server.object_meta.as_ref()?.labels.get("agones.dev/sdk-round").cloned();
    assert_eq!(round(&watch.next().await.game_server), None, "the state as it was");
    while round(&watch.next().await.game_server).as_deref() != Some("99") {}
    // One that reads now for the first time has the newest within what is kept.
    let mut states = 0;
    while round(&slow.next().await.game_server).as_deref() != Some("99") {
        states += 1;
    }
    assert!(states <= 33, "{states}");
}

#[tokio::test]
async fn more_than_can_be_kept_is_refused_whole() {
    let fixture = fixture(warm_status());
    let long = "x".repeat(4000);
    let mut refused = None;
    for round in 0..10 {
        refused = fixture.sdk.annotate(&format!("k{round}"), &long).await.err().or(refused);
    }
    assert_eq!(refused.unwrap().code, super::error::Code::ResourceExhausted);
    let kept = fixture.sdk.snapshot().game_server.object_meta.as_ref().unwrap().annotations.len();
    assert!((1..10).contains(&kept), "{kept}");
    fixture.sdk.label("small", "fits").await.unwrap();
    fixture.sdk.annotate("k0", "shorter").await.unwrap();
    fixture.sdk.annotate("k9", &"x".repeat(3000)).await.unwrap();

    let fill = |length: usize| proto::UpdateList {
        list: Some(proto::List {
            name: "players".to_owned(),
            capacity: 1000,
            values: (0..1000).map(|n| format!("{n:03}{}", "x".repeat(length))).collect(),
        }),
        update_mask: Some(proto::FieldMask { paths: vec!["capacity".to_owned(), "values".to_owned()] }),
    };
    let before = fixture.sdk.snapshot();
    let (code, _) = fixture.call::<proto::List>("sdk.beta.SDK/UpdateList", &fill(250)).await;
    assert_eq!(code, 8, "RESOURCE_EXHAUSTED: with the labels it is more than 256 KiB");
    assert!(Arc::ptr_eq(&before, &fixture.sdk.snapshot()), "nothing has changed");
    let (code, _) = fixture.call::<proto::List>("sdk.beta.SDK/UpdateList", &fill(200)).await;
    assert_eq!(code, 0);
}

#[tokio::test]
async fn pings_are_counted_and_change_nothing() {
    let fixture = fixture(warm_status());
    let before = fixture.sdk.snapshot();
    fixture.sdk.ping().await.unwrap();
    let first = fixture.driver.take();
    assert!(
        matches!(first[..], [GameEvent::Hello, GameEvent::Heartbeat, GameEvent::Keep(_)]),
        "that the SDK is used is saved: {first:?}"
    );
    for _ in 0..1000 {
        fixture.sdk.ping().await.unwrap();
    }
    assert_eq!(fixture.driver.take(), []);
    let counted = fixture.driver.shared.heartbeats.take(crate::host::clock::mono());
    assert_eq!(
        counted.iter().map(|heartbeat| (heartbeat.source, heartbeat.count)).collect::<Vec<_>>(),
        [(EventSource::Agones, 1000)]
    );
    assert!(Arc::ptr_eq(&before, &fixture.sdk.snapshot()), "nothing new to show");
}

#[tokio::test]
async fn the_verdict_on_its_health_is_shown_and_only_pings_and_shutdown_lead_out() {
    let fixture = fixture(warm_status());
    fixture.sdk.ready().await.unwrap();
    let shown = || fixture.sdk.snapshot().game_server.status.as_ref().unwrap().state.clone();
    let judge = |unhealthy| {
        let mut status = warm_status();
        status.game.ready = true;
        status.game.pings_stopped = unhealthy;
        fixture.driver.status.send_replace(Arc::new(status));
    };
    judge(true);
    assert_eq!(shown(), "Unhealthy");
    for refused in [fixture.sdk.ready().await, fixture.sdk.allocate().await, fixture.sdk.reserve(5).await] {
        assert_eq!(refused.unwrap_err().code, super::error::Code::FailedPrecondition);
    }
    fixture.driver.take();
    fixture.sdk.ping().await.unwrap();
    assert_eq!(fixture.driver.take(), [GameEvent::Heartbeat], "the core hears of it before it is answered");
    judge(false);
    assert_eq!(shown(), "Ready");
    judge(true);
    fixture.sdk.shutdown().await.unwrap();
    assert_eq!(shown(), "Shutdown");
}

#[tokio::test]
async fn what_is_read_was_acknowledged_and_a_withdrawn_call_was_never_applied() {
    let driver = TestDriver::new(warm_status());
    let sdk = SdkServer::new(settings(), driver.shared.clone());
    let queue = &driver.shared.queue;
    let label =
        |sdk: &SdkServer, key: &str| sdk.snapshot().game_server.object_meta.clone().unwrap().labels.get(key).cloned();
    let mut first = Box::pin(sdk.label("first", "1"));
    assert!(first.as_mut().now_or_never().is_none());
    assert_eq!(label(&sdk, "agones.dev/sdk-first"), None, "it is under way");
    let withdrawn = Box::pin(sdk.label("withdrawn", "1"));
    let mut last = Box::pin(sdk.label("last", "1"));
    let mut withdrawn = withdrawn;
    assert!(withdrawn.as_mut().now_or_never().is_none() && last.as_mut().now_or_never().is_none());
    drop(withdrawn);
    queue.acknowledge(queue.out().unwrap().number);
    assert_eq!(label(&sdk, "agones.dev/sdk-first").as_deref(), Some("1"));
    first.await.unwrap();
    assert!(last.as_mut().now_or_never().is_none(), "it is evaluated now");
    queue.acknowledge(queue.out().unwrap().number);
    last.await.unwrap();
    assert_eq!(label(&sdk, "agones.dev/sdk-last").as_deref(), Some("1"));
    assert_eq!(label(&sdk, "agones.dev/sdk-withdrawn"), None);
}

#[tokio::test]
async fn without_an_agent_pings_and_reads_are_answered_and_calls_wait() {
    let driver = TestDriver::new(warm_status());
    let sdk = SdkServer::new(settings(), driver.shared.clone());
    let queue = &driver.shared.queue;
    queue.set_agent(false);
    for _ in 0..3 {
        sdk.ping().now_or_never().expect("at once").unwrap();
    }
    assert_eq!(sdk.snapshot().game_server.status.as_ref().unwrap().state, "Scheduled");
    let mut ready = Box::pin(sdk.ready());
    assert!(ready.as_mut().now_or_never().is_none());
    queue.set_agent(true);
    assert!(ready.as_mut().now_or_never().is_none());
    let said: Vec<_> = queue.out().unwrap().messages.iter().map(|message| message.event.clone()).collect();
    assert!(
        matches!(
            said[..],
            [GameEvent::Hello, GameEvent::Ready, GameEvent::Offer(_), GameEvent::SdkState(_), GameEvent::Keep(_)]
        ),
        "{said:?}"
    );
    queue.acknowledge(1);
    ready.await.unwrap();
    let counted = driver.shared.heartbeats.take(crate::host::clock::mono());
    assert_eq!((counted.len(), counted[0].count), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_ping_never_fails_while_a_game_runs() {
    let driver = TestDriver::new(warm_status());
    let sdk = SdkServer::new(settings(), driver.shared.clone());
    // An agent is there, and acknowledges nothing.
    for _ in 0..2 {
        sdk.ping().await.unwrap();
    }
    let mut unhealthy = warm_status();
    unhealthy.game.pings_stopped = true;
    driver.status.send_replace(Arc::new(unhealthy));
    sdk.ping().await.unwrap();
    let counted = driver.shared.heartbeats.take(crate::host::clock::mono());
    assert_eq!((counted.len(), counted[0].count), (1, 3));
    driver.status.send_replace(Arc::new(Status { game: GameStatus::default(), ..warm_status() }));
    sdk.ping().await.unwrap();
}

#[tokio::test]
async fn a_snapshot_is_encoded_once_and_both_wires_say_the_same() {
    let fixture = fixture(warm_status());
    let snapshot = fixture.sdk.snapshot();
    assert_eq!(snapshot.protobuf().as_ptr(), fixture.sdk.snapshot().protobuf().as_ptr());
    assert_eq!(snapshot.json().as_ptr(), fixture.sdk.snapshot().json().as_ptr());
    let decoded = proto::GameServer::decode(snapshot.protobuf()).unwrap();
    assert_eq!(decoded, snapshot.game_server);
    let (_, called) = fixture.call::<proto::GameServer>("sdk.SDK/GetGameServer", &proto::Empty {}).await;
    assert_eq!(called, [decoded]);
}
