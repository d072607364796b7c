//! Operations are transactions: what isn't answered with success has changed nothing, and what was
//! is there after a restart.

use super::{
    moment::Moment,
    stage::{Stage, create, settings, uuid, who},
    testing::{Harness, player},
};
use crate::{
    model::{events::Notification, ids::SessionId},
    service::{
        http::{
            reply::{Interrupt, conflict},
            route::{Found, Router, Run},
        },
        ops,
        settings::ServiceSettings,
        state::journal::FeedItem,
    },
};
use http::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

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
    let writes = writes.filter(|row| row.method != Method::GET && matches!(row.run, Run::Now(_)));
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
