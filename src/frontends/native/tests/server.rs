//! Over real sockets: what the listener itself sees to.

use super::*;
use crate::frontends::{
    BindAddress, BoundSocket, Frontend, SocketSpec, http,
    native::{Native, Settings, TCP, UNIX},
};
use std::{net::SocketAddr, path::Path};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    task::JoinSet,
};

struct Served {
    tcp: SocketAddr,
    dir: tempfile::TempDir,
    env: BTreeMap<String, String>,
    _tasks: JoinSet<()>,
}

impl Served {
    fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("api.sock")
    }
}

/// Binds what the frontend wants, as the keeper would.
fn bind(spec: SocketSpec) -> BoundSocket {
    let fd = match spec.address {
        BindAddress::Tcp(address) => std::net::TcpListener::bind(address).unwrap().into(),
        BindAddress::Udp(address) => std::net::UdpSocket::bind(address).unwrap().into(),
        BindAddress::Unix(path, _) => std::os::unix::net::UnixListener::bind(path).unwrap().into(),
    };
    BoundSocket { name: spec.name, fd }
}

fn serve(fixture: &Fixture) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { socket: Some(dir.path().join("api.sock")), ..Settings::default() };
    let frontend = Box::new(Native::new(settings));
    let mut bound: Vec<BoundSocket> = frontend.sockets().into_iter().map(bind).collect();
    assert_eq!(bound.iter().map(|bound| bound.name.as_str()).collect::<Vec<_>>(), [TCP, UNIX]);
    let tcp = bound[0].address().unwrap();
    let env = frontend.env(&bound);
    let mut tasks = JoinSet::new();
    frontend.serve(&mut bound, fixture.driver.shared.clone(), &mut tasks).unwrap();
    assert!(bound.is_empty());
    Served { tcp, dir, env, _tasks: tasks }
}

async fn raw<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn tcp(served: &Served, head: &str) -> String {
    raw(TcpStream::connect(served.tcp).await.unwrap(), &format!("{head}\r\nconnection: close\r\n\r\n")).await
}

async fn unix(path: &Path, head: &str) -> String {
    raw(UnixStream::connect(path).await.unwrap(), &format!("{head}\r\nconnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn the_game_finds_it_by_its_environment_and_it_answers_on_both_sockets() {
    let fixture = fixture();
    let served = serve(&fixture);
    assert_eq!(served.env["GAMESIDE_API"], format!("http://{}", served.tcp));
    assert_eq!(served.env["GAMESIDE_SOCKET"], served.socket().display().to_string());
    let head = format!("GET /v1/state HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {GAME}", served.tcp);
    assert!(tcp(&served, &head).await.starts_with("HTTP/1.1 200"));
    assert!(unix(&served.socket(), &head).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn browsers_are_kept_out() {
    let fixture = fixture();
    let served = serve(&fixture);
    let page = |more: &str| format!("GET /openapi.json HTTP/1.1\r\n{more}");
    for good in ["host: 127.0.0.1:1", "host: localhost", "host: [::1]:80"] {
        assert!(tcp(&served, &page(good)).await.starts_with("HTTP/1.1 200"), "{good}");
    }
    for bad in [
        "host: evil.example",
        "host: evil.example:80",
        "x: y",
        "host: localhost\r\nhost: evil.example",
        "host: localhost\r\norigin: http://localhost:3000",
        "host: localhost\r\norigin: null",
    ] {
        let answer = tcp(&served, &page(bad)).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{bad}: {answer}");
        assert!(answer.contains("\"error\":"), "{answer}");
    }
    let absolute = "GET http://evil.example/openapi.json HTTP/1.1\r\nhost: localhost";
    assert!(tcp(&served, absolute).await.starts_with("HTTP/1.1 403"));
    assert!(unix(&served.socket(), &page("host: anything")).await.starts_with("HTTP/1.1 200"));
    assert!(unix(&served.socket(), &page("host: a\r\norigin: http://a")).await.starts_with("HTTP/1.1 403"));
}

#[tokio::test]
async fn headers_are_bounded_and_garbage_is_answered() {
    let fixture = fixture();
    let served = serve(&fixture);
    let many = (0..100).map(|n| format!("x-{n}: y")).collect::<Vec<_>>().join("\r\n");
    let answer = tcp(&served, &format!("GET /openapi.json HTTP/1.1\r\n{many}\r\nhost: localhost")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let long = format!("GET /openapi.json HTTP/1.1\r\nhost: localhost\r\nx: {}", "y".repeat(http::MAX_HEADER_BYTES));
    let answer = tcp(&served, &long).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(tcp(&served, "\u{16}\u{3}\u{1} TLS?").await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_listener_has_places_for_so_many_and_says_when_they_are_taken() {
    let fixture = fixture();
    let served = serve(&fixture);
    // Bodies that don't come: a connection without a request under way would make room.
    let ask = format!(
        "POST /v1/game/map HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {GAME}\r\n\
         content-type: application/json\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
    );
    let mut held = Vec::new();
    for _ in 0..http::MAX_CONNECTIONS {
        let mut stream = TcpStream::connect(served.tcp).await.unwrap();
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 100");
        held.push(stream);
    }
    let answer = raw(TcpStream::connect(served.tcp).await.unwrap(), "").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("too_many_connections"), "{answer}");
    // Another listener has places of its own.
    assert!(unix(&served.socket(), "GET /openapi.json HTTP/1.1\r\nhost: x").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_subscriber_that_reads_nothing_wedges_nobody() {
    let fixture = fixture();
    let served = serve(&fixture);
    let head = format!(
        "GET /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {GAME}\r\nconnection: close\r\n\r\n"
    );
    let mut stuck = TcpStream::connect(served.tcp).await.unwrap();
    stuck.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stuck.read_exact(&mut first).await.unwrap();
    // More than any socket buffer holds: the stuck one's connection is full.
    let id = "x".repeat(60_000);
    for _ in 0..400 {
        fixture.driver.shared.events.publish(RUN, GameNotice::NotInSession { id: id.clone() });
        tokio::task::yield_now().await;
    }
    let state = format!("GET /v1/state HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {GAME}");
    assert!(tcp(&served, &state).await.starts_with("HTTP/1.1 200"));
    let mut rest = Vec::new();
    stuck.read_to_end(&mut rest).await.unwrap();
    assert!(String::from_utf8_lossy(&rest).contains("event: lagged"));
}
