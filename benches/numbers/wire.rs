//! HTTP/1.1 as a load generator needs it: requests made once, connections that stay, answers that cost little to read.

use serde_json::Value;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// The bytes of a request.
pub fn request(method: &str, path: &str, token: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: load\r\n");
    if !token.is_empty() {
        text += &format!("authorization: Bearer {token}\r\n");
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    text += &format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
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
}

/// A connection that stays open.
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    pub async fn open(address: SocketAddr) -> Wire {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream, unread: Vec::with_capacity(4096) }
    }

    pub async fn ask(&mut self, request: &[u8]) -> Answer {
        self.send(request).await;
        self.answer().await
    }

    pub async fn send(&mut self, requests: &[u8]) {
        self.stream.write_all(requests).await.unwrap();
    }

    /// The next answer.
    pub async fn answer(&mut self) -> Answer {
        loop {
            if let Some((answer, length)) = parsed(&self.unread) {
                self.unread.drain(..length);
                return answer;
            }
            let read = self.stream.read_buf(&mut self.unread).await.unwrap();
            assert!(read > 0, "the service closed the connection");
        }
    }

    /// How many bytes the next answer has.
    pub async fn length_of_answer(&mut self) -> usize {
        assert!(self.unread.is_empty(), "an answer that nobody asked for");
        loop {
            assert!(self.stream.read_buf(&mut self.unread).await.unwrap() > 0, "the service closed the connection");
            if let Some((_, length)) = parsed(&self.unread) {
                self.unread.drain(..length);
                return length;
            }
        }
    }

    /// So many bytes of answers, whatever they say.
    pub async fn skip(&mut self, bytes: usize) {
        while self.unread.len() < bytes {
            assert!(self.stream.read_buf(&mut self.unread).await.unwrap() > 0, "the service closed the connection");
        }
        self.unread.drain(..bytes);
    }
}

/// The first answer in some bytes, if it is whole, and its length.
fn parsed(bytes: &[u8]) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let status: u16 = head[9..12].parse().unwrap();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
    let body = bytes.get(end..end + if status == 304 { 0 } else { length })?.to_vec();
    let whole = end + body.len();
    Some((Answer { status, etag: header("etag").map(str::to_owned), body }, whole))
}
