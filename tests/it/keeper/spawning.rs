//! What the game gets and doesn't get, and starts that fail.

use super::harness::{Keeper, Wire, install, spec, taken};
use crate::support::{component, proc};
use gameside::{
    internals::keeper::protocol::{Event, Order},
    model::{
        ids::RunNumber,
        process::{ExitStatus, LaunchFile, LaunchSpec},
    },
};
use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt},
    path::Path,
    process::Command,
};

fn begin(wire: &mut Wire, run: u64, spec: LaunchSpec) {
    wire.done(Order::Output { on: true, kept: false });
    wire.done(Order::Start { run: RunNumber(run), spec: Box::new(spec) });
}

fn failed(wire: &mut Wire, run: u64, spec: LaunchSpec) -> String {
    begin(wire, run, spec);
    let report = wire.exited(run);
    wire.done(taken(run));
    match report.status {
        ExitStatus::SpawnFailed { error } => error,
        other => panic!("not a failed start: {other:?}"),
    }
}

#[test]
fn a_start_that_fails_says_why_with_path_and_errno() {
    let keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    let argv = |program: &str| LaunchSpec { argv: vec![program.into()], ..spec("") };
    assert!(failed(&mut wire, 1, argv("/no/such/game")).contains("/no/such/game: No such file"));
    assert!(failed(&mut wire, 2, argv("no-such-game")).contains("PATH"));
    assert!(failed(&mut wire, 3, argv("/etc/passwd")).contains("/etc/passwd: Permission denied"));
    let nowhere = LaunchSpec { dir: Some("/no/such/dir".into()), ..argv("/bin/true") };
    assert!(failed(&mut wire, 4, nowhere).contains("working directory"));
    let script = keeper.path().join("script");
    let text = keeper.path().join("text");
    std::fs::write(&text, "#!/no/such/interpreter\n").unwrap();
    install(&text, &script);
    assert!(failed(&mut wire, 5, argv(script.to_str().unwrap())).contains("interpreter"));
    wire.run(6, "exit 0");
    assert_eq!(wire.exited(6).status, ExitStatus::Exited { code: 0 });
}

#[test]
fn the_game_gets_three_descriptors_a_clean_environment_and_default_signals() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(super::harness::PROGRAM);
    command.arg("--dir").arg(dir.path()).arg("--detach");
    command.env("NOTIFY_SOCKET", "/run/x").env("WATCHDOG_USEC", "1").env("SECRET", "s").env("LANG", "C.UTF-8");
    assert!(command.status().unwrap().success());
    let mut wire = super::harness::Wire::at(&dir.path().join("keeper.sock"));
    wire.hello(None);
    let env = [("NOTIFY_SOCKET", "/x"), ("GAMESIDE_MAP", "dm1")].map(|(key, value)| (key.into(), value.into())).into();
    let script = "env | sed 's/^/env /'; for f in /proc/self/fd/*; do echo fd ${f##*/}; done; grep -E 'Sig(Blk|Ign)' /proc/self/status; echo sid $(ps -o sid= -p $$) pid $$; echo end";
    begin(&mut wire, 1, LaunchSpec { env, ..spec(script) });
    wire.output("end");
    let log = std::fs::read_to_string(dir.path().join("logs/game.log")).unwrap();
    let names: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("env ")?.split('=').next()).collect();
    let known = ["PATH", "HOME", "USER", "LANG", "TZ", "GAMESIDE_MAP", "PWD", "SHLVL", "OLDPWD", "_"];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    assert!(log.contains("env GAMESIDE_MAP=dm1") && log.contains("env LANG=C.UTF-8"));
    // The shell's glob has one of its own open while it reads the directory.
    let fds: Vec<u32> = log.lines().filter_map(|line| line.strip_prefix("fd ")?.parse().ok()).collect();
    assert!(fds.iter().all(|fd| *fd <= 3), "{fds:?}");
    assert!(log.contains("SigBlk:\t0000000000000000"), "{log}");
    assert!(log.contains("SigIgn:\t0000000000000000"), "{log}");
    wire.exited(1);
    wire.done(taken(1));
    wire.done(Order::Shutdown);
}

#[test]
fn the_startup_file_is_there_before_the_game_and_no_link_is_followed() {
    let keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    let path = keeper.path().join("game/startup.json");
    let file = |path: &Path| LaunchFile { path: path.display().to_string(), text: "{\"map\":\"dm1\"}".into() };
    let read = LaunchSpec { file: Some(file(&path)), ..spec(&format!("cat {}", path.display())) };
    begin(&mut wire, 1, read);
    assert_eq!(wire.output("map"), "{\"map\":\"dm1\"}");
    wire.exited(1);
    wire.done(taken(1));
    // A link in its place is replaced, not followed.
    let victim = keeper.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    begin(&mut wire, 2, LaunchSpec { file: Some(file(&path)), ..spec("exit 0") });
    wire.exited(2);
    wire.done(taken(2));
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    let outside = LaunchSpec { file: Some(file(&victim)), ..spec("exit 0") };
    assert!(failed(&mut wire, 3, outside).contains("must lie directly in"));
}

#[test]
fn the_game_can_not_reach_into_the_keeper() {
    let keeper = Keeper::start();
    // It listens before it gives its rights up, and answers afterwards.
    keeper.control();
    let pid = keeper.pid();
    let status = |name| proc::status(pid, name).unwrap();
    if component::is_root() {
        let kept = (1 << 5) | (1 << 6) | (1 << 7); // KILL, SETGID, SETUID
        for set in ["CapEff", "CapPrm"] {
            assert_eq!(u64::from_str_radix(&status(set), 16).unwrap() & !kept, 0, "{set}");
        }
    }
    assert_eq!(status("Threads"), "1");
    let owner = std::fs::metadata(format!("/proc/{pid}/maps")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&owner), 0, "an undumpable process's files are root's");
}

#[test]
fn limits_are_the_keepers_own() {
    let keeper = Keeper::start_with(&["--limit", "nofile=77:99", "--limit", "core=0"]);
    let (mut wire, _) = keeper.control();
    wire.run(1, "echo soft $(ulimit -Sn) hard $(ulimit -Hn)");
    assert_eq!(wire.output("soft"), "soft 77 hard 99");
}

#[test]
fn only_what_the_roots_allow_is_started() {
    let root = tempfile::tempdir().unwrap();
    let allowed = root.path().join("game");
    install(Path::new("/bin/true"), &allowed);
    let keeper = Keeper::start_with(&["--executable-root", root.path().to_str().unwrap()]);
    let (mut wire, _) = keeper.control();
    assert!(failed(&mut wire, 1, spec("true")).contains("--executable-root"));
    begin(&mut wire, 2, LaunchSpec { argv: vec![allowed.display().to_string()], ..spec("") });
    assert_eq!(wire.exited(2).status, ExitStatus::Exited { code: 0 });
}

#[test]
fn root_starts_the_game_as_its_user_and_obeys_one_uid() {
    if !component::root("it starts the game as another user") {
        return;
    }
    let keeper = Keeper::start_with(&["--user", "65534", "--limit", "nofile=4096:8192"]);
    let (mut wire, _) = keeper.control();
    wire.run(1, "echo who $(id -u) $(id -g) $(id -G); grep CapEff /proc/self/status; kill -9 $PPID; echo alive");
    assert!(wire.output("who").starts_with("who 65534 65534 65534"));
    assert!(wire.output("CapEff").ends_with("0000000000000000"));
    wire.output("alive");
    wire.exited(1);
    // With no capability but three, the keeper still kills what belongs to another user.
    wire.done(taken(1));
    let pid = wire.run(2, "exec sleep 600");
    wire.done(Order::Kill { run: RunNumber(2) });
    wire.exited(2);
    assert!(!proc::alive(pid));
    std::fs::set_permissions(keeper.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(keeper.socket(), PermissionsExt::from_mode(0o666)).unwrap();
    let other = Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", "--"])
        .args(["/usr/bin/python3", "-c", "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(20); sys.exit(0 if s.recv(1)==b'' else 1)"])
        .arg(keeper.socket())
        .status()
        .unwrap();
    assert!(other.success(), "another user is hung up on");
    wire.done(Order::Record { text: "and the agent isn't".into() });
}

#[test]
fn a_root_keeper_without_bounds_is_no_door_for_another_user() {
    if !component::root("its keeper runs as root") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(super::harness::PROGRAM);
    let output = command.arg("--dir").arg(dir.path()).args(["--agent-uid", "65534"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--executable-root"));
}

/// A keeper's program and state where another user can reach them.
struct Home {
    dir: tempfile::TempDir,
    program: std::path::PathBuf,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        let program = dir.path().join("gameside-keeper");
        install(Path::new(super::harness::PROGRAM), &program);
        Home { dir, program }
    }

    /// Starts it detached, as the user that `setpriv` is told of, and for this user's orders.
    fn start(&self, user: &[&str], options: &[&str]) -> super::harness::Wire {
        let state = self.dir.path().join("state");
        let mut command = Command::new("setpriv");
        command.args(user).args(["--clear-groups", "--"]).arg(&self.program).arg("--dir").arg(&state);
        let output = command.args(["--detach", "--agent-uid", "0"]).args(options).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        std::fs::set_permissions(state.join("keeper.sock"), PermissionsExt::from_mode(0o666)).unwrap();
        super::harness::Wire::at(&state.join("keeper.sock"))
    }
}

#[test]
fn a_few_capabilities_are_enough_three_are_kept_and_the_game_gets_none() {
    if !component::root("it hands out capabilities") {
        return;
    }
    let home = Home::new();
    // As systemd does it for gameside-keeper@.service.
    let caps = "-all,+setuid,+setgid,+kill,+setpcap";
    let user = ["--reuid=65533", "--regid=65533", "--inh-caps", caps, "--ambient-caps", caps];
    let mut wire = home.start(&user, &["--user", "65534", "--oom-score-adj", "321"]);
    let hello = wire.hello(None);
    let game = wire.run(
        1,
        "(setsid sh -c 'echo helper $$; exec sleep 600' &); echo who $(id -u); cat /proc/self/status; exec sleep 600",
    );
    let helper = super::harness::number(&wire.output("helper "), "helper ");
    assert_eq!(wire.output("who"), "who 65534");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(wire.output(set).ends_with("0000000000000000"), "{set}");
    }
    assert!(wire.output("NoNewPrivs").ends_with('1'));
    let score = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
    assert_eq!(score(game), "321\n", "though the keeper can't be read");
    assert_ne!(score(hello.pid as u32), "321\n");
    let users = hello.users.unwrap();
    assert_eq!((users.keeper, users.game, users.agent), (65533, 65534, Some(0)));
    let kept = |set| proc::status(hello.pid as u32, set).unwrap();
    assert_eq!((kept("CapPrm").as_str(), kept("CapEff").as_str()), ("00000000000000e0", "00000000000000e0"));
    assert_eq!((kept("CapInh").as_str(), kept("CapAmb").as_str()), ("0000000000000000", "0000000000000000"));
    proc::signal(hello.pid as u32, 9);
    assert!(proc::gone(game, super::harness::PATIENCE) && proc::gone(helper, super::harness::PATIENCE));
}

#[test]
fn a_file_for_the_game_is_read_by_the_game_and_by_nobody_else() {
    if !component::root("its keeper runs as root") {
        return;
    }
    let mode = |path: &Path| {
        let about = std::fs::metadata(path).unwrap();
        (about.permissions().mode() & 0o7777, about.gid())
    };
    let own = rustix::process::getegid().as_raw();
    for (args, expected) in [(&["--user", "4242"][..], (0o640, 4242)), (&[], (0o600, own))] {
        let keeper = Keeper::start_with(args);
        // The test's directory is for its user alone.
        std::fs::set_permissions(keeper.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let file = LaunchFile { path: "game/secret.json".into(), text: "for the game\n".into() };
        let (mut wire, _) = keeper.control();
        let path = keeper.path().join("game/secret.json");
        let script = format!("cat {}; exec sleep 600", path.display());
        begin(&mut wire, 1, LaunchSpec { file: Some(file), ..spec(&script) });
        assert_eq!(wire.output("for the"), "for the game");
        assert_eq!(mode(&path), expected);
        assert!(super::guarded::as_agent(|| std::fs::read(&path).is_err()), "another user");
    }
}

#[test]
fn an_unprivileged_keeper_does_it_all_too() {
    if !component::root("it becomes another user") {
        return;
    }
    let home = Home::new();
    let mut wire = home.start(&["--reuid=65534", "--regid=65534"], &[]);
    let hello = wire.hello(None);
    let game = wire.run(1, "(setsid sh -c 'echo helper $$; exec sleep 600' &); exec sleep 600");
    let helper = super::harness::number(&wire.output("helper "), "helper ");
    proc::signal(hello.pid as u32, 9);
    assert!(proc::gone(game, super::harness::PATIENCE) && proc::gone(helper, super::harness::PATIENCE));
    match wire.rest().as_slice() {
        [] => {}
        events => assert!(events.iter().all(|event| matches!(event, Event::Output { .. })), "{events:?}"),
    }
}

#[test]
fn a_crash_is_reported_with_its_signal_and_core_file() {
    let keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    let dir = Some(keeper.path().display().to_string());
    begin(&mut wire, 1, LaunchSpec { dir, ..spec("ulimit -c unlimited; kill -SEGV $$") });
    let report = wire.exited(1);
    let ExitStatus::Signaled { signal: 11, core } = report.status else { panic!("{report:?}") };
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if core && matches!(pattern.trim(), "core" | "core.%p") {
        assert!(Path::new(&report.core_path.expect("a core file")).exists());
    }
}
