//! The rules of the session service, each with the test that names it; and tests of those that no
//! other file has.

use crate::service_bench::{Answer, Bench, create, join, settings};
use gameside::internals::service::{auth::login::player_of, templates::SessionType};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The heading of the rule, or the function, in `session-semantics.md`; what of it; the file and the name of its test.
#[rustfmt::skip]
const RULES: &[(&str, &str, &str, &str)] = &[
    ("Shapes", "unset members are left out", "tests/it/contract.rs", "the_judge_finds_nulls_missing_members_and_unlisted_statuses"),
    ("Shapes", "a null that comes in is an absent member", "src/model/wire/mod.rs", "a_null_is_an_absent_member"),
    ("Shapes", "date-times out; match mirrors match_id; joinable", HERE, "date_times_end_in_z_match_mirrors_and_joinable_is_there"),
    ("Shapes", "date-times in", "src/model/wire/mod.rs", "date_times_need_an_offset_or_are_unix_seconds"),
    ("Create or join", "auto-join, force_create", API, "auto_join_skips_other_regions_and_versions_and_force_create_skips_it"),
    ("Create or join", "a password only for what is created", HERE, "a_password_applies_only_to_a_session_that_is_created"),
    ("Create or join", "a server without a player may", RULE_TESTS, "a_server_without_a_player_creates_a_session_and_leads_nothing"),
    ("Create or join", "settings before anybody sees it", HERE, "what_a_patch_names_is_replaced_whole_and_the_rest_stays"),
    ("PATCH session", "replaced whole; browser", HERE, "what_a_patch_names_is_replaced_whole_and_the_rest_stays"),
    ("PATCH session", "If-Match, 412", API, "etags_if_match_and_views"),
    ("Templates", "flags and numbers", HERE, "flags_of_a_session_type_default_to_false_but_two"),
    ("Templates", "instances that start by themselves", RULE_TESTS, "a_type_starts_an_instance_by_itself_and_the_request_template_wins"),
    ("Templates", "culling", TIMERS, "whoever_does_not_ask_is_culled_and_connected_players_never_are"),
    ("Templates", "keep_alive_on_empty", TIMERS, "a_session_goes_with_its_last_player_unless_its_type_keeps_it"),
    ("Templates", "from the configuration", "tests/it/service_config.rs", "the_commands_export_and_import_the_configuration_as_json"),
    ("Statuses", "invited, reserved", EVENTS, "a_place_that_is_held_is_told_only_if_the_type_says_so"),
    ("Statuses", "decline and cancel", HERE, "an_invite_is_declined_by_its_player_and_cancelled_by_the_leader"),
    ("Leadership", "promotion", "src/service/rules/leave.rs", "promotion_is_explicit_and_leaves_one_leader"),
    ("Leadership", "succession", "src/service/rules/leave.rs", "the_longest_standing_member_succeeds_the_leader"),
    ("Leadership", "only invited left: empty", "src/service/rules/leave.rs", "a_session_with_only_invited_players_left_is_empty"),
    ("Leadership", "leaders can't be swapped", "src/service/rules/teams.rs", "leaders_can_not_be_swapped_and_others_change_teams"),
    ("Teams", "overflow", "src/service/rules/teams.rs", "overflow_actions_place_as_their_names_say"),
    ("Teams", "the wanted number", HERE, "what_a_patch_names_is_replaced_whole_and_the_rest_stays"),
    ("Teams", "team_below_occupancy", "src/service/rules/teams.rs", "shrinking_below_occupancy_is_refused"),
    ("Joinability", "open, friends, platform", "src/service/rules/join.rs", "joinability_decides_who_may_come_uninvited"),
    ("Joinability", "passwords", API, "passwords_admit_and_are_kept_as_hashes"),
    ("Joinability", "friends, and which", INTERFACE, "friends_come_into_sessions_of_friends_and_may_name_which"),
    ("Joinability", "the friend graph, embedded", INTERFACE, "the_friend_graph_asks_declines_limits_and_outlives_a_restart"),
    ("Joinability", "the friend graph of another service", FRIENDS, "friendship_in_one_service_opens_the_sessions_of_another"),
    ("Joinability", "while that is away", FRIENDS, "while_the_graph_is_away_friends_are_refused_by_a_code_of_its_own_and_all_others_go_on"),
    ("Permissions inside a session", "roles and grants", HERE, "each_role_opens_its_gates_and_no_other"),
    ("Permissions inside a session", "a host who leaves closes the instance", TIMERS, "when_the_player_who_hosts_leaves_the_instance_is_closed"),
    ("Auth permissions", "each is asked for", API, "every_permission_is_asked_for"),
    ("Instance", "closed is absorbing; requested and allocated", "src/service/rules/instance.rs", "closed_is_absorbing_and_only_the_service_says_requested_or_allocated"),
    ("Instance", "allocation_mismatch", "src/service/rules/instance.rs", "an_update_needs_the_instance_s_own_allocation_id"),
    ("Instance", "the host's ids come from registration", "tests/it/service_allocation.rs", "a_waiting_server_is_told_at_once_and_lives_its_term"),
    ("TTL", "by timer, refreshed by participants", TIMERS, "a_session_expires_300_seconds_after_its_last_participant"),
    ("TTL", "configurable", TIMERS, "a_short_lease_is_a_setting"),
    ("TTL", "expiry emits an event", TIMERS, "an_expired_session_is_told_to_its_members"),
    ("TTL", "a silent host is hidden, kept, restored", TIMERS, "a_silent_instance_is_hidden_kept_for_two_hours_and_restored_by_its_next_word"),
    ("TTL", "hidden from search and matchmaking", TIMERS, "a_hidden_session_is_neither_found_nor_matched"),
    ("TTL", "leases count from a start", TIMERS, "leases_and_missed_checks_count_from_a_start_of_the_service"),
    ("TTL", "503 while nothing can be stored", "src/service/store/writer.rs", "a_failing_store_is_said_so_and_loses_nothing_once_it_works_again"),
    ("TTL", "connected players are never culled", TIMERS, "whoever_does_not_ask_is_culled_and_connected_players_never_are"),
    ("ETag", "by view; mutations return it", API, "etags_if_match_and_views"),
    ("ETag", "304 wherever a tag is given", RULE_TESTS, "a_tag_that_matches_is_answered_304_without_a_body"),
    ("Limited results", "field by field", "src/service/rules/view.rs", "limited_results_hide_field_by_field"),
    ("Browser", "paging", LIMITS, "pages_ids_and_headers_are_bounded"),
    ("Platform sessions", "links, joins, 503", OPERATIONS, "every_operation_succeeds_as_the_document_says"),
    ("Platform sessions", "the platform is the token's", RULE_TESTS, "the_platform_comes_from_the_token_whatever_the_client_says"),
    ("Short code", "in place of the id; 409", RULE_TESTS, "a_short_code_stands_for_the_session_and_there_is_one"),
    ("connection-info", "only a configured proxy counts", HERE, "connection_info_believes_only_configured_proxies"),
    ("Audit", "prefix and pages", OPERATIONS, "every_operation_succeeds_as_the_document_says"),
    ("Limits", "ids and bodies", API, "faults_of_a_body_are_all_found_and_located"),
    ("Limits", "ids in paths", "tests/it/service_hostile.rs", "no_id_in_a_path_makes_any_operation_fail"),
    ("Errors", "404 with and without session_not_found; auth_success", API, "a_404_means_a_lost_session_only_with_its_code"),
    ("Errors", "422 located", API, "faults_of_a_body_are_all_found_and_located"),
    ("Invites", "ids of their own", EVENTS, "a_stream_tells_of_invites_joins_updates_and_departures_under_the_interface_s_names"),
    ("Health", "missed checks", TIMERS, "three_missed_checks_are_unknown_and_the_answer_to_a_check_may_differ_from_it"),
    ("Backfill", "acknowledged in time", TIMERS, "a_backfill_acknowledged_at_a_tenth_more_than_the_served_timeout_is_never_lost"),
    ("Version", "who may play together", "src/service/rules/join.rs", "an_incompatible_version_is_refused_whoever_asks"),
    ("Version", "compatible, exact, any", "src/model/version.rs", "the_table_of_versions"),
    ("GetAllSessions", "it does what it says", STORY, "matchmaking"),
    ("GetSessionByName", "it does what it says", STORY, "create"),
    ("GetSessionById", "it does what it says", STORY, "discover_and_join"),
    ("Get/Is/Set/ClearPresenceSession", "it does what it says", INTERFACE, "a_presence_session_outlives_a_restart_and_ends_with_leaving"),
    ("CreateSession", "it does what it says", STORY, "create"),
    ("CreateSession", "LAN", INTERFACE, "a_lan_session_is_shown_only_in_the_own_network"),
    ("CreateSession", "sanctioned players; 409 later", INTERFACE, "a_sanctioned_player_joins_only_where_it_may_and_the_flags_stay_as_they_were_made"),
    ("UpdateSessionSettings", "it does what it says", STORY, "update"),
    ("UpdateSessionSettings", "allow_new_members", "src/service/rules/join.rs", "a_session_that_takes_no_new_members_takes_only_who_holds_a_place_and_whom_a_server_puts_in"),
    ("LeaveSession(false / true)", "it does what it says", STORY, "end"),
    ("FindSessions", "it does what it says", INTERFACE, "a_search_finds_by_settings_and_shows_only_what_is_listed_or_open_to_the_caller"),
    ("JoinSession", "it does what it says", STORY, "discover_and_join"),
    ("GetResolvedConnectString", "it does what it says", STORY, "a_server_serves_it"),
    ("StartMatchmaking", "it does what it says", INTERFACE, "of_many_who_look_for_a_match_at_once_only_so_many_create_one_as_must"),
    ("AddSessionMember / RemoveSessionMember", "it does what it says", STORY, "members"),
    ("SendSessionInvite", "it does what it says", STORY, "discover_and_join"),
    ("GetAllSessionInvites / GetSessionInviteById", "it does what it says", STORY, "discover_and_join"),
    ("RejectSessionInvite", "it does what it says", STORY, "discover_and_join"),
    ("OnSessionJoined / Left / Updated / InviteReceived", "it does what it says", EVENTS, "a_stream_tells_of_invites_joins_updates_and_departures_under_the_interface_s_names"),
    ("OnSessionJoined / Left / Updated / InviteReceived", "resumed", EVENTS, "whoever_comes_back_goes_on_without_a_gap"),
    ("OnSessionJoined / Left / Updated / InviteReceived", "resumed after a crash", "tests/it/service_durable.rs", "a_stream_goes_on_over_sigkill_without_a_gap"),
    ("OnSessionJoined / Left / Updated / InviteReceived", "reset", EVENTS, "beyond_the_retention_a_reset_says_so_and_a_restart_is_no_gap"),
    ("OnSessionJoined / Left / Updated / InviteReceived", "long poll", EVENTS, "the_long_poll_waits_tells_and_goes_on_from_its_cursor"),
    ("OnUISessionJoinRequested", "it does what it says", EVENTS, "a_stream_tells_of_invites_joins_updates_and_departures_under_the_interface_s_names"),
    ("Auth permissions", "each documented refusal", "tests/it/service_refusals.rs", "the_table_of_refusals_covers_what_the_document_says"),
];
const HERE: &str = "tests/it/service_semantics.rs";
const RULE_TESTS: &str = "tests/it/service_rules.rs";
const API: &str = "tests/it/service_api.rs";
const OPERATIONS: &str = "tests/it/service_operations.rs";
const EVENTS: &str = "tests/it/service_events.rs";
const FRIENDS: &str = "tests/it/service_friends.rs";
const INTERFACE: &str = "tests/it/service_interface.rs";
const LIMITS: &str = "tests/it/service_limits.rs";
const STORY: &str = "tests/it/sessions_interface.rs";
const TIMERS: &str = "src/service/state/due_tests.rs";

#[test]
fn every_rule_has_the_test_that_names_it() {
    for (rule, what, file, test) in RULES {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        assert!(text.contains(&format!("fn {test}(")), "{rule}, {what}: there is no test {test} in {file}");
    }
}

/// The bold words that begin a rule, and the first column of the interface's table.
pub fn every_rule_of_the_page_is_in_the_table(folder: &std::path::Path) {
    let page = std::fs::read_to_string(folder.join("session-semantics.md")).unwrap();
    let bold = regex::Regex::new(r"(?m)^- \*\*(.+?)\.?\*\*|\. \*\*([A-Z]\w+):\*\* ").unwrap();
    let rules = bold.captures_iter(&page).filter_map(|found| found.get(1).or(found.get(2)));
    let mut named: BTreeSet<String> = rules.map(|rule| rule.as_str().trim_end_matches([':', '.']).to_owned()).collect();
    named.remove("Decided");
    let (_, table) = page.split_once("| function or event | realised by |").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    named.extend(rows.map(str::to_owned));
    let tested: BTreeSet<String> = RULES.iter().map(|(rule, ..)| (*rule).to_owned()).collect();
    assert_eq!(named, tested);
}

async fn hosted(bench: &Bench) -> (String, String, Answer) {
    let server = bench.client("host", None).await;
    let path = bench.session(&server).await;
    let instance = format!("{path}/instance");
    bench.post(&instance, &server, json!({"instance_id": "i", "host_type": "preallocated"})).await;
    let up = json!({"join_status": "joinable", "match_id": "m1"});
    assert_eq!(bench.patch(&instance, &server, up).await.status, 200);
    let seen = bench.get(&path, &server).await;
    (path, server, seen)
}

#[tokio::test]
async fn date_times_end_in_z_match_mirrors_and_joinable_is_there() {
    let bench = Bench::start(settings()).await;
    let (path, server, _) = hosted(&bench).await;
    assert_eq!(bench.post(&format!("{path}/browser"), &server, json!({})).await.status, 200);
    let seen = bench.get(&path, &server).await;
    for at in ["/created", "/instance/created", "/match/created", "/browser/created_timestamp"] {
        let text = seen.text(at);
        assert!(text.len() == 24 && text.ends_with('Z') && &text[19..20] == ".", "{at}: {text}");
    }
    assert_eq!(seen.body["match"]["match_id"], seen.body["instance"]["match_id"]);
    assert_eq!(seen.body["joinable"], seen.body["joinability"]["open"]);
}

#[tokio::test]
async fn a_password_applies_only_to_a_session_that_is_created() {
    let mut settings = settings();
    let kind = SessionType { attempt_auto_join: true, ..SessionType::built_in() };
    settings.session_types.insert("open".into(), kind);
    let bench = Bench::start(settings).await;
    let [ann, bob, cat] = bench.players(["ann", "bob", "cat"]).await;
    let first = bench.post("/session/v1/session", &ann, create("open")).await.text("/session_id");
    let mut with = create("open");
    with["password"] = json!("secret");
    assert_eq!(bench.post("/session/v1/session", &bob, with).await.text("/session_id"), first);
    let path = format!("/session/v1/session/{first}");
    bench.patch(&path, &ann, json!({"joinable": false})).await;
    let mut password = join();
    password["password"] = json!("secret");
    assert_eq!(bench.post(&format!("{path}/player/me"), &cat, password).await.code(), "not_joinable");
}

#[tokio::test]
async fn what_a_patch_names_is_replaced_whole_and_the_rest_stays() {
    let bench = Bench::start(settings()).await;
    let ann = bench.player("ann").await;
    let mut body = create("default");
    body["settings"] = json!({"custom_data": {"a": "1", "b": "2"}, "joinability": {"open": false, "friends": true},
        "teams": [{"max_size": 3}, {"max_size": 5}], "browser": {"custom_data": {"map": "dm1"}}});
    let path =
        format!("/session/v1/session/{}", bench.post("/session/v1/session", &ann, body).await.text("/session_id"));
    let made = bench.get(&path, &ann).await.body;
    assert_eq!((&made["joinability"]["friends"], &made["teams"][1]["max_size"]), (&json!(true), &json!(5)));
    let changed = bench.patch(&path, &ann, json!({"custom_data": {"c": "3"}})).await.body;
    assert_eq!(changed["custom_data"], json!({"c": "3"}));
    for member in ["joinability", "teams", "browser", "created", "type"] {
        assert_eq!(changed[member], made[member], "{member}");
    }
    let joinability = bench.patch(&path, &ann, json!({"joinability": {"platform": false}})).await.body;
    assert_eq!(joinability["joinability"], json!({"open": false, "friends": false, "platform": false}), "whole");
    let listed = bench.patch(&path, &ann, json!({"browser": {"custom_data": {}}})).await.body;
    assert_eq!(listed["browser"].get("custom_data"), None);
}

#[tokio::test]
async fn flags_of_a_session_type_default_to_false_but_two() {
    let mut settings = settings();
    settings.session_types.insert("plain".into(), SessionType::default());
    let bench = Bench::start(settings).await;
    let ann = bench.player("ann").await;
    let plain = bench.get("/session/v1/template/plain", &ann).await.body;
    let on: Vec<&String> = plain
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, value)| **value == Value::Bool(true))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(on, ["can_change_own_team", "notify_on_reservation"]);
    let numbers = ["num_teams", "players_per_team", "player_culling_timeout"].map(|key| plain[key].clone());
    assert_eq!(numbers, [1, 4, 0].map(|number: i32| json!(number)));
    let refused = bench.post("/session/v1/session", &ann, create("plain")).await;
    assert_eq!((refused.status, refused.code()), (403, "session_type_not_creatable"));
}

#[tokio::test]
async fn an_invite_is_declined_by_its_player_and_cancelled_by_the_leader() {
    let bench = Bench::start(settings()).await;
    let [ann, bob, eve] = bench.players(["ann", "bob", "eve"]).await;
    let path = bench.session(&ann).await;
    let there = format!("{path}/player/{}", player_of("bob"));
    let invites = async || {
        bench.get("/session/v1/player/me/session", &bob).await.body["sessions"]["default"]["pending_invites"].clone()
    };
    for (whose, away) in [(&bob, format!("{path}/player/me")), (&ann, there.clone())] {
        assert_eq!(bench.post(&there, &ann, json!({"status": "invited"})).await.status, 200);
        assert_eq!(invites().await.as_object().unwrap().len(), 1);
        assert_eq!(bench.delete(&there, &eve).await.code(), "insufficient_permissions");
        assert_eq!(bench.delete(&away, whose).await.status, 204);
        assert!(invites().await.is_null(), "none is left");
    }
}

#[tokio::test]
async fn each_role_opens_its_gates_and_no_other() {
    let bench = Bench::start(settings()).await;
    let (path, server, _) = hosted(&bench).await;
    let [lead, member, eve] = bench.players(["lead", "member", "eve"]).await;
    let guest = player_of("guest");
    for who in [&lead, &member] {
        assert_eq!(bench.post(&format!("{path}/player/me"), who, join()).await.status, 200);
    }
    let promote = format!("/session/v1/session/{}/player/{}", path.rsplit('/').next().unwrap(), player_of("lead"));
    assert_eq!(bench.post(&promote, &server, json!({"status": "leader"})).await.body["status"], "leader");
    let v2 = path.replace("/v1/", "/v2/");
    let other = player_of("member");
    // Method, path, body; who may: the host, the leader, a member, somebody else.
    let rows: [(&str, String, Value, [bool; 4]); 9] = [
        ("PATCH", path.clone(), json!({"custom_data": {"a": "b"}}), [true, true, false, false]),
        ("PATCH", format!("{path}/team/0"), json!({"max_size": 16}), [true, true, false, false]),
        ("POST", format!("{path}/browser"), json!({}), [true, true, false, false]),
        ("PATCH", format!("{path}/instance"), json!({"custom_data": {"a": "b"}}), [true, false, false, false]),
        ("GET", format!("{path}/player/{other}/permission"), json!({}), [true, true, true, false]),
        ("POST", format!("{v2}/player/{guest}:invite"), json!({}), [true, true, false, false]),
        ("GET", format!("{path}/player"), json!({}), [true, true, true, true]),
        ("DELETE", format!("{path}/player/{guest}"), json!({}), [true, true, false, false]),
        ("DELETE", path.clone(), json!({}), [true, true, false, false]),
    ];
    let callers = [&server, &lead, &member, &eve];
    for (method, path, body, may) in &rows[..rows.len() - 1] {
        for (caller, may) in callers.iter().zip(may) {
            let answer = bench.call(method, path, caller, Some(body.clone())).await;
            // An invite that somebody cancelled before is gone.
            let passed = answer.status < 300 || answer.code() == "player_not_found";
            assert_eq!(passed, *may, "{method} {path}: {answer:?}");
        }
    }
    let grant = format!("{path}/player/{other}/permission/invite");
    assert_eq!(bench.call("PATCH", &grant, &lead, None).await.status, 200);
    let invited = bench.post(&format!("{v2}/player/{guest}:invite"), &member, json!({})).await;
    assert_eq!(invited.status, 200, "granted: {invited:?}");
    for who in [&member, &eve] {
        assert_eq!(bench.delete(&path, who).await.code(), "insufficient_permissions");
    }
    assert_eq!(bench.delete(&path, &lead).await.status, 204);
}

#[tokio::test]
async fn connection_info_believes_only_configured_proxies() {
    for (trusted, expected) in
        [(vec!["127.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()], "9.9.9.9"), (vec![], "127.0.0.1")]
    {
        let mut settings = settings();
        settings.trusted_proxies = trusted;
        let bench = Bench::start(settings).await;
        let ann = bench.player("ann").await;
        let through = [("x-forwarded-for", "6.6.6.6, 9.9.9.9, 10.0.0.2")];
        let info = bench.call_with("GET", "/session/v1/connection-info", &ann, None, &through).await;
        assert_eq!(info.body["ip"], expected);
        let unreadable = [("x-forwarded-for", "6.6.6.6, caf\u{e9}")];
        let info = bench.call_with("GET", "/session/v1/connection-info", &ann, None, &unreadable).await;
        let seen = if expected == "9.9.9.9" { (503, "unavailable".to_owned()) } else { (200, String::new()) };
        assert_eq!((info.status, info.code().to_owned()), seen, "behind a proxy nobody knows, else it doesn't count");
    }
}
