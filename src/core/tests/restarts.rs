//! What follows an end that nobody asked for.

use crate::core::{
    io::{Effect, Ending, Input},
    testing::{World, exit, secs, settings},
};
use crate::model::{
    allocation::ProviderKind,
    game::{EventSource, GameEvent},
    ids::RunNumber,
    keeper::{KeeperFact, KeeperOrder},
    orders::Order,
    policy::RestartWhen,
    process::{ExitReport, ExitStatus, RunState},
    session::JoinStatus,
    status::PhaseName,
};

const CRASH: ExitStatus = ExitStatus::Signaled { signal: 11, core: true };

#[test]
fn a_crash_is_followed_by_a_delay_and_a_start_in_the_same_instance() {
    let mut w = World::serving(settings());
    let instance = w.status().instance_id;
    w.take_told();
    w.game_exits(CRASH);
    assert_eq!(w.take_told(), ["pending"]);
    assert_eq!(w.keeper.starts, [1]);
    w.pass(secs(1));
    assert_eq!(w.keeper.starts, [1, 2]);
    w.say(GameEvent::Ready);
    assert_eq!(w.take_told(), ["joinable"]);
    assert_eq!((w.status().instance_id, w.status().game.restarts), (instance, 1));
}

#[test]
fn a_crash_loop_ends_in_a_clear_failure() {
    let mut w = World::new(settings());
    for _ in 0..3 {
        w.game_exits(CRASH);
        w.pass(secs(10));
    }
    assert_eq!(w.keeper.starts, [1, 2, 3]);
    let Some(Ending::Failed { why }) = &w.ended else { panic!("{:?}", w.ended) };
    assert!(why.contains("crash loop, 3 failures: signal 11, core dumped"), "{why}");
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
}

#[test]
fn an_agent_that_waits_for_orders_rests_instead_and_tries_again() {
    let mut s = settings();
    s.provider = ProviderKind::Hook;
    let mut w = World::new(s);
    w.order(Order::Allocate(Box::new(crate::core::testing::allocation("a1", None))));
    for _ in 0..3 {
        w.game_exits(CRASH);
        w.pass(secs(10));
    }
    assert_eq!(w.status().phase, PhaseName::Idle);
    assert!(w.ended.is_none());
    assert!(matches!(w.offer, Some(crate::core::io::Availability::Unavailable)));
    w.pass(secs(300));
    assert!(matches!(w.offer, Some(crate::core::io::Availability::Free { .. })));
}

#[test]
fn the_crash_book_outlives_the_agent() {
    let mut w = World::new(settings());
    w.game_exits(CRASH);
    w.kill_agent();
    w.pass(secs(10));
    w.game_exits(CRASH);
    w.kill_agent();
    w.pass(secs(10));
    w.game_exits(CRASH);
    w.pass(secs(10));
    assert!(matches!(w.ended, Some(Ending::Failed { .. })), "{:?} {:?}", w.keeper.starts, w.status().phase);
}

#[test]
fn a_stable_run_starts_the_delays_anew() {
    let mut s = settings();
    s.restart.budget = 100;
    let mut w = World::serving(s);
    for _ in 0..6 {
        w.game_exits(CRASH);
        w.pass(secs(31));
    }
    w.say(GameEvent::Ready);
    w.pass(secs(100));
    let starts = w.keeper.starts.len();
    w.game_exits(CRASH);
    w.pass(secs(1));
    assert_eq!(w.keeper.starts.len(), starts + 1);
}

#[test]
fn the_policy_decides_about_each_kind_of_end() {
    let (ok, bad) = (ExitStatus::Exited { code: 0 }, ExitStatus::Exited { code: 3 });
    let rows = [
        (RestartWhen::Never, &ok, false),
        (RestartWhen::Never, &bad, false),
        (RestartWhen::OnFailure, &ok, false),
        (RestartWhen::OnFailure, &bad, true),
        (RestartWhen::Always, &ok, true),
        (RestartWhen::Always, &bad, true),
    ];
    for (when, status, again) in rows {
        let mut s = settings();
        s.restart.when = when;
        let mut w = World::serving(s);
        w.allocates = false;
        w.game_exits(status.clone());
        w.pass(secs(2));
        assert_eq!(w.keeper.starts.len() == 2, again, "{when:?} {status:?}");
        assert_eq!(w.shown() == Some(JoinStatus::Closed), !again, "{when:?} {status:?}");
    }
}

#[test]
fn a_start_that_never_gets_ready_is_stopped_and_counts_as_a_failure() {
    let mut w = World::new(settings());
    w.pass(secs(299));
    assert!(w.keeper.orders.iter().all(|order| !order.starts_with("signal")));
    w.pass(secs(2));
    assert!(w.keeper.orders.contains(&"signal 15 to 1".to_owned()));
    assert_eq!(w.keeper.starts, [1, 2]);
    assert_eq!(w.shown(), Some(JoinStatus::Pending));
}

#[test]
fn a_start_that_never_got_ready_has_failed_however_orderly_it_ends() {
    let why = "it did not get ready within 5m: the word of an SDK was waited for; it has spoken no SDK; exit code 0";
    for budget in [1, 3] {
        let mut s = settings();
        s.restart.budget = budget;
        let mut w = World::new(s);
        w.keeper.game_obeys = false;
        w.pass(secs(301));
        w.take_told();
        // Told to stop, it says that it ends, and does; its word may come before the exit or after
        // it.
        w.say(GameEvent::Shutdown);
        w.game_exits(ExitStatus::Exited { code: 0 });
        let run = RunNumber(1);
        w.give(Input::GameEvent { run, source: EventSource::Native, event: GameEvent::Shutdown });
        let hook = w.seen.iter().find_map(|effect| match effect {
            Effect::ExitHook { reason, .. } => Some(reason.as_str()),
            _ => None,
        });
        assert_eq!(hook, Some(why), "the exit report");
        assert_eq!(w.take_told()[0], "audit failed");
        if budget == 1 {
            let end = w.status().last_end.unwrap();
            assert_eq!(end.reason, format!("crash loop, 1 failures: {why}"), "status");
            assert!(end.exit.is_some());
        } else {
            w.pass(secs(1));
            assert_eq!(w.keeper.starts, [1, 2]);
            assert!(w.timeline().iter().any(|text| text.contains("starting the game again") && text.ends_with(why)));
        }
    }
}

#[test]
fn exit_0_before_it_was_ready_is_a_failed_start() {
    let mut w = World::new(settings());
    w.game_exits(ExitStatus::Exited { code: 0 });
    assert_eq!(w.shown(), Some(JoinStatus::Pending));
    w.pass(secs(1));
    assert_eq!(w.keeper.starts, [1, 2]);
}

#[test]
fn the_next_start_gets_the_ports_that_are_reserved_by_then() {
    let mut settings = settings();
    settings.launch.command = vec!["server".into(), "{{ports.game}}".into()];
    settings.launch.ports = [("game".to_owned(), 1000)].into();
    let mut w = World::serving(settings.clone());
    w.give(Input::Ports([("game".to_owned(), 1001)].into()));
    w.game_exits(ExitStatus::Exited { code: 1 });
    w.pass(secs(60));
    let started = |w: &World| -> Vec<String> {
        let starts = w.seen.iter().filter_map(|effect| match effect {
            Effect::Keeper(KeeperOrder::Start { spec, .. }) => Some(spec.argv[1].clone()),
            _ => None,
        });
        starts.collect()
    };
    assert_eq!(started(&w)[..2], ["1000", "1001"]);
    // A reload knows only what was reserved when the agent started.
    w.give(Input::Reloaded(Box::new(settings)));
    assert_eq!(w.status().ports["game"], 1001);
}

/// The game ends so many seconds after its gateway crashed.
fn exits_after_gateway(w: &mut World, seconds: u64, status: ExitStatus) {
    let RunState::Running { run, started, .. } = w.keeper.run else { panic!("no game runs") };
    let ended = w.now().wall;
    let report = ExitReport { gateway_ended: Some(ended.minus(secs(seconds))), ..exit(run, status, started, ended) };
    w.keeper.run = RunState::Exited { report: report.clone() };
    w.give(Input::Keeper(KeeperFact::Exited(report)));
}

#[test]
fn a_gateways_crash_never_ends_a_game() {
    let mut w = World::serving(settings());
    for run in 1..=10 {
        assert_eq!(w.keeper.starts.last(), Some(&run), "more often than the budget allows");
        w.pass(secs(40));
        exits_after_gateway(&mut w, 30, CRASH);
        w.pass(secs(60));
    }
    assert_eq!((w.status().phase, w.status().game.restarts), (PhaseName::Starting, 10));
    let why = "signal 11, core dumped; it ended 30 s after its SDK gateway crashed; \
               that doesn't count as a crash of the game";
    assert!(w.timeline().iter().any(|text| text.starts_with("starting the game again") && text.ends_with(why)));
    for _ in 0..3 {
        exits_after_gateway(&mut w, 31, CRASH);
        w.pass(secs(60));
    }
    assert!(matches!(w.ended, Some(Ending::Failed { .. })), "a crash long after it is the game's own");
}

#[test]
fn after_a_gateways_crash_a_game_that_is_never_restarted_is_closed_and_a_good_end_is_one() {
    let mut s = settings();
    s.restart.when = RestartWhen::Never;
    let mut w = World::serving(s);
    exits_after_gateway(&mut w, 3, CRASH);
    let reason = w.status().last_end.unwrap().reason;
    assert!(reason.ends_with("it ended 3 s after its SDK gateway crashed; that doesn't count as a crash of the game"));

    let mut w = World::serving(settings());
    exits_after_gateway(&mut w, 3, ExitStatus::Exited { code: 0 });
    assert_eq!(w.status().last_end.unwrap().reason, "the game ended by itself");
}

#[test]
fn an_end_that_was_announced_too_late_takes_back_what_was_counted_and_nothing_else() {
    let mut w = World::serving(settings());
    w.game_exits(CRASH);
    w.pass(secs(5));
    exits_after_gateway(&mut w, 1, CRASH);
    w.give(Input::GameEvent { run: RunNumber(2), source: EventSource::Agones, event: GameEvent::Shutdown });
    assert_eq!(w.status().last_end.unwrap().reason, "the game ended, as it had said");
    assert_eq!(w.core.process.state().failures.times.len(), 1, "the first crash was one");
}

#[test]
fn a_game_that_its_keeper_was_told_to_end_is_not_started_again() {
    for (status, killed) in [
        (ExitStatus::Signaled { signal: 9, core: false }, true),
        (ExitStatus::Exited { code: 1 }, false),
        (ExitStatus::Exited { code: 0 }, false),
    ] {
        let mut s = settings();
        s.restart.when = RestartWhen::Always;
        let mut w = World::serving(s);
        w.allocates = false;
        let RunState::Running { run, started, .. } = w.keeper.run else { panic!() };
        let mut report = exit(run, status, started, w.now().wall);
        report.stopped_at_step = Some(1);
        w.keeper.run = RunState::Exited { report };
        w.kill_agent();
        assert_eq!((w.shown(), w.keeper.starts.len()), (Some(JoinStatus::Closed), 1));
        let reason = w.status().last_end.unwrap().reason;
        assert!(reason.contains("was stopped while no agent was there"), "{reason}");
        assert_eq!(reason.contains("had to be killed"), killed, "{reason}");
    }
}

#[test]
fn what_a_game_left_behind_is_stopped_and_that_is_no_order_to_end_it() {
    let mut w = World::serving(settings());
    let RunState::Running { run, started, .. } = w.keeper.run else { panic!() };
    let mut report = exit(run, ExitStatus::Exited { code: 1 }, started, w.now().wall);
    (report.stopped_at_step, report.stragglers) = (Some(1), 2);
    w.keeper.run = RunState::Exited { report: report.clone() };
    w.give(Input::Keeper(KeeperFact::Exited(report)));
    w.pass(secs(60));
    assert_eq!(w.keeper.starts, [1, 2], "it crashed");
}

#[test]
fn a_start_that_the_keeper_refuses_ends_the_match_and_is_no_crash() {
    let mut w = World::new(settings());
    w.keeper.run = RunState::Empty;
    w.allocates = false;
    w.give(Input::Keeper(KeeperFact::StartRefused { run: RunNumber(7), why: "of another time".into() }));
    assert_eq!(w.status().phase, PhaseName::Starting);
    let mut w = World::serving(settings());
    w.keeper.says_started = false;
    w.game_exits(ExitStatus::Exited { code: 1 });
    w.pass(secs(30));
    assert_eq!(w.keeper.starts, [1, 2]);
    (w.keeper.run, w.allocates) = (RunState::Empty, false);
    w.give(Input::Keeper(KeeperFact::StartRefused { run: RunNumber(2), why: "the keeper was told to stop".into() }));
    assert_eq!((w.shown(), w.status().phase), (Some(JoinStatus::Closed), PhaseName::Idle));
    assert!(w.status().last_end.unwrap().reason.contains("told to stop"));
}

#[test]
fn a_start_of_which_nothing_is_heard_has_an_end() {
    let mut w = World::serving(settings());
    w.keeper.says_started = false;
    w.game_exits(ExitStatus::Exited { code: 1 });
    w.pass(secs(30));
    assert_eq!((w.keeper.starts.len(), w.status().phase), (2, PhaseName::Starting));
    w.allocates = false;
    w.pass(settings().readiness.timeout.get());
    assert!(w.keeper.orders.contains(&"signal 15 to 2".to_owned()), "{:?}", w.keeper.orders);
    assert!(!matches!(w.keeper.run, RunState::Running { run: RunNumber(2), .. }));
}

#[test]
fn a_start_that_fails_for_want_of_something_is_tried_again_and_counts_as_no_crash() {
    let mut w = World::serving(settings());
    w.keeper.says_started = false;
    w.game_exits(CRASH);
    for _ in 0..20 {
        w.pass(secs(120));
        let RunState::Running { run, started, .. } = w.keeper.run else { panic!("not tried again: {:?}", w.keeper) };
        let error = "making pipes: the keeper has no file descriptor left".to_owned();
        let mut report = exit(run, ExitStatus::SpawnFailed { error }, started, w.now().wall);
        report.shortage = true;
        w.keeper.run = RunState::Exited { report: report.clone() };
        w.give(Input::Keeper(KeeperFact::Exited(report)));
    }
    assert_eq!(w.status().phase, PhaseName::Starting);
    assert!(w.ended.is_none() && w.timeline().iter().any(|text| text.contains("no file descriptor left")));
}
