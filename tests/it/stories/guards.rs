//! Limits that save money: each drains, says why, and makes room for the next match.

use super::*;

fn ended(agent: &Agent<'_>, service: &Service<'_>, session: &str, word: &str) {
    let ended = agent.wait("the end", |status| status["last_end"]["reported"] == true);
    let reason = ended["last_end"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains(word), "{reason}");
    service.wait_closed(session);
    agent.wait_phase("idle");
    assert_eq!(ended["last_end"]["session_id"], session);
    // And the next one is served.
    let next = allocate(agent, "");
    assert_ne!(next, session);
    agent.wait_join_status("joinable");
}

#[test]
fn nobody_comes() {
    let world = World::new();
    let service = Service::start(&world);
    let agent = hooked(&world, &service, "[guards]\nno_show_timeout = \"400ms\"\n");
    let session = allocate(&agent, "");
    ended(&agent, &service, &session, "nobody");
}

#[test]
fn everybody_has_left() {
    let world = World::new();
    let service = Service::start(&world);
    let agent = hooked(&world, &service, "[guards]\nno_show_timeout = \"1h\"\nempty_timeout = \"400ms\"\n");
    let session = allocate(&agent, "");
    let status = agent.wait_join_status("joinable");
    let player = Player::joins(&world, &status, &uuid::Uuid::new_v4().to_string());
    agent.wait("a player", |status| status["players"] == 1);
    player.leaves();
    ended(&agent, &service, &session, "left");
}

#[test]
fn a_match_takes_too_long() {
    let world = World::new();
    let service = Service::start(&world);
    let more = "[guards]\nno_show_timeout = \"1h\"\nmax_match_time = \"600ms\"\n[drain]\ndeadline = \"1s\"\n";
    let agent = hooked(&world, &service, more);
    let session = allocate(&agent, "");
    let status = agent.wait_join_status("joinable");
    let _player = Player::joins(&world, &status, &uuid::Uuid::new_v4().to_string());
    ended(&agent, &service, &session, "match");
}
