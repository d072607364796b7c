//! The Agones SDK's server, as a game and as the official clients meet it.
//!
//! | module | holds |
//! |---|---|
//! | [`rules`] | shapes, bodies, errors |
//! | [`states`] | the state machine and its mapping onto the lifecycle |
//! | [`watching`] | the watch: chunks, WebSocket, nobody is harmed and nothing is lost |
//! | [`surviving`] | across the death of the agent; ports; the off switch |
//! | [`clients`] | npm `@google-cloud/agones-sdk` and crates.io `agones`, through their whole surface |
//!
//! What other servers of this SDK were seen to do wrong, and the test that it is right here:
//!
//! | fault | test |
//! |---|---|
//! | one watcher that stops reading blocks everybody | [`watching`]`::a_watcher_that_stops_reading_harms_nobody_and_then_sees_the_newest` |
//! | an update between a watch's first state and its stream is lost | [`watching`]`::every_change_raises_an_event_and_none_is_lost_behind_the_first_state` |
//! | counters and lists raise no event | the same |
//! | Unhealthy swallows a later Shutdown | [`states`]`::silence_makes_unhealthy_and_shutdown_ends_even_that_in_order` |
//! | illegal transitions are accepted | [`states`]`::nothing_leads_back_from_shutdown`; as a table in `src/frontends/agones/tests/moves.rs` |
//! | reads wait for somebody far away | [`states`]`::nothing_waits_for_a_session_service_that_doesnt_answer` |
//! | a missing counter, a full list, a duplicate are "unknown" errors | [`rules`]`::requests_are_read_as_a_gateway_reads_them_and_refused_with_the_promised_codes` |
//!
//! The SDK knows no login, so the test speaks for the game: the process itself only waits for its
//! end.

mod clients;
mod rules;
mod states;
mod surviving;
mod watching;

use crate::support::{
    agent::Agent,
    http::{self, Answer},
    service::Service,
    world::World,
};
use serde_json::{Value, json};

/// Ends orderly when told to.
const GAME: &str = r#"["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done"]"#;

/// A game that was started beforehand and waits for its allocation.
fn warm(agones: &str) -> String {
    let game = game("start = \"at-boot\"\nrecycle.after_matches = 0\n", agones);
    format!("[allocation]\nprovider = \"hook\"\n{game}")
}

/// A game with an own session.
fn own(agones: &str) -> String {
    game("", agones)
}

fn game(more: &str, agones: &str) -> String {
    // Nobody pings on a busy machine; where that matters, the test says so.
    let health = if agones.contains("health") { "" } else { "health.disabled = true\n" };
    format!(
        "[game]\ncommand = {GAME}\n{more}[session.startup]\nmap = \"harbour\"\n\
         [guards]\nno_show_timeout = \"1h\"\n[agones]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n{health}{agones}"
    )
}

/// The counters and lists of Agones's own conformance test.
const FIXTURE: &str = "player_capacity = 2\n[agones.counters.rooms]\ncount = 1\ncapacity = 10\n\
    [agones.counters.calls]\ncapacity = 1000000000\n\
    [agones.lists.players]\ncapacity = 100\nvalues = [\"test0\", \"test1\", \"test2\"]\n";

/// The game's side of the SDK.
struct Sdk {
    http: String,
    grpc: u16,
}

impl Sdk {
    /// As the game's environment has it.
    fn of(agent: &Agent<'_>) -> Self {
        let status = agent.wait("a game", |status| status["game"]["pid"].is_u64());
        let env = std::fs::read(format!("/proc/{}/environ", status["game"]["pid"])).unwrap();
        let env = String::from_utf8(env).unwrap();
        let port = |name: &str| {
            let value = env.split('\0').find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_else(|| panic!("no {name} in the game's environment")).parse::<u16>().unwrap()
        };
        let (grpc, http) = (port("AGONES_SDK_GRPC_PORT"), port("AGONES_SDK_HTTP_PORT"));
        assert_ne!(grpc, http);
        Sdk { http: format!("http://127.0.0.1:{http}"), grpc }
    }

    /// Where `grpc` or `http` is served.
    fn port(&self, wire: &str) -> u16 {
        let (_, http) = self.http.rsplit_once(':').unwrap();
        if wire == "grpc" { self.grpc } else { http.parse().unwrap() }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        http::exchange(method, &format!("{}{path}", self.http), &[], Some(body)).unwrap()
    }
    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", path, body).ok()
    }
    #[track_caller]
    fn put(&self, path: &str, body: &Value) -> Value {
        self.ask("PUT", path, body).ok()
    }
    #[track_caller]
    fn get(&self, path: &str) -> Value {
        http::exchange("GET", &format!("{}{path}", self.http), &[], None).unwrap().ok()
    }
    fn state(&self) -> String {
        self.get("/gameserver")["status"]["state"].as_str().unwrap().to_owned()
    }
    fn ready(&self) {
        self.post("/ready", &json!({}));
    }
}

/// The lines of a watch, whose connection stays open.
struct Lines(std::io::BufReader<std::net::TcpStream>);

impl Lines {
    fn open(sdk: &Sdk) -> Self {
        Self::try_open(sdk).unwrap()
    }
    fn try_open(sdk: &Sdk) -> std::io::Result<Self> {
        let mut stream = http::open("GET", &format!("{}/watch/gameserver", sdk.http), &[], None, "keep-alive")?;
        stream.get_ref().set_read_timeout(Some(crate::support::world::PATIENCE))?;
        let (status, headers) = http::head(&mut stream)?;
        assert_eq!(status, 200, "{headers:?}");
        Ok(Lines(stream))
    }
    fn try_next(&mut self) -> std::io::Result<Value> {
        let chunk = http::chunk(&mut self.0)?.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        assert!(chunk.ends_with(b"\n"), "one line a chunk");
        Ok(serde_json::from_slice::<Value>(&chunk).unwrap()["result"].take())
    }
    #[track_caller]
    fn next(&mut self) -> Value {
        self.try_next().unwrap()
    }
    /// Reads on until a state is as wanted.
    #[track_caller]
    fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let server = self.try_next().unwrap_or_else(|error| panic!("waited in vain for {what}: {error}"));
            if wanted(&server) {
                return server;
            }
        }
    }
    #[track_caller]
    fn until_state(&mut self, wanted: &str) -> Value {
        self.until(wanted, |server| server["status"]["state"] == wanted)
    }
}
