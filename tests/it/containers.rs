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
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
};

/// As in the manifests.
const UID: u32 = 65532;

/// One container: the init of a pid namespace.
struct Container {
    child: Child,
}

impl Container {
    /// Runs `command` as PID 1, with the volume at `/mnt/gameside`, the programs in `/mnt/bin` and nothing of ours besides.
    fn run(world: &World, name: &str, volume: &Path, env: &[(&str, &str)], command: &[&str]) -> Self {
        let script = r#"
            set -e
            volume=$1 gameside=$2; shift 2
            exec 9< "$volume"                 # The world's directory is about to vanish with /tmp.
            mount -t tmpfs tmpfs /mnt
            mkdir /mnt/gameside /mnt/bin
            "$gameside" install /mnt/bin >/dev/null
            mount --bind /proc/self/fd/9 /mnt/gameside
            exec 9<&-
            mount -o remount,ro /sys/fs/cgroup 2>/dev/null || true
            for dir in /tmp /run /var/tmp; do mount -t tmpfs tmpfs $dir; done
            cd /
            exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs --bounding-set=-all "$@"
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
        unshare.arg(volume).arg(GAMESIDE).args(command).env_clear();
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
