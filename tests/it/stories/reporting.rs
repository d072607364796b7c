//! `[report] by = "game"`: a server that writes its own instance. The agent supervises and writes
//! `closed`, nothing else.

use super::*;
use crate::support::proc;

#[test]
fn the_games_own_reports_stand_and_the_agent_only_closes() {
    let world = World::new();
    let service = Service::start(&world);
    let agent =
        hooked(&world, &service, &format!("{PATIENT}[report]\nby = \"game\"\n[game.restart]\nwhen = \"never\"\n"));
    let session = allocate(&agent, "");
    let status = agent.wait("a game that is ready", |status| status["game"]["ready"] == true);
    let before = service.session(&session)["instance"].clone();
    assert_ne!(before["join_status"], "joinable", "the agent must not write it: {before}");

    // What the game's own plugin would write.
    let body = json!({"join_status": "unjoinable", "join_params": {"public_conn_str": "", "private_conn_str": "written-by-the-game"}});
    service.call("PATCH", &format!("/v1/session/{session}/instance"), Some(&body)).ok();
    let after = service.wait(&session, "the game's words", |session| {
        session["instance"]["join_params"]["private_conn_str"] == "written-by-the-game"
    });
    assert_eq!(after["instance"]["join_status"], "unjoinable");

    proc::signal(pid(&status, "game"), 9);
    service.wait_closed(&session);
    let ended = agent.wait("the end", |status| status["last_end"]["reported"] == true);
    assert_eq!(ended["last_end"]["exit"]["status"]["signal"], 9);
}
