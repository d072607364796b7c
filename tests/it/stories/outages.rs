//! The session service away, in every way: the game is untouched, and on return the service is told
//! the truth.

use super::*;
use crate::support::{
    proc,
    proxy::{Fault, Proxy},
};
use std::time::Duration;

/// Serves a match through a service that breaks; something changes meanwhile; it mends.
fn rides_out(name: &str, fault: &Fault) {
    let world = World::new();
    let service = Service::start(&world);
    let proxy = Proxy::start(service.address());
    let url = format!("http://{}", proxy.address());
    let agent = world.agent("server", &format!("{}{HOOK}{PATIENT}", service.agent_config_through(&url)));
    agent.wait_phase("idle");
    let session = allocate(&agent, "");
    let before = agent.wait_join_status("joinable");
    service.wait_join_status(&session, "joinable");

    proxy.set(fault.clone());
    agent.call("POST", "/v1/gate", Some(&json!({"joinable": false}))).unwrap().ok();
    let away = agent.wait("to notice", |status| status["backend"]["state"] != "up");
    assert!(away["backend"]["why"].as_str().is_some_and(|why| !why.is_empty()), "it says why: {}", away["backend"]);
    assert_eq!(away["phase"], "serving", "{away:#}");
    // Players come and go as ever.
    let player = Player::joins(&world, &before, &uuid::Uuid::new_v4().to_string());
    agent.wait("a player", |status| status["players"] == 1);
    player.leaves();
    agent.wait("nobody", |status| status["players"] == 0);

    proxy.set(Fault::None);
    let mended = chrono::Utc::now();
    service.wait_join_status(&session, "unjoinable");
    let after = agent.wait("all delivered", |status| {
        status["backend"]["state"] == "up" && status["outbox"].as_array().is_some_and(Vec::is_empty)
    });
    for same in ["/session_id", "/instance_id", "/game/pid", "/game/restarts"] {
        assert_eq!(after.pointer(same), before.pointer(same), "{same}");
    }
    assert!(proc::alive(pid(&after, "game")));
    // Two seconds are the rule. On paused time it is asserted, of the core and of the client; here
    // it is told, for a busy machine proves nothing.
    let back = agent.timeline().into_iter().rfind(|entry| entry["kind"] == "backend_up").expect("its return is told");
    let at: chrono::DateTime<chrono::Utc> = back["at"].as_str().unwrap().parse().unwrap();
    eprintln!("{name}: back {} ms after it was mended", (at - mended).num_milliseconds());
}

macro_rules! faults {
    ($($name:ident: $fault:expr,)*) => {
        $(
            #[test]
            fn $name() {
                rides_out(stringify!($name), &$fault);
            }
        )*
    };
}

faults! {
    refused: Fault::Refuse,
    black_holed: Fault::BlackHole,
    server_errors: Fault::status(500, ""),
    too_many_requests: Fault::too_many(1),
    no_http_at_all: Fault::garbage(),
    a_body_that_cannot_be_read: Fault::garbage_body(),
    a_load_balancers_404_is_no_lost_session: Fault::html_404(),
    slow_beyond_patience: Fault::Slow(Duration::from_secs(3600)),
    cut_off_in_the_answer: Fault::Cut { after: 20 },
}

#[test]
fn a_match_that_ends_during_the_outage_is_reported_after_it() {
    let world = World::new();
    let service = Service::start(&world);
    let proxy = Proxy::start(service.address());
    let url = format!("http://{}", proxy.address());
    let more = "[game.restart]\nwhen = \"never\"\n";
    let agent = world.agent("server", &format!("{}{HOOK}{PATIENT}{more}", service.agent_config_through(&url)));
    agent.wait_phase("idle");
    let session = allocate(&agent, "");
    let status = agent.wait_join_status("joinable");
    proxy.set(Fault::Refuse);
    proc::signal(pid(&status, "game"), 9);
    let ended = agent.wait("the end", |status| status["last_end"]["session_id"] == session.as_str());
    assert_eq!(ended["last_end"]["reported"], false);
    let refused = agent.call("POST", "/v1/allocation", Some(&allocation(""))).unwrap();
    assert_eq!(refused.status, 503, "no allocation while an earlier end is undeliverable: {}", refused.text);
    assert_ne!(service.session(&session)["instance"]["join_status"], "closed");
    proxy.set(Fault::None);
    service.wait_closed(&session);
    agent.wait("the report", |status| status["last_end"]["reported"] == true);
    allocate(&agent, "");
    agent.wait_join_status("joinable");
}

#[test]
fn a_service_that_is_killed_and_started_again_knows_everything_and_the_game_notices_nothing() {
    let world = World::new();
    let mut service = Service::start(&world);
    let agent = world.agent("server", &format!("{}{HOOK}{PATIENT}", service.agent_config()));
    agent.wait_phase("idle");
    let session = allocate(&agent, "");
    let before = agent.wait_join_status("joinable");
    service.wait_join_status(&session, "joinable");
    service.kill();
    agent.wait("to notice", |status| status["backend"]["state"] != "up");
    service.up();
    agent.wait("its return", |status| status["backend"]["state"] == "up");
    let shown = service.wait_join_status(&session, "joinable");
    assert_eq!(shown["instance"]["instance_id"], before["instance_id"]);
    let after = agent.status();
    assert_eq!(after["game"]["pid"], before["game"]["pid"]);
}

#[test]
fn credentials_that_are_refused_end_nothing() {
    let world = World::new();
    let mut service = Service::start_with(&world, "[auth]\naccess_lifetime = \"2s\"\n");
    let agent = world.agent("server", &format!("{}{HOOK}{PATIENT}", service.agent_config()));
    agent.wait_phase("idle");
    let session = allocate(&agent, "");
    let before = agent.wait_join_status("joinable");
    // Tokens last two seconds; then the agent has to log in again, with a secret that is worth
    // nothing.
    service.withdraw_agents();
    agent.call("POST", "/v1/gate", Some(&json!({"joinable": false}))).unwrap().ok();
    let refused = agent.wait("the refusal", |status| status["backend"]["state"] == "refused");
    assert_eq!((&refused["phase"], &refused["game"]["pid"]), (&json!("serving"), &before["game"]["pid"]));
    service.readmit_agents();
    service.wait_join_status(&session, "unjoinable");
    let after = agent.wait("its return", |status| status["backend"]["state"] == "up");
    assert_eq!(after["game"]["pid"], before["game"]["pid"]);
}
