//! The watch: chunks, WebSocket, nobody is harmed and nothing is lost.

use super::*;
use std::net::TcpStream;
use tokio_tungstenite::tungstenite::{Message, client};

#[test]
fn a_web_socket_gets_one_state_a_frame() {
    let world = World::new();
    let agent = world.agent("server", &own(""));
    let sdk = Sdk::of(&agent);
    let host = sdk.http.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(crate::support::world::PATIENCE)).unwrap();
    let (mut socket, answer) = client(format!("ws://{host}/watch/gameserver"), stream).unwrap();
    assert_eq!(answer.status(), 101);
    let mut next = || loop {
        match socket.read().unwrap() {
            Message::Text(text) => return serde_json::from_str::<Value>(&text).unwrap()["result"].take(),
            other => assert!(other.is_ping() || other.is_pong(), "{other:?}"),
        }
    };
    assert_eq!(next()["status"]["state"], "Scheduled");
    sdk.ready();
    while next()["status"]["state"] != "Allocated" {}
    socket.send(Message::Ping("are you there".into())).unwrap();
    loop {
        if let Message::Pong(word) = socket.read().unwrap() {
            assert_eq!(word.as_ref(), b"are you there");
            break;
        }
    }
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    assert_eq!(sdk.state(), "Allocated");
}

#[test]
fn a_watcher_that_stops_reading_harms_nobody_and_then_sees_the_newest() {
    let world = World::new();
    let agent = world.agent("server", &own(FIXTURE));
    let sdk = Sdk::of(&agent);
    sdk.ready();
    let mut stalled: Vec<_> = (0..8).map(|_| Lines::open(&sdk)).collect();
    let mut lively = Lines::open(&sdk);
    // Far more than sockets buffer: each state is repeated with a long value.
    let mut last = String::new();
    for round in 0..400 {
        last = format!("{round}-{}", "x".repeat(3000));
        sdk.put("/metadata/annotation", &json!({"key": "noise", "value": last}));
        if round % 50 == 0 {
            lively.until("the change", |server| server["object_meta"]["annotations"]["agones.dev/sdk-noise"] == *last);
        }
    }
    assert_eq!(sdk.state(), "Allocated");
    for lines in std::iter::once(&mut lively).chain(&mut stalled) {
        lines.until("the newest", |server| server["object_meta"]["annotations"]["agones.dev/sdk-noise"] == *last);
    }
}

#[test]
fn every_change_raises_an_event_and_none_is_lost_behind_the_first_state() {
    let world = World::new();
    let agent = world.agent("server", &own(FIXTURE));
    let sdk = Sdk::of(&agent);
    sdk.ready();
    agent.wait_join_status("joinable");
    let count =
        |server: &Value| server["status"]["counters"]["rooms"]["count"].as_str().unwrap().parse::<i64>().unwrap();
    for _ in 0..20 {
        let before = count(&sdk.get("/gameserver"));
        let step = if before < 5 { 1 } else { -1 };
        // The change comes while the watch is being set up: it is in the first state or behind it.
        let mut watch = Lines::open(&sdk);
        sdk.ask("PATCH", "/v1beta1/counters/rooms", &json!({"countDiff": step.to_string()})).ok();
        watch.until("the count", |server| count(server) == before + step);
    }
    let mut watch = Lines::open(&sdk);
    watch.next();
    let next = |watch: &mut Lines, what: &str| watch.until(what, |_| true)["status"].clone();
    sdk.post("/v1beta1/lists/players:addValue", &json!({"value": "new"}));
    assert_eq!(next(&mut watch, "the list")["lists"]["players"]["values"][3], "new");
    sdk.ask("PATCH", "/v1beta1/lists/players", &json!({"capacity": 2})).ok();
    assert_eq!(
        next(&mut watch, "the capacity")["lists"]["players"],
        json!({"capacity": "2", "values": ["test0", "test1"]})
    );
    sdk.ask("PATCH", "/v1beta1/counters/rooms", &json!({"capacity": "20"})).ok();
    assert_eq!(next(&mut watch, "the counter")["counters"]["rooms"]["capacity"], "20");
}
