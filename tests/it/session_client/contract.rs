//! Every call is an operation of the service, with a body that its document accepts; where the
//! published contract is there, that one accepts it, too.

use super::{call, id, session, start};
use crate::contract::{contract, published};
use crate::support::scripted::{Logins, health_config};
use gameside::model::{
    CustomData,
    calls::{Call, NewSession},
    ids::PlayerUuid,
    session::{
        BackfillAck, BackfillNeed, BackfillStyle, BackfillUpdate, InstanceHealth, InstanceUpdate, JoinStatus,
        StartupParams, TeamOverflow,
    },
    time::Timestamp,
};
use serde_json::{Value, json};

/// A call, the operation of the contract that it is, and a good answer.
type Row = (Call, &'static str, &'static str, Value);

const SESSION: &str = "/v1/session/{session_id}";
const INSTANCE: &str = "/v1/session/{session_id}/instance";
const BACKFILL: &str = "/v1/backfill/session/{session_id}";
const PLAYER: &str = "/v1/session/{session_id}/player/{player_uuid}";

fn data() -> CustomData {
    CustomData::from([("k".to_owned(), "v".to_owned())])
}

fn session_calls() -> Vec<Row> {
    let new = NewSession {
        request: "a1".into(),
        session_type: "match".into(),
        region: Some("eu".into()),
        version: None,
        startup_params: StartupParams::default(),
        joinable: true,
        browser: data(),
        custom_data: data(),
        teams: vec![4, 4],
    };
    let found = Call::FindAllocation { allocation: "a1".parse().unwrap() };
    let listed = Call::UpdateBrowser { session: id("s1"), data: data() };
    vec![
        (Call::CreateSession(Box::new(new)), "post", "/v1/session", json!({"session_id": "s1"})),
        (Call::ReadSession { session: id("s1") }, "get", SESSION, session()),
        (found, "get", "/v1/session/allocation/{allocation_id}", session()),
        (Call::DeleteSession { session: id("s1") }, "delete", SESSION, Value::Null),
        (listed, "post", "/v1/session/{session_id}/browser", json!({})),
    ]
}

fn host_calls() -> Vec<Row> {
    let patch = InstanceUpdate { join_status: Some(JoinStatus::Pending), ..InstanceUpdate::default() };
    let patch = Call::PatchInstance { session: id("s1"), body: Box::new(patch) };
    let post = Call::PostInstance { session: id("s1"), body: Box::default() };
    let health = InstanceHealth::Healthy;
    let health = Call::PostHealth { session: id("s1"), instance: "i1".parse().unwrap(), health };
    let info = json!({"instance_id": "i1", "host_type": "preallocated", "join_status": "pending",
        "created": "2026-11-21T10:00:00.000Z"});
    let now = json!({"updated_instance_health": "healthy"});
    vec![
        (post, "post", INSTANCE, info.clone()),
        (patch, "patch", INSTANCE, info),
        (health, "post", "/v1/session/{session_id}/instance/health", now),
        (Call::HealthConfig, "get", "/v1/instance/health/config", health_config()),
    ]
}

fn side_calls() -> Vec<Row> {
    let (session, player) = (id("s1"), PlayerUuid(uuid::Uuid::nil()));
    let instance_id: gameside::model::ids::InstanceId = "i1".parse().unwrap();
    let ack = BackfillAck {
        instance_id: instance_id.clone(),
        extensions: data(),
        overflow_action: TeamOverflow::default(),
        styles: vec![BackfillStyle::TeamRequest],
    };
    let need = BackfillNeed { team_id: 0, players_required: 2 };
    let need = BackfillUpdate { instance_id: instance_id.clone(), teams: vec![need], additional_join_params: None };
    let audit = Call::Audit {
        session: session.clone(),
        instance: instance_id.clone(),
        name: "pending",
        reason: Some("why".into()),
        at: Timestamp::EPOCH,
    };
    let ack = Call::AckBackfill { session: session.clone(), body: Box::new(ack) };
    let delete = Call::DeleteBackfill { session: session.clone(), instance: instance_id };
    let add = Call::AddPlayer { session: session.clone(), player, team: Some(1) };
    vec![
        (Call::BackfillConfig, "get", "/v1/backfill/config", json!({"timeout": 12.5})),
        (ack, "post", BACKFILL, json!({})),
        (Call::UpdateBackfill { session: session.clone(), body: need }, "patch", BACKFILL, Value::Null),
        (delete, "delete", BACKFILL, Value::Null),
        (add, "post", PLAYER, json!({"status": "member", "team_id": 1})),
        (Call::RemovePlayer { session, player }, "delete", PLAYER, Value::Null),
        (audit, "post", "/v1/audit", Value::Null),
    ]
}

#[tokio::test]
async fn every_call_is_an_operation_of_the_contract() {
    let (mut server, session_client, _backend) = start(Logins::Server).await;
    for (asked, method, template, answer) in session_calls().into_iter().chain(host_calls()).chain(side_calls()) {
        let name = format!("{asked:?}");
        let path = format!("/session{template}");
        let operations = [Some(contract()), published()].into_iter().flatten().map(|contract| {
            let all = contract.operations().into_iter();
            let mut found = all.filter(|known| known.path == path && known.method.to_lowercase() == method);
            (contract, found.next().unwrap_or_else(|| panic!("{method} {path} is no operation")))
        });
        let running = call(&session_client, asked);
        let request = server.next().await;
        assert_eq!(request.method.to_lowercase(), method, "{name}");
        let expected = template.replace("{session_id}", "s1").replace("{allocation_id}", "a1");
        let expected = expected.replace("{player_uuid}", &uuid::Uuid::nil().to_string());
        assert_eq!(request.path, format!("/session{expected}"));
        for (contract, operation) in operations {
            let takes = operation.document["requestBody"].is_object();
            assert_eq!(takes, !request.body.is_null(), "{name}: a body where the contract has one");
            if takes {
                assert_eq!(contract.check_request(&operation, &request.body), Ok(()), "{name}: {}", request.body);
            }
        }
        if answer.is_null() {
            request.answer(204, "", "");
        } else {
            request.json(200, &answer);
        }
        let outcome = running.await.unwrap();
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}
