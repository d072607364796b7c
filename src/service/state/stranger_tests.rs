//! Strangers and every operation: a player who isn't in a session, a client without permissions and
//! the host of another session change nothing of it, and learn nothing beyond the limited view.

use super::{
    testing::{player, server},
    transaction_tests::requests::{Stage, create, join, registration, uuid, who},
};
use crate::service::{
    auth::Caller,
    http::{
        reply::Interrupt,
        route::{Access, Found, Handler, Router},
    },
    ops,
};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Goes wherever the limited view shows nothing.
const SECRET: &str = "SECRET";
/// `SECRET` in a platform's own alphabet.
const PLATFORM_ID: &str = "SECRETcGFydHk";

/// A request: method, path, body.
type Request = (&'static str, String, Value);

/// Waits for something, and so is tried over HTTP: whose events and notifications by `service_refusals`, whose server by
/// `another_client_learns_nothing_of_a_server_and_takes_nothing_from_it`.
const LATER: &[&str] = &[
    "sic_state",
    "get_player_events_self",
    "player_long_poll_for_notifications_self",
    "player_long_poll_for_notifications",
    "login",
    // About no session.
    "readyz",
    "metrics",
];

/// The stage, closed to everybody who isn't invited and full of secrets.
fn closed() -> Stage {
    let mut stage = Stage::new();
    let (s, t) = (format!("/session/v1/session/{}", stage.session), format!("/session/v1/session/{}", stage.other));
    let secret = json!({"k": SECRET});
    let shut =
        json!({"joinability": {"open": false, "friends": false, "platform": false}, "browser": {"custom_data": {}}});
    let info = json!({"custom_data": secret, "join_status": "joinable",
        "join_params": {"public_conn_str": SECRET, "private_conn_str": SECRET, "custom_data": secret}});
    let furniture = [
        ("PATCH", s.clone(), shut.clone()),
        ("PATCH", t, shut),
        ("PATCH", format!("{s}/instance"), info),
        (
            "POST",
            format!("/session/v1/platform/Basic/platform-session/{PLATFORM_ID}/session/{}", stage.session),
            Value::Null,
        ),
        ("POST", format!("{}/player/{}", s.replace("/v1/", "/v2/"), uuid("bob")), json!({"custom_data": secret})),
        (
            "POST",
            "/session/v1/audit".into(),
            json!({"event_name": "e", "session_id": stage.session, "custom_data": secret}),
        ),
        ("PUT", format!("/friends/v2/player/{}/friend/{}", uuid("ann"), uuid("bob")), json!({"notes": SECRET})),
        (
            "POST",
            format!("/notification/v1/player/{}/notification", uuid("bob")),
            json!({"notifications": [{"message": SECRET, "custom_data": {}}]}),
        ),
    ];
    for (method, path, body) in furniture {
        stage.harness.json(&who("admin"), method, &path, body);
    }
    let presence = json!({"session_id": stage.session});
    stage.harness.json(&who("bob"), "PUT", "/session/v1/player/me/presence-session", presence);
    stage
}

/// A session of the stranger's own to which it has invited the others, if it can have one.
fn own_session(stage: &mut Stage, stranger: &Caller) -> String {
    if stranger.permissions.is_empty() {
        return stage.other.clone();
    }
    let mut new = create();
    new["force_create"] = true.into();
    let made = stage.harness.json(stranger, "POST", "/session/v1/session", new);
    let own = made["session_id"].as_str().unwrap().to_owned();
    let path = format!("/session/v1/session/{own}");
    if stranger.player.is_none() {
        let instance = json!({"instance_id": "own", "host_type": "preallocated"});
        stage.harness.json(stranger, "POST", &format!("{path}/instance"), instance);
    }
    let invite = format!("{}/player/{}:invite", path.replace("/v1/", "/v2/"), uuid("ann"));
    stage.harness.json(stranger, "POST", &invite, json!({"player_uuids": [uuid("bob"), uuid("carl")]}));
    own
}

/// Everything that a stranger could try: what is good for others, and more bodies where much depends on them.
fn requests(stage: &Stage, own: &str, stranger: &Caller) -> Vec<Request> {
    let s = format!("/session/v1/session/{}", stage.session);
    let v2 = s.replace("/v1/", "/v2/");
    let (bob, eve) = (uuid("bob"), uuid("eve"));
    let mut all: Vec<Request> = stage
        .good()
        .into_iter()
        .map(|(_, method, path, body)| (method, path.replace("cGFydHk", PLATFORM_ID), body))
        .collect();
    let number = player("bob").player.unwrap().0.as_u128() >> 76;
    let statuses = [json!({}), json!({"custom_data": {"k": "w"}}), json!({"team_id": 1})].into_iter();
    let statuses = statuses.chain(["leader", "member", "invited", "reserved"].map(|status| json!({"status": status})));
    for body in statuses {
        for at in [bob.clone(), eve.clone(), format!("uuid/{bob}"), format!("id/{number}")] {
            all.push(("POST", format!("{s}/player/{at}"), body.clone()));
        }
    }
    let event = |more: Value| {
        let mut event = json!({"event_name": "e", "session_id": stage.session});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let oneself = stranger.player.map_or_else(|| eve.clone(), |player| player.to_string());
    all.extend([
        ("POST", "/session/v1/audit".to_owned(), event(json!({"player_uuid": oneself}))),
        ("POST", "/session/v1/audit".to_owned(), event(json!({"players": [oneself]}))),
        ("DELETE", format!("/session/v1/session/{own}/kicked-session/{}", stage.session), Value::Null),
        ("DELETE", format!("{s}/kicked-session/{own}"), Value::Null),
        ("POST", format!("/session/v1/session/{own}/invited-session/{}:invite", stage.session), json!({})),
        ("POST", format!("{s}/invited-session/{own}:invite"), json!({})),
        ("POST", format!("{v2}/player/{eve}:promote"), Value::Null),
        ("POST", format!("{v2}/player/{eve}:move"), json!({"team_id": 1})),
        ("PUT", "/session/v1/player/me/presence-session".to_owned(), json!({"session_id": stage.session})),
        ("POST", "/instances/sic_registration/v3/register".to_owned(), json!({"items": [registration("s1")]})),
        (
            "POST",
            "/instances/sic_registration/v3/register".to_owned(),
            json!({"items": [{"id": "s1", "public_host": "evil", "public_port": 1, "incarnation": "other"}]}),
        ),
    ]);
    all.extend(reads(stage).into_iter().map(|path| ("GET", path, Value::Null)));
    all
}

/// Every path that can be read, about the session and those in it.
fn reads(stage: &Stage) -> Vec<String> {
    let number = player("bob").player.unwrap().0.as_u128() >> 76;
    let values = [
        ("{session_id}", stage.session.clone()),
        ("{player_uuid}", uuid("bob")),
        ("{other_player_uuid}", uuid("ann")),
        ("{player_id}", number.to_string()),
        ("{platform}", "Basic".to_owned()),
        ("{platform_session_id_base64}", PLATFORM_ID.to_owned()),
        ("{deserter_id}", super::transaction_tests::requests::RULE.to_owned()),
        ("{session_type}", "default".to_owned()),
        ("{vivox_action}", "join".to_owned()),
        ("{notification_id}", "1".to_owned()),
    ];
    let rows = ops::tables().into_iter().flatten().filter(|row| row.method == Method::GET);
    let paths = rows.filter(|row| matches!(row.run, Handler::Now(_))).map(|row| {
        let path = values.iter().fold(row.path.to_owned(), |path, (name, value)| path.replace(name, value));
        // What is left names something of the configuration that isn't there.
        let path = path.split('/').map(|part| if part.contains('{') { RULE_OF_NOBODY } else { part });
        path.collect::<Vec<_>>().join("/")
    });
    let mut paths: Vec<String> = paths.collect();
    paths.extend([
        format!("/session/v1/audit?session_id={}", stage.session),
        format!("/session/v1/audit?session_id={}&player_uuid={}", stage.session, uuid("eve")),
        format!("/session/v1/audit?player_uuid={}", uuid("bob")),
        "/session/v1/browser?session_type=default".to_owned(),
    ]);
    paths
}

const RULE_OF_NOBODY: &str = "00000000-0000-0000-0000-0000000000ff";

/// What isn't the stranger's: both sessions with their leases, who is told what, and everything about those in them.
fn of_others(stage: &Stage, own: &str, stranger: &Caller) -> String {
    let state = &stage.harness.state;
    let sessions =
        [&stage.session, &stage.other].into_iter().filter(|id| *id != own || stranger.permissions.is_empty());
    let sessions: Vec<String> = sessions
        .map(|id| {
            let entry = state.sessions.get(&crate::model::ids::SessionId::new(id.as_str()).unwrap());
            entry.map_or_else(String::new, |entry| {
                let alive =
                    (entry.lease_until, entry.host_heard, entry.hidden, &entry.health_checks, entry.backfill_heard);
                format!("{:?} {alive:?} {:?}", entry.record(), entry.seen)
            })
        })
        .collect();
    let audit: Vec<_> = [&stage.session, &stage.other]
        .map(|id| {
            let query = super::audit::Query { session_id: Some(id.clone()), ..<_>::default() };
            state.audit.page(&query, 0, 1000)
        })
        .into();
    let servers: Vec<_> = state.servers.iter().filter(|server| server.subject != stranger.subject).collect();
    let told: Vec<usize> = ["ann", "bob", "carl", "dora"]
        .map(|name| {
            let player = player(name).player.unwrap();
            state.events.newest_first(player, super::testing::at(0).mono, &state.settings.limits).count()
        })
        .into();
    format!(
        "{sessions:?} {audit:?} {servers:?} {told:?} {:?} {:?} {:?}",
        state.friends, state.presence, state.deserters
    )
}

fn may_call(row: &crate::service::http::route::Row, caller: &Caller) -> bool {
    match row.access {
        Access::Nothing | Access::Login => true,
        Access::AnyOf(permissions) => caller.may(permissions),
    }
}

#[test]
fn a_stranger_changes_nothing_and_learns_nothing_beyond_the_limited_view() {
    let router = Router::new(&ops::tables());
    let strangers = [player("eve"), Caller { permissions: BTreeSet::new(), ..server("nothing") }, server("rival")];
    let mut tried = BTreeSet::new();
    let mut wrong = Vec::new();
    for stranger in &strangers {
        let mut stage = closed();
        let mut own = own_session(&mut stage, stranger);
        for number in 0..requests(&stage, &own, stranger).len() {
            let (method, path, body) = requests(&stage, &own, stranger).swap_remove(number);
            let bare = path.split('?').next().unwrap();
            let Found::Row(row, _) = router.find(&method.parse().unwrap(), bare) else { panic!("{method} {path}") };
            tried.insert(row.operation);
            if !may_call(row, stranger) {
                continue;
            }
            let before = of_others(&stage, &own, stranger);
            let answer = stage.harness.ask(stranger, method, &path, body.clone());
            let said = match &answer {
                Ok(reply) => String::from_utf8_lossy(&reply.body).into_owned(),
                Err(Interrupt::Refused(refused)) => refused.desc.clone(),
                Err(_) => String::new(),
            };
            let call = format!("{} {method} {path} {body}", stranger.subject);
            if of_others(&stage, &own, stranger) != before {
                wrong.push(format!("changed by {call}: {answer:?}"));
            }
            if said.replace(&path, "").contains(SECRET) {
                wrong.push(format!("told by {call}: {said}"));
            }
            if answer.is_ok() && method != "GET" {
                stage = closed();
                own = own_session(&mut stage, stranger);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let untried: Vec<_> = ops::tables()
        .into_iter()
        .flatten()
        .filter(|row| !tried.contains(row.operation) && !LATER.contains(&row.operation))
        .collect();
    assert!(untried.is_empty(), "{untried:?}");
}

/// The same requests by whoever may: what the test above refuses is not refused for want of a good request.
#[test]
fn who_may_is_told_and_changes_what_a_stranger_can_not() {
    let mut stage = closed();
    let path = format!("/session/v1/session/{}", stage.session);
    let seen = stage.harness.json(&who("ann"), "GET", &path, Value::Null).to_string();
    assert_eq!(seen.matches(SECRET).count(), 6, "{seen}");
    let platform = format!("/session/v1/platform/Basic/platform-session/{PLATFORM_ID}/player/me");
    assert_eq!(stage.harness.code(&player("eve"), "POST", &platform, join(0)), "not_joinable");
}
