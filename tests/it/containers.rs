//! Both container shapes, as namespaces: a pid namespace and a mount namespace for each container,
//! an unprivileged user, a volume that is all they share. The network is one, as in a pod.

use crate::support::{
    agent::{Agent, Places, deaths},
    component,
    game_api::{GameApi, until},
    proc,
    service::Service,
    world::{GAMESIDE, PATIENCE, World},
};
use rustix::{
    fs::{Gid, Uid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use serde_json::{Value, json};
use std::{
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
};

/// As in the manifests.
const UID: u32 = 65532;

/// Of the game, where it has a user of its own.
const GAMES_UID: u32 = 65533;

/// As most pods: all that runs is one user.
const ONE_USER: &str = "--reuid 65532 --regid 65532 --clear-groups --no-new-privs --bounding-set=-all";
/// Root with no right but to start the game as another user.
const TWO_USERS: &str = "--clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all,+setuid,+setgid,+kill";

/// One container: the init of a pid namespace.
struct Container {
    child: Child,
}

impl Container {
    /// Runs `command` as PID 1, with the volume at `/mnt/gameside`, the programs in `/mnt/bin` and nothing of ours besides.
    fn run(world: &World, name: &str, volume: &Path, env: &[(&str, &str)], command: &[&str]) -> Self {
        Container::run_as(ONE_USER, world, name, volume, env, command)
    }

    /// The same as the user, and with the rights, that `setpriv` is told.
    fn run_as(user: &str, world: &World, name: &str, volume: &Path, env: &[(&str, &str)], command: &[&str]) -> Self {
        let script = r#"
            set -e
            volume=$1 gameside=$2 user=$3; shift 3
            exec 9< "$volume"                 # The world's directory is about to vanish with /tmp.
            mount -t tmpfs tmpfs /mnt
            mkdir /mnt/gameside /mnt/bin
            "$gameside" install /mnt/bin >/dev/null
            mount --bind /proc/self/fd/9 /mnt/gameside
            exec 9<&-
            mount -o remount,ro /sys/fs/cgroup 2>/dev/null || true
            for dir in /tmp /run /var/tmp; do mount -t tmpfs tmpfs $dir; done
            cd /
            exec setpriv $user "$@"
        "#;
        let log = world.log(&format!("{name}.log"));
        let mut unshare = world.command(
            "unshare",
            [
                "--pid",
                "--mount",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "--propagation",
                "private",
                "sh",
                "-c",
                script,
                "sh",
            ],
        );
        unshare.arg(volume).arg(GAMESIDE).arg(user).args(command).env_clear();
        unshare.env("PATH", "/mnt/bin:/usr/sbin:/usr/bin:/sbin:/bin").envs(env.iter().copied());
        unshare.env("GAMESIDE_TEST_WORLD", world.path());
        Container { child: unshare.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap() }
    }

    /// PID 1 as seen from here.
    fn init(&self) -> u32 {
        *proc::descendants(self.child.id()).first().expect("a container that runs")
    }

    /// The processes in it, PID 1 first.
    fn inside(&self) -> Vec<u32> {
        proc::descendants(self.child.id())
    }

    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        assert!(proc::gone(self.child.id(), PATIENCE), "the container is still running");
        self.child.wait().unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pod's volume, and an agent that is seen through it.
fn pod<'w>(world: &'w World, name: &str) -> (PathBuf, Agent<'w>) {
    let volume = world.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    std::os::unix::fs::chown(&volume, Some(UID), Some(UID)).unwrap();
    let places = Places::below(&volume.join("state"), &volume.join("run"), name);
    let agent = Agent::at(world, name, places, [""; 0]);
    (volume, agent)
}

const ENV: &[(&str, &str)] =
    &[("GAMESIDE_STATE_DIR", "/mnt/gameside/state"), ("GAMESIDE_RUNTIME_DIR", "/mnt/gameside/run")];

/// Containers know nothing of what others reserve, but the network is one.
fn configuration(world: &World, volume: &Path, service: &Service<'_>, more: &str) {
    let (own, ports) = (service.agent_config_by_env(), world.game_ports());
    let text = format!("{own}\n[guards]\nno_show_timeout = \"1h\"\n[game.ports.game]\nrange = \"{ports}\"\n{more}");
    std::fs::write(volume.join("gameside.toml"), text).unwrap();
}

/// The process's own number for itself.
fn inner(pid: u32) -> u32 {
    let list = proc::status(pid, "NSpid").unwrap();
    list.split_whitespace().last().unwrap().parse().unwrap()
}

fn from_inside(container: &Container, pid: &Value) -> u32 {
    let pid = u32::try_from(pid.as_u64().expect("a pid")).unwrap();
    let found = container.inside().into_iter().find(|outer| inner(*outer) == pid);
    found.unwrap_or_else(|| panic!("no process {pid} in the container"))
}

/// The next agent, which differs from the last in this member, has the same match.
fn taken_over(agent: &Agent<'_>, before: &Value, last: &Value, differs: &str) -> Value {
    let after = agent.wait("the next agent", |status| {
        status["agent"][differs] != last["agent"][differs]
            && status["join_status"] == "joinable"
            && status["gateway"]["connected"] == true
    });
    for same in ["/session_id", "/instance_id", "/game/pid", "/game/restarts", "/gateway/pid"] {
        assert_eq!(after.pointer(same), before.pointer(same), "{same}");
    }
    after
}

#[test]
fn one_container_keeps_the_match_through_a_crash_of_the_agent_and_drains() {
    if !component::root("it makes namespaces") {
        return;
    }
    let world = World::new();
    let service = Service::start(&world);
    let (volume, agent) = pod(&world, "match");
    configuration(&world, &volume, &service, "");
    let command = ["gameside", "run", "--name", "match", "--config", "/mnt/gameside/gameside.toml"];
    let secret = service.secret();
    let env: Vec<_> = ENV.iter().copied().chain([("GAMESIDE_CLIENT_SECRET", secret.as_str())]).collect();
    let mut container = Container::run(&world, "container", &volume, &env, &command);

    let before = agent.wait_join_status("joinable");
    assert_eq!(before["keeper"]["pid"], 1, "gameside is PID 1 and the keeper");
    let game = from_inside(&container, &before["game"]["pid"]);
    assert_eq!(proc::status(game, "Uid").unwrap().split_whitespace().next().unwrap(), UID.to_string());

    let api = GameApi::of(game);
    let mut events = api.stream(&format!("{}/v1/events", api.api));
    let mut last = before.clone();
    for _ in 1..deaths() {
        proc::signal(from_inside(&container, &last["agent"]["pid"]), 9);
        last = taken_over(&agent, &before, &last, "pid");
    }
    assert_eq!(api.ask("POST", "/v1/game/heartbeat", &json!({})), 204);

    proc::signal(container.init(), 15);
    until(&mut events, "event: drain");
    let ended = container.ended();
    assert_eq!(ended.code(), Some(0), "an orderly end");
    assert!(!proc::alive(game));
    service.wait_closed(before["session_id"].as_str().unwrap());
}

#[test]
fn a_sidecar_and_a_keeper_in_the_games_container_end_in_the_kubelets_order() {
    if !component::root("it makes namespaces") {
        return;
    }
    let world = World::new();
    let service = Service::start(&world);
    let (volume, agent) = pod(&world, "match");
    configuration(&world, &volume, &service, "[keeper]\nmode = \"connect\"\n");
    let command = ["gameside", "run", "--name", "match", "--config", "/mnt/gameside/gameside.toml"];
    let secret = service.secret();
    let env: Vec<_> = ENV.iter().copied().chain([("GAMESIDE_CLIENT_SECRET", secret.as_str())]).collect();
    // Native sidecars start first.
    let mut sidecar = Container::run(&world, "sidecar", &volume, &env, &command);
    let keeper = ["gameside-keeper", "--dir", "/mnt/gameside/state/match"];
    let mut container = Container::run(&world, "game", &volume, &[], &keeper);

    let before = agent.wait_join_status("joinable");
    assert_eq!(before["keeper"]["pid"], 1);
    let game = from_inside(&container, &before["game"]["pid"]);

    let api = GameApi::of(game);
    let mut events = api.stream(&format!("{}/v1/events", api.api));
    let mut last = before.clone();
    for _ in 1..deaths() {
        // The sidecar's container is replaced; the game doesn't notice.
        proc::signal(sidecar.init(), 9);
        sidecar.ended();
        assert!(proc::alive(game));
        sidecar = Container::run(&world, "sidecar", &volume, &env, &command);
        last = taken_over(&agent, &before, &last, "started");
    }

    // Deletion: the game's container gets SIGTERM, and the sidecar only once that has ended.
    proc::signal(container.init(), 15);
    until(&mut events, "event: drain");
    let ended = container.ended();
    assert_eq!(ended.code(), Some(0), "the agent ended the game in order and let the keeper go");
    assert!(!proc::alive(game));
    service.wait_closed(before["session_id"].as_str().unwrap());
    // It may have ended by itself with its keeper, also just now.
    if let Some(init) = sidecar.inside().first() {
        proc::signal(*init, 15);
    }
    assert_eq!(sidecar.ended().code(), Some(0));
}

/// Does it as a process of this user and no group of ours.
fn as_user<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
            set_thread_groups(&[]).unwrap();
            set_thread_res_gid(group, group, group).unwrap();
            set_thread_res_uid(user, user, user).unwrap();
            act()
        });
        thread.join().unwrap()
    })
}

/// What this user gets of a process: environment, memory, descriptors.
fn gets(uid: u32, pid: u32) -> Vec<String> {
    as_user(uid, || {
        let mut got: Vec<String> = Vec::new();
        for file in ["environ", "maps", "smaps", "mem", "auxv", "syscall"] {
            let path = format!("/proc/{pid}/{file}");
            if std::fs::File::open(&path).is_ok_and(|mut file| file.read(&mut [0]).is_ok_and(|count| count > 0)) {
                got.push(path);
            }
        }
        if std::fs::OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem")).is_ok() {
            got.push("its memory".to_owned());
        }
        let numbers = (0..64).map(|number| format!("/proc/{pid}/fd/{number}"));
        got.extend(numbers.filter(|path| std::fs::read_link(path).is_ok()));
        got.extend(
            std::fs::read_dir(format!("/proc/{pid}/fd")).is_ok().then(|| "the list of its descriptors".to_owned()),
        );
        got
    })
}

fn is_game(pid: u32) -> bool {
    proc::command_line(pid).get(1).is_some_and(|word| word == "practice")
}

/// Our processes among these, and what the game's user gets of them; of the game it gets everything.
fn ours_give_nothing(uid: u32, pids: &[u32]) -> usize {
    let (games, ours): (Vec<u32>, Vec<u32>) = pids.iter().partition(|pid| is_game(**pid));
    assert!(games.iter().all(|pid| gets(uid, *pid).len() > 4), "the game's user reads the game: {games:?}");
    for pid in &ours {
        assert_eq!(gets(uid, *pid), [""; 0], "{}", proc::describe(*pid));
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(cores.split_whitespace().nth(4), Some("0"), "{cores}");
    }
    ours.len()
}

#[test]
fn the_game_reads_nothing_of_ours_in_one_container_whichever_users_there_are() {
    if !component::root("it makes namespaces") {
        return;
    }
    for (users, uid) in [(ONE_USER, UID), (TWO_USERS, GAMES_UID)] {
        let world = World::new();
        let service = Service::start(&world);
        let (volume, agent) = pod(&world, "match");
        let (mut more, secret) = (String::new(), service.secret());
        let mut env = ENV.to_vec();
        if users == TWO_USERS {
            std::os::unix::fs::chown(&volume, Some(0), Some(0)).unwrap();
            let file = volume.join("secret");
            std::fs::write(&file, &secret).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
            assert!(as_user(uid, || std::fs::read(&file).is_err()));
            more = format!(
                "client_secret_file = \"/mnt/gameside/secret\"\n[keeper]\nuser = \"{uid}\"\ngateway_user = \"65534\"\n"
            );
        } else {
            env.push(("GAMESIDE_CLIENT_SECRET", &secret));
        }
        let (own, ports) = (service.agent_config_by_env(), world.game_ports());
        let rest = format!("[guards]\nno_show_timeout = \"1h\"\n[game.ports.game]\nrange = \"{ports}\"\n");
        std::fs::write(volume.join("gameside.toml"), own + &more + &rest).unwrap();
        let command = ["gameside", "run", "--name", "match", "--config", "/mnt/gameside/gameside.toml"];
        let mut container = Container::run_as(users, &world, "container", &volume, &env, &command);
        let status = agent.wait_join_status("joinable");

        let (shown, gateway) = (&status["keeper"]["users"], if users == TWO_USERS { 65534 } else { UID });
        assert_eq!((&shown["game"], &shown["gateway"]), (&uid.into(), &gateway.into()), "{status}");
        let inside = container.inside();
        assert_eq!(ours_give_nothing(uid, &inside), 4, "keeper, runner, agent, gateway");
        // Nor does it stand anywhere for those who may read it.
        for pid in inside {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
            let shown = String::from_utf8_lossy(&environment);
            assert!(!shown.contains(&secret), "{}", proc::describe(pid));
        }
        // A new agent of the same runner has it again.
        proc::signal(from_inside(&container, &status["agent"]["pid"]), 9);
        taken_over(&agent, &status, &status, "pid");
        assert_eq!(ours_give_nothing(uid, &container.inside()), 4);
        proc::signal(container.init(), 15);
        assert_eq!(container.ended().code(), Some(0));
    }
}

#[test]
fn a_game_of_the_same_user_reads_nothing_of_ours_in_a_terminal() {
    if !component::root("it becomes another user") || component::program("setpriv", "util-linux").is_none() {
        return;
    }
    let world = World::new();
    let places = Places::below(&world.path().join("own/state"), &world.path().join("own/run"), "one");
    std::fs::create_dir(world.path().join("own")).unwrap();
    std::os::unix::fs::chown(world.path().join("own"), Some(UID), Some(UID)).unwrap();
    let program = world.path().join("gameside");
    std::fs::copy(GAMESIDE, &program).unwrap();
    let command = |args: &[&str]| {
        let mut command = world.command("setpriv", ONE_USER.split(' '));
        command.arg(&program).args(args).current_dir("/").env("GAMESIDE_STATE_DIR", world.path().join("own/state"));
        command.env("GAMESIDE_RUNTIME_DIR", world.path().join("own/run"));
        command.stdout(world.log("terminal.log")).stderr(world.log("terminal.log"));
        command
    };
    let mut running = command(&["run", "--name", "one"]).spawn().unwrap();
    let agent = Agent::at(&world, "one", places, [""; 0]);
    let status = agent.wait_join_status("joinable");
    // It has its secret before it asks anybody.
    let mut client = command(&["session", "events"]).spawn().unwrap();
    while !proc::has_connection(client.id()) {
        assert!(client.try_wait().unwrap().is_none(), "it doesn't stay");
        agent.pause();
    }

    let all: Vec<u32> = world.processes();
    let ours: Vec<u32> = all.iter().copied().filter(|pid| !proc::command_line(*pid)[0].contains("setpriv")).collect();
    let count = ours_give_nothing(UID, &ours);
    assert_eq!(count, 6, "agent, keeper, its watcher, gateway, session service, client: {status}");
    client.kill().unwrap();
    client.wait().unwrap();
    let stopped = command(&["stop", "one"]).status().unwrap();
    assert!(stopped.success());
    assert!(running.wait().unwrap().success());
}
