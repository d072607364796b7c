//! Operations are transactions: what isn't answered with success has changed nothing, and what was
//! is there after a restart.

use super::{
    moment::Moment,
    testing::{Harness, player, server},
};
use crate::{
    model::{events::Notification, ids::SessionId},
    service::{
        auth::Caller,
        http::{
            reply::{Interrupt, conflict},
            route::{Found, Handler, Router},
        },
        ops,
        settings::ServiceSettings,
        state::event_batch::FeedItem,
        templates::SessionType,
    },
};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const RULE: &str = "00000000-0000-0000-0000-000000000009";

/// A session with everything that an operation could be about: led by ann, with bob and carl, hosted by `admin`, listed, with a
/// platform session and a backfill. Another session of dora's. A registered server.
struct Stage {
    harness: Harness,
    session: String,
    other: String,
}

fn settings() -> ServiceSettings {
    let mut settings = ServiceSettings::default();
    let kind = SessionType { num_teams: 2, players_per_team: 8, ..SessionType::built_in() };
    settings.session_types.insert("default".into(), kind);
    settings.deserters.insert(RULE.parse().unwrap(), <_>::default());
    settings
}

/// Whoever may do everything.
fn everything(caller: Caller) -> Caller {
    let more = ["session:*", "friend:*", "notification:player:*"].map(str::to_owned);
    Caller { permissions: caller.permissions.into_iter().chain(more).collect(), ..caller }
}

fn who(name: &str) -> Caller {
    everything(if name == "admin" { server(name) } else { player(name) })
}

fn uuid(name: &str) -> String {
    player(name).player.unwrap().to_string()
}

fn join(team: u32) -> Value {
    json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "team_id": team})
}

fn create() -> Value {
    json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "session_type": "default"})
}

fn registration(id: &str) -> Value {
    json!({"id": id, "public_host": "h", "public_port": 1, "version": "1.0.0", "incarnation": "k"})
}

impl Stage {
    fn new() -> Stage {
        let mut harness = Harness::new(settings());
        let path = harness.session(&who("ann"), "default");
        for (name, team) in [("bob", 0), ("carl", 1)] {
            harness.json(&who(name), "POST", &format!("{path}/player/me"), join(team));
        }
        let mut new = create();
        new["force_create"] = true.into();
        let other = harness.json(&who("dora"), "POST", "/session/v1/session", new);
        let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        let (session, other) = (id(&path), other["session_id"].as_str().unwrap().to_owned());
        let furniture = [
            ("POST", format!("{path}/instance"), json!({"instance_id": "i1", "host_type": "preallocated"})),
            ("POST", format!("{path}/browser"), json!({"custom_data": {"k": "v"}})),
            ("POST", format!("/session/v1/platform/Basic/platform-session/cGFydHk/session/{session}"), Value::Null),
            ("PUT", format!("/session/v1/backfill/session/{session}"), json!({"teams": []})),
            ("POST", "/instances/sic_registration/v3/register".to_owned(), json!({"items": [registration("s1")]})),
        ];
        for (method, path, body) in furniture {
            harness.json(&who("admin"), method, &path, body);
        }
        Stage { harness, session, other }
    }

    /// A good request of every writing operation: who, method, path, body.
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn good(&self) -> Vec<(&'static str, &'static str, String, Value)> {
        let (s, t) = (format!("/session/v1/session/{}", self.session), format!("/session/v1/session/{}", self.other));
        let v2 = s.replace("/v1/", "/v2/");
        let number = crate::service::rules::join::player_number(player("bob").player.unwrap());
        let [ann, bob, carl, eve] = ["ann", "bob", "carl", "eve"].map(uuid);
        let platform = "/session/v1/platform/Basic/platform-session";
        let backfill = format!("/session/v1/backfill/session/{}", self.session);
        let none = Value::Null;
        let instance = json!({"instance_id": "i1"});
        let requested = json!({"host_type": "dedicated", "instance_startup_params": {"map": "m", "misc_params": ""},
            "custom_data": {"k": "v"}});
        let change = json!({"custom_data": {"k": "w"}, "region_id": "local", "joinability": {"open": true},
            "teams": [{"max_size": 9}, {}], "browser": {"custom_data": {"a": "b"}}, "allow_new_members": true});
        let mark =
            json!({"deserter_expiration": "2030-01-01T00:00:00Z", "deserter_count": 1, "custom_data": {"k": "v"}});
        let note = json!({"notifications": [{"message": "m", "custom_data": {"k": "v"}}]});
        let ended = json!({"join_params": {"public_conn_str": "a", "private_conn_str": "b"}, "version": "1.0.0"});
        let deserter = format!("/session/v1/player/{bob}/deserter");
        vec![
            ("eve", "POST", "/session/v1/session".into(), create()),
            ("admin", "PATCH", s.clone(), change),
            ("admin", "PATCH", format!("{s}/team/0"), json!({"max_size": 12, "custom_data": {"k": "v"}})),
            ("admin", "DELETE", s.clone(), none.clone()),
            ("admin", "POST", format!("{t}/instance"), requested),
            ("admin", "PATCH", format!("{s}/instance"), ended),
            ("admin", "DELETE", format!("{s}/instance"), none.clone()),
            (
                "admin",
                "POST",
                format!("{s}/instance/health"),
                json!({"instance_id": "i1", "instance_health": "healthy"}),
            ),
            ("eve", "POST", format!("{s}/player/me"), join(1)),
            ("bob", "DELETE", format!("{s}/player/me"), none.clone()),
            ("admin", "POST", format!("{s}/player/{eve}"), json!({"status": "member", "team_id": 0})),
            ("admin", "POST", format!("{s}/player/uuid/{eve}"), json!({"status": "invited"})),
            ("admin", "POST", format!("{s}/player/id/{number}"), json!({"status": "leader"})),
            ("admin", "DELETE", format!("{s}/player/{bob}"), none.clone()),
            ("admin", "DELETE", format!("{s}/player/uuid/{bob}"), none.clone()),
            ("admin", "DELETE", format!("{s}/player/id/{number}"), none.clone()),
            ("ann", "POST", format!("{v2}/player/{eve}:invite"), json!({"team_id": 0, "custom_data": {"k": "v"}})),
            ("ann", "POST", format!("{v2}/player/{bob}:promote"), none.clone()),
            ("ann", "POST", format!("{v2}/player/{bob}:move"), json!({"team_id": 1})),
            ("ann", "POST", format!("{v2}/player/{bob}"), json!({"custom_data": {"k": "v"}})),
            ("ann", "POST", format!("{s}/player:swap"), json!({"players": [bob, carl]})),
            ("ann", "PATCH", format!("{s}/player/{bob}/permission/invite"), none.clone()),
            ("ann", "DELETE", format!("{s}/player/{bob}/permission/invite"), none.clone()),
            ("admin", "POST", format!("{s}/invited-session/{}:invite", self.other), json!({"team_id": 0})),
            ("admin", "DELETE", format!("{s}/kicked-session/{}", self.other), none.clone()),
            ("ann", "POST", format!("{s}:generate-short-code"), none.clone()),
            ("dora", "POST", format!("{platform}/bmV3/session/{}", self.other), none.clone()),
            ("ann", "DELETE", format!("{platform}/cGFydHk/session/{}", self.session), none.clone()),
            ("eve", "POST", format!("{platform}/cGFydHk/player/me"), join(0)),
            ("admin", "POST", format!("{platform}/cGFydHk/player/{eve}"), join(0)),
            ("bob", "DELETE", format!("{platform}/cGFydHk/player/me"), none.clone()),
            ("admin", "DELETE", format!("{platform}/cGFydHk/player/{bob}"), none.clone()),
            ("admin", "PUT", backfill.clone(), json!({"teams": [], "players": [{"player_uuid": eve}]})),
            ("admin", "POST", backfill.clone(), json!({"instance_id": "i1", "extensions": {"k": "v"}})),
            ("admin", "PATCH", backfill.clone(), json!({"instance_id": "i1", "teams": []})),
            ("admin", "DELETE", backfill, instance),
            ("admin", "POST", format!("{s}/browser"), json!({"custom_data": {"k": "w"}})),
            ("admin", "PATCH", format!("{s}/browser"), json!({"custom_data": {"k": "w"}})),
            ("admin", "DELETE", format!("{s}/browser"), none.clone()),
            ("eve", "POST", "/session/v1/browser:search".into(), json!({"session_type": "default"})),
            ("eve", "POST", "/session/v1/matchmaking".into(), json!({"create": create()})),
            ("bob", "PUT", "/session/v1/player/me/presence-session".into(), json!({"session_id": self.session})),
            ("bob", "DELETE", "/session/v1/player/me/presence-session".into(), none.clone()),
            ("ann", "PUT", format!("/friends/v2/player/{ann}/friend/{bob}"), json!({"notes": "n"})),
            ("ann", "DELETE", format!("/friends/v2/player/{ann}/friend/{bob}"), none.clone()),
            ("ann", "DELETE", format!("/friends/v2/player/{ann}/friend"), json!({"friends": [bob]})),
            ("ann", "POST", "/notification/v1/player/me/notification".into(), note.clone()),
            ("admin", "POST", format!("/notification/v1/player/{bob}/notification"), note),
            ("admin", "PUT", format!("{deserter}/{RULE}"), mark),
            ("admin", "DELETE", format!("{deserter}/{RULE}"), none.clone()),
            ("admin", "DELETE", deserter, none.clone()),
            ("admin", "POST", "/session/v1/deserter:clear".into(), none.clone()),
            ("admin", "POST", format!("/session/v1/deserter/{RULE}:clear"), none),
            ("ann", "POST", "/session/v1/audit".into(), json!({"event_name": "e", "session_id": self.session})),
            (
                "admin",
                "POST",
                "/instances/sic_registration/v3/register".into(),
                json!({"items": [registration("s1"), registration("s2")]}),
            ),
            ("admin", "POST", "/instances/sic_registration/v1/deregister".into(), json!({"items": [{"id": "s1"}]})),
        ]
    }

    fn picture(&self) -> String {
        format!("{:?}", self.harness.state)
    }
}

/// The body with one value spoilt or left out, for each value in it.
fn spoilt(body: &Value) -> Vec<Value> {
    let mut pointers = Vec::new();
    gather(body, String::new(), &mut pointers);
    let mut all = vec![json!("no object"), json!([1])];
    for pointer in pointers {
        for bad in
            [json!({"no": {"such": "thing"}}), json!("maybe"), json!(-1), json!([["x"]]), json!("x".repeat(5000))]
        {
            let mut body = body.clone();
            *body.pointer_mut(&pointer).unwrap() = bad;
            all.push(body);
        }
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut body = body.clone();
        if let Some(Value::Object(members)) = body.pointer_mut(parent) {
            members.remove(name);
            all.push(body);
        }
    }
    all
}

fn gather(value: &Value, pointer: String, all: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in below {
        gather(value, format!("{pointer}/{name}"), all);
    }
    if !pointer.is_empty() {
        all.push(pointer);
    }
}

/// Good requests with one bad parameter each: in the path, in the query, in the body.
fn bad(router: &Router, method: &str, path: &str, body: &Value) -> Vec<(String, Value)> {
    let Found::Row(_, parameters) = router.find(&method.parse().unwrap(), path) else { panic!("{method} {path}") };
    let mut all = Vec::new();
    for (_, value) in parameters {
        for other in ["x".repeat(5000), "nobody".to_owned(), "-1".to_owned()] {
            all.push((path.replacen(&value, &other, 1), body.clone()));
        }
    }
    for query in ["refresh_ttl=maybe", "reason=", "cursor=x", "page_size=x"] {
        all.push((format!("{path}?{query}"), body.clone()));
    }
    if !body.is_null() {
        all.extend(spoilt(body).into_iter().map(|body| (path.to_owned(), body)));
        all.push((path.to_owned(), Value::Null));
    }
    all
}

#[test]
fn every_operation_with_every_bad_parameter_changes_nothing_unless_it_succeeds() {
    let router = Router::new(&ops::tables());
    let requests = Stage::new().good();
    let (mut tried, mut refused) = (BTreeSet::new(), 0);
    for (number, (name, method, _, _)) in requests.iter().enumerate() {
        let mut stage = Stage::new();
        let (_, _, path, body) = stage.good().swap_remove(number);
        let Found::Row(row, _) = router.find(&method.parse().unwrap(), &path) else { panic!("{path}") };
        tried.insert(row.operation);
        for (at, (bad_path, bad_body)) in bad(&router, method, &path, &body).into_iter().enumerate() {
            // Ids differ from stage to stage.
            let (bad_path, bad_body) = if at == 0 {
                (bad_path, bad_body)
            } else {
                let (_, _, path, body) = stage.good().swap_remove(number);
                bad(&router, method, &path, &body).swap_remove(at)
            };
            let before = stage.picture();
            match stage.harness.ask(&who(name), method, &bad_path, bad_body.clone()) {
                Err(why) => {
                    refused += 1;
                    assert!(
                        stage.picture() == before,
                        "{method} {bad_path} {bad_body} was refused ({why:?}) and changed something"
                    );
                }
                Ok(_) => stage = Stage::new(),
            }
        }
        let (_, _, path, body) = stage.good().swap_remove(number);
        stage.harness.json(&who(name), method, &path, body);
    }
    assert!(refused > 800, "{refused}");
    let writes = ops::tables().into_iter().flatten();
    let writes = writes.filter(|row| row.method != Method::GET && matches!(row.run, Handler::Now(_)));
    let untried: Vec<_> = writes.filter(|row| !tried.contains(row.operation)).collect();
    assert!(untried.is_empty(), "{untried:?}");
}

#[test]
fn what_was_answered_is_there_after_a_restart() {
    let read = |stage: &mut Stage| -> Vec<String> {
        let s = format!("/session/v1/session/{}", stage.session);
        let [ann, bob] = ["ann", "bob"].map(uuid);
        let paths = [
            s.clone(),
            format!("{s}/player"),
            format!("/session/v1/session/{}", stage.other),
            format!("/session/v1/player/{bob}/session"),
            "/session/v1/browser?session_type=default".to_owned(),
            format!("/friends/v2/player/{ann}/friend"),
            format!("/session/v1/player/{bob}/presence-session"),
            format!("/session/v1/player/{bob}/deserter"),
            "/session/v1/deserter".to_owned(),
            format!("/session/v1/audit?session_id={}", stage.session),
            format!("/notification/v1/player/{bob}/notification?page_size=100"),
        ];
        let answers = paths.iter().map(|path| match stage.harness.ask(&who("admin"), "GET", path, Value::Null) {
            Ok(reply) => format!("{path} {:?} {:?}", reply.etag, reply.body),
            Err(Interrupt::Refused(refused)) => format!("{path} {}", refused.code),
            Err(other) => panic!("{path}: {other:?}"),
        });
        answers.collect()
    };
    let requests = Stage::new().good().len();
    for number in 0..requests {
        let mut stage = Stage::new();
        let (name, method, path, body) = stage.good().swap_remove(number);
        stage.harness.json(&who(name), method, &path, body);
        let before = read(&mut stage);
        let Stage { harness, session, other } = stage;
        let mut stage = Stage { harness: harness.restart(settings()), session, other };
        let after = read(&mut stage);
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before, after, "after {method} {path}");
        }
    }
}

fn id(path: &str) -> SessionId {
    SessionId::new(path.rsplit('/').next().unwrap()).unwrap()
}

#[test]
fn a_session_gets_one_version_and_its_members_one_event_however_often_an_operation_changes_it() {
    let (mut harness, ann) = (Harness::new(ServiceSettings::default()), player("ann"));
    let id = id(&harness.session(&ann, "default"));
    let told = harness.state.events.last();
    let moment = Moment::new(super::testing::at(1));
    let (seen, _) = harness.state.transact(&moment, |tx| {
        for text in ["a", "b", "c"] {
            tx.update(&id, |session| {
                session.custom_data.insert("k".into(), text.into());
                Ok(())
            })?;
        }
        tx.session(id.as_str()).map(|session| session.version)
    });
    let session = harness.state.transact(&moment, |tx| tx.session(id.as_str())).0.unwrap();
    assert_eq!((seen.unwrap(), session.version, session.custom_data["k"].as_str()), (2, 2, "c"));
    assert_eq!(harness.state.events.last(), told + 1);
}

#[test]
fn a_change_that_fails_is_no_part_of_what_an_operation_commits() {
    let (mut harness, ann) = (Harness::new(ServiceSettings::default()), player("ann"));
    let id = id(&harness.session(&ann, "default"));
    let moment = Moment::new(super::testing::at(1));
    let committed = harness.state.transact(&moment, |tx| {
        tx.update(&id, |session| {
            session.lan = true;
            Ok(())
        })?;
        let failed = tx.update(&id, |session| -> Result<(), Interrupt> {
            session.lan = false;
            session.teams.clear();
            Err(conflict("no", "no"))
        });
        assert!(failed.is_err());
        Ok(())
    });
    assert!(committed.0.is_ok());
    let session = harness.state.transact(&moment, |tx| tx.session(id.as_str())).0.unwrap();
    assert!(session.lan && !session.teams.is_empty());
}

#[test]
fn an_operation_that_is_run_again_makes_the_same_ids_and_leaves_nothing_of_its_first_run() {
    let mut harness = Harness::new(ServiceSettings::default());
    let ann = player("ann").player.unwrap();
    let moment = Moment::new(super::testing::at(1));
    let before = format!("{:?}", harness.state);
    let mut made = Vec::new();
    for run in 0..2 {
        let (outcome, _) = harness.state.transact(&moment, |tx| {
            made.push((tx.new_uuid(), tx.new_uuid()));
            let note = Notification {
                message: "m".into(),
                rh_url: None,
                custom_data: <_>::default(),
                etag: None,
                notification_id: String::new(),
                created: tx.now.wall,
            };
            tx.tell(ann, FeedItem::Note(note));
            if run == 0 { Err(conflict("later", "something is missing")) } else { Ok(()) }
        });
        assert_eq!(outcome.is_ok(), run == 1);
        assert_eq!(format!("{:?}", harness.state) == before, run == 0);
    }
    assert_eq!(made[0], made[1]);
    assert_ne!(made[0].0, made[0].1);
    let (other, _) = harness.state.transact(&Moment::new(moment.now), |tx| Ok(tx.new_uuid()));
    assert_ne!(other.unwrap(), made[0].0);
}

#[test]
fn a_search_looks_at_so_many_sessions_and_says_that_there_are_more() {
    let mut harness = Harness::new(ServiceSettings::default());
    let (admin, eve) = (who("admin"), player("eve"));
    let mut new = create();
    new["force_create"] = true.into();
    for _ in 0..2_000 {
        harness.json(&admin, "POST", "/session/v1/session", new.clone());
    }
    let search = |harness: &mut Harness| {
        harness.json(&eve, "POST", "/session/v1/browser:search", json!({"session_type": "default"}))
    };
    let whole = search(&mut harness);
    assert_eq!((whole["session_ids"].as_array().unwrap().len(), whole.get("cut")), (50, None));
    new["settings"] = json!({"browser": {"custom_data": {"k": "v"}}});
    harness.json(&admin, "POST", "/session/v1/session", new);
    let cut = search(&mut harness);
    assert_eq!((cut["session_ids"].as_array().unwrap().len(), &cut["cut"]), (50, &json!(true)));
}
