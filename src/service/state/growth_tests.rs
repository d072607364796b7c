//! What a request costs: for every writing operation, memory, store and answer grow by a small
//! multiple of what was sent, and however often it is sent, by no more than the limits say. The
//! table is printed (`--nocapture`).

use super::{
    testing::player,
    transaction_tests::requests::{Stage, settings, who},
};
use crate::{
    model::units::Size,
    service::{
        http::{
            reply::Interrupt,
            route::{Found, Handler, Router},
        },
        ops,
        settings::Limits,
        store::{Store as _, Table},
    },
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Free texts of so many KiB.
fn texts(kib: usize) -> Value {
    (0..kib).map(|n| (format!("k{n}"), Value::from("y".repeat(1000)))).collect::<serde_json::Map<_, _>>().into()
}

fn uuids(count: usize) -> Vec<String> {
    (0..count).map(|n| player(&format!("p{n}")).player.unwrap().to_string()).collect()
}

/// The same request with as much in it as it takes.
fn inflated(operation: &str, body: &Value, kib: usize) -> Value {
    let mut body = body.clone();
    inflate(&mut body, kib);
    let members = body.as_object_mut().unwrap();
    match operation {
        "create_session_audit" => {
            members.insert("custom_data".into(), texts(kib));
            members.insert("players".into(), uuids(1000).into());
        }
        "invite_player_by_uuid_v2" => {
            members.insert("player_uuids".into(), uuids(90).into());
            members.insert("overflow_action".into(), "overfill".into());
        }
        "create_or_join_session" => {
            members.insert("settings".into(), json!({"custom_data": texts(kib)}));
        }
        "update_session_player_by_uuid_v2"
        | "update_session_player_by_uuid"
        | "update_session_player_by_id"
        | "update_instance_info" => {
            members.insert("custom_data".into(), texts(kib));
        }
        "put_backfill" => {
            members.insert("extensions".into(), texts(kib));
            let players = uuids(90).into_iter().map(|player| json!({ "player_uuid": player }));
            members.insert("players".into(), players.collect());
            members.insert("overflow_action".into(), "partial_with_overflow".into());
        }
        "sic_register" => {
            let tags = "t".repeat(1 << 10);
            let one =
                |n: usize| json!({"id": format!("s{n}"), "public_host": "h", "public_port": 1, "group_tags": tags});
            members.insert("items".into(), (1..=100).map(one).collect());
        }
        "player_create_notification" | "player_create_notification_self" => {
            let one = members["notifications"][0].clone();
            members.insert("notifications".into(), vec![one; 90].into());
        }
        _ => {}
    }
    body
}

fn inflate(value: &mut Value, kib: usize) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if name == "custom_data" || name == "extensions" { *value = texts(kib) } else { inflate(value, kib) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| inflate(item, kib)),
        _ => {}
    }
}

/// Where the limits are soon met.
fn narrow() -> Stage {
    let kib = |size: u64| Size(size << 10);
    let limits = Limits {
        audit_bytes_per_session: kib(64),
        event_bytes_per_player: kib(64),
        session_bytes: kib(128),
        sessions_per_player: 4,
        ..Limits::default()
    };
    Stage::with(crate::service::settings::ServiceSettings { limits, ..settings() })
}

/// Bytes: what was sent, what the state and the store grew by, the largest answer.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    sent: usize,
    memory: usize,
    store: usize,
    answer: usize,
}

/// What the store holds once everything is written.
fn stored(stage: &mut Stage) -> usize {
    stage.harness.state.finish();
    let mut rows = stage.harness.rows.clone();
    let rows = Table::ALL.into_iter().flat_map(|table| rows.read(table).unwrap());
    rows.map(|(key, value)| key.len() + value.len()).sum()
}

/// Sends the request of that number so often. None: it was refused for its size.
fn cost_of(number: usize, operation: &str, times: usize, kib: usize) -> Option<Cost> {
    let stage = || if times == 1 { Stage::new() } else { narrow() };
    let (mut untouched, mut stage) = (stage(), stage());
    let (name, method, path, body) = stage.good().swap_remove(number);
    let body = if body.is_object() { inflated(operation, &body, kib) } else { body };
    let before = stage.picture().len();
    let mut answer = 0;
    for time in 0..times {
        match stage.harness.ask(&who(name), method, &path, body.clone()) {
            Ok(reply) => answer = answer.max(reply.body.len()),
            // Once is enough for some.
            Err(Interrupt::Refused(_)) if time > 0 => break,
            Err(Interrupt::Refused(refused)) if refused.code == "record_too_large" => return None,
            Err(other) => panic!("{method} {path}: {other:?}"),
        }
    }
    let sent = times * (path.len() + body.to_string().len());
    let memory = stage.picture().len().saturating_sub(before);
    let store = stored(&mut stage).saturating_sub(stored(&mut untouched));
    Some(Cost { sent, memory, store, answer })
}

/// The same with as much as isn't refused.
fn cost(number: usize, operation: &str, times: usize) -> Cost {
    [48, 12, 3, 0].into_iter().find_map(|kib| cost_of(number, operation, times, kib)).unwrap_or_default()
}

/// Once: at most a small multiple of the request, besides what anything costs. Often: no more than the limits let stay.
#[test]
fn no_operation_costs_more_than_a_small_multiple_of_what_was_sent() {
    const OFTEN: usize = 20;
    let router = Router::new(&ops::tables());
    let requests = Stage::new().good();
    let (mut table, mut wrong, mut measured) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (number, (_, method, path, _)) in requests.iter().enumerate() {
        let Found::Row(row, _) = router.find(&method.parse().unwrap(), path) else { panic!("{path}") };
        measured.insert(row.operation);
        for times in [1, OFTEN] {
            let Cost { sent, memory, store, answer } = cost(number, row.operation, times);
            let most = if times == 1 { 16 * sent + (96 << 10) } else { 1 << 20 };
            let line = format!("{:>45} {times:>3} {sent:>9} {memory:>9} {store:>9} {answer:>9}", row.operation);
            if sent == 0 || memory > most || store > most || answer > most {
                wrong.push(line.clone());
            }
            table.push(line);
        }
    }
    println!("{:>45} {:>3} {:>9} {:>9} {:>9} {:>9}", "operation", "", "sent", "memory", "store", "answer");
    println!("{}", table.join("\n"));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let writes = ops::tables().into_iter().flatten();
    let writes = writes.filter(|row| row.method != http::Method::GET && matches!(row.run, Handler::Now(_)));
    let others: Vec<_> = writes.map(|row| row.operation).filter(|operation| !measured.contains(operation)).collect();
    assert!(others.is_empty(), "{others:?}");
}
