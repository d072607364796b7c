//! What an agent exits with whose keeper is the reason, and the others that end it for good:
//! `docs/exit-codes.md`. The rest is met elsewhere: 3, 5 and 75 in `main_job`, 4 in
//! `stories::hook`.

use super::harness::Wire;
use crate::support::{
    agent::Agent,
    proc,
    world::{KEEPER, World},
};
use serde_json::json;
use std::{
    fs::DirBuilder,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::DirBuilderExt as _, net::UnixListener},
    path::PathBuf,
    process::{Child, Stdio},
};

const WARM: &str = "[allocation]\nprovider = \"hook\"\n[game]\nstart = \"at-boot\"\nreadiness.by = \"delay\"\n";
const WAITS: &str = "command = [\"/bin/sh\", \"-c\", \"while :; do sleep 1000; done\"]\n";

/// A keeper that stands before its agent.
struct Standing {
    socket: PathBuf,
    watcher: Child,
}

impl Drop for Standing {
    fn drop(&mut self) {
        // What it leaves is the world's to end.
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}

/// With options of its own.
fn keeper(world: &World, options: &[&str]) -> Standing {
    let dir = world.state_root().join("one");
    DirBuilder::new().mode(0o700).create(&dir).unwrap();
    let args = ["--dir", dir.to_str().unwrap()];
    let mut command = world.command(KEEPER, args.iter().chain(options));
    let watcher = command.stdout(Stdio::null()).stderr(world.log("keeper.log")).spawn().unwrap();
    let standing = Standing { socket: dir.join("keeper.sock"), watcher };
    drop(Wire::at(&standing.socket));
    standing
}

fn game(agent: &Agent<'_>) {
    agent.wait("the game", |status| status["game"]["pid"].is_u64());
}

#[test]
fn a_game_that_can_not_be_started_ends_its_agent_with_70() {
    let world = World::new();
    let mut agent = world.agent("one", &format!("{WARM}command = [\"/bin/false\"]\n[game.restart]\nbudget = 1\n"));
    assert_eq!(agent.ended().code(), Some(70));
}

#[test]
fn a_game_that_can_not_be_killed_ends_its_agent_and_its_commands_with_71() {
    let world = World::new();
    // No time at all for SIGKILL to work: what a process stuck in the kernel looks like.
    let _keeper = keeper(&world, &["--last-deadline", "0"]);
    let ladder = "[game.stop]\nladder = [{ kill = true, wait = \"1ms\" }]\n";
    let mut agent = world.agent("one", &format!("{WARM}{WAITS}{ladder}"));
    game(&agent);
    let stopped = world.ask(["stop", "one"]);
    assert_eq!(stopped.status.code(), Some(71), "{}", String::from_utf8_lossy(&stopped.stderr));
    assert_eq!(agent.ended().code(), Some(71));
}

#[test]
fn an_allocation_where_a_game_can_not_be_killed_is_refused_with_71() {
    let world = World::new();
    let keeper = keeper(&world, &["--last-deadline", "0"]);
    {
        let (mut wire, run) = (Wire::at(&keeper.socket), gameside::model::ids::RunNumber(1));
        wire.hello(None);
        wire.run(1, "exec sleep 600");
        wire.done(gameside::internals::keeper::protocol::Order::Kill { run });
    }
    let agent = world.agent("one", &format!("{WARM}{WAITS}"));
    agent.wait("what is left", |status| status["warnings"].to_string().contains("can't be killed"));
    let refused = world.ask(["allocate", "one"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(71), "{said}");
    assert!(said.contains("can't be killed"), "{said}");
}

#[test]
fn an_agent_whose_game_another_one_took_over_ends_with_72() {
    let world = World::new();
    let mut agent = world.agent("one", &format!("{WARM}{WAITS}"));
    game(&agent);
    let mut other = Wire::at(&agent.dir().join("keeper.sock"));
    other.hello(None);
    assert_eq!(agent.ended().code(), Some(72));
}

#[test]
fn an_agent_whose_keeper_speaks_another_version_ends_with_76() {
    let world = World::new();
    let keeper = keeper(&world, &[]);
    // It would take its socket back.
    let lock = std::fs::read_to_string(keeper.socket.with_file_name("keeper.lock")).unwrap();
    proc::signal(lock.trim().parse().unwrap(), 19);
    std::fs::remove_file(&keeper.socket).unwrap();
    let listener = UnixListener::bind(&keeper.socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut line = String::new();
            let hello = BufReader::new(&stream).read_line(&mut line).map(|_| serde_json::from_str(&line));
            let Ok(Ok::<serde_json::Value, _>(hello)) = hello else { continue };
            let answer = json!({"re": hello["id"], "event": "incompatible", "versions": [99]});
            let _ = writeln!(&stream, "{answer}");
        }
    });
    let mut agent = world.agent("one", &format!("{WARM}{WAITS}"));
    assert_eq!(agent.ended().code(), Some(76));
}
