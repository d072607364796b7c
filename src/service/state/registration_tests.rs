//! Servers that register, restart, fall silent and lapse, over the life of the sessions that they
//! were given.

use super::{
    moment::Moment,
    registry::Registered,
    server::{Server, ServerState},
    testing::{Harness, player, server},
};
use crate::{
    model::sic::RegisterItem,
    service::{auth::Caller, settings::ServiceSettings},
};
use serde_json::{Value, json};

const RELEASE: &str = "/instances/sic_registration/v1/release";

fn harness() -> Harness {
    Harness::new(ServiceSettings::default())
}

fn item(id: &str, incarnation: Option<&str>) -> RegisterItem {
    let incarnation = incarnation.map(|text| text.parse().unwrap());
    RegisterItem { id: id.into(), public_host: "h".into(), public_port: 1, incarnation, ..RegisterItem::default() }
}

fn register(harness: &mut Harness, who: &str, item: RegisterItem) -> Registered {
    let moment = Moment::new(harness.now());
    let subject = format!("client:{who}");
    harness.state.transact(&moment, |tx| Ok(tx.register_server(item, &subject))).0.unwrap()
}

fn poll(harness: &mut Harness, who: &str, id: &str) -> Option<ServerState> {
    let moment = Moment::new(harness.now());
    harness.state.transact(&moment, |tx| Ok(tx.poll_server(id, &format!("client:{who}")))).0.unwrap()
}

/// A session that asks for a server; its path.
fn requested(harness: &mut Harness) -> String {
    requested_with(harness, json!({"host_type": "dedicated"}))
}

fn requested_with(harness: &mut Harness, instance: Value) -> String {
    let new = json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "session_type": "default",
        "force_create": true});
    let made = harness.json(&player("ann"), "POST", "/session/v1/session", new);
    let path = format!("/session/v1/session/{}", made["session_id"].as_str().unwrap());
    harness.json(&player("ann"), "POST", &format!("{path}/instance"), instance);
    path
}

fn instance(harness: &mut Harness, path: &str) -> Value {
    let admin = Caller { permissions: ["session:*".to_owned()].into(), ..server("admin") };
    harness.json(&admin, "GET", path, Value::Null)["instance"].clone()
}

fn status(harness: &mut Harness, path: &str) -> String {
    instance(harness, path)["join_status"].as_str().unwrap_or_default().to_owned()
}

/// The process that a session was given.
fn process(harness: &mut Harness, path: &str) -> String {
    instance(harness, path)["host_dedicated_process_id"].as_str().unwrap_or_default().to_owned()
}

/// Says something for its match, as its server.
fn speak(harness: &mut Harness, who: &str, path: &str, how: &str) {
    let seen = instance(harness, path);
    let (id, allocation) = (&seen["instance_id"], &seen["allocation_id"]);
    let backfill = path.replace("/v1/session/", "/v1/backfill/session/");
    let (method, path, body) = match how {
        "PATCH" => {
            ("PATCH", format!("{path}/instance"), json!({"join_status": "joinable", "allocation_id": allocation}))
        }
        "health" => {
            ("POST", format!("{path}/instance/health"), json!({"instance_id": id, "instance_health": "healthy"}))
        }
        "backfill" => ("POST", backfill, json!({"instance_id": id})),
        other => panic!("{other}"),
    };
    harness.json(&server(who), method, &format!("{path}?refresh_ttl=false"), body);
}

#[test]
fn the_same_life_registers_again_and_again() {
    let mut harness = harness();
    for named in [Some("k"), None] {
        let id = named.unwrap_or("nameless");
        assert_eq!(register(&mut harness, "a", item(id, named)), Registered::Free);
        assert_eq!(register(&mut harness, "a", item(id, named)), Registered::Free);
        let path = requested(&mut harness);
        assert_eq!(register(&mut harness, "a", item(id, named)), Registered::UnderWay, "not told yet");
        assert!(matches!(poll(&mut harness, "a", id), Some(ServerState::Held { .. })));
        if named.is_some() {
            assert_eq!(register(&mut harness, "a", item(id, named)), Registered::UnderWay);
        }
        speak(&mut harness, "a", &path, "PATCH");
        harness.json(&player("ann"), "DELETE", &path, Value::Null);
        assert_eq!(poll(&mut harness, "a", id), Some(ServerState::Over));
        assert_eq!(register(&mut harness, "a", item(id, named)), Registered::Free, "its next match");
        assert_eq!(poll(&mut harness, "a", id), Some(ServerState::Free));
        harness.json(&server("a"), "POST", "/instances/sic_registration/v1/deregister", json!({"items": [{"id": id}]}));
    }
}

#[test]
fn another_life_takes_over_a_free_server_when_two_polls_were_missed_or_it_knows_the_one_before() {
    let mut harness = harness();
    register(&mut harness, "a", item("s", Some("k1")));
    for _ in 0..3 {
        harness.pass(8.0);
        poll(&mut harness, "a", "s");
    }
    harness.pass(15.9);
    assert_eq!(register(&mut harness, "a", item("s", Some("k2"))), Registered::Alive);
    assert_eq!(register(&mut harness, "a", item("s", None)), Registered::Alive, "a life without a name");
    harness.pass(0.1);
    assert_eq!(register(&mut harness, "a", item("s", Some("k2"))), Registered::Free);
    let next = |previous: &str| RegisterItem {
        previous_incarnation: Some(previous.parse().unwrap()),
        ..item("s", Some("k3"))
    };
    assert_eq!(register(&mut harness, "a", next("k1")), Registered::Alive, "not the one before");
    assert_eq!(register(&mut harness, "a", next("k2")), Registered::Free);
    let path = requested(&mut harness);
    assert_eq!(process(&mut harness, &path), "k3");
}

#[test]
fn another_life_ends_a_match_when_three_cadences_were_silent_or_it_knows_the_one_before() {
    for (how, lives) in [("PATCH", true), ("health", true), ("backfill", true), ("nothing", false), ("GET", false)] {
        let mut harness = harness();
        register(&mut harness, "a", item("s", Some("k1")));
        let path = requested(&mut harness);
        poll(&mut harness, "a", "s");
        speak(&mut harness, "a", &path, "PATCH");
        let backfill = path.replace("/v1/session/", "/v1/backfill/session/");
        harness.json(&player("ann"), "PUT", &backfill, json!({}));
        harness.pass(29.0);
        assert_eq!(register(&mut harness, "a", item("s", Some("k2"))), Registered::Alive, "{how}");
        match how {
            "nothing" => {}
            "GET" => drop(harness.json(&server("a"), "GET", &path, Value::Null)),
            how => speak(&mut harness, "a", &path, how),
        }
        harness.pass(1.0);
        let came = register(&mut harness, "a", item("s", Some("k2")));
        assert_eq!(came == Registered::Alive, lives, "{how}: {came:?}");
        if lives {
            assert_eq!(status(&mut harness, &path), "joinable", "{how}");
            harness.pass(29.0);
            let came = register(&mut harness, "a", item("s", Some("k2")));
            assert!(matches!(came, Registered::Restarted(_)), "{how}: {came:?}");
        }
        assert_eq!(status(&mut harness, &path), "closed", "{how}");
        assert_eq!(poll(&mut harness, "a", "s"), Some(ServerState::Free), "never the dead match");
    }
    let mut harness = harness();
    register(&mut harness, "a", item("s", Some("k1")));
    let path = requested(&mut harness);
    poll(&mut harness, "a", "s");
    let known = RegisterItem { previous_incarnation: Some("k1".parse().unwrap()), ..item("s", Some("k2")) };
    assert!(matches!(register(&mut harness, "a", known), Registered::Restarted(_)));
    assert_eq!(status(&mut harness, &path), "closed");
}

#[test]
fn a_nameless_server_that_registers_during_its_match_waits_until_that_is_silent() {
    let mut harness = harness();
    register(&mut harness, "a", item("s", None));
    let path = requested(&mut harness);
    poll(&mut harness, "a", "s");
    speak(&mut harness, "a", &path, "health");
    harness.pass(29.0);
    assert_eq!(register(&mut harness, "a", item("s", None)), Registered::Alive);
    harness.pass(1.0);
    assert!(matches!(register(&mut harness, "a", item("s", None)), Registered::Restarted(_)));
}

#[test]
fn an_id_belongs_to_its_client_until_ten_minutes_after_its_last_word() {
    let mut harness = harness();
    register(&mut harness, "a", item("s", Some("k1")));
    harness.pass(300.0);
    poll(&mut harness, "a", "s");
    for incarnation in [Some("k1"), Some("k2"), None] {
        assert_eq!(register(&mut harness, "b", item("s", incarnation)), Registered::Taken, "{incarnation:?}");
    }
    let known = RegisterItem { previous_incarnation: Some("k1".parse().unwrap()), ..item("s", Some("k2")) };
    assert_eq!(register(&mut harness, "b", known), Registered::Taken);
    harness.pass(599.0);
    assert_eq!(register(&mut harness, "b", item("s", Some("k1"))), Registered::Taken);
    harness.pass(1.0);
    assert_eq!(poll(&mut harness, "a", "s"), None, "it has lapsed for its own client, too");
    assert_eq!(register(&mut harness, "b", item("s", Some("k1"))), Registered::Free);
    assert_eq!(poll(&mut harness, "a", "s"), None);

    let path = requested(&mut harness);
    poll(&mut harness, "b", "s");
    speak(&mut harness, "b", &path, "PATCH");
    for _ in 0..40 {
        harness.pass(60.0);
        speak(&mut harness, "b", &path, "health");
        harness.json(&player("ann"), "GET", &path, Value::Null);
    }
    assert_eq!(register(&mut harness, "a", item("s", Some("k1"))), Registered::Taken, "it holds a match");
}

#[test]
fn what_has_lapsed_is_forgotten_also_in_the_store() {
    let mut harness = harness();
    register(&mut harness, "a", item("s", None));
    harness.pass(599.0);
    let now = harness.now();
    harness.state.forget_silent_servers(now);
    assert!(harness.state.servers.get("s").is_some());
    harness.pass(1.0);
    let now = harness.now();
    harness.state.forget_silent_servers(now);
    assert!(harness.state.servers.get("s").is_none());
    let harness = harness.restart(ServiceSettings::default());
    assert!(harness.state.servers.get("s").is_none());
}

#[test]
fn registrations_survive_a_restart_of_the_service() {
    let mut harness = harness();
    for (id, incarnation) in [("free", Some("k1")), ("nameless", None), ("gone", None)] {
        register(&mut harness, "a", item(id, incarnation));
    }
    register(&mut harness, "a", RegisterItem { region_id: Some("local".into()), ..item("over", Some("k2")) });
    // One of each is given away; of the others one hears of it.
    let region = |harness: &Harness, id: &str| harness.state.servers.get(id).unwrap().registration.region_id.clone();
    let path = requested(&mut harness);
    let held = ["free", "nameless", "gone", "over"].into_iter().find(|id| {
        let state = &harness.state.servers.get(id).unwrap().state;
        matches!(state, ServerState::Held { .. })
    });
    let held = held.unwrap();
    poll(&mut harness, "a", held);
    harness.json(&player("ann"), "DELETE", &path, Value::Null);
    harness.json(
        &server("a"),
        "POST",
        "/instances/sic_registration/v1/deregister",
        json!({"items": [{"id": "gone"}, {"id": "nameless"}]}),
    );
    let durable = |harness: &Harness| -> Vec<_> {
        let server = |server: &Server| {
            (server.registration.clone(), server.incarnation.clone(), server.subject.clone(), server.state.clone())
        };
        harness.state.servers.iter().map(server).collect()
    };
    let before = durable(&harness);
    harness.pass(500.0);
    let mut harness = harness.restart(ServiceSettings::default());
    let after = durable(&harness);
    assert_eq!(before, after);
    assert_eq!(before.iter().filter(|(_, _, _, state)| *state == ServerState::Over).count(), 1);
    assert_eq!(region(&harness, "over").as_deref(), Some("local"));
    harness.pass(500.0);
    assert!(poll(&mut harness, "a", "over").is_some(), "silence counts from the start");
    assert_eq!(register(&mut harness, "b", item("over", None)), Registered::Taken);
}

#[test]
fn a_match_and_its_server_are_found_again_after_a_restart_of_the_service() {
    let mut harness = harness();
    register(&mut harness, "a", RegisterItem { region_id: Some("local".into()), ..item("s", Some("k1")) });
    let path = requested(&mut harness);
    poll(&mut harness, "a", "s");
    let mut harness = harness.restart(ServiceSettings::default());
    assert_eq!(harness.state.servers.get("s").unwrap().registration.region_id.as_deref(), Some("local"));
    assert_eq!(register(&mut harness, "a", item("s", Some("k2"))), Registered::Alive, "silence counts from the start");
    assert_eq!(register(&mut harness, "a", item("s", Some("k1"))), Registered::UnderWay);
    harness.json(&player("ann"), "DELETE", &path, Value::Null);
    assert_eq!(poll(&mut harness, "a", "s"), Some(ServerState::Over));
}

#[test]
fn a_server_that_never_knew_of_its_match_is_free_when_that_ends() {
    let mut harness = harness();
    for end in ["session", "instance", "next"] {
        register(&mut harness, "a", item("s", None));
        let path = requested(&mut harness);
        assert_eq!(status(&mut harness, &path), "allocated");
        match end {
            "session" => drop(harness.json(&player("ann"), "DELETE", &path, Value::Null)),
            "instance" => {
                let admin = Caller { permissions: ["session:*".to_owned()].into(), ..server("admin") };
                harness.json(&admin, "DELETE", &format!("{path}/instance"), Value::Null);
            }
            _ => {
                let waiting = requested(&mut harness);
                assert_eq!(status(&mut harness, &waiting), "requested");
                harness.json(&player("ann"), "DELETE", &path, Value::Null);
                assert_eq!(status(&mut harness, &waiting), "allocated", "who waits gets it at once");
                continue;
            }
        }
        assert_eq!(poll(&mut harness, "a", "s"), Some(ServerState::Free), "{end}");
    }
}

#[test]
fn whoever_polled_last_comes_first_and_a_dead_one_last() {
    let mut harness = harness();
    for id in ["dead", "one", "two"] {
        register(&mut harness, "a", item(id, Some(id)));
    }
    for _ in 0..5 {
        harness.pass(5.0);
        poll(&mut harness, "a", "one");
        poll(&mut harness, "a", "two");
    }
    harness.pass(1.0);
    poll(&mut harness, "a", "one");
    let paths = [(); 4].map(|()| requested(&mut harness));
    assert_eq!(paths.each_ref().map(|path| process(&mut harness, path)), ["one", "two", "dead", ""]);
}

#[test]
fn a_warm_server_that_has_missed_two_polls_comes_after_a_cold_one_that_lives() {
    let mut harness = harness();
    register(&mut harness, "a", RegisterItem { warm_map: Some("m".into()), ..item("warm", Some("warm")) });
    register(&mut harness, "a", item("cold", Some("cold")));
    harness.pass(5.0);
    for id in ["warm", "cold"] {
        poll(&mut harness, "a", id);
    }
    for _ in 0..5 {
        harness.pass(5.0);
        poll(&mut harness, "a", "cold");
    }
    poll(&mut harness, "a", "warm");
    harness.pass(5.0);
    poll(&mut harness, "a", "warm");
    for _ in 0..4 {
        harness.pass(5.0);
        poll(&mut harness, "a", "cold");
    }
    let wanted = json!({"host_type": "dedicated", "instance_startup_params": {"map": "m", "misc_params": ""}});
    let path = requested_with(&mut harness, wanted.clone());
    assert_eq!(process(&mut harness, &path), "cold");
    register(&mut harness, "a", item("late", Some("late")));
    poll(&mut harness, "a", "warm");
    let path = requested_with(&mut harness, wanted);
    assert_eq!(process(&mut harness, &path), "warm", "it is heard again");
}

#[test]
fn an_allocation_that_is_not_taken_moves_on_to_another_server() {
    let mut harness = harness();
    register(&mut harness, "a", item("dead", Some("dead")));
    for _ in 0..3 {
        harness.pass(5.0);
        poll(&mut harness, "a", "dead");
    }
    let path = requested(&mut harness);
    assert_eq!(process(&mut harness, &path), "dead");
    let first = instance(&mut harness, &path)["allocation_id"].clone();
    register(&mut harness, "a", item("live", Some("live")));
    harness.pass(9.9);
    assert_eq!(process(&mut harness, &path), "dead");
    harness.pass(0.1);
    assert_eq!(process(&mut harness, &path), "live", "two polls were missed");
    let second = instance(&mut harness, &path)["allocation_id"].clone();
    assert_ne!(first, second);
    let told = poll(&mut harness, "a", "live");
    assert!(matches!(told, Some(ServerState::Held { allocation, .. }) if second == allocation.as_str()));
    let say = json!({"join_status": "pending", "allocation_id": first});
    assert_eq!(harness.code(&server("a"), "PATCH", &format!("{path}/instance"), say), "allocation_mismatch");
    harness.pass(60.0);
    assert_eq!(process(&mut harness, &path), "live", "one that was told keeps it");
    let other = requested(&mut harness);
    assert_eq!(status(&mut harness, &other), "requested", "not given to the dead one again");
    assert_eq!(poll(&mut harness, "a", "dead").map(|state| matches!(state, ServerState::Held { .. })), Some(true));
    assert_eq!(process(&mut harness, &other), "dead", "it lives, and serves whoever waits");
}

#[test]
fn an_allocation_that_nobody_takes_is_closed_in_the_end() {
    let mut harness = harness();
    register(&mut harness, "a", item("dead", None));
    let path = requested(&mut harness);
    harness.pass(60.0);
    assert_eq!(status(&mut harness, &path), "requested");
    harness.json(&player("ann"), "GET", &path, Value::Null);
    harness.pass(60.0);
    assert_eq!(status(&mut harness, &path), "closed");
}

#[test]
fn another_life_of_a_server_that_was_never_told_leaves_the_session_a_server() {
    let mut harness = harness();
    register(&mut harness, "a", item("s", Some("k1")));
    let path = requested(&mut harness);
    let known = RegisterItem { previous_incarnation: Some("k1".parse().unwrap()), ..item("s", Some("k2")) };
    assert!(matches!(register(&mut harness, "a", known), Registered::NeverTold(_)));
    assert_eq!((status(&mut harness, &path), process(&mut harness, &path)), ("allocated".into(), "k2".into()));
}

#[test]
fn an_operator_releases_a_server_and_the_audit_says_so() {
    let mut harness = harness();
    let operator = Caller { permissions: ["session:*".to_owned()].into(), ..server("operator") };
    register(&mut harness, "thief", item("s", Some("k1")));
    register(&mut harness, "thief", item("t", Some("k1")));
    let path = requested(&mut harness);
    let held = if harness.state.servers.get("s").unwrap().state == ServerState::Free { "t" } else { "s" };
    poll(&mut harness, "thief", held);
    let items = json!({"items": [{"id": "s"}, {"id": "t"}, {"id": "nobody"}]});
    assert!(!server("a").may(&["session:instance:release"]), "no server may");
    let answer = harness.json(&operator, "POST", RELEASE, items);
    let codes: Vec<_> = answer["items"].as_array().unwrap().iter().map(|item| &item["error_code"]).collect();
    assert_eq!(codes, [0, 0, 2]);
    assert_eq!(status(&mut harness, &path), "closed");
    assert_eq!(poll(&mut harness, "thief", "s"), None);
    assert_eq!(register(&mut harness, "a", item("s", Some("k1"))), Registered::Free);
    for about in [held, path.rsplit('/').next().unwrap()] {
        let audit = format!("/session/v1/audit?session_id={about}");
        let events = harness.json(&operator, "GET", &audit, Value::Null)["events"].clone();
        let released = events.as_array().unwrap().iter().find(|event| event["event_name"] == "server.released");
        let reason = released.unwrap_or_else(|| panic!("{about}: {events}"))["reason"].as_str().unwrap().to_owned();
        assert_eq!(reason, format!("server {held} of client:thief was released by client:operator"));
    }
    let harness = harness.restart(ServiceSettings::default());
    let left: Vec<_> = harness.state.servers.iter().map(|server| server.registration.id.as_str()).collect();
    assert_eq!(left, ["s"]);
}
