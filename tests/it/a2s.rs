//! Steam's server queries, answered by the agent in the practice game's stead, and asked by two
//! clients of other people: `gamedig`, and Python's `python-a2s`.

use crate::support::{agent::Agent, component, proc, world::World};
use gameside::{
    internals::probes::query::{self, Answer},
    model::probe::Bots,
};
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, UdpSocket},
    process::Command,
    time::Duration,
};

const CONFIG: &str = "[session.startup]\nmap = 'harbour'\nmode = 'duel'\n[guards]\nno_show_timeout = '1h'\nempty_timeout = '1h'\n\
[custom_data.browser]\nleague = 'gold'\n[addresses]\nport = 'game'\n[game]\nversion = '1.4.2'\n\
[a2s]\nenabled = true\nname = 'Arena 1'\ngame = 'Practice'\nfolder = 'practice'\nkeywords = 'eu,fast'\nhost = '127.0.0.1'\n";

/// A served query port, with a player there.
fn served(world: &World) -> (Agent<'_>, SocketAddr) {
    // Of this test alone: free when it was asked for, and reserved by the agent from then on.
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let agent = world.agent("arena", &format!("{CONFIG}[game.ports.query]\nrange = '{free}'\n"));
    let status = agent.wait_join_status("joinable");
    assert_eq!(status["ports"]["query"], free);
    (agent, ([127, 0, 0, 1], free).into())
}

fn ask(at: SocketAddr) -> Answer {
    let how = query::find("valve").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(query::ask(&how, at, Duration::from_secs(60), Bots::Count)).unwrap()
}

fn joins(world: &World, status: &Value) -> std::process::Child {
    let (address, log) = (format!("127.0.0.1:{}", status["ports"]["game"]), world.log("players.log"));
    let uuid = uuid::Uuid::new_v4().to_string();
    let mut command = world.gameside(["practice", "join", &address, "--uuid", &uuid, "--name", "ada"]);
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

#[test]
fn gamedig_is_told_who_plays_also_while_the_agent_restarts() {
    let world = World::new();
    let (mut agent, at) = served(&world);
    let empty = ask(at);
    assert_eq!((empty.map.as_deref(), empty.count), (Some("harbour"), 0));
    let mut player = joins(&world, &agent.status());
    let one = agent.wait("the player", |status| status["players"] == 1);
    let told = ask(at);
    assert_eq!((told.count, told.names), (1, Some(vec!["ada".to_owned()])), "{one}");
    agent.kill();
    agent.start();
    assert_eq!(ask(at).map.as_deref(), Some("harbour"), "the socket was held, and the question waited");
    proc::signal(player.id(), 2);
    player.wait().unwrap();
}

#[test]
fn python_a2s_reads_info_players_and_rules() {
    let Some(python) = component::python("a2s") else { return };
    let world = World::new();
    let (agent, at) = served(&world);
    let mut player = joins(&world, &agent.status());
    agent.wait("the player", |status| status["players"] == 1);
    let script = "import a2s, json, sys\n\
        at = ('127.0.0.1', int(sys.argv[1]))\n\
        info = a2s.info(at, timeout=60)\n\
        print(json.dumps({'name': info.server_name, 'map': info.map_name, 'game': info.game, 'folder': info.folder,\n\
            'players': info.player_count, 'version': info.version, 'port': info.port, 'keywords': info.keywords,\n\
            'type': info.server_type, 'platform': info.platform, 'who': [p.name for p in a2s.players(at, timeout=60)],\n\
            'rules': a2s.rules(at, timeout=60)}))\n";
    let output = Command::new(python).args(["-c", script, &at.port().to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({"name": "Arena 1", "map": "harbour", "game": "Practice", "folder": "practice", "players": 1,
        "version": "1.4.2", "port": agent.status()["ports"]["game"], "keywords": "eu,fast", "type": "d", "platform": "l",
        "who": ["ada"], "rules": {"joinable": "1", "league": "gold", "mode": "duel", "version": "1.4.2"}});
    assert_eq!(told, expected);
    proc::signal(player.id(), 2);
    player.wait().unwrap();
}

#[test]
fn switched_off_nobody_answers_and_a_port_in_use_is_passed_over_or_named() {
    let world = World::new();
    let taken = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let query = |range: &str| format!("[game.ports.query]\nrange = '{range}'\n");
    let off = CONFIG.replace("enabled = true", "enabled = false");
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let agent = world.agent("off", &format!("{off}{}", query(&free.to_string())));
    agent.wait_join_status("joinable");
    assert!(UdpSocket::bind(("127.0.0.1", free)).is_ok(), "the query port is left to the game");

    let last = port.saturating_add(40);
    let moved = world.agent("moved", &format!("{CONFIG}{}", query(&format!("{port}-{last}"))));
    let at = u16::try_from(moved.wait_join_status("joinable")["ports"]["query"].as_u64().unwrap()).unwrap();
    assert_ne!(at, port);
    assert_eq!(ask(([127, 0, 0, 1], at).into()).map.as_deref(), Some("harbour"));

    let mut refused = world.agent("refused", &format!("{CONFIG}{}", query(&port.to_string())));
    assert!(!refused.ended().success());
    let log = std::fs::read_to_string(world.path().join("logs/refused.log")).unwrap();
    assert!(log.contains("no free port for \"query\"") && log.contains(&port.to_string()), "{log}");
}
