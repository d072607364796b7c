//! The main job: allocated, run, reported and supervised, through everything that can happen to it.

use crate::support::{
    agent::Agent,
    proc,
    world::{GAMESIDE, World},
};
use serde_json::Value;
use std::{
    os::unix::process::ExitStatusExt as _,
    process::{Child, Stdio},
};

/// A match with a game that behaves, but for what `misc` tells it.
fn config(misc: &str) -> String {
    format!("[session.startup]\nmap = \"harbour\"\nmode = \"duel\"\nmisc_params = {misc:?}\n")
}

/// The address at which players reach the game from this machine.
fn address(status: &Value) -> String {
    format!("127.0.0.1:{}", status["ports"]["game"])
}

/// A player who stays until told to go.
struct Player(Child);

impl Player {
    fn join(world: &World, address: &str, name: &str) -> Self {
        let log = world.log("players.log");
        let mut command = world.gameside(["practice", "join", address, "--name", name]);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Player(command.spawn().unwrap())
    }
    /// Says goodbye, as Ctrl-C does.
    fn leave(mut self) {
        proc::signal(self.0.id(), 2);
        self.0.wait().unwrap();
    }
}

/// Session, instance and process: what has to stay the same over an agent's death.
fn identity(status: &Value) -> [Value; 5] {
    ["session_id", "instance_id", "allocation_id"]
        .map(|key| status[key].clone())
        .into_iter()
        .chain([status["game"]["pid"].clone(), status["keeper"]["pid"].clone()])
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

fn count(agent: &Agent<'_>, kind: &str) -> usize {
    agent.kinds().iter().filter(|found| *found == kind).count()
}

fn pid(status: &Value, of: &str) -> u32 {
    status[of]["pid"].as_u64().unwrap() as u32
}

#[test]
fn without_a_configuration_the_whole_loop_runs() {
    let world = World::new();
    let mut agent = world.agent_with("default", [] as [&str; 0]);
    let status = agent.wait_join_status("joinable");
    for key in [
        "name",
        "phase",
        "join_status",
        "instance_health",
        "health_reasons",
        "session_id",
        "instance_id",
        "allocation_id",
        "public_conn_str",
        "private_conn_str",
        "map",
        "mode",
        "players",
        "sessions_url",
        "backend",
    ] {
        assert!(status.get(key).is_some(), "status lacks {key}: {status}");
    }
    assert_eq!((&status["phase"], &status["map"]), (&"serving".into(), &"harbour".into()));
    assert_eq!(status["agent"]["pid"], agent.pid());
    for what in ["live", "ready"] {
        assert_eq!(world.told(["status", "default", "--probe", what]), "", "a probe is silent");
    }
    assert!(status["keeper"]["pid"].is_u64() && status["game"]["pid"].is_u64() && status["game"]["restarts"] == 0);
    assert!(status["sessions_url"].as_str().unwrap().starts_with("http://127.0.0.1:"));

    let player = Player::join(&world, &address(&status), "Ann");
    agent.wait("a player", |status| status["players"] == 1);
    agent.wait("the player in the session", |_| count(&agent, "admitted") == 1);
    assert_eq!(count(&agent, "not_in_session"), 0, "who comes to a session made for this machine is welcome");
    player.leave();
    agent.wait("nobody", |status| status["players"] == 0);

    agent.signal(19);
    let stuck = world.ask(["status", "--probe", "live"]);
    agent.signal(18);
    assert_eq!((stuck.status.code(), stuck.stdout.as_slice()), (Some(1), b"".as_slice()), "it says why on stderr");
    let why = String::from_utf8_lossy(&stuck.stderr).into_owned();
    assert!(why.contains("/livez") && why.lines().count() == 1, "{why}");

    let (game, keeper) = (pid(&status, "game"), pid(&status, "keeper"));
    agent.signal(15);
    assert_eq!(agent.ended().code(), Some(0));
    assert!(!proc::alive(game) && proc::gone(keeper, crate::support::world::PATIENCE));
    let kinds = agent.kinds();
    let at =
        |kind: &str| kinds.iter().position(|found| found == kind).unwrap_or_else(|| panic!("no {kind} in {kinds:?}"));
    assert!(at("allocated") < at("starting") && at("starting") < at("ready"));
    assert!(at("ready") < at("joinable") && at("joinable") < at("closed") && at("closed") < at("ended"), "{kinds:?}");
    let left = world.ask(["status", "--json"]);
    assert_eq!(left.status.code(), Some(3), "the agent is down");
    for what in ["live", "ready"] {
        let probed = world.ask(["status", "default", "--probe", what]);
        assert_eq!((probed.status.code(), probed.stdout.as_slice()), (Some(3), b"".as_slice()));
        assert_eq!(String::from_utf8_lossy(&probed.stderr).lines().count(), 1, "it says why");
    }
    let left: Value = serde_json::from_slice(&left.stdout).unwrap();
    assert_eq!((&left["agent"]["pid"], &left["last_end"]["reported"]), (&Value::Null, &true.into()), "{left}");
}

#[test]
fn a_command_whose_reader_has_gone_ends_quietly() {
    let world = World::new();
    let mut agent = world.agent("one", &config(""));
    agent.wait_join_status("joinable");
    let lines: [&[&str]; 5] =
        [&["probes"], &["status", "--json"], &["ps"], &["events", "one"], &["help", "exit-codes"]];
    for line in lines {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = world.gameside(line).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(13), "{line:?}: {}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{line:?}");
    }
    agent.stop();
}

#[test]
fn a_second_agent_of_a_name_is_refused_with_the_pid_of_the_first() {
    let world = World::new();
    let agent = world.agent("one", &config(""));
    agent.status();
    let second = world.ask(["run", "--name", "one"]);
    assert_eq!(second.status.code(), Some(5));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains(&agent.pid().to_string()), "{said}");
}

#[test]
fn a_killed_agent_leaves_the_game_alone_and_the_next_takes_it_over() {
    let world = World::new();
    let mut agent = world.agent("one", &config(""));
    let before = agent.wait_join_status("joinable");
    let player = Player::join(&world, &address(&before), "Ann");
    agent.wait("a player", |status| status["players"] == 1);
    agent.kill();
    assert!(proc::alive(pid(&before, "game")));

    let down = world.ask(["status", "one", "--json"]);
    assert_eq!(down.status.code(), Some(3));
    let down: Value = serde_json::from_slice(&down.stdout).unwrap();
    assert_eq!((&down["agent"]["pid"], &down["session_id"]), (&Value::Null, &before["session_id"]), "{down}");
    assert_eq!(down["game"]["pid"], before["game"]["pid"]);

    agent.start();
    let after =
        agent.wait("the match as it was", |status| status["players"] == 1 && status["join_status"] == "joinable");
    assert_eq!(identity(&before), identity(&after));
    assert_eq!(after["ports"], before["ports"]);
    assert_eq!(count(&agent, "allocated"), 1);
    player.leave();
    agent.wait("nobody", |status| status["players"] == 0);
    assert!(agent.stop().contains("has ended"));
}

#[test]
fn a_game_that_ends_while_no_agent_is_there_is_reported_with_its_true_status() {
    let world = World::new();
    let mut agent = world.agent("one", &format!("{}[game.restart]\nwhen = \"never\"\n", config("")));
    let before = agent.wait_join_status("joinable");
    agent.kill();
    let game = pid(&before, "game");
    // Not SIGSEGV: a Rust program survives the first one that nobody's memory access has caused.
    proc::signal(game, 6);
    assert!(proc::gone(game, crate::support::world::PATIENCE));
    agent.start();
    let after = agent.wait("the end", |status| status["last_end"]["exit"]["run"] == before["game"]["run"]);
    let exit = &after["last_end"]["exit"]["status"];
    assert_eq!((&exit["how"], &exit["signal"]), (&"signaled".into(), &6.into()), "{after}");
}

#[test]
fn killing_the_keeper_ends_the_game_with_all_its_helpers_and_the_instance_is_closed() {
    let world = World::new();
    let command = format!("[game]\ncommand = [{GAMESIDE:?}, \"practice\", \"--fork-helpers\", \"2\"]\n");
    let mut agent = world.agent("one", &format!("{command}{}", config("")));
    let before = agent.wait_join_status("joinable");
    let game = pid(&before, "game");
    let helpers = proc::descendants(game);
    assert_eq!(helpers.len(), 2, "{helpers:?}");
    proc::signal(pid(&before, "keeper"), 9);
    for victim in helpers.into_iter().chain([game]) {
        assert!(proc::gone(victim, crate::support::world::PATIENCE), "{victim} lives on");
    }
    let after = agent.wait("the end", |status| status["last_end"]["session_id"] == before["session_id"]);
    assert_eq!(after["last_end"]["exit"]["status"]["how"], "lost", "{after}");
    agent.wait("the report", |status| status["last_end"]["reported"] == true);
    agent.stop();
}

#[test]
fn detach_leaves_the_game_and_says_whether_a_new_agent_is_wanted() {
    let world = World::new();
    let mut agent = world.agent("one", &config(""));
    let before = agent.wait_join_status("joinable");
    world.told(["detach", "one", "--restart"]);
    assert_eq!(agent.ended().code(), Some(75));
    agent.start();
    let after = agent.wait_join_status("joinable");
    assert_eq!(identity(&before), identity(&after));
    world.told(["detach"]);
    assert_eq!(agent.ended().code(), Some(0));
    assert!(proc::alive(pid(&before, "game")));
    let said = world.told(["stop", "one"]);
    assert!(said.contains("has ended"), "{said}");
    assert!(!proc::alive(pid(&before, "game")));
}

#[test]
fn after_all_was_killed_at_once_the_next_start_reports_the_game_as_lost() {
    let world = World::new();
    let mut agent = world.agent("one", &config(""));
    let before = agent.wait_join_status("joinable");
    // As the kernel ends a container of which it wants the memory: all but the session service,
    // which is elsewhere.
    let service = |pid: &u32| proc::command_line(*pid).get(1).is_some_and(|word| word == "sessions");
    let all: Vec<u32> = world.processes().into_iter().filter(|pid| !service(pid)).collect();
    assert!(all.contains(&pid(&before, "keeper")) && all.contains(&pid(&before, "game")), "{all:?}");
    all.iter().for_each(|pid| proc::signal(*pid, 9));
    assert!(all.iter().all(|pid| *pid == agent.pid() || proc::gone(*pid, crate::support::world::PATIENCE)));
    agent.ended();
    agent.start();
    let after = agent.wait("the end", |status| status["last_end"]["session_id"] == before["session_id"]);
    assert_eq!(after["last_end"]["exit"]["status"]["how"], "lost", "{after}");
    agent.wait("the report", |status| status["last_end"]["reported"] == true);
    agent.stop();
}
