//! A real game server that knows nothing of us: OpenArena, by the example configuration as it is
//! shipped, in each of its two ways.

use crate::support::{agent::Agent, component, proc, service::Service, world::World};
use serde_json::{Value, json};
use std::{net::UdpSocket, path::Path, time::Duration};

const PASSWORD: &str = "sesame";

/// The server's own remote console: how somebody else makes players come and go.
fn console(port: &Value, command: &str) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let packet = [b"\xff\xff\xff\xff".as_slice(), format!("rcon {PASSWORD} {command}").as_bytes()].concat();
    // It answers one packet a second beyond a burst of ten, which our own probe may have used up.
    let answered = (0..20).any(|_| {
        socket.send_to(&packet, ("127.0.0.1", u16::try_from(port.as_u64().unwrap()).unwrap())).unwrap();
        socket.recv(&mut [0; 4096]).is_ok()
    });
    assert!(answered, "the server doesn't answer `{command}`");
}

/// The same, with what the command prints in the server's log instead of the answer: it is laid down first, and carried out once.
fn console_logged(port: &Value, command: &str) {
    console(port, &format!("set typed {command}; set typed echo"));
    console(port, "vstr typed");
}

fn example() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/openarena.toml")).unwrap()
}

/// The example as its last lines say: the sections about the log in the place of those about the probe.
fn by_the_log() -> String {
    let text = example();
    let lines = text.lines().skip_while(|line| *line != "# [game.readiness]");
    let lines: Vec<_> = lines.map(|line| line.trim_start_matches('#').trim_start()).collect();
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openarena.md")).unwrap();
    assert!(page.contains(&lines.join("\n")), "the page shows what the example has");
    let log: toml::Table = lines.join("\n").parse().unwrap();
    let mut config: toml::Table = text.parse().unwrap();
    config.remove("probe").unwrap();
    config["game"]["readiness"] = log["game"]["readiness"].clone();
    config.insert("log_patterns".to_owned(), log["log_patterns"].clone());
    config.to_string()
}

/// The example takes nothing raw; this lets the password of the test's remote console through, and nothing else.
fn with_console(config: &str) -> String {
    let mut config: toml::Table = config.parse().unwrap();
    let game = config["game"].as_table_mut().unwrap();
    game["command"].as_array_mut().unwrap().insert(1, "{{misc_args}}".into());
    let allow = toml::Table::from_iter([("misc_args".to_owned(), format!(r"\+set rconPassword {PASSWORD}").into())]);
    game.insert("allow".to_owned(), allow.into());
    config.to_string()
}

fn arena<'w>(world: &'w World, service: &Service<'_>, config: &str) -> Agent<'w> {
    let file = world.file("openarena.toml", &with_console(config));
    let mut agent = Agent::new(world, "arena", ["--config", file.to_str().unwrap()]);
    for (key, value) in service.agent_env() {
        agent.env(&key, &value);
    }
    agent.env("GAMESIDE_ALLOCATION__PROVIDER", "sic").env("GAMESIDE_GUARDS__EMPTY_TIMEOUT", "1h").start();
    let idle = agent.wait("registration", |status| status["agent"]["registered"] == true);
    assert_eq!(idle["game"]["pid"], Value::Null, "it is started on allocation");
    agent
}

/// A session for which the server was started.
fn session(service: &Service<'_>) -> String {
    let session = service.make_session(&json!({}));
    let params = json!({"map": "oa_dm2", "mode": "0", "misc_params": format!("+set rconPassword {PASSWORD}")});
    service.request_instance(&session, &params);
    session
}

fn game_of(status: &Value) -> u32 {
    u32::try_from(status["game"]["pid"].as_u64().unwrap()).unwrap()
}

fn last_end(world: &World) -> Value {
    let end: Value = serde_json::from_slice(&world.ask(["status", "arena", "--json"]).stdout).unwrap();
    end["last_end"].clone()
}

#[test]
fn openarena_is_started_with_the_sessions_map_found_ready_watched_and_stopped() {
    if component::program("openarena-server", "openarena-server").is_none() {
        return;
    }
    let world = World::new();
    let service = Service::start(&world);
    let mut agent = arena(&world, &service, &example());
    let session = session(&service);
    let ready = agent.wait_join_status("joinable");
    assert_eq!(ready["session_id"], session);
    assert_eq!(ready["map"], "oa_dm2");
    assert!(ready["game"]["speaks"].as_array().unwrap().contains(&json!("probe")), "found ready by its probe");
    let game = game_of(&ready);
    let shown = service.wait_join_status(&session, "joinable");
    let shown_at = &shown["instance"]["join_params"]["private_conn_str"];
    assert!(shown_at.as_str().unwrap().ends_with(&format!(":{}", ready["ports"]["game"])), "{shown_at}");

    console(&ready["ports"]["game"], "addbot sarge 3");
    let one = agent.wait("a player", |status| status["players"] == 1);
    assert_eq!(one["players_known"][0]["name"], "Sarge", "{one}");
    console(&ready["ports"]["game"], "kick Sarge");
    agent.wait("nobody", |status| status["players"] == 0);

    let said = agent.stop();
    assert!(!proc::alive(game));
    service.wait_closed(&session);
    assert_eq!(last_end(&world)["exit"]["status"], json!({"how": "exited", "code": 0}), "stopped cleanly: {said}");
}

#[test]
fn openarena_is_reported_whole_by_its_log_alone() {
    if component::program("openarena-server", "openarena-server").is_none() {
        return;
    }
    let world = World::new();
    let service = Service::start(&world);
    let agent = arena(&world, &service, &by_the_log());
    let session = session(&service);
    let ready = agent.wait_join_status("joinable");
    assert_eq!(ready["game"]["speaks"], json!(["log"]), "nothing is asked");
    assert_eq!((&ready["map"], &ready["instance_health"]), (&json!("oa_dm2"), &json!("healthy")));
    let shown = service.wait_join_status(&session, "joinable");
    assert_eq!(shown["instance"]["custom_data"].get("map"), None, "it plays what it was started with: {shown}");
    service.wait(&session, "its health", |session| session["instance"]["instance_health"] == "healthy");
    let port = &ready["ports"]["game"];

    console_logged(port, "addbot sarge 3");
    let one = agent.wait("a player", |status| status["players"] == 1);
    assert_eq!(one["players_known"][0]["name"], "Sarge", "{one}");
    // What is said is no line of the server's.
    for chat in ["say ClientDisconnect: 0", "say Exit: Timelimit hit."] {
        console_logged(port, chat);
    }
    console_logged(port, "addbot major 3");
    agent.wait("two players", |status| status["players"] == 2);
    console_logged(port, "kick Sarge");
    let one = agent.wait("one player", |status| status["players"] == 1);
    assert_eq!(one["players_known"][0]["name"], "Major", "{one}");
    console_logged(port, "kick Major");
    agent.wait("nobody", |status| status["players"] == 0);
    let kinds = agent.kinds();
    let count = |kind: &str| kinds.iter().filter(|other| *other == kind).count();
    assert_eq!((count("player_joined"), count("player_left")), (2, 2), "{kinds:?}");

    console_logged(port, "map oa_dm1");
    agent.wait("the other map", |status| status["map"] == "oa_dm1");
    let shown =
        service.wait(&session, "the other map", |session| session["instance"]["custom_data"]["map"] == "oa_dm1");
    assert_eq!(shown["instance"]["join_status"], "joinable");

    // A minute after the map's start the match is over; nobody plays, so the server is given back.
    console_logged(port, "timelimit 1");
    service.wait_closed(&session);
    let free = agent.wait("the next match may come", |status| {
        status["agent"]["registered"] == true && status["last_end"]["reported"] == true
    });
    assert_eq!(free["last_end"]["reason"], "the match is over");
    assert_eq!(free["last_end"]["exit"]["status"], json!({"how": "exited", "code": 0}));
    assert!(!proc::alive(game_of(&ready)));
}
