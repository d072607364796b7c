//! What a game says through its APIs, said by the test.

use super::{http, world::PATIENCE};
use serde_json::Value;
use std::{io::BufReader, net::TcpStream};

/// The game's side of all its APIs, as its environment has them.
pub struct GameApi {
    pub api: String,
    token: String,
    /// Empty where that SDK is off.
    pub agones: String,
    pub pid: u32,
}

impl GameApi {
    /// Of the game with this pid.
    pub fn of(pid: u32) -> Self {
        let env = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
        let value = |name: &str| env.split('\0').find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
        GameApi {
            api: value("GAMESIDE_API").unwrap().to_owned(),
            token: format!("Bearer {}", value("GAMESIDE_TOKEN").unwrap()),
            agones: value("AGONES_SDK_HTTP_PORT").map_or_else(String::new, |port| format!("http://127.0.0.1:{port}")),
            pid,
        }
    }

    pub fn try_ask(&self, method: &str, path: &str, body: &Value) -> std::io::Result<http::Answer> {
        http::exchange(method, &format!("{}{path}", self.api), &[("authorization", &self.token)], Some(body))
    }

    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> u16 {
        self.try_ask(method, path, body).unwrap().status
    }

    #[track_caller]
    pub fn agones(&self, method: &str, path: &str, body: &Value) -> Value {
        http::exchange(method, &format!("{}{path}", self.agones), &[], Some(body)).unwrap().ok()
    }

    /// A stream that stays open.
    pub fn stream(&self, url: &str) -> BufReader<TcpStream> {
        let mut stream = http::open("GET", url, &[("authorization", &self.token)], None, "keep-alive").unwrap();
        stream.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(http::head(&mut stream).unwrap().0, 200);
        stream
    }
}

/// Reads on until a chunk has this text; what came until then.
#[track_caller]
pub fn until(stream: &mut BufReader<TcpStream>, wanted: &str) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        let chunk = http::chunk(stream).unwrap().expect("the stream is open");
        seen.push(String::from_utf8(chunk).unwrap());
        if seen.last().unwrap().contains(wanted) {
            return seen;
        }
    }
}
