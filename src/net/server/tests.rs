//! Real connections, to real listeners.

use super::*;
use crate::net::{
    Address, Client,
    client::{Call, TrustedServers},
    error,
};
use http::{Method, StatusCode};
use http_body_util::Full;
use std::{net::SocketAddr, path::PathBuf};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener},
    sync::{Notify, oneshot},
    task::JoinHandle,
};

const LIMITS: Limits = Limits {
    header_timeout: Duration::from_secs(60),
    max_headers: None,
    max_header_bytes: 16 * 1024,
    write_timeout: None,
};

fn refusal() -> Vec<u8> {
    struct Full;
    impl error::ErrorResponse for Full {
        fn status(&self) -> StatusCode {
            StatusCode::SERVICE_UNAVAILABLE
        }
        fn body(&self) -> Vec<u8> {
            b"no".to_vec()
        }
    }
    error::raw(&Full)
}

/// Answers with the path; `/slow` once it is told, `/panic` never.
async fn echo(slow: Arc<Notify>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/panic" => panic!("asked to"),
        "/slow" => slow.notified().await,
        _ => {}
    }
    Response::new(Full::new(Bytes::from(request.uri().path().to_owned())))
}

struct Served {
    at: SocketAddr,
    slow: Arc<Notify>,
    end: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

async fn served(when_full: WhenFull, admits: Admits) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (end, ended) = oneshot::channel();
    let slow = Arc::new(Notify::new());
    let options = Options::new(1, when_full, admits, LIMITS);
    let waiting = slow.clone();
    let handler = move |_, request| echo(waiting.clone(), request);
    let serving = tokio::spawn(serve(Listener::Tcp(listener), options, Http1, handler, async { drop(ended.await) }));
    Served { at, slow, end, serving }
}

/// A connection on which this was sent.
async fn sent(at: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

async fn all(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    String::from_utf8_lossy(&head).into_owned()
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_end() {
    let served = served(WhenFull::Refuse(refusal), Admits::Everybody).await;
    let mut stream = sent(served.at, "/slow").await;
    // The only place is taken: so it was accepted.
    let refused = all(&mut TcpStream::connect(served.at).await.unwrap()).await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    served.end.send(()).unwrap();
    served.slow.notify_one();
    let answer = all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("/slow"), "{answer}");
    served.serving.await.unwrap();
    assert!(TcpStream::connect(served.at).await.is_err());
}

#[tokio::test]
async fn one_connection_more_than_there_are_places_waits_or_is_refused() {
    let served = served(WhenFull::Wait, Admits::Everybody).await;
    let mut first = sent(served.at, "/1").await;
    assert_eq!(head(&mut first).await, "HTTP/1.1 200");
    let mut second = sent(served.at, "/2").await;
    drop(first);
    assert_eq!(head(&mut second).await, "HTTP/1.1 200");
    drop((second, served.end));
    served.serving.await.unwrap();

    let served = self::served(WhenFull::Refuse(refusal), Admits::Everybody).await;
    let mut first = sent(served.at, "/slow").await;
    let refused = all(&mut sent(served.at, "/2").await).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.ends_with("no"), "{refused}");
    served.slow.notify_one();
    assert_eq!(head(&mut first).await, "HTTP/1.1 200");
}

#[tokio::test]
async fn who_asks_gets_the_place_of_one_that_has_said_nothing() {
    let served = served(WhenFull::Refuse(refusal), Admits::Everybody).await;
    let mut silent = TcpStream::connect(served.at).await.unwrap();
    let mut asking = sent(served.at, "/1").await;
    assert_eq!(head(&mut asking).await, "HTTP/1.1 200");
    assert_eq!(all(&mut silent).await, "", "it was cut off");
    // Nor does one keep it that was answered.
    assert_eq!(head(&mut sent(served.at, "/2").await).await, "HTTP/1.1 200");
}

#[tokio::test]
async fn a_stranger_hears_why_and_is_cut_off() {
    let served = served(WhenFull::Wait, Admits::SameUserOrRoot(refusal)).await;
    // By a port nobody is known to be this user.
    let refused = all(&mut sent(served.at, "/").await).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.ends_with("no"), "{refused}");
}

#[tokio::test]
async fn a_panic_costs_its_own_connection() {
    let served = served(WhenFull::Wait, Admits::Everybody).await;
    assert_eq!(all(&mut sent(served.at, "/panic").await).await, "");
    assert_eq!(head(&mut sent(served.at, "/fine").await).await, "HTTP/1.1 200");
}

#[tokio::test]
async fn a_client_of_ours_asks_over_a_socket_and_knows_when_nobody_listens() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("s.sock");
    let client = Client::new(Address::Unix(path.clone()), Some("secret".into()), TrustedServers::SameUserOrRoot);
    assert!(client.ask(&mut None, Call::new(Method::GET, "/"), 100).await.unwrap_err().is_not_listening());

    let listener = Listener::Unix(UnixListener::bind(&path).unwrap());
    let options = Options::new(1, WhenFull::Wait, Admits::SameUserOrRoot(refusal), LIMITS);
    let handler = |peer: Peer, request: Request<Incoming>| async move {
        assert!(peer.is_same_user_or_root() && peer.ip().is_none());
        assert_eq!(request.headers()["authorization"], "Bearer secret");
        let body = crate::net::body::read(request.into_body(), 100, Duration::from_secs(9)).await.unwrap();
        Response::new(Full::new(body))
    };
    let serving = tokio::spawn(serve(listener, options, Http1, handler, std::future::pending()));
    for body in ["{}", "[1]"] {
        let answer = client.ask(&mut None, Call::new(Method::POST, "/").json(body.to_owned()), 100).await.unwrap();
        assert_eq!(answer.body(), body);
    }
    assert!(client.ask(&mut None, Call::new(Method::POST, "/").json("too long".to_owned()), 3).await.is_err());
    serving.abort();
    assert!(serving.await.is_err());
    assert!(client.ask(&mut None, Call::new(Method::GET, "/"), 100).await.unwrap_err().is_not_listening());
}
