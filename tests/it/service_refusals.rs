//! Who may not do what. The document says for each operation which permissions a token needs, and
//! which place in the session a caller needs besides (`session_admin`, `session_host`,
//! `active_in_session`, `invite`, `kick`, `move`); each of these refusals is provoked once, and
//! must leave the session as it was. An operation without a row in [`REFUSES`] fails the test.

use crate::{
    contract::{Contract, Operation, contract},
    service_bench::{Answer, Bench, join, settings},
};
use gameside::internals::service::{auth::login::player_of, ops};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Whose token is good for such calls, and who is refused all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Isn't in the session.
    Outsider,
    /// Is a plain member, and asks about another one.
    Member,
}
use Who::{Member, Outsider};

const NOBODY: &[Who] = &[];
const OUTSIDER: &[Who] = &[Outsider];
const BOTH: &[Who] = &[Outsider, Member];

/// Operation → who is refused.
const REFUSES: &[(&str, &[Who])] = &[
    ("create_or_join_session", NOBODY),
    ("get_session_by_id", NOBODY),
    ("update_session_by_id", BOTH),
    ("delete_session", BOTH),
    ("update_team_by_id", BOTH),
    ("get_session_by_allocation_id", NOBODY),
    ("generate_session_short_code", OUTSIDER),
    ("get_browser_sessions_by_type", NOBODY),
    ("post_browser_info", BOTH),
    ("update_browser_info", BOTH),
    ("delete_browser_info", BOTH),
    ("search_sessions", NOBODY),
    ("start_matchmaking", NOBODY),
    ("create_instance_request", BOTH),
    ("update_instance_info", BOTH),
    ("end_instance", BOTH),
    ("instance_health_check", BOTH),
    ("instance_health_config", NOBODY),
    ("add_platform_session_to_rally_here_session", OUTSIDER),
    ("delete_platform_session_from_rally_here_session", OUTSIDER),
    ("get_platform_session_info", OUTSIDER),
    ("join_session_by_platform_session_id_self", NOBODY),
    ("leave_session_by_platform_session_self", NOBODY),
    ("join_session_by_platform_session_by_uuid", BOTH),
    ("leave_session_by_platform_session_by_uuid", BOTH),
    ("get_player_in_session", NOBODY),
    ("get_players_in_session", NOBODY),
    ("update_session_player_by_uuid_v2", BOTH),
    ("update_session_player_by_uuid", BOTH),
    ("update_session_player_by_id", BOTH),
    ("kick_player_from_session_by_uuid_v2", BOTH),
    ("kick_player_from_session_by_uuid", BOTH),
    ("kick_player_from_session_by_id", BOTH),
    ("join_session_by_id_self", NOBODY),
    ("leave_session_by_id_self", NOBODY),
    ("get_player_permission_by_uuid", OUTSIDER),
    ("give_player_permission_by_uuid", BOTH),
    ("remove_player_permission_by_uuid", BOTH),
    ("invite_player_by_uuid_v2", BOTH),
    ("promote_player_by_uuid_v2", BOTH),
    ("move_player_by_uuid_v2", BOTH),
    ("update_player_by_uuid_v2", BOTH),
    ("get_player_sessions_self", NOBODY),
    ("get_player_sessions_by_uuid_v2", BOTH),
    ("get_player_sessions_by_uuid", BOTH),
    ("get_player_sessions", BOTH),
    ("swap_players_in_session", BOTH),
    ("invite_session_to_session", BOTH),
    ("kick_session_from_session", BOTH),
    ("backfill_config", NOBODY),
    ("put_backfill", BOTH),
    ("acknowledge_backfill_request", BOTH),
    ("update_backfill_request", BOTH),
    ("delete_backfill_request", BOTH),
    ("get_all_session_templates", NOBODY),
    ("get_session_template_by_type", NOBODY),
    ("get_instance_request_template", NOBODY),
    ("get_all_regions", NOBODY),
    ("get_connection_info_self", NOBODY),
    ("get_session_audit", OUTSIDER),
    ("create_session_audit", OUTSIDER),
    ("get_presence_session_self", NOBODY),
    ("set_presence_session", OUTSIDER),
    ("clear_presence_session", NOBODY),
    ("get_presence_session", BOTH),
    ("get_friends_list_for_player_v2", BOTH),
    ("delete_friends_v2", BOTH),
    ("get_friend_relationship_v2", BOTH),
    ("add_friend_v2", BOTH),
    ("delete_friend_v2", BOTH),
    ("get_player_events_self", NOBODY),
    ("player_long_poll_for_notifications_self", NOBODY),
    ("player_get_notifications_page_self", NOBODY),
    ("player_create_notification_self", NOBODY),
    ("player_get_notification_by_id_self", NOBODY),
    ("player_long_poll_for_notifications", BOTH),
    ("player_get_notifications_page", BOTH),
    ("player_create_notification", BOTH),
    ("player_get_notification_by_id", BOTH),
    ("get_all_map_game_info", NOBODY),
    ("get_match_making_templates", NOBODY),
    ("get_match_making_templates_v2", NOBODY),
    ("get_match_making_profile", NOBODY),
    ("get_match_making_profile_v2", NOBODY),
    ("get_vivox_login_token", NOBODY),
    ("get_vivox_action_token_me", NOBODY),
    ("get_vivox_action_token", NOBODY),
    ("get_epic_voice_join_token_me", NOBODY),
    ("get_all_deserter_configs", NOBODY),
    ("get_specific_deserter_config", NOBODY),
    ("get_player_deserter_self", NOBODY),
    ("get_player_deserter", BOTH),
    ("get_all_player_deserters", BOTH),
    ("put_player_deserter", BOTH),
    ("delete_player_deserter", BOTH),
    ("delete_all_player_deserter", BOTH),
    ("clear_all_deserter", BOTH),
    ("clear_specific_deserter", BOTH),
    ("sic_register", NOBODY),
    ("sic_state", NOBODY),
    ("sic_deregister", NOBODY),
    ("sic_release", NOBODY),
    ("login", NOBODY),
    ("livez", NOBODY),
    ("readyz", NOBODY),
    ("metrics", NOBODY),
    ("openapi", NOBODY),
];

/// Places in a session that a plain member doesn't have.
const PLACES: &[&str] = &["session_admin", "session_host", "invite", "kick", "move"];

/// A session with everything that an operation could be about: led by ann, with bob and carl, hosted by a server, listed, with a
/// platform session and a backfill. Another session of dora's.
struct Stage {
    bench: Bench,
    server: String,
    member: String,
    outsider: String,
    values: BTreeMap<&'static str, String>,
}

impl Stage {
    async fn new() -> Stage {
        let mut settings = settings();
        // So that only their place keeps them from an instance.
        settings.auth.player_permissions.push("session:instance:health".to_owned());
        let deserter = uuid::Uuid::from_u128(9);
        settings.deserters.insert(deserter, <_>::default());
        let bench = Bench::start(settings).await;
        let server = bench.client("server", Some(&["session:*"])).await;
        let ann = bench.player("ann").await;
        let path = bench.session(&ann).await;
        let [member, carl] = bench.players(["bob", "carl"]).await;
        for who in [&member, &carl] {
            assert_eq!(bench.post(&format!("{path}/player/me"), who, join()).await.status, 200);
        }
        let dora = bench.player("dora").await;
        let other = bench.session(&dora).await;
        let outsider = bench.player("eve").await;
        let seen = bench.get(&format!("{path}/player/{}", player_of("carl")), &ann).await;
        let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        let values = BTreeMap::from([
            ("session_id", id(&path)),
            ("invited_session_id", id(&other)),
            ("kicked_session_id", id(&other)),
            ("player_uuid", player_of("carl").to_string()),
            ("other_player_uuid", player_of("dora").to_string()),
            ("player_id", seen.body["player_id"].to_string()),
            ("team_id", "0".to_owned()),
            ("permission", "invite".to_owned()),
            ("platform", "Basic".to_owned()),
            ("platform_session_id_base64", "cGFydHk".to_owned()),
            ("notification_id", "1".to_owned()),
            ("deserter_id", deserter.to_string()),
        ]);
        let stage = Stage { bench, server, member, outsider, values };
        stage.furnish(&path).await;
        stage
    }

    async fn furnish(&self, path: &str) {
        let post = async |path: String, body: Value| {
            let answer = self.bench.post(&path, &self.server, body).await;
            assert_eq!(answer.status, 200, "{path} {answer:?}");
        };
        post(format!("{path}/instance"), json!({"instance_id": "i1", "host_type": "preallocated"})).await;
        post(format!("{path}/browser"), json!({"custom_data": {"k": "v"}})).await;
        let platform =
            format!("/session/v1/platform/Basic/platform-session/cGFydHk/session/{}", self.values["session_id"]);
        post(platform, json!({})).await;
        let backfill = path.replace("/v1/session/", "/v1/backfill/session/");
        let put = self.bench.call("PUT", &backfill, &self.server, Some(json!({"teams": []}))).await;
        assert_eq!(put.status, 200, "{put:?}");
    }

    fn path(&self, pattern: &str, operation: &str) -> String {
        let filled = self
            .values
            .iter()
            .fold(pattern.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value));
        assert!(!filled.contains('{'), "{operation}: a value for a parameter of {filled}");
        if operation == "get_session_audit" {
            format!("{filled}?session_id={}", self.values["session_id"])
        } else {
            filled
        }
    }

    /// A body that is good, for one who may.
    fn body(&self, operation: &str) -> Value {
        let (session, player) = (&self.values["session_id"], &self.values["player_uuid"]);
        match operation {
            "update_session_player_by_uuid_v2" | "update_session_player_by_uuid" | "update_session_player_by_id" => {
                json!({"status": "leader"})
            }
            "join_session_by_platform_session_by_uuid" => join(),
            "move_player_by_uuid_v2" => json!({"team_id": 0}),
            "update_player_by_uuid_v2" => json!({"custom_data": {"k": "v"}}),
            "swap_players_in_session" => json!({"players": [player, player_of("bob")]}),
            "update_instance_info" => json!({"join_status": "joinable"}),
            "create_instance_request" => json!({"instance_id": "i2"}),
            "instance_health_check" => json!({"instance_id": "i1", "instance_health": "healthy"}),
            "acknowledge_backfill_request" | "delete_backfill_request" => json!({"instance_id": "i1"}),
            "update_backfill_request" => json!({"instance_id": "i1", "teams": []}),
            "put_backfill" => json!({"teams": []}),
            "post_browser_info" | "update_browser_info" | "update_session_by_id" => json!({"custom_data": {"k": "w"}}),
            "create_session_audit" => json!({"event_name": "e", "session_id": session}),
            "set_presence_session" => json!({"session_id": session}),
            "delete_friends_v2" => json!({"friends": [self.values["other_player_uuid"]]}),
            "player_create_notification" => json!({"notifications": [{"message": "m", "custom_data": {}}]}),
            "update_team_by_id" => json!({"max_size": 5}),
            _ => json!({}),
        }
    }

    async fn etag(&self) -> Option<String> {
        self.bench.get(&format!("/session/v1/session/{}", self.values["session_id"]), &self.server).await.etag
    }

    async fn ask(&self, row: &'static gameside::internals::service::http::route::Row, who: &str) -> Answer {
        let path = self.path(row.path, row.operation);
        let body = (row.method != "GET").then(|| self.body(row.operation));
        self.bench.call(row.method.as_str(), &path, who, body).await
    }
}

#[tokio::test]
async fn every_documented_refusal_is_given_and_changes_nothing() {
    let stage = Stage::new().await;
    let refuses: BTreeMap<&str, &[Who]> = REFUSES.iter().copied().collect();
    let before = stage.etag().await;
    let mut wrong = Vec::new();
    for row in ops::tables().into_iter().flatten() {
        let Some(refused) = refuses.get(row.operation) else {
            wrong.push(format!("{row:?} has no row in REFUSES"));
            continue;
        };
        for who in *refused {
            let token = if *who == Member { &stage.member } else { &stage.outsider };
            let answer = stage.ask(row, token).await;
            if (answer.status, &answer.body["auth_success"]) != (403, &json!(true)) {
                wrong.push(format!("{row:?} by {who:?}: {} {}", answer.status, answer.body));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(stage.etag().await, before, "a refusal changes nothing");
}

/// The table above says no less than the document does.
#[test]
fn the_table_of_refusals_covers_what_the_document_says() {
    let documented = covered(contract(), |operation, place| operation.places().contains(&place));
    assert!(documented > 20, "{documented}");
}

/// And no less than the published contract, which says it in prose.
pub fn the_table_of_refusals_covers_what_is_published(published: &Contract) {
    let documented = covered(published, |operation, place| operation.description().contains(&format!("`{place}`")));
    assert!(documented > 20, "{documented}");
}

fn covered(contract: &Contract, needs: impl Fn(&Operation<'_>, &str) -> bool) -> usize {
    let refuses: BTreeMap<&str, &[Who]> = REFUSES.iter().copied().collect();
    let mut documented = 0;
    for operation in contract.operations() {
        let Some(refused) = refuses.get(operation.id) else { continue };
        if PLACES.iter().any(|place| needs(&operation, place)) {
            assert!(refused.contains(&Member) && refused.contains(&Outsider), "{}", operation.id);
            documented += 1;
        }
        let limited = operation.id == "get_session_by_id"; // others get less, and no refusal
        if needs(&operation, "active_in_session") && !limited {
            assert!(refused.contains(&Outsider), "{}", operation.id);
            documented += 1;
        }
    }
    documented
}
