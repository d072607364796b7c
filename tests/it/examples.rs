//! The example configurations as `gameside init --for` writes them, from the start to the end, with
//! another program in the game's place.
//!
//! | example | in the game's place |
//! |---|---|
//! | `unity.toml` | the practice game, which speaks the same API |
//! | `unreal.toml` | the practice game without its SDK; what the engine's plugin writes, the test writes |
//! | `playfab.toml` | a shell, and the client that has each flavour's habits |
//! | `source.toml` | a shell, and at its port a stand-in for queries and remote console, in the form that Valve documents |
//! | `minecraft.toml` | a shell that prints the server's lines as they are known and ends at its `stop`; and, asked instead of read, a server that speaks the game's protocol, by PyPI's `quarry` |
//!
//! So ports, arguments, patterns, queries and quit commands are the examples' own; the true servers
//! are nothing that a machine can install by itself. [`crate::openarena`] runs one that is, and
//! [`crate::agones`] the example that is left.

use crate::support::{
    agent::Agent,
    component,
    gsdk::{CPP, Sdk},
    rcon::{self, Dialect},
    service::Service,
    shell::Shell,
    world::{GAMESIDE, World},
};
use serde_json::{Value, json};
use std::{
    fs::File,
    io::Write as _,
    net::{TcpListener, UdpSocket},
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// The example's agent, not started, with this in the place of its game's program; it gets the arguments of the example.
fn example<'w>(world: &'w World, service: &Service<'_>, name: &str, program: &[&str]) -> Agent<'w> {
    world.told(["init", "--for", name]);
    let file = format!("{name}.toml");
    let config: toml::Table = std::fs::read_to_string(world.path().join(&file)).unwrap().parse().unwrap();
    let command = config["game"]["command"].as_array().unwrap();
    let arguments = command[1..].iter().map(|word| word.as_str().unwrap());
    let words = ["--config", &file, "--"].into_iter().chain(program.iter().copied()).chain(arguments);
    let mut agent = Agent::new(world, "server", words);
    for (key, value) in service.agent_env() {
        agent.env(&key, &value);
    }
    agent.env("GAMESIDE_GAME__DIR", world.path().to_str().unwrap());
    agent
}

/// Notes its arguments in a file and becomes this.
fn noting(then: &str) -> [String; 4] {
    ["/bin/sh", "-c", &format!("printf '%s\\n' \"$@\" > arguments.new; mv arguments.new arguments; {then}"), "game"]
        .map(str::to_owned)
}

fn arguments(world: &World) -> Vec<String> {
    let text = std::fs::read_to_string(world.path().join("arguments")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn words(of: &[String]) -> Vec<&str> {
    of.iter().map(String::as_str).collect()
}

fn pid(status: &Value) -> u32 {
    u32::try_from(status["game"]["pid"].as_u64().unwrap()).unwrap()
}

fn session_of(status: &Value) -> &str {
    status["session_id"].as_str().unwrap()
}

/// Stops it; the game must have ended as it should by itself.
fn stops_in_order(agent: &mut Agent<'_>, service: &Service<'_>, session: &str) {
    agent.stop();
    service.wait_closed(session);
    let end: Value = serde_json::from_slice(&agent.world.ask(["status", "server", "--json"]).stdout).unwrap();
    assert_eq!(end["last_end"]["exit"]["status"], json!({"how": "exited", "code": 0}));
    assert_eq!(end["last_end"]["reported"], true);
}

#[test]
fn the_unity_example_is_warm_joinable_and_stopped_with_a_game_that_speaks_its_api() {
    let world = World::new();
    let service = Service::start(&world);
    // The practice game has other options than Unity's player, so it gets none.
    let run = noting(&format!("exec {GAMESIDE} practice"));
    let mut agent = example(&world, &service, "unity", &words(&run));
    agent.start();
    let status = agent.wait_join_status("joinable");
    let session = session_of(&status).to_owned();
    service.wait_join_status(&session, "joinable");
    assert_eq!(status["game"]["speaks"], json!(["native"]));
    assert!(world.told(["status", "server"]).contains("speaks native"), "which SDK it uses is shown");
    assert_eq!(arguments(&world)[4..], ["-port".to_owned(), status["ports"]["game"].to_string()]);
    stops_in_order(&mut agent, &service, &session);
}

#[test]
fn the_unreal_example_gives_the_travel_url_and_leaves_the_instance_to_the_game() {
    let world = World::new();
    let service = Service::start(&world);
    let run = noting(&format!("exec {GAMESIDE} practice --no-sdk"));
    let mut agent = example(&world, &service, "unreal", &words(&run));
    agent.start();
    let status = agent.wait("a bound port", |status| status["game"]["ready"] == true);
    let session = session_of(&status).to_owned();
    let url = format!("/Game/Maps/Harbour?MaxPlayers=16?RHSessionId={session}");
    assert_eq!(arguments(&world)[..2], [url, format!("-port={}", status["ports"]["game"])]);
    assert_ne!(service.session(&session)["instance"]["join_status"], "joinable", "that is the plugin's to say");
    service.call("PATCH", &format!("/v1/session/{session}/instance"), Some(&json!({"join_status": "joinable"}))).ok();
    agent.stop();
    service.wait_closed(&session);
}

#[test]
fn the_playfab_example_stands_by_is_active_and_terminates_with_a_client_of_that_sdk() {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell::new(&world, "end");
    let mut agent = example(&world, &service, "playfab", &words(&shell.words()));
    // This harness gives every agent a port "game" besides.
    agent
        .env("GAMESIDE_ADDRESSES__PORT", "game_port")
        .env("GAMESIDE_GAME__PORTS__GAME_PORT__RANGE", &world.game_ports());
    agent.start();
    let up = agent.wait("the game's process", |status| status["game"]["pid"].is_u64());
    let sdk = Sdk::start(&CPP, pid(&up));
    assert_eq!(sdk.config["gamePorts"]["game_port"], up["ports"]["game_port"].to_string());
    assert_eq!(sdk.config["titleId"], "F00D5");
    assert_eq!(sdk.config["buildMetadata"], json!({"flavour": "deathmatch"}));
    sdk.beat("Initializing", &[]);
    let active = sdk.until("Active", "StandingBy", &[]);
    assert_eq!(active["sessionConfig"]["metadata"]["map"], "harbour");
    sdk.beat("Active", &[]);
    let status = agent.wait_join_status("joinable");
    let session = session_of(&status).to_owned();
    service.wait_join_status(&session, "joinable");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sdk.until("Terminate", "Active", &[]);
            shell.ends("exit 0");
        });
        stops_in_order(&mut agent, &service, &session);
    });
}

/// A minecraft server's lines come through a pipe, from the test.
const MINECRAFT: &str = "trap '' TERM; cat lines & while read -r line; do [ \"$line\" = stop ] && break; done; \
    echo '[12:00:09] [Server thread/INFO]: Stopping the server'; kill -9 $!; exit 0";

#[test]
fn the_minecraft_example_reads_the_servers_lines_and_stops_it_on_its_console() {
    let world = World::new();
    let service = Service::start(&world);
    let lines = world.path().join("lines");
    rustix::fs::mknodat(rustix::fs::CWD, &lines, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let run = noting(MINECRAFT);
    let mut agent = example(&world, &service, "minecraft", &words(&run));
    agent.start();
    let mut log = File::options().write(true).open(lines).unwrap();
    let mut prints = |text: &str| writeln!(log, "[12:00:00] [Server thread/INFO]: {text}").unwrap();
    prints("Starting minecraft server version 1.21.4");
    prints("Preparing spawn area: 83%");
    let starting = agent.wait("its start", |status| status["phase"] == "starting" && status["game"]["pid"].is_u64());
    assert_eq!(starting["game"]["ready"], false);
    prints("Done (3.141s)! For help, type \"help\"");
    let status = agent.wait_join_status("joinable");
    let session = session_of(&status).to_owned();
    service.wait_join_status(&session, "joinable");
    let given = arguments(&world);
    assert_eq!(given[given.len() - 4..].join(" "), format!("--port {} --world world", status["ports"]["game"]));
    prints("Pia[/192.0.2.7:50312] logged in with entity id 41 at (0.5, 64.0, 0.5)");
    prints("Pia joined the game");
    prints("<Pia> nobody joined the game with me");
    // What a player writes is no line of the server's.
    for chat in ["<Pia> INFO]: Pia left the game", "<Pia> [12:00:00] [Server thread/INFO]: Eve joined the game"] {
        prints(chat);
    }
    let one = agent.wait("the player", |status| status["players"] == 1);
    assert_eq!(one["players_known"][0]["name"], "Pia");
    prints("Olu joined the game");
    agent.wait("both players, after the chat", |status| status["players"] == 2);
    prints("Olu left the game");
    agent.wait("one player", |status| status["players"] == 1);
    prints("Pia left the game");
    agent.wait("nobody", |status| status["players"] == 0);
    stops_in_order(&mut agent, &service, &session);
}

#[test]
fn the_minecraft_example_with_its_query_and_a_server_that_speaks_the_protocol() {
    let Some(python) = component::python("quarry") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/minecraft.py");
    let world = World::new();
    let service = Service::start(&world);
    let server = format!("exec '{}' '{}' server $GAMESIDE_PORT_GAME 7", python.display(), script.display());
    let run = noting(&server);
    let mut agent = example(&world, &service, "minecraft", &words(&run));
    agent.env("GAMESIDE_GAME__READINESS__BY", "probe").env("GAMESIDE_PROBE__PROTOCOL", "minecraft");
    agent.env("GAMESIDE_PROBE__INTERVAL", "500ms").start();
    let status = agent.wait_join_status("joinable");
    let session = session_of(&status).to_owned();
    service.wait_join_status(&session, "joinable");
    assert_eq!((&status["game"]["speaks"], &status["max_players"]), (&json!(["probe"]), &json!(7)));
    let port = status["ports"]["game"].to_string();
    let mut player = Command::new(python)
        .arg(script)
        .args(["player", &port, "Pia"])
        .stdout(world.log("player.log"))
        .spawn()
        .unwrap();
    agent.wait("the player", |status| status["players"] == 1);
    player.kill().unwrap();
    player.wait().unwrap();
    agent.wait("nobody", |status| status["players"] == 0);
    stops_in_order(&mut agent, &service, &session);
}

const PASSWORD: &str = "open sesame";

/// Answers queries as Source servers do: information at once, players to whoever has been challenged.
fn answers_queries(socket: &UdpSocket, players: &Mutex<Vec<&str>>, over: &AtomicBool) {
    const CHALLENGE: [u8; 4] = [0x4b, 0xa1, 0xd5, 0x22];
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut packet = [0; 1400];
    while !over.load(Ordering::Relaxed) {
        let Ok((length, asker)) = socket.recv_from(&mut packet) else { continue };
        let players = players.lock().unwrap().clone();
        let count = u8::try_from(players.len()).unwrap();
        let answer = match &packet[..length] {
            [0xff, 0xff, 0xff, 0xff, b'T', b'S', ..] => {
                let texts = b"I\x11Dust\0cp_dustbowl\0tf\0Team Fortress\0".as_slice();
                [texts, &440u16.to_le_bytes(), &[count, 24, 0], b"dl\x00\x01", b"8622567\0\0"].concat()
            }
            [0xff, 0xff, 0xff, 0xff, b'U', proof @ ..] if *proof == CHALLENGE => {
                let each = players.iter().flat_map(|name| [&[0], name.as_bytes(), &[0; 9]].concat());
                [b'D', count].into_iter().chain(each).collect()
            }
            [0xff, 0xff, 0xff, 0xff, b'U', ..] => [b"A".as_slice(), &CHALLENGE].concat(),
            _ => continue,
        };
        socket.send_to(&[[0xff; 4].as_slice(), &answer].concat(), asker).unwrap();
    }
}

#[test]
fn the_source_example_is_ready_by_query_and_quits_by_remote_console_with_a_stand_in_for_both() {
    let world = World::new();
    let service = Service::start(&world);
    let secret = world.file("rcon-password", &format!("{PASSWORD}\n"));
    std::fs::set_permissions(secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let shell = Shell::new(&world, "end");
    let run = noting(&shell.words()[2]);
    let mut agent = example(&world, &service, "source", &words(&run));
    agent.start();
    let up = agent.wait("the game's process", |status| status["game"]["pid"].is_u64());
    let port = u16::try_from(up["ports"]["game"].as_u64().unwrap()).unwrap();
    assert_ne!(up["game"]["ready"], true);
    let queries = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    let consoles = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let (players, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| answers_queries(&queries, &players, &over));
        let status = agent.wait_join_status("joinable");
        let session = session_of(&status).to_owned();
        service.wait_join_status(&session, "joinable");
        assert_eq!(status["max_players"], 24);
        let given = arguments(&world);
        assert_eq!(given[3..5], ["-port".to_owned(), port.to_string()]);
        assert_eq!(given[given.len() - 2..].join(" "), "+map cp_dustbowl");
        players.lock().unwrap().push("Heavy");
        let one = agent.wait("the player", |status| status["players"] == 1);
        assert_eq!(one["players_known"][0]["name"], "Heavy");
        players.lock().unwrap().clear();
        agent.wait("nobody", |status| status["players"] == 0);
        let console = scope.spawn(|| {
            let said = rcon::console(&consoles, PASSWORD, Dialect::Source);
            shell.ends("exit 0");
            said
        });
        stops_in_order(&mut agent, &service, &session);
        assert_eq!(console.join().unwrap(), "quit");
        over.store(true, Ordering::Relaxed);
    });
}
