//! Everything that happens by itself, on a clock that only goes when told.

use super::testing::{Harness, player, server};
use crate::{
    model::units::Span,
    service::{settings::ServiceSettings, templates::SessionType},
};
use serde_json::{Value, json};

const BEAT: fn() -> Value = || json!({"instance_id": "i", "instance_health": "healthy"});
const LISTED: &str = "/session/v1/browser?session_type=default";

fn settings() -> ServiceSettings {
    let mut settings = ServiceSettings::default();
    settings.session_types.get_mut("default").unwrap().auto_add_to_browser = true;
    settings
}

#[test]
fn a_session_expires_300_seconds_after_its_last_participant() {
    let (ann, bob) = (player("ann"), player("bob"));
    let mut harness = Harness::new(settings());
    let path = harness.session(&ann, "default");
    harness.pass(299.0);
    assert_eq!(harness.code(&ann, "GET", &path, Value::Null), "");
    harness.pass(299.0);
    assert_eq!(harness.code(&bob, "GET", &path, Value::Null), "", "a stranger sees it, and doesn't keep it alive");
    let unrefreshed = format!("{path}?refresh_ttl=false");
    assert_eq!(harness.code(&ann, "GET", &unrefreshed, Value::Null), "");
    harness.pass(2.0);
    assert_eq!(harness.code(&ann, "GET", &path, Value::Null), "session_not_found");
}

#[test]
fn a_silent_instance_is_hidden_kept_for_two_hours_and_restored_by_its_next_word() {
    let host = server("host");
    let mut harness = Harness::new(settings());
    let path = harness.hosted(&host);
    harness.json(&host, "POST", &format!("{path}/instance/health"), BEAT());
    assert_eq!(harness.json(&host, "GET", LISTED, Value::Null)["browser_sessions"].as_array().unwrap().len(), 1);
    harness.pass(7000.0);
    let stranger = player("ann");
    let seen = harness.json(&stranger, "GET", &path, Value::Null);
    assert_eq!(seen["instance"]["instance_health"], "unknown");
    assert_eq!(seen["instance"]["join_status"], "joinable");
    assert_eq!(harness.json(&stranger, "GET", LISTED, Value::Null)["browser_sessions"], json!([]), "hidden");
    harness.json(&host, "POST", &format!("{path}/instance/health"), BEAT());
    for _ in 0..6 {
        harness.pass(10.0);
        harness.json(&host, "POST", &format!("{path}/instance/health"), BEAT());
    }
    assert_eq!(harness.json(&host, "GET", &path, Value::Null)["instance"]["instance_health"], "healthy");
    assert_eq!(harness.json(&host, "GET", LISTED, Value::Null)["browser_sessions"].as_array().unwrap().len(), 1);
    harness.pass(7199.0);
    assert_eq!(harness.code(&stranger, "GET", &path, Value::Null), "");
    harness.pass(302.0);
    assert_eq!(harness.code(&stranger, "GET", &path, Value::Null), "session_not_found");
}

#[test]
fn leases_and_missed_checks_count_from_a_start_of_the_service() {
    let host = server("host");
    let mut harness = Harness::new(settings());
    let path = harness.hosted(&host);
    harness.json(&host, "POST", &format!("{path}/instance/health"), BEAT());
    harness.pass(250.0);
    let mut harness = harness.restart(settings());
    harness.json(&host, "POST", &format!("{path}/instance/health"), BEAT());
    assert_eq!(harness.json(&host, "GET", &path, Value::Null)["instance"]["instance_health"], "healthy");
    harness.pass(12.0);
    let mut harness = harness.restart(settings());
    harness.pass(12.0);
    let seen = harness.json(&player("ann"), "GET", &path, Value::Null);
    assert_eq!(seen["instance"]["instance_health"], "healthy", "24 s of silence, of which 12 since the start");
}

#[test]
fn three_missed_checks_are_unknown_and_the_answer_to_a_check_may_differ_from_it() {
    let host = server("host");
    let mut harness = Harness::new(settings());
    let path = harness.hosted(&host);
    let health = format!("{path}/instance/health");
    harness.json(&host, "POST", &health, BEAT());
    let shown = |harness: &mut Harness| {
        harness.json(&player("ann"), "GET", &path, Value::Null)["instance"]["instance_health"].clone()
    };
    harness.pass(32.0);
    assert_eq!(shown(&mut harness), "healthy");
    harness.pass(1.0);
    assert_eq!(shown(&mut harness), "unknown");
    harness.pass(30.0);
    assert_eq!(harness.json(&host, "POST", &health, BEAT())["updated_instance_health"], "unhealthy");
}

/// Existing Unreal servers acknowledge every `timeout` ± 10 %, the first time after a whole interval.
#[test]
fn a_backfill_acknowledged_at_a_tenth_more_than_the_served_timeout_is_never_lost() {
    let host = server("host");
    let mut harness = Harness::new(settings());
    let path = harness.hosted(&host);
    let backfill = path.replace("/v1/session/", "/v1/backfill/session/");
    harness.json(&host, "PUT", &backfill, json!({}));
    let served = harness.json(&host, "GET", "/session/v1/backfill/config", Value::Null)["timeout"].as_f64().unwrap();
    let mut simulated = 0.0;
    while simulated < 1800.0 {
        harness.pass(served * 1.1);
        simulated += served * 1.1;
        assert_eq!(harness.code(&host, "POST", &backfill, json!({"instance_id": "i"})), "");
    }
    harness.pass(settings().timings.backfill_expiry.get().as_secs_f64() + 1.0);
    assert_eq!(harness.code(&host, "POST", &backfill, json!({"instance_id": "i"})), "backfill_not_found");
}

#[test]
fn whoever_does_not_ask_is_culled_and_connected_players_never_are() {
    let mut settings = settings();
    settings.session_types.insert(
        "culling".into(),
        SessionType { player_culling_timeout: 30, default_public: true, ..SessionType::built_in() },
    );
    let (host, ann, bob) = (server("host"), player("ann"), player("bob"));
    let mut harness = Harness::new(settings);
    let path = harness.session(&host, "culling");
    harness.json(&host, "POST", &format!("{path}/instance"), json!({"instance_id": "i", "host_type": "preallocated"}));
    let me = format!("{path}/player/me");
    let join = json!({"client_version": "1.0.0", "client_settings": {"input": "touch"}, "team_id": 0});
    harness.json(&ann, "POST", &me, join.clone());
    harness.json(&bob, "POST", &me, join);
    harness.json(&host, "POST", &format!("{path}/player/{}", bob.player.unwrap()), json!({}));
    harness.pass(29.0);
    harness.json(&host, "GET", &path, Value::Null);
    harness.pass(2.0);
    let players = harness.json(&host, "GET", &format!("{path}/player"), Value::Null).to_string();
    assert!(!players.contains(&ann.player.unwrap().to_string()), "culled");
    assert!(players.contains(&bob.player.unwrap().to_string()), "connected");
}

#[test]
fn an_instance_is_closed_when_no_server_comes_and_when_the_chosen_one_says_nothing() {
    let ann = player("ann");
    let mut harness = Harness::new(settings());
    let path = harness.session(&ann, "default");
    let instance = format!("{path}/instance");
    let status = |harness: &mut Harness| {
        harness.json(&ann, "GET", &path, Value::Null)["instance"]["join_status"].as_str().unwrap().to_owned()
    };
    harness.json(&ann, "POST", &instance, json!({}));
    harness.pass(59.0);
    assert_eq!(status(&mut harness), "requested");
    harness.pass(2.0);
    assert_eq!(status(&mut harness), "closed");

    let host = server("host");
    let register = json!({"items": [{"id": "s1", "public_host": "h", "public_port": 1}]});
    harness.json(&host, "POST", "/instances/sic_registration/v3/register", register);
    harness.json(&ann, "POST", &instance, json!({}));
    assert_eq!(status(&mut harness), "allocated");
    let moment = super::moment::Moment::new(harness.now());
    harness.state.transact(&moment, |tx| Ok(tx.poll_server("s1", &host.subject))).0.unwrap();
    harness.pass(119.0);
    assert_eq!(status(&mut harness), "allocated");
    harness.pass(2.0);
    assert_eq!(status(&mut harness), "closed");
}

#[test]
fn a_server_that_was_not_heard_of_is_not_handed_out() {
    let (host, ann) = (server("host"), player("ann"));
    let mut harness = Harness::new(settings());
    let register = json!({"items": [{"id": "s1", "public_host": "h", "public_port": 1}]});
    harness.json(&host, "POST", "/instances/sic_registration/v3/register", register);
    harness.pass(60.0);
    let ask = |harness: &mut Harness| {
        let path = harness.session(&ann, "default");
        let asked = harness.json(&ann, "POST", &format!("{path}/instance"), json!({}))["join_status"].clone();
        harness.json(&ann, "DELETE", &path, Value::Null);
        asked
    };
    assert_eq!(ask(&mut harness), "allocated");
    harness.pass(0.1);
    assert_eq!(ask(&mut harness), "requested");
    // Once it has used a long poll, it is expected to open the next one soon.
    let now = harness.now().mono;
    let poll = harness.state.servers.poll_begins("s1", &host.subject, now).unwrap();
    harness.pass(20.0);
    assert_eq!(ask(&mut harness), "allocated");
    let now = harness.now().mono;
    harness.state.servers.poll_ends("s1", &poll, now);
    harness.pass(5.0);
    assert_eq!(ask(&mut harness), "allocated");
    harness.pass(0.1);
    assert_eq!(ask(&mut harness), "requested");
}

#[test]
fn a_session_goes_with_its_last_player_unless_its_type_keeps_it() {
    let mut settings = settings();
    settings
        .session_types
        .insert("party".into(), SessionType { keep_alive_on_empty: false, ..SessionType::built_in() });
    let ann = player("ann");
    let mut harness = Harness::new(settings);
    for (kind, left) in [("default", ""), ("party", "session_not_found")] {
        let path = harness.session(&ann, kind);
        harness.json(&ann, "DELETE", &format!("{path}/player/me"), Value::Null);
        assert_eq!(harness.code(&ann, "GET", &path, Value::Null), left, "{kind}");
    }
}

#[test]
fn when_the_player_who_hosts_leaves_the_instance_is_closed() {
    let ann = player("ann");
    let mut harness = Harness::new(settings());
    let path = harness.session(&ann, "default");
    harness.json(&ann, "POST", &format!("{path}/instance"), json!({"host_type": "player"}));
    harness.json(&ann, "PATCH", &format!("{path}/instance"), json!({"join_status": "joinable"}));
    harness.json(&ann, "DELETE", &format!("{path}/player/me"), Value::Null);
    assert_eq!(harness.json(&ann, "GET", &path, Value::Null)["instance"]["join_status"], "closed");
}

#[test]
fn a_short_lease_is_a_setting() {
    let mut settings = settings();
    settings.timings.session_ttl = Span::from_secs(5);
    let ann = player("ann");
    let mut harness = Harness::new(settings);
    let path = harness.session(&ann, "default");
    harness.pass(5.1);
    assert_eq!(harness.code(&ann, "GET", &path, Value::Null), "session_not_found");
}

#[test]
fn an_expired_session_is_told_to_its_members() {
    use crate::{model::events::EventKind, service::state::event_batch::FeedItem};
    let mut harness = Harness::new(settings());
    let ann = player("ann");
    harness.session(&ann, "default");
    let player = ann.player.unwrap();
    let begun = harness.state.events.last();
    harness.pass(301.0);
    let told = harness.state.events.after(player, begun, 10).unwrap();
    let [last] = &told[..] else { panic!("{told:?}") };
    let FeedItem::Event(event) = &*last.told else { panic!("{last:?}") };
    assert!(
        event.event == EventKind::OnSessionLeft && event.destroyed && event.etag.as_deref() == Some("\"2f\""),
        "{event:?}"
    );
}

#[test]
fn a_hidden_session_is_neither_found_nor_matched() {
    let mut harness = Harness::new(settings());
    let (host, ann) = (server("host"), player("ann"));
    let path = harness.hosted(&host);
    let id = path.rsplit('/').next().unwrap().to_owned();
    let found = |harness: &mut Harness| {
        harness.json(&ann, "POST", "/session/v1/browser:search", json!({"session_id": id}))["session_ids"].clone()
    };
    assert_eq!(found(&mut harness), json!([id]));
    harness.pass(400.0);
    assert_eq!(found(&mut harness), json!([]));
    let create = json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "session_type": "default"});
    let matched = harness.json(&ann, "POST", "/session/v1/matchmaking", json!({"create": create}));
    assert_eq!(matched["created"], true);
}
