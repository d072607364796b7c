//! The SDK gateway as the keeper's helper. A script stands in for it and does what the agent at the
//! other end of its stream tells it (`gateway.py`).

use super::{
    guarded::{AGENT, as_agent, guarded},
    harness::{Keeper, PATIENCE, PROGRAM, Wire, install, policy, spec, start, taken, until},
    output::Mount,
};
use crate::support::{component, proc};
use gameside::{
    internals::keeper::protocol::{Event, ListenerAddress, ListenerSpec, Order, exit},
    model::{
        ids::RunNumber,
        process::{ExitReport, ExitStatus, LaunchSpec, ProcessStats, RunState},
    },
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    time::Duration,
};

pub const STAND_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/keeper/gateway.py");
/// Both ways of containment; the first is by cgroup only where one can be made.
const BOTH: [&[&str]; 2] = [&["--gateway", STAND_IN], &["--gateway", STAND_IN, "--no-cgroup"]];

/// What an agent has of a gateway.
struct Gateway {
    pid: u32,
    reader: BufReader<UnixStream>,
}

impl Gateway {
    /// The controller of this wire is introduced.
    fn of(wire: &mut Wire) -> Gateway {
        match wire.ask(Order::Gateway) {
            Event::Gateway { pid } => {
                let stream = UnixStream::from(wire.descriptor());
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                Gateway { pid: pid as u32, reader: BufReader::new(stream) }
            }
            other => panic!("not introduced: {other:?}"),
        }
    }

    fn tell(&mut self, line: &str) {
        self.reader.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn heard(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.heard()
    }

    /// It has closed our stream.
    fn hung_up(mut self) {
        assert_eq!(self.heard(), "");
    }

    /// Until it has closed our stream.
    fn heard_out(mut self) {
        let _ = self.reader.read_to_end(&mut Vec::new());
    }

    fn stopped(&self) {
        proc::signal(self.pid, 19);
        until("it stands still", || proc::status(self.pid, "State").is_some_and(|state| state.starts_with('T')));
    }
}

fn gateway_ended(wire: &mut Wire) -> (Option<RunNumber>, String) {
    wire.wait("the gateway's end", |reply| match &reply.event {
        Event::GatewayEnded { run, status } => Some((*run, status.clone())),
        _ => None,
    })
}

/// Those that run for this keeper.
fn gateways(keeper: &Keeper) -> Vec<u32> {
    let mut all = proc::descendants(keeper.pid());
    all.retain(|pid| proc::alive(*pid) && proc::command_line(*pid).iter().any(|word| word == "gateway"));
    all
}

fn ended(run: u64, wire: &mut Wire) -> ExitReport {
    wire.done(Order::Kill { run: RunNumber(run) });
    let report = wire.exited(run);
    wire.done(taken(run));
    report
}

fn listen(wire: &mut Wire, names: [&str; 2]) -> Vec<SocketAddr> {
    let address = || ListenerAddress::Tcp("127.0.0.1:0".parse().unwrap());
    let want = names.map(|name| ListenerSpec { name: name.into(), address: address(), or_any: false });
    assert!(matches!(wire.ask(Order::Listeners { want: want.to_vec() }), Event::Listeners { .. }));
    names.map(|_| TcpListener::from(wire.descriptor()).local_addr().unwrap()).to_vec()
}

#[test]
fn agents_are_introduced_one_after_the_other_to_the_gateway_of_the_run() {
    let keeper = Keeper::start_with(BOTH[0]);
    let (mut wire, hello) = keeper.control();
    assert!(hello.gateway);
    let addresses = listen(&mut wire, ["sdk", "gsdk"]);
    let mut first = Gateway::of(&mut wire);
    wire.run(1, "exec sleep 600");
    assert_eq!(first.ask("listeners"), "sdk gsdk");
    drop(wire);
    let (mut wire, _) = keeper.control();
    let mut second = Gateway::of(&mut wire);
    assert_eq!(second.pid, first.pid, "a run has one gateway");
    first.hung_up();
    let mut client = TcpStream::connect(addresses[1]).unwrap();
    assert_eq!(second.ask("accept gsdk"), "accepted");
    let mut served = String::new();
    client.read_to_string(&mut served).unwrap();
    assert_eq!(served, second.pid.to_string());
}

#[test]
fn what_the_game_said_last_is_in_the_exit_report_and_stays_there() {
    for args in BOTH {
        let mut keeper = Keeper::start_with(args);
        let (mut wire, _) = keeper.control();
        let mut gateway = Gateway::of(&mut wire);
        wire.run(1, "exec sleep 600");
        assert_eq!(gateway.ask("babble"), "done", "and what the keeper doesn't know changes nothing");
        assert_eq!(gateway.ask("many-words 65536"), "done");
        wire.done(Order::Kill { run: RunNumber(1) });
        let report = wire.exited(1);
        assert_eq!(gateway.heard(), "the run has ended");
        gateway.hung_up();
        assert_eq!(report.last_words.as_deref(), Some("w".repeat(65536).as_str()));
        assert_eq!(report.gateway_ended, None);
        keeper.signal(9);
        keeper.ended();
        keeper.again();
        assert_eq!(keeper.control().1.run, RunState::Exited { report });
    }
}

#[test]
fn between_runs_another_agent_gets_another_gateway() {
    let keeper = Keeper::start_with(BOTH[0]);
    let (mut wire, _) = keeper.control();
    let used = Gateway::of(&mut wire);
    let next = Gateway::of(&mut wire);
    assert_ne!(next.pid, used.pid);
    assert!(proc::gone(used.pid, PATIENCE));
    used.hung_up();
    next.stopped();
    let pid = next.pid;
    Gateway::of(&mut wire);
    assert!(proc::gone(pid, PATIENCE), "one that doesn't end by itself is killed");
    assert_eq!(gateways(&keeper).len(), 1);
}

#[test]
fn a_crash_is_told_and_reported_and_the_run_gets_another_gateway() {
    let keeper = Keeper::start_with(BOTH[0]);
    let (mut wire, _) = keeper.control();
    let mut gateway = Gateway::of(&mut wire);
    wire.run(1, "exec sleep 600");
    gateway.tell("exit 3");
    assert_eq!(gateway_ended(&mut wire), (Some(RunNumber(1)), "exit status: 3".to_owned()));
    until("another one", || !gateways(&keeper).is_empty());
    let started = gateways(&keeper);
    let mut next = Gateway::of(&mut wire);
    assert_eq!(started, [next.pid], "it was there before anybody asked");
    assert_eq!(next.ask("words to the end"), "done");
    let report = ended(1, &mut wire);
    let crashed = report.gateway_ended.expect("when it crashed");
    assert!(report.started <= crashed && crashed <= report.ended, "{report:?}");
    assert_eq!(report.last_words.as_deref(), Some("to the end"));
}

#[test]
fn one_that_was_told_of_a_later_run_ends_and_is_no_crash() {
    let keeper = Keeper::start_with(BOTH[0]);
    let (mut wire, _) = keeper.control();
    let mut used = Gateway::of(&mut wire);
    wire.run(2, "exec sleep 600");
    used.tell("over");
    assert!(proc::gone(used.pid, PATIENCE));
    let mut next = Gateway::of(&mut wire);
    assert_ne!(next.pid, used.pid);
    assert_eq!(next.ask("words to the end"), "done");
    let report = ended(2, &mut wire);
    assert_eq!((report.gateway_ended, report.last_words.as_deref()), (None, Some("to the end")));
}

#[test]
fn one_that_crashes_again_and_again_is_waited_for_longer_and_longer() {
    let keeper = Keeper::start_with(&["--gateway", "/bin/false"]);
    let (mut wire, _) = keeper.control();
    let (mut crashes, mut longest) = (0, 0);
    // 20 ms and its double, and so on.
    while longest <= 100 {
        match wire.ask(Order::Gateway) {
            Event::Gateway { .. } => {
                wire.descriptor();
                assert_eq!(gateway_ended(&mut wire), (None, "exit status: 1".to_owned()));
                crashes += 1;
            }
            // It was faster than its introduction.
            Event::Refused { why, .. } if why.contains("can't be told of you") => {}
            Event::Refused { why, .. } => {
                let wait = why.strip_prefix("the gateway ended: exit status: 1; the next one is started in ");
                let wait = wait.and_then(|wait| wait.strip_suffix(" ms")).unwrap_or_else(|| panic!("{why}"));
                longest = longest.max(wait.parse().unwrap());
            }
            other => panic!("{other:?}"),
        }
        assert!(crashes < 20, "{longest} ms after {crashes} crashes");
    }
}

#[test]
fn where_there_is_no_program_there_is_no_gateway_until_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("gateway");
    let keeper = Keeper::start_with(&["--gateway", program.to_str().unwrap()]);
    let (mut wire, hello) = keeper.control();
    assert!(!hello.gateway);
    assert!(wire.refused(Order::Gateway).contains(&format!("no gateway program {}", program.display())));
    let broken = dir.path().join("broken");
    std::fs::write(&broken, "#!/no/such/interpreter\n").unwrap();
    install(&broken, &program);
    let why = wire.refused(Order::Gateway);
    assert!(why.contains("the interpreter or loader it names is missing"), "{why}");
    assert!(gateway_ended(&mut wire).1.contains("No such file"));
    install(Path::new(STAND_IN), &program);
    until("it is tried again", || {
        let mut wire = keeper.control().0;
        matches!(wire.ask(Order::Gateway), Event::Gateway { .. })
    });
    assert!(keeper.control().1.gateway);

    let keeper = Keeper::start_with(&["--gateway", "none"]);
    let (mut wire, hello) = keeper.control();
    assert!(!hello.gateway && wire.refused(Order::Gateway).contains("starts no gateway"));
}

#[test]
fn a_gateway_stopped_by_somebody_delays_the_exit_for_a_moment_and_is_killed() {
    for args in BOTH {
        let keeper = Keeper::start_with(args);
        let (mut wire, _) = keeper.control();
        let gateway = Gateway::of(&mut wire);
        wire.run(1, "exit 5 < /dev/null");
        let report = wire.exited(1);
        assert_eq!(report.status, ExitStatus::Exited { code: 5 }, "{args:?}");
        wire.done(taken(1));
        drop(gateway);

        let mut gateway = Gateway::of(&mut wire);
        assert_eq!(gateway.ask("words that nobody gets"), "done");
        wire.run(2, "exec sleep 600");
        gateway.stopped();
        assert_eq!(ended(2, &mut wire).last_words, None);
        assert!(proc::gone(gateway.pid, PATIENCE));
        wire.run(3, "exit 0");
        wire.exited(3);
    }
}

#[test]
fn until_the_last_words_are_there_the_run_is_not_over() {
    let keeper = Keeper::start_with(BOTH[0]);
    let (mut wire, _) = keeper.control();
    // The keeper waits for a short time only, so that a slow machine may miss it.
    for run in (1..100).step_by(2) {
        let mut gateway = Gateway::of(&mut wire);
        assert_eq!(gateway.ask("mute"), "done");
        wire.run(run, "exec sleep 600");
        wire.done(Order::Kill { run: RunNumber(run) });
        assert_eq!(gateway.heard(), "the run has ended");
        let mut observer = keeper.wire();
        let Event::Hello { hello, .. } = observer.try_hello(true, None) else { panic!("no hello") };
        let early = wire.ask(start(run + 1, "exit 0"));
        wire.exited(run);
        wire.done(taken(run));
        match (&hello.run, &early) {
            (RunState::Running { run: number, .. }, Event::Refused { why, .. }) if why.contains("isn't over") => {
                assert_eq!(number.0, run);
                return;
            }
            (RunState::Running { .. } | RunState::Exited { .. }, Event::Refused { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("a run was never seen waiting for its gateway");
}

#[test]
fn when_a_run_has_ended_the_next_gateway_is_started_once_one_was_asked_for() {
    let keeper = Keeper::start_with(BOTH[0]);
    let (mut wire, _) = keeper.control();
    wire.run(1, "exec sleep 600");
    ended(1, &mut wire);
    wire.done(Order::Output { on: false, kept: false });
    assert_eq!(gateways(&keeper), [0; 0]);
    let used = Gateway::of(&mut wire);
    wire.run(2, "exec sleep 600");
    ended(2, &mut wire);
    let pid = used.pid;
    used.heard_out();
    until("the next one", || gateways(&keeper).iter().any(|other| *other != pid));
    let next = gateways(&keeper).into_iter().find(|other| *other != pid).unwrap();
    assert_eq!(Gateway::of(&mut wire).pid, next);
}

#[test]
fn a_start_that_fails_uses_its_gateway_up() {
    let keeper = Keeper::start_with(BOTH[0]);
    let (mut wire, _) = keeper.control();
    let mut pids = Vec::new();
    // One fails before a process is made, the other in it.
    for (run, program) in [(1, "no-such-game"), (2, "/no/such/game")] {
        let mut gateway = Gateway::of(&mut wire);
        pids.push(gateway.pid);
        assert_eq!(gateway.ask("words of nobody"), "done");
        let game = LaunchSpec { argv: vec![program.into()], ..spec("") };
        wire.done(Order::Start { run: RunNumber(run), spec: Box::new(game) });
        let report = wire.exited(run);
        assert!(matches!(report.status, ExitStatus::SpawnFailed { .. }));
        assert_eq!(report.last_words, None);
        wire.done(taken(run));
        gateway.hung_up();
    }
    assert!(!pids.contains(&Gateway::of(&mut wire).pid) && pids[0] != pids[1]);
}

#[test]
fn it_is_neither_part_of_the_run_nor_bound_by_its_limits() {
    for args in BOTH {
        let keeper = Keeper::start_with(&[args, &["--limit", "nofile=77:99"]].concat());
        let (mut wire, _) = keeper.control();
        let mut gateway = Gateway::of(&mut wire);
        wire.run(1, "cat /proc/self/cgroup; exec sleep 600");
        let game = wire.output("0::");
        let facts: Value = serde_json::from_str(&gateway.ask("facts")).unwrap();
        let stats = wire.ask(Order::Stats);
        assert!(matches!(stats, Event::Stats { stats: Some(ProcessStats { processes: 1, .. }), .. }), "{stats:?}");
        if game.contains("/game-") {
            assert_ne!(facts["cgroup"].as_str().unwrap().trim(), game, "{args:?}");
        }
        assert_eq!(facts["core"], serde_json::json!([0, 0]));
        assert!(facts["files"][0] == facts["files"][1] && facts["files"][1].as_u64() > Some(99), "{facts}");
        assert_eq!(facts["session"], gateway.pid);
        assert_eq!(facts["cwd"], "/");
        assert_eq!(facts["input"], "/dev/null");
        assert_eq!(facts["outputs"], serde_json::json!([own_error(&keeper), own_error(&keeper)]));
        let known = ["PATH", "GAMESIDE_LOG", "RUST_LOG"];
        let env: Vec<String> = serde_json::from_value(facts["env"].clone()).unwrap();
        assert!(env.iter().all(|name| known.contains(&name.as_str())), "{env:?}");
        assert!(env.contains(&"PATH".to_owned()));
        // Besides its streams and the control socket: the one to the agent, and the directory that
        // it lists.
        assert_eq!(facts["fds"].as_array().unwrap().len(), 6, "{facts}");
    }
}

fn own_error(keeper: &Keeper) -> String {
    let link = std::fs::read_link(format!("/proc/{}/fd/2", keeper.pid()));
    link.unwrap().to_str().unwrap().to_owned()
}

#[test]
fn no_gateway_outlives_its_keeper() {
    // However it ends: killed, by order, or told to stop without an agent.
    for (order, code) in
        [(None, 128 + 9), (Some(Order::Shutdown), 0), (Some(Order::Stop { now: false }), i32::from(exit::ORPHANED))]
    {
        let mut keeper = Keeper::start_with(BOTH[0]);
        let (mut wire, _) = keeper.control();
        let used = Gateway::of(&mut wire);
        used.stopped();
        let gateway = Gateway::of(&mut wire);
        gateway.stopped();
        match order {
            Some(order) => wire.done(order),
            None => keeper.signal(9),
        }
        drop(wire);
        assert_eq!(keeper.ended().code(), Some(code));
        assert!(!proc::alive(gateway.pid) && !proc::alive(used.pid), "{code}");
    }
}

#[test]
fn told_to_stop_without_an_agent_the_last_words_are_kept() {
    let mut keeper = Keeper::start_with(BOTH[0]);
    let (mut wire, _) = keeper.control();
    let mut gateway = Gateway::of(&mut wire);
    wire.done(Order::Fallback { policy: policy(Duration::from_secs(10)) });
    wire.run(1, "exec sleep 600");
    assert_eq!(gateway.ask("words of an orphan"), "done");
    drop(wire);
    keeper.signal(15);
    assert_eq!(keeper.ended().code(), Some(i32::from(exit::ORPHANED)));
    assert!(!proc::alive(gateway.pid));
    keeper.again();
    let RunState::Exited { report } = keeper.control().1.run else { panic!("the end was kept") };
    assert_eq!(report.last_words.as_deref(), Some("of an orphan"));
}

#[test]
fn one_that_hangs_up_is_killed() {
    let keeper = Keeper::start_with(BOTH[0]);
    let (mut wire, _) = keeper.control();
    let mut gateway = Gateway::of(&mut wire);
    wire.run(1, "exec sleep 600");
    assert_eq!(gateway.ask("hang-up"), "done");
    assert_eq!(gateway_ended(&mut wire), (Some(RunNumber(1)), "signal: 9 (SIGKILL)".to_owned()));
    assert!(ended(1, &mut wire).gateway_ended.is_some());
}

#[test]
fn on_a_full_disk_the_last_words_are_told_and_the_report_is_kept_without() {
    if !component::root("it mounts a small file system") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let _mount = Mount::tmpfs(dir.path(), "300k");
    let mut command = std::process::Command::new(PROGRAM);
    command.arg("--dir").arg(dir.path()).args(["--detach", "--gateway", STAND_IN]);
    assert!(command.status().unwrap().success());
    let mut wire = Wire::at(&dir.path().join("keeper.sock"));
    wire.hello(None);
    let mut gateway = Gateway::of(&mut wire);
    wire.done(start(1, "seq 1 1000000; read line; exit 5"));
    assert_eq!(gateway.ask("many-words 60000"), "done");
    wire.done(Order::Stdin { run: RunNumber(1), line: "end".into() });
    let report = wire.exited(1);
    assert_eq!(report.last_words.map(|words| words.len()), Some(60000));
    let kept = std::fs::read_to_string(dir.path().join("keeper/exit")).unwrap();
    let kept: Value = serde_json::from_str(kept.lines().next().unwrap()).unwrap();
    assert_eq!((&kept["report"]["status"]["code"], kept["report"].get("last_words")), (&5.into(), None));
    wire.done(taken(1));
    wire.done(Order::Shutdown);
    wire.rest();
}

/// The stand-in where every user can run it.
fn for_everybody() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("gateway");
    install(Path::new(STAND_IN), &program);
    let program = program.display().to_string();
    (dir, program)
}

/// Its user and groups; it never has a capability.
fn identity(gateway: &mut Gateway) -> (u64, Value) {
    let facts: Value = serde_json::from_str(&gateway.ask("facts")).unwrap();
    for set in facts["caps"].as_array().unwrap() {
        assert_eq!(set, "0000000000000000");
    }
    assert_eq!(facts["no_new_privs"], "1");
    let uids: Vec<u64> = serde_json::from_value(facts["uids"].clone()).unwrap();
    assert_eq!(uids, [uids[0]; 3]);
    (uids[0], facts["groups"].clone())
}

#[test]
fn a_guarded_keepers_gateway_has_the_agents_user_or_one_of_its_own() {
    if !component::root("its keeper runs as root") {
        return;
    }
    let (_dir, program) = for_everybody();
    for (more, uid) in [(&[][..], u64::from(AGENT)), (&["--gateway-user", "65532"][..], 65532)] {
        let keeper = guarded(&[&["--gateway", &program], more].concat());
        let mut wire = as_agent(|| Wire::at(&keeper.socket()));
        wire.hello(None);
        let mut gateway = Gateway::of(&mut wire);
        assert_eq!(identity(&mut gateway), (uid, serde_json::json!([uid])));
        gateway.stopped();
        let next = Gateway::of(&mut wire);
        assert!(proc::gone(gateway.pid, PATIENCE), "of three capabilities, one is for this");
        assert!(proc::alive(next.pid));
    }
}

#[test]
fn without_another_user_to_be_had_it_has_the_keepers() {
    let (_dir, program) = for_everybody();
    let keeper = Keeper::start_with(&["--gateway", &program]);
    let (mut wire, _) = keeper.control();
    let own = u64::from(rustix::process::geteuid().as_raw());
    assert_eq!(identity(&mut Gateway::of(&mut wire)).0, own);
    if !component::root("it starts the gateway as another user") {
        return;
    }
    let keeper = Keeper::start_with(&["--gateway", &program, "--gateway-user", "65534", "--user", "65533"]);
    let (mut wire, _) = keeper.control();
    assert_eq!(identity(&mut Gateway::of(&mut wire)), (65534, serde_json::json!([65534])));
}
