//! The SDK gateway beside a real agent, keeper and game: what the game sees when one of them ends.
//! The official clients of Agones are in `agones/clients.rs`, each flavour of GSDK in `gsdk.rs`,
//! the keeper's part in `keeper/gateway.rs`, and a random model beside the code.

use crate::support::{
    agent::{Agent, deaths},
    game_api::{GameApi, until},
    gsdk::{CPP, Sdk},
    http, proc,
    service::Service,
    shell::Shell,
    world::{KEEPER, World},
};
use serde_json::{Value, json};

const PATIENT: &str = "[guards]\nno_show_timeout = '1h'\nempty_timeout = '1h'\n[agones]\ngrpc = '127.0.0.1:0'\n\
    http = '127.0.0.1:0'\nhealth.disabled = true\n";

/// A warm game that a shell plays; the test speaks its SDKs.
fn warm<'w>(world: &'w World, service: &Service<'_>, shell: &Shell, more: &str) -> Agent<'w> {
    let game = format!("[allocation]\nprovider = 'hook'\n[game]\nstart = 'at-boot'\ncommand = {:?}\n", shell.words());
    let startup = "[session.startup]\nmap = 'dm1'\n";
    world.agent("server", &format!("{}{startup}{game}{more}{PATIENT}", service.agent_config()))
}

/// The game's side of its APIs, once a gateway serves them.
fn served(agent: &Agent<'_>) -> GameApi {
    let status = agent.wait("a game and its gateway", |status| {
        status["game"]["pid"].is_u64() && status["gateway"]["connected"] == true
    });
    GameApi::of(u32::try_from(status["game"]["pid"].as_u64().unwrap()).unwrap())
}

/// The game says that it is ready and is allocated; the status then.
fn allocated(agent: &Agent<'_>, game: &GameApi) -> Value {
    game.agones("POST", "/ready", &json!({}));
    agent.call("POST", "/v1/allocation", Some(&json!({"allocation_id": "a"}))).unwrap().ok();
    agent.wait_join_status("joinable")
}

fn gateway(status: &Value) -> u32 {
    u32::try_from(status["gateway"]["pid"].as_u64().unwrap()).unwrap()
}

/// Another agent, once it and the gateway know each other.
fn next_agent(agent: &mut Agent<'_>) -> Value {
    agent.start();
    agent.wait("the next agent", |status| {
        status["keeper"]["connected"] == true && status["gateway"]["connected"] == true
    })
}

#[test]
fn nothing_of_the_sdk_breaks_when_agents_die() {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell::new(&world, "end");
    let mut agent = warm(&world, &service, &shell, "");
    let game = served(&agent);
    let gsdk = Sdk::start(&CPP, game.pid);
    gsdk.beat("StandingBy", &[]);
    game.agones("POST", "/ready", &json!({}));
    let mut watch = game.stream(&format!("{}/watch/gameserver", game.agones));
    let mut events = game.stream(&format!("{}/v1/events", game.api));
    let wish = json!({"allocation_id": "a"});
    agent.call("POST", "/v1/allocation", Some(&wish)).unwrap().ok();
    until(&mut events, "event: allocated");
    let before = agent.wait_join_status("joinable");
    for round in 1..deaths() {
        agent.kill();
        // Nobody is there: what needs no agent is answered, what needs one waits for it.
        assert_eq!(gsdk.beat("Active", &["ada"])["operation"], "Continue");
        assert_eq!(game.ask("POST", "/v1/game/heartbeat", &json!({})), 204);
        game.agones("POST", "/health", &json!({}));
        let shown = game.agones("GET", "/gameserver", &Value::Null);
        assert_eq!(shown["status"]["state"], "Allocated");
        let label = json!({"key": "round", "value": round.to_string()});
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| game.agones("PUT", "/metadata/label", &label));
            let status = next_agent(&mut agent);
            assert_eq!((gateway(&status), &status["game"]["pid"]), (gateway(&before), &before["game"]["pid"]));
            waits.join().unwrap();
        });
        until(&mut watch, &format!("\"agones.dev/sdk-round\":\"{round}\""));
    }
    let status = agent.wait("the player that came while nobody was there", |status| status["players"] == 1);
    assert_eq!(status["session_id"], before["session_id"]);
    agent.call("POST", "/v1/drain", Some(&json!({"reason": "patch", "then": "recycle"}))).unwrap().ok();
    let seen = until(&mut events, "event: drain");
    assert!(!seen.concat().contains("event: allocated"), "the allocation was told once: {seen:?}");
}

#[test]
fn a_shutdown_that_no_agent_heard_is_an_orderly_end() {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell::new(&world, "end");
    let mut agent = warm(&world, &service, &shell, "");
    let game = served(&agent);
    let session = allocated(&agent, &game)["session_id"].as_str().unwrap().to_owned();
    agent.kill();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| game.try_ask("POST", "/v1/game/shutdown", &json!({})));
        // It waits for an agent, and the game ends with a code that would be a crash.
        let mut probe = game.stream(&format!("{}/v1/events", game.api));
        until(&mut probe, "event: allocated");
        proc::signal(game.pid, 9);
        drop(asked.join().unwrap());
    });
    agent.start();
    let status = agent.wait("the end", |status| status["last_end"]["reported"] == true);
    assert_eq!(status["last_end"]["session_id"], session.as_str());
    service.wait_closed(&session);
    let said: Vec<_> = agent.timeline().iter().map(Value::to_string).collect();
    assert!(said.iter().any(|entry| entry.contains("the game says that it ends")), "{said:#?}");
    assert!(!said.iter().any(|entry| entry.contains("crash")), "{said:#?}");
}

#[test]
fn a_gateway_that_is_killed_is_started_again_and_ends_no_game() {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell::new(&world, "end");
    let mut agent = warm(&world, &service, &shell, "");
    let game = served(&agent);
    game.agones("PUT", "/metadata/label", &json!({"key": "kept", "value": "yes"}));
    let before = allocated(&agent, &game);
    let mut killed = gateway(&before);
    for agent_is_there in [true, false] {
        if !agent_is_there {
            agent.kill();
        }
        proc::signal(killed, 9);
        if !agent_is_there {
            next_agent(&mut agent);
        }
        // The keeper holds the sockets: a new connection waits.
        let shown = game.agones("GET", "/gameserver", &Value::Null);
        assert_eq!(shown["object_meta"]["labels"]["agones.dev/sdk-kept"], "yes", "what was acknowledged holds");
        assert_eq!(shown["status"]["state"], "Allocated");
        let status =
            agent.wait("another gateway", |status| status["gateway"]["connected"] == true && gateway(status) != killed);
        assert_eq!((&status["game"]["pid"], &status["session_id"]), (&before["game"]["pid"], &before["session_id"]));
        killed = gateway(&status);
    }
    assert!(agent.kinds().iter().any(|kind| kind == "gateway"), "it is reported: {:?}", agent.kinds());
    // A game that can't bear it ends: that is no crash of the game.
    proc::signal(killed, 9);
    proc::signal(game.pid, 9);
    agent.wait("another run", |status| status["game"]["run"].as_u64() > before["game"]["run"].as_u64());
    let said: Vec<_> = agent.timeline().iter().map(Value::to_string).collect();
    assert!(said.iter().any(|entry| entry.contains("doesn't count as a crash of the game")), "{said:#?}");
}

#[test]
fn a_stopped_gateway_is_no_silent_game() {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell::new(&world, "end");
    let health = "[health]\nheartbeat = '1s'\nfall = 1\nrise = 1\n";
    let agent = warm(&world, &service, &shell, health);
    let game = served(&agent);
    assert_eq!(game.ask("POST", "/v1/game/ready", &json!({})), 204);
    assert_eq!(game.ask("POST", "/v1/game/heartbeat", &json!({})), 204);
    agent.call("POST", "/v1/allocation", Some(&json!({"allocation_id": "a"}))).unwrap().ok();
    let status = agent.wait_join_status("joinable");
    proc::signal(gateway(&status), libc::SIGSTOP);
    let shown = agent.wait("the warning", |status| status["warnings"].to_string().contains("gateway"));
    assert_eq!(shown["instance_health"], status["instance_health"], "{:#}", shown["health_reasons"]);
    proc::signal(gateway(&status), libc::SIGCONT);
    agent.wait("no warning", |status| !status["warnings"].to_string().contains("gateway"));
    // From here on silence is the game's own.
    agent.wait("its silence", |status| status["health_reasons"].to_string().contains("heartbeat"));
}

#[test]
fn where_the_keeper_starts_none_the_agent_serves_the_sdk_itself() {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell::new(&world, "end");
    let dir = world.state_root().join("server");
    std::fs::create_dir_all(&dir).unwrap();
    let mut keeper = world.command(KEEPER, ["--dir", dir.to_str().unwrap(), "--gateway", "none"]).spawn().unwrap();
    let mut agent = warm(&world, &service, &shell, "[keeper]\nmode = 'connect'\n");
    let game = served(&agent);
    game.agones("POST", "/ready", &json!({}));
    game.agones("PUT", "/metadata/label", &json!({"key": "kept", "value": "yes"}));
    let status = agent.wait("readiness", |status| status["game"]["ready"] == true);
    assert_eq!(status["gateway"]["in_process"], true);
    assert_eq!(gateway(&status), agent.pid());
    assert!(world.told(["status", "server"]).contains("the agent itself"));
    let mut watch = game.stream(&format!("{}/watch/gameserver", game.agones));
    until(&mut watch, "Ready");
    agent.kill();
    assert!(http::chunk(&mut watch).is_err(), "the stream breaks with its agent");
    let status = next_agent(&mut agent);
    assert_eq!(status["game"]["pid"], game.pid);
    let shown = game.agones("GET", "/gameserver", &Value::Null);
    assert_eq!(shown["object_meta"]["labels"]["agones.dev/sdk-kept"], "yes");
    agent.stop();
    assert!(keeper.wait().unwrap().success());
}
