//! What Epic's Sessions Interface needs beyond the contract: search, matchmaking, presence,
//! friends, events, LAN sessions, sanctioned players.

use crate::service_bench::{Bench, create, join, settings};
use gameside::{
    internals::service::{auth::login::player_of, settings::RestrictedPlayer},
    model::login::RestrictionType,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SEARCH: &str = "/session/v1/browser:search";
const MATCHMAKING: &str = "/session/v1/matchmaking";
const PRESENCE: &str = "/session/v1/player/me/presence-session";

/// One good answer of each operation that this file is about.
pub async fn every_extension(bench: &Bench, path: &str, ann: &str, bob: &str) {
    let (ann_id, bob_id) = (player_of("ann"), player_of("bob"));
    let id = path.rsplit('/').next().unwrap();
    assert_eq!(bench.post(SEARCH, ann, json!({})).await.status, 200);
    assert_eq!(bench.post(MATCHMAKING, ann, json!({"create": create("default")})).await.status, 200);
    assert_eq!(bench.call("PUT", PRESENCE, ann, Some(json!({"session_id": id}))).await.body["session_id"], id);
    assert_eq!(bench.get(PRESENCE, ann).await.status, 200);
    let shown = format!("/session/v1/player/{ann_id}/presence-session");
    assert_eq!(bench.get(&shown, bob).await.code(), "not_friends");
    befriend(bench, "ann", ann, "bob", bob).await;
    assert_eq!(bench.get(&shown, bob).await.status, 200);
    assert_eq!(bench.delete(PRESENCE, ann).await.status, 204);
    let list = format!("/friends/v2/player/{ann_id}/friend");
    let listed = bench.get(&list, ann).await;
    assert_eq!((listed.status, &listed.body["friends"][0]["status"]), (200, &json!("FRIENDS")));
    let one = format!("{list}/{bob_id}");
    assert_eq!(bench.get(&one, ann).await.status, 200);
    assert_eq!(bench.delete(&one, ann).await.status, 204);
    assert_eq!(bench.call("DELETE", &list, ann, Some(json!({"friends": [bob_id]}))).await.status, 204);
    assert_eq!(bench.events(ann, None).await.response.status(), 200);
    for whose in ["me".to_owned(), ann_id.to_string()] {
        let base = format!("/notification/v1/player/{whose}");
        let new = json!({"notifications": [{"message": "hello", "custom_data": {"a": "b"}}]});
        let made = bench.post(&format!("{base}/notification"), ann, new).await.text("/notification_id");
        assert_eq!(bench.get(&format!("{base}/notification/{made}"), ann).await.body["message"], "hello");
        let page = bench.get(&format!("{base}/notification?page_size=1"), ann).await;
        assert_eq!(page.text("/notifications/0/notification_id"), made, "newest first");
        let poll = format!("{base}/stream/notification/lp?deadline=0");
        assert_eq!(bench.get(&poll, ann).await.body["notifications"], json!([]));
    }
}

/// Makes friends of two players.
pub async fn befriend(bench: &Bench, one: &str, one_token: &str, other: &str, other_token: &str) {
    for (from, token, to) in [(one, one_token, other), (other, other_token, one)] {
        let path = format!("/friends/v2/player/{}/friend/{}", player_of(from), player_of(to));
        assert_eq!(bench.call("PUT", &path, token, None).await.status, 200);
    }
}

/// Makes a session with these settings; its id.
async fn make(bench: &Bench, who: &str, settings: Value) -> String {
    let mut body = create("default");
    body["settings"] = settings;
    body["force_create"] = json!(true);
    let made = bench.post("/session/v1/session", who, body).await;
    assert_eq!(made.status, 200, "{made:?}");
    made.text("/session_id")
}

fn found(answer: &crate::service_bench::Answer) -> Vec<String> {
    let ids = answer.body["session_ids"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
    ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_search_finds_by_settings_and_shows_only_what_is_listed_or_open_to_the_caller() {
    let mut settings = settings();
    settings.session_types.get_mut("default").unwrap().auto_add_to_browser = false;
    let bench = Bench::start(settings).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let with = |data: Value, open: bool| json!({"custom_data": data, "joinability": {"open": open}});
    let low = make(&bench, &ann, with(json!({"map": "dm1", "skill": "900"}), true)).await;
    let high = make(&bench, &ann, with(json!({"map": "dm2", "skill": "2000"}), true)).await;
    let closed = make(&bench, &ann, with(json!({"map": "dm1", "skill": "1000"}), false)).await;
    let listed =
        make(&bench, &ann, json!({"browser": {"custom_data": {"map": "dm1"}}, "joinability": {"open": false}})).await;

    let search = async |who: &str, body: Value| found(&bench.post(SEARCH, who, body).await);
    let map =
        |comparison: &str, value: Value| json!({"filters": [{"key": "map", "comparison": comparison, "value": value}]});
    assert_eq!(search(&bob, map("eq", json!("dm1"))).await, [low.clone(), listed.clone()]);
    assert_eq!(search(&ann, map("eq", json!("dm1"))).await, [low.clone(), closed.clone(), listed.clone()], "its own");
    assert_eq!(search(&bob, map("not_in", json!(["dm1", "dm3"]))).await, [high.as_str()]);
    let near = json!({"filters": [{"key": "skill", "comparison": "near", "value": 1900}], "max_results": 2});
    assert_eq!(search(&bob, near).await, [high.clone(), low.clone()]);
    let skilled = json!({"filters": [{"key": "skill", "comparison": "gte", "value": "900"}], "session_id": low});
    assert_eq!(search(&bob, skilled).await, [low.as_str()]);
    let of_ann = json!({"player_uuid": player_of("ann"), "session_type": "default"});
    assert_eq!(search(&bob, of_ann).await.len(), 3, "all but the closed one");
    assert!(search(&bob, json!({"player_uuid": player_of("bob")})).await.is_empty());
    assert!(search(&bob, json!({"session_type": "other"})).await.is_empty());

    let faults = json!({"filters": [{"key": "", "comparison": "like", "value": 1},
        {"key": "k", "comparison": "in", "value": "x"}, {"key": "k", "comparison": "near", "value": "x"}], "max_results": 0});
    let refused = bench.post(SEARCH, &bob, faults).await;
    assert_eq!((refused.status, refused.body["detail"].as_array().unwrap().len()), (422, 5), "{refused:?}");
}

#[tokio::test]
async fn of_many_who_look_for_a_match_at_once_only_so_many_create_one_as_must() {
    const CALLERS: usize = 48;
    const SEATS: usize = 4;
    let bench = Bench::start(settings()).await;
    let mut body = json!({"create": create("default"),
        "search": {"filters": [{"key": "mode", "comparison": "eq", "value": "duel"}]}});
    body["create"]["settings"] =
        json!({"custom_data": {"mode": "duel"}, "joinability": {"open": true}, "teams": [{"max_size": SEATS}]});
    let mut tokens = Vec::new();
    for n in 0..CALLERS {
        tokens.push(bench.player(&format!("p{n}")).await);
    }
    let calls = tokens.iter().map(|token| bench.post(MATCHMAKING, token, body.clone()));
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let created = answers.iter().filter(|answer| answer.body["created"] == true).count();
    let sessions: BTreeSet<String> = answers.iter().map(|answer| answer.text("/session_id")).collect();
    assert_eq!((created, sessions.len()), (CALLERS / SEATS, CALLERS / SEATS));
    let read = bench.get(&format!("/session/v1/session/{}", answers[0].text("/session_id")), &tokens[0]).await;
    assert_eq!(read.body["teams"][0]["players"].as_array().unwrap().len(), SEATS);
}

#[tokio::test]
async fn matchmaking_passes_over_other_regions_versions_and_closed_doors() {
    let bench = Bench::start(settings()).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let body = |version: &str, region: &str, open: bool| {
        let mut create = create("default");
        create["client_version"] = json!(version);
        create["region_id"] = json!(region);
        create["settings"] = json!({"joinability": {"open": open}});
        json!({"create": create})
    };
    assert_eq!(bench.post(MATCHMAKING, &ann, body("1.0.0", "eu", false)).await.body["created"], true);
    let open = bench.post(MATCHMAKING, &ann, body("1.0.0", "eu", true)).await.text("/session_id");
    for (version, region) in [("2.0.0", "eu"), ("1.0.0", "us")] {
        let who = bench.player(&format!("{version}{region}")).await;
        assert_eq!(bench.post(MATCHMAKING, &who, body(version, region, true)).await.body["created"], true);
    }
    let joined = bench.post(MATCHMAKING, &bob, body("1.2.0", "eu", true)).await;
    assert_eq!((joined.text("/session_id"), &joined.body["created"]), (open, &json!(false)));
    let server = bench.client("server", None).await;
    assert_eq!(bench.post(MATCHMAKING, &server, body("1.0.0", "eu", true)).await.code(), "player_required");
}

#[tokio::test]
async fn friends_come_into_sessions_of_friends_and_may_name_which() {
    let bench = Bench::start(settings()).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let [cat, eve] = bench.players(["cat", "eve"]).await;
    let listed = json!({"joinability": {"open": false, "friends": true}, "is_listed": true});
    let id = make(&bench, &ann, listed).await;
    let path = format!("/session/v1/session/{id}/player/me");
    befriend(&bench, "ann", &ann, "bob", &bob).await;
    befriend(&bench, "bob", &bob, "cat", &cat).await;
    let named = |name: &str| {
        let mut body = join();
        body["friend_uuid"] = json!(player_of(name));
        body
    };
    assert_eq!(bench.post(&path, &eve, join()).await.code(), "not_joinable");
    assert_eq!(bench.post(&path, &cat, join()).await.code(), "not_joinable", "bob isn't there yet");
    assert_eq!(bench.post(&path, &bob, named("cat")).await.code(), "not_joinable", "that friend isn't there");
    assert_eq!(bench.post(&path, &bob, named("ann")).await.status, 200);
    assert_eq!(bench.post(&path, &cat, join()).await.status, 200, "a friend of any active member");
    assert_eq!(
        found(&bench.post(SEARCH, &eve, json!({"session_id": id})).await),
        std::slice::from_ref(&id),
        "listed, though not open to eve"
    );
    let unlisted = bench.patch(&format!("/session/v1/session/{id}"), &ann, json!({"is_listed": false})).await;
    assert_eq!((unlisted.status, unlisted.body.get("browser")), (200, None));
    assert!(found(&bench.post(SEARCH, &eve, json!({"session_id": id})).await).is_empty(), "eve couldn't join it");
    let fred = bench.player("fred").await;
    befriend(&bench, "fred", &fred, "ann", &ann).await;
    assert_eq!(found(&bench.post(SEARCH, &fred, json!({"session_id": id})).await), [id], "fred could");
}

#[tokio::test]
async fn the_friend_graph_asks_declines_limits_and_outlives_a_restart() {
    let mut settings = settings();
    settings.limits.friends = 2;
    let bench = Bench::start(settings.clone()).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let of = |from: &str, to: &str| format!("/friends/v2/player/{}/friend/{}", player_of(from), player_of(to));
    let status = async |who: &str, from: &str, to: &str| bench.get(&of(from, to), who).await.text("/status");
    let stranger = bench.get(&of("ann", "bob"), &ann).await;
    assert_eq!(stranger.text("/status"), "NONE");
    let sent = bench.call("PUT", &of("ann", "bob"), &ann, Some(json!({"notes": "met at dm1"}))).await;
    assert_eq!((sent.text("/status"), sent.text("/notes")), ("FRIEND_REQUEST_SENT".into(), "met at dm1".into()));
    let tag = [("if-match", stranger.etag.as_deref().unwrap())];
    assert_eq!(bench.call_with("DELETE", &of("ann", "bob"), &ann, None, &tag).await.status, 412);
    assert_eq!(status(&bob, "bob", "ann").await, "FRIEND_REQUEST_PENDING");
    assert_eq!(bench.delete(&of("bob", "ann"), &bob).await.status, 204);
    assert_eq!(status(&ann, "ann", "bob").await, "FRIEND_REQUEST_DECLINED_BY_OTHER");
    bench.call("PUT", &of("ann", "bob"), &ann, None).await;
    assert_eq!(status(&bob, "bob", "ann").await, "NONE", "not asked again");
    bench.call("PUT", &of("bob", "ann"), &bob, None).await;
    assert_eq!(status(&ann, "ann", "bob").await, "FRIENDS");
    assert_eq!(bench.call("PUT", &of("ann", "ann"), &ann, None).await.code(), "friend_is_self");
    assert_eq!(bench.get(&of("bob", "ann"), &ann).await.code(), "insufficient_permissions");
    assert_eq!(bench.call("PUT", &of("ann", "cat"), &ann, None).await.status, 200);
    assert_eq!(bench.call("PUT", &of("ann", "dan"), &ann, None).await.code(), "friend_limit_reached");

    let bench = Bench::on(bench.stop().await, settings).await;
    let ann = bench.player("ann").await;
    let list = format!("/friends/v2/player/{}/friend?limit=1&page=1", player_of("ann"));
    let page = bench.get(&list, &ann).await;
    assert_eq!(page.body["page"], json!({"page": 1, "limit": 1, "total": 2}));
    assert_eq!(bench.get(&of("ann", "bob"), &ann).await.text("/notes"), "met at dm1");
    let tag = page.etag.unwrap();
    assert_eq!(bench.call_with("GET", &list, &ann, None, &[("if-none-match", &tag)]).await.status, 304);
}

#[tokio::test]
async fn a_presence_session_outlives_a_restart_and_ends_with_leaving() {
    let bench = Bench::start(settings()).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let id = make(&bench, &ann, json!({})).await;
    let show = json!({"session_id": id});
    assert_eq!(bench.call("PUT", PRESENCE, &bob, Some(show.clone())).await.code(), "not_in_session");
    assert_eq!(bench.call("PUT", PRESENCE, &ann, Some(show)).await.status, 200);
    let bench = Bench::on(bench.stop().await, settings()).await;
    let ann = bench.player("ann").await;
    assert_eq!(bench.get(PRESENCE, &ann).await.text("/session_id"), id);
    let admin = bench.client("admin", Some(&["session:*"])).await;
    let theirs = format!("/session/v1/player/{}/presence-session", player_of("ann"));
    assert_eq!(bench.get(&theirs, &admin).await.text("/session_id"), id);
    assert_eq!(bench.delete(&format!("/session/v1/session/{id}/player/me"), &ann).await.status, 204);
    assert_eq!(bench.get(PRESENCE, &ann).await.code(), "presence_session_not_found");
}

#[tokio::test]
async fn a_sanctioned_player_joins_only_where_it_may_and_the_flags_stay_as_they_were_made() {
    let mut settings = settings();
    let kind = RestrictionType::AccountPendingDeletion;
    settings.auth.restrictions.push(RestrictedPlayer { player: "eve".into(), kind, reason: None, expiration: None });
    let bench = Bench::start(settings).await;
    let [ann, eve] = bench.players(["ann", "eve"]).await;
    let admin = bench.client("admin", Some(&["session:*"])).await;
    let login = json!({"grant_type": "basic", "portal_access_token": "eve:x"});
    let said = bench.post("/users/v1/login", "", login).await;
    assert_eq!(said.body["restrictions"], json!([{"type": "account_pending_deletion"}]));

    let strict = make(&bench, &ann, json!({"joinability": {"open": true}, "allow_sanctioned_players": false})).await;
    let lenient = make(&bench, &ann, json!({"joinability": {"open": true}})).await;
    let at = |id: &str| format!("/session/v1/session/{id}");
    assert_eq!(bench.post(&format!("{}/player/me", at(&strict)), &eve, join()).await.code(), "sanctioned");
    let add = format!("{}/player/{}", at(&strict), player_of("eve"));
    assert_eq!(
        bench.post(&add, &admin, json!({"status": "member"})).await.code(),
        "sanctioned",
        "nobody puts it in either"
    );
    let mut new = create("default");
    new["settings"] = json!({"allow_sanctioned_players": false});
    let open = json!({"create": new, "search": {"session_id": strict}});
    assert_eq!(bench.post(MATCHMAKING, &eve, open).await.code(), "sanctioned", "nor can it make such a session");
    assert_eq!(bench.post(&format!("{}/player/me", at(&lenient)), &eve, join()).await.status, 200);

    assert_eq!(bench.get(&at(&lenient), &ann).await.body["allow_sanctioned_players"], true);
    for change in [json!({"allow_sanctioned_players": false}), json!({"lan": true, "custom_data": {"a": "b"}})] {
        let refused = bench.patch(&at(&lenient), &ann, change).await;
        assert_eq!((refused.status, refused.code()), (409, "constant_setting"));
    }
    let same = json!({"allow_sanctioned_players": true, "lan": false, "custom_data": {"a": "c"}});
    assert_eq!(bench.patch(&at(&lenient), &ann, same).await.body["custom_data"]["a"], "c");
}

#[tokio::test]
async fn a_lan_session_is_shown_only_in_the_own_network() {
    let mut settings = settings();
    settings.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let bench = Bench::start(settings).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let id = make(&bench, &ann, json!({"lan": true, "joinability": {"open": true}, "is_listed": true})).await;
    let search = Some(json!({"lan": true}));
    for (from, shown) in [("10.0.0.7", true), ("fd00::1", true), ("9.9.9.9", false), ("2001:db8::1", false)] {
        let headers = [("x-forwarded-for", from)];
        let seen = bench.call_with("POST", SEARCH, &bob, search.clone(), &headers).await;
        assert_eq!(found(&seen).contains(&id), shown, "search from {from}");
        let browser = bench.call_with("GET", "/session/v1/browser?session_type=default", &bob, None, &headers).await;
        assert_eq!(browser.body["browser_sessions"].as_array().unwrap().len(), usize::from(shown), "{from}");
    }
    let body = json!({"create": create("default"), "search": {"lan": true}});
    let outside =
        bench.call_with("POST", MATCHMAKING, &bob, Some(body.clone()), &[("x-forwarded-for", "9.9.9.9")]).await;
    assert_eq!(outside.body["created"], true);
    let inside = bench.post(MATCHMAKING, &bob, body).await;
    assert_eq!((inside.text("/session_id"), &inside.body["created"]), (id, &json!(false)));
}
