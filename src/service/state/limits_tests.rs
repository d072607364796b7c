//! How much there may be of each thing: of one player, of one client, in all.

use super::testing::{Harness, player, server};
use crate::{
    model::units::Size,
    service::{
        auth::Caller,
        settings::{Limits, ServiceSettings},
        templates::SessionType,
    },
};
use serde_json::{Value, json};

fn harness(limits: Limits) -> Harness {
    let mut settings = ServiceSettings { limits, ..ServiceSettings::default() };
    let party = SessionType { keep_alive_on_empty: false, ..SessionType::built_in() };
    let open = SessionType { default_public: true, attempt_auto_join: true, ..SessionType::built_in() };
    settings.session_types.extend([("party".to_owned(), party), ("open".to_owned(), open)]);
    Harness::new(settings)
}

fn new(kind: &str) -> Value {
    json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "session_type": kind,
        "force_create": true})
}

fn join() -> Value {
    json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "team_id": 0})
}

fn made(harness: &mut Harness, who: &Caller) -> String {
    let made = harness.json(who, "POST", "/session/v1/session", new("default"));
    format!("/session/v1/session/{}", made["session_id"].as_str().unwrap())
}

#[test]
fn a_player_makes_so_many_sessions_whether_it_stays_in_them_or_not() {
    let mut harness = harness(Limits { sessions_per_player: 3, ..Limits::default() });
    let (ann, bob) = (player("ann"), player("bob"));
    let paths = [(); 3].map(|()| made(&mut harness, &ann));
    for path in &paths {
        harness.json(&ann, "DELETE", &format!("{path}/player/me"), Value::Null);
    }
    let match_of = |kind: &str| json!({"search": {"session_id": "none"}, "create": new(kind)});
    for (path, body) in [
        ("/session/v1/session", new("default")),
        ("/session/v1/session", new("party")),
        ("/session/v1/matchmaking", match_of("default")),
    ] {
        assert_eq!(harness.code(&ann, "POST", path, body), "too_many_sessions", "{path}");
    }
    made(&mut harness, &bob);
    made(&mut harness, &server("s"));
    let settings = (*harness.state.settings).clone();
    let mut harness = harness.restart(settings);
    assert_eq!(harness.code(&ann, "POST", "/session/v1/session", new("default")), "too_many_sessions");
    let admin = Caller { permissions: ["session:*".to_owned()].into(), ..server("admin") };
    harness.json(&admin, "DELETE", &paths[0], Value::Null);
    made(&mut harness, &ann);
}

#[test]
fn a_player_joins_so_many_sessions_and_those_that_others_put_it_into_do_not_count() {
    let mut harness = harness(Limits { joined_per_player: 2, ..Limits::default() });
    let (ann, eve) = (player("ann"), player("eve"));
    let host = server("host");
    for _ in 0..5 {
        let path = made(&mut harness, &host);
        harness.json(&host, "POST", &format!("{path}/player/{}", ann.player.unwrap()), json!({"status": "member"}));
        let invite = format!(
            "{}/player/{}:invite",
            made(&mut harness, &eve_of(&eve)).replace("/v1/", "/v2/"),
            ann.player.unwrap()
        );
        harness.json(&eve_of(&eve), "POST", &invite, json!({}));
    }
    let paths = [(); 3].map(|()| made(&mut harness, &host));
    for path in &paths[..2] {
        harness.json(&ann, "POST", &format!("{path}/player/me"), join());
        harness.json(&ann, "POST", &format!("{path}/player/me"), join());
    }
    let key = "/session/v1/platform/Basic/platform-session/cGFydHk";
    let admin = Caller { permissions: ["session:*".to_owned()].into(), ..player("root") };
    harness.json(&admin, "POST", &format!("{key}/session/{}", paths[2].rsplit('/').next().unwrap()), Value::Null);
    let open = json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "session_type": "open"});
    harness.json(&player("bob"), "POST", "/session/v1/session", open.clone());
    for (path, body) in [
        (format!("{}/player/me", paths[2]), join()),
        (format!("{key}/player/me"), join()),
        ("/session/v1/session".to_owned(), new("default")),
        ("/session/v1/session".to_owned(), open.clone()),
        ("/session/v1/matchmaking".to_owned(), json!({"search": {}, "create": open})),
    ] {
        assert_eq!(harness.code(&ann, "POST", &path, body), "too_many_sessions", "{path}");
    }
    harness.json(&ann, "DELETE", &format!("{}/player/me", paths[0]), Value::Null);
    harness.json(&ann, "POST", &format!("{}/player/me", paths[2]), join());
}

/// A player who is in no session itself, so that it may make any number.
fn eve_of(eve: &Caller) -> Caller {
    Caller { player: None, subject: "client:eve".into(), ..eve.clone() }
}

#[test]
fn all_sessions_together_take_so_many_bytes() {
    let mut harness = harness(Limits { all_session_bytes: Size(16 << 10), ..Limits::default() });
    let ann = player("ann");
    let path = made(&mut harness, &ann);
    let text = "v".repeat(4096);
    harness.json(&ann, "PATCH", &path, json!({"custom_data": {"k": text}}));
    let more = json!({"custom_data": {"a": text, "b": text, "c": text, "d": text}});
    assert_eq!(harness.code(&ann, "PATCH", &path, more), "unavailable");
    let mut others = 0;
    while harness.code(&player("bob"), "POST", "/session/v1/session", new("default")).is_empty() {
        others += 1;
    }
    assert!((1..20).contains(&others), "{others}");
    harness.json(&ann, "PATCH", &path, json!({"custom_data": {}}));
    made(&mut harness, &player("bob"));
}

#[test]
fn so_many_servers_are_registered_of_one_client_and_in_all() {
    let mut harness = harness(Limits { servers: 4, servers_per_client: 3, ..Limits::default() });
    let register = |harness: &mut Harness, who: &str, id: &str, tags: &str| {
        let item = json!({"id": id, "public_host": "h", "public_port": 1, "group_tags": tags});
        let body = json!({"items": [item]});
        let answer = harness.json(&server(who), "POST", "/instances/sic_registration/v3/register", body);
        answer["items"][0]["error_code"].as_i64().unwrap()
    };
    assert_eq!(["a1", "a2", "a3", "a4"].map(|id| register(&mut harness, "a", id, "")), [0, 0, 0, 5]);
    assert_eq!(register(&mut harness, "a", "a1", ""), 0, "one that is registered");
    assert_eq!(["b1", "b2"].map(|id| register(&mut harness, "b", id, "")), [0, 5]);
    let gone = json!({"items": [{"id": "a2"}]});
    harness.json(&server("a"), "POST", "/instances/sic_registration/v1/deregister", gone);
    let settings = (*harness.state.settings).clone();
    let mut harness = harness.restart(settings);
    assert_eq!(register(&mut harness, "a", "a5", &"t".repeat(4094)), 3, "too long");
    assert_eq!(["b2", "b3"].map(|id| register(&mut harness, "b", id, &"t".repeat(4000))), [0, 5]);
    // Many at once.
    let items: Vec<Value> =
        (0..9).map(|n| json!({"id": format!("c{n}"), "public_host": "h", "public_port": 1})).collect();
    let mut harness = self::harness(Limits { servers: 4, servers_per_client: 3, ..Limits::default() });
    harness.json(&server("c"), "POST", "/instances/sic_registration/v3/register", json!({"items": items}));
    assert_eq!(harness.state.servers.iter().count(), 3);
}
