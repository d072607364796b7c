//! Nothing that was acknowledged is lost: the real service is killed under load, and everything
//! that it said is there.
//!
//! Writers of every kind send as fast as they are answered, each on its own, and each remembers
//! what it was told. SIGKILL comes after a random number of acknowledgements, while all of them
//! have a request under way. After a restart each looks for what is its own: what was acknowledged
//! must be there, what was under way may be there or not, and there must be nothing else. Then the
//! next kill.
//!
//! An event stream goes on over the same kills: each change once, in order.

use crate::service_bench::{Events, create, http, join};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};
use tokio::{sync::watch, task::JoinSet};

const KILLS: usize = 3;
/// Of each kind.
const WRITERS: usize = 8;

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program and waits until it says where it listens.
fn start(dir: &Path) -> (Killed, String) {
    let config = dir.join("service.toml");
    // Nobody comes back to a session of an earlier round until the end.
    let settings = "[timings]\nsession_ttl = \"1h\"\n[limits]\nevents_per_player = 100000\n";
    std::fs::write(&config, settings).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gameside"))
        .args(["sessions", "--dev", "--listen", "127.0.0.1:0", "--config"])
        .arg(config)
        .arg("--state-dir")
        .arg(dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = line.split_whitespace().find(|word| word.starts_with("http")).expect("it says where it is");
    (Killed(child), url.to_owned())
}

/// A player, and how it reaches the service.
#[derive(Clone)]
struct Player {
    http: reqwest::Client,
    base: String,
    name: String,
    token: String,
    acknowledged: watch::Sender<usize>,
}

impl Player {
    async fn send(&self, method: &str, path: &str, body: Value) -> Option<(u16, Value)> {
        let url = format!("{}{path}", self.base);
        let request = self.http.request(method.parse().unwrap(), url).bearer_auth(&self.token).body(body.to_string());
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// Sends a change until it is acknowledged. None: the service has died, and it is open whether the change was made.
    async fn change(&self, method: &str, path: &str, body: Value) -> Option<Value> {
        loop {
            match self.send(method, path, body.clone()).await? {
                (200..300, answer) => {
                    self.acknowledged.send_modify(|count| *count += 1);
                    return Some(answer);
                }
                // Nothing could be stored at the moment; it may have happened or not, and our
                // changes can be repeated.
                (503, _) => {}
                (404, answer) if method == "DELETE" => return Some(answer),
                other => panic!("{method} {path}: {other:?}"),
            }
        }
    }

    async fn read(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, json!({})).await.expect("the service lives")
    }

    async fn session(&self) -> Option<String> {
        let mut body = create("default");
        body["force_create"] = json!(true);
        let made = self.change("POST", "/session/v1/session", body).await?;
        Some(format!("/session/v1/session/{}", made["session_id"].as_str().unwrap()))
    }
}

/// What one writer was told.
#[derive(Debug)]
enum Told {
    /// A session's setting: the last that was acknowledged, and the one that was under way.
    Setting { session: String, acknowledged: u32, under_way: u32 },
    /// Whether a player is in a session, and whether it had asked for the opposite.
    Presence { session: String, player: String, present: bool, open: bool },
    /// Sessions that were made, and of these those that were taken away; perhaps the last of `made`, too.
    Sessions { made: Vec<String>, gone: BTreeSet<String> },
    /// Events of a session, by number: all up to this.
    Events { session: String, acknowledged: u32 },
}

async fn set(player: Player) -> Option<Told> {
    let session = player.session().await?;
    for round in 1.. {
        let body = json!({"custom_data": {"round": round.to_string()}});
        if player.change("PATCH", &session, body).await.is_none() {
            return Some(Told::Setting { session, acknowledged: round - 1, under_way: round });
        }
    }
    None
}

/// Joins and leaves a session that others join and leave, too, and stays where it is after a while: what is under way at the
/// kill says nothing about such a player.
async fn come_and_go(player: Player, session: String) -> Told {
    let me = format!("{session}/player/me");
    let id = gameside::internals::service::auth::login::player_of(&player.name).to_string();
    let mut present = false;
    for _ in 0..rand::random_range(1..30) {
        let (method, body) = if present { ("DELETE", json!({})) } else { ("POST", join()) };
        if player.change(method, &me, body).await.is_none() {
            return Told::Presence { session, player: id, present, open: true };
        }
        present = !present;
    }
    Told::Presence { session, player: id, present, open: false }
}

async fn make_and_delete(player: Player) -> Option<Told> {
    let (mut made, mut gone) = (Vec::new(), BTreeSet::new());
    while let Some(session) = player.session().await {
        made.push(session.clone());
        if made.len() % 2 == 0 {
            if player.change("DELETE", &session, json!({})).await.is_none() {
                break;
            }
            gone.insert(session);
        }
    }
    Some(Told::Sessions { made, gone })
}

async fn report(player: Player) -> Option<Told> {
    let session = player.session().await?;
    let id = session.rsplit('/').next().unwrap().to_owned();
    for number in 1.. {
        let body = json!({"event_name": format!("n{number}"), "session_id": id});
        if player.change("POST", "/session/v1/audit", body).await.is_none() {
            return Some(Told::Events { session: id, acknowledged: number - 1 });
        }
    }
    None
}

/// Looks for what a writer was told.
async fn look(player: &Player, told: &Told) {
    match told {
        Told::Setting { session, acknowledged, under_way } => {
            let (status, body) = player.read(session).await;
            assert_eq!(status, 200, "{told:?}");
            let there = body["custom_data"]["round"].as_str().map_or(0, |round| round.parse().unwrap());
            assert!(there == *acknowledged || there == *under_way, "{there}: {told:?}");
        }
        Told::Presence { session, player: who, present, open } => {
            let (status, _) = player.read(&format!("{session}/player/{who}")).await;
            let there = status == 200;
            assert!(*open || there == *present, "{status}: {told:?}");
        }
        Told::Sessions { made, gone } => {
            for session in made {
                let (status, _) = player.read(session).await;
                let unsure = made.last() == Some(session);
                assert!(unsure || (status == 200) != gone.contains(session), "{session} {status}: {told:?}");
            }
        }
        Told::Events { session, acknowledged } => {
            let kept = 500; // limits.audit_events_per_session
            let from = acknowledged.saturating_sub(kept / 2).max(1);
            let there = events(player, session).await;
            for number in from..=*acknowledged {
                assert!(there.contains(&format!("customer.n{number}")), "event {number} of {session}: {told:?}");
            }
        }
    }
}

async fn events(player: &Player, session: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for page in 0.. {
        let path = format!("/session/v1/audit?session_id={session}&page_size=50&page_num={page}");
        let (status, body) = player.read(&path).await;
        assert_eq!(status, 200, "{body}");
        let events = body["events"].as_array().unwrap();
        if events.is_empty() {
            break;
        }
        all.extend(events.iter().map(|event| event["event_name"].as_str().unwrap().to_owned()));
    }
    all
}

#[tokio::test]
async fn what_was_acknowledged_survives_sigkill_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let (mut service, mut base) = start(dir.path());
    let mut all: Vec<(Player, Told)> = Vec::new();
    for round in 0..KILLS {
        let (acknowledged, mut count) = watch::channel(0);
        let mut writing = JoinSet::new();
        let shared = log_in(&base, &format!("leader{round}"), &acknowledged).await.session().await.unwrap();
        for number in 0..WRITERS * 4 {
            let player = log_in(&base, &format!("p{round}-{number}"), &acknowledged).await;
            let shared = shared.clone();
            writing.spawn(async move {
                let told = match number % 4 {
                    0 => set(player.clone()).await,
                    1 => Some(come_and_go(player.clone(), shared).await),
                    2 => make_and_delete(player.clone()).await,
                    _ => report(player.clone()).await,
                };
                told.map(|told| (player, told))
            });
        }
        let enough = rand::random_range(50..1500);
        count.wait_for(|count| *count >= enough).await.unwrap();
        service.0.kill().unwrap();
        service.0.wait().unwrap();
        all.extend(writing.join_all().await.into_iter().flatten());

        (service, base) = start(dir.path());
        for (player, told) in &mut all {
            player.base.clone_from(&base);
            look(player, told).await;
        }
    }
    assert!(all.len() > KILLS, "somebody was told something: {}", all.len());
}

async fn log_in(base: &str, name: &str, acknowledged: &watch::Sender<usize>) -> Player {
    let player = Player {
        http: http(),
        base: base.to_owned(),
        name: name.to_owned(),
        token: String::new(),
        acknowledged: acknowledged.clone(),
    };
    let body = json!({"grant_type": "basic", "portal_access_token": format!("{name}:x")});
    let (_, answer) = player.send("POST", "/users/v1/login", body).await.unwrap();
    Player { token: answer["access_token"].as_str().unwrap().to_owned(), ..player }
}

impl Player {
    async fn get(&self, path: &str, last_event_id: Option<&str>) -> reqwest::Response {
        let mut request = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response
    }

    async fn listen(&self, last_event_id: Option<&str>) -> Events {
        Events::of(self.get("/session/v1/player/me/events", last_event_id).await).begin().await
    }

    /// Changes a setting until the service dies.
    async fn keep_changing(self, session: String) {
        while self
            .change("PATCH", &session, json!({"custom_data": {"n": rand::random::<u64>().to_string()}}))
            .await
            .is_some()
        {}
    }
}

/// The number in an entity tag; each change of a session has the next.
fn version(etag: &str) -> u64 {
    etag.trim_matches(['"', 'f']).parse().unwrap_or_else(|why| panic!("{etag}: {why}"))
}

async fn next_version(stream: &mut Events) -> u64 {
    let (name, data) = stream.next().await.unwrap();
    assert_eq!(name, "OnSessionUpdated", "{data}");
    version(data["etag"].as_str().unwrap())
}

/// A subscriber reads some events and goes; the service is killed while more come; the subscriber comes back for the rest.
#[tokio::test]
async fn a_stream_goes_on_over_sigkill_without_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let (mut service, base) = start(dir.path());
    let (acknowledged, mut count) = watch::channel(0);
    let mut ann = log_in(&base, "ann", &acknowledged).await;
    let session = ann.session().await.unwrap();
    let mut stream = ann.listen(None).await;
    let mut seen = Vec::new();
    for _ in 0..KILLS {
        let writing = tokio::spawn(ann.clone().keep_changing(session.clone()));
        for _ in 0..rand::random_range(1..40) {
            seen.push(next_version(&mut stream).await);
        }
        let position = stream.id.clone();
        drop(stream);
        let enough = *count.borrow() + rand::random_range(1..200);
        count.wait_for(|count| *count >= enough).await.unwrap();
        service.0.kill().unwrap();
        service.0.wait().unwrap();
        writing.await.unwrap();
        (service, ann.base) = start(dir.path());
        stream = ann.listen(Some(&position)).await;
    }
    let now = version(ann.get(&session, None).await.headers()["etag"].to_str().unwrap());
    while seen.last() != Some(&now) {
        seen.push(next_version(&mut stream).await);
    }
    assert!(seen.windows(2).all(|pair| pair[0] + 1 == pair[1]), "each change once, in order: {seen:?}");
}
