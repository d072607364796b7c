//! Where operators call: `operator.sock` and a port of their own, whoever else connects to them.

use crate::support::{
    agent::Agent,
    component, http, proc,
    world::{GAMESIDE, World},
};
use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt, chown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

/// The uid of `nobody`.
const STRANGER: u32 = 65534;
/// Yet another user.
const THIEF: u32 = 65533;

fn socket(agent: &Agent<'_>) -> PathBuf {
    agent.dir().join("operator.sock")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Status line, headers and body of an answer, as they come over a unix socket; no token.
fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(format!("{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A program's copy that another user may run, in a place that it may look into.
fn as_stranger(world: &World, args: &[&str]) -> Command {
    let copy = world.path().join("gameside");
    if !copy.exists() {
        std::fs::copy(GAMESIDE, &copy).unwrap();
    }
    let user = format!("--reuid={STRANGER}");
    let mut command = world.command("setpriv", [&user, "--regid=65534", "--clear-groups", "--"]);
    command.arg(copy).args(args);
    command
}

/// Asks both probes of `one`, drains it and sees its end.
fn probes_and_drain_reach(world: &World, agent: &mut Agent<'_>) {
    for probe in ["live", "ready"] {
        assert_eq!(world.told(["status", "one", "--probe", probe]), "");
    }
    assert!(world.told(["drain", "one", "--reason", "full house", "--wait"]).contains("one drains"));
    assert!(agent.ended().success());
}

#[test]
fn the_api_listens_where_it_is_configured() {
    let world = World::new();
    let port = world.service_port();
    let mut agent =
        world.agent("one", &format!("[session.startup]\nmap = \"dm1\"\n[api]\nlisten = \"127.0.0.1:{port}\"\n"));
    let status = agent.wait_join_status("joinable");
    let url = format!("http://127.0.0.1:{port}");
    let env = std::fs::read_to_string(format!("/proc/{}/environ", status["game"]["pid"])).unwrap();
    assert!(env.split('\0').any(|entry| entry == format!("GAMESIDE_API={url}")), "the game is told");
    let answer = http::exchange("GET", &format!("{url}/livez"), &[], None).unwrap();
    assert_eq!(answer.body["error"], "operator_route", "operators have another");
    let keeper = status["keeper"]["pid"].as_u64().unwrap() as u32;
    agent.stop();
    assert!(proc::gone(keeper, Duration::from_secs(10)), "it holds the port until it ends");

    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut refused = world.agent("two", &format!("[api]\nlisten = \"127.0.0.1:{port}\"\n"));
    assert!(!refused.ended().success(), "a port that another program has");
    drop(taken);
}

#[test]
fn commands_work_without_a_token_while_idle_connections_take_every_place_of_the_port() {
    let world = World::new();
    let mut agent = world.agent_with("one", [] as [&str; 0]);
    let status = agent.wait_join_status("joinable");
    let api = status["agent"]["api"].as_str().unwrap();
    let idle: Vec<_> = (0..130).map(|_| TcpStream::connect(api.trim_start_matches("http://")).unwrap()).collect();
    // One of them makes room.
    assert_eq!(http::exchange("GET", &format!("{api}/livez"), &[], None).unwrap().status, 200);
    std::fs::remove_file(agent.dir().join("operator.token")).unwrap();

    let seen: Value = serde_json::from_str(&world.told(["status", "one", "--json"])).unwrap();
    assert_eq!(seen["agent"]["pid"], agent.pid());
    probes_and_drain_reach(&world, &mut agent);
    drop(idle);
}

#[test]
fn operators_have_a_listener_of_their_own_and_the_games_sends_them_there() {
    let world = World::new();
    // Free a moment ago; another program may take it, but none here does.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut agent = world.agent("one", &format!("[api]\noperator_listen = \"127.0.0.1:{port}\"\n"));
    let status = agent.wait_join_status("joinable");
    assert_eq!(status["agent"]["api"], format!("http://127.0.0.1:{port}"));
    let env = std::fs::read_to_string(format!("/proc/{}/environ", status["game"]["pid"])).unwrap();
    let games = env.split('\0').find_map(|entry| entry.strip_prefix("GAMESIDE_API=")).unwrap().to_owned();
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = http::exchange("GET", &format!("{}{path}", status["agent"]["api"].as_str().unwrap()), &[], None);
        assert_eq!(answer.unwrap().status, 200, "{path}");
        let answer = http::exchange("GET", &format!("{games}{path}"), &[], None).unwrap();
        assert_eq!((answer.status, &answer.body["error"]), (404, &Value::from("operator_route")), "{path}");
        assert!(answer.body["message"].as_str().unwrap().contains("operator_listen"), "{}", answer.body);
    }

    agent.kill();
    agent.start();
    let again = agent.status();
    assert_eq!(again["agent"]["api"], status["agent"]["api"], "the next agent binds it again");
    assert_eq!(again["game"]["pid"], status["game"]["pid"]);
    agent.stop();

    let holder = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    agent.start();
    assert_eq!(agent.ended().code(), Some(1));
    let log = std::fs::read_to_string(world.path().join("logs/one.log")).unwrap();
    assert!(log.contains("operator_listen") && log.contains(&port.to_string()), "{log}");
    drop(holder);
}

#[test]
fn the_socket_is_this_users_alone_and_whoever_connects_is_an_operator_and_no_game() {
    let world = World::new();
    let mut agent = world.agent_with("one", [] as [&str; 0]);
    agent.wait_join_status("joinable");
    let about = std::fs::metadata(socket(&agent)).unwrap();
    assert!(about.file_type().is_socket());
    assert_eq!((about.permissions().mode() & 0o777, about.uid()), (0o600, rustix::process::geteuid().as_raw()));

    assert!(ask(&socket(&agent), "GET /v1/status").starts_with("HTTP/1.1 200"));
    let game = ask(&socket(&agent), "POST /v1/game/ready");
    assert!(game.starts_with("HTTP/1.1 404") && game.contains("\"game_route\""), "{game}");
    agent.stop();
}

#[test]
fn a_socket_that_a_killed_agent_left_over_is_replaced_by_the_next() {
    let world = World::new();
    let mut agent = world.agent_with("one", [] as [&str; 0]);
    agent.wait_join_status("joinable");
    let before = std::fs::metadata(socket(&agent)).unwrap().modified().unwrap();
    agent.kill();
    assert!(socket(&agent).exists(), "nobody was there to remove it");
    let output = world.ask(["status", "one"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let output = world.ask(["drain", "one"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("is down"), "{}", said(&output));

    agent.start();
    // As soon as it lives, commands wait until it listens.
    let seen = agent.status();
    assert_eq!(seen["agent"]["pid"], agent.pid());
    let told: Value = serde_json::from_str(&world.told(["status", "one", "--json"])).unwrap();
    assert_eq!(told["agent"]["pid"], agent.pid());
    // Its inode may be the old one's, given anew.
    assert!(std::fs::metadata(socket(&agent)).unwrap().modified().unwrap() > before);
    agent.stop();
}

#[test]
fn another_user_gets_nothing_even_where_the_file_would_let_it_in() {
    if !component::root("it becomes another user") || component::program("setpriv", "util-linux").is_none() {
        return;
    }
    let world = World::new();
    let mut agent = world.agent_with("one", [] as [&str; 0]);
    agent.wait_join_status("joinable");
    let state = world.state_root().display().to_string();
    let stop = ["stop", "one", "--state-dir", &state];
    let refused = as_stranger(&world, &stop).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("run this as the user who runs the agent"), "{}", said(&refused));

    std::fs::set_permissions(socket(&agent), PermissionsExt::from_mode(0o666)).unwrap();
    let refused = as_stranger(&world, &stop).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("for the user who runs the agent, and for root"), "{}", said(&refused));
    assert_eq!(agent.status()["phase"], "serving");
    agent.stop();
}

#[test]
fn a_command_says_nothing_to_a_socket_of_another_user() {
    if !component::root("it becomes another user") || component::program("setpriv", "util-linux").is_none() {
        return;
    }
    let world = World::new();
    let mut agent = world.agent_with("one", [] as [&str; 0]);
    agent.wait_join_status("joinable");
    // To this user, `one` is served by somebody else than itself and root.
    std::fs::rename(socket(&agent), agent.dir().join("aside.sock")).unwrap();
    std::fs::set_permissions(agent.dir(), PermissionsExt::from_mode(0o777)).unwrap();
    let path = socket(&agent);
    let listening = std::thread::spawn(move || {
        // Only this thread becomes somebody else.
        rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(THIEF)).unwrap();
        UnixListener::bind(path).unwrap()
    });
    let thief = listening.join().unwrap();
    std::fs::set_permissions(socket(&agent), PermissionsExt::from_mode(0o666)).unwrap();
    chown(agent.dir().join("operator.token"), Some(STRANGER), Some(STRANGER)).unwrap();

    let state = world.state_root().display().to_string();
    let refused = as_stranger(&world, &["drain", "one", "--state-dir", &state]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains(&format!("served by uid {THIEF}")), "{}", said(&refused));
    let mut heard = Vec::new();
    thief.accept().unwrap().0.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"", "no byte of the request, and no token");
    std::fs::set_permissions(agent.dir(), PermissionsExt::from_mode(0o711)).unwrap();
    std::fs::rename(agent.dir().join("aside.sock"), socket(&agent)).unwrap();
    agent.stop();
}

#[test]
fn idle_connections_of_another_user_take_no_operators_place() {
    if !component::root("it becomes another user") {
        return;
    }
    let world = World::new();
    let mut agent = world.agent_with("one", [] as [&str; 0]);
    agent.wait_join_status("joinable");
    // Even where the file would let it in.
    std::fs::set_permissions(socket(&agent), PermissionsExt::from_mode(0o666)).unwrap();
    let sockets = [socket(&agent), agent.dir().join("game/api.sock")];
    let idle = std::thread::scope(|scope| {
        let stranger = scope.spawn(|| {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(STRANGER)).unwrap();
            let each = sockets.iter().flat_map(|socket| (0..130).map(move |_| UnixStream::connect(socket).unwrap()));
            each.collect::<Vec<_>>()
        });
        stranger.join().unwrap()
    });
    probes_and_drain_reach(&world, &mut agent);
    drop(idle);
}

#[test]
fn idle_connections_of_the_same_user_take_no_operators_place() {
    let world = World::new();
    let mut agent = world.agent_with("one", [] as [&str; 0]);
    agent.wait_join_status("joinable");
    let idle: Vec<_> = (0..300).map(|_| UnixStream::connect(socket(&agent)).unwrap()).collect();
    probes_and_drain_reach(&world, &mut agent);
    drop(idle);
}

#[test]
fn a_runtime_directory_that_another_user_made_is_not_read() {
    if !component::root("it becomes another user") || component::program("setpriv", "util-linux").is_none() {
        return;
    }
    let world = World::new();
    let mut agent = world.agent_with("one", [] as [&str; 0]);
    agent.wait_join_status("joinable");
    // As /tmp is: open to all, with a place that the thief was the first to take.
    let tmp = world.path().join("tmp");
    let agents = tmp.join("gameside-65534/agents");
    std::fs::create_dir_all(&agents).unwrap();
    std::fs::set_permissions(&tmp, PermissionsExt::from_mode(0o1777)).unwrap();
    let record = serde_json::json!({"name": "one", "pid": 1, "api": null, "socket": null, "state_dir": agent.dir()});
    std::fs::write(agents.join("one.json"), record.to_string()).unwrap();
    for path in [agents.parent().unwrap(), &agents, &agents.join("one.json")] {
        chown(path, Some(THIEF), None).unwrap();
    }
    for command in [&["status", "one"][..], &["ps"], &["drain", "one"], &["session", "show", "x"]] {
        let mut command = as_stranger(&world, command);
        command.env("GAMESIDE_RUNTIME_DIR", agents.parent().unwrap());
        let refused = command.output().unwrap();
        assert!(!refused.status.success());
        assert!(said(&refused).contains(&format!("belongs to uid {THIEF}")), "{}", said(&refused));
    }
    agent.stop();
}
