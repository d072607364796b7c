//! An agent's operator API, as the commands use it: HTTP/1.1 over its loopback port, with the operator's token.
//!
//! The keeper holds the listening socket, so a request to an agent that has died isn't refused: it waits for the next agent,
//! however long that takes. Nobody at a terminal wants to, so every request here ends in one of these ways:
//!
//! | what happens meanwhile | a question ([`Operator::get`]) | an order |
//! |---|---|---|
//! | the agent answers | the answer | the answer |
//! | it dies, and nobody follows | who holds the game and what to do, exit code 3 | the same |
//! | it dies, and another has its place | that one is asked | a failure: nobody knows whether it was taken |
//! | it lives but is silent | a failure after [`ANSWER`] | a failure after [`DECISION`] |

use super::{
    error::Failure,
    exit::Exit,
    find::{self, Found},
};
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
/// An agent answers a question at once.
pub const ANSWER: Duration = Duration::from_secs(10);
/// An order may wait for the session service; the agent itself gives up after 120 s.
pub const DECISION: Duration = Duration::from_secs(130);
/// A process that ends loses its connections and its lock in any order, and its last answer may come behind both.
const DYING: Duration = Duration::from_secs(1);

/// A way to one agent.
#[derive(Debug, Clone)]
pub struct Operator {
    found: Found,
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
        Ok(Operator { found: found.clone(), address, token: token.trim().to_owned() })
    }

    /// Sends a request and returns the answer with its body still to come.
    pub async fn open(&self, method: Method, path: &str, body: Option<String>) -> Result<Response<Incoming>, Failure> {
        self.while_it_lives(patience(&method), path, self.send(method.clone(), path, body)).await
    }

    /// Sends a request and reads the answer whole.
    pub async fn ask(&self, method: Method, path: &str, body: Option<String>) -> Result<Answer, Failure> {
        let whole = async {
            let response = self.send(method.clone(), path, body).await?;
            let status = response.status().as_u16();
            let body = http_body_util::Limited::new(response.into_body(), MAX_BODY).collect().await;
            let broken = |error| anyhow!("the agent {:?} broke off its answer: {error}", self.found.name);
            Ok(Answer { status, body: body.map_err(broken)?.to_bytes() })
        };
        self.while_it_lives(patience(&method), path, whole).await
    }

    /// GETs a JSON document, from whichever agent of that name lives.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let mut operator = self.clone();
        loop {
            match operator.ask(Method::GET, path, None).await {
                Ok(answer) => return answer.success(&self.found.name)?.json(&self.found.name),
                Err(failure) => match find::holder(&self.found.place) {
                    Some(pid) if operator.found.pid != Some(pid) => operator.found.pid = Some(pid),
                    Some(_) | None => return Err(failure),
                },
            }
        }
    }

    /// Follows a stream of JSON lines until the agent ends it, or ends. Lines of another kind are passed over.
    pub async fn lines<T: DeserializeOwned>(&self, path: &str, mut each: impl FnMut(T)) -> Result<(), Failure> {
        let response = self.open(Method::GET, path, None).await?;
        if !response.status().is_success() {
            let message = format!("the agent {:?} refused {path}: HTTP {}", self.found.name, response.status());
            return Err(Failure::new(Exit::Failed, message));
        }
        let mut body = response.into_body();
        let mut buffer = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                if let Ok(line) = serde_json::from_slice(&line) {
                    each(line);
                }
            }
        }
        Ok(())
    }

    /// Gives an order; a refusal becomes the exit code that fits.
    pub async fn order<T: DeserializeOwned>(&self, path: &str, body: &serde_json::Value) -> Result<T, Failure> {
        let answer = self.ask(Method::POST, path, Some(body.to_string())).await?;
        answer.success(&self.found.name)?.json(&self.found.name)
    }

    async fn send(&self, method: Method, path: &str, body: Option<String>) -> Result<Response<Incoming>, Failure> {
        let doing = || format!("can't reach the agent {:?} at {}", self.found.name, self.address);
        let stream = TcpStream::connect(self.address).await.with_context(doing)?;
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

    /// Waits for an answer for as long as there is somebody to give it.
    async fn while_it_lives<T>(
        &self,
        patience: Duration,
        path: &str,
        asking: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut asking = std::pin::pin!(asking);
        let answer = tokio::select! {
            biased;
            answer = &mut asking => answer,
            // Its last answer may be on the way.
            () = self.found.gone() => match tokio::time::timeout(DYING, &mut asking).await {
                Ok(answer) => answer,
                Err(_) => return Err(self.lost(path)),
            },
            () = tokio::time::sleep(patience) => return Err(self.silent(path, patience)),
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(failure) => match tokio::time::timeout(DYING, self.found.gone()).await {
                Ok(()) => Err(self.lost(path)),
                Err(_) => Err(failure),
            },
        }
    }

    fn lost(&self, path: &str) -> Failure {
        let name = &self.found.name;
        match find::holder(&self.found.place) {
            None => self.found.down(),
            Some(pid) => Failure::new(
                Exit::Failed,
                format!(
                    "the agent {name:?} ended before it answered {path}, and another (pid {pid}) has taken over; \
                     `gameside status {name}` shows whether the order was taken; if not, give it again"
                ),
            ),
        }
    }

    fn silent(&self, path: &str, waited: Duration) -> Failure {
        let (name, pid) = (&self.found.name, self.found.pid.unwrap_or_default());
        let message = format!(
            "the agent {name:?} (pid {pid}) has not answered {path} within {waited:?}; the game isn't touched by that. \
             If `gameside status {name} --probe live` says no, kill that process and start `gameside run --name {name}` again"
        );
        Failure::new(Exit::Failed, message)
    }
}

fn patience(method: &Method) -> Duration {
    if *method == Method::GET { ANSWER } else { DECISION }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        agent::record::AgentRecord,
        host::{lock::Lock, paths::Places},
    };
    use std::net::TcpListener;

    /// An agent with a lock, and with a listening socket that nobody accepts from, as a keeper holds it.
    fn deaf() -> (tempfile::TempDir, TcpListener, Lock, Operator) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap().to_owned();
        let env = |key: &str| (key == "GAMESIDE_RUNTIME_DIR").then(|| format!("{root}/run"));
        let uid = rustix::process::geteuid().as_raw();
        let places = Places::find(Some(&dir.path().join("state")), uid, env).unwrap();
        let place = places.prepare_agent("one").unwrap();
        std::fs::write(place.operator_token(), "token").unwrap();
        let lock = Lock::take(&place.lock(), "agent").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let record = AgentRecord {
            name: "one".to_owned(),
            state_dir: place.dir.clone(),
            pid: std::process::id(),
            api: Some(format!("http://{}", listener.local_addr().unwrap())),
            socket: None,
        };
        let pid = find::holder(&place);
        let found = Found { name: "one".to_owned(), place, record: Some(record), pid };
        (dir, listener, lock, Operator::of(&found).unwrap())
    }

    #[tokio::test]
    async fn an_agent_that_dies_while_it_is_asked_is_said_to_be_down() {
        for path in ["/v1/drain", "/v1/stop", "/v1/detach", "/v1/allocation"] {
            let (_dir, listener, lock, operator) = deaf();
            let body = serde_json::json!({});
            let (answer, ()) = tokio::join!(operator.order::<serde_json::Value>(path, &body), async {
                drop(tokio::task::spawn_blocking(move || listener.accept()).await);
                drop(lock);
            });
            let failure = answer.unwrap_err();
            assert_eq!(failure.exit, Exit::NotRunning);
            let said = failure.to_string();
            assert!(said.contains("is down") && said.contains("gameside run --name one"), "{said}");
        }
        let (_dir, _listener, lock, operator) = deaf();
        let (answer, ()) = tokio::join!(operator.get::<serde_json::Value>("/v1/status"), async { drop(lock) });
        assert_eq!(answer.unwrap_err().exit, Exit::NotRunning);
        let (_dir, _listener, lock, operator) = deaf();
        let (answer, ()) = tokio::join!(operator.open(Method::GET, "/v1/timeline", None), async { drop(lock) });
        assert_eq!(answer.unwrap_err().exit, Exit::NotRunning);
    }

    #[tokio::test]
    async fn an_order_to_an_agent_that_was_replaced_is_not_given_twice() {
        let (_dir, _listener, lock, mut operator) = deaf();
        // Another process than the one that was found.
        operator.found.pid = Some(1);
        let body = serde_json::json!({});
        let failure = operator.order::<serde_json::Value>("/v1/drain", &body).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Failed);
        assert!(failure.to_string().contains("has taken over"), "{failure}");
        drop(lock);
    }

    #[tokio::test]
    async fn a_question_goes_to_whoever_has_taken_over() {
        let (_dir, listener, _lock, mut operator) = deaf();
        operator.found.pid = Some(1);
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let agent = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = |_| async { Ok::<_, std::convert::Infallible>(Response::new("true".to_owned())) };
                let service = hyper::service::service_fn(answer);
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        };
        tokio::select! {
            answer = operator.get::<bool>("/v1/status") => assert!(answer.unwrap()),
            () = agent => {}
        }
    }

    #[tokio::test]
    async fn an_agent_that_lives_and_is_silent_is_not_waited_for_for_ever() {
        let (_dir, _listener, _lock, operator) = deaf();
        let asking = operator.send(Method::GET, "/v1/status", None);
        let failure = operator.while_it_lives(Duration::from_millis(1), "/v1/status", asking).await.unwrap_err();
        assert_eq!(failure.exit, Exit::Failed);
        assert!(failure.to_string().contains("has not answered /v1/status"), "{failure}");
    }
}
