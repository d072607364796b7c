//! Bodies, headers, ids, pages and clients that mean harm: each gets a clear refusal, none a 5xx,
//! and the service lives on.
//!
//! Slow clients are tested on paused time: when everybody waits, time jumps to the next deadline,
//! so that the configured time-outs pass at once.

use crate::service_bench::{Answer, Bench, settings};
use gameside::internals::service::{ServiceSettings, auth::login::player_of, http::route::Row, ops};
use http::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

/// The path of a row with values that lead somewhere.
fn path(row: &Row, session: &str) -> String {
    let player = player_of("ann").to_string();
    let filled = row.path.split('/').map(|segment| match segment.split_once('}') {
        Some(("{session_id" | "{invited_session_id" | "{kicked_session_id", verb)) => format!("{session}{verb}"),
        Some((name, verb)) if name.ends_with("player_uuid") => format!("{player}{verb}"),
        Some(("{platform", verb)) => format!("Basic{verb}"),
        Some((_, verb)) => format!("1{verb}"),
        None => segment.to_owned(),
    });
    filled.collect::<Vec<_>>().join("/")
}

fn rows() -> impl Iterator<Item = &'static Row> {
    ops::tables().into_iter().flatten()
}

/// A player who may do everything, and a session of its own.
async fn omnipotent() -> (Bench, String, String) {
    let mut settings = settings();
    settings.auth.player_permissions = ["session:*", "friend:*", "notification:player:*"].map(str::to_owned).to_vec();
    let bench = Bench::start(settings).await;
    let ann = bench.player("ann").await;
    let session = bench.session(&ann).await.rsplit('/').next().unwrap().to_owned();
    (bench, ann, session)
}

fn hostile_bodies() -> Vec<(&'static str, Vec<u8>)> {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000)).into_bytes();
    vec![
        ("deep lists", deep("[", "]")),
        ("deep objects", deep("{\"a\":", "")),
        ("deep, within bounds of the parser", format!("{}1{}", "[".repeat(120), "]".repeat(120)).into_bytes()),
        ("a deep member", format!("{{\"custom_data\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000)).into_bytes()),
        ("no JSON", b"{\"a\": nope}".to_vec()),
        ("half", b"{\"session_type\": \"def".to_vec()),
        ("no UTF-8", b"{\"session_type\": \"\xff\xfe\"}".to_vec()),
        ("half a surrogate", b"{\"session_type\": \"\\ud800\"}".to_vec()),
        ("another type", b"\"text\"".to_vec()),
        ("a list", b"[]".to_vec()),
        ("a null", b"null".to_vec()),
        ("a number beyond all", format!("{{\"team_id\": 1e999, \"max_size\": {}}}", "9".repeat(5000)).into_bytes()),
        ("nothing but nulls", br#"{"session_type":null,"custom_data":null,"teams":null,"players":null}"#.to_vec()),
        ("a byte too many", vec![b' '; (1 << 20) + 1]),
    ]
}

fn assert_refused_clearly(answer: &Answer, what: &str) {
    assert!(answer.status < 500, "{what}: {answer:?}");
    if answer.status >= 400 {
        let located = answer.body["detail"].as_array().is_some_and(|faults| !faults.is_empty());
        assert!(located || !answer.code().is_empty(), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn no_body_makes_any_operation_fail() {
    let (bench, ann, session) = omnipotent().await;
    for row in rows().filter(|row| [Method::POST, Method::PUT, Method::PATCH].contains(&row.method)) {
        for (what, body) in hostile_bodies() {
            let path = path(row, &session);
            let answer = bench.send(row.method.as_str(), &path, &ann, Some(body), &[]).await;
            assert_refused_clearly(&answer, &format!("{row:?} with {what}"));
            if what == "a byte too many" {
                assert_eq!(answer.status, 413, "{row:?}");
            }
        }
    }
}

#[tokio::test]
async fn numbers_beyond_all_bounds_are_refused_where_they_stand() {
    let (bench, ann, session) = omnipotent().await;
    let path = format!("/session/v1/session/{session}");
    for number in ["1e400", "-1", "0", "101", "1.5", "99999999999999999999999", "-9223372036854775809", "1e18", "true"]
    {
        let body = format!("{{\"max_size\": {number}}}").into_bytes();
        let answer = bench.send("PATCH", &format!("{path}/team/0"), &ann, Some(body), &[]).await;
        assert_eq!(answer.status, 422, "{number}: {answer:?}");
    }
    for team in ["-1", "51", "99999999999999999999", "1e3", "x", "0x1", "%30%00"] {
        let answer = bench.patch(&format!("{path}/team/{team}"), &ann, json!({"max_size": 4})).await;
        assert!((400..500).contains(&answer.status), "{team}: {answer:?}");
    }
}

#[tokio::test]
async fn no_id_in_a_path_makes_any_operation_fail() {
    let (bench, ann, _) = omnipotent().await;
    let long = "x".repeat(5000);
    let ids = ["%00", "%ff%fe", "..", "%2e%2e%2f%2e%2e", "'", "%25", "%", "%7B%7D", "%F0%9F%8E%AE", &long];
    for row in rows().filter(|row| row.path.contains('{')) {
        for id in ids {
            let filled = row.path.split('/').map(|segment| match segment.split_once('}') {
                Some((_, verb)) => format!("{id}{verb}"),
                None => segment.to_owned(),
            });
            let path = filled.collect::<Vec<_>>().join("/");
            let answer = raw_get(&bench, row.method.as_str(), &path, &ann).await;
            assert!(
                (400..500).contains(&answer.0),
                "{row:?} with {}: {answer:?}",
                id.chars().take(20).collect::<String>()
            );
            serde_json::from_str::<Value>(&answer.1).unwrap_or_else(|why| panic!("{row:?}: {why}: {answer:?}"));
        }
    }
}

#[tokio::test]
async fn pages_have_bounds() {
    let (bench, ann, session) = omnipotent().await;
    let player = player_of("ann");
    let pages = [
        ("/session/v1/browser?session_type=default&", "page_size", "cursor"),
        ("/session/v1/regions?", "page_size", "cursor"),
        (&format!("/session/v1/session/{session}/player?"), "page_size", "cursor"),
        (&format!("/session/v1/audit?session_id={session}&"), "page_size", "page_num"),
        (&format!("/friends/v2/player/{player}/friend?"), "limit", "page"),
        ("/notification/v1/player/me/notification?", "page_size", ""),
    ];
    for (path, size, cursor) in pages {
        for wrong in ["-1", "1000000", "99999999999999999999", "x", "1e3"] {
            let answer = bench.get(&format!("{path}{size}={wrong}"), &ann).await;
            assert_eq!(answer.status, 422, "{path}{size}={wrong}: {answer:?}");
        }
        for far in ["-1", "4294967295", "18446744073709551616", "x"].into_iter().filter(|_| !cursor.is_empty()) {
            let answer = bench.get(&format!("{path}{cursor}={far}"), &ann).await;
            assert_refused_clearly(&answer, &format!("{path}{cursor}={far}"));
        }
    }
}

/// A request as no client library would send it; status and body.
async fn raw_get(bench: &Bench, method: &str, path: &str, token: &str) -> (u16, String) {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n"
    );
    said(bench, format!("{head}content-length: 2\r\n\r\n{{}}").as_bytes()).await
}

/// Everything that the service says to some bytes until it closes the connection.
async fn said(bench: &Bench, bytes: &[u8]) -> (u16, String) {
    let mut stream = connect(bench).await;
    // The service may answer, and close, before it has read everything.
    let _ = stream.write_all(bytes).await;
    answered(&mut stream).await
}

async fn connect(bench: &Bench) -> TcpStream {
    TcpStream::connect(bench.base.strip_prefix("http://").unwrap()).await.unwrap()
}

/// Status 0: it said nothing.
async fn answered(stream: &mut TcpStream) -> (u16, String) {
    let mut answer = Vec::new();
    // A reset after the answer is the end of it.
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

#[tokio::test]
async fn headers_and_request_lines_have_bounds() {
    let bench = Bench::start(settings()).await;
    let ends = "connection: close\r\n\r\n";
    let rows: [(&str, String, &[u16]); 8] = [
        ("good", format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{ends}"), &[200]),
        ("too many headers", format!("GET /livez HTTP/1.1\r\n{}{ends}", "a: b\r\n".repeat(101)), &[431]),
        ("a long header", format!("GET /livez HTTP/1.1\r\na: {}\r\n{ends}", "x".repeat(20_000)), &[431]),
        ("a long path", format!("GET /{} HTTP/1.1\r\n{ends}", "x".repeat(20_000)), &[414, 431]),
        ("no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(), &[400]),
        (
            "two lengths",
            "POST /users/v1/login HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
            &[400],
        ),
        (
            "a length beyond all",
            format!("POST /users/v1/login HTTP/1.1\r\ncontent-length: {}\r\n\r\n", "9".repeat(30)),
            &[400],
        ),
        (
            "a chunk beyond all",
            "POST /users/v1/login HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n".to_owned(),
            &[400],
        ),
    ];
    for (what, bytes, expected) in rows {
        let answer = said(&bench, bytes.as_bytes()).await;
        assert!(expected.contains(&answer.0), "{what}: {answer:?}");
    }
    let announced =
        format!("POST /users/v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", 1u64 << 40);
    let mut stream = connect(&bench).await;
    stream.write_all(announced.as_bytes()).await.unwrap();
    stream.write_all(&[b' '; 64]).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head[9..], b"413", "before it has read any of it");
}

/// Half a request, and then nothing.
#[tokio::test(start_paused = true)]
async fn clients_that_dawdle_are_sent_away() {
    let bench = Bench::start(settings()).await;
    let mut silent = connect(&bench).await;
    let mut head = connect(&bench).await;
    head.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await.unwrap();
    assert_eq!(answered(&mut head).await.0, 0, "half a head is no request");
    assert_eq!(answered(&mut silent).await.0, 0);
    let mut body = connect(&bench).await;
    body.write_all(b"POST /users/v1/login HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{\"grant")
        .await
        .unwrap();
    let (status, text) = answered(&mut body).await;
    assert_eq!((status, text.contains("body_timeout")), (408, true), "{text}");
}

/// One byte at a time buys no time.
#[tokio::test(start_paused = true)]
async fn a_head_that_drips_in_ends_all_the_same() {
    let bench = Bench::start(settings()).await;
    let mut stream = connect(&bench).await;
    let (mut reading, mut writing) = stream.split();
    let drip = async {
        for byte in std::iter::repeat(b'a') {
            if writing.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        }
    };
    let mut end = Vec::new();
    tokio::select! {
        _ = reading.read_to_end(&mut end) => {}
        () = drip => {}
    }
    assert!(end.is_empty(), "{}", String::from_utf8_lossy(&end));
}

/// They ask and ask and never read an answer, until nothing fits into any buffer any more.
#[tokio::test(start_paused = true)]
async fn clients_that_never_read_keep_nobody_out_for_long() {
    let mut settings = ServiceSettings::default();
    settings.limits.connections = 4;
    let bench = Bench::start(settings).await;
    let address = bench.base.strip_prefix("http://").unwrap().parse().unwrap();
    let greedy = (0..8).map(|_| async {
        let socket = TcpSocket::new_v4().unwrap();
        // Soon full.
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        // What isn't read keeps the service from reading on, and that this from being written.
        while stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await.is_ok() {}
    });
    let sent_away = futures_util::future::join_all(greedy);
    tokio::time::timeout(std::time::Duration::from_secs(3600), sent_away).await.expect("all are sent away");
    let answer = said(&bench, b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(answer.0, 200, "{answer:?}");
}

/// Places are few, and all of them are taken by clients that say nothing: a good one is served once those have been sent away.
#[tokio::test(start_paused = true)]
async fn clients_that_hoard_connections_keep_nobody_out_for_long() {
    let mut settings = ServiceSettings::default();
    settings.limits.connections = 4;
    let bench = Bench::start(settings).await;
    let mut hoarders = Vec::new();
    for _ in 0..50 {
        hoarders.push(connect(&bench).await);
    }
    let answer = said(&bench, b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(answer.0, 200, "{answer:?}");
    drop(hoarders);
}
