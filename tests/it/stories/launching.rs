//! What a game is started with, and what is refused before anything is spawned.

use super::*;

/// A game that prints what it was given, and is ready.
fn echo(arguments: &str) -> String {
    format!(
        "[game]\ncommand = [\"/bin/sh\", \"-c\", 'for a in \"$@\"; do echo \"arg=$a\"; done; env | sed s/^/env=/; \
         cat \"$GAMESIDE_STARTUP_FILE\"; echo; echo ready; exec sleep 1000', \"game\", {arguments}]\n\
         [game.readiness]\nby = \"log\"\npattern = \"^ready$\"\n"
    )
}

fn log(agent: &Agent<'_>) -> Vec<String> {
    let text = std::fs::read_to_string(agent.dir().join("logs/game.log")).unwrap();
    // Each line may carry a time and a stream before what the game wrote.
    text.lines().map(str::to_owned).collect()
}

fn said(lines: &[String], wanted: &str) -> bool {
    lines.iter().any(|line| line.ends_with(wanted))
}

#[test]
fn arguments_environment_and_file_carry_the_startup_parameters() {
    let world = World::new();
    let service = Service::start(&world);
    let arguments = r#""-port={{ports.game}}", "{{map}}?game={{mode}}{{misc}}", "{{misc_args}}", "{{custom.colour}}", "{{custom.none|default('')}}""#;
    let agent = hooked(&world, &service, &format!("{PATIENT}{}", echo(arguments)));
    let misc = "?NumBots=3 -log \"two words\" $(id) {{map}}";
    let mut body = allocation(misc);
    body["startup_params"]["custom_data"] = json!({"colour": "; rm -rf / #"});
    agent.call("POST", "/v1/allocation", Some(&body)).unwrap().ok();
    let status = agent.wait_join_status("joinable");
    let port = &status["ports"]["game"];
    let lines = log(&agent);
    let all = lines.join("\n");
    for wanted in [
        format!("arg=-port={port}"),
        format!("arg=harbour?game=duel{misc}"),
        "arg=?NumBots=3".to_owned(),
        "arg=-log".to_owned(),
        "arg=two words".to_owned(),
        "arg=; rm -rf / #".to_owned(),
        format!("env=GAMESIDE_PORT_GAME={port}"),
        "env=GAMESIDE_MAP=harbour".to_owned(),
        "env=GAMESIDE_MODE=duel".to_owned(),
        format!("env=GAMESIDE_MISC={misc}"),
        format!("env=GAMESIDE_ALLOCATION_ID={}", body["allocation_id"].as_str().unwrap()),
        format!("env=GAMESIDE_SESSION_ID={}", status["session_id"].as_str().unwrap()),
    ] {
        assert!(said(&lines, &wanted), "{wanted:?} is missing:\n{all}");
    }
    assert!(!said(&lines, "arg="), "an argument that renders to nothing is dropped:\n{all}");
    assert!(
        !all.contains("GAMESIDE_CLIENT_SECRET") && !all.contains(&service.secret()),
        "no credential of ours:\n{all}"
    );
    let file = std::fs::read_to_string(agent.dir().join("game/startup.json")).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(file["startup_params"]["map"], "harbour", "{file}");
}

#[test]
fn connection_strings_follow_their_format_with_brackets_for_ipv6_and_no_invented_public_address() {
    let world = World::new();
    let service = Service::start(&world);
    let addresses =
        "[addresses]\npublic = \"2001:db8::7\"\nprivate = \"10.1.2.3\"\npublic_format = \"unreal://{host}:{port}\"\n";
    let agent = hooked(&world, &service, &format!("{PATIENT}{addresses}"));
    let session = allocate(&agent, "");
    let status = agent.wait_join_status("joinable");
    let port = &status["ports"]["game"];
    assert_eq!(status["public_conn_str"], format!("unreal://[2001:db8::7]:{port}"));
    assert_eq!(status["private_conn_str"], format!("10.1.2.3:{port}"));
    let shown = service.wait_join_status(&session, "joinable");
    let params = &shown["instance"]["join_params"];
    assert_eq!(params["public_conn_str"], status["public_conn_str"]);
    assert_eq!(params["private_conn_str"], status["private_conn_str"]);
}

#[test]
fn the_three_maps_and_the_join_token_arrive_where_they_belong() {
    let world = World::new();
    let service = Service::start(&world);
    let data = "[custom_data]\ninstance = { rack = \"7\" }\njoin_params = { secret = \"tea\" }\nbrowser = { ranked = \"yes\" }\n";
    let mut agent = Agent::new(&world, "server", ["--config"]);
    let file = world
        .file("server.toml", &format!("{}{HOOK}{PATIENT}{data}{}", service.agent_config(), echo("\"{{join_token}}\"")));
    agent.arg(file).env("GAMESIDE_SESSION__JOIN_TOKEN", "true").start();
    agent.wait_phase("idle");
    let session = allocate(&agent, "");
    agent.wait_join_status("joinable");
    let shown = service.wait_join_status(&session, "joinable");
    let instance = &shown["instance"];
    assert_eq!(instance["custom_data"]["rack"], "7");
    assert_eq!(instance["join_params"]["custom_data"]["secret"], "tea");
    assert!(instance["custom_data"]["secret"].is_null(), "each in its own");
    let token = instance["join_params"]["custom_data"].as_object().unwrap();
    let given = log(&agent).iter().find_map(|line| line.split("arg=").nth(1).map(str::to_owned)).unwrap();
    assert!(given.len() >= 16 && token.values().any(|value| *value == given.as_str()), "{given}: {token:?}");
    service.wait(&session, "its browser entry", |session| session["browser"].to_string().contains("ranked"));
}

#[test]
fn a_template_error_or_a_missing_map_is_refused_before_anything_is_spawned() {
    let world = World::new();
    let service = Service::start(&world);
    let agent = hooked(&world, &service, &format!("{PATIENT}{}", echo("\"{{custom.colour}}\"")));
    let answer = agent.call("POST", "/v1/allocation", Some(&allocation(""))).unwrap();
    assert_eq!((answer.status, &answer.body["error"]), (422, &json!("launch")), "{}", answer.text);
    assert!(answer.text.contains("colour"), "it says what is undefined: {}", answer.text);
    assert!(!agent.kinds().iter().any(|kind| kind == "starting"), "{:?}", agent.kinds());

    let agent = world.agent("mapless", &format!("{}{HOOK}{PATIENT}{}", service.agent_config(), echo("\"{{map}}\"")));
    agent.wait_phase("idle");
    let nothing = json!({"allocation_id": uuid::Uuid::new_v4().to_string()});
    let answer = agent.call("POST", "/v1/allocation", Some(&nothing)).unwrap();
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(answer.text.contains("map"), "it says that the map is missing: {}", answer.text);
    assert!(!agent.kinds().iter().any(|kind| kind == "starting"), "{:?}", agent.kinds());

    // What can be known without an allocation is known before the agent runs.
    let file = world.file("broken.toml", "[game]\ncommand = [\"./server\", \"{{nonsense}}\", \"{{ports.query}}\"]\n");
    let output = world.ask(["check", "--config", file.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("nonsense") && text.contains("query"), "both errors at once: {text}");
}

#[test]
fn a_port_that_somebody_else_has_bound_meanwhile_is_given_up_for_another() {
    let world = World::new();
    let service = Service::start(&world);
    let agent = hooked(&world, &service, PATIENT);
    let reserved = agent.status()["ports"]["game"].clone();
    let port = u16::try_from(reserved.as_u64().unwrap()).unwrap();
    let thief = std::net::UdpSocket::bind((std::net::Ipv4Addr::UNSPECIFIED, port)).unwrap();

    allocate(&agent, "");
    let status = agent.wait_join_status("joinable");
    assert_ne!(status["ports"]["game"], reserved);
    assert_eq!(status["game"]["restarts"], 1);
    let entry = agent.timeline().into_iter().find(|entry| entry["kind"] == "port_taken").expect("it is told");
    let (text, port) = (entry["text"].as_str().unwrap(), status["ports"]["game"].to_string());
    assert!(text.contains(&reserved.to_string()) && text.ends_with(&format!("the next start gets {port}")), "{text}");
    let _player = Player::joins(&world, &status, "6b6f1a3e-58a5-4f0e-9f5a-3f4f0e1f6a02");
    agent.wait("a player at the new port", |status| status["players"] == 1);
    drop(thief);
}

#[test]
fn agents_who_share_nothing_but_the_network_get_different_ports() {
    // Two users' agents have two runtime directories, as these two worlds have.
    let (one, two) = (World::new(), World::new());
    let service = Service::start(&one);
    let config = format!("{}{PATIENT}{HOOK}", service.agent_config());
    let first = one.agent("first", &config);
    let taken = first.wait_phase("idle")["ports"]["game"].as_u64().unwrap();
    let file = two.file("second.toml", &config);
    let mut second = Agent::new(&two, "second", ["--config", file.to_str().unwrap()]);
    second.env("GAMESIDE_GAME__PORTS__GAME__RANGE", &one.game_ports());
    second.start();
    assert_eq!(second.wait_phase("idle")["ports"]["game"], taken + 1, "the next of the same range");
}

#[test]
fn a_ready_line_printed_while_no_agent_was_there_is_found_by_the_next() {
    let world = World::new();
    let service = Service::start(&world);
    let go = world.path().join("go");
    let script = format!("while ! [ -e {} ]; do sleep 0.05; done; echo up and ready; exec sleep 1000", go.display());
    let game = format!(
        "[game]\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\n[game.readiness]\nby = \"log\"\npattern = \"ready$\"\n"
    );
    let mut agent = world.agent("one", &format!("{}{PATIENT}{game}", service.agent_config()));
    let before = agent.wait("a game that loads", |status| status["join_status"] == "pending");
    agent.wait("its process", |status| status["game"]["pid"].is_u64());
    agent.kill();
    std::fs::write(&go, "").unwrap();
    while !said(&log(&agent), "up and ready") {
        agent.pause();
    }
    agent.start();
    let after = agent.wait_join_status("joinable");
    assert_eq!((&before["session_id"], &after["game"]["restarts"]), (&after["session_id"], &0.into()));
}
