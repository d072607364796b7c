//! What the game tells the agent: levels, kept until they are acknowledged.
//!
//! The game sets its state ([`Facts`]); a thread of its own compares it with what was acknowledged
//! and sends the difference, one statement at a time, for as long as it takes. So nothing queues up
//! while the agent is away, and nothing is lost.
//!
//! | answer | means |
//! |---|---|
//! | 2xx | acknowledged |
//! | 4xx | refused: logged, and not said again |
//! | anything else, or none | not known: said again, players as a whole list |

use super::runtime;
use crate::{
    model::backoff::Backoff,
    net::{
        Client,
        client::{Call, KeptConnection},
    },
    practice::server::log,
};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// The longest answer that is read.
const MAX_ANSWER: usize = 1 << 20;
/// What can't stand in a segment of a path as it is.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The state of the game, as far as the agent wants to know it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Facts {
    pub version: Option<String>,
    pub playing: Option<(String, String)>,
    pub ready: Option<()>,
    pub joinable: Option<bool>,
    /// Names by id.
    pub players: BTreeMap<String, String>,
    pub match_id: Option<String>,
    pub shutdown: Option<()>,
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Statement {
    Version(String),
    Playing(String, String),
    Ready,
    Joinable(bool),
    Joined(String, String),
    Left(String),
    Players(BTreeMap<String, String>),
    MatchStart(String),
    MatchEnd,
    TickRate { measured: f64, target: f64 },
    Heartbeat,
    Shutdown,
}

impl Statement {
    fn request(&self) -> (Method, String, String) {
        let post = |path: &str, body: serde_json::Value| (Method::POST, format!("/v1/game/{path}"), body.to_string());
        match self {
            Statement::Version(version) => post("version", json!({ "version": version })),
            Statement::Playing(map, mode) => post("map", json!({ "map": map, "mode": mode })),
            Statement::Ready => post("ready", json!({})),
            Statement::Joinable(joinable) => post("joinable", json!({ "joinable": joinable })),
            Statement::Joined(id, name) => post("players", json!({ "id": id, "name": name })),
            Statement::Left(id) => {
                (Method::DELETE, format!("/v1/game/players/{}", utf8_percent_encode(id, IN_PATH)), String::new())
            }
            Statement::Players(players) => {
                let players: Vec<_> = players.iter().map(|(id, name)| json!({ "id": id, "name": name })).collect();
                (Method::PUT, "/v1/game/players".to_owned(), json!({ "players": players }).to_string())
            }
            Statement::MatchStart(id) => post("match/start", json!({ "match_id": id })),
            Statement::MatchEnd => post("match/end", json!({})),
            Statement::TickRate { measured, target } => {
                post("tick-rate", json!({ "measured": measured, "target": target }))
            }
            Statement::Heartbeat => post("heartbeat", json!({})),
            Statement::Shutdown => post("shutdown", json!({})),
        }
    }
}

/// What became of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Acknowledged, or refused for good: not to be said again.
    Settled,
    Unknown,
}

/// The state of the game, and what the agent has acknowledged of it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub is: Facts,
    told: Facts,
    /// The agent knows who plays; else it is sent the whole list, also an empty one, once the game is ready.
    list_is_told: bool,
    heartbeat: bool,
    tick_rate: Option<(f64, f64)>,
}

impl Ledger {
    /// The next statement to send.
    pub(crate) fn next(&self) -> Option<Statement> {
        let (is, told) = (&self.is, &self.told);
        let version = is.version.clone().filter(|_| is.version != told.version).map(Statement::Version);
        let playing = is.playing.clone().filter(|_| is.playing != told.playing);
        let joined = || is.players.iter().find(|(id, _)| !told.players.contains_key(*id));
        let left = || told.players.keys().find(|id| !is.players.contains_key(*id));
        version
            .or_else(|| playing.map(|(map, mode)| Statement::Playing(map, mode)))
            .or_else(|| (is.ready.is_some() && told.ready.is_none()).then_some(Statement::Ready))
            .or_else(|| (is.ready.is_some() && !self.list_is_told).then(|| Statement::Players(is.players.clone())))
            .or_else(|| left().map(|id| Statement::Left(id.clone())))
            .or_else(|| (told.match_id.is_some() && told.match_id != is.match_id).then_some(Statement::MatchEnd))
            .or_else(|| is.match_id.clone().filter(|_| told.match_id != is.match_id).map(Statement::MatchStart))
            .or_else(|| joined().map(|(id, name)| Statement::Joined(id.clone(), name.clone())))
            .or_else(|| is.joinable.filter(|_| is.joinable != told.joinable).map(Statement::Joinable))
            .or_else(|| self.heartbeat.then_some(Statement::Heartbeat))
            .or_else(|| self.tick_rate.map(|(measured, target)| Statement::TickRate { measured, target }))
            .or_else(|| (is.shutdown.is_some() && told.shutdown.is_none()).then_some(Statement::Shutdown))
    }

    pub(crate) fn answered(&mut self, said: Statement, delivery: Delivery) {
        let settled = delivery == Delivery::Settled;
        match said {
            Statement::Heartbeat => self.heartbeat = false,
            Statement::TickRate { .. } => self.tick_rate = None,
            Statement::Joined(..) | Statement::Left(_) | Statement::Players(_) if !settled => self.list_is_told = false,
            _ if !settled => {}
            Statement::Version(version) => self.told.version = Some(version),
            Statement::Playing(map, mode) => self.told.playing = Some((map, mode)),
            Statement::Ready => self.told.ready = Some(()),
            Statement::Joinable(joinable) => self.told.joinable = Some(joinable),
            Statement::Joined(id, name) => drop(self.told.players.insert(id, name)),
            Statement::Left(id) => drop(self.told.players.remove(&id)),
            Statement::Players(players) => (self.told.players, self.list_is_told) = (players, true),
            Statement::MatchStart(id) => self.told.match_id = Some(id),
            Statement::MatchEnd => self.told.match_id = None,
            Statement::Shutdown => self.told.shutdown = Some(()),
        }
    }

    /// The agent may have forgotten everything: it is sent again.
    pub(crate) fn forget(&mut self) {
        self.told = Facts { shutdown: self.told.shutdown, ..Facts::default() };
        self.list_is_told = false;
    }
}

/// The game's handle. Cheap to clone; without an agent it does nothing.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    shared: Arc<(Mutex<Ledger>, Condvar)>,
    agent: Option<Client>,
}

impl Reporter {
    /// Starts the thread, if there is somebody to talk to.
    pub(crate) fn start(agent: Option<Client>) -> Self {
        let reporter = Reporter { shared: Arc::default(), agent };
        if reporter.agent.is_some() {
            let talker = reporter.clone();
            std::thread::spawn(move || talker.talk());
        }
        reporter
    }

    /// Changes the state.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.lock().is);
        self.shared.1.notify_all();
    }
    pub(crate) fn heartbeat(&self) {
        self.lock().heartbeat = true;
        self.shared.1.notify_all();
    }
    pub(crate) fn tick_rate(&self, measured: f64, target: f64) {
        self.lock().tick_rate = Some((measured, target));
        self.shared.1.notify_all();
    }
    pub(crate) fn forget(&self) {
        self.lock().forget();
        self.shared.1.notify_all();
    }

    /// Waits until everything has been said, but not for ever.
    pub(crate) fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut ledger = self.lock();
        while self.agent.is_some() && ledger.next().is_some() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                log(format_args!("the agent doesn't answer; leaving without its word"));
                return;
            }
            ledger = self.shared.1.wait_timeout(ledger, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn talk(&self) {
        let Some(agent) = &self.agent else { return };
        let mut backoff = Backoff::default();
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(error) => return log(format_args!("nothing can be said to the agent: {error}")),
        };
        let mut kept = None;
        loop {
            let said = self.wait();
            let delivery = runtime.block_on(say(agent, &mut kept, &said));
            self.lock().answered(said, delivery);
            self.shared.1.notify_all();
            match delivery {
                Delivery::Settled => backoff.reset(),
                Delivery::Unknown => std::thread::sleep(backoff.next(FIRST_RETRY, LAST_RETRY, rand::random())),
            }
        }
    }

    fn wait(&self) -> Statement {
        let mut ledger = self.lock();
        loop {
            if let Some(next) = ledger.next() {
                return next;
            }
            ledger = self.shared.1.wait(ledger).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn say(agent: &Client, kept: &mut Option<KeptConnection>, said: &Statement) -> Delivery {
    let (method, path, body) = said.request();
    let asking = agent.ask(kept, Call::new(method.clone(), &path).json(body), MAX_ANSWER);
    let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, asking).await else { return Delivery::Unknown };
    match answer.status().as_u16() {
        200..=299 => Delivery::Settled,
        status @ 400..=499 if ![408, 429].contains(&status) => {
            let why = String::from_utf8_lossy(answer.body());
            log(format_args!("the agent refuses {method} {path}: {status} {why}"));
            Delivery::Settled
        }
        _ => Delivery::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(ledger: &mut Ledger) -> Vec<Statement> {
        let mut said = Vec::new();
        while let Some(next) = ledger.next() {
            ledger.answered(next.clone(), Delivery::Settled);
            said.push(next);
        }
        said
    }

    fn busy() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.is.ready = Some(());
        ledger.is.match_id = Some("m1".to_owned());
        ledger.is.players.insert("a".to_owned(), "Ann".to_owned());
        ledger
    }

    #[test]
    fn only_what_changed_is_said_and_in_a_sensible_order() {
        let mut ledger = Ledger::default();
        ledger.is.ready = Some(());
        assert_eq!(drain(&mut ledger), [Statement::Ready, Statement::Players(BTreeMap::new())], "nobody plays yet");
        ledger.is = busy().is;
        let joined = Statement::Joined("a".to_owned(), "Ann".to_owned());
        assert_eq!(drain(&mut ledger), [Statement::MatchStart("m1".to_owned()), joined]);
        ledger.heartbeat = true;
        assert_eq!(drain(&mut ledger), [Statement::Heartbeat]);
        ledger.is.players.clear();
        ledger.is.match_id = Some("m2".to_owned());
        ledger.is.shutdown = Some(());
        let left = Statement::Left("a".to_owned());
        let next = [left, Statement::MatchEnd, Statement::MatchStart("m2".to_owned()), Statement::Shutdown];
        assert_eq!(drain(&mut ledger), next);
        assert_eq!(drain(&mut ledger), []);
    }

    #[test]
    fn after_an_unclear_answer_the_whole_list_of_players_is_sent() {
        let mut ledger = busy();
        drain(&mut ledger);
        ledger.is.players.insert("b".to_owned(), "Bo".to_owned());
        let said = ledger.next().unwrap();
        ledger.answered(said, Delivery::Unknown);
        assert_eq!(drain(&mut ledger), [Statement::Players(ledger.is.players.clone())]);
    }

    #[test]
    fn an_agent_that_forgot_is_told_everything() {
        let mut ledger = busy();
        drain(&mut ledger);
        ledger.forget();
        let all =
            [Statement::Ready, Statement::Players(ledger.is.players.clone()), Statement::MatchStart("m1".to_owned())];
        assert_eq!(drain(&mut ledger), all);
    }

    #[test]
    fn ids_are_escaped_in_paths() {
        assert_eq!(Statement::Left("guest-Ö /?".to_owned()).request().1, "/v1/game/players/guest-%C3%96%20%2F%3F");
    }
}
