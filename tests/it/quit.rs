//! Games that end in good order only when they are asked to: `[game.stop.quit]` before the stop
//! ladder.

use crate::support::{
    rcon::{self, Dialect},
    shell::Shell,
    world::World,
};
use serde_json::{Value, json};
use std::net::TcpListener;

const PASSWORD: &str = "open sesame";

/// A game that hears no signal and ends as it is told.
fn deaf(world: &World) -> (Shell, String) {
    let shell = Shell::new(world, "end");
    let game = format!("[session.startup]\nmap = 'dm1'\n[game]\ncommand = {:?}\n", shell.words());
    (shell, format!("{game}[game.readiness]\nby = 'delay'\ndelay = '10ms'\n"))
}

fn last_end(world: &World) -> Value {
    let status: Value = serde_json::from_slice(&world.ask(["status", "server", "--json"]).stdout).unwrap();
    status["last_end"].clone()
}

fn asked_through_its_console(by: &str, command: &str, dialect: Dialect) {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // The console is this test's, so its port is bound already, and the agent must take it for the
    // game's.
    let (shell, game) = deaf(&world);
    let secret = world.file("rcon-password", &format!("{PASSWORD}\n"));
    let config = format!(
        "{game}[addresses]\nport = 'game'\n[game.stop.quit]\nby = '{by}'\ncommand = '{command}'\nwait = '100s'\nport = 'rcon'\n\
         password_file = {secret:?}\n[game.ports.rcon]\nprotocol = 'tcp'\nrange = '{port}'\n"
    );
    drop(listener);
    let mut agent = world.agent("server", &config);
    agent.wait_join_status("joinable");
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let said = std::thread::scope(|scope| {
        let console = scope.spawn(|| {
            let said = rcon::console(&listener, PASSWORD, dialect);
            shell.ends("exit 0");
            said
        });
        agent.stop();
        console.join().unwrap()
    });
    assert_eq!(said, command);
    let end = last_end(&world);
    assert_eq!(end["exit"]["status"], json!({"how": "exited", "code": 0}));
    let log = std::fs::read_to_string(world.path().join("logs/server.log")).unwrap();
    assert!(!log.contains("sesame"), "{log}");
}

#[test]
fn a_source_server_is_asked_through_its_remote_console() {
    asked_through_its_console("source-rcon", "quit", Dialect::Source);
}

#[test]
fn a_minecraft_server_is_asked_through_its_remote_console() {
    asked_through_its_console("minecraft-rcon", "stop", Dialect::Minecraft);
}

#[test]
fn the_practice_game_is_asked_on_its_console_before_any_signal() {
    let world = World::new();
    let config = "[session.startup]\nmap = 'harbour'\nmisc_params = 'refuse-sigterm'\n\
                  [game.stop.quit]\nby = 'stdin'\ncommand = 'quit'\nwait = '100s'\n";
    let mut agent = world.agent("server", config);
    agent.wait_join_status("joinable");
    agent.stop();
    assert_eq!(last_end(&world)["exit"]["status"], json!({"how": "exited", "code": 0}));
}

#[test]
fn a_console_without_a_password_is_missed_before_the_start() {
    let world = World::new();
    let (_, game) = deaf(&world);
    let config = format!("{game}[game.ports.game]\nprotocol = 'both'\n[game.stop.quit]\nby = 'source-rcon'\n");
    let mut agent = world.agent("server", &config);
    assert!(!agent.ended().success());
    let log = std::fs::read_to_string(world.path().join("logs/server.log")).unwrap();
    assert!(log.contains("game.stop.quit") && log.contains("GAMESIDE_RCON_PASSWORD"), "{log}");
}
