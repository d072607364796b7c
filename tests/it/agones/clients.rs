//! The official clients, each started before the agent and after it, and kept through the deaths of
//! agents: their streams are opened once, calls go on without a pause, and nothing breaks.

use super::*;
use crate::support::{
    agent::deaths,
    component::{present, program},
    world::PATIENCE,
};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Whether the client is there when the server comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Started {
    Before,
    After,
}

fn root(below: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below).display().to_string()
}

/// The Node client as a command; `None` if the test is skipped.
fn node() -> Option<Command> {
    let node = program("node", "nodejs")?;
    let modules = root("target/npm/node_modules");
    let there = Path::new(&modules).join("@google-cloud/agones-sdk").is_dir();
    if !present(there, &format!("@google-cloud/agones-sdk is not in {modules}"), "`tests/run` installs it, from npm") {
        return None;
    }
    let mut command = Command::new(node);
    command.arg(root("tests/clients/agones.js")).env("NODE_PATH", modules);
    Some(command)
}

/// The Rust client as a command, built if need be; `None` if the test is skipped.
fn rust() -> Option<Command> {
    static BUILDING: Mutex<()> = Mutex::new(());
    let protoc = program("protoc", "protobuf-compiler")?;
    let types = Path::new("/usr/include/google/protobuf/empty.proto").is_file();
    let remedy = "install libprotobuf-dev (the name of Debian's package)";
    if !present(types, "the well-known types of protobuf are missing", remedy) {
        return None;
    }
    let target = root("target/agones-client");
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--manifest-path", &root("tests/clients/agones/Cargo.toml")])
        .env("CARGO_TARGET_DIR", &target)
        .env("PROTOC", protoc)
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let why = format!("the crate agones can't be built: {}", String::from_utf8_lossy(&built.stderr).trim());
    present(built.status.success(), &why, "let cargo reach crates.io")
        .then(|| Command::new(format!("{target}/debug/agones-client")))
}

/// A client under way: what it prints comes line by line.
struct Client {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Client {
    fn start(world: &World, mut command: Command, port: u16) -> Self {
        let log = world.log("client.log");
        command.env("AGONES_SDK_GRPC_PORT", port.to_string()).stderr(log);
        for proxy in ["http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env_remove(proxy);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (to, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| to.send(line)));
        Client { child, lines }
    }

    /// Reads on until it prints this.
    #[track_caller]
    fn says(&self, wanted: &str) {
        let begun = Instant::now();
        let mut said = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
            if line == wanted {
                return;
            }
            said.push(line);
        }
        panic!("the client never said {wanted:?}; it said {said:?}");
    }

    fn go_on(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The whole surface, with agents that die in its middle.
fn plays(command: Command, started: Started) {
    let world = World::new();
    let port = free_port();
    let config =
        warm(FIXTURE).replace("grpc = \"127.0.0.1:0\"", &format!("grpc = \"127.0.0.1:{port}\"\nif_taken = \"fail\""));
    let file = world.file("server.toml", &config);
    let mut agent = Agent::new(&world, "server", ["--config", file.to_str().unwrap()]);
    let mut command = Some(command);
    let early = match started {
        Started::Before => command.take().map(|command| Client::start(&world, command, port)),
        Started::After => None,
    };
    if let Some(client) = &early {
        // It has tried, and nobody was there.
        assert!(client.lines.recv_timeout(Duration::from_secs(1)).is_err());
    }
    agent.start();
    let mut client = match (early, command) {
        (Some(client), _) => client,
        (None, Some(command)) => {
            agent.wait("a game", |status| status["game"]["pid"].is_u64());
            Client::start(&world, command, port)
        }
        (None, None) => unreachable!("one of them has it"),
    };
    client.says("again");
    let before = agent.status();
    let rounds = deaths();
    for round in 0..rounds {
        if round % 6 == 5 {
            world.told(["detach", "--restart", "server"]);
            assert_eq!(agent.ended().code(), Some(75));
        } else {
            agent.kill();
        }
        agent.start();
        let there = |status: &Value| status["keeper"]["connected"] == true && status["gateway"]["connected"] == true;
        let after = agent.wait("the next agent and its gateway", there);
        assert_eq!(after["gateway"]["pid"], before["gateway"]["pid"], "it is the same gateway");
        assert_eq!(after["game"]["pid"], before["game"]["pid"], "and the same game");
    }
    client.go_on();
    client.says("done");
    agent.wait("another run", |status| status["game"]["run"].as_u64() > before["game"]["run"].as_u64());
    let restarts: Vec<_> = agent.timeline().into_iter().filter(|entry| entry["kind"] == "restart").collect();
    let asked = |entry: &Value| entry["text"].as_str().unwrap().contains("the game asked to be ended");
    assert!(restarts.len() == 1 && restarts.iter().all(asked), "shutdown is no crash: {restarts:?}");
}

#[test]
fn the_node_client_finds_all_it_knows() {
    let Some(command) = node() else { return };
    plays(command, Started::After);
}

#[test]
fn the_node_client_may_be_there_first() {
    let Some(command) = node() else { return };
    plays(command, Started::Before);
}

#[test]
fn the_rust_client_finds_all_it_knows() {
    let Some(command) = rust() else { return };
    plays(command, Started::After);
}

#[test]
fn the_rust_client_may_be_there_first() {
    let Some(command) = rust() else { return };
    plays(command, Started::Before);
}
