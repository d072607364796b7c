//! Two services: one keeps the friend graph, the other reads it there; and what happens while it
//! can't.

use crate::{
    service_bench::{Bench, add_client, create, join, settings},
    service_interface::befriend,
    support::world::World,
};
use gameside::{
    internals::service::{ServiceSettings, auth::login::player_of},
    model::units::Span,
};
use serde_json::json;
use std::{path::PathBuf, time::Duration};

/// A service where Ann and Bob are friends, and the file with the secret of a client that may read that.
async fn graph() -> (Bench, PathBuf) {
    let graph = Bench::start(settings()).await;
    let secret = add_client(graph.dir.path(), "reader", Some(&["friend:friend_list:read:any"]));
    let file = graph.dir.path().join("reader.secret");
    std::fs::write(&file, secret).unwrap();
    let [ann, bob] = graph.players(["ann", "bob"]).await;
    befriend(&graph, "ann", &ann, "bob", &bob).await;
    (graph, file)
}

/// A service that reads it.
pub fn reading(graph: &str, secret: PathBuf) -> ServiceSettings {
    let mut settings = settings();
    graph.clone_into(&mut settings.friends.url);
    "reader".clone_into(&mut settings.friends.client_id);
    settings.friends.client_secret_file = Some(secret);
    settings.friends.timeout = Span::from_secs(60);
    settings
}

/// A session of this player for friends alone; its path.
pub async fn for_friends(bench: &Bench, who: &str) -> String {
    let mut body = create("default");
    body["force_create"] = json!(true);
    body["settings"] = json!({"joinability": {"open": false, "friends": true}});
    format!("/session/v1/session/{}", bench.post("/session/v1/session", who, body).await.text("/session_id"))
}

/// What comes of a player's attempt to join.
pub async fn joins(bench: &Bench, path: &str, who: &str) -> String {
    let answer = bench.post(&format!("{path}/player/me"), who, join()).await;
    if answer.status == 200 { "in".to_owned() } else { format!("{} {}", answer.status, answer.code()) }
}

#[tokio::test]
async fn friendship_in_one_service_opens_the_sessions_of_another() {
    let (graph, secret) = graph().await;
    let mut settings = reading(&graph.base, secret);
    settings.session_types.get_mut("default").unwrap().auto_add_to_browser = false;
    let bench = Bench::start(settings).await;
    let [ann, bob, eve] = bench.players(["ann", "bob", "eve"]).await;
    let path = for_friends(&bench, &ann).await;
    let id = path.rsplit('/').next().unwrap();

    for (who, sees) in [(&bob, json!([id])), (&eve, json!([]))] {
        let found = bench.post("/session/v1/browser:search", who, json!({})).await;
        assert_eq!(found.body["session_ids"], sees);
    }
    assert_eq!(joins(&bench, &path, &eve).await, "403 not_joinable");
    let matched = bench.post("/session/v1/matchmaking", &bob, json!({"create": create("default")})).await;
    assert_eq!((matched.text("/session_id").as_str(), &matched.body["created"]), (id, &json!(false)));
    assert_eq!(bench.delete(&format!("{path}/player/me"), &bob).await.status, 204);
    assert_eq!(joins(&bench, &path, &bob).await, "in");

    let presence = "/session/v1/player/me/presence-session";
    assert_eq!(bench.call("PUT", presence, &ann, Some(json!({"session_id": id}))).await.status, 200);
    let shown = format!("/session/v1/player/{}/presence-session", player_of("ann"));
    assert_eq!(bench.get(&shown, &bob).await.body["session_id"], id);
    assert_eq!(bench.get(&shown, &eve).await.code(), "not_friends");

    // The graph of this service rests, and says where the other is.
    let list = format!("/friends/v2/player/{}/friend", player_of("ann"));
    let elsewhere = bench.get(&list, &ann).await;
    assert_eq!((elsewhere.status, elsewhere.code()), (409, "friends_elsewhere"));
    assert!(elsewhere.text("/desc").contains(&graph.base));
}

#[tokio::test]
async fn an_answer_counts_for_a_while_and_no_longer() {
    let (graph, secret) = graph().await;
    let mut settings = reading(&graph.base, secret);
    settings.friends.keep = Span::from_secs(3600);
    let bench = Bench::start(settings.clone()).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    assert_eq!(joins(&bench, &for_friends(&bench, &ann).await, &bob).await, "in");
    let friend = format!("/friends/v2/player/{}/friend/{}", player_of("ann"), player_of("bob"));
    assert_eq!(graph.delete(&friend, &graph.player("ann").await).await.status, 204);
    assert_eq!(joins(&bench, &for_friends(&bench, &ann).await, &bob).await, "in", "as it was a moment ago");

    settings.friends.keep = Span(Duration::from_millis(1));
    let bench = Bench::on(bench.stop().await, settings).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    assert_eq!(joins(&bench, &for_friends(&bench, &ann).await, &bob).await, "403 not_joinable");
}

#[tokio::test]
async fn as_many_answers_are_remembered_as_configured() {
    let (graph, secret) = graph().await;
    let mut settings = reading(&graph.base, secret);
    settings.friends.keep = Span::from_secs(3600);
    let [ann_there, tim_there] = graph.players(["ann", "tim"]).await;
    // Tim and his only friend are two players, which fit or don't.
    for (remembered, outcome) in [(2, "in"), (1, "403 not_joinable")] {
        settings.friends.remembered = remembered;
        let bench = Bench::start(settings.clone()).await;
        let [ann, tim] = bench.players(["ann", "tim"]).await;
        befriend(&graph, "ann", &ann_there, "tim", &tim_there).await;
        assert_eq!(joins(&bench, &for_friends(&bench, &ann).await, &tim).await, "in");
        let friend = format!("/friends/v2/player/{}/friend/{}", player_of("ann"), player_of("tim"));
        assert_eq!(graph.delete(&friend, &ann_there).await.status, 204);
        assert_eq!(joins(&bench, &for_friends(&bench, &ann).await, &tim).await, outcome, "{remembered}");
    }
}

#[tokio::test]
async fn the_graph_may_be_read_with_the_access_token_in_a_file() {
    let (graph, secret) = graph().await;
    let file = secret.with_file_name("reader.token");
    let reader = graph.log_in("reader", &std::fs::read_to_string(&secret).unwrap()).await.text("/access_token");
    let mut settings = reading(&graph.base, secret);
    (settings.friends.client_id, settings.friends.client_secret_file) = (String::new(), None);
    settings.friends.token_file = Some(file.clone());
    for (token, outcome) in [(reader, "in"), (graph.player("eve").await, "403 friends_unavailable")] {
        std::fs::write(&file, token).unwrap();
        let bench = Bench::start(settings.clone()).await;
        let [ann, bob] = bench.players(["ann", "bob"]).await;
        assert_eq!(joins(&bench, &for_friends(&bench, &ann).await, &bob).await, outcome);
    }
}

#[tokio::test]
async fn while_the_graph_is_away_friends_are_refused_by_a_code_of_its_own_and_all_others_go_on() {
    let (graph, secret) = graph().await;
    let bench = Bench::start(reading(&graph.base, secret)).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let _dir = graph.stop().await;
    let path = for_friends(&bench, &ann).await;
    for _ in 0..3 {
        assert_eq!(joins(&bench, &path, &bob).await, "403 friends_unavailable");
    }
    let shown = format!("/session/v1/player/{}/presence-session", player_of("ann"));
    assert_eq!(bench.get(&shown, &bob).await.code(), "friends_unavailable");
    let search = bench.post("/session/v1/browser:search", &bob, json!({})).await;
    assert_eq!(search.status, 200, "what needs no friends is found: {search:?}");
    let open = bench.session(&ann).await;
    assert_eq!(joins(&bench, &open, &bob).await, "in");
}

/// Whoever refuses us or says nothing at all is no reason to wait for ever, nor to fail.
#[tokio::test]
async fn silence_and_a_refused_login_end_in_the_same_refusal() {
    let (graph, secret) = graph().await;
    let wrong = secret.with_file_name("wrong.secret");
    std::fs::write(&wrong, "nothing that was ever given").unwrap();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut hurried = reading(&format!("http://{}", silent.local_addr().unwrap()), secret);
    hurried.friends.timeout = Span(Duration::from_millis(50));
    for settings in [reading(&graph.base, wrong), hurried] {
        let bench = Bench::start(settings).await;
        let [ann, bob] = bench.players(["ann", "bob"]).await;
        let path = for_friends(&bench, &ann).await;
        let all = (0..20).map(|_| joins(&bench, &path, &bob));
        for refused in futures_util::future::join_all(all).await {
            assert_eq!(refused, "403 friends_unavailable");
        }
    }
}

#[test]
fn the_graph_is_configured_whole_or_not_at_all() {
    let world = World::new();
    let good = "url = \"https://example.com/\"";
    for (lines, key) in [
        ("url = \"ftp://x/\"\ntoken_file = \"/t\"".to_owned(), "friends.url"),
        ("url = \"http://example.com/\"\ntoken_file = \"/t\"".to_owned(), "friends.url"),
        (good.to_owned(), "friends.client_id"),
        (format!("{good}\nclient_id = \"a\""), "friends.client_id"),
        (format!("{good}\nclient_id = \"a\"\ntoken_file = \"/t\""), "friends.client_id"),
        (format!("{good}\ntoken_file = \"/t\"\ntimeout = \"0s\""), "friends.timeout"),
    ] {
        let file = world.file("sessions.toml", &format!("[friends]\n{lines}\n"));
        let output = world.ask(["check", "--service", "--config", file.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success() && said.contains(key), "{lines}: {said}");
    }
}
