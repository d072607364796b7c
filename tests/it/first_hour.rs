//! What a newcomer types in the first hour, and what is answered.

use crate::support::{
    agent::{Agent, Places},
    component, proc,
    world::{GAMESIDE, KEEPER, PATIENCE, World},
};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::chown,
    process::{Command, Output, Stdio},
};

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn pid(status: &Value, of: &str) -> u32 {
    status[of]["pid"].as_u64().unwrap() as u32
}

#[test]
fn a_terminal_shows_what_to_type_next_and_ctrl_c_ends_it_in_order() {
    let world = World::new();
    let line = format!("exec {GAMESIDE} run");
    // `script` is the terminal; -e: its exit code is ours.
    let mut command: Command = world.command("script", ["-q", "-e", "-f", "-c", &line, "/dev/null"]);
    let mut terminal = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    let mut shown = String::new();
    for line in BufReader::new(terminal.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        shown += &line;
        shown.push('\n');
        if line.contains("end:") {
            keys.write_all(b"\x03").unwrap();
        }
    }
    assert!(terminal.wait().unwrap().success(), "{shown}");
    for wanted in
        ["the practice game", "play:    gameside practice join ", "look:    gameside status", "ended in order"]
    {
        assert!(shown.contains(wanted), "{wanted:?} is missing:\n{shown}");
    }
}

#[test]
fn a_server_that_speaks_no_sdk_needs_no_configuration_to_be_found_ready() {
    let world = World::new();
    let game = [GAMESIDE, "practice", "--no-sdk", "--port", "{{ports.game}}", "--map", "{{map}}"];
    let agent = world.agent_with("any", ["--"].iter().chain(&game));
    let status = agent.wait_join_status("joinable");
    let ready = agent.timeline().into_iter().find(|entry| entry["kind"] == "ready").unwrap();
    assert_eq!(ready["fields"]["by"], "seen from outside", "{ready}");

    let output = world.ask(["stop", "any", "--json"]);
    let end: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
    assert_eq!((&end["name"], &end["exit_code"], output.status.code()), (&"any".into(), &0.into(), Some(0)), "{end}");
    assert!(proc::gone(pid(&status, "game"), PATIENCE));
}

#[test]
fn a_game_whose_keeper_is_gone_too_is_not_shown_as_running() {
    let world = World::new();
    let mut agent = world.agent_with("one", [] as [&str; 0]);
    let status = agent.wait_join_status("joinable");
    agent.kill();
    let held: Value = serde_json::from_slice(&world.ask(["status", "one", "--json"]).stdout).unwrap();
    assert_eq!(held["game"]["pid"], status["game"]["pid"], "the keeper holds it");

    let output = world.ask(["stop", "one"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let left: Value = serde_json::from_slice(&world.ask(["status", "one", "--json"]).stdout).unwrap();
    assert_eq!((&left["game"]["pid"], &left["keeper"]["pid"]), (&Value::Null, &Value::Null), "{left:#}");
    let end = &left["last_end"];
    assert_eq!((&end["session_id"], &end["reported"]), (&status["session_id"], &false.into()), "still to be reported");
    assert_eq!(end["exit"]["status"]["code"], 0, "with its true status: {end}");
    let table = world.told(["ps"]);
    assert!(!table.contains("the keeper holds the game"), "{table}");
}

#[test]
fn a_runtime_directory_may_have_a_longer_path_than_the_kernel_takes_for_a_socket() {
    let world = World::new();
    let runtime = world.path().join("r".repeat(120));
    let places = Places::below(&world.state_root(), &runtime, "deep");
    let mut agent = Agent::at(&world, "deep", places, [""; 0]);
    agent.env("GAMESIDE_RUNTIME_DIR", runtime.to_str().unwrap()).start();
    agent.wait_join_status("joinable");
}

#[test]
fn a_command_in_the_wrong_place_is_told_where_it_belongs() {
    let world = World::new();
    let output = world.ask(["run", "./MyServer"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(told(&output).contains("gameside run -- ./MyServer"), "{}", told(&output));
    let output = world.ask(["help", "session", "create"]);
    assert!(output.status.success() && told(&output).contains("--dedicated"), "{}", told(&output));
}

#[test]
fn the_games_output_is_printed_from_its_end_and_followed_without_a_gap() {
    let world = World::new();
    let game = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.05; done";
    let config = format!(
        "[game]\ncommand = [\"/bin/sh\", \"-c\", '{game}']\n[game.readiness]\nby = \"log\"\npattern = \"^tick\"\n"
    );
    let agent = world.agent("ticker", &format!("{config}[session.startup]\nmap = \"none\"\n"));
    agent.wait_join_status("joinable");
    let number = |line: &str| line.strip_prefix("tick ").and_then(|number| number.parse::<u32>().ok());

    let mut command = world.gameside(["logs", "ticker", "-f", "-n", "1"]);
    let mut following = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let seen: Vec<_> = lines.take(6).map(|line| number(&line.unwrap()).expect("a tick")).collect();
    following.kill().unwrap();
    following.wait().unwrap();
    assert!(seen.windows(2).all(|two| two[1] == two[0] + 1), "{seen:?}");

    let last = world.told(["logs", "ticker", "-n", "3"]);
    assert_eq!(last.lines().filter_map(number).count(), 3, "{last}");
    assert!(last.lines().next().and_then(number) >= seen.last().map(|seen| seen - 2), "the newest: {last}");
}

#[test]
fn a_name_may_be_left_out_where_one_agent_runs_and_is_asked_for_where_two_do() {
    let world = World::new();
    let hook = "[allocation]\nprovider = \"hook\"\n";
    let one = world.agent("one", hook);
    one.wait_phase("idle");
    let shown: Value = serde_json::from_str(&world.told(["status", "--json"])).unwrap();
    assert_eq!(shown["name"], "one");
    let two = world.agent("two", hook);
    two.wait_phase("idle");
    for command in ["status", "stop", "drain", "detach", "logs", "events", "allocate"] {
        let output = world.ask([command]);
        assert_eq!(output.status.code(), Some(2), "{command}: {}", told(&output));
        assert!(told(&output).contains("name one: one, two"), "{command}: {}", told(&output));
    }
    world.told(["stop", "one"]);
    let shown: Value = serde_json::from_str(&world.told(["status", "--json"])).unwrap();
    assert_eq!(shown["name"], "two", "the only one that lives");
}

#[test]
fn every_shell_gets_its_completion() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.told(["completion", shell]);
        for word in ["gameside", "detach", "state-dir"] {
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
}

#[test]
fn it_all_works_for_a_user_without_any_privilege_below_the_users_own_directories() {
    if !component::root("it becomes another user") {
        return;
    }
    let world = World::new();
    let own = world.path().join("own");
    for below in ["own", "own/state", "own/run"] {
        let dir = world.path().join(below);
        std::fs::create_dir(&dir).unwrap();
        chown(&dir, Some(65534), Some(65534)).unwrap();
    }
    for program in [GAMESIDE, KEEPER] {
        std::fs::copy(program, own.join(std::path::Path::new(program).file_name().unwrap())).unwrap();
    }
    let gameside = |args: &[&str]| {
        let mut command = world.command("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        command.arg(own.join("gameside")).args(args).current_dir(&own);
        command.env_remove("GAMESIDE_STATE_DIR").env_remove("GAMESIDE_RUNTIME_DIR");
        command
            .env("HOME", "/nonexistent")
            .env("XDG_STATE_HOME", own.join("state"))
            .env("XDG_RUNTIME_DIR", own.join("run"));
        command
    };
    let mut agent = gameside(&["run"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(agent.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("joinable at")), "it ended before anybody could join");

    let output = gameside(&["status", "--json"]).output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
    assert_eq!(proc::status(pid(&status, "game"), "Uid").unwrap().split_whitespace().next(), Some("65534"));
    assert!(own.join("state/gameside/default/journal").exists() && own.join("run/gameside/agents").is_dir());
    let output = gameside(&["stop"]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(lines.any(|line| line.contains("ended in order")));
    assert!(agent.wait().unwrap().success());
}

#[test]
fn the_terminal_says_why_no_local_session_service_can_run() {
    let world = World::new();
    // Another service has the store.
    let mut command = world.gameside(["sessions", "--listen", "127.0.0.1:0"]);
    let mut other = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(other.stdout.take().unwrap()).lines();
    said.next().expect("where it is").unwrap();

    let mut command = world.gameside(["run", "--name", "one"]);
    let mut agent = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(agent.stderr.take().unwrap()).lines().map(Result::unwrap);
    let why = lines.find(|line| line.contains("the local session service has ended")).expect("a warning");
    assert!(why.contains("could not use the store") && why.contains("already open"), "{why}");
    for child in [&mut agent, &mut other] {
        proc::signal(child.id(), 15);
        child.wait().unwrap();
    }
}

#[test]
fn the_local_session_service_goes_when_nobody_uses_it_any_more() {
    let world = World::new();
    let mut command = world.gameside(["sessions", "--local", "--idle-exit", "10s"]);
    let mut service = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(service.stdout.take().unwrap()).lines();
    let said = said.next().expect("where it is").unwrap();
    let agent = world.agent_with("one", [] as [&str; 0]);
    let status = agent.wait_join_status("joinable");
    assert!(said.contains(status["sessions_url"].as_str().unwrap()), "{said}");
    world.told(["stop", "one"]);
    assert!(service.try_wait().unwrap().is_none(), "it goes only after a while");
    assert!(service.wait().unwrap().success());
}
