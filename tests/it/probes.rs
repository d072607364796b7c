//! Games that speak nothing, each kind of probe asking them under a real agent: from outside, and
//! from the game's own context.

use crate::support::{
    agent::Agent,
    component,
    world::{GAMESIDE, World},
};
use serde_json::{Value, json};

const PROBE: &str = "interval = '200ms'\ntimeout = '60s'\n";

fn probed<'w>(world: &'w World, command: &[&str], transport: &str, probe: &str) -> Agent<'w> {
    let dir = world.path();
    world.agent(
        "server",
        &format!(
            "[session.startup]\nmap = 'harbour'\n[guards]\nno_show_timeout = '1h'\nempty_timeout = '1h'\n\
             [game]\ndir = {dir:?}\ncommand = {command:?}\n[game.ports.game]\nprotocol = '{transport}'\n\
             [game.readiness]\nby = 'probe'\n[health]\nfall = 1\n[probe]\n{PROBE}{probe}"
        ),
    )
}

fn is_well(status: &Value) -> bool {
    status["join_status"] == "joinable" && status["instance_health"] == "healthy"
}

#[test]
fn a_port_or_a_page_that_answers_proves_the_game_ready() {
    let Some(python) = component::program("python3", "python3") else { return };
    let pages = [python.to_str().unwrap(), "-m", "http.server", "--bind", "127.0.0.1", "{{ports.game}}"];
    let rows = [
        ("kind = 'udp'\n", "udp", &[GAMESIDE, "practice", "--no-sdk"][..]),
        ("kind = 'tcp'\n", "tcp", &pages[..]),
        ("kind = 'http'\npath = '/page'\n", "tcp", &pages[..]),
    ];
    for (probe, transport, command) in rows {
        let world = World::new();
        let agent = probed(&world, command, transport, probe);
        if probe.contains("/page") {
            let status = agent.wait("an answer that isn't 2xx", |status| status["game"]["speaks"] == json!(["probe"]));
            assert_eq!(status["game"]["ready"], false, "404 is no proof");
            world.file("page", "here");
        }
        let status = agent.wait("a game that is well", is_well);
        assert_eq!(status["game"]["speaks"], json!(["probe"]), "{probe}");
    }
}

#[test]
fn a_command_is_run_in_the_games_own_context_and_its_failure_is_seen() {
    let world = World::new();
    // Neither directory nor variables are the agent's.
    let check = "kind = 'exec'\ncommand = ['/bin/sh', '-c', 'test -n \"$GAMESIDE_PORT_GAME\" && cat up']\n";
    let agent = probed(&world, &["/bin/sleep", "1000"], "udp", check);
    let status = agent.wait("a check that failed", |status| status["game"]["speaks"] == json!(["probe"]));
    assert_eq!((&status["game"]["ready"], &status["phase"]), (&json!(false), &json!("starting")));
    let up = world.file("up", "up");
    agent.wait("a game that is well", is_well);
    std::fs::remove_file(&up).unwrap();
    let ill = agent.wait("a check that fails", |status| status["instance_health"] != "healthy");
    assert!(ill["health_reasons"].to_string().contains("cat"), "its last words are shown: {ill}");
    std::fs::write(&up, "up").unwrap();
    agent.wait("a game that is well again", is_well);
}
