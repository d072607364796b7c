//! An agent's operator API, as the commands use it: HTTP/1.1 over its unix socket or loopback port, with the operator's token.

use super::{exit::Exit, failure::Failure, find::Found};
use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::{net::SocketAddr, time::Duration};
use tokio::net::TcpStream;

/// An answer larger than this is none of ours.
const MAX_BODY: usize = 8 << 20;
const CONNECT: Duration = Duration::from_secs(5);

/// A way to one agent.
#[derive(Debug)]
pub struct Operator {
    name: String,
    address: SocketAddr,
    token: String,
}

/// An answer other than success: `{"error": {"code", "message"}}`-like bodies are taken apart by the caller.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Operator {
    /// Reads the agent's address and the operator's token.
    pub fn of(found: &Found) -> Result<Self, Failure> {
        let record = found.record.as_ref();
        let api = record.and_then(|record| record.api.as_deref()).ok_or_else(|| {
            Failure::new(Exit::NotRunning, format!("the agent {:?} has not opened its API yet; try again", found.name))
        })?;
        let address = api.trim_start_matches("http://").trim_end_matches('/');
        let address =
            address.parse().with_context(|| format!("{api:?} in {} is no address", found.place.record.display()))?;
        let path = found.place.operator_token();
        let token = std::fs::read_to_string(&path).with_context(|| {
            format!("can't read the operator's token {}; run this as the user who runs the agent", path.display())
        })?;
        Ok(Operator { name: found.name.clone(), address, token: token.trim().to_owned() })
    }

    /// Sends a request and returns the answer with its body still to come.
    pub async fn open(&self, method: Method, path: &str, body: Option<String>) -> Result<Response<Incoming>, Failure> {
        let doing = || format!("can't reach the agent {:?} at {}", self.name, self.address);
        let stream = tokio::time::timeout(CONNECT, TcpStream::connect(self.address)).await;
        let stream = stream.with_context(doing)?.with_context(doing)?;
        // Vectored writes come without MSG_NOSIGNAL: an agent that hangs up would end this command by SIGPIPE.
        let handshake = http1::Builder::new().writev(false).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.with_context(doing)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.unwrap_or_default())))?;
        Ok(sender.send_request(request).await.with_context(doing)?)
    }

    /// Sends a request and reads the answer whole.
    pub async fn ask(&self, method: Method, path: &str, body: Option<String>) -> Result<Answer, Failure> {
        let response = self.open(method, path, body).await?;
        let status = response.status().as_u16();
        let body = http_body_util::Limited::new(response.into_body(), MAX_BODY).collect().await;
        let body = body.map_err(|error| anyhow!("the agent {:?} broke off its answer: {error}", self.name))?.to_bytes();
        Ok(Answer { status, body })
    }

    /// GETs a JSON document.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let answer = self.ask(Method::GET, path, None).await?;
        answer.success(&self.name)?.json(&self.name)
    }

    /// Gives an order; a refusal becomes the exit code that fits.
    pub async fn order<T: DeserializeOwned>(&self, path: &str, body: &serde_json::Value) -> Result<T, Failure> {
        let answer = self.ask(Method::POST, path, Some(body.to_string())).await?;
        answer.success(&self.name)?.json(&self.name)
    }
}

impl Answer {
    /// The answer, if it says yes; what it says otherwise, as an error.
    pub fn success(self, name: &str) -> Result<Self, Failure> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let said: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |key: &str| said.get(key).and_then(serde_json::Value::as_str);
        let why = text("message")
            .or(text("desc"))
            .or(text("error"))
            .map_or_else(|| format!("HTTP {}", self.status), str::to_owned);
        let exit = match (self.status, text("code").or(text("error_code"))) {
            (_, Some("unkillable")) => Exit::Unkillable,
            (401 | 403, _) => Exit::Failed,
            (400 | 422, None) => Exit::Usage,
            _ => Exit::Refused,
        };
        Err(Failure::new(exit, format!("the agent {name:?} refused: {why}")))
    }

    pub fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("the agent {name:?} answered something this version can't read"))
            .map_err(Failure::from)
    }
}
