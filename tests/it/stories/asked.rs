//! Commands whose agent dies while it is asked. The keeper holds the listening socket, so nothing
//! refuses them.

use super::{PATIENT, pid};
use crate::support::{
    agent::Agent,
    proc,
    service::Service,
    world::{PATIENCE, World},
};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Output, Stdio},
    time::Instant,
};

/// Commands that have asked an agent that can't answer, for it was stopped by a signal.
fn asking(world: &World, agent: &Agent<'_>, lines: &[&[&str]]) -> Vec<Child> {
    agent.signal(19);
    let start = |line: &&[&str]| world.gameside(*line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let children: Vec<Child> = lines.iter().map(start).collect();
    let begun = Instant::now();
    for child in &children {
        while !proc::has_connection(child.id()) {
            assert!(begun.elapsed() < PATIENCE, "it never asks");
            agent.pause();
        }
    }
    children
}

fn outcome(child: Child) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

#[test]
fn no_command_hangs_when_its_agent_dies_and_each_says_who_holds_the_game() {
    let world = World::new();
    let service = Service::start(&world);
    let mut agent = world.agent("one", &format!("{}{PATIENT}", service.agent_config()));
    let before = agent.wait_join_status("joinable");
    let keeper = format!("its keeper (pid {}) holds the game (pid {})", pid(&before, "keeper"), pid(&before, "game"));

    let lines: [&[&str]; 6] = [
        &["drain", "one", "--wait"],
        &["detach", "one"],
        &["allocate", "one", "--map", "harbour"],
        &["events", "one", "-f"],
        &["status", "one", "--probe", "ready"],
        &["status", "one", "--json"],
    ];
    let children = asking(&world, &agent, &lines);
    agent.kill();
    for (line, child) in lines.iter().zip(children) {
        let (code, said) = outcome(child);
        assert_eq!(code, Some(3), "{line:?}: {said}");
        let told = if line.contains(&"--json") { "\"pid\":null" } else { keeper.as_str() };
        assert!(said.contains(told), "{line:?}: {said}");
    }
    assert!(proc::alive(pid(&before, "game")));

    // Told to stop, it goes on where the agent can't: with the keeper.
    agent.start();
    agent.wait_join_status("joinable");
    let mut children = asking(&world, &agent, &[&["stop", "one"]]);
    agent.kill();
    let (code, said) = outcome(children.remove(0));
    assert!(code == Some(0) && said.contains("has ended"), "{said}");
    assert!(!proc::alive(pid(&before, "game")));
}

#[test]
fn a_watched_status_comes_with_every_change_and_ends_with_the_agent() {
    let world = World::new();
    let service = Service::start(&world);
    let mut agent = world.agent("one", &format!("{}{PATIENT}", service.agent_config()));
    let joinable = agent.wait_join_status("joinable");
    let mut watching = world.gameside(["status", "one", "--watch", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut seen = BufReader::new(watching.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert_eq!(seen.next().unwrap()["session_id"], joinable["session_id"]);

    let player = super::Player::joins(&world, &joinable, "6b6f1a3e-58a5-4f0e-9f5a-3f4f0e1f6a01");
    assert!(seen.by_ref().any(|status| status["players"] == 1));
    player.leaves();
    assert!(seen.by_ref().any(|status| status["players"] == 0));
    agent.kill();
    let last = seen.last().unwrap();
    assert_eq!((&last["agent"]["pid"], &last["game"]["pid"]), (&Value::Null, &joinable["game"]["pid"]), "{last}");
    assert_eq!(watching.wait().unwrap().code(), Some(3));
}
