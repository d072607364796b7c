//! Nothing that was acknowledged is lost: the real service is killed under load, and everything that it said is there.

use crate::service_bench::{create, http, join};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program and waits until it says where it listens.
fn start(dir: &Path) -> (Killed, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gameside"))
        .args(["sessions", "--dev", "--listen", "127.0.0.1:0", "--state-dir"])
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

async fn send(http: &reqwest::Client, method: &str, url: String, token: &str, body: Value) -> Option<(u16, Value)> {
    let request = http.request(method.parse().unwrap(), url).bearer_auth(token).body(body.to_string());
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let bytes = response.bytes().await.ok()?;
    Some((status, serde_json::from_slice(&bytes).unwrap_or_default()))
}

async fn token(http: &reqwest::Client, base: &str, name: &str) -> String {
    let body = json!({"grant_type": "basic", "portal_access_token": format!("{name}:x")});
    let answer = send(http, "POST", format!("{base}/users/v1/login"), "", body).await.unwrap();
    answer.1["access_token"].as_str().unwrap().to_owned()
}

/// Load: a player who joins and leaves one session as fast as it can, until the service dies.
async fn churn(http: reqwest::Client, base: String, session: String, name: String) {
    let who = token(&http, &base, &name).await;
    let me = format!("{base}/session/v1/session/{session}/player/me");
    let mut present = false;
    loop {
        let (method, body) = if present { ("DELETE", json!({})) } else { ("POST", join()) };
        match send(&http, method, me.clone(), &who, body).await {
            Some((200 | 204 | 404, _)) => present = !present,
            // The disk was too busy: it may have happened or not.
            Some((503, _)) => {}
            Some(other) => panic!("{other:?}"),
            None => return,
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_sigkill_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let http = http();
    let (mut service, base) = start(dir.path());
    let leader = token(&http, &base, "leader").await;
    let mut acknowledged: BTreeMap<String, String> = BTreeMap::new();
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let made = send(&http, "POST", format!("{base}/session/v1/session"), &leader, create("default")).await.unwrap();
        sessions.push(made.1["session_id"].as_str().unwrap().to_owned());
    }
    let mut churning = tokio::task::JoinSet::new();
    for number in 0..24 {
        let session = sessions[number % sessions.len()].clone();
        churning.spawn(churn(http.clone(), base.clone(), session, format!("p{number}")));
    }
    // Meanwhile settings are written one after the other, until the kill comes in the middle of it.
    for round in 0..200 {
        let session = &sessions[round % sessions.len()];
        let body = json!({"custom_data": {"round": round.to_string()}});
        let url = format!("{base}/session/v1/session/{session}");
        let answer = send(&http, "PATCH", url, &leader, body).await.unwrap();
        assert_eq!(answer.0, 200);
        acknowledged.insert(session.clone(), round.to_string());
    }
    service.0.kill().unwrap();
    service.0.wait().unwrap();
    churning.join_all().await;

    let (_again, base) = start(dir.path());
    for session in &sessions {
        let url = format!("{base}/session/v1/session/{session}");
        let (status, body) = send(&http, "GET", url, &leader, json!({})).await.unwrap();
        assert_eq!(status, 200, "{session} is lost");
        assert_eq!(body["custom_data"]["round"], acknowledged[session].as_str());
    }
}

/// Each player stops at an acknowledged moment; then the kill; then everybody is where it was told to be.
#[tokio::test]
async fn every_join_and_leave_that_was_acknowledged_is_there_after_sigkill() {
    let dir = tempfile::tempdir().unwrap();
    let http = http();
    let (mut service, base) = start(dir.path());
    let leader = token(&http, &base, "leader").await;
    let made = send(&http, "POST", format!("{base}/session/v1/session"), &leader, create("default")).await.unwrap();
    let session = made.1["session_id"].as_str().unwrap().to_owned();
    let mut joining = tokio::task::JoinSet::new();
    for number in 0..12u32 {
        let (http, base, session) = (http.clone(), base.clone(), session.clone());
        joining.spawn(async move {
            let name = format!("p{number}");
            let who = token(&http, &base, &name).await;
            let me = format!("{base}/session/v1/session/{session}/player/me");
            for step in 0..=(number % 5) {
                let (method, body) = if step % 2 == 0 { ("POST", join()) } else { ("DELETE", json!({})) };
                let answer = send(&http, method, me.clone(), &who, body).await.unwrap();
                assert!(answer.0 < 300, "{answer:?}");
            }
            (gameside::service::auth::login::player_of(&name).to_string(), number % 5 % 2 == 0)
        });
    }
    let expected: BTreeMap<String, bool> = joining.join_all().await.into_iter().collect();
    service.0.kill().unwrap();
    service.0.wait().unwrap();

    let (_again, base) = start(dir.path());
    let url = format!("{base}/session/v1/session/{session}");
    let (_, body) = send(&http, "GET", url, &leader, json!({})).await.unwrap();
    let there = |player: &str| body.to_string().contains(player);
    for (player, present) in &expected {
        assert_eq!(there(player), *present, "{player}");
    }
}
