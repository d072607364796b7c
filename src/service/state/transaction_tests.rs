//! Operations are transactions: what isn't answered with success has changed nothing, and what was
//! is there after a restart.

mod generated;
pub(super) mod requests;

use super::{
    moment::Moment,
    testing::{Harness, player},
};
use crate::{
    model::{events::Notification, ids::SessionId},
    service::{
        http::{
            reply::{Interrupt, conflict},
            route::{Found, Handler, Router},
        },
        ops,
        settings::ServiceSettings,
        state::event_batch::FeedItem,
    },
};
use generated::Generator;
use http::Method;
use requests::{Stage, bad, create, settings, uuid, who};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

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

/// Everything that an operation changed before it was refused is forgotten; the same operation, when it succeeds, has an effect.
#[test]
fn every_operation_that_is_refused_at_its_end_has_changed_nothing() {
    let mut idle = Vec::new();
    for number in 0..Stage::new().good().len() {
        let mut stage = Stage::new();
        let (name, method, path, body) = stage.good().swap_remove(number);
        // What lives for a while is renewed to a later moment.
        stage.harness.pass(1.0);
        let before = stage.picture();
        let mut carried_out = false;
        let refused = stage.harness.ask_then(&who(name), method, &path, body.clone(), |_| {
            carried_out = true;
            Err::<(), _>(conflict("late", "the operation was refused at its end"))
        });
        assert!(refused.is_err() && carried_out, "{method} {path} {body}: {refused:?}");
        assert!(stage.picture() == before, "{method} {path} {body} was refused at its end and changed something");
        stage.harness.json(&who(name), method, &path, body);
        if stage.picture() == before && !path.ends_with(":search") {
            idle.push(format!("{method} {path}"));
        }
    }
    assert_eq!(idle, [""; 0], "good requests that change nothing");
}

/// What everybody could read of what there is.
fn read(stage: &mut Stage) -> Vec<String> {
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
}

/// Ends the service and starts another on the same store.
fn restarted(stage: Stage) -> Stage {
    let Stage { harness, session, other } = stage;
    Stage { harness: harness.restart(settings()), session, other }
}

#[test]
fn what_was_answered_is_there_after_a_restart() {
    let requests = Stage::new().good().len();
    for number in 0..requests {
        let mut stage = Stage::new();
        let (name, method, path, body) = stage.good().swap_remove(number);
        stage.harness.json(&who(name), method, &path, body);
        let before = read(&mut stage);
        let mut stage = restarted(stage);
        let after = read(&mut stage);
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(before, after, "after {method} {path}");
        }
    }
}

/// Whatever an operation has taken can be read again by the next service, and says the same.
#[test]
fn every_body_that_is_taken_is_read_again_after_a_restart() {
    let router = Router::new(&ops::tables());
    let mut generator = Generator::new(7);
    let mut taken: BTreeMap<&str, u32> = BTreeMap::new();
    let requests = Stage::new().good();
    for (number, (name, method, path, good)) in requests.iter().enumerate() {
        let Found::Row(row, _) = router.find(&method.parse().unwrap(), path) else { panic!("{path}") };
        if !good.is_object() {
            continue;
        }
        taken.entry(row.operation).or_default();
        for _ in 0..16 {
            let mut stage = Stage::new();
            let (_, _, path, good) = stage.good().swap_remove(number);
            let body = generator.body(row.operation, &good).unwrap_or_else(|| panic!("{row:?} takes no body"));
            if stage.harness.ask(&who(name), method, &path, body.clone()).is_err() {
                continue;
            }
            *taken.entry(row.operation).or_default() += 1;
            let before = read(&mut stage);
            let mut stage = restarted(stage);
            let unread: Vec<_> = stage.harness.state.set_aside.counts().filter(|(_, count)| *count > 0).collect();
            assert_eq!(unread, [], "{method} {path} took {body}");
            for (before, after) in before.iter().zip(&read(&mut stage)) {
                assert_eq!(before, after, "{method} {path} took {body}");
            }
        }
    }
    let never: Vec<_> = taken.iter().filter(|(_, times)| **times == 0).collect();
    assert!(never.is_empty(), "no generated body was taken by {never:?}");
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
