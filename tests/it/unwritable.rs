//! Nothing of ours dies of a line that it can't write, and commands keep their codes: standard
//! output and standard error lead to a full device.

use crate::support::{
    agent::Agent,
    http, proc,
    world::{KEEPER, PATIENCE, World},
};
use std::{
    fs::File,
    os::unix::{net::UnixDatagram, process::ExitStatusExt as _},
    process::{Command, Stdio},
};

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// Both streams full, and everything logged.
fn muted(command: &mut Command) -> &mut Command {
    command.env("GAMESIDE_LOG", "trace").stdout(full()).stderr(full())
}

#[test]
fn keeper_gateway_and_agent_live_on_where_no_line_can_be_written() {
    let world = World::new();
    let mut keeper = muted(&mut world.command(KEEPER, ["--dir"])).arg(world.state_root().join("one")).spawn().unwrap();
    let config = world.file("one.toml", "[keeper]\nmode = \"connect\"\n[agent]\nlog = \"trace\"\n");
    let words = ["run", "--name", "one", "--config", config.to_str().unwrap()];
    let mut running = muted(&mut world.gameside(words)).spawn().unwrap();
    let agent = Agent::new(&world, "one", [""; 0]);
    let before = agent.wait_join_status("joinable");
    // A gateway that dies is a line of the keeper's, a reload one of the agent's.
    proc::signal(u32::try_from(before["gateway"]["pid"].as_u64().unwrap()).unwrap(), 9);
    agent.wait("another gateway", |status| {
        status["gateway"]["pid"] != before["gateway"]["pid"] && status["gateway"]["connected"] == true
    });
    proc::signal(running.id(), 1);
    let after = agent.wait_join_status("joinable");
    assert_eq!(after["game"]["pid"], before["game"]["pid"]);
    assert_eq!(after["agent"]["pid"], running.id());
    assert!(muted(&mut world.gameside(["stop", "one"])).status().unwrap().success(), "the order was carried out");
    assert_eq!((running.wait().unwrap().code(), keeper.wait().unwrap().code()), (Some(0), Some(0)));
}

#[test]
fn the_session_service_lives_on_where_no_line_can_be_written() {
    let world = World::new();
    let at = format!("127.0.0.1:{}", world.service_port());
    let words = ["sessions", "--listen", &at, "--state-dir", "s"];
    let manager = UnixDatagram::bind(world.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = |word: &str| {
        let mut text = [0; 512];
        loop {
            let length = manager.recv(&mut text).expect(word);
            if String::from_utf8_lossy(&text[..length]).contains(word) {
                break;
            }
        }
    };
    let mut command = world.gameside(words);
    let mut service = muted(command.env("NOTIFY_SOCKET", world.path().join("notify"))).spawn().unwrap();
    told("READY=1");
    proc::signal(service.id(), 1);
    told("RELOADING=1");
    // By then it has written what has changed.
    told("READY=1");
    let answer = http::exchange("GET", &format!("http://{at}/livez"), &[], None).unwrap();
    assert_eq!(answer.status, 200);
    proc::signal(service.id(), 15);
    assert!(proc::gone(service.id(), PATIENCE));
    assert_eq!(service.wait().unwrap().code(), Some(0));
}

#[test]
fn a_command_says_by_its_code_whether_its_output_was_written() {
    let world = World::new();
    let code = |words: &[&str], error: Stdio| {
        let mut command = world.gameside(words);
        command.stdout(full()).stderr(error).status().unwrap().code()
    };
    for words in [&["probes"][..], &["ps"], &["check"], &["completion", "bash"], &["init", "-"], &["help", "run"]] {
        assert_eq!(code(words, full().into()), Some(1), "{words:?}");
    }
    assert_eq!(code(&["status", "nobody"], full().into()), Some(3));
    assert_eq!(code(&["no-such-command"], full().into()), Some(2));
    let output = world.gameside(["probes"]).stdout(full()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("could not be written"), "{output:?}");

    // Nobody reads it: the command ends quietly.
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let output = world.gameside(["probes"]).stdout(write).output().unwrap();
    assert_eq!((output.status.signal(), output.stderr.as_slice()), (Some(13), &b""[..]), "as any tool of the shell");
}
