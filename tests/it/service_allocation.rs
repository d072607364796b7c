//! Registered servers and allocation: fair, fast, and never twice the same.

use crate::{
    service_bench::{Answer, Bench, add_client, create, settings},
    support::world::{PATIENCE, World},
};
use gameside::model::units::Span;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

const REGISTER: &str = "/instances/sic_registration/v3/register";
const STATE: &str = "/instances/sic_registration/v1/state";

fn item(id: &str, more: &Value) -> Value {
    let mut item = json!({
        "id": id,
        "group_tags": "profile_id:p,server_id:box-1,hostname:h",
        "public_host": "10.0.0.1",
        "public_port": 7777,
    });
    item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"items": [item]})
}

async fn register(bench: &Bench, who: &str, id: &str, more: Value) -> Value {
    let answer = bench.post(REGISTER, who, item(id, &more)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["items"][0].clone()
}

async fn state(bench: &Bench, who: &str, id: &str, wait: &str) -> Value {
    let answer = bench.post(&format!("{STATE}{wait}"), who, json!({"items": [{"id": id}]})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["items"][0].clone()
}

async fn request(bench: &Bench, who: &str, map: &str) -> (String, Answer) {
    let path = bench.session(who).await;
    let params = json!({"instance_startup_params": {"map": map, "misc_params": ""}});
    let answer = bench.post(&format!("{path}/instance"), who, params).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (path, answer)
}

#[tokio::test]
async fn a_waiting_server_is_told_at_once_and_lives_its_term() {
    let bench = Bench::start(settings()).await;
    let (server, ann) = (bench.client("server", None).await, bench.player("ann").await);
    assert_eq!(state(&bench, &server, "s1", "").await["error_code"], 2, "not registered");
    register(&bench, &server, "s1", json!({"incarnation": "k1"})).await;
    assert_eq!(state(&bench, &server, "s1", "").await["state"], "allocating");

    let waiting = state(&bench, &server, "s1", "?wait=30");
    let asking = async {
        tokio::task::yield_now().await;
        request(&bench, &ann, "dm1").await
    };
    let (told, (path, posted)) = tokio::join!(waiting, asking);
    assert_eq!(posted.body["join_status"], "allocated");
    assert_eq!(posted.body["host_dedicated_server_id"], "box-1");
    assert_eq!(posted.body["host_dedicated_process_id"], "k1");
    assert_eq!(told["state"], "allocated");
    assert_eq!(told["allocation_id"], posted.body["allocation_id"]);
    assert!(path.ends_with(told["session_id"].as_str().unwrap()));

    let instance = format!("{path}/instance");
    let allocation = told["allocation_id"].as_str().unwrap();
    let foreign = json!({"join_status": "pending", "allocation_id": "other"});
    assert_eq!(bench.patch(&instance, &server, foreign).await.code(), "allocation_mismatch");
    assert_eq!(bench.patch(&instance, &server, json!({"join_status": "pending"})).await.code(), "allocation_mismatch");
    for status in ["pending", "joinable", "unjoinable", "joinable", "closed"] {
        let say = json!({"join_status": status, "allocation_id": allocation});
        assert_eq!(bench.patch(&instance, &server, say).await.body["join_status"], status);
    }
    let again = json!({"join_status": "joinable", "allocation_id": allocation});
    assert_eq!(bench.patch(&instance, &server, again).await.code(), "instance_closed");
    assert_eq!(state(&bench, &server, "s1", "").await["state"], "deallocated");
    assert_eq!(register(&bench, &server, "s1", json!({"incarnation": "k1"})).await["success"], true);
    assert_eq!(state(&bench, &server, "s1", "").await["state"], "allocating");
}

#[tokio::test]
async fn another_client_learns_nothing_of_a_server_and_takes_nothing_from_it() {
    let bench = Bench::start(settings()).await;
    let (server, other) = (bench.client("server", None).await, bench.client("other", None).await);
    let ann = bench.player("ann").await;
    register(&bench, &server, "s1", json!({"incarnation": "k1"})).await;
    let (path, posted) = request(&bench, &ann, "dm1").await;
    assert_eq!(posted.body["join_status"], "allocated");

    for incarnation in ["k1", "k2"] {
        let refused = register(&bench, &other, "s1", json!({"incarnation": incarnation})).await;
        assert_eq!((&refused["success"], &refused["error_code"]), (&json!(false), &json!(4)), "{refused}");
        let seen = state(&bench, &other, "s1", "").await;
        assert_eq!((&seen["success"], &seen["error_code"]), (&json!(false), &json!(2)), "{seen}");
        assert!(seen["session_id"].is_null() && seen["allocation_id"].is_null(), "{seen}");
    }
    let gone = "/instances/sic_registration/v1/deregister";
    assert_eq!(bench.post(gone, &other, json!({"items": [{"id": "s1"}]})).await.status, 200);

    let told = state(&bench, &server, "s1", "").await;
    assert_eq!((&told["state"], &told["allocation_id"]), (&json!("allocated"), &posted.body["allocation_id"]));
    assert!(path.ends_with(told["session_id"].as_str().unwrap()), "its match goes on");
}

#[tokio::test]
async fn a_server_that_waits_for_news_is_answered_after_the_longest_wait() {
    let mut settings = settings();
    settings.limits.longest_wait = Span(Duration::from_millis(20));
    let bench = Bench::start(settings).await;
    let server = bench.client("server", None).await;
    register(&bench, &server, "s1", json!({})).await;
    let answer = tokio::time::timeout(PATIENCE, state(&bench, &server, "s1", "?wait=3600")).await;
    assert_eq!(answer.expect("an answer long before an hour has passed")["state"], "allocating");
}

#[tokio::test]
async fn a_restarted_server_never_gets_the_dead_match() {
    let bench = Bench::start(settings()).await;
    let (server, ann) = (bench.client("server", None).await, bench.player("ann").await);
    register(&bench, &server, "s1", json!({"incarnation": "k1"})).await;
    let (path, _) = request(&bench, &ann, "dm1").await;
    let same = register(&bench, &server, "s1", json!({"incarnation": "k1"})).await;
    assert_eq!((&same["success"], &same["error_code"]), (&json!(false), &json!(6)), "under way: poll on");
    assert_eq!(state(&bench, &server, "s1", "").await["state"], "allocated");
    let other = register(&bench, &server, "s1", json!({"incarnation": "k2"})).await;
    assert_eq!((&other["success"], &other["error_code"]), (&json!(false), &json!(4)), "the first one lives");
    let known = json!({"incarnation": "k2", "previous_incarnation": "k1"});
    assert_eq!(register(&bench, &server, "s1", known).await["success"], true);
    assert_eq!(bench.get(&path, &ann).await.body["instance"]["join_status"], "closed");
    assert_eq!(state(&bench, &server, "s1", "").await["state"], "allocating");
}

#[tokio::test]
async fn another_clients_poll_leaves_a_server_as_it_is() {
    let bench = Bench::start(settings()).await;
    let (server, other) = (bench.client("server", None).await, bench.client("other", None).await);
    let ann = bench.player("ann").await;
    register(&bench, &server, "s1", json!({"incarnation": "k1"})).await;
    let waiting = state(&bench, &server, "s1", "?wait=30");
    let meanwhile = async {
        for _ in 0..3 {
            tokio::task::yield_now().await;
            assert_eq!(state(&bench, &other, "s1", "?wait=30").await["error_code"], 2);
        }
        request(&bench, &ann, "dm1").await
    };
    let (told, (_, posted)) = tokio::join!(waiting, meanwhile);
    assert_eq!(told["allocation_id"], posted.body["allocation_id"]);
}

#[tokio::test]
async fn registrations_survive_a_restart_of_the_service() {
    let bench = Bench::start(settings()).await;
    let (server, ann) = (bench.client("server", None).await, bench.player("ann").await);
    register(&bench, &server, "s1", json!({})).await;
    let bench = Bench::on(bench.stop().await, settings()).await;
    assert_eq!(state(&bench, &server, "s1", "").await["state"], "allocating", "an existing client polls on");
    let (_, posted) = request(&bench, &ann, "dm1").await;
    assert_eq!(state(&bench, &server, "s1", "").await["allocation_id"], posted.body["allocation_id"]);
}

#[tokio::test]
async fn an_operator_releases_a_server_from_the_command_line() {
    let bench = Bench::start(settings()).await;
    let (thief, server) = (bench.client("thief", None).await, bench.client("server", None).await);
    register(&bench, &thief, "s1", json!({"incarnation": "k1"})).await;
    let secret = add_client(bench.dir.path(), "ops", Some(&["session:instance:release"]));
    let plain = add_client(bench.dir.path(), "plain", None);
    let release = async |client: &str, secret: &str| {
        let world = World::new();
        let args = ["sessions", "server", "release", "s1", "--service", &bench.base, "--client-id", client];
        let mut command = world.gameside(args);
        command.env("GAMESIDE_CLIENT_SECRET", secret);
        let done = move || {
            let _world = world;
            command.output().unwrap()
        };
        tokio::task::spawn_blocking(done).await.unwrap()
    };
    let refused = release("plain", &plain).await;
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("session:instance:release"));
    assert_eq!(register(&bench, &server, "s1", json!({})).await["error_code"], 4);
    let released = release("ops", &secret).await;
    assert_eq!(String::from_utf8_lossy(&released.stdout), "released s1\n", "{released:?}");
    assert_eq!(register(&bench, &server, "s1", json!({})).await["success"], true);
    assert_eq!(state(&bench, &thief, "s1", "").await["error_code"], 2);
    assert!(release("ops", &secret).await.status.success());
    let nobody = release("ops", &secret).await;
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no server \"s1\" is registered"), "{nobody:?}");
}

#[tokio::test]
async fn region_version_and_warm_map_decide() {
    let bench = Bench::start(settings()).await;
    let (server, ann) = (bench.client("server", None).await, bench.player("ann").await);
    register(&bench, &server, "far", json!({"region_id": "us"})).await;
    register(&bench, &server, "old", json!({"region_id": "eu", "version": "0.9.0"})).await;
    register(&bench, &server, "cold", json!({"region_id": "eu", "version": "1.1.0"})).await;
    register(&bench, &server, "warm", json!({"region_id": "eu", "version": "1.2.0", "warm_map": "dm6"})).await;
    let mut chosen = Vec::new();
    for _ in 0..2 {
        let mut body = create("default");
        body["region_id"] = json!("eu");
        let made = bench.post("/session/v1/session", &ann, body).await;
        let path = format!("/session/v1/session/{}/instance", made.text("/session_id"));
        let params = json!({"instance_startup_params": {"map": "dm6", "misc_params": ""}});
        chosen.push(bench.post(&path, &ann, params).await.body["version"].clone());
    }
    assert_eq!(chosen, [json!("1.2.0"), json!("1.1.0")], "the warm one first, then the other that fits");
}

#[tokio::test]
async fn an_instance_without_a_server_waits_for_one() {
    let bench = Bench::start(settings()).await;
    let (server, ann) = (bench.client("server", None).await, bench.player("ann").await);
    let (path, posted) = request(&bench, &ann, "dm1").await;
    assert_eq!(posted.body["join_status"], "requested");
    register(&bench, &server, "s1", json!({})).await;
    let session = bench.get(&path, &ann).await;
    assert_eq!(session.body["instance"]["join_status"], "allocated");
    assert_eq!(
        state(&bench, &server, "s1", "?wait=5").await["allocation_id"],
        session.body["instance"]["allocation_id"]
    );
}

#[tokio::test]
async fn a_hundred_requests_share_ten_servers_without_one_twice() {
    let bench = Bench::start(settings()).await;
    let server = bench.client("server", None).await;
    for number in 0..10 {
        register(&bench, &server, &format!("s{number}"), json!({"incarnation": format!("k{number}")})).await;
    }
    let bench = std::sync::Arc::new(bench);
    // A player would have too many sessions.
    let backend = bench.client("backend", None).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (bench, backend) = (bench.clone(), backend.clone());
        asking.spawn(async move { request(&bench, &backend, "dm1").await.1.body });
    }
    let answers = asking.join_all().await;
    let allocated: Vec<&Value> = answers.iter().filter(|body| body["join_status"] == "allocated").collect();
    let processes: BTreeSet<&str> =
        allocated.iter().map(|body| body["host_dedicated_process_id"].as_str().unwrap()).collect();
    assert_eq!((allocated.len(), processes.len()), (10, 10));
    assert_eq!(answers.iter().filter(|body| body["join_status"] == "requested").count(), 90);
}

#[tokio::test]
async fn an_allocation_is_found_again_after_a_restart_of_the_service() {
    let bench = Bench::start(settings()).await;
    let (server, ann) = (bench.client("server", None).await, bench.player("ann").await);
    register(&bench, &server, "s1", json!({"incarnation": "k1"})).await;
    let (path, posted) = request(&bench, &ann, "dm1").await;
    let bench = Bench::on(bench.stop().await, settings()).await;
    let same = register(&bench, &server, "s1", json!({"incarnation": "k1"})).await;
    assert_eq!(same["error_code"], 6);
    assert_eq!(state(&bench, &server, "s1", "?wait=5").await["allocation_id"], posted.body["allocation_id"]);
    assert_eq!(bench.get(&path, &ann).await.body["instance"]["join_status"], "allocated");
}
