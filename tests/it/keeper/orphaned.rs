//! What the keeper does when it is told to stop, or left without an agent.

use super::harness::{Keeper, PATIENCE, policy, start};
use crate::support::proc;
use gameside::{
    internals::keeper::protocol::{Event, Order, exit},
    model::process::{ExitStatus, FallbackPolicy, RunState, StopAction, StopStep},
};
use std::time::Duration;

#[test]
fn told_to_stop_without_an_agent_it_carries_out_the_fallback_policy() {
    let mut keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    let step = |action, millis| StopStep { action, wait: Duration::from_millis(millis) };
    let steps = vec![step(StopAction::Stdin("please".into()), 200), step(StopAction::Signal(15), 200)];
    let total = Duration::from_secs(30);
    wire.done(Order::Fallback { policy: FallbackPolicy { steps, total, unattended: None } });
    wire.run(1, "trap 'echo ignored' TERM; while :; do read line && echo got $line; done");
    drop(wire);
    keeper.signal(15);
    assert_eq!(keeper.ended().code(), Some(i32::from(exit::ORPHANED)));
    let log = keeper.log();
    assert!(log.contains("got please") && log.contains("ignored"), "{log}");

    keeper.again();
    let RunState::Exited { report } = keeper.control().1.run else { panic!("the end was kept") };
    assert_eq!(report.status, ExitStatus::Signaled { signal: 9, core: false });
    assert_eq!(report.stopped_at_step, Some(2));
}

#[test]
fn a_connected_agent_decides() {
    let mut keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    let pid = wire.run(1, "sleep 600");
    keeper.signal(15);
    wire.wait("the news", |reply| (reply.event == Event::StopRequested).then_some(()));
    assert!(wire.refused(start(2, "true")).contains("isn't over"));
    assert!(proc::alive(pid));
    drop(wire);
    let (mut wire, hello) = keeper.control();
    assert!(hello.stop_requested);
    wire.done(Order::Kill { run: gameside::model::ids::RunNumber(1) });
    wire.exited(1);
    wire.done(super::harness::taken(1));
    wire.done(Order::Shutdown);
    assert_eq!(keeper.ended().code(), Some(0));
}

#[test]
fn an_agent_that_leaves_while_the_keeper_stops_is_waited_for_a_short_time() {
    let mut keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    wire.done(Order::Fallback { policy: policy(Duration::from_secs(10)) });
    let pid = wire.run(1, "exec sleep 600");
    keeper.signal(15);
    wire.wait("the news", |reply| (reply.event == Event::StopRequested).then_some(()));
    drop(wire);
    assert_eq!(keeper.ended().code(), Some(i32::from(exit::ORPHANED)));
    assert!(!proc::alive(pid));
}

#[test]
fn without_a_policy_it_follows_the_default_one() {
    let mut keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    wire.run(1, "trap 'echo bye; exit 3' TERM; while :; do sleep 1000 & wait; done");
    drop(wire);
    keeper.signal(15);
    assert_eq!(keeper.ended().code(), Some(i32::from(exit::ORPHANED)));
    assert!(keeper.log().contains("bye"));
}

#[test]
fn without_an_agent_for_too_long_it_ends_the_game() {
    let mut keeper = Keeper::start_with(&["--unattended", "1ms"]);
    let (mut wire, _) = keeper.control();
    let pid = wire.run(1, "exec sleep 600");
    assert!(proc::alive(pid), "with an agent it may live");
    drop(wire);
    assert_eq!(keeper.ended().code(), Some(i32::from(exit::ORPHANED)));
    assert!(!proc::alive(pid));
}

#[test]
fn an_agent_may_be_more_patient_than_the_command_line() {
    let keeper = Keeper::start_with(&["--unattended", "1ms"]);
    let (mut wire, _) = keeper.control();
    wire.done(Order::Fallback { policy: policy(Duration::from_secs(1)) });
    let pid = wire.run(1, "exec sleep 600");
    drop(wire);
    let (_wire, hello) = keeper.control();
    assert!(!hello.stop_requested);
    assert!(proc::alive(pid));
}

#[test]
fn without_a_game_and_an_agent_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(super::harness::PROGRAM);
    let status = command.arg("--dir").arg(dir.path()).args(["--idle", "50ms"]).status().unwrap();
    assert_eq!(status.code(), Some(i32::from(exit::ORPHANED)));
}

#[test]
fn stopped_from_outside_it_says_how_the_game_ended() {
    let mut keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    wire.run(1, "trap 'exit 9' TERM; echo up; while :; do sleep 1000 & wait; done");
    wire.output("up");
    drop(wire);
    let report = gameside::internals::keeper::stop(keeper.path(), false, PATIENCE).unwrap().expect("a report");
    assert!(report.run.0 == 1 && report.stopped_at_step == Some(0), "{report:?}");
    assert_eq!(keeper.ended().code(), Some(i32::from(exit::ORPHANED)));
}

#[test]
fn after_an_unkillable_run_nothing_is_started() {
    // No time at all for SIGKILL to work: what a process stuck in the kernel looks like.
    let mut keeper = Keeper::start_with(&["--last-deadline", "0"]);
    let (mut wire, _) = keeper.control();
    wire.run(1, "exec sleep 600");
    wire.done(Order::Kill { run: gameside::model::ids::RunNumber(1) });
    let left = wire.wait("unkillable", |reply| match reply.event {
        Event::Unkillable { left, .. } => Some(left),
        _ => None,
    });
    assert_eq!(left, 1);
    assert!(wire.refused(start(2, "true")).contains("can't be killed"));
    drop(wire);
    let (wire, hello) = keeper.control();
    assert!(matches!(hello.run, RunState::Unkillable { left: 1, .. }));
    drop(wire);
    keeper.signal(15);
    assert_eq!(keeper.ended().code(), Some(i32::from(exit::UNKILLABLE)));
}

#[test]
fn asked_again_to_stop_it_goes_on_as_before_and_only_now_hastens_it() {
    let mut keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    let step = |signal, millis| StopStep { action: StopAction::Signal(signal), wait: Duration::from_millis(millis) };
    let (steps, total) = (vec![step(10, 3_600_000), step(12, 100)], Duration::from_secs(7200));
    wire.done(Order::Fallback { policy: FallbackPolicy { steps, total, unattended: None } });
    wire.run(1, "trap 'echo asked' USR1; trap 'echo hastened' USR2; while :; do sleep 1000 & wait; done");
    drop(wire);
    let mut observer = keeper.wire();
    observer.try_hello(true, None);
    let said = |word: &str| keeper.log().lines().filter(|line| line.contains(word)).count();
    observer.done(Order::Stop { now: false });
    super::harness::until("the first step", || said("asked") == 1);
    for _ in 0..3 {
        observer.done(Order::Stop { now: false });
    }
    assert_eq!(said("hastened"), 0);
    observer.done(Order::Stop { now: true });
    super::harness::until("the second step", || said("hastened") == 1);
    assert_eq!(keeper.ended().code(), Some(i32::from(exit::ORPHANED)));
}
