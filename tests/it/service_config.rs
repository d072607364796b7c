//! What the service serves from its configuration: matchmaking, launch templates, deserter rules
//! and marks; voice that isn't configured; the configuration as JSON; a reload.

use crate::{
    service_bench::{Bench, settings},
    support::world::GAMESIDE,
};
use gameside::internals::service::{
    Listeners, Service, ServiceSettings,
    auth::login::player_of,
    templates::{Deserter, SessionType},
};
use serde_json::json;
use std::process::{Command, Stdio};

pub const DESERTER: &str = "00000000-0000-0000-0000-00000000000d";
pub const GROUP: &str = "00000000-0000-0000-0000-00000000000e";

/// One good answer of each operation that this file is about.
pub async fn every_resource(bench: &Bench, ann: &str, admin: &str) {
    let v2 = bench.get("/session/v2/match-making-profile/duel", ann).await;
    let template = v2.text("/instance_request_template_id");
    let v1 = bench.get("/session/v1/match-making-profile/duel", ann).await;
    assert_eq!((v1.text("/profile_id"), v1.text("/instance_launch_template_id")), ("duel".into(), template.clone()));
    let launch = bench.get(&format!("/session/v1/instance-launch-templates/{template}"), ann).await;
    assert_eq!(launch.body["map_selection_list"]["maps"][0]["selection_chance"], 100.0);
    for (version, id) in [("v1", "template_group_id"), ("v2", "match_making_template_group_id")] {
        let group = bench.get(&format!("/session/{version}/match-making-templates/{GROUP}"), ann).await;
        assert_eq!(group.text(&format!("/{id}")), GROUP);
        assert_eq!(group.body["template_options"][0]["profiles"].as_array().unwrap().len(), 1);
    }
    assert_eq!(bench.get("/session/v2/match-making-profile/none", ann).await.code(), "template_not_found");

    let player = format!("/session/v1/player/{}/deserter", player_of("ann"));
    let one = format!("{player}/{DESERTER}");
    let marked = json!({"deserter_expiration": "2999-01-01T00:00:00Z", "deserter_count": 2, "custom_data": {"a": "b"}});
    assert_eq!(bench.call("PUT", &one, admin, Some(marked)).await.body["deserter_status"], true);
    let mine = bench.get(&format!("/session/v1/player/me/deserter/{DESERTER}"), ann).await;
    assert_eq!((&mine.body["deserter_count"], &mine.body["custom_data"]["a"]), (&json!(2), &json!("b")));
    assert_eq!(bench.get(&one, ann).await.body["deserter_status"], true);
    assert_eq!(bench.get(&player, ann).await.body["deserter_statuses"].as_array().unwrap().len(), 1);
    assert_eq!(bench.delete(&one, admin).await.status, 204);
    assert_eq!(bench.get(&one, ann).await.body["deserter_status"], false);
    assert_eq!(bench.delete(&player, admin).await.status, 204);
    for clear in ["/session/v1/deserter:clear".to_owned(), format!("/session/v1/deserter/{DESERTER}:clear")] {
        assert_eq!(bench.post(&clear, admin, json!({})).await.status, 204);
    }
    assert_eq!(bench.get("/session/v1/deserter", ann).await.text("/deserter_configs/0/deserter_id"), DESERTER);
    let config = bench.get(&format!("/session/v1/deserter/{DESERTER}"), ann).await;
    assert!(!config.text("/last_cleared_timestamp").is_empty());
}

#[tokio::test]
async fn marks_of_deserters_are_durable_private_and_voided_by_clearing() {
    let mut settings = settings();
    settings.deserters.insert(DESERTER.parse().unwrap(), Deserter::default());
    let bench = Bench::start(settings.clone()).await;
    let admin = bench.client("admin", Some(&["session:*"])).await;
    let bob = bench.player("bob").await;
    let of = |name: &str| format!("/session/v1/player/{}/deserter/{DESERTER}", player_of(name));
    let past =
        json!({"deserter_expiration": 1_000_000_000, "deserter_reset": "2001-01-01T00:00:00Z", "deserter_count": 3});
    let over = bench.call("PUT", &of("ann"), &admin, Some(past)).await;
    assert_eq!((&over.body["deserter_status"], &over.body["deserter_count"]), (&json!(false), &json!(0)));
    let future = json!({"deserter_expiration": "2999-01-01T00:00:00+02:00", "deserter_count": 1});
    assert_eq!(bench.call("PUT", &of("ann"), &bob, Some(future.clone())).await.code(), "insufficient_permissions");
    assert_eq!(bench.call("PUT", &of("ann"), &admin, Some(future)).await.status, 200);
    assert_eq!(bench.get(&of("ann"), &bob).await.code(), "insufficient_permissions", "not another's");
    assert_eq!(bench.get(&of("ann").replace(DESERTER, "none"), &admin).await.code(), "deserter_not_found");
    assert_eq!(bench.call("PUT", &of("ann"), &admin, Some(json!({"deserter_count": -1}))).await.status, 422);

    let bench = Bench::on(bench.stop().await, settings.clone()).await;
    let admin = bench.client("admin", Some(&["session:*"])).await;
    let kept = bench.get(&of("ann"), &admin).await;
    assert_eq!(
        (&kept.body["deserter_status"], kept.text("/deserter_expiration")),
        (&json!(true), "2998-12-31T22:00:00.000Z".into())
    );
    assert_eq!(bench.post(&format!("/session/v1/deserter/{DESERTER}:clear"), &admin, json!({})).await.status, 204);
    let bench = Bench::on(bench.stop().await, settings).await;
    let admin = bench.client("admin", Some(&["session:*"])).await;
    assert_eq!(bench.get(&of("ann"), &admin).await.body["deserter_status"], false);
    let config = bench.get(&format!("/session/v1/deserter/{DESERTER}"), &admin).await;
    assert!(!config.text("/last_cleared_timestamp").is_empty(), "known after a restart");
}

#[tokio::test]
async fn voice_says_clearly_that_it_is_not_configured() {
    let bench = Bench::start(settings()).await;
    let admin = bench.client("admin", Some(&["session:*"])).await;
    let ann = bench.player("ann").await;
    let path = bench.session(&ann).await;
    let uuid = player_of("ann");
    for voice in [
        "/session/v1/voip/vivox:login".to_owned(),
        format!("{path}/player/me/voip/vivox:join?voip_session_type=team"),
        format!("{path}/player/{uuid}/voip/vivox:trxn?voip_session_type=session"),
        format!("{path}/player/me/voip/epic:join?voip_session_type=session"),
    ] {
        let refused = bench.get(&voice, &admin).await;
        assert_eq!((refused.status, refused.code()), (403, "voice_not_configured"), "{voice}");
        assert_eq!(bench.get(&voice, &ann).await.code(), "insufficient_permissions", "{voice}");
    }
    assert_eq!(bench.get(&format!("{path}/player/me/voip/vivox:join"), &admin).await.status, 422);
    assert_eq!(
        bench.get(&format!("{path}/player/me/voip/vivox:sing?voip_session_type=team"), &admin).await.status,
        422
    );
    let gone = "/session/v1/session/none/player/me/voip/epic:join?voip_session_type=team";
    assert_eq!(bench.get(gone, &admin).await.code(), "session_not_found");
}

fn sessions(args: &[&str], input: &str) -> (bool, String, String) {
    let mut command = Command::new(GAMESIDE);
    command.arg("sessions").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_commands_export_and_import_the_configuration_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("sessions.toml");
    let text = "[timings]\nsession_ttl = \"77s\"\n[session_types.duel]\nplayers_per_team = 1\nnum_teams = 2\n";
    std::fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap();
    let (good, exported, said) = sessions(&["--config", config, "export"], "");
    assert!(good, "{said}");
    let changed = exported.replace("\"num_teams\": 2", "\"num_teams\": 3");
    assert_ne!(changed, exported);
    let (good, toml, said) = sessions(&["--config", config, "import", "-"], &changed);
    assert!(good, "{said}");
    let settings: ServiceSettings = toml::from_str(&toml).unwrap();
    assert_eq!(settings.session_types["duel"].num_teams, 3);
    assert_eq!(settings.timings.session_ttl.get().as_secs(), 77, "the rest stays");
    let new = dir.path().join("new.toml");
    std::fs::write(&new, &toml).unwrap();
    let (good, again, said) = sessions(&["--config", new.to_str().unwrap(), "export"], "");
    assert!(good, "{said}");
    assert_eq!(again, changed);
    let (good, _, said) = sessions(&["import", "-"], "{\"templates\": {\"t\": {\"num_teams\": 99}}}");
    assert!(!good && said.contains("session_types.t.num_teams: expected 1 to 50"), "{said}");
    let (good, _, said) = sessions(&["import", "-"], "{\"regions\": [{\"region_id\": \"eu\", \"colour\": \"red\"}]}");
    assert!(good && said.contains("regions[0].colour"), "{said}");
}

#[tokio::test]
async fn a_reload_changes_everything_but_live_sessions_the_number_of_connections_too() {
    let dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/livez", listener.local_addr().unwrap());
    let service = Service::open(settings(), dir.path()).unwrap();
    let reload = service.reload_handle();
    let served =
        tokio::spawn(service.run(Listeners { tcp: vec![listener], ..Listeners::default() }, std::future::pending()));

    let with = |connections: u32| {
        let mut settings = settings();
        settings.limits.connections = connections;
        settings.session_types.insert("new".into(), SessionType::built_in());
        settings
    };
    // Each client keeps its connection.
    let client = crate::service_bench::http;
    let (first, second) = (client(), client());
    assert_eq!(first.get(&url).send().await.unwrap().text().await.unwrap(), "ok\n");
    reload.apply(with(1)).unwrap();
    let waits = tokio::spawn(second.get(&url).send());
    assert_eq!(first.get(&url).send().await.unwrap().text().await.unwrap(), "ok\n", "the old connection lives on");
    reload.apply(with(50)).unwrap();
    assert_eq!(waits.await.unwrap().unwrap().status(), 200);
    let mut bad = with(50);
    bad.session_types.clear();
    assert!(reload.apply(bad).is_err(), "faults change nothing");
    assert_eq!(first.get(&url).send().await.unwrap().status(), 200);
    served.abort();
}
