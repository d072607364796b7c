//! Who may do what to whom, case by case.

use super::testing::{Harness, player, server};
use crate::{
    model::units::Size,
    service::{
        auth::Caller,
        http::reply::Interrupt,
        settings::{Limits, ServiceSettings},
        templates::SessionType,
    },
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const RULE: &str = "00000000-0000-0000-0000-000000000009";

fn harness() -> Harness {
    let mut settings = ServiceSettings::default();
    let party = SessionType { keep_alive_on_empty: false, ..SessionType::built_in() };
    let loose = SessionType { leader_adds: true, player_startup: true, ..SessionType::built_in() };
    settings.session_types.extend([("party".to_owned(), party), ("loose".to_owned(), loose)]);
    settings.deserters.insert(RULE.parse().unwrap(), <_>::default());
    Harness::new(settings)
}

fn uuid(name: &str) -> String {
    player(name).player.unwrap().to_string()
}

fn join() -> Value {
    json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "team_id": 0})
}

fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// Joins several players by themselves.
fn fill(harness: &mut Harness, path: &str, names: &[&str]) {
    for name in names {
        harness.json(&player(name), "POST", &format!("{path}/player/me"), join());
    }
}

/// The players who are active in a session, as its server sees it.
fn active(harness: &mut Harness, path: &str) -> Vec<String> {
    let admin = Caller { permissions: ["session:*".to_owned()].into(), ..server("admin") };
    let seen = harness.json(&admin, "GET", path, Value::Null);
    let players = seen["teams"].as_array().unwrap().iter().flat_map(|team| team["players"].as_array().unwrap());
    let active = players.filter(|player| ["leader", "member"].contains(&player["status"].as_str().unwrap()));
    active.map(|player| player["player_uuid"].as_str().unwrap().to_owned()).collect()
}

fn befriend(harness: &mut Harness, one: &str, other: &str) {
    for (from, to) in [(one, other), (other, one)] {
        let path = format!("/friends/v2/player/{}/friend/{}", uuid(from), uuid(to));
        harness.json(&player(from), "PUT", &path, json!({}));
    }
}

#[test]
fn a_session_is_kicked_by_those_who_may_kick_from_the_one_that_loses_players() {
    let mut harness = harness();
    let (eve, ann, bob) = (player("eve"), player("ann"), player("bob"));
    let theirs = harness.session(&ann, "default");
    fill(&mut harness, &theirs, &["bob", "carl"]);
    let own = harness.session(&eve, "party");
    let v2 = own.replace("/v1/", "/v2/");
    let others = json!({"player_uuids": [uuid("bob"), uuid("carl")]});
    harness.json(&eve, "POST", &format!("{v2}/player/{}:invite", uuid("ann")), others);

    let from_own = format!("{own}/kicked-session/{}", id(&theirs));
    let from_theirs = format!("{theirs}/kicked-session/{}", id(&own));
    assert_eq!(harness.code(&eve, "DELETE", &from_theirs, Value::Null), "insufficient_permissions");
    assert_eq!(harness.code(&bob, "DELETE", &from_theirs, Value::Null), "insufficient_permissions", "a plain member");
    harness.json(&ann, "DELETE", &from_theirs, Value::Null);
    assert_eq!(active(&mut harness, &theirs).len(), 3, "invited players are not in the kicked session");
    harness.json(&eve, "DELETE", &from_own, Value::Null);
    assert_eq!(active(&mut harness, &theirs).len(), 3, "the session that is named second loses nobody");

    fill(&mut harness, &own, &["carl", "dora"]);
    fill(&mut harness, &theirs, &["dora"]);
    let grant = format!("{theirs}/player/{}/permission/kick", uuid("bob"));
    harness.json(&ann, "PATCH", &grant, Value::Null);
    harness.json(&bob, "DELETE", &from_theirs, Value::Null);
    assert_eq!(active(&mut harness, &theirs), [uuid("ann"), uuid("bob")]);
    assert_eq!(active(&mut harness, &own), [uuid("eve"), uuid("carl"), uuid("dora")]);
}

#[test]
fn a_platform_session_lets_in_only_who_was_told_of_it_and_is_on_that_platform() {
    let mut harness = harness();
    let (ann, eve) = (player("ann"), player("eve"));
    let path = harness.session(&ann, "default");
    let key = "/session/v1/platform/Basic/platform-session/cGFydHk";
    harness.json(&ann, "POST", &format!("{key}/session/{}", id(&path)), Value::Null);
    harness.json(&ann, "PATCH", &path, json!({"joinability": {"open": false}}));
    let seen = |harness: &mut Harness, who: &Caller| harness.json(who, "GET", &path, Value::Null).to_string();
    assert!(seen(&mut harness, &ann).contains("cGFydHk"));
    assert!(!seen(&mut harness, &eve).contains("cGFydHk"), "a stranger isn't shown it");

    let come = format!("{key}/player/me");
    let elsewhere = |platform: Option<&str>| Caller { platform: platform.map(str::to_owned), ..player("eve") };
    for other in [Some("Steam"), None] {
        assert_eq!(harness.code(&elsewhere(other), "POST", &come, join()), "wrong_platform", "{other:?}");
    }
    let hashed = |harness: &mut Harness, hash: Option<&str>| {
        let id = crate::model::ids::SessionId::new(id(&path)).unwrap();
        let moment = super::moment::Moment::new(super::testing::at(1));
        let set = |tx: &mut super::Transaction<'_>| {
            tx.update(&id, |session| {
                session.password = hash.map(str::to_owned);
                Ok(())
            })
        };
        harness.state.transact(&moment, set).0.unwrap();
    };
    hashed(&mut harness, Some("hash"));
    assert_eq!(harness.code(&eve, "POST", &come, join()), "not_joinable", "a password is asked for there too");
    hashed(&mut harness, None);
    harness.json(&ann, "PATCH", &path, json!({"joinability": {"platform": false}}));
    assert_eq!(harness.code(&eve, "POST", &come, join()), "not_joinable");
    harness.json(&ann, "PATCH", &path, json!({"joinability": {"platform": true}}));
    harness.json(&eve, "POST", &come, join());
}

#[test]
fn a_password_closes_a_session_whose_type_is_public() {
    let mut harness = harness();
    let mut new = json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "session_type": "default",
        "password": "secret", "force_create": true});
    let make = |harness: &mut Harness, new: Value| match harness.ask(&player("ann"), "POST", "/session/v1/session", new)
    {
        // Hashing is done elsewhere.
        Err(Interrupt::Needs(_)) => true,
        other => panic!("{other:?}"),
    };
    assert!(make(&mut harness, new.clone()));
    new["settings"] = json!({"joinability": {"open": true}});
    assert!(make(&mut harness, new));
}

#[test]
fn a_leader_adds_nobody_who_has_not_agreed() {
    let mut harness = harness();
    let ann = player("ann");
    let path = harness.session(&ann, "default");
    let add = |name: &str| format!("{path}/player/{}", uuid(name));
    let member = json!({"status": "member"});
    for body in [
        member.clone(),
        json!({"status": "leader"}),
        json!({}),
        json!({"status": "member", "overflow_action": "overfill"}),
    ] {
        assert_eq!(harness.code(&ann, "POST", &add("bob"), body.clone()), "player_not_agreed", "{body}");
    }
    // Whom it invites it can't take in either, not by hosting the session itself.
    harness.json(&ann, "POST", &add("bob"), json!({"status": "invited"}));
    harness.json(&ann, "POST", &format!("{path}/instance"), json!({"host_type": "player"}));
    assert_eq!(harness.code(&ann, "POST", &add("bob"), member.clone()), "player_not_agreed");
    let kept = harness.json(&ann, "POST", &add("bob"), json!({"team_id": 0}));
    assert_eq!(kept["status"], "invited", "without a status it keeps its own");
    assert_eq!(active(&mut harness, &path), [uuid("ann")]);

    befriend(&mut harness, "ann", "bob");
    harness.json(&ann, "POST", &add("bob"), member.clone());
    let party = harness.session(&player("carl"), "party");
    fill(&mut harness, &party, &["ann"]);
    harness.json(&ann, "POST", &format!("{path}/invited-session/{}:invite", id(&party)), json!({}));
    harness.json(&ann, "POST", &add("carl"), member.clone());
    assert_eq!(active(&mut harness, &path), [uuid("ann"), uuid("bob"), uuid("carl")]);

    let loose = harness.session(&ann, "loose");
    harness.json(&ann, "POST", &format!("{loose}/player/{}", uuid("dora")), member.clone());
    let host = server("host");
    let hosted = harness.hosted(&host);
    harness.json(&host, "POST", &format!("{hosted}/player/{}", uuid("dora")), member);
    assert_eq!(active(&mut harness, &hosted), [uuid("dora")], "a server adds those who have connected to it");
}

#[test]
fn a_player_gives_a_server_nothing_raw_unless_the_session_type_says_so() {
    let mut harness = harness();
    let ann = player("ann");
    let evil = [
        json!({"map": "m", "misc_params": "+set rconpassword owned +exec evil.cfg"}),
        json!({"map": "m\nb", "misc_params": ""}),
        json!({"map": "../m", "misc_params": ""}),
        json!({"map": "m", "mode": "-log", "misc_params": ""}),
        json!({"map": "m", "misc_params": "", "custom_data": {"k": "a\u{7}"}}),
    ];
    let asks = |params: &Value, host: &str| json!({"host_type": host, "instance_startup_params": params});
    for params in &evil {
        let path = format!("{}/instance", harness.session(&ann, "default"));
        let refused = harness.ask(&ann, "POST", &path, asks(params, "dedicated"));
        assert!(matches!(refused, Err(Interrupt::Invalid(_))), "{params}: {refused:?}");
        // Its own process, and callers with the right to update anything.
        harness.json(&ann, "POST", &path, asks(params, "player"));
        let path = format!("{}/instance", harness.session(&ann, "default"));
        let admin = Caller { permissions: ["session:*".to_owned()].into(), ..player("root") };
        harness.json(&admin, "POST", &path, asks(params, "dedicated"));
        let loose = format!("{}/instance", harness.session(&ann, "loose"));
        harness.json(&ann, "POST", &loose, asks(params, "dedicated"));
    }
    for map in ["/Game/Maps/Arena?listen", "minecraft:overworld", "two words"] {
        let path = format!("{}/instance", harness.session(&ann, "default"));
        harness.json(&ann, "POST", &path, asks(&json!({"map": map, "misc_params": ""}), "dedicated"));
    }
}

#[test]
fn a_session_that_takes_no_new_members_says_so_to_everybody() {
    let mut harness = harness();
    let ann = player("ann");
    let path = harness.session(&ann, "default");
    let shown = |harness: &mut Harness, who: &str| {
        let seen = harness.json(&player(who), "GET", &path, Value::Null);
        (seen["joinable"].clone(), seen.get("allow_new_members").cloned())
    };
    for takes in [true, false, true] {
        harness.json(&ann, "PATCH", &path, json!({"joinability": {"open": true}, "allow_new_members": takes}));
        let expected = (json!(takes), (!takes).then_some(json!(false)));
        for who in ["ann", "eve"] {
            assert_eq!(shown(&mut harness, who), expected, "{who}");
        }
        let search = json!({"allow_new_members": takes, "session_id": id(&path)});
        let found = harness.json(&ann, "POST", "/session/v1/browser:search", search);
        assert_eq!(found["session_ids"], json!([id(&path)]));
    }
}

#[test]
fn only_admins_describe_others_and_only_with_a_grant_are_they_moved() {
    let mut harness = harness();
    let path = harness.session(&player("ann"), "default");
    fill(&mut harness, &path, &["bob", "carl"]);
    let carl = format!("{path}/player/{}", uuid("carl"));
    for (who, body) in [
        ("eve", json!({})),
        ("eve", json!({"custom_data": {"hat": "red"}})),
        ("eve", json!({"team_id": 0})),
        ("bob", json!({"custom_data": {"hat": "red"}})),
        ("bob", json!({"status": "member", "custom_data": {"hat": "red"}})),
        ("bob", json!({"team_id": 0})),
    ] {
        assert_eq!(harness.code(&player(who), "POST", &carl, body.clone()), "insufficient_permissions", "{who} {body}");
    }
    let own = harness.json(&player("carl"), "POST", &carl, json!({"custom_data": {"hat": "red"}}));
    assert_eq!(own["custom_data"]["hat"], "red");
    harness.json(&player("ann"), "POST", &carl, json!({"custom_data": {"hat": "blue"}, "team_id": 0}));
}

#[test]
fn a_server_keeps_to_its_own_sessions_and_marks_who_was_there() {
    let mut harness = harness();
    let (host, rival) = (server("host"), server("rival"));
    let path = harness.hosted(&host);
    fill(&mut harness, &path, &["bob", "carl"]);
    for method in ["POST", "DELETE"] {
        let refused =
            harness.code(&rival, method, &format!("{path}/player/{}", uuid("bob")), json!({"status": "member"}));
        assert_eq!(refused, "insufficient_permissions", "{method}");
    }
    let mark = |name: &str| format!("/session/v1/player/{}/deserter/{RULE}", uuid(name));
    let body = json!({"deserter_expiration": "2030-01-01T00:00:00Z", "deserter_count": 1, "custom_data": {}});
    let code = |harness: &mut Harness, who: &Caller, name| harness.code(who, "PUT", &mark(name), body.clone());
    assert_eq!(code(&mut harness, &rival, "bob"), "insufficient_permissions");
    assert_eq!(code(&mut harness, &host, "eve"), "insufficient_permissions", "was never there");
    harness.json(
        &rival,
        "POST",
        "/session/v1/session",
        json!({"client_version": "1.0.0",
        "client_settings": {"input": "gamepad"}, "session_type": "default", "force_create": true}),
    );
    let other = harness.hosted(&rival);
    harness.json(&rival, "POST", &format!("{other}/player/{}", uuid("bob")), json!({"status": "member"}));
    assert_eq!(code(&mut harness, &rival, "bob"), "insufficient_permissions", "put in by the server itself");
    harness.json(&rival, "DELETE", &format!("{other}/player/{}", uuid("bob")), Value::Null);
    assert_eq!(code(&mut harness, &rival, "bob"), "insufficient_permissions");

    harness.json(&player("bob"), "DELETE", &format!("{path}/player/me"), Value::Null);
    assert_eq!(code(&mut harness, &host, "bob"), "", "left during the match");
    assert_eq!(code(&mut harness, &host, "carl"), "", "is in the match");
    let mut harness = {
        let settings = (*harness.state.settings).clone();
        harness.restart(settings)
    };
    assert_eq!(code(&mut harness, &host, "bob"), "", "also after a restart");
}

#[test]
fn after_closed_the_last_host_writes_audit_and_marks_and_nothing_else() {
    let mut harness = harness();
    let (ann, host) = (player("ann"), server("host"));
    let path = harness.session(&ann, "default");
    fill(&mut harness, &path, &["bob"]);
    let admin = Caller { permissions: ["session:*".to_owned()].into(), ..host.clone() };
    harness.json(&admin, "POST", &format!("{path}/instance"), json!({"instance_id": "i", "host_type": "preallocated"}));
    let live = harness.json(&host, "GET", &path, Value::Null);
    harness.json(
        &host,
        "PATCH",
        &format!("{path}/instance"),
        json!({"join_status": "joinable",
        "join_params": {"public_conn_str": "h:1", "private_conn_str": ""}}),
    );
    let closed = json!({"join_status": "closed"});
    harness.json(&host, "PATCH", &format!("{path}/instance"), closed.clone());
    assert_eq!(live["instance"]["instance_id"], "i");

    let allowed = [
        ("PATCH", format!("{path}/instance"), closed),
        ("POST", "/session/v1/audit".to_owned(), json!({"event_name": "score", "session_id": id(&path)})),
        (
            "PUT",
            format!("/session/v1/player/{}/deserter/{RULE}", uuid("bob")),
            json!({"deserter_expiration": "2030-01-01T00:00:00Z", "deserter_count": 1, "custom_data": {}}),
        ),
    ];
    for (method, path, body) in allowed {
        assert_eq!(harness.code(&host, method, &path, body), "", "{method} {path}");
    }
    let backfill = format!("/session/v1/backfill/session/{}", id(&path));
    let refused = [
        ("PATCH", path.clone(), json!({"custom_data": {"k": "v"}})),
        ("DELETE", path.clone(), Value::Null),
        ("PATCH", format!("{path}/instance"), json!({"join_status": "joinable"})),
        ("PATCH", format!("{path}/instance"), json!({"match_id": "m"})),
        ("DELETE", format!("{path}/instance"), Value::Null),
        ("POST", format!("{path}/instance"), json!({"host_type": "preallocated"})),
        ("POST", format!("{path}/instance/health"), json!({"instance_id": "i", "instance_health": "healthy"})),
        ("PUT", backfill.clone(), json!({"teams": []})),
        ("POST", backfill, json!({"instance_id": "i"})),
        ("POST", format!("{path}/browser"), json!({"custom_data": {"k": "v"}})),
        ("POST", format!("{path}/player/{}", uuid("bob")), json!({"team_id": 0})),
        ("DELETE", format!("{path}/player/{}", uuid("bob")), Value::Null),
    ];
    for (method, path, body) in refused {
        let code = harness.code(&host, method, &path, body);
        assert!(["insufficient_permissions", "instance_closed"].contains(&code), "{method} {path}: {code:?}");
    }
    let seen = harness.json(&host, "GET", &path, Value::Null);
    assert_eq!(seen["instance"].get("join_params"), None, "it sees what everybody sees");
}

#[test]
fn only_a_session_that_a_player_hosts_has_a_player_for_a_host() {
    let mut harness = harness();
    let ann = player("ann");
    let path = harness.session(&ann, "default");
    let instance = format!("{path}/instance");
    for kind in ["dedicated", "preallocated", "standalone"] {
        let posed = json!({"host_type": kind, "host_player_uuid": uuid("ann")});
        assert!(matches!(harness.ask(&ann, "POST", &instance, posed), Err(Interrupt::Invalid(_))), "{kind}");
    }
    assert!(matches!(
        harness.ask(&ann, "POST", &instance, json!({"host_player_uuid": uuid("ann")})),
        Err(Interrupt::Invalid(_))
    ));
    harness.json(&ann, "POST", &instance, json!({"host_type": "dedicated"}));
    let forged = json!({"join_params": {"public_conn_str": "evil:1", "private_conn_str": ""}});
    assert_eq!(harness.code(&ann, "PATCH", &instance, forged), "insufficient_permissions");
}

#[test]
fn the_audit_is_written_by_those_in_the_session() {
    let mut harness = harness();
    let (ann, eve) = (player("ann"), player("eve"));
    let path = harness.session(&ann, "default");
    let event = |more: Value| {
        let mut event = json!({"event_name": "e", "session_id": id(&path)});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    for more in [json!({}), json!({"player_uuid": uuid("eve")}), json!({"players": [uuid("eve")]})] {
        assert_eq!(harness.code(&eve, "POST", "/session/v1/audit", event(more)), "insufficient_permissions");
    }
    harness.json(&ann, "POST", "/session/v1/audit", event(json!({"player_uuid": uuid("ann")})));
}

/// What a session's audit says, by name.
fn audit(harness: &mut Harness, path: &str) -> Vec<String> {
    let mut names = Vec::new();
    for page in 0.. {
        let page = format!("/session/v1/audit?session_id={}&page_num={page}&page_size=50", id(path));
        let admin = Caller { permissions: ["session:*".to_owned()].into(), ..server("admin") };
        let events = harness.json(&admin, "GET", &page, Value::Null)["events"].as_array().unwrap().clone();
        if events.is_empty() {
            return names;
        }
        names.extend(events.iter().map(|event| event["event_name"].as_str().unwrap().to_owned()));
    }
    names
}

#[test]
fn callers_push_out_only_what_callers_wrote() {
    let kib = |size: u64| Size(size << 10);
    let limits = Limits {
        audit_events_per_session: 20,
        audit_events: 50,
        audit_bytes_per_session: kib(16),
        audit_bytes_per_player: kib(24),
        audit_bytes: kib(40),
        ..Limits::default()
    };
    let mut harness = Harness::new(ServiceSettings { limits, ..ServiceSettings::default() });
    let text = "x".repeat(3 << 10);
    let sessions = ["ann", "ann", "bob", "bob", "carl"].map(|name| {
        let body = json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "session_type": "default",
            "force_create": true});
        let made = harness.json(&player(name), "POST", "/session/v1/session", body);
        (name, format!("/session/v1/session/{}", made["session_id"].as_str().unwrap()))
    });
    let write = |harness: &mut Harness, at: usize, times: usize, data: &str| {
        let (name, path) = &sessions[at];
        for _ in 0..times {
            let event = json!({"event_name": "e", "session_id": id(path), "reason": data});
            harness.json(&player(name), "POST", "/session/v1/audit", event);
        }
    };
    let kept = |harness: &mut Harness| {
        sessions.each_ref().map(|(_, path)| {
            let names = audit(harness, path);
            assert!(names.contains(&"session.created".to_owned()), "{names:?}");
            names.iter().filter(|name| name.starts_with("customer.")).count()
        })
    };
    write(&mut harness, 0, 30, "short");
    assert_eq!(kept(&mut harness), [20, 0, 0, 0, 0], "so many a session");
    write(&mut harness, 0, 30, &text);
    assert_eq!(kept(&mut harness), [5, 0, 0, 0, 0], "so many bytes a session");
    write(&mut harness, 1, 5, &text);
    assert_eq!(kept(&mut harness), [2, 5, 0, 0, 0], "so many bytes a player");
    write(&mut harness, 2, 5, &text);
    assert_eq!(kept(&mut harness), [2, 5, 5, 0, 0]);
    write(&mut harness, 4, 3, &text);
    assert_eq!(kept(&mut harness), [0, 4, 5, 0, 3], "so many bytes in all, the oldest first");
}

#[test]
fn a_session_has_bounds_in_invites_players_and_bytes() {
    let limits = Limits { session_bytes: Size(300 << 10), ..Limits::default() };
    let mut harness = Harness::new(ServiceSettings { limits, ..ServiceSettings::default() });
    let (ann, bob) = (player("ann"), player("bob"));
    let path = harness.session(&ann, "default");
    fill(&mut harness, &path, &["bob"]);
    let invented = |from: usize, count: usize| (from..from + count).map(|n| uuid(&format!("p{n}"))).collect::<Vec<_>>();
    let invite = |from: usize, count: usize, overflow: &str| {
        let players = invented(from, count);
        let path = format!("{}/player/{}:invite", path.replace("/v1/", "/v2/"), players[0]);
        (path, json!({"player_uuids": players[1..], "team_id": 0, "overflow_action": overflow}))
    };
    let ask =
        |harness: &mut Harness, who: &Caller, (path, body): (String, Value)| harness.code(who, "POST", &path, body);
    let grant = format!("{path}/player/{}/permission/invite", uuid("bob"));
    harness.json(&ann, "PATCH", &grant, Value::Null);
    assert_eq!(ask(&mut harness, &bob, invite(0, 1, "overfill")), "insufficient_permissions", "no admin");
    assert_eq!(ask(&mut harness, &bob, invite(0, 14, "fail")), "", "as many as there are places");
    assert_eq!(ask(&mut harness, &ann, invite(20, 84, "overfill")), "", "100 on a team of 16");
    assert_eq!(ask(&mut harness, &ann, invite(200, 1, "overfill")), "team_full");

    harness.json(&ann, "PATCH", &path, json!({"teams": [{"max_size": 100}, {"max_size": 16}]}));
    let mut next = invite(300, 100, "overfill");
    next.1["team_id"] = json!(1);
    assert_eq!(ask(&mut harness, &ann, next), "", "198 of 464 that may be open");
    harness.json(&ann, "PATCH", &path, json!({"custom_data": {"k": "v".repeat(4096)}}));
    let data = |count: usize| (0..count).map(|n| (n.to_string(), "y".repeat(4096))).collect::<BTreeMap<_, _>>();
    let code = harness.code(&ann, "PATCH", &path, json!({"custom_data": data(60)}));
    assert_eq!(code, "record_too_large");
    let own = format!("{}/player/{}", path.replace("/v1/", "/v2/"), uuid("bob"));
    assert_eq!(harness.code(&bob, "POST", &own, json!({"custom_data": data(17)})), "record_too_large", "one player");
    assert_eq!(harness.code(&bob, "POST", &own, json!({"custom_data": data(15)})), "");
    harness.json(&bob, "DELETE", &format!("{path}/player/me"), Value::Null);

    let small = harness.session(&player("carl"), "default");
    let v2 = small.replace("/v1/", "/v2/");
    let many = json!({"player_uuids": invented(500, 98), "overflow_action": "overfill"});
    harness.json(&player("carl"), "POST", &format!("{v2}/player/{}:invite", uuid("p499")), many);
    harness.json(&player("carl"), "PATCH", &small, json!({"teams": [{}, {"max_size": 1}]}));
    for (n, expected) in [(700, ""), (701, "too_many_invites")] {
        let path = format!("{v2}/player/{}:invite", uuid(&format!("p{n}")));
        let code = harness.code(&player("carl"), "POST", &path, json!({"team_id": 1, "overflow_action": "overfill"}));
        assert_eq!(code, expected, "{n}");
    }
}

#[test]
fn an_event_about_many_players_is_kept_once() {
    let mut harness = harness();
    let ann = player("ann");
    let path = harness.session(&ann, "default");
    let players: Vec<String> = (0..500).map(|n| uuid(&format!("p{n}"))).collect();
    let stored = |harness: &Harness| format!("{:?}", harness.state).len();
    let body = json!({"event_name": "e", "session_id": id(&path), "players": players,
        "custom_data": (0..5).map(|n| (n.to_string(), "y".repeat(4096))).collect::<BTreeMap<_, _>>()});
    let (before, size) = (stored(&harness), body.to_string().len());
    harness.json(&ann, "POST", "/session/v1/audit", body);
    let grown = stored(&harness) - before;
    assert!(grown < 4 * size, "a request of {size} bytes costs {grown}");
    let of_one = format!("/session/v1/audit?session_id={}&player_uuid={}", id(&path), players[321]);
    let events = harness.json(&ann, "GET", &of_one, Value::Null)["events"].clone();
    assert_eq!((events.as_array().unwrap().len(), &events[0]["player_uuid"]), (1, &json!(players[321])));
    let large = json!({"event_name": "e", "session_id": id(&path), "custom_data": (0..20).map(|n| (n.to_string(), "y".repeat(4096))).collect::<BTreeMap<_, _>>()});
    assert_eq!(harness.code(&ann, "POST", "/session/v1/audit", large), "record_too_large");
}
