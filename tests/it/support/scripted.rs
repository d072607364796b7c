//! A server that does what a test tells it, one request at a time: its side of the conversation is
//! written out.
//!
//! Requests come to the test in the order in which they arrive; the test answers each, holds it, or
//! cuts it off. With [`Server::login`] the logins are answered without asking the test.

use serde_json::{Value, json};
use std::{net::SocketAddr, os::fd::AsRawFd, path::Path};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    sync::{mpsc, oneshot},
};

/// One request, waiting to be answered. Dropped without an answer, its connection is cut.
#[derive(Debug)]
pub struct Asked {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Value,
    reply: oneshot::Sender<(Vec<u8>, Then)>,
}

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Keep,
    Close,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// What the request line says, for comparing.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub fn json(self, status: u16, body: &Value) {
        self.answer(status, "", &body.to_string());
    }

    pub fn error(self, status: u16, code: &str) {
        self.json(status, &json!({"auth_success": true, "error_code": code, "desc": "scripted"}));
    }

    /// `headers` as they go over the wire, each with its line end.
    pub fn answer(self, status: u16, headers: &str, body: &str) {
        let length = body.len();
        self.raw(format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes());
    }

    pub fn raw(self, bytes: Vec<u8>) {
        let _ = self.reply.send((bytes, Then::Keep));
    }

    /// Sends this and closes the connection.
    pub fn cut(self, bytes: Vec<u8>) {
        let _ = self.reply.send((bytes, Then::Close));
    }
}

/// The server; requests wait in it until the test takes them.
pub struct Server {
    address: Option<SocketAddr>,
    asked: mpsc::UnboundedReceiver<Asked>,
    listening: tokio::task::JoinHandle<()>,
    /// The answer to the last login that the test answered.
    login: Option<(u16, Value)>,
}

/// Who answers logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logins {
    /// The server, always with a good token.
    Server,
    Test,
}

impl Server {
    pub async fn start(logins: Logins) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (to, asked) = mpsc::unbounded_channel();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(converse(client, logins, to.clone()));
            }
        });
        Server { address: Some(address), asked, listening, login: None }
    }

    /// On the socket `sessions.sock` in a directory, however long its path.
    pub fn start_unix(dir: &Path, logins: Logins) -> Self {
        let held = std::fs::File::open(dir).unwrap();
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/sessions.sock", held.as_raw_fd())).unwrap();
        let (to, asked) = mpsc::unbounded_channel();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(converse(client, logins, to.clone()));
            }
        });
        Server { address: None, asked, listening, login: None }
    }

    /// Listens no more; gives the URL where nobody is now.
    pub async fn stop(self) -> url::Url {
        let url = self.url();
        self.listening.abort();
        let _ = self.listening.await;
        url
    }

    pub fn url(&self) -> url::Url {
        format!("http://{}", self.address.unwrap()).parse().unwrap()
    }

    /// The next request.
    pub async fn next(&mut self) -> Asked {
        self.asked.recv().await.unwrap()
    }

    /// The next request but for what the client does beside: it must be this one. A machine under load makes the client doubt
    /// that the service is there, so it may look (and is answered well), or log in once more (and is answered as before).
    pub async fn expect(&mut self, line: &str) -> Asked {
        loop {
            let asked = self.next().await;
            match asked.line().as_str() {
                found if found == line => return asked,
                PROBE => asked.json(200, &health_config()),
                LOGIN if self.login.is_some() => {
                    let (status, body) = self.login.clone().unwrap();
                    asked.json(status, &body);
                }
                found => assert_eq!(found, line),
            }
        }
    }

    /// The next request must be a login; it gets this answer. Gives its authorisation and its body.
    pub async fn login(&mut self, status: u16, answer: Value) -> (Option<String>, Value) {
        let asked = self.expect(LOGIN).await;
        let seen = (asked.header("authorization").map(str::to_owned), asked.body.clone());
        asked.json(status, &answer);
        self.login = Some((status, answer));
        seen
    }

    /// Whether no request waits.
    pub fn is_quiet(&mut self) -> bool {
        self.asked.try_recv().is_err()
    }
}

pub const LOGIN: &str = "POST /users/v1/login";

/// What a probe asks.
pub const PROBE: &str = "GET /session/v1/instance/health/config";

/// The answer to it.
pub fn health_config() -> Value {
    json!({"cadence_seconds": 10, "unhealthy_health_check_percentage": 50.0, "missed_checks_before_unknown": 3})
}

async fn converse(mut client: impl AsyncRead + AsyncWrite + Unpin, logins: Logins, to: mpsc::UnboundedSender<Asked>) {
    let mut seen = Vec::new();
    loop {
        let (reply, replied) = oneshot::channel();
        let Some(asked) = read(&mut client, &mut seen, reply).await else { return };
        if logins == Logins::Server && asked.line() == LOGIN {
            asked.json(200, &json!({"access_token": "good", "expires_in": 3600}));
        } else if to.send(asked).is_err() {
            return;
        }
        // A client that goes away meanwhile is noticed when it is written to.
        let Ok((bytes, then)) = replied.await else { return };
        if client.write_all(&bytes).await.is_err() || then == Then::Close {
            return;
        }
    }
}

async fn read(
    client: &mut (impl AsyncRead + Unpin),
    seen: &mut Vec<u8>,
    reply: oneshot::Sender<(Vec<u8>, Then)>,
) -> Option<Asked> {
    loop {
        if let Some(head) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            let text = String::from_utf8(seen[..head].to_vec()).unwrap();
            let mut lines = text.lines();
            let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
            let headers: Vec<(String, String)> = lines
                .map(|line| line.split_once(':').unwrap())
                .map(|(key, value)| (key.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let length = headers.iter().find(|(key, _)| key == "content-length");
            let end = head + 4 + length.map_or(0, |(_, value)| value.parse::<usize>().unwrap());
            if seen.len() >= end {
                let body = serde_json::from_slice(&seen[head + 4..end]).unwrap_or(Value::Null);
                seen.drain(..end);
                return Some(Asked { method: first.next()?, path: first.next()?, headers, body, reply });
            }
        }
        let mut buffer = [0; 4096];
        match client.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => seen.extend_from_slice(&buffer[..count]),
        }
    }
}
