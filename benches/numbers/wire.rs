//! HTTP/1.1 as a load generator needs it: requests that are made once, connections that stay,
//! answers that cost little to read.
//!
//! | connection | for |
//! |---|---|
//! | [`Wire`] | one that waits for its turn among thousands, on tokio |
//! | [`Caller`] | one that always has a request under way; [`keep_busy`] drives many from one thread, at two system calls a request |

use crate::support::world::PATIENCE;
use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The bytes of a request.
pub fn request(method: &str, path: &str, token: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
    if !token.is_empty() {
        text += &format!("authorization: Bearer {token}\r\n");
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if let Some(body) = body {
        let body = body.to_string();
        text += &format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    } else {
        text += "\r\n";
    }
    text.into_bytes()
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert!(self.status < 300, "{} {}", self.status, String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
    /// A text in the body of a success.
    #[track_caller]
    pub fn text(&self, pointer: &str) -> String {
        let body = self.ok();
        body.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {body}")).to_owned()
    }
}

/// A connection on tokio that stays open.
pub struct Wire {
    stream: tokio::net::TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    pub async fn open(address: SocketAddr) -> Wire {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream, unread: Vec::with_capacity(4096) }
    }

    pub async fn ask(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.unwrap();
        loop {
            if let Some(answer) = next(&mut self.unread) {
                return answer;
            }
            let read = self.stream.read_buf(&mut self.unread).await.unwrap();
            assert!(read > 0, "the service closed the connection");
        }
    }
}

/// A connection that asks one request after the other, in turns.
pub struct Caller {
    stream: TcpStream,
    unread: Vec<u8>,
    turns: Vec<Vec<u8>>,
    asked: usize,
}

impl Caller {
    pub fn open(address: SocketAddr, turns: Vec<Vec<u8>>) -> Caller {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Caller { stream, unread: Vec::with_capacity(4096), turns, asked: 0 }
    }

    pub fn ask(&mut self) {
        self.stream.write_all(&self.turns[self.asked % self.turns.len()]).unwrap();
        self.asked += 1;
    }

    pub fn hear(&mut self) -> Answer {
        let mut part = [0; 4096];
        loop {
            if let Some(answer) = next(&mut self.unread) {
                return answer;
            }
            let read = self.stream.read(&mut part).unwrap();
            assert!(read > 0, "the service closed the connection");
            self.unread.extend_from_slice(&part[..read]);
        }
    }
}

/// Lets all callers ask as fast as they are answered, each once at least. How many answers came in how long.
pub fn keep_busy(callers: &mut [Caller], span: Duration) -> (u64, Duration) {
    let begun = Instant::now();
    callers.iter_mut().for_each(Caller::ask);
    let (mut answers, mut more) = (0, true);
    while more {
        more = begun.elapsed() < span;
        for caller in callers.iter_mut() {
            let answer = caller.hear();
            assert!(answer.status < 400, "{} {}", answer.status, String::from_utf8_lossy(&answer.body));
            answers += 1;
            if more {
                caller.ask();
            }
        }
    }
    (answers, begun.elapsed())
}

/// Takes the first answer out of what was read, if it is whole.
fn next(unread: &mut Vec<u8>) -> Option<Answer> {
    let end = unread.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&unread[..end]).unwrap();
    let status: u16 = head[9..12].parse().unwrap();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let length = match (status, header("transfer-encoding")) {
        (204 | 304, _) => 0,
        // Taken as it is: nobody reads what came in chunks.
        (_, Some(_)) => unread[end..].windows(5).position(|five| five == b"0\r\n\r\n")? + 5,
        (_, None) => header("content-length").map_or(0, |length| length.parse().unwrap()),
    };
    let etag = header("etag").map(str::to_owned);
    let body = unread.get(end..end + length)?.to_vec();
    unread.drain(..end + length);
    Some(Answer { status, etag, body })
}
