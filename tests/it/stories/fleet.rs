//! Ten agents on one machine, one service: whoever is free and fits gets the session.

use super::*;
use crate::support::{proc, world::PATIENCE};
use std::collections::BTreeSet;

const AGENTS: usize = 10;

fn fleet<'w>(world: &'w World, service: &Service<'_>) -> Vec<Agent<'w>> {
    let config = format!("{}{SIC}{PATIENT}", service.agent_config());
    let agents: Vec<_> = (0..AGENTS).map(|n| world.agent(&format!("server-{n}"), &config)).collect();
    for agent in &agents {
        agent.wait("registration", |status| status["agent"]["registered"] == true);
    }
    agents
}

#[test]
fn ten_agents_serve_ten_sessions_one_each() {
    let world = World::new();
    let service = Service::start(&world);
    let agents = fleet(&world, &service);

    let first = service.make_session(&json!({}));
    service.request_instance(&first, &json!({"map": "quarry", "misc_params": ""}));
    let shown = service.wait_join_status(&first, "joinable");
    let busy: Vec<_> = agents.iter().map(Agent::status).filter(|status| !status["session_id"].is_null()).collect();
    assert_eq!(busy.len(), 1, "exactly one was picked");
    assert_eq!(busy[0]["session_id"], first.as_str());
    assert_eq!(busy[0]["map"], "quarry");
    assert_eq!(shown["instance"]["allocation_id"], busy[0]["allocation_id"]);

    let mut sessions = vec![first];
    for _ in 1..AGENTS {
        let session = service.make_session(&json!({}));
        service.request_instance(&session, &json!({"map": "harbour", "misc_params": ""}));
        sessions.push(session);
    }
    for session in &sessions {
        service.wait_join_status(session, "joinable");
    }
    let statuses: Vec<_> = agents.iter().map(|agent| agent.wait_join_status("joinable")).collect();
    let distinct =
        |key: &str| statuses.iter().map(|status| status.pointer(key).unwrap().to_string()).collect::<BTreeSet<_>>();
    for key in ["/session_id", "/allocation_id", "/instance_id", "/ports/game", "/game/pid", "/keeper/pid"] {
        assert_eq!(distinct(key).len(), AGENTS, "{key}: {:?}", distinct(key));
    }
    let listed = world.told(["ps"]);
    assert!((0..AGENTS).all(|n| listed.contains(&format!("server-{n}"))), "{listed}");
}

#[test]
fn a_server_that_ended_its_match_takes_the_next() {
    let world = World::new();
    let service = Service::start(&world);
    let agent = world.agent("server", &format!("{}{SIC}{PATIENT}", service.agent_config()));
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        agent.wait("registration", |status| status["phase"] == "idle" && status["agent"]["registered"] == true);
        let session = service.make_session(&json!({}));
        service.request_instance(&session, &json!({"map": "harbour", "misc_params": ""}));
        service.wait_join_status(&session, "joinable");
        let status = agent.wait_join_status("joinable");
        assert!(seen.insert(status["allocation_id"].to_string()), "a new allocation each time");
        agent.call("POST", "/v1/drain", Some(&json!({"then": "recycle"}))).unwrap().ok();
        service.wait_closed(&session);
    }
}

/// SIGKILL of agent and keeper: the next life is another incarnation.
fn dies(agent: &mut Agent<'_>) {
    let keeper = pid(&agent.status(), "keeper");
    agent.kill();
    proc::signal(keeper, 9);
    assert!(proc::gone(keeper, PATIENCE));
}

/// The service lets another incarnation wait until the one before has missed two polls: far longer than a test has.
#[test]
fn a_restarted_server_shows_its_last_life_and_is_registered_at_once() {
    let world = World::new();
    let mut service = Service::start_with(&world, "[allocation]\npoll_gap = \"1h\"\n");
    let mut agent = world.agent("server", &format!("{}{SIC}{PATIENT}", service.agent_config()));
    let registered = |status: &Value| status["agent"]["registered"] == true;
    agent.wait("registration", registered);
    dies(&mut agent);
    agent.start();
    agent.wait("registration of the second life", registered);

    // The third life never gets as far; the fourth names it in vain, then the second.
    dies(&mut agent);
    service.kill();
    agent.start();
    agent.wait("a keeper", |status| status["keeper"]["connected"] == true);
    dies(&mut agent);
    service.up();
    agent.start();
    agent.wait("registration of the fourth life", registered);
}
