//! The game's pipes: never blocked, never lost without being counted.

use super::harness::{Keeper, start, taken, until};
use crate::support::component;
use gameside::{
    internals::keeper::protocol::{Event, ExecStatus, Losses, Order},
    model::ids::RunNumber,
};
use std::process::Command;

fn losses(wire: &mut super::harness::Wire) -> Losses {
    match wire.ask(Order::Stats) {
        Event::Stats { losses, .. } => losses,
        other => panic!("{other:?}"),
    }
}

/// Lines `1` to `n`, as fast as it goes.
fn count(to: u32) -> String {
    format!("seq 1 {to}; seq 1 3 >&2; echo last")
}

#[test]
fn at_full_speed_without_an_agent_every_byte_is_in_the_log() {
    let keeper = Keeper::start_with(&["--log-cap", "256MiB", "--log-files", "1"]);
    let (mut wire, _) = keeper.control();
    wire.done(start(1, &count(2_000_000)));
    drop(wire);
    until("the run has ended", || matches!(keeper.control().1.run, gameside::model::process::RunState::Exited { .. }));
    let log = keeper.log();
    assert!(log.ends_with("last\n") || log.ends_with("3\n"));
    let numbers: u64 = log.lines().filter_map(|line| line.parse::<u64>().ok()).sum();
    assert_eq!(numbers, 2_000_000 * 2_000_001 / 2 + 6);
}

#[test]
fn a_slow_agent_loses_lines_and_is_told_how_many_while_the_game_goes_on() {
    let keeper = Keeper::start_with(&["--log-cap", "256MiB", "--log-files", "1"]);
    let (mut wire, _) = keeper.control();
    wire.done(Order::Output { on: true, kept: false });
    wire.done(start(1, &count(1_000_000)));
    // We don't read: only the log shows that the game got through.
    until("the game is through", || keeper.log().contains("last\n"));
    wire.exited(1);
    let lost = losses(&mut wire);
    assert!(lost.lines > 0 && lost.log_bytes == 0, "{lost:?}");
    assert_eq!(keeper.log().lines().count(), 1_000_004);
}

#[test]
fn lines_come_whole_lossy_and_bounded() {
    let keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    wire.run(1, "printf 'caf\\351 bad\\n'; printf 'no end'; head -c 100000 /dev/zero | tr '\\0' x >&2");
    assert_eq!(wire.output("bad"), "caf\u{fffd} bad");
    assert_eq!(wire.output("no end"), "no end");
    let long = wire.output("xxx");
    assert_eq!(long.len(), 64 << 10);
    assert_eq!(wire.output("xxx").len(), 100_000 - (64 << 10));
}

#[test]
fn a_full_disk_costs_output_and_nothing_else() {
    if !component::root("it mounts a small file system") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = Mount::tmpfs(dir.path(), "300k");
    let mut command = Command::new(super::harness::PROGRAM);
    assert!(command.arg("--dir").arg(mount.0).arg("--detach").status().unwrap().success());
    let mut wire = super::harness::Wire::at(&dir.path().join("keeper.sock"));
    wire.hello(None);
    wire.done(start(1, "seq 1 1000000; exit 5"));
    let report = wire.exited(1);
    assert_eq!(report.status, gameside::model::process::ExitStatus::Exited { code: 5 });
    assert!(losses(&mut wire).log_bytes > 1_000_000);
    // The exit report got its room beforehand.
    let kept = std::fs::read_to_string(dir.path().join("keeper/exit")).unwrap();
    assert!(kept.contains("\"code\":5"), "{kept}");
    // Once there is room again, the log says what is missing.
    wire.done(taken(1));
    std::fs::remove_file(dir.path().join("logs/game.log")).unwrap();
    wire.run(2, "echo back");
    wire.output("back");
    wire.exited(2);
    wire.done(taken(2));
    wire.done(Order::Shutdown);
    wire.rest();
}

/// A file system of its own for one test.
pub struct Mount<'a>(&'a std::path::Path);

impl<'a> Mount<'a> {
    pub fn tmpfs(at: &'a std::path::Path, size: &str) -> Self {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at);
        assert!(command.status().unwrap().success());
        Mount(at)
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

#[test]
fn the_console_is_bounded() {
    let keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    wire.run(1, "read line; echo got $line; exec sleep 600");
    let stdin = |line: String| Order::Stdin { run: RunNumber(1), line };
    wire.done(stdin("quit".into()));
    assert_eq!(wire.output("got"), "got quit");
    let mut taken = 0;
    let why = loop {
        match wire.ask(stdin("x".repeat(8000))) {
            Event::Done => taken += 1,
            Event::Refused { why, .. } => break why,
            other => panic!("{other:?}"),
        }
    };
    assert!(why.contains("doesn't read") && taken < 100, "{taken}: {why}");
}

#[test]
fn commands_run_beside_the_game_and_never_for_too_long() {
    let keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    wire.run(1, "exec sleep 600");
    let mut exec = |script: &str, millis| {
        let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
        match wire.ask(Order::Exec { argv, timeout_ms: millis }) {
            Event::Exec { result } => result,
            other => panic!("{other:?}"),
        }
    };
    let result = exec("echo fine; echo hm >&2; exit 3", 20_000);
    assert_eq!((result.status, result.output.as_str()), (ExecStatus::Exited(3), "fine\nhm\n"));
    for _ in 0..5 {
        assert_eq!(exec("trap '' TERM; setsid sleep 600 & wait", 50).status, ExecStatus::TimedOut);
        assert_eq!(exec("exit 0", 20_000).status, ExecStatus::Exited(0), "the next one is left alone");
    }
    assert_eq!(exec("head -c 1000000 /dev/zero | tr '\\0' y", 20_000).output.len(), 64 << 10);
    let argv = vec!["/no/such/probe".to_owned()];
    match wire.ask(Order::Exec { argv, timeout_ms: 1000 }) {
        Event::Exec { result } => assert!(matches!(result.status, ExecStatus::NotStarted(_)), "{result:?}"),
        other => panic!("{other:?}"),
    }
    wire.done(Order::Kill { run: RunNumber(1) });
    let report = wire.exited(1);
    assert_eq!(report.stragglers, 0, "commands are no stragglers of the game");
}

#[test]
fn the_log_is_rotated_within_its_cap() {
    let keeper = Keeper::start_with(&["--log-cap", "64KiB", "--log-files", "4"]);
    let (mut wire, _) = keeper.control();
    wire.run(1, "seq 1 100000");
    wire.exited(1);
    let files = std::fs::read_dir(keeper.path().join("logs")).unwrap().flatten();
    let sizes: Vec<u64> = files.map(|file| file.metadata().unwrap().len()).collect();
    assert!(sizes.len() == 4 && sizes.iter().sum::<u64>() <= 64 << 10, "{sizes:?}");
    assert!(keeper.log().ends_with("100000\n"));
}

#[test]
fn a_keeper_without_a_descriptor_left_says_so_and_accepts_again_later() {
    let keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    let limit = |current| {
        let keeper = rustix::process::Pid::from_raw(keeper.pid() as i32);
        let limit = rustix::process::Rlimit { current: Some(current), maximum: Some(4096) };
        rustix::process::prlimit(keeper, rustix::process::Resource::Nofile, limit).unwrap();
    };
    // The next one would be the lowest that is free.
    let open = |number: &u64| std::path::Path::new(&format!("/proc/{}/fd/{number}", keeper.pid())).exists();
    limit((3..1 << 20).find(|number| !open(number)).unwrap());
    let mut waiting = keeper.wire();
    wire.done(start(1, "true"));
    let report = wire.exited(1);
    assert!(report.shortage && format!("{:?}", report.status).contains("LimitNOFILE"), "{report:?}");
    limit(1024);
    waiting.hello(None);
}
