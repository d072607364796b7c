//! Games that end in good order only when they are asked to: `[game.stop.quit]` before the stop ladder.

use crate::support::world::World;
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

const PASSWORD: &str = "open sesame";

fn packet(stream: &mut TcpStream) -> std::io::Result<(i32, i32, String)> {
    let mut number = || -> std::io::Result<i32> {
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes)?;
        Ok(i32::from_le_bytes(bytes))
    };
    let (size, id, kind) = (number()?, number()?, number()?);
    let mut body = vec![0; usize::try_from(size).unwrap() - 8];
    stream.read_exact(&mut body)?;
    Ok((id, kind, String::from_utf8(body[..body.len() - 2].to_vec()).unwrap()))
}

fn answer(stream: &mut TcpStream, id: i32, kind: i32) {
    let numbers = [10i32, id, kind].into_iter().flat_map(i32::to_le_bytes).chain([0, 0]);
    stream.write_all(&numbers.collect::<Vec<u8>>()).unwrap();
}

/// A remote console that lets in who knows the password; what the first of them said.
fn console(listener: &TcpListener, answers_twice: bool) -> String {
    loop {
        let (mut stream, _) = listener.accept().unwrap();
        let (id, kind, password) = packet(&mut stream).unwrap();
        assert_eq!(kind, 3);
        if answers_twice {
            answer(&mut stream, id, 0);
        }
        answer(&mut stream, if password == PASSWORD { id } else { -1 }, 2);
        if password == PASSWORD {
            let (_, kind, command) = packet(&mut stream).unwrap();
            assert_eq!(kind, 2);
            return command;
        }
    }
}

/// A game that hears no signal and ends when something is written into its pipe.
fn deaf(world: &World) -> (std::path::PathBuf, String) {
    let pipe = world.path().join("end");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let script = format!("trap '' TERM; read how < {}; exit 0", pipe.display());
    let game = format!("[session.startup]\nmap = 'dm1'\n[game]\ncommand = ['/bin/sh', '-c', \"{script}\"]\n");
    (pipe, format!("{game}[game.readiness]\nby = 'delay'\ndelay = '10ms'\n"))
}

fn last_end(world: &World) -> Value {
    let status: Value = serde_json::from_slice(&world.ask(["status", "server", "--json"]).stdout).unwrap();
    status["last_end"].clone()
}

fn asked_through_its_console(by: &str, command: &str, answers_twice: bool) {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // The console is this test's, so its port is bound already, and the agent must take it for the game's.
    let (pipe, game) = deaf(&world);
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
            let said = console(&listener, answers_twice);
            std::fs::write(&pipe, "now\n").unwrap();
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
    asked_through_its_console("source-rcon", "quit", true);
}

#[test]
fn a_minecraft_server_is_asked_through_its_remote_console() {
    asked_through_its_console("minecraft-rcon", "stop", false);
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
