//! Who comes and goes.

use super::harness::{Keeper, PROGRAM, running, start, taken, until};
use crate::support::proc;
use gameside::{
    internals::keeper::{
        Presence,
        protocol::{Event, Order, exit},
    },
    model::{
        ids::RunNumber,
        process::{ExitStatus, RunState},
    },
};
use std::{process::Command, time::Duration};

#[test]
fn a_game_outlives_its_agent_and_the_next_finds_the_same_run() {
    let keeper = Keeper::start();
    let (mut first, hello) = keeper.control();
    assert_eq!((hello.run, hello.epoch), (RunState::Empty, 1));
    first.done(Order::Record { text: "session 7".into() });
    let pid = first.run(1, "echo up; exec sleep 600");
    first.output("up");
    drop(first);

    let (_second, hello) = keeper.control();
    assert_eq!(running(&hello), (1, pid));
    assert_eq!((hello.epoch, hello.record.as_deref()), (2, Some("session 7")));
    assert!(proc::alive(pid));
}

#[test]
fn an_exit_that_nobody_saw_is_told_with_its_true_status() {
    let mut keeper = Keeper::start();
    let (mut first, hello) = keeper.control();
    let fifo = keeper.path().join("fifo");
    let pid = first.run(1, &format!("mkfifo {0}; echo waiting; read line < {0}; exit 42", fifo.display()));
    first.output("waiting");
    drop(first);
    std::fs::write(&fifo, "go\n").unwrap();
    assert!(proc::gone(pid, super::harness::PATIENCE));

    let report = loop {
        match keeper.control().1.run {
            RunState::Exited { report } => break report,
            RunState::Running { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((report.run.0, &report.status), (1, &ExitStatus::Exited { code: 42 }));

    // Even through the keeper's own death: it was on the disk, and the next keeper goes on under
    // the old id.
    keeper.signal(9);
    keeper.ended();
    keeper.again();
    let (mut third, after) = keeper.control();
    assert_eq!((after.run, after.keeper), (RunState::Exited { report: report.clone() }, hello.keeper));
    assert!(third.refused(start(2, "true")).contains("isn't taken yet"));
    third.done(start(1, "true"));
    assert_eq!(third.exited(1), report, "the same start again tells the same end");
    third.done(taken(1));
    assert!(third.refused(start(1, "true")).contains("is over"));
    third.run(2, "exit 0");
    third.exited(2);
}

#[test]
fn a_killed_keeper_has_another_name_when_it_comes_back() {
    let mut keeper = Keeper::start();
    let (mut wire, before) = keeper.control();
    wire.run(1, "sleep 600");
    keeper.signal(9);
    keeper.ended();
    keeper.again();
    let (_wire, after) = keeper.control();
    assert_ne!(after.keeper, before.keeper);
    assert_eq!(after.run, RunState::Empty, "lost: nobody can know how it ended");
    assert!(after.epoch > before.epoch);
}

#[test]
fn the_older_controller_is_told_and_closed_and_can_not_come_back() {
    let keeper = Keeper::start();
    let (mut old, hello) = keeper.control();
    let (mut new, newer) = keeper.control();
    assert!(newer.epoch > hello.epoch);
    assert_eq!(old.wait("the news", |reply| Some(reply.event.clone())), Event::Superseded);
    assert!(old.rest().is_empty(), "and closed");
    assert_eq!(keeper.wire().try_hello(false, Some(hello.epoch)), Event::Superseded);
    new.done(Order::Record { text: "still in charge".into() });
    drop(new);
    assert_eq!(keeper.wire().hello(Some(newer.epoch)).epoch, newer.epoch + 1, "a broken connection may come back");
}

#[test]
fn an_observer_takes_nothing_over() {
    let keeper = Keeper::start();
    let (mut agent, hello) = keeper.control();
    let pid = agent.run(1, "sleep 600");
    match gameside::internals::keeper::probe(keeper.path()) {
        Presence::Here(seen) => assert_eq!((seen.epoch, running(&seen)), (hello.epoch, (1, pid))),
        other => panic!("{other:?}"),
    }
    let mut observer = keeper.wire();
    observer.try_hello(true, None);
    assert!(observer.refused(Order::Shutdown).contains("observer"));
    agent.done(Order::Record { text: "undisturbed".into() });
}

#[test]
fn one_keeper_a_directory_and_a_left_over_socket_is_no_keeper() {
    let mut keeper = Keeper::start();
    let second = Command::new(PROGRAM).arg("--dir").arg(keeper.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(i32::from(exit::LOCKED)));
    assert!(String::from_utf8_lossy(&second.stderr).contains(&keeper.pid().to_string()));

    keeper.signal(9);
    keeper.ended();
    assert!(keeper.socket().exists(), "left over");
    assert_eq!(gameside::internals::keeper::probe(keeper.path()), Presence::None);
    keeper.again();
    keeper.control();
}

#[test]
fn what_isnt_understood_is_refused_and_nothing_breaks() {
    let keeper = Keeper::start();
    let mut silent = keeper.wire();
    assert!(silent.refused(Order::Stats).contains("hello"));
    let (mut wire, _) = keeper.control();
    wire.line(r#"{"id":77,"op":"levitate","height":3}"#);
    let order = wire.wait("a refusal", |reply| match &reply.event {
        Event::Refused { order, .. } if reply.re == Some(77) => Some(order.clone()),
        _ => None,
    });
    assert_eq!(order, "levitate");
    wire.line("this is not JSON");
    wire.wait("a refusal", |reply| matches!(reply.event, Event::Refused { .. }).then_some(()));
    assert!(wire.refused(Order::Record { text: "x".repeat(65 << 10) }).contains("at most"));
    let mut future = keeper.wire();
    let answer = future.ask(Order::Hello { versions: vec![99], observe: false, epoch: None });
    assert_eq!(answer, Event::Incompatible { versions: vec![1] });
    wire.done(Order::Record { text: "the match is kept".into() });
}

#[test]
fn an_orderly_end_is_zero_and_only_without_a_game() {
    let mut keeper = Keeper::start();
    let (mut wire, _) = keeper.control();
    wire.run(1, "sleep 600");
    assert!(wire.refused(Order::Shutdown).contains("still runs"));
    wire.done(Order::Kill { run: RunNumber(1) });
    wire.exited(1);
    wire.done(taken(1));
    wire.done(Order::Shutdown);
    assert_eq!(keeper.ended().code(), Some(i32::from(exit::ORDERLY)));
    assert!(!keeper.socket().exists());
}

#[test]
fn detached_it_leaves_its_parent_and_says_why_it_could_not() {
    let dir = tempfile::tempdir().unwrap();
    let detach = || Command::new(PROGRAM).arg("--dir").arg(dir.path()).arg("--detach").output().unwrap();
    assert!(detach().status.success());
    let Presence::Here(hello) = gameside::internals::keeper::probe(dir.path()) else {
        panic!("it stands when the first process ends")
    };
    let pid = hello.pid as u32;
    assert!(!proc::descendants(std::process::id()).contains(&pid), "nobody's child here");
    let second = detach();
    assert_eq!(second.status.code(), Some(i32::from(exit::LOCKED)), "{second:?}");
    assert!(String::from_utf8_lossy(&second.stderr).contains("another keeper"));

    let report = gameside::internals::keeper::stop(dir.path(), false, Duration::from_secs(30)).unwrap();
    assert_eq!(report, None);
    assert!(proc::gone(pid, Duration::from_secs(30)));
    until("the lock is free", || gameside::internals::keeper::probe(dir.path()) == Presence::None);
}

#[test]
fn a_keeper_whose_files_are_deleted_takes_them_back() {
    let mut keeper = Keeper::start();
    let (mut wire, before) = keeper.control();
    let game = wire.run(1, "exec sleep 600");
    let found = |what: &str| {
        until(what, || match gameside::internals::keeper::probe(keeper.path()) {
            Presence::Here(hello) => (&hello.keeper, running(&hello)) == (&before.keeper, (1, game)),
            Presence::None | Presence::Silent { .. } => false,
        });
        let second = Command::new(PROGRAM).arg("--dir").arg(keeper.path()).output().unwrap();
        assert_eq!(second.status.code(), Some(i32::from(exit::LOCKED)), "{what}");
    };
    std::fs::remove_file(keeper.socket()).unwrap();
    found("the socket");
    std::fs::remove_file(keeper.path().join("keeper.lock")).unwrap();
    found("the lock");
    std::fs::rename(keeper.socket(), keeper.path().join("elsewhere")).unwrap();
    found("a socket that was renamed");
    std::fs::remove_dir_all(keeper.path()).unwrap();
    found("the directory");
    wire.done(Order::Record { text: "the connection held all the while".into() });
    wire.done(Order::Kill { run: RunNumber(1) });
    let report = wire.exited(1);
    drop(wire);
    keeper.signal(9);
    keeper.ended();
    keeper.again();
    assert_eq!(keeper.control().1.run, RunState::Exited { report }, "and its end is on the disk");
}
