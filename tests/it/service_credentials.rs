//! Credentials and names from outside: secrets that are rotated, passwords that are guessed, web
//! pages that were rebound to this machine.

use crate::service_bench::{Answer, Bench, add_client, create, join, settings};
use gameside::{
    internals::service::{
        ServiceSettings,
        auth::clients::{Clients, Rotation},
    },
    model::time::Timestamp,
};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_unix_millis(since.as_millis() as i64).unwrap()
}

async fn renewed(bench: &Bench, refresh_token: &str) -> Answer {
    let body = json!({"grant_type": "refresh", "portal_access_token": refresh_token, "include_refresh": true});
    bench.post("/users/v1/login", "", body).await
}

#[tokio::test]
async fn a_refresh_token_gives_what_its_client_may_do_now_and_ends_with_its_generation() {
    let bench = Bench::start(settings()).await;
    let clients = Clients::at(bench.dir.path());
    let first = add_client(bench.dir.path(), "servers", None);
    let logged_in = bench.log_in("servers", &first).await;
    let (access, refresh) = (logged_in.text("/access_token"), logged_in.text("/refresh_token"));

    let file = bench.dir.path().join("clients.json");
    let mut all: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    all["servers"]["permissions"] = json!(["session:read:config"]);
    std::fs::write(&file, all.to_string()).unwrap();
    let narrowed = renewed(&bench, &refresh).await;
    assert_eq!(narrowed.body["permissions"], json!(["session:read:config"]));

    let overlap = Rotation::Overlap(Duration::from_secs(3600));
    let second = clients.rotate("servers", overlap, now()).unwrap().unwrap();
    for secret in [&first, &second] {
        assert_eq!(bench.log_in("servers", secret).await.status, 200, "for a while there are two secrets");
    }
    assert_eq!(renewed(&bench, &refresh).await.status, 200);
    assert_eq!(bench.get("/session/v1/regions", &access).await.status, 200);

    let third = clients.rotate("servers", Rotation::Revoke, now()).unwrap().unwrap();
    for secret in [&first, &second] {
        assert_eq!(bench.log_in("servers", secret).await.code(), "client_credentials_invalid");
    }
    assert_eq!(renewed(&bench, &refresh).await.code(), "refresh_token_invalid");
    let refused = bench.get("/session/v1/regions", &access).await;
    assert_eq!((refused.status, refused.code(), &refused.body["auth_success"]), (403, "invalid_token", &json!(false)));
    let again = bench.log_in("servers", &third).await;
    assert_eq!(bench.get("/session/v1/regions", &again.text("/access_token")).await.status, 200);

    let again = again.text("/refresh_token");
    clients.remove("servers").unwrap();
    let _ = add_client(bench.dir.path(), "servers", None);
    assert_eq!(renewed(&bench, &again).await.status, 403, "a new client of the old name revives no token");
}

#[tokio::test]
async fn a_refresh_token_of_a_developers_service_is_worth_nothing_without_dev() {
    let bench = Bench::start(settings()).await;
    let body = json!({"grant_type": "basic", "portal_access_token": "ann:x", "include_refresh": true});
    let refresh = bench.post("/users/v1/login", "", body).await.text("/refresh_token");
    assert_eq!(renewed(&bench, &refresh).await.status, 200);
    let mut narrower = settings();
    narrower.auth.player_permissions = vec!["session:read:config".to_owned()];
    let bench = Bench::on(bench.stop().await, narrower).await;
    assert_eq!(renewed(&bench, &refresh).await.body["permissions"], json!(["session:read:config"]));
    let bench = Bench::on(bench.stop().await, ServiceSettings::default()).await;
    assert_eq!(renewed(&bench, &refresh).await.code(), "refresh_token_invalid");
}

#[tokio::test]
async fn wrong_passwords_put_off_their_player_for_this_session_and_nobody_else() {
    let bench = Bench::start(settings()).await;
    let [ann, bob, eve] = bench.players(["ann", "bob", "eve"]).await;
    let mut paths = Vec::new();
    for _ in 0..2 {
        let mut body = create("default");
        (body["password"], body["settings"]) = (json!("open sesame"), json!({"joinable": false}));
        body["force_create"] = json!(true);
        let made = bench.post("/session/v1/session", &ann, body).await;
        paths.push(format!("/session/v1/session/{}/player/me", made.text("/session_id")));
    }
    let with = |password: &str| {
        let mut body = join();
        body["password"] = json!(password);
        body
    };
    let mut said = Vec::new();
    for _ in 0..6 {
        let refused = bench.post(&paths[0], &eve, with("sesame")).await;
        assert_eq!((refused.status, refused.code()), (403, "wrong_password"));
        said.push(refused.text("/desc"));
    }
    let put_off = |text: &String| text.contains("come again");
    assert!(!said[..5].iter().any(put_off) && put_off(&said[5]), "{said:?}");
    assert_eq!(bench.post(&paths[0], &eve, with("open sesame")).await.status, 403);
    assert_eq!(bench.post(&paths[1], &eve, with("open sesame")).await.status, 200, "another session");
    assert_eq!(bench.post(&paths[0], &bob, with("open sesame")).await.status, 200, "another player");
}

#[tokio::test]
async fn a_right_secret_is_taken_among_any_number_of_wrong_ones() {
    let bench = Bench::start(settings()).await;
    let secret = add_client(bench.dir.path(), "servers", None);
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(bench.log_in("servers", "guessed").await.status);
    }
    assert!(statuses[..20].iter().all(|status| *status == 403), "{statuses:?}");
    assert!(statuses[20..].contains(&429), "{statuses:?}");
    assert_eq!(bench.log_in("servers", &secret).await.status, 200);
}

#[tokio::test]
async fn a_service_for_this_machine_is_reached_by_no_rebound_name_and_no_web_page() {
    let local = tempfile::tempdir().unwrap();
    let secret = local.path().join("secret");
    std::fs::write(&secret, "local").unwrap();
    let mut for_agents = ServiceSettings::default();
    for_agents.auth.local_secret = Some(secret);
    for mut settings in [settings(), for_agents] {
        settings.http.allowed_hosts = vec!["sessions.example".to_owned()];
        let bench = Bench::start(settings).await;
        let rows = [
            (("host", "evil.example"), 403, "foreign_host"),
            (("host", "127.0.0.1.evil.example:8787"), 403, "foreign_host"),
            (("host", "localhost:1"), 422, ""),
            (("host", "10.0.0.7:8787"), 422, ""),
            (("host", "sessions.example"), 422, ""),
            (("origin", "http://evil.example"), 403, "browser"),
            (("origin", "null"), 403, "browser"),
            (("origin", "http://127.0.0.1:8787"), 422, ""),
        ];
        for (header, status, code) in rows {
            let answer = bench.call_with("POST", "/users/v1/login", "", Some(json!({})), &[header]).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{header:?}");
        }
    }
}

#[tokio::test]
async fn a_service_for_all_is_reached_by_any_name_unless_its_names_are_listed() {
    let listed = vec!["sessions.example".to_owned()];
    for (names, foreign) in [(vec![], (422, "")), (listed, (403, "foreign_host"))] {
        let mut settings = ServiceSettings::default();
        settings.http.allowed_hosts = names;
        let bench = Bench::start(settings).await;
        let rows = [("sessions.example:443", (422, "")), ("ingress.example", foreign), ("127.0.0.1", foreign)];
        for (host, expected) in rows {
            let headers = [("host", host), ("origin", "https://game.example")];
            let answer = bench.call_with("POST", "/users/v1/login", "", Some(json!({})), &headers).await;
            assert_eq!((answer.status, answer.code()), expected, "{host}");
            let alive = bench.call_with("GET", "/livez", "", None, &headers).await;
            assert_eq!(alive.status, 200, "a probe names an address");
        }
    }
}
