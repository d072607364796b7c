//! The keeper is killed, or what lies in its directory is: the match ends with a report, or goes on.

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
