//! What players are told: the event stream and the notification API, while they are there and after
//! they were away.

use crate::service_bench::{Bench, Events, create, join, settings};
use gameside::internals::service::auth::login::player_of;
use serde_json::{Value, json};

const POLL: &str = "/notification/v1/player/me/stream/notification/lp";

async fn invite(bench: &Bench, path: &str, by: &str, whom: &str) {
    let v2 = path.replace("/v1/", "/v2/");
    let invited = bench.post(&format!("{v2}/player/{}:invite", player_of(whom)), by, json!({})).await;
    assert_eq!(invited.status, 200, "{invited:?}");
}

async fn set(bench: &Bench, path: &str, who: &str, value: usize) {
    let changed = bench.patch(path, who, json!({"custom_data": {"n": value.to_string()}})).await;
    assert_eq!(changed.status, 200, "{changed:?}");
}

async fn names(events: &mut Events, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..count {
        names.push(events.next().await.unwrap().0);
    }
    names
}

#[tokio::test]
async fn a_stream_tells_of_invites_joins_updates_and_departures_under_the_interface_s_names() {
    let bench = Bench::start(settings()).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let path = bench.session(&ann).await;
    let id = path.rsplit('/').next().unwrap();
    let mut events = bench.events(&bob, None).await.begin().await;
    assert_eq!(events.response.headers()["content-type"], "text/event-stream");

    invite(&bench, &path, &ann, "bob").await;
    let invited = events.until("OnSessionInviteReceived").await;
    assert_eq!((&invited["session_id"], &invited["status"]), (&json!(id), &json!("invited")));
    assert_eq!(invited["inviting_player_uuid"], json!(player_of("ann")));
    let listed = bench.get("/session/v1/player/me/session", &bob).await;
    assert_eq!(listed.body["sessions"]["default"]["pending_invites"][id]["invite_id"], invited["invite_id"]);

    bench.post(&format!("{path}/player/me"), &bob, join()).await;
    let accepted = events.until("OnUISessionJoinRequested").await;
    assert_eq!(accepted["invite_id"], invited["invite_id"]);
    assert_eq!(events.until("OnSessionJoined").await["session_type"], "default");

    set(&bench, &path, &ann, 1).await;
    let updated = events.until("OnSessionUpdated").await;
    assert_eq!(updated["changed"], json!(["custom_data"]));
    assert_eq!(updated["etag"].as_str().map(str::to_owned), bench.get(&path, &bob).await.etag);

    bench.delete(&format!("{path}/player/me"), &bob).await;
    assert_eq!(events.until("OnSessionLeft").await.get("destroyed"), None);
    bench.post(&format!("{path}/player/me"), &bob, join()).await;
    events.until("OnSessionJoined").await;
    bench.delete(&path, &ann).await;
    assert_eq!(events.until("OnSessionLeft").await["destroyed"], true);
}

#[tokio::test]
async fn whoever_comes_back_goes_on_without_a_gap() {
    let bench = Bench::start(settings()).await;
    let ann = bench.player("ann").await;
    let path = bench.session(&ann).await;
    let mut all = bench.events(&ann, None).await.begin().await;
    let mut broken = bench.events(&ann, None).await.begin().await;
    let mut seen = Vec::new();
    for round in 0..5 {
        for n in 0..4 {
            set(&bench, &path, &ann, round * 10 + n).await;
        }
        let (_, data) = broken.next().await.unwrap();
        seen.push(data["etag"].clone());
        let id = broken.id.clone();
        drop(broken);
        broken = bench.events(&ann, Some(&id)).await;
    }
    for _ in 0..15 {
        seen.push(broken.next().await.unwrap().1["etag"].clone());
    }
    let mut expected = Vec::new();
    for _ in 0..20 {
        expected.push(all.next().await.unwrap().1["etag"].clone());
    }
    assert_eq!(seen, expected, "each once, in order");
}

#[tokio::test]
async fn beyond_the_retention_a_reset_says_so_and_a_restart_is_no_gap() {
    let mut settings = settings();
    settings.limits.events_per_player = 3;
    let bench = Bench::start(settings.clone()).await;
    let ann = bench.player("ann").await;
    let path = bench.session(&ann).await;
    let begun = bench.events(&ann, None).await.begin().await;
    let mut begun = begun;
    set(&bench, &path, &ann, 0).await;
    begun.until("OnSessionUpdated").await;
    let id = begun.id.clone();
    drop(begun);
    for n in 1..=3 {
        set(&bench, &path, &ann, n).await;
    }
    let mut whole = bench.events(&ann, Some(&id)).await;
    assert_eq!(names(&mut whole, 3).await, ["OnSessionUpdated"; 3]);
    set(&bench, &path, &ann, 4).await;
    let mut late = bench.events(&ann, Some(&id)).await;
    assert_eq!(late.next().await, Some(("reset".into(), json!({"reason": "retention"}))));
    set(&bench, &path, &ann, 5).await;
    assert_eq!(names(&mut late, 1).await, ["OnSessionUpdated"], "and goes on with what comes");
    let id = late.id.clone();
    drop((whole, late));

    let bench = Bench::on(bench.stop().await, settings).await;
    let ann = bench.player("ann").await;
    let mut after = bench.events(&ann, Some(&id)).await;
    set(&bench, &path, &ann, 6).await;
    assert_eq!(names(&mut after, 1).await, ["OnSessionUpdated"]);
    for unknown in ["00000000-1", "garbage"] {
        let mut after = bench.events(&ann, Some(unknown)).await;
        assert_eq!(after.next().await, Some(("reset".into(), json!({"reason": "retention"}))), "{unknown}");
    }
}

#[tokio::test]
async fn streams_of_a_player_are_bounded_and_end_with_the_service() {
    let mut settings = settings();
    settings.limits.streams_per_player = 2;
    let bench = Bench::start(settings).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let mut one = bench.events(&ann, None).await.begin().await;
    let two = bench.events(&ann, None).await.begin().await;
    let refused = bench.get(POLL, &ann).await;
    assert_eq!((refused.status, refused.code()), (503, "unavailable"));
    assert_eq!(bench.events(&bob, None).await.response.status(), 200, "others have their own");
    drop(two);
    // The service sees that the other end has gone when it writes.
    let path = bench.session(&ann).await;
    loop {
        set(&bench, &path, &ann, 1).await;
        let again = bench.get(&format!("{POLL}?deadline=0"), &ann).await;
        if again.status == 200 {
            break;
        }
        tokio::task::yield_now().await;
    }
    bench.stop().await;
    while one.next().await.is_some() {}
}

#[tokio::test]
async fn the_long_poll_waits_tells_and_goes_on_from_its_cursor() {
    let mut settings = settings();
    settings.public_url = "https://play.example.net/".into();
    let bench = Bench::start(settings).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let path = bench.session(&ann).await;
    let id = path.rsplit('/').next().unwrap();
    let begin = bench.get(&format!("{POLL}?deadline=0"), &ann).await;
    assert_eq!(begin.body["notifications"], json!([]), "from now on, unless told otherwise");
    let earliest = bench.get(&format!("{POLL}?deadline=0&offset_reset_strategy=earliest"), &ann).await;
    assert_eq!(earliest.text("/notifications/0/message"), "OnSessionJoined");

    let cursor = begin.text("/cursor");
    let poll = format!("{POLL}?deadline=60&max_page_size=2&exclude_before={cursor}");
    let waiting = bench.get(&poll, &ann);
    let change = set(&bench, &path, &ann, 1);
    let (told, ()) = tokio::join!(waiting, change);
    let first = &told.body["notifications"][0];
    assert_eq!((&first["message"], &first["custom_data"]["session_id"]), (&json!("OnSessionUpdated"), &json!(id)));
    assert_eq!(first["rh_url"], format!("https://play.example.net/session/v1/session/{id}"));
    assert_eq!(first["etag"].as_str().map(str::to_owned), bench.get(&path, &ann).await.etag);
    for n in 2..5 {
        set(&bench, &path, &ann, n).await;
    }
    let all = bench.get(&poll, &ann).await;
    assert_eq!(all.body["notifications"].as_array().unwrap().len(), 2, "a page, oldest first");
    assert_eq!(all.body["notifications"][0], *first);
    let rest = bench.get(&format!("{POLL}?deadline=0&exclude_before={}", all.text("/cursor")), &ann).await;
    assert_eq!(rest.body["notifications"].as_array().unwrap().len(), 2);
    let unknown = bench.get(&format!("{POLL}?deadline=0&exclude_before=nonsense"), &ann).await;
    assert_eq!(unknown.body["notifications"], json!([]));
    assert_eq!(bench.get(&format!("{POLL}?deadline=901"), &ann).await.status, 422);
    let others = POLL.replace("me", &player_of("ann").to_string());
    assert_eq!(bench.get(&others, &bob).await.code(), "insufficient_permissions");
}

#[tokio::test]
async fn notifications_are_paged_newest_first_and_may_be_sent_by_whoever_may() {
    let bench = Bench::start(settings()).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let platform = bench.client("platform", Some(&["notification:player:write", "notification:player:read"])).await;
    let all = format!("/notification/v1/player/{}/notification", player_of("ann"));
    let notes: Vec<Value> = (0..5).map(|n| json!({"message": format!("m{n}"), "rh_url": "x", "etag": "e"})).collect();
    assert_eq!(bench.post(&all, &bob, json!({"notifications": notes})).await.code(), "insufficient_permissions");
    assert_eq!(bench.post(&all, &platform, json!({"notifications": notes})).await.status, 200);
    assert_eq!(bench.post(&all, &platform, json!({"notifications": []})).await.status, 422);
    let mut found = Vec::new();
    let mut start = String::new();
    for _ in 0..3 {
        let page = bench.get(&format!("{all}?page_size=2{start}"), &ann).await;
        found.extend(page.body["notifications"].as_array().unwrap().iter().map(|note| note["message"].clone()));
        start = format!("&start_at={}", page.text("/cursor"));
    }
    assert_eq!(found, ["m4", "m3", "m2", "m1", "m0"]);
    let none = bench.get(&format!("{all}/nothing"), &ann).await;
    assert_eq!((none.status, none.code()), (404, "not_found"));
}

#[tokio::test]
async fn a_place_that_is_held_is_told_only_if_the_type_says_so() {
    let mut settings = settings();
    let quiet = gameside::internals::service::templates::SessionType {
        notify_on_reservation: false,
        ..settings.session_types["default"].clone()
    };
    settings.session_types.insert("quiet".into(), quiet);
    let bench = Bench::start(settings).await;
    let [ann, bob] = bench.players(["ann", "bob"]).await;
    let mut events = bench.events(&bob, None).await.begin().await;
    for kind in ["quiet", "default"] {
        let made = bench.post("/session/v1/session", &ann, create(kind)).await.text("/session_id");
        let there = format!("/session/v1/session/{made}/player/{}", player_of("bob"));
        assert_eq!(bench.post(&there, &ann, json!({"status": "reserved"})).await.body["status"], "reserved");
    }
    let told = events.until("OnSessionInviteReceived").await;
    assert_eq!((&told["session_type"], &told["status"]), (&json!("default"), &json!("reserved")));
    let listed = bench.get("/session/v1/player/me/session", &bob).await;
    assert_eq!(listed.body["sessions"]["quiet"]["reserved_sessions"], json!([]));
    assert_eq!(listed.body["sessions"]["default"]["reserved_sessions"].as_array().unwrap().len(), 1);
}
