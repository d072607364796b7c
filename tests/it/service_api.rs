//! The Session API from outside: the rules that callers see.

use crate::service_bench::{Bench, add_client, create, join, settings};
use gameside::internals::service::{http::route::Access, ops, templates::SessionType};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test]
async fn login_by_every_grant_and_its_refusals() {
    let bench = Bench::start(settings()).await;
    let secret = add_client(bench.dir.path(), "server", None);
    let good = bench.log_in("server", &secret).await;
    assert_eq!(good.status, 200);
    assert!(good.body["permissions"].as_array().unwrap().contains(&json!("session:instance:health")));

    let refresh = json!({"grant_type": "refresh", "portal_access_token": good.text("/refresh_token")});
    assert_eq!(bench.post("/users/v1/login", "", refresh.clone()).await.status, 200);
    let access = json!({"grant_type": "refresh", "portal_access_token": good.text("/access_token")});
    assert_eq!(bench.post("/users/v1/login", "", access).await.status, 403, "an access token renews nothing");

    for (id, given) in [("server", "wrong"), ("nobody", secret.as_str()), ("server", "")] {
        let refused = bench.log_in(id, given).await;
        assert_eq!((refused.status, refused.code()), (403, "client_credentials_invalid"));
        assert_eq!(refused.body["auth_success"], false);
    }
    let player = json!({"grant_type": "basic", "portal_access_token": "ann:one"});
    let once = bench.post("/users/v1/login", "", player).await;
    let again = json!({"grant_type": "basic", "portal_access_token": "ann:two"});
    let again = bench.post("/users/v1/login", "", again).await;
    assert_eq!(once.text("/active_player_uuid"), again.text("/active_player_uuid"), "stable by name");
    let other = bench.post("/users/v1/login", "", json!({"grant_type": "steam"})).await;
    assert_eq!((other.status, other.code()), (403, "invalid_grant_type"));
    assert_eq!(bench.post("/users/v1/login", "", json!({})).await.status, 422);

    gameside::internals::service::auth::clients::Clients::at(bench.dir.path()).remove("server").unwrap();
    assert_eq!(bench.post("/users/v1/login", "", refresh).await.status, 403, "a withdrawn client renews nothing");
    bench.stop().await;
}

#[tokio::test]
async fn client_credentials_come_in_either_alphabet_with_and_without_padding() {
    use base64::engine::{Engine, general_purpose as alphabet};
    let bench = Bench::start(settings()).await;
    let id = "box>>>???";
    let both = format!("{id}:{}", add_client(bench.dir.path(), id, None));
    let plain = alphabet::STANDARD.encode(&both);
    let of_urls = [alphabet::URL_SAFE.encode(&both), alphabet::URL_SAFE_NO_PAD.encode(&both)];
    assert!(of_urls.iter().all(|encoded| *encoded != plain));
    for encoded in of_urls.into_iter().chain([plain, alphabet::STANDARD_NO_PAD.encode(&both)]) {
        let body = json!({"grant_type": "client_credentials"});
        let header = format!("Basic {encoded}");
        let answer =
            bench.call_with("POST", "/users/v1/login", "", Some(body), &[("authorization", header.as_str())]).await;
        assert_eq!(answer.status, 200, "{encoded}: {answer:?}");
    }
}

#[tokio::test]
async fn a_player_who_hosts_posts_the_health_of_its_own_instance() {
    let bench = Bench::start(settings()).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let path = bench.session(&ann).await;
    assert_eq!(bench.post(&format!("{path}/player/me"), &bob, join()).await.status, 200);
    let instance = json!({"instance_id": "i", "host_type": "player"});
    assert_eq!(bench.post(&format!("{path}/instance"), &ann, instance).await.status, 200);
    let beat = json!({"instance_id": "i", "instance_health": "healthy"});
    let health = format!("{path}/instance/health");
    assert_eq!(bench.post(&health, &ann, beat.clone()).await.status, 200);
    assert_eq!(bench.post(&health, &bob, beat).await.code(), "insufficient_permissions");
}

#[tokio::test]
async fn basic_is_refused_without_dev() {
    let bench = Bench::start(gameside::internals::service::ServiceSettings::default()).await;
    let body = json!({"grant_type": "basic", "portal_access_token": "ann:x"});
    let refused = bench.post("/users/v1/login", "", body).await;
    assert_eq!((refused.status, refused.code()), (403, "basic_disabled"));
}

#[tokio::test]
async fn a_404_means_a_lost_session_only_with_its_code() {
    let bench = Bench::start(settings()).await;
    let ann = bench.player("ann").await;
    let gone = bench.get("/session/v1/session/none", &ann).await;
    assert_eq!((gone.status, gone.code()), (404, "session_not_found"));
    for path in ["/session/v1/nothing/at/all", "/session/v9/session/none", "/", "/session/v1/session/a/b/c/d"] {
        let lost = bench.get(path, &ann).await;
        assert_eq!((lost.status, lost.code()), (404, "not_found"), "{path}");
    }
    let method = bench.call("PUT", "/session/v1/session/none", &ann, None).await;
    assert_eq!(method.status, 405);
    let token = bench.get("/session/v1/session/none", "garbage").await;
    assert_eq!((token.status, &token.body["auth_success"]), (403, &json!(false)));
}

#[tokio::test]
async fn every_permission_is_asked_for() {
    let bench = Bench::start(settings()).await;
    let nobody = bench.client("nobody", Some(&["something:else"])).await;
    let mut asked = 0;
    for row in ops::tables().into_iter().flatten() {
        let Access::AnyOf(_) = row.access else { continue };
        let path = row.path.replace("{player_uuid}", "00000000-0000-0000-0000-000000000001").replace(['{', '}'], "");
        let refused = bench.call(row.method.as_str(), &path, &nobody, Some(json!({}))).await;
        assert_eq!((refused.status, refused.code()), (403, "insufficient_permissions"), "{row:?}");
        assert_eq!(refused.body["auth_success"], true, "{row:?}");
        let anonymous = bench.call(row.method.as_str(), &path, "", Some(json!({}))).await;
        assert_eq!((anonymous.status, &anonymous.body["auth_success"]), (403, &json!(false)), "{row:?}");
        asked += 1;
    }
    assert!(asked > 30, "{asked}");
}

#[tokio::test]
async fn etags_if_match_and_views() {
    let bench = Bench::start(settings()).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let path = bench.session(&ann).await;
    let first = bench.get(&path, &ann).await;
    let tag = first.etag.clone().unwrap();
    let same = bench.call_with("GET", &path, &ann, None, &[("if-none-match", &tag)]).await;
    assert_eq!((same.status, same.etag.as_ref()), (304, Some(&tag)));
    let limited = bench.call_with("GET", &path, &bob, None, &[("if-none-match", &tag)]).await;
    assert_eq!(limited.status, 200, "another view, another tag");

    let change = json!({"custom_data": {"a": "1"}});
    let changed = bench.call_with("PATCH", &path, &ann, Some(change), &[("if-match", &tag)]).await;
    assert_eq!((changed.status, &changed.body["custom_data"]["a"]), (200, &json!("1")));
    assert_ne!(changed.etag.as_ref(), Some(&tag));
    let late = json!({"custom_data": {"b": "2"}});
    let late = bench.call_with("PATCH", &path, &ann, Some(late), &[("if-match", &tag)]).await;
    assert_eq!((late.status, late.code()), (412, "etag_mismatch"));
    assert_eq!(bench.patch(&path, &bob, json!({})).await.status, 403, "no admin");
    let fresh = changed.etag.unwrap();
    let nothing = bench.patch(&path, &ann, json!({"custom_data": {"a": "1"}})).await;
    assert_eq!(nothing.etag, Some(fresh), "a change that changes nothing keeps the version");
}

#[tokio::test]
async fn faults_of_a_body_are_all_found_and_located() {
    let bench = Bench::start(settings()).await;
    let ann = bench.player("ann").await;
    let path = bench.session(&ann).await;
    let rows: Vec<(&str, String, Value, Vec<&str>)> = vec![
        ("POST", "/session/v1/session".into(), json!({}), vec!["client_version", "client_settings", "session_type"]),
        ("PATCH", path.clone(), json!({"teams": [{"max_size": 0}], "joinable": "perhaps"}), vec!["joinable", "teams"]),
        ("PATCH", path.clone(), json!({"custom_data": {"k": ""}}), vec!["custom_data"]),
        (
            "POST",
            format!("{path}/player/me"),
            json!({"team_id": -1}),
            vec!["client_settings", "client_version", "team_id"],
        ),
        ("POST", format!("{path}/instance"), json!({"host_type": "cloud"}), vec!["host_type"]),
    ];
    for (method, path, body, expected) in rows {
        let answer = bench.call(method, &path, &ann, Some(body)).await;
        assert_eq!(answer.status, 422, "{path} {answer:?}");
        let found: BTreeSet<&str> =
            answer.body["detail"].as_array().unwrap().iter().map(|fault| fault["loc"][1].as_str().unwrap()).collect();
        assert_eq!(found, expected.into_iter().collect(), "{path}");
    }
    let page = bench.get("/session/v1/regions?page_size=51", &ann).await;
    assert_eq!((page.status, &page.body["detail"][0]["loc"]), (422, &json!(["query", "page_size"])));
    let broken = bench.call_with("PATCH", &path, &ann, None, &[("content-type", "application/json")]).await;
    assert_eq!(broken.status, 422);
    let long = "x".repeat(129);
    assert_eq!(bench.get(&format!("/session/v1/session/{long}"), &ann).await.status, 422);
    let huge = json!({"custom_data": {"k": "v".repeat(1 << 20)}});
    assert_eq!(bench.patch(&path, &ann, huge).await.status, 413);
}

#[tokio::test]
async fn passwords_admit_and_are_kept_as_hashes() {
    let bench = Bench::start(settings()).await;
    let [ann, bob, eve] = bench.players(["ann", "bob", "eve"]).await;
    let mut body = create("default");
    body["password"] = json!("open sesame");
    body["settings"] = json!({"joinable": false});
    let made = bench.post("/session/v1/session", &ann, body).await;
    let path = format!("/session/v1/session/{}/player/me", made.text("/session_id"));
    let with = |password: &str| {
        let mut body = join();
        body["password"] = json!(password);
        body
    };
    let refused = bench.post(&path, &eve, with("sesame")).await;
    assert_eq!((refused.status, refused.code()), (403, "wrong_password"));
    assert_eq!(bench.post(&path, &eve, join()).await.code(), "not_joinable");
    assert_eq!(bench.post(&path, &bob, with("open sesame")).await.status, 200);
    let dir = bench.stop().await;
    let store = std::fs::read(dir.path().join("sessions.redb")).unwrap();
    assert!(!store.windows(11).any(|window| window == b"open sesame"));
}

#[tokio::test]
async fn auto_join_skips_other_regions_and_versions_and_force_create_skips_it() {
    let mut settings = settings();
    let kind = SessionType { attempt_auto_join: true, default_public: true, ..SessionType::built_in() };
    settings.session_types.insert("open".into(), kind);
    let bench = Bench::start(settings).await;
    let with = |region: &str, version: &str| {
        let mut body = create("open");
        body["region_id"] = json!(region);
        body["client_version"] = json!(version);
        body
    };
    let ann = bench.player("ann").await;
    let first = bench.post("/session/v1/session", &ann, with("eu", "1.0.0")).await.text("/session_id");
    let rows = [("eu", "1.4.0", true), ("us", "1.0.0", false), ("eu", "2.0.0", false)];
    for (number, (region, version, joins)) in rows.into_iter().enumerate() {
        let who = bench.player(&format!("p{number}")).await;
        let found = bench.post("/session/v1/session", &who, with(region, version)).await.text("/session_id");
        assert_eq!(found == first, joins, "{region} {version}");
    }
    let mut forced = with("eu", "1.0.0");
    forced["force_create"] = json!(true);
    let who = bench.player("forcer").await;
    assert_ne!(bench.post("/session/v1/session", &who, forced).await.text("/session_id"), first);
}
