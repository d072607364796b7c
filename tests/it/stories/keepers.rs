//! The keeper is killed, or what lies in its directory is deleted: the match ends with a report, or
//! goes on.

use super::*;
use crate::support::proc;
use std::path::Path;

/// Nobody can listen at this path from now on.
fn block(socket: &Path) {
    std::fs::remove_file(socket).unwrap();
    std::fs::create_dir(socket).unwrap();
}

#[test]
fn without_a_keeper_the_match_is_closed_and_a_stop_ends_the_agent() {
    let world = World::new();
    let service = Service::start(&world);
    let mut agent = hooked(&world, &service, PATIENT);
    let session = allocate(&agent, "");
    let status = agent.wait_join_status("joinable");
    block(&agent.dir().join("keeper.sock"));
    proc::signal(pid(&status, "keeper"), 9);
    service.wait_closed(&session);
    let idle = agent.wait("the report", |status| status["last_end"]["reported"] == true);
    let reason = idle["last_end"]["reason"].as_str().unwrap();
    assert!(reason.contains("lost with its keeper"), "{reason}");
    let said = agent.stop();
    assert!(said.contains("ended in order"), "{said}");
}

#[test]
fn a_stop_without_an_agent_is_no_crash_also_where_the_game_had_to_be_killed() {
    let world = World::new();
    let service = Service::start(&world);
    let stubborn = "[game.stop]\nladder = [{ signal = \"SIGTERM\", wait = \"100ms\" }]\n";
    let mut agent = hooked(&world, &service, &format!("{PATIENT}{stubborn}"));
    let session = allocate(&agent, "refuse-sigterm");
    agent.wait_join_status("joinable");
    agent.kill();
    let said = world.told(["stop", "server"]);
    assert!(said.contains("may not have saved"), "{said}");
    agent.start();
    service.wait_closed(&session);
    let idle = agent.wait("the report", |status| status["last_end"]["reported"] == true);
    assert_eq!((&idle["phase"], &idle["last_end"]["session_id"]), (&"idle".into(), &session.into()));
    assert!(!agent.kinds().contains(&"restart".to_owned()), "{:?}", agent.kinds());
}

#[test]
fn a_state_directory_that_is_deleted_under_a_match_leads_to_no_second_game() {
    let world = World::new();
    let service = Service::start(&world);
    let mut agent = hooked(&world, &service, PATIENT);
    let session = allocate(&agent, "");
    let before = agent.wait_join_status("joinable");
    agent.kill();
    std::fs::remove_dir_all(agent.dir()).unwrap();
    agent.start();
    let after = agent.wait_join_status("joinable");
    assert_eq!((&after["session_id"], &after["instance_id"]), (&session.into(), &before["instance_id"]));
    assert_eq!((pid(&after, "game"), pid(&after, "keeper")), (pid(&before, "game"), pid(&before, "keeper")));
    agent.stop();
    assert!(!proc::alive(pid(&before, "game")));
}

#[test]
fn beside_a_keeper_that_can_not_take_its_files_back_nothing_is_started() {
    let world = World::new();
    let service = Service::start(&world);
    let mut agent = hooked(&world, &service, PATIENT);
    let session = allocate(&agent, "");
    let before = agent.wait_join_status("joinable");
    agent.kill();
    proc::signal(pid(&before, "keeper"), 19);
    std::fs::remove_dir_all(agent.dir()).unwrap();
    agent.start();
    let log = world.path().join("logs/server.log");
    let refused = || std::fs::read_to_string(&log).unwrap().contains("so it can't be reached");
    while !refused() {
        assert!(agent.has_ended().is_none(), "the agent waits");
        agent.pause();
    }
    assert!(proc::alive(pid(&before, "game")));
    proc::signal(pid(&before, "keeper"), 18);
    let after = agent.wait_join_status("joinable");
    assert_eq!((pid(&after, "game"), &after["session_id"]), (pid(&before, "game"), &session.into()));
    agent.stop();
}
