//! Backfill: acknowledged whenever it appears, kept up to date, and ended when there is no place
//! left.

use super::*;

/// The service's own expiry is short, so that an acknowledgement that comes late would lose it.
const SHORT: &str = "[timings]\nbackfill_expiry = \"3s\"\n";

fn put(service: &Service<'_>, session: &str, players: &[&str]) {
    let players: Vec<_> = players.iter().map(|player| json!({"player_uuid": player})).collect();
    let body = json!({"teams": [{"team_id": 0, "players_required": 2}], "players": players});
    service.call("PUT", &format!("/v1/backfill/session/{session}"), Some(&body)).ok();
}

#[test]
fn a_backfill_that_appears_late_is_kept_alive_and_its_players_are_announced() {
    let world = World::new();
    let service = Service::start_with(&world, SHORT);
    let mut agent = Agent::new(&world, "server", ["--config"]);
    let file = world.file("server.toml", &format!("{}{HOOK}{PATIENT}", service.agent_config()));
    agent.arg(file).env("GAMESIDE_SESSION__POLL", "1s").start();
    agent.wait_phase("idle");
    let session = allocate(&agent, "");
    agent.wait_join_status("joinable");
    assert!(service.session(&session)["backfill"].is_null());

    put(&service, &session, &[]);
    let found = agent.wait("the backfill", |status| status["backfill_id"].is_string());
    let (_, player) = service.player("ada");
    put(&service, &session, &[&player]);
    agent.wait("its player", |_| agent.kinds().iter().any(|kind| kind == "backfilled"));
    let told = agent.timeline().into_iter().find(|entry| entry["kind"] == "backfilled").unwrap();
    assert!(told.to_string().contains(&player), "{told}");

    // It outlives its expiry twice over: only acknowledgements can have kept it.
    let begun = std::time::Instant::now();
    let shown = service.wait(&session, "twice the expiry", |session| {
        assert_eq!(session["backfill"]["backfill_id"], found["backfill_id"], "lost after {:?}", begun.elapsed());
        begun.elapsed().as_secs() >= 6
    });
    assert!(shown["backfill"].is_object());

    agent.call("POST", "/v1/gate", Some(&json!({"joinable": false}))).unwrap().ok();
    agent.wait_join_status("unjoinable");
    service.wait(&session, "no backfill while nobody can join", |session| session["backfill"].is_null());
    agent.wait("its end", |status| status["backfill_id"].is_null());
    assert!(!agent.kinds().iter().any(|kind| kind == "report_refused"), "it ends without noise");
}
