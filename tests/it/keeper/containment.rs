//! Everything of a run ends before the next begins, with cgroups and without; and a killed keeper
//! takes it all along.

use super::harness::{Keeper, PATIENCE, Wire, number, policy, spec, taken};
use crate::support::{component, proc};
use gameside::{
    internals::keeper::protocol::Order,
    model::{
        ids::RunNumber,
        process::{ExitStatus, RunState},
    },
};
use std::time::Duration;

/// Both ways of containment; the first is by cgroup only where one can be made.
const BOTH: [&[&str]; 2] = [&[], &["--no-cgroup"]];

/// A helper in a session of its own, orphaned at once, that ignores every polite signal. Prints its pid.
const HELPER: &str = r#"(setsid sh -c 'trap "" TERM HUP INT; echo helper $$; while :; do sleep 1000; done' &); "#;

fn helper(wire: &mut Wire) -> u32 {
    number(&wire.output("helper "), "helper ")
}

#[test]
fn a_killed_keeper_takes_the_game_and_every_helper_along() {
    for args in BOTH {
        let mut keeper = Keeper::start_with(args);
        let (mut wire, _) = keeper.control();
        let pid = wire.run(1, &format!("{HELPER} exec sleep 600"));
        let helper = helper(&mut wire);
        keeper.signal(9);
        assert!(proc::gone(pid, PATIENCE), "the game lives on");
        assert!(proc::gone(helper, PATIENCE), "a helper lives on ({args:?})");
        assert_eq!(keeper.ended().code(), Some(128 + 9), "its watcher says how it ended");
    }
}

#[test]
fn the_lock_of_a_killed_keeper_is_held_until_nothing_of_the_game_is_left() {
    let mut keeper = Keeper::start_with(&["--no-cgroup"]);
    let (mut wire, _) = keeper.control();
    let many = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); setsid sh -c 'sleep 1000 & wait' & done; echo up; wait";
    wire.run(1, many);
    wire.output("up");
    let game = proc::descendants(keeper.pid());
    assert!(game.len() > 100, "{}", game.len());
    keeper.signal(9);
    let patience = std::time::Instant::now() + PATIENCE;
    while gameside::internals::keeper::probe(keeper.path()) != gameside::internals::keeper::Presence::None {
        assert!(std::time::Instant::now() < patience, "the lock is never free");
    }
    let left: Vec<_> = game.into_iter().filter(|pid| proc::alive(*pid)).collect();
    assert!(left.is_empty(), "{} processes outlive the lock", left.len());
    keeper.ended();
}

#[test]
fn stragglers_get_the_ladder_and_the_run_ends_when_they_have() {
    for args in BOTH {
        let keeper = Keeper::start_with(args);
        let (mut wire, _) = keeper.control();
        wire.done(Order::Fallback { policy: policy(Duration::from_millis(100)) });
        let pid = wire.run(1, &format!("{HELPER} read line; exit 7"));
        let helper = helper(&mut wire);
        wire.done(Order::Stdin { run: RunNumber(1), line: "end".into() });
        let report = wire.exited(1);
        assert!(!proc::alive(helper) && !proc::alive(pid));
        assert_eq!(report.status, ExitStatus::Exited { code: 7 });
        assert!(report.stragglers >= 1, "{report:?}");
        assert_eq!(report.stopped_at_step, Some(1), "SIGTERM was step 0 and of no use");
        wire.done(taken(1));
        wire.run(2, "exit 0");
        wire.exited(2);
    }
}

#[test]
fn kill_reaches_everything() {
    for args in BOTH {
        let keeper = Keeper::start_with(args);
        let (mut wire, _) = keeper.control();
        wire.run(1, &format!("trap '' TERM; {HELPER} while :; do sleep 1000; done"));
        let helper = helper(&mut wire);
        wire.done(Order::Kill { run: RunNumber(1) });
        let report = wire.exited(1);
        assert_eq!(report.status, ExitStatus::Signaled { signal: 9, core: false });
        assert!(!proc::alive(helper));
    }
}

#[test]
fn a_game_that_daemonises_runs_as_long_as_anything_of_it_lives() {
    for args in BOTH {
        let keeper = Keeper::start_with(args);
        let (mut wire, _) = keeper.control();
        wire.done(Order::Output { on: true, kept: false });
        let script =
            "setsid sh -c 'trap \"exit 5\" TERM; echo daemon $$; while :; do sleep 1000 & wait; done' & exit 0";
        let mut spec = spec(script);
        spec.forking = true;
        wire.done(Order::Start { run: RunNumber(1), spec: Box::new(spec) });
        let wrapper = wire.started(1);
        let daemon = number(&wire.output("daemon "), "daemon ");
        assert!(proc::gone(wrapper, PATIENCE));
        drop(wire);
        let (mut wire, hello) = keeper.control();
        assert!(matches!(hello.run, RunState::Running { .. }), "{hello:?}");
        assert!(proc::alive(daemon));
        wire.done(Order::Signal { run: RunNumber(1), signal: 15 });
        assert!(proc::gone(daemon, PATIENCE), "with its wrapper gone, the daemon gets the signal");
        // It may have begun another `sleep` meanwhile, and that is of the same run.
        wire.done(Order::Kill { run: RunNumber(1) });
        let report = wire.exited(1);
        assert_eq!(report.stragglers, 0);
        assert!(!proc::alive(daemon));
    }
}

#[test]
fn a_fork_bomb_of_orphans_is_cleared() {
    for args in BOTH {
        let keeper = Keeper::start_with(args);
        let (mut wire, _) = keeper.control();
        let script = "for i in 1 2 3 4 5 6 7 8; do setsid sh -c 'while :; do setsid sh -c \"sleep 0.01 & sleep 0.02\" & wait; done' & done; echo up; wait";
        wire.run(1, script);
        wire.output("up");
        wire.done(Order::Kill { run: RunNumber(1) });
        wire.exited(1);
        assert!(proc::descendants(keeper.pid()).is_empty());
    }
}

#[test]
fn the_keeper_goes_on_without_its_watcher() {
    // As another user: the kernel forgets PDEATHSIG when a root game regains capabilities that the
    // keeper has given up.
    let mut keeper = Keeper::start_with(if component::is_root() { &["--user", "65534"] } else { &[] });
    let (mut wire, _) = keeper.control();
    let pid = wire.run(1, "exec sleep 600");
    let watcher = proc::status(keeper.pid(), "PPid").unwrap().parse().unwrap();
    proc::signal(watcher, 9);
    keeper.ended();
    wire.done(Order::Record { text: "as before".into() });
    assert!(proc::alive(pid));
    keeper.signal(9);
    assert!(proc::gone(pid, PATIENCE), "the game is bound to the keeper itself");
}

#[test]
fn figures_cover_the_helpers() {
    for args in BOTH {
        let keeper = Keeper::start_with(args);
        let (mut wire, _) = keeper.control();
        wire.run(1, &format!("{HELPER} exec sleep 600"));
        helper(&mut wire);
        let stats = match wire.ask(Order::Stats) {
            gameside::internals::keeper::protocol::Event::Stats { stats, .. } => stats.unwrap(),
            other => panic!("{other:?}"),
        };
        assert!(stats.processes >= 2 && stats.memory > 100_000, "{stats:?}");
    }
}
