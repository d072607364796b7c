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
