//! The client of the session service against a server whose every answer is scripted.

mod availability;
mod contract;

use crate::support::scripted::{LOGIN, Logins, PROBE, Server, health_config};
use gameside::{
    internals::session_api::{
        ConnectionSettings, Credentials, Secret,
        agent::{SessionClient, SessionClientSettings, connect},
    },
    model::{
        calls::{Answer, Backend, Call, Refusal},
        ids::SessionId,
    },
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::mpsc;
use url::Url;

pub fn settings(url: Url) -> SessionClientSettings {
    let secret = Secret::Text("s3cret".to_owned().into());
    let connection = ConnectionSettings {
        base_url: url,
        unix_socket: None,
        ca_file: None,
        credentials: Credentials::Client { id: "agent".into(), secret },
        user_agent: "gameside/test".into(),
    };
    SessionClientSettings { connection, call_timeout: SessionClientSettings::CALL_TIMEOUT }
}

async fn start(logins: Logins) -> (Server, SessionClient, mpsc::Receiver<Backend>) {
    let server = Server::start(logins).await;
    let (session_client, backend) = connect(&settings(server.url())).unwrap();
    (server, session_client, backend)
}

/// Starts a call; its outcome can be awaited after the server has played its part.
fn call(session_client: &SessionClient, call: Call) -> tokio::task::JoinHandle<Result<Answer, Refusal>> {
    let session_client = session_client.clone();
    tokio::spawn(async move { session_client.carry_out(call).await })
}

fn id(text: &str) -> SessionId {
    text.parse().unwrap()
}

fn read() -> Call {
    Call::ReadSession { session: id("s1") }
}

fn session() -> Value {
    json!({"type": "match", "session_id": "s1", "joinable": true, "teams": [], "created": "2026-11-21T10:00:00.000Z"})
}

fn away(backend: Option<Backend>) -> String {
    match backend {
        Some(Backend::Away { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

const READ: &str = "GET /session/v1/session/s1";

#[tokio::test]
async fn logs_in_and_sends_the_token_and_the_etag() {
    let (mut server, session_client, mut backend) = start(Logins::Test).await;
    let first = call(&session_client, read());
    let (authorization, body) = server.login(200, json!({"access_token": "t1", "expires_in": 3600})).await;
    assert_eq!(authorization.as_deref(), Some("Basic YWdlbnQ6czNjcmV0"));
    assert_eq!(body, json!({"grant_type": "client_credentials", "include_refresh": true}));
    let asked = server.expect(READ).await;
    assert_eq!(asked.header("authorization"), Some("Bearer t1"));
    assert_eq!(asked.header("if-none-match"), None);
    asked.answer(200, "ETag: \"v1\"\r\n", &session().to_string());
    assert!(matches!(first.await.unwrap(), Ok(Answer::Session(found)) if found.session_id == id("s1")));
    assert_eq!(backend.recv().await, Some(Backend::Up));

    let second = call(&session_client, read());
    let asked = server.expect(READ).await;
    assert_eq!(asked.header("if-none-match"), Some("\"v1\""));
    asked.answer(304, "ETag: \"v1\"\r\n", "");
    assert_eq!(second.await.unwrap(), Ok(Answer::NotModified));
}

#[tokio::test]
async fn a_tag_is_forgotten_with_an_answer_that_never_came_through() {
    let (mut server, session_client, _backend) = start(Logins::Server).await;
    let first = call(&session_client, read());
    server.expect(READ).await.answer(200, "ETag: \"v1\"\r\n", &session().to_string());
    first.await.unwrap().unwrap();
    let second = call(&session_client, read());
    server.expect(READ).await.error(404, "session_not_found");
    assert_eq!(second.await.unwrap(), Err(Refusal::SessionNotFound));
    let third = call(&session_client, read());
    let asked = server.expect(READ).await;
    assert_eq!(asked.header("if-none-match"), None);
    drop(asked);
    assert!(matches!(third.await.unwrap(), Err(Refusal::Ambiguous { .. })));
}

#[tokio::test]
async fn a_token_found_expired_is_replaced_once() {
    let (mut server, session_client, _backend) = start(Logins::Test).await;
    let expired = json!({"auth_success": false, "error_code": "invalid_token", "desc": "expired"});
    let asked = call(&session_client, read());
    server.login(200, json!({"access_token": "old"})).await;
    server.expect(READ).await.json(403, &expired);
    server.login(200, json!({"access_token": "new"})).await;
    let again = server.expect(READ).await;
    assert_eq!(again.header("authorization"), Some("Bearer new"));
    again.json(200, &session());
    assert!(asked.await.unwrap().is_ok());

    let asked = call(&session_client, read());
    server.expect(READ).await.json(403, &expired);
    server.login(200, json!({"access_token": "newer"})).await;
    server.expect(READ).await.json(403, &expired);
    assert!(matches!(asked.await.unwrap(), Err(Refusal::Credentials { desc }) if desc.contains("expired")));
}

#[tokio::test]
async fn a_missing_permission_is_no_reason_to_log_in_anew() {
    let (mut server, session_client, mut backend) = start(Logins::Server).await;
    let asked = call(&session_client, read());
    server.expect(READ).await.error(403, "insufficient_permissions");
    assert!(matches!(asked.await.unwrap(), Err(Refusal::Credentials { .. })));
    assert_eq!(backend.recv().await, Some(Backend::Up), "it is there, and we are in");
}

#[tokio::test]
async fn refused_credentials_show_and_a_new_secret_in_the_file_heals_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "stale\n").unwrap();
    let mut server = Server::start(Logins::Test).await;
    let credentials = Credentials::Client { id: "agent".into(), secret: Secret::File(file.clone()) };
    let mut settings = settings(server.url());
    settings.connection.credentials = credentials;
    let (session_client, mut backend) = connect(&settings).unwrap();

    let asked = call(&session_client, read());
    let no = json!({"auth_success": false, "error_code": "client_credentials_invalid", "desc": "no"});
    let (authorization, _) = server.login(403, no.clone()).await;
    assert_eq!(authorization.as_deref(), Some("Basic YWdlbnQ6c3RhbGU="));
    assert!(matches!(asked.await.unwrap(), Err(Refusal::Credentials { desc }) if !desc.contains("stale")));
    assert!(
        matches!(backend.recv().await, Some(Backend::Refused { why, .. }) if why.contains("client_credentials_invalid"))
    );
    // While they are refused, calls don't hammer the login.
    assert!(matches!(session_client.carry_out(read()).await, Err(Refusal::Credentials { .. })));

    std::fs::write(&file, "fresh\n").unwrap();
    loop {
        let asked = server.next().await;
        match (asked.line().as_str(), asked.header("authorization")) {
            (LOGIN, Some("Basic YWdlbnQ6ZnJlc2g=")) => asked.json(200, &json!({"access_token": "t"})),
            (LOGIN, _) => asked.json(403, &no),
            (PROBE, Some("Bearer t")) => break asked.json(200, &health_config()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(backend.recv().await, Some(Backend::Up));
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_while_the_old_one_is_used() {
    let (mut server, session_client, _backend) = start(Logins::Test).await;
    let first = call(&session_client, read());
    let login = json!({"access_token": "t1", "refresh_token": "r1", "expires_in": 3600});
    server.login(200, login).await;
    server.expect(READ).await.json(200, &session());
    first.await.unwrap().unwrap();

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3500)).await;
    tokio::time::resume();
    let second = call(&session_client, read());
    let mut both = [server.next().await, server.next().await];
    both.sort_by_key(super::support::scripted::Asked::line);
    let [asked, renewal] = both;
    assert_eq!((asked.line().as_str(), renewal.line().as_str()), (READ, LOGIN));
    assert_eq!(renewal.body["grant_type"], "refresh");
    assert_eq!(renewal.body["portal_access_token"], "r1");
    assert_eq!(asked.header("authorization"), Some("Bearer t1"));
    asked.json(200, &session());
    second.await.unwrap().unwrap();

    // The refresh token is refused: the credentials are used instead, and nobody had to wait for
    // it.
    renewal.json(403, &json!({"auth_success": false, "error_code": "refresh_token_not_found", "desc": "gone"}));
    let (_, body) = server.login(200, json!({"access_token": "t2", "expires_in": 3600})).await;
    assert_eq!(body["grant_type"], "client_credentials");
    loop {
        let third = call(&session_client, read());
        let asked = server.expect(READ).await;
        let done = asked.header("authorization") == Some("Bearer t2");
        asked.json(200, &session());
        third.await.unwrap().unwrap();
        if done {
            break;
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_leaves_open_what_was_done() {
    let (mut server, session_client, _backend) = start(Logins::Server).await;
    let huge = format!("{{\"x\":\"{}\"}}", "y".repeat(5 << 20));
    let rows: [(&str, Vec<u8>); 5] = [
        ("nothing", Vec::new()),
        ("garbage", b"\x16\x03\x01\xff\xff\r\n\r\n".to_vec()),
        ("cut off", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"ty".to_vec()),
        ("unreadable", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[{]}".to_vec()),
        ("huge", format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{huge}", huge.len()).into_bytes()),
    ];
    for (name, bytes) in rows {
        let asked = call(&session_client, read());
        server.expect(READ).await.cut(bytes);
        let outcome = asked.await.unwrap();
        assert!(matches!(outcome, Err(Refusal::Ambiguous { .. })), "{name}: {outcome:?}");
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let server = Server::start(Logins::Server).await;
    let nobody = server.stop().await;
    let (session_client, mut backend) = connect(&settings(nobody)).unwrap();
    assert!(matches!(session_client.carry_out(read()).await, Err(Refusal::Unreachable { .. })));
    assert!(away(backend.recv().await).contains("refused"));
}

#[tokio::test]
async fn a_404_that_is_not_the_contracts_is_no_lost_session() {
    let (mut server, session_client, mut backend) = start(Logins::Server).await;
    let asked = call(&session_client, read());
    server.expect(READ).await.answer(404, "Content-Type: text/html\r\n", "<h1>404</h1>");
    assert_eq!(asked.await.unwrap(), Err(Refusal::NoSuchApi));
    server.expect(PROBE).await.answer(404, "", "default backend - 404");
    assert!(away(backend.recv().await).contains("no Session API"));
}

#[tokio::test]
async fn a_listing_that_exists_is_changed() {
    let (mut server, session_client, _backend) = start(Logins::Server).await;
    let data = BTreeMap::from([("map".to_owned(), "dm1".to_owned())]);
    let asked = call(&session_client, Call::UpdateBrowser { session: id("s1"), data });
    server.expect("POST /session/v1/session/s1/browser").await.error(409, "exists");
    let patch = server.expect("PATCH /session/v1/session/s1/browser").await;
    assert_eq!(patch.body, json!({"custom_data": {"map": "dm1"}}));
    patch.json(200, &json!({}));
    assert_eq!(asked.await.unwrap(), Ok(Answer::Done));
}

#[tokio::test]
async fn ids_stay_within_their_segment() {
    let (mut server, session_client, _backend) = start(Logins::Server).await;
    let asked = call(&session_client, Call::ReadSession { session: id("a/../b?x=1#ü") });
    server.expect("GET /session/v1/session/a%2F..%2Fb%3Fx%3D1%23%C3%BC").await.error(404, "session_not_found");
    assert_eq!(asked.await.unwrap(), Err(Refusal::SessionNotFound));
    let refused = session_client.carry_out(Call::DeleteSession { session: id("..") }).await;
    assert!(matches!(refused, Err(Refusal::Invalid { .. })));
}

#[tokio::test]
async fn over_a_socket_whose_path_is_too_long_for_an_address() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let socket = deep.join("sessions.sock");
    let mut server = Server::start_unix(&deep, Logins::Server);
    let mut settings = settings("http://localhost".parse().unwrap());
    settings.connection.unix_socket = Some(socket);
    let (session_client, _backend) = connect(&settings).unwrap();
    let asked = call(&session_client, read());
    server.expect(READ).await.json(200, &session());
    assert!(asked.await.unwrap().is_ok());
}

#[test]
fn urls_that_cannot_be_used_are_refused_without_their_password() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    for url in ["ftp://x/", "http://u:hunter2@x/", "http://x/?a=b", "http://x/#f"] {
        let error = connect(&settings(url.parse().unwrap())).unwrap_err().to_string();
        assert!(error.contains("can't use") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn no_secret_is_in_debug_output() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let settings = settings("http://127.0.0.1:1".parse().unwrap());
    let text = format!("{settings:?} {:?}", connect(&settings).unwrap().0);
    assert!(text.contains("agent") && !text.contains("s3cret"), "{text}");
}
