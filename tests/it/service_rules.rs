//! Rules of the session service that concern one thing each: who creates, what starts by itself,
//! tags, codes, platforms.

use crate::service_bench::{Bench, create, join, settings};
use gameside::internals::service::auth::login::player_of;
use serde_json::json;

#[tokio::test]
async fn a_server_without_a_player_creates_a_session_and_leads_nothing() {
    let bench = Bench::start(settings()).await;
    let server = bench.client("server", None).await;
    let path = bench.session(&server).await;
    let made = bench.get(&path, &server).await;
    assert_eq!(made.body["teams"][0].get("players").cloned().unwrap_or(json!([])), json!([]));
    assert_eq!(bench.patch(&path, &server, json!({"joinable": true})).await.status, 200, "its admin all the same");
    let ann = bench.player("ann").await;
    assert_eq!(bench.post(&format!("{path}/player/me"), &ann, join()).await.body["status"], "member");
}

#[tokio::test]
async fn the_same_request_again_makes_no_second_session() {
    let bench = Bench::start(settings()).await;
    let (ann, bob) = (bench.player("ann").await, bench.player("bob").await);
    let server = bench.client("server", None).await;
    let make = async |bench: &Bench, who: &str, key: &str| {
        let body = Some(create("default"));
        bench.call_with("POST", "/session/v1/session", who, body, &[("idempotency-key", key)]).await
    };
    let mut made = Vec::new();
    for who in [&ann, &server, &bob] {
        let first = make(&bench, who, "k1").await;
        assert_eq!(first.status, 200, "{}", first.body);
        assert_eq!(make(&bench, who, "k1").await.body, first.body, "also when the answer was lost");
        made.push(first.body["session_id"].as_str().unwrap().to_owned());
    }
    let other = make(&bench, &ann, "k2").await.body["session_id"].as_str().unwrap().to_owned();
    made.push(other);
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 4, "a key is its caller's own");
    let dir = bench.stop().await;
    let bench = Bench::on(dir, settings()).await;
    let ann = bench.player("ann").await;
    let again = make(&bench, &ann, "k1").await;
    assert!(made.iter().any(|id| again.body["session_id"] == id.as_str()), "it outlives the service");
    let id = again.body["session_id"].as_str().unwrap();
    assert_eq!(bench.delete(&format!("/session/v1/session/{id}"), &ann).await.status, 204);
    assert_ne!(make(&bench, &ann, "k1").await.body, again.body, "and ends with its session");
    let nonsense = make(&bench, &ann, "").await;
    assert_eq!((nonsense.status, &nonsense.body["error_code"]), (400, &json!("invalid_idempotency_key")));
}

#[tokio::test]
async fn a_type_starts_an_instance_by_itself_and_the_request_template_wins() {
    let more = r#"
[request_templates.00000000-0000-0000-0000-000000000007]
default_host_type = "dedicated"
maps = [{ map_name = "of-the-template" }]
[session_types.by_params]
can_be_created_by_players_directly = true
auto_startup_params = { map = "of-the-params" }
[session_types.by_both]
can_be_created_by_players_directly = true
auto_startup_params = { map = "of-the-params" }
auto_startup_instance_template_id = "00000000-0000-0000-0000-000000000007"
"#;
    let mut settings = settings();
    let more: gameside::internals::service::ServiceSettings = toml::from_str(more).unwrap();
    settings.request_templates = more.request_templates;
    settings.session_types = more.session_types;
    let bench = Bench::start(settings).await;
    let ann = bench.player("ann").await;
    for (kind, map) in [("by_params", "of-the-params"), ("by_both", "of-the-template")] {
        let made = bench.post("/session/v1/session", &ann, create(kind)).await.text("/session_id");
        let read = bench.get(&format!("/session/v1/session/{made}"), &ann).await;
        assert_eq!(read.text("/instance/join_status"), "requested", "{kind}");
        assert_eq!(read.text("/instance/instance_startup_params/map"), map, "{kind}");
    }
}

#[tokio::test]
async fn a_tag_that_matches_is_answered_304_without_a_body() {
    let bench = Bench::start(settings()).await;
    let ann = bench.player("ann").await;
    let path = bench.session(&ann).await;
    let id = path.rsplit('/').next().unwrap();
    let asked = json!({"host_type": "dedicated", "instance_startup_params": {"map": "m", "misc_params": ""}});
    let admin = bench.client("admin", Some(&["session:*"])).await;
    bench.post(&format!("{path}/instance"), &ann, asked).await;
    let item = json!({"items": [{"id": "s1", "group_tags": "", "public_host": "h", "public_port": 1}]});
    bench.post("/instances/sic_registration/v3/register", &admin, item).await;
    let allocation = bench.get(&path, &admin).await.text("/instance/allocation_id");
    let platform = "/session/v1/platform/Basic/platform-session/cGxhdA".to_owned();
    assert_eq!(bench.call("POST", &format!("{platform}/session/{id}"), &ann, None).await.status, 200);
    for path in [
        path.clone(),
        format!("/session/v1/session/allocation/{allocation}"),
        platform,
        format!("{path}/player"),
        "/session/v1/player/me/session".to_owned(),
        "/session/v1/template".to_owned(),
        "/session/v1/template/default".to_owned(),
    ] {
        let who = if path.contains("/allocation/") { &admin } else { &ann };
        let first = bench.get(&path, who).await;
        let tag = first.etag.unwrap_or_else(|| panic!("{path} has no tag"));
        let again = bench.call_with("GET", &path, who, None, &[("if-none-match", &tag)]).await;
        assert_eq!((again.status, again.body), (304, json!(null)), "{path}");
        let other = bench.call_with("GET", &path, who, None, &[("if-none-match", "\"another\"")]).await;
        assert_eq!((other.status, other.body), (200, first.body), "{path}");
    }
}

#[tokio::test]
async fn the_platform_comes_from_the_token_whatever_the_client_says() {
    let bench = Bench::start(settings()).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let path = bench.session(&ann).await;
    let mut body = join();
    body["client_settings"] = json!({"input": "gamepad", "platform": "Steam", "platform_id": 8});
    assert_eq!(bench.post(&format!("{path}/player/me"), &bob, body).await.status, 200);
    let seen = bench.get(&format!("{path}/player/{}", player_of("bob")), &ann).await;
    assert_eq!(seen.text("/client_settings/platform"), "Basic");
}

#[tokio::test]
async fn a_short_code_stands_for_the_session_and_there_is_one() {
    let bench = Bench::start(settings()).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let path = bench.session(&ann).await;
    let make = format!("{path}:generate-short-code");
    let code = bench.post(&make, &ann, json!({})).await.text("/short_code");
    assert!((5..=12).contains(&code.len()), "{code}");
    let again = bench.post(&make, &ann, json!({})).await;
    assert_eq!((again.status, again.code()), (409, "short_code_exists"));
    let by_code = format!("/session/v1/session/{code}");
    assert_eq!(bench.post(&format!("{by_code}/player/me"), &bob, join()).await.status, 200);
    assert!(path.ends_with(&bench.get(&by_code, &bob).await.text("/session_id")));
}
