//! What happens to callers who send too much, too fast, too slowly, or something hostile: a clear
//! answer, bounded memory.

use crate::service_bench::{Bench, create, settings};
use gameside::{internals::service::auth::login::player_of, model::units::Span};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends bytes and reads until the other end closes.
async fn raw(bench: &Bench, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(bench.base.trim_start_matches("http://")).await.unwrap();
    // The service may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A player's token where names count only together with the local client's secret.
async fn local_player(bench: &Bench, name: &str) -> String {
    let body = json!({"grant_type": "basic", "portal_access_token": format!("{name}:x")});
    let local = ("authorization", "Basic bG9jYWw6czNjcmV0");
    bench.call_with("POST", "/users/v1/login", "", Some(body), &[local]).await.text("/access_token")
}

#[tokio::test]
async fn a_caller_who_asks_too_fast_is_told_when_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "s3cret").unwrap();
    let mut settings = settings();
    (settings.auth.dev, settings.auth.local_secret) = (false, Some(secret));
    settings.limits.requests_per_second = 1;
    settings.limits.request_burst = 5;
    let bench = Bench::start(settings).await;
    let server = bench.client("server", None).await;
    let (ann, bob) = (local_player(&bench, "ann").await, local_player(&bench, "bob").await);
    let refused = async |method, path, who| {
        for _ in 0..200 {
            let answer = bench.call(method, path, who, (method == "POST").then(|| json!({}))).await;
            if ![200, 422].contains(&answer.status) {
                return (answer.status, answer.code().to_owned());
            }
        }
        (200, String::new())
    };
    assert_eq!(refused("GET", "/session/v1/regions", &ann).await, (503, "unavailable".to_owned()));
    let search = "/session/v1/browser:search";
    assert_eq!(refused("POST", search, &ann).await, (429, "too_many_requests".to_owned()));
    assert_eq!(bench.get("/session/v1/regions", &bob).await.status, 200, "another player, from the same address");
    for _ in 0..20 {
        assert_eq!(bench.get("/session/v1/regions", &server).await.status, 200, "a client's rate is its own");
        assert_eq!(bench.get("/livez", "").await.status, 200);
        let no_token = raw(&bench, b"GET /session/v1/regions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        assert!(no_token.await.starts_with("HTTP/1.1 403"), "addresses count for nothing");
    }
    let request = format!(
        "POST {search} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {ann}\r\n\
         content-length: 2\r\n\r\n{{}}"
    );
    let mut last = String::new();
    for _ in 0..200 {
        last = raw(&bench, request.as_bytes()).await;
        if last.starts_with("HTTP/1.1 429") {
            break;
        }
    }
    assert!(last.starts_with("HTTP/1.1 429") && last.contains("retry-after: 1"), "{last}");
    assert!(!local_player(&bench, "ann").await.is_empty(), "a login is not counted");
}

#[tokio::test]
async fn what_a_live_registration_and_instance_need_is_never_refused() {
    let mut settings = settings();
    settings.auth.dev = false;
    settings.limits.client_requests_per_second = 1;
    settings.limits.server_requests_per_second = 1;
    settings.limits.request_burst = 1;
    let bench = Bench::start(settings).await;
    let admin = bench.client("admin", Some(&["session:*"])).await;
    let server = bench.client("server", None).await;
    let item = json!({"items": [{"id": "s1", "public_host": "h", "public_port": 1, "incarnation": "k"}]});
    let register = "/instances/sic_registration/v3/register";
    assert_eq!(bench.post(register, &server, item.clone()).await.status, 200);
    let path = bench.session(&admin).await;
    let instance = format!("{path}/instance");
    let posted = bench.post(&instance, &admin, json!({"host_type": "dedicated"})).await;
    assert_eq!(posted.body["join_status"], "allocated");
    let backfill = path.replace("/v1/session/", "/v1/backfill/session/");
    assert_eq!(bench.call("PUT", &backfill, &admin, Some(json!({}))).await.status, 200);
    let (id, allocation) = (posted.text("/instance_id"), posted.text("/allocation_id"));
    for _ in 0..30 {
        let state = "/instances/sic_registration/v1/state";
        for (method, path, body) in [
            ("POST", register, item.clone()),
            ("POST", state, json!({"items": [{"id": "s1"}]})),
            ("PATCH", &instance, json!({"join_status": "joinable", "allocation_id": allocation})),
            ("POST", &format!("{instance}/health"), json!({"instance_id": id, "instance_health": "healthy"})),
            ("POST", &backfill, json!({"instance_id": id})),
            ("PATCH", &backfill, json!({"instance_id": id, "teams": []})),
        ] {
            let answer = bench.call(method, path, &server, Some(body)).await;
            assert!(answer.status < 300, "{method} {path}: {answer:?}");
        }
    }
    let reads = async || {
        for _ in 0..30 {
            let answer = bench.get(&path, &server).await;
            if answer.status != 200 {
                return answer.status;
            }
        }
        200
    };
    assert_eq!(reads().await, 503, "anything else has its rate");
    for _ in 0..30 {
        let answer = bench.call("DELETE", &backfill, &server, Some(json!({"instance_id": id}))).await;
        assert_ne!(answer.status, 503, "{answer:?}");
    }
    assert_eq!(bench.delete(&instance, &server).await.status, 204);
}

#[tokio::test]
async fn hostile_json_is_refused_with_422_and_the_service_goes_on() {
    let bench = Bench::start(settings()).await;
    let ann = bench.player("ann").await;
    let path = bench.session(&ann).await;
    let http = crate::service_bench::http();
    let deep = format!("{{\"custom_data\":{}{}}}", "[".repeat(400_000), "]".repeat(400_000));
    let objects = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
    let rows = [
        deep,
        objects,
        "{\"teams\":[{\"max_size\":1e999}]}".into(),
        "{\"teams\":[{\"max_size\":123456789012345678901234567890}]}".into(),
        "{\"teams\":[{\"max_size\":4.5}]}".into(),
        "{\"teams\":[{\"max_size\":-0.0}]}".into(),
        format!("{{\"teams\":[{{\"max_size\":{}}}]}}", "9".repeat(100_000)),
        "{\"custom_data\":{\"a\":\"\\ud800\"}}".into(),
        "{\"custom_data\":{\"a\":\"b\"}} trailing".into(),
        "{\"custom_data\":{\"a\":\"b\"},}".into(),
        "\u{feff}{}".into(),
        "[]".into(),
        "\"{}\"".into(),
        "NaN".into(),
        String::new(),
    ];
    for body in rows {
        let start: String = body.chars().take(60).collect();
        let request = http.patch(format!("{}{path}", bench.base)).bearer_auth(&ann).body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 422, "{start}");
        let said: serde_json::Value = answer.json().await.unwrap();
        assert!(!said["detail"].as_array().unwrap().is_empty(), "{start}: {said}");
    }
    let bytes = http.patch(format!("{}{path}", bench.base)).bearer_auth(&ann).body(vec![0xff, 0xfe, 0x00]);
    assert_eq!(bytes.send().await.unwrap().status(), 422);
    let many: serde_json::Map<String, serde_json::Value> = (0..257).map(|n| (n.to_string(), json!("x"))).collect();
    assert_eq!(bench.patch(&path, &ann, json!({"custom_data": many})).await.status, 422);
    let twice = "{\"custom_data\":{\"a\":\"1\"},\"custom_data\":{\"a\":\"2\",\"a\":\"3\"}}";
    let twice = http.patch(format!("{}{path}", bench.base)).bearer_auth(&ann).body(twice).send().await.unwrap();
    let twice: serde_json::Value = twice.json().await.unwrap();
    assert_eq!(twice["custom_data"], json!({"a": "3"}), "the last counts");
}

#[tokio::test]
async fn pages_ids_and_headers_are_bounded() {
    let bench = Bench::start(settings()).await;
    let ann = bench.player("ann").await;
    for path in [
        "/session/v1/browser?session_type=default&page_size=51",
        "/session/v1/browser?session_type=default&page_size=0",
        "/session/v1/browser?session_type=default&cursor=-1",
        "/session/v1/browser?session_type=default&cursor=99999999999999999999",
        "/notification/v1/player/me/notification?page_size=101",
        "/session/v1/player/not-a-uuid/session",
    ] {
        assert_eq!(bench.get(path, &ann).await.status, 422, "{path}");
    }
    let audit = format!("/session/v1/audit?player_uuid={}&page_size=51", player_of("ann"));
    assert_eq!(bench.get(&audit, &ann).await.status, 422);
    assert_eq!(bench.get(&format!("/session/v1/session/{}", "a".repeat(129)), &ann).await.status, 422);
    assert_eq!(bench.get(&format!("/session/v1/session/{}", "%00".repeat(8)), &ann).await.code(), "session_not_found");
    let long = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx-long: {}\r\n\r\n", "y".repeat(20 * 1024));
    assert!(raw(&bench, long.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let many = "x: y\r\n".repeat(200);
    assert!(
        raw(&bench, format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{many}\r\n").as_bytes())
            .await
            .starts_with("HTTP/1.1 431")
    );
    let login =
        "POST /users/v1/login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 99999999999\r\n\r\n";
    assert!(raw(&bench, format!("{login}{{").as_bytes()).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_client_that_sends_too_slowly_is_let_go() {
    let mut settings = settings();
    settings.limits.read_timeout = Span::from_secs(1);
    settings.limits.idle_timeout = Span::from_secs(1);
    let bench = Bench::start(settings).await;
    let body = b"POST /users/v1/login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 10\r\n\r\n{";
    let answer = raw(&bench, body).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_timeout"), "{answer}");
    assert_eq!(raw(&bench, b"GET /livez HTTP/1.1\r\nhost: ").await, "", "half a header: closed");
    assert!(!bench.player("ann").await.is_empty(), "and goes on");
}

/// The audit events of a session that callers wrote and that are kept, oldest first.
async fn audit_events(bench: &Bench, session: &str, who: &str) -> Vec<String> {
    let id = session.rsplit('/').next().unwrap();
    let page = bench.get(&format!("/session/v1/audit?session_id={id}"), who).await;
    assert_eq!(page.status, 200, "{page:?}");
    let events = page.body["events"].as_array().unwrap();
    let names = events.iter().map(|event| event["event_name"].as_str().unwrap().to_owned());
    names.filter(|name| name.starts_with("customer.")).collect()
}

#[tokio::test]
async fn audit_events_of_a_session_and_in_all_are_bounded_and_the_oldest_go() {
    let mut settings = settings();
    (settings.limits.audit_events_per_session, settings.limits.audit_events) = (3, 5);
    let bench = Bench::start(settings).await;
    let ann = bench.player("ann").await;
    let (first, second) = (bench.session(&ann).await, bench.session(&ann).await);
    for session in [&first, &second] {
        for number in 1..=4 {
            let id = session.rsplit('/').next().unwrap();
            let event = json!({"event_name": format!("n{number}"), "session_id": id});
            assert_eq!(bench.post("/session/v1/audit", &ann, event).await.status, 200);
        }
    }
    let kept = |numbers: &[&str]| numbers.iter().map(|number| format!("customer.{number}")).collect::<Vec<_>>();
    assert_eq!(audit_events(&bench, &second, &ann).await, kept(&["n2", "n3", "n4"]));
    assert_eq!(audit_events(&bench, &first, &ann).await, kept(&["n3", "n4"]), "five of callers in all");
}

#[tokio::test]
async fn sessions_at_a_time_are_bounded() {
    let mut settings = settings();
    settings.limits.sessions = 1;
    let bench = Bench::start(settings).await;
    let ann = bench.player("ann").await;
    bench.session(&ann).await;
    let refused = bench.post("/session/v1/session", &ann, create("default")).await;
    assert_eq!((refused.status, refused.code()), (503, "unavailable"));
}
