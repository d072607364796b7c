//! The native API, asked as a game, an operator or a stranger would.

mod pages;
mod routes;
mod server;
mod streams;

use super::{Api, router};
use crate::{
    frontends::{
        GameMessage,
        testing::{OPERATOR, RUN, TestDriver, status},
    },
    model::{
        CustomData,
        game::GameNotice,
        ids::RunNumber,
        session::{InstanceHealth, StartupParams},
        status::{KeeperStatus, Status, TimelineEntry},
        time::Timestamp,
    },
};
use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use tower::ServiceExt;

const GAME: &str = "game-token";

/// An API and the driver's end of everything.
struct Fixture {
    /// What the game's listeners serve, and what the operators' do.
    game: Router,
    operators: Router,
    driver: TestDriver,
}

/// An answer, read whole.
#[derive(Debug)]
struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
    fn code(&self) -> String {
        let json = self.json();
        assert!(json["message"].as_str().is_some_and(|message| !message.is_empty()), "{json}");
        json["error"].as_str().unwrap_or_default().to_owned()
    }
    fn etag(&self) -> String {
        self.headers["etag"].to_str().unwrap().to_owned()
    }
}

fn fixture() -> Fixture {
    let driver = TestDriver::new(status());
    driver.tokens.set_game(RUN, GAME.into());
    let game = router(Api::of_game(driver.shared.clone()));
    let operators = router(Api::of_operators(driver.operators.clone()));
    Fixture { game, operators, driver }
}

fn request(method: &str, path: &str, token: &str, body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
    if !token.is_empty() {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

async fn send(router: &Router, request: Request<Body>) -> Got {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Got { status: parts.status, headers: parts.headers, text: String::from_utf8(body.to_vec()).unwrap() }
}

impl Fixture {
    /// Asks whoever the token is for; strangers ask where the game does.
    async fn ask(&self, method: &str, path: &str, token: &str, body: &'static str) -> Got {
        send(self.router(token), request(method, path, token, body)).await
    }

    fn router(&self, token: &str) -> &Router {
        if token == OPERATOR { &self.operators } else { &self.game }
    }

    /// Asks as the game does; the driver takes one message and acknowledges it.
    async fn submit(&mut self, method: &str, path: &str, body: &'static str) -> (Got, GameMessage) {
        tokio::join!(send(&self.game, request(method, path, GAME, body)), self.driver.receive())
    }
}

async fn send_owned(router: Router, request: Request<Body>) -> Got {
    send(&router, request).await
}

fn allocated(id: &str) -> GameNotice {
    GameNotice::Allocated {
        allocation: serde_json::from_value(serde_json::json!({ "allocation_id": id })).unwrap(),
        session_id: "s".parse().unwrap(),
        instance_id: "i".parse().unwrap(),
        startup_params: StartupParams { map: "oa_dm1".to_owned(), ..StartupParams::default() },
        join_token: None,
    }
}

fn entry(seq: u64) -> TimelineEntry {
    TimelineEntry {
        seq,
        at: Timestamp::EPOCH,
        kind: "joinable".to_owned(),
        text: format!("entry {seq}"),
        fields: BTreeMap::new(),
    }
}
