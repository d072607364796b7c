//! Every operation once: each gives a success that the service's own document describes; router,
//! document and page list the same.

use crate::{
    contract::contract,
    service_bench::{Bench, join, settings},
    service_interface::befriend,
};
use gameside::internals::service::{
    auth::login::player_of,
    ops,
    templates::{MapChoice, RequestTemplate},
};
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test]
async fn every_operation_succeeds_as_the_document_says() {
    let mut settings = settings();
    let template = uuid::Uuid::from_u128(7);
    let map = MapChoice {
        map_name: "dm1".into(),
        mode: None,
        map_weight: 1.0,
        misc_params: String::new(),
        custom_data: gameside::model::CustomData::new(),
    };
    let request = RequestTemplate {
        maps: vec![map],
        default_host_type: gameside::model::session::HostType::Preallocated,
        custom_data: gameside::model::CustomData::new(),
    };
    settings.request_templates.insert(template, request);
    matchmaking_config(&mut settings, template);
    let bench = Bench::start(settings).await;
    let server = bench.client("server", None).await;
    let admin = bench.client("admin", Some(&["session:*"])).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let bob_id = player_of("bob").to_string();

    config(&bench, &ann, template).await;
    crate::service_config::every_resource(&bench, &ann, &admin).await;
    let path = bench.session(&ann).await;
    assert_eq!(bench.get(&path, &ann).await.status, 200);
    assert_eq!(bench.patch(&format!("{path}/team/0"), &ann, json!({"max_size": 8})).await.status, 200);
    assert_eq!(bench.patch(&path, &ann, json!({"joinable": true})).await.status, 200);
    players(&bench, &path, &ann, &bob, &bob_id).await;
    members(&bench, &path, &ann, &bob, &bob_id).await;
    lookups(&bench, &path, &ann, &bob, &bob_id).await;
    browser(&bench, &path, &ann).await;
    hosting(&bench, &server, &admin, template).await;
    audit(&bench, &path, &ann).await;
    crate::service_interface::every_extension(&bench, &path, &ann, &bob).await;
    let mut sic = json!({"items": [{"id": "sic_h_1", "group_tags": "", "public_host": "h", "public_port": 1}]});
    assert_eq!(bench.post("/instances/sic_registration/v3/register", &server, sic.clone()).await.status, 200);
    sic = json!({"items": [{"id": "sic_h_1"}]});
    assert_eq!(bench.post("/instances/sic_registration/v1/state", &server, sic.clone()).await.status, 200);
    assert_eq!(bench.post("/instances/sic_registration/v1/deregister", &server, sic.clone()).await.status, 200);
    assert_eq!(bench.post("/instances/sic_registration/v1/release", &admin, sic).await.status, 200);
    for path in ["/livez", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(bench.get(path, "").await.status, 200);
    }
    allocated(&bench, &server, &ann).await;
    assert_eq!(bench.delete(&path, &ann).await.status, 204);
    assert_eq!(bench.get(&path, &ann).await.code(), "session_not_found");

    let rows = ops::tables().into_iter().flatten().filter(|row| !has_no_vendor(row.operation));
    let all: BTreeSet<String> = rows.map(|row| row.operation.to_owned()).collect();
    let succeeded = bench.succeeded.lock().unwrap().clone();
    let missing: Vec<&String> = all.difference(&succeeded).collect();
    assert!(missing.is_empty(), "no success of {missing:?}");
}

/// Voice tokens need a vendor, and there is none.
fn has_no_vendor(operation: &str) -> bool {
    ops::voice::TABLE.iter().any(|row| row.operation == operation)
}

fn matchmaking_config(settings: &mut gameside::internals::service::ServiceSettings, template: uuid::Uuid) {
    let more = format!(
        "[deserters.{d}]\n[match_making_profiles.duel]\ninstance_request_template_id = \"{template}\"\ndeserter_id = \"{d}\"\n\
         [[match_making_template_groups.{g}.template_options]]\nmmr_grouping_method = \"avg\"\nprofiles = [\"duel\"]\n",
        d = crate::service_config::DESERTER,
        g = crate::service_config::GROUP,
    );
    let more: gameside::internals::service::ServiceSettings = toml::from_str(&more).unwrap();
    settings.deserters = more.deserters;
    settings.match_making_profiles = more.match_making_profiles;
    settings.match_making_template_groups = more.match_making_template_groups;
}

async fn config(bench: &Bench, ann: &str, template: uuid::Uuid) {
    for path in [
        "/session/v1/template".to_owned(),
        "/session/v1/template/default".to_owned(),
        format!("/session/v1/instance-request-template/{template}"),
    ] {
        let answer = bench.get(&path, ann).await;
        assert_eq!(answer.status, 200, "{path}");
        let tag = answer.etag.unwrap();
        assert_eq!(bench.call_with("GET", &path, ann, None, &[("if-none-match", &tag)]).await.status, 304, "{path}");
    }
    assert_eq!(bench.get("/session/v1/template/none", ann).await.code(), "template_not_found");
    let regions = bench.get("/session/v1/regions", ann).await;
    assert_eq!(regions.body["regions"][0]["region_id"], "local");
    assert_eq!(bench.get("/session/v1/instance/health/config", ann).await.body["cadence_seconds"], 10);
    assert_eq!(bench.get("/session/v1/backfill/config", ann).await.body["timeout"], 30.0, "a third of the expiry");
    let forged = [("x-forwarded-for", "9.9.9.9")];
    let info = bench.call_with("GET", "/session/v1/connection-info", ann, None, &forged).await;
    assert_eq!(info.body["ip"], "127.0.0.1", "not from a trusted proxy");
}

async fn players(bench: &Bench, path: &str, ann: &str, bob: &str, bob_id: &str) {
    assert_eq!(bench.post(&format!("{path}/player/me"), bob, join()).await.body["status"], "member");
    let listed = bench.get(&format!("{path}/player?page_size=1"), bob).await;
    assert_eq!((listed.status, &listed.body["cursor"]), (200, &json!(1)));
    let bob_there = format!("{path}/player/{bob_id}");
    let seen = bench.get(&bob_there, bob).await;
    assert_eq!(seen.body["client_settings"]["platform"], "Basic", "from the token");
    let number = seen.body["player_id"].as_i64().unwrap();
    assert_eq!(bench.delete(&format!("{path}/player/me?reason=tired"), bob).await.status, 204);
    assert_eq!(bench.get(&bob_there, ann).await.code(), "player_not_found");
    for twin in [format!("uuid/{bob_id}"), format!("id/{number}"), bob_id.to_owned()] {
        let twin = format!("{path}/player/{twin}");
        let invited = bench.post(&twin, ann, json!({"status": "invited"})).await;
        assert_eq!((invited.status, &invited.body["status"]), (200, &json!("invited")), "{twin}");
        assert_eq!(bench.delete(&twin, ann).await.status, 204, "{twin}");
    }
    let there = format!("{path}/player/{bob_id}");
    assert_eq!(bench.post(&there, ann, json!({})).await.code(), "player_not_agreed");
    befriend(bench, "ann", ann, "bob", bob).await;
    assert_eq!(bench.post(&there, ann, json!({})).await.body["status"], "member", "a leader adds its friend");
    let friendship = format!("/friends/v2/player/{}/friend/{bob_id}", player_of("ann"));
    assert_eq!(bench.delete(&friendship, ann).await.status, 204);
    assert_eq!(bench.delete(&format!("{path}/player/me"), bob).await.status, 204);
}

async fn members(bench: &Bench, path: &str, ann: &str, bob: &str, bob_id: &str) {
    let v2 = path.replace("/v1/", "/v2/");
    let ann_id = player_of("ann");
    let two = json!([{"max_size": 4}, {"max_size": 4}]);
    assert_eq!(bench.patch(path, ann, json!({"teams": two})).await.status, 200);
    let uninvited = bench.post(&format!("{v2}/player/{ann_id}:invite"), bob, json!({})).await;
    assert_eq!((uninvited.status, uninvited.code()), (403, "insufficient_permissions"));
    let invited = bench.post(&format!("{v2}/player/{bob_id}:invite"), ann, json!({"team_id": 0})).await;
    assert_eq!(invited.body["status"], "invited");
    assert_eq!(bench.post(&format!("{path}/player/me"), bob, join()).await.body["status"], "member");
    let moved = bench.post(&format!("{v2}/player/{bob_id}:move"), ann, json!({"team_id": 1})).await;
    assert_eq!(moved.body["team_id"], 1);
    let said = bench.post(&format!("{v2}/player/{bob_id}"), bob, json!({"custom_data": {"skin": "red"}})).await;
    assert_eq!(said.body["custom_data"]["skin"], "red");

    let grant = format!("{path}/player/{bob_id}/permission/invite");
    assert_eq!(bench.call("PATCH", &grant, bob, None).await.status, 403, "nobody passes on what it wasn't given");
    assert_eq!(bench.call("PATCH", &grant, ann, None).await.body["permissions"], json!(["invite"]));
    let carl = player_of("carl");
    let by_bob = bench.post(&format!("{v2}/player/{carl}:invite"), bob, json!({})).await;
    assert_eq!(by_bob.status, 200, "{by_bob:?}");
    assert_eq!(
        bench.get(&format!("{path}/player/{bob_id}/permission"), bob).await.body["permissions"],
        json!(["invite"])
    );
    assert_eq!(bench.delete(&grant, ann).await.status, 204);
    assert_eq!(bench.get(&format!("{path}/player/{bob_id}/permission"), ann).await.body["permissions"], json!([]));

    let swap = json!({"players": [bob_id, carl]});
    assert_eq!(bench.post(&format!("{path}/player:swap"), ann, swap).await.body["players"][0]["team_id"], 0);
    let leader = json!({"players": [ann_id, carl]});
    assert_eq!(bench.post(&format!("{path}/player:swap"), ann, leader).await.code(), "leader_cannot_be_swapped");
    assert_eq!(bench.post(&format!("{v2}/player/{bob_id}:promote"), ann, json!({})).await.body["status"], "leader");
    assert_eq!(bench.post(&format!("{v2}/player/{ann_id}:promote"), bob, json!({})).await.status, 200);
    assert_eq!(bench.delete(&format!("{path}/player/{carl}"), ann).await.status, 204, "an invite is cancelled");

    let dora = bench.player("dora").await;
    let party = bench.session(&dora).await;
    let party_id = party.rsplit('/').next().unwrap();
    let to_ours = format!("{path}/invited-session/{party_id}:invite");
    assert_eq!(bench.post(&to_ours, &dora, json!({})).await.status, 403, "nobody invites itself");
    let whole = bench.client("matchmaker", Some(&["session:*"])).await;
    let all = bench.post(&to_ours, &whole, json!({})).await;
    assert_eq!(all.body["players"][0]["player_uuid"], json!(player_of("dora")));
    assert_eq!(bench.post(&format!("{path}/player/me"), &dora, join()).await.status, 200);
    assert_eq!(bench.delete(&format!("{path}/kicked-session/{party_id}"), &dora).await.status, 403);
    assert_eq!(bench.delete(&format!("{path}/kicked-session/{party_id}"), ann).await.status, 204);
    assert_eq!(bench.get(&format!("{path}/player/{}", player_of("dora")), ann).await.code(), "player_not_found");
}

async fn lookups(bench: &Bench, path: &str, ann: &str, bob: &str, bob_id: &str) {
    let id = path.rsplit('/').next().unwrap();
    let own = bench.get("/session/v1/player/me/session", bob).await;
    assert_eq!(own.body["sessions"]["default"]["session_ids"], json!([id]));
    let tag = own.etag.unwrap();
    let same = [("if-none-match", tag.as_str())];
    assert_eq!(bench.call_with("GET", "/session/v1/player/me/session", bob, None, &same).await.status, 304);
    let number = bench.get(&format!("{path}/player/{bob_id}"), bob).await.body["player_id"].as_i64().unwrap();
    for twin in [bob_id.to_owned(), format!("uuid/{bob_id}"), format!("id/{number}")] {
        let twin = format!("/session/v1/player/{twin}/session");
        assert_eq!(bench.get(&twin, bob).await.status, 200, "{twin}");
        assert_eq!(bench.get(&twin, ann).await.status, 403, "{twin}");
    }
    let code = bench.post(&format!("{path}:generate-short-code"), ann, json!({})).await.text("/short_code");
    assert_eq!(bench.get(&format!("/session/v1/session/{code}"), ann).await.text("/session_id"), id);
    assert_eq!(bench.post(&format!("{path}:generate-short-code"), ann, json!({})).await.code(), "short_code_exists");

    let platform = "/session/v1/platform/Basic/platform-session/cGxhdA";
    assert_eq!(bench.get(platform, ann).await.code(), "platform_session_not_found");
    assert_eq!(bench.call("POST", &format!("{platform}/session/{id}"), ann, None).await.status, 200);
    assert_eq!(bench.get(platform, ann).await.text("/platform_session_id_base64"), "cGxhdA");
    let elsewhere = bench.session(bob).await;
    let elsewhere = elsewhere.rsplit('/').next().unwrap().to_owned();
    assert_eq!(bench.call("POST", &format!("{platform}/session/{elsewhere}"), bob, None).await.status, 503);
    assert_eq!(bench.patch(path, ann, json!({"joinability": {"open": false}})).await.status, 200);
    let fred = bench.player("fred").await;
    assert_eq!(bench.post(&format!("{path}/player/me"), &fred, join()).await.code(), "not_joinable");
    assert_eq!(bench.post(&format!("{platform}/player/me"), &fred, join()).await.text("/session_id"), id);
    assert_eq!(bench.delete(&format!("{platform}/player/me"), &fred).await.status, 204);
    let by_id = format!("{platform}/player/{}", player_of("fred"));
    assert_eq!(bench.post(&by_id, &fred, join()).await.status, 200);
    assert_eq!(bench.delete(&by_id, &fred).await.status, 204);
    assert_eq!(bench.call("DELETE", &format!("{platform}/session/{id}"), ann, None).await.status, 204);
    assert_eq!(bench.delete(&format!("{path}/player/me"), bob).await.status, 204);
}

async fn browser(bench: &Bench, path: &str, ann: &str) {
    let info = json!({"custom_data": {"k": "v"}});
    assert_eq!(bench.post(&format!("{path}/browser"), ann, info.clone()).await.status, 200);
    assert_eq!(bench.patch(&format!("{path}/browser"), ann, info).await.body["custom_data"]["k"], "v");
    let other = bench.session(ann).await;
    assert_eq!(bench.patch(&other, ann, json!({"is_listed": true})).await.status, 200);
    let id = path.rsplit('/').next().unwrap();
    let listed = bench.get("/session/v1/browser?session_type=default", ann).await;
    let own = listed.body["browser_sessions"].as_array().unwrap().iter().find(|listed| listed["session_id"] == id);
    assert_eq!(own.unwrap()["custom_data"]["k"], "v");
    assert_eq!(listed.body["cursor"], 0);
    let page = bench.get("/session/v1/browser?session_type=default&page_size=1", ann).await;
    assert_eq!(page.body["browser_sessions"].as_array().unwrap().len(), 1);
    let rest = format!("/session/v1/browser?session_type=default&cursor={}", page.body["cursor"]);
    let rest = bench.get(&rest, ann).await;
    let (all, rest) = (listed.body["browser_sessions"].as_array(), rest.body["browser_sessions"].as_array());
    assert_eq!(rest.unwrap().len() + 1, all.unwrap().len(), "the cursor goes on where the page ended");
    assert_eq!(bench.delete(&other, ann).await.status, 204);
    assert_eq!(bench.delete(&format!("{path}/browser"), ann).await.status, 204);
    let without = bench.get("/session/v1/browser?session_type=default", ann).await;
    assert!(!without.body.to_string().contains(id));
    assert_eq!(bench.get("/session/v1/browser", ann).await.status, 422);
}

/// A server's own session, from its instance to its end.
async fn hosting(bench: &Bench, server: &str, admin: &str, template: uuid::Uuid) {
    let path = bench.session(server).await;
    let instance = format!("{path}/instance");
    let wanted = json!({"instance_id": "i1", "instance_request_template_id": template});
    let posted = bench.post(&instance, server, wanted.clone()).await;
    assert_eq!(posted.body["join_status"], "allocated");
    assert_eq!(posted.body["instance_startup_params"]["map"], "dm1");
    assert_eq!(bench.post(&instance, server, wanted).await.status, 200, "repeated");
    assert_eq!(bench.post(&instance, server, json!({"instance_id": "i2"})).await.code(), "instance_exists");
    let joinable = json!({
        "join_status": "joinable",
        "version": "1.2.3",
        "match_id": "m",
        "join_params": {"public_conn_str": "h:1", "private_conn_str": "p:1"},
    });
    assert_eq!(bench.patch(&instance, server, joinable).await.body["match_id"], "m");
    let beat = json!({"instance_id": "i1", "instance_health": "healthy"});
    let health = bench.post(&format!("{instance}/health"), server, beat).await;
    assert_eq!(health.body["updated_instance_health"], "healthy");
    backfill(bench, &path.replace("/v1/session/", "/v1/backfill/session/"), server, admin).await;
    assert_eq!(bench.delete(&instance, server).await.status, 204);
    assert_eq!(bench.delete(&instance, admin).await.code(), "instance_not_found");
}

async fn backfill(bench: &Bench, path: &str, server: &str, admin: &str) {
    let ours = json!({"instance_id": "i1"});
    assert_eq!(bench.post(path, server, ours.clone()).await.code(), "backfill_not_found");
    assert_eq!(bench.patch(path, server, ours.clone()).await.code(), "backfill_not_found");
    let bob = player_of("bob").to_string();
    let brought = json!({"teams": [{"team_id": 0, "players_required": 3}], "players": [{"player_uuid": bob}]});
    assert_eq!(bench.call("PUT", path, admin, Some(brought)).await.status, 200);
    let ack = json!({"instance_id": "i1", "extensions": {"a": "b"}, "styles": ["team_request"]});
    let first = bench.post(path, server, ack.clone()).await;
    assert_eq!(first.body["backfilled_players"][0]["player_uuid"], bob);
    assert_eq!(bench.post(path, server, ack).await.body["backfilled_players"], json!([]), "told once");
    let needs = json!({"instance_id": "i1", "teams": [{"team_id": 0, "players_required": 2}]});
    assert_eq!(bench.patch(path, server, needs).await.status, 204);
    let foreign = bench.post(path, server, json!({"instance_id": "i9"})).await;
    assert_eq!((foreign.status, foreign.code()), (403, "instance_mismatch"));
    assert_eq!(bench.call("DELETE", path, server, Some(ours.clone())).await.status, 204);
    assert_eq!(bench.call("DELETE", path, server, Some(ours)).await.code(), "backfill_not_found");
}

async fn audit(bench: &Bench, path: &str, ann: &str) {
    let id = path.rsplit('/').next().unwrap();
    let event = json!({"event_name": "boss.killed", "session_id": id, "custom_data": {"hp": "0"}, "map": "dm1"});
    assert_eq!(bench.post("/session/v1/audit", ann, event).await.status, 200);
    let read = bench.get(&format!("/session/v1/audit?session_id={id}"), ann).await;
    let names: Vec<&str> =
        read.body["events"].as_array().unwrap().iter().map(|event| event["event_name"].as_str().unwrap()).collect();
    assert!(names.contains(&"session.created") && names.contains(&"customer.boss.killed"), "{names:?}");
    let later = format!("/session/v1/audit?session_id={id}&page_num=1&page_size=50");
    assert_eq!(bench.get(&later, ann).await.body["events"], json!([]));
}

async fn allocated(bench: &Bench, server: &str, ann: &str) {
    let register = json!({"items": [{"id": "sic_h_2", "public_host": "h", "public_port": 2}]});
    bench.post("/instances/sic_registration/v3/register", server, register).await;
    let path = bench.session(ann).await;
    let params = json!({"instance_startup_params": {"map": "m", "misc_params": "", "custom_data": {"k": "v"}}});
    let posted = bench.post(&format!("{path}/instance"), ann, params).await;
    let found = bench.get(&format!("/session/v1/session/allocation/{}", posted.text("/allocation_id")), server).await;
    assert_eq!(found.status, 200);
    assert_eq!(found.body["instance"]["instance_startup_params"]["custom_data"]["k"], "v", "the host sees all");
}

#[test]
fn the_document_and_the_page_list_what_the_router_has() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/service.md")).unwrap();
    let rows: Vec<_> = ops::tables().into_iter().flatten().collect();
    let mut lines: BTreeSet<String> = page.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    for row in &rows {
        let operation = contract().operation(row.operation).unwrap_or_else(|| panic!("no {row:?} in the document"));
        assert_eq!((row.method.as_str(), row.path), (operation.method.as_str(), operation.path.as_str()));
        if operation.document["x-extension"] == true {
            assert!(page.contains(&format!("`{}`", row.operation)), "docs/service.md lacks the extension {row:?}");
            continue;
        }
        let state = if has_no_vendor(row.operation) { "not configured" } else { "served" };
        let line = format!("| `{} {}` | `{}` | {state} |", row.method, row.path, row.operation);
        assert!(lines.remove(&line), "docs/service.md lacks: {line}");
    }
    let served = |line: &&String| line.ends_with("| served |") || line.ends_with("| not configured |");
    assert_eq!(lines.iter().find(served), None, "docs/service.md lists what the router doesn't have");
    assert_eq!(contract().operations().len(), rows.len());
}
