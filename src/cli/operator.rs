//! The operator's API: HTTP/1.1 over the agent's `operator.sock`, where the kernel says who asks.
//!
//! The agent binds that socket itself. One that has just started has none yet, and one that has
//! died leaves a file that nobody listens on: either is waited for as long as somebody holds
//! `agent.lock`. So every request here ends in one of these ways:
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
use crate::{
    host::files,
    net::{
        Address, Client,
        client::{Call, ClientError, TrustedServers},
    },
};
use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// An answer larger than this is none of ours.
const MAX_BODY: usize = 8 << 20;
/// An agent answers a question at once.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// An order may wait for the session service; the agent itself gives up after 120 s.
pub(crate) const DECISION: Duration = Duration::from_secs(130);
/// A process that ends loses its connections and its lock in any order, and its last answer may come behind both.
const DYING: Duration = Duration::from_secs(1);
/// How often an agent that doesn't listen yet is tried.
const AGAIN: Duration = Duration::from_millis(20);

/// A way to one agent.
#[derive(Debug, Clone)]
pub(crate) struct Operator {
    found: Found,
    client: Client,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Operator {
    pub(crate) fn of(found: &Found) -> Self {
        // An agent of an older version wants the token on this socket, too.
        let token = files::read_text(&found.place.operator_token(), 4096).ok().map(Into::into);
        let socket = Address::Unix(found.place.operator_socket());
        Operator { found: found.clone(), client: Client::new(socket, token, TrustedServers::SameUserOrRoot) }
    }

    /// Sends a request and returns the answer with its body still to come.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Response<Incoming>, Failure> {
        self.while_it_lives(patience(&method), path, self.send(method.clone(), path, body)).await
    }

    /// Sends a request and reads the answer whole.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<String>) -> Result<Answer, Failure> {
        let whole = async {
            let answer = self.send(method.clone(), path, body).await?;
            let answer = self.client.read(answer, MAX_BODY).await.map_err(|error| self.failed(error))?;
            Ok(Answer { status: answer.status().as_u16(), body: answer.into_body() })
        };
        self.while_it_lives(patience(&method), path, whole).await
    }

    /// GETs a JSON document, from whichever agent of that name lives.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
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
    pub(crate) async fn lines<T: DeserializeOwned>(&self, path: &str, mut each: impl FnMut(T)) -> Result<(), Failure> {
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
    pub(crate) async fn order<T: DeserializeOwned>(&self, path: &str, body: &serde_json::Value) -> Result<T, Failure> {
        let answer = self.ask(Method::POST, path, Some(body.to_string())).await?;
        answer.success(&self.found.name)?.json(&self.found.name)
    }

    /// An agent that doesn't listen yet is waited for.
    async fn send(&self, method: Method, path: &str, body: Option<String>) -> Result<Response<Incoming>, Failure> {
        loop {
            let call = Call { body: body.clone(), ..Call::new(method.clone(), path) };
            match self.client.open(call).await {
                Err(error) if error.is_not_listening() && find::holder(&self.found.place).is_some() => {
                    tokio::time::sleep(AGAIN).await;
                }
                answer => return answer.map_err(|error| self.failed(error)),
            }
        }
    }

    fn failed(&self, error: ClientError) -> Failure {
        let whose = if error.is_forbidden() { "; run this as the user who runs the agent, or as root" } else { "" };
        let doing = format!("can't reach the agent {:?}{whose}", self.found.name);
        Failure { exit: Exit::Failed, error: anyhow::Error::from(error).context(doing) }
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
    pub(crate) fn success(self, name: &str) -> Result<Self, Failure> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let error: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let why = error["message"].as_str().map_or_else(|| format!("HTTP {}", self.status), str::to_owned);
        let exit = Exit::of_answer(self.status, error["error"].as_str());
        Err(Failure::new(exit, format!("the agent {name:?} refused: {why}")))
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("the agent {name:?} answered something this version can't read"))
            .map_err(Failure::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{lock::Lock, paths::Places, socket};
    use std::os::unix::net::UnixListener;

    /// An agent with a lock, and with a listening socket that nobody accepts from.
    fn deaf() -> (tempfile::TempDir, UnixListener, Lock, Operator) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap().to_owned();
        let env = |key: &str| (key == "GAMESIDE_RUNTIME_DIR").then(|| format!("{root}/run"));
        let uid = rustix::process::geteuid().as_raw();
        let places = Places::find(Some(&dir.path().join("state")), uid, env).unwrap();
        let place = places.prepare_agent("one").unwrap();
        let lock = Lock::take(&place.lock(), "agent").unwrap();
        let listener = socket::listen(&place.operator_socket(), Some(0o600)).unwrap();
        listener.set_nonblocking(false).unwrap();
        let pid = find::holder(&place);
        let found = Found { name: "one".to_owned(), place, pid };
        (dir, listener, lock, Operator::of(&found))
    }

    #[test]
    fn a_refusal_has_the_exit_code_that_fits() {
        let rows = [
            (503, "unkillable", Exit::Unkillable),
            (503, "no_keeper", Exit::Refused),
            (409, "busy", Exit::Refused),
            (422, "invalid", Exit::Usage),
            (403, "other_user", Exit::Failed),
        ];
        for (status, code, exit) in rows {
            let body = serde_json::json!({ "error": code, "message": "why" }).to_string().into();
            let failure = Answer { status, body }.success("one").unwrap_err();
            assert_eq!((failure.exit, failure.to_string()), (exit, "the agent \"one\" refused: why".to_owned()));
        }
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
        let listener = tokio::net::UnixListener::from_std(listener).unwrap();
        tokio::select! {
            answer = operator.get::<bool>("/v1/status") => assert!(answer.unwrap()),
            () = answering(listener) => {}
        }
    }

    /// An agent that says yes to everything.
    async fn answering(listener: tokio::net::UnixListener) {
        use crate::net::server::{Admits, Http1, Limits, Options, WhenFull, serve};
        let limits =
            Limits { header_timeout: ANSWER, max_headers: None, max_header_bytes: 16 * 1024, write_timeout: None };
        let options = Options::new(8, WhenFull::Wait, Admits::SameUserOrRoot(Vec::new), limits);
        let yes = |_, _| async { Response::new(http_body_util::Full::new(Bytes::from("true"))) };
        serve(crate::net::Listener::Unix(listener), options, Http1, yes, std::future::pending()).await;
    }

    #[tokio::test]
    async fn an_agent_that_does_not_listen_yet_is_waited_for() {
        let (_dir, listener, _lock, operator) = deaf();
        let path = operator.found.place.operator_socket();
        drop(listener);
        let listening = async {
            // A socket without a listener first, then none at all.
            tokio::task::yield_now().await;
            std::fs::remove_file(&path).unwrap();
            tokio::task::yield_now().await;
            let listener = socket::listen(&path, Some(0o600)).unwrap();
            answering(tokio::net::UnixListener::from_std(listener).unwrap()).await;
        };
        tokio::select! {
            answer = operator.get::<bool>("/v1/status") => assert!(answer.unwrap()),
            () = listening => {}
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
