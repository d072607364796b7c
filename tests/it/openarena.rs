//! A real game server that knows nothing of us: OpenArena, by the example configuration as it is shipped.

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

#[test]
fn openarena_is_started_with_the_sessions_map_found_ready_watched_and_stopped() {
    if component::program("openarena-server", "openarena-server").is_none() {
        return;
    }
    let world = World::new();
    let service = Service::start(&world);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/openarena.toml");
    let mut agent = Agent::new(&world, "arena", ["--config", example.to_str().unwrap()]);
    for (key, value) in service.agent_env() {
        agent.env(&key, &value);
    }
    agent.env("GAMESIDE_ALLOCATION__PROVIDER", "sic").env("GAMESIDE_PROBE__INTERVAL", "2s").start();
    let idle = agent.wait("registration", |status| status["agent"]["registered"] == true);
    assert_eq!(idle["game"]["pid"], Value::Null, "it is started on allocation");

    let session = service.make_session(&json!({}));
    let params = json!({"map": "oa_dm2", "mode": "0", "misc_params": format!("+set rconPassword {PASSWORD}")});
    service.request_instance(&session, &params);
    let ready = agent.wait_join_status("joinable");
    assert_eq!(ready["session_id"], session);
    assert_eq!(ready["map"], "oa_dm2");
    assert!(ready["game"]["speaks"].as_array().unwrap().contains(&json!("probe")), "found ready by its probe");
    let game = u32::try_from(ready["game"]["pid"].as_u64().unwrap()).unwrap();
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
    let end = world.ask(["status", "arena", "--json"]);
    let end: Value = serde_json::from_slice(&end.stdout).unwrap();
    assert_eq!(end["last_end"]["exit"]["status"], json!({"how": "exited", "code": 0}), "stopped cleanly: {said}");
}

/// The first block of TOML of a page.
fn block(page: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[test]
fn openarena_is_reported_by_its_log_alone_players_map_and_the_end_of_the_match() {
    if component::program("openarena-server", "openarena-server").is_none() {
        return;
    }
    let world = World::new();
    let service = Service::start(&world);
    // The example with its probe taken out, and what the page says instead.
    let example = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/openarena.toml")).unwrap();
    let (before, probe) = example.split_once("# The server answers about one query a second.\n[probe]").unwrap();
    let (_, behind) = probe.split_once("[session.startup]").unwrap();
    let before = before.replace("[game.readiness]\nby = \"probe\"\ntimeout = \"2m\"\n", "");
    let config = format!(
        "{}{before}{}[drain]\ndeadline = '1s'\n[session.startup]{behind}",
        service.agent_config(),
        block("docs/openarena.md")
    );
    let config = config.replace("[game]\n", "[allocation]\nprovider = 'sic'\n[game]\n");
    let agent = world.agent("arena", &config);
    agent.wait("registration", |status| status["agent"]["registered"] == true);

    let session = service.make_session(&json!({}));
    let misc = format!("+set rconPassword {PASSWORD}");
    service.request_instance(&session, &json!({"map": "oa_dm2", "mode": "0", "misc_params": misc}));
    let ready = agent.wait_join_status("joinable");
    assert_eq!((&ready["map"], &ready["game"]["speaks"]), (&json!("oa_dm2"), &json!(["log"])));

    console(&ready["ports"]["game"], "addbot sarge 3");
    let one = agent.wait("a player", |status| status["players"] == 1);
    assert_eq!(one["players_known"][0]["name"], "Sarge", "{one}");
    console(&ready["ports"]["game"], "kick Sarge");
    agent.wait("nobody", |status| status["players"] == 0);

    console(&ready["ports"]["game"], "map oa_dm1");
    agent.wait("the other map", |status| status["map"] == "oa_dm1");
    service.wait(&session, "the other map", |session| session["instance"]["custom_data"]["map"] == "oa_dm1");

    // A minute of the game's own time has passed when this is heard, or soon will have.
    console(&ready["ports"]["game"], "timelimit 1");
    console(&ready["ports"]["game"], "addbot sarge 3");
    service.wait_closed(&session);
    let end = agent.wait("the end", |status| status["last_end"].is_object());
    assert_eq!(end["last_end"]["reason"], "the match is over");
}
