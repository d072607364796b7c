//! Allocation by an operator: over HTTP, and by the command.

use super::*;

#[test]
fn a_repeated_allocation_is_the_same_and_another_is_refused_while_busy() {
    let world = World::new();
    let service = Service::start(&world);
    let agent = hooked(&world, &service, PATIENT);
    let first = allocation("");
    let said = agent.call("POST", "/v1/allocation", Some(&first)).unwrap().ok();
    let again = agent.call("POST", "/v1/allocation", Some(&first)).unwrap().ok();
    assert_eq!(again, said, "a repeated id gives the same answer");
    let other = agent.call("POST", "/v1/allocation", Some(&allocation(""))).unwrap();
    assert_eq!((other.status, &other.body["error"]), (409, &json!("busy")), "{}", other.text);
    let status = agent.wait_join_status("joinable");
    for key in ["session_id", "instance_id", "allocation_id"] {
        assert_eq!(status[key], said[key], "{key}");
    }
}

#[test]
fn what_cannot_be_served_is_refused_before_anything_is_spawned() {
    let world = World::new();
    let service = Service::start(&world);
    let agent = hooked(&world, &service, PATIENT);
    let ask = |body: Value| agent.call("POST", "/v1/allocation", Some(&body)).unwrap();

    let mut unknown = allocation("");
    unknown["session_id"] = json!(uuid::Uuid::new_v4().to_string());
    let answer = ask(unknown);
    assert_eq!((answer.status, &answer.body["error"]), (404, &json!("session_not_found")), "{}", answer.text);

    let mut late = allocation("");
    late["expires"] = json!("2001-01-01T00:00:00Z");
    let answer = ask(late);
    assert_eq!((answer.status, &answer.body["error"]), (422, &json!("expired")), "{}", answer.text);

    let answer = ask(json!({"allocation_id": ""}));
    assert!((400..=422).contains(&answer.status), "{}", answer.text);
    let status = agent.wait_phase("idle");
    assert_eq!(status["game"]["pid"], Value::Null);
    assert!(!agent.kinds().iter().any(|kind| kind == "starting"));
}

#[test]
fn the_command_allocates_for_a_session_that_somebody_made() {
    let world = World::new();
    let mut service = Service::start(&world);
    // The session is somebody else's, so hosting it takes more than a server's usual permissions.
    service.permit_agents(&["session:*"]);
    let agent = hooked(&world, &service, PATIENT);
    let session = service.make_session(&json!({}));
    let id = uuid::Uuid::new_v4().to_string();
    let args =
        ["allocate", "server", "--session", &session, "--allocation-id", &id, "--map", "quarry", "--mode", "siege"];
    let said = world.told(args);
    assert!(said.contains(&session), "{said}");
    let status = agent.wait_join_status("joinable");
    assert_eq!((&status["map"], &status["mode"]), (&json!("quarry"), &json!("siege")));
    let shown = service.wait_join_status(&session, "joinable");
    assert_eq!(shown["instance"]["instance_id"], status["instance_id"]);
    // The service's own `allocation_id` is for what it allocated itself; a host that posts its
    // instance has none there.
    assert_eq!(status["allocation_id"], id.as_str());

    let wrong = world.ask(["allocate", "server", "--map", "elsewhere"]);
    assert_eq!(wrong.status.code(), Some(4), "refused, as `gameside help exit-codes` says");
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("busy"), "{wrong:?}");
}
