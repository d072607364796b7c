//! The gRPC wire and the sdk, with a driver that only takes note.

mod transitions;

use super::{
    Settings,
    counters_lists::{Counter, List},
    grpc, health, proto,
    sdk_server::SdkServer,
};
use crate::{
    frontends::testing::{self, Driver},
    model::{
        game::{EventSource, GameEvent, IfTaken},
        ids::RunNumber,
        status::{GameStatus, PhaseName, Status},
    },
};
use axum::{body::Body, extract::Request};
use http_body_util::BodyExt as _;
use prost::Message;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::watch;
use tower::ServiceExt as _;

fn settings() -> Settings {
    Settings {
        grpc: ([127, 0, 0, 1], 0).into(),
        http: ([127, 0, 0, 1], 0).into(),
        if_taken: IfTaken::Move,
        health: health::Settings {
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

/// A warm game that no match is served by.
fn status() -> Status {
    let playing = testing::status();
    let game = GameStatus { run: Some(testing::RUN), pid: Some(42), ..GameStatus::default() };
    Status { phase: PhaseName::Idle, map: None, players: 0, max_players: None, game, ..playing }
}

/// A sdk, and the driver's end of it.
struct House {
    sdk: Arc<SdkServer>,
    heard: Arc<Mutex<Vec<GameEvent>>>,
    status: watch::Sender<Arc<Status>>,
}

fn house(status: Status) -> House {
    let (shared, driver) = testing::shared(status);
    let Driver { mut game_messages, operator_requests, liveness, status, tokens } = driver;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heard);
    tokio::spawn(async move {
        let _ends = (operator_requests, liveness, tokens);
        while let Some(word) = game_messages.recv().await {
            assert_eq!((word.run, word.source), (testing::RUN, EventSource::Agones));
            noted.lock().unwrap().push(word.event);
            if let Some(committed) = word.committed {
                let _ = committed.send(());
            }
        }
    });
    House { sdk: SdkServer::new(settings(), shared), heard, status }
}

impl House {
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

    fn heard(&self) -> Vec<GameEvent> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

#[tokio::test]
async fn procedures_do_what_they_are_called_and_words_come_in_order() {
    let house = house(status());
    let (code, out) = house.call::<proto::Empty>("sdk.SDK/Ready", &proto::Empty {}).await;
    assert_eq!((code, out.len()), (0, 1));
    let heard = house.heard();
    assert!(matches!(heard[..], [GameEvent::Ready, GameEvent::Offer(_), GameEvent::Keep(_)]), "{heard:?}");
    let label = proto::KeyValue { key: "a".to_owned(), value: "b".to_owned() };
    assert_eq!(house.call::<proto::Empty>("sdk.SDK/SetLabel", &label).await.0, 0);
    let (code, servers) = house.call::<proto::GameServer>("sdk.SDK/GetGameServer", &proto::Empty {}).await;
    assert_eq!((code, servers.len()), (0, 1));
    assert_eq!(servers[0].object_meta.as_ref().unwrap().labels["agones.dev/sdk-a"], "b");
    assert_eq!(servers[0].status.as_ref().unwrap().state, "Ready");
    let value = |value: &str| proto::ListValue { name: "players".to_owned(), value: value.to_owned() };
    let add = "sdk.beta.SDK/AddListValue";
    assert_eq!(house.call::<proto::List>(add, &value("b")).await.1[0].values, ["a", "b"]);
    assert_eq!(house.call::<proto::List>(add, &value("b")).await.0, 6);
    assert_eq!(house.call::<proto::List>(add, &value("c")).await.0, 11);
    assert!(house.heard().iter().any(|said| matches!(said, GameEvent::Players(all) if all.len() == 2)));
    let empty_mask = proto::UpdateList {
        list: Some(proto::List { name: "players".to_owned(), capacity: 1, values: Vec::new() }),
        update_mask: None,
    };
    assert_eq!(house.call::<proto::List>("sdk.beta.SDK/UpdateList", &empty_mask).await.1[0].values, ["a"]);
    assert_eq!(house.call::<proto::Empty>("sdk.SDK/Nothing", &proto::Empty {}).await.0, 12);
}

#[tokio::test]
async fn the_next_agent_knows_what_was_kept_and_nothing_of_another_run() {
    let first = house(status());
    first.sdk.label("a", "b").await.unwrap();
    first.sdk.reserve(3600).await.unwrap();
    let kept = first.heard().into_iter().rev().find_map(|said| match said {
        GameEvent::Keep(kept) => Some(kept),
        _ => None,
    });
    let mut later = status();
    later.game.kept = BTreeMap::from([(EventSource::Agones, kept.unwrap())]);
    let second = house(later.clone());
    let server = second.sdk.snapshot().game_server.clone();
    assert_eq!(server.object_meta.unwrap().labels["agones.dev/sdk-a"], "b");
    assert_eq!(server.status.unwrap().state, "Reserved");
    later.game = GameStatus { run: Some(RunNumber(8)), ..GameStatus::default() };
    second.status.send_replace(Arc::new(later));
    let server = second.sdk.snapshot().game_server.clone();
    assert!(server.object_meta.unwrap().labels.is_empty());
}

#[tokio::test]
async fn a_change_between_the_first_state_and_the_stream_is_in_the_stream() {
    let house = house(status());
    let mut watch = house.sdk.watch().unwrap();
    let mut slow = house.sdk.watch().unwrap();
    for round in 0..100 {
        house.sdk.label("round", &round.to_string()).await.unwrap();
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
    let house = house(status());
    let long = "x".repeat(4000);
    let mut refused = None;
    for round in 0..10 {
        refused = house.sdk.annotate(&format!("k{round}"), &long).await.err().or(refused);
    }
    assert_eq!(refused.unwrap().code, super::error::Code::ResourceExhausted);
    let kept = house.sdk.snapshot().game_server.object_meta.as_ref().unwrap().annotations.len();
    assert!((1..10).contains(&kept), "{kept}");
    house.sdk.label("small", "fits").await.unwrap();
}
