//! A session service for a test: in this process, on a port of its own; every answer is checked
//! against the service's own document, and so is every body that was taken.

use crate::contract::{contract, published};
use gameside::internals::service::{Listeners, ServeError, Service, ServiceSettings, auth::clients::Clients, ops};
use serde_json::{Value, json};
use std::{collections::BTreeSet, path::Path, sync::Mutex};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

pub struct Bench {
    pub base: String,
    pub dir: TempDir,
    http: reqwest::Client,
    ending: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), ServeError>>,
    /// Operations that have given a success.
    pub succeeded: Mutex<BTreeSet<String>>,
}

/// A client for plain HTTP; the library wants TLS to be ready all the same.
pub fn http() -> reqwest::Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(60)).build().unwrap()
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub etag: Option<String>,
    pub body: Value,
}

impl Answer {
    /// The member at a JSON pointer, as text.
    pub fn text(&self, pointer: &str) -> String {
        self.body.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {self:?}")).to_owned()
    }
    /// The error's code, or nothing.
    pub fn code(&self) -> &str {
        self.body["error_code"].as_str().unwrap_or_default()
    }
}

/// An event stream as a client reads it.
pub struct Events {
    pub response: reqwest::Response,
    text: String,
    /// The last id that was seen.
    pub id: String,
}

impl Events {
    /// The next event: its name and data; none at the end. Ids that come alone are only remembered.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                self.id = field("id: ").unwrap_or_else(|| self.id.clone());
                if let (Some(name), Some(data)) = (field("event: "), field("data: ")) {
                    return Some((name, serde_json::from_str(&data).unwrap()));
                }
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Waits for an event of this name.
    pub async fn until(&mut self, name: &str) -> Value {
        loop {
            let (found, data) = self.next().await.unwrap_or_else(|| panic!("the stream ended before {name}"));
            if found == name {
                return data;
            }
        }
    }

    pub fn of(response: reqwest::Response) -> Events {
        Events { response, text: String::new(), id: String::new() }
    }

    /// Reads until a position is known.
    pub async fn begin(mut self) -> Events {
        while !self.text.contains("\n\n") {
            let chunk = self.response.chunk().await.unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        self
    }
}

pub fn settings() -> ServiceSettings {
    let mut settings = ServiceSettings::default();
    settings.auth.dev = true;
    settings
}

impl Bench {
    pub async fn start(settings: ServiceSettings) -> Bench {
        Bench::on(tempfile::tempdir().unwrap(), settings).await
    }

    /// On a store that may hold something already.
    pub async fn on(dir: TempDir, settings: ServiceSettings) -> Bench {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let service = Service::open(settings, dir.path()).unwrap();
        let (ending, ended) = oneshot::channel();
        let listeners = Listeners { tcp: vec![listener], ..Listeners::default() };
        let served = tokio::spawn(service.run(listeners, async {
            let _ = ended.await;
        }));
        let http = http();
        Bench { base, dir, http, ending: Some(ending), served, succeeded: Mutex::default() }
    }

    /// Ends the service in order; its store stays.
    pub async fn stop(mut self) -> TempDir {
        let _ = self.ending.take().unwrap().send(());
        self.served.await.unwrap().unwrap();
        self.dir
    }

    /// Sends a request and checks the answer. `who`: an access token, or nothing.
    pub async fn call(&self, method: &str, path: &str, who: &str, body: Option<Value>) -> Answer {
        self.call_with(method, path, who, body, &[]).await
    }

    pub async fn call_with(
        &self,
        method: &str,
        path: &str,
        who: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.send(method, path, who, body.map(|body| body.to_string().into_bytes()), headers).await
    }

    /// The same with any bytes for a body.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        who: &str,
        body: Option<Vec<u8>>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.base));
        if !who.is_empty() {
            request = request.bearer_auth(who);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent = body.as_ref().and_then(|body| serde_json::from_slice(body).ok());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let (etag, kind) = (header("etag"), header("content-type").unwrap_or_default());
        let bytes = response.bytes().await.unwrap();
        let json: Option<Value> = (kind == "application/json").then(|| serde_json::from_slice(&bytes).unwrap());
        self.judge(method, path, sent.as_ref(), status, json.as_ref());
        Answer { status, etag, body: json.unwrap_or_default() }
    }

    fn judge(&self, method: &str, path: &str, sent: Option<&Value>, status: u16, body: Option<&Value>) {
        let bare = path.split('?').next().unwrap();
        let router = gameside::internals::service::http::route::Router::new(&ops::tables());
        let gameside::internals::service::http::route::Found::Row(row, _) = router.find(&method.parse().unwrap(), bare)
        else {
            return;
        };
        if status < 400 {
            self.succeeded.lock().unwrap().insert(row.operation.to_owned());
        }
        let own = contract().operation(row.operation).unwrap_or_else(|| panic!("{row:?} is not in the document"));
        if let Err(why) = contract().check(&own, status, body) {
            panic!("{method} {path} → {status}: {why}\n{body:?}");
        }
        if let (true, Some(sent)) = (status < 300, sent)
            && let Err(why) = contract().check_request(&own, sent)
        {
            panic!("{method} {path} took a body that the document forbids: {why}\n{sent}");
        }
        if let Some(published) = published()
            && let Some(operation) = published.operation(row.operation)
            && let Err(why) = published.check(&operation, status, body)
        {
            panic!("{method} {path} → {status}, by the published contract: {why}\n{body:?}");
        }
    }

    /// Opens an event stream.
    pub async fn events(&self, who: &str, last_id: Option<&str>) -> Events {
        let path = "/session/v1/player/me/events";
        let mut request = self.http.get(format!("{}{path}", self.base)).bearer_auth(who);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        self.judge("GET", path, None, response.status().as_u16(), None);
        Events::of(response)
    }

    pub async fn get(&self, path: &str, who: &str) -> Answer {
        self.call("GET", path, who, None).await
    }
    pub async fn post(&self, path: &str, who: &str, body: Value) -> Answer {
        self.call("POST", path, who, Some(body)).await
    }
    pub async fn patch(&self, path: &str, who: &str, body: Value) -> Answer {
        self.call("PATCH", path, who, Some(body)).await
    }
    pub async fn delete(&self, path: &str, who: &str) -> Answer {
        self.call("DELETE", path, who, None).await
    }

    /// A player's token.
    pub async fn player(&self, name: &str) -> String {
        let body = json!({"grant_type": "basic", "portal_access_token": format!("{name}:x")});
        let answer = self.post("/users/v1/login", "", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("/access_token")
    }

    /// Several players' tokens.
    pub async fn players<const N: usize>(&self, names: [&str; N]) -> [String; N] {
        let mut tokens = names.map(str::to_owned);
        for name in &mut tokens {
            *name = self.player(name).await;
        }
        tokens
    }

    /// A new client's token, with these permissions or what clients have by default.
    pub async fn client(&self, name: &str, permissions: Option<&[&str]>) -> String {
        let secret = add_client(self.dir.path(), name, permissions);
        self.log_in(name, &secret).await.text("/access_token")
    }

    pub async fn log_in(&self, id: &str, secret: &str) -> Answer {
        use base64::Engine;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
        let body = json!({"grant_type": "client_credentials", "include_refresh": true});
        let header = format!("Basic {basic}");
        self.call_with("POST", "/users/v1/login", "", Some(body), &[("authorization", &header)]).await
    }

    /// A new session of the type `default`; its path.
    pub async fn session(&self, who: &str) -> String {
        let answer = self.post("/session/v1/session", who, create("default")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        format!("/session/v1/session/{}", answer.text("/session_id"))
    }
}

pub fn add_client(dir: &Path, name: &str, permissions: Option<&[&str]>) -> String {
    let permissions = permissions.map(|all| all.iter().map(|&one| one.to_owned()).collect());
    Clients::at(dir).add(name, permissions, gameside::model::time::Timestamp::EPOCH).unwrap()
}

/// The body that creates or joins.
pub fn create(kind: &str) -> Value {
    json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "session_type": kind})
}

/// The body that joins oneself.
pub fn join() -> Value {
    json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "team_id": 0})
}
