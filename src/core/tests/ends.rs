//! Ways out: signals, orders, money guards, lost sessions.

use crate::core::{
    io::{Availability, Effect, Ending, Input},
    testing::{Disk, Net, World, secs, settings},
};
use crate::model::{
    calls::{Backend, Refusal},
    game::{EventSource, Evidence, GameEvent, GameNotice, GamePlayer},
    ids::RunNumber,
    keeper::{KeeperFact, KeeperOrder},
    orders::{After, Order, Refused},
    policy::OnSessionLost,
    process::{ExitStatus, StopAction, StopStep},
    session::{InstanceHealth, JoinStatus},
    status::PhaseName,
    units::Span,
};
use std::time::Duration;

fn joins(id: &str) -> GameEvent {
    GameEvent::PlayerJoined(GamePlayer { id: id.into(), name: None, team: None })
}
fn leaves(id: &str) -> GameEvent {
    GameEvent::PlayerLeft { id: id.into() }
}

#[test]
fn asked_to_end_with_nobody_playing_it_stops_the_game_and_ends() {
    let mut w = World::serving(settings());
    w.take_told();
    w.give(Input::Terminate);
    assert_eq!(w.take_told(), ["unjoinable", "audit drain", "closed"]);
    assert!(matches!(w.ended, Some(Ending::Orderly { .. })), "{:?}", w.ended);
    assert_eq!(w.keeper.orders.last().unwrap(), "shutdown");
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
}

#[test]
fn players_may_finish_and_the_last_one_to_leave_ends_it() {
    let mut w = World::serving(settings());
    w.say(joins("ann"));
    w.give(Input::Terminate);
    assert_eq!(w.status().phase, PhaseName::Draining);
    assert_eq!(w.shown(), Some(JoinStatus::Unjoinable));
    assert!(matches!(w.told_game().last().unwrap(), GameNotice::Drain { .. }));
    w.pass(secs(100));
    assert!(w.ended.is_none());
    w.say(leaves("ann"));
    assert!(matches!(w.ended, Some(Ending::Orderly { .. })));
}

#[test]
fn the_stop_sequence_starts_in_time_for_the_hosts_deadline() {
    let mut s = settings();
    s.drain.host_deadline = Some(Span::from_secs(60));
    let mut w = World::serving(s);
    w.keeper.game_obeys = false;
    w.say(joins("ann"));
    w.give(Input::Terminate);
    // 60 s, less 15 s of stop sequence, less 2 s.
    w.pass(Duration::from_millis(42_900));
    assert_eq!(w.status().phase, PhaseName::Draining);
    w.pass(Duration::from_millis(100));
    assert_eq!(w.status().phase, PhaseName::Closing);
    w.pass(secs(10));
    assert!(matches!(w.ended, Some(Ending::Orderly { .. })), "SIGKILL after the first step's 10 s");
    assert!(w.mono <= secs(58));
}

#[test]
fn a_second_signal_stops_waiting_and_a_third_takes_the_next_step() {
    let mut w = World::serving(settings());
    w.keeper.game_obeys = false;
    w.say(joins("ann"));
    w.give(Input::Terminate);
    w.give(Input::Terminate);
    assert_eq!(w.status().phase, PhaseName::Closing);
    assert!(w.keeper.orders.contains(&"signal 15 to 1".to_owned()));
    assert!(!w.keeper.orders.contains(&"kill 1".to_owned()));
    w.give(Input::Terminate);
    assert!(matches!(w.ended, Some(Ending::Orderly { .. })));
    assert!(w.keeper.orders.contains(&"kill 1".to_owned()));
}

#[test]
fn asked_again_the_last_report_keeps_its_time_and_the_end_says_what_is_owed() {
    let ask = |w: &mut World| {
        w.give(Input::Terminate);
        w.order(Order::Stop { reason: None, now: true });
    };
    let ending = || {
        let mut w = World::serving(settings());
        w.service.net = Net::Silent;
        ask(&mut w);
        ask(&mut w);
        w.pass(secs(4));
        assert!(w.ended.is_none(), "the report is under way: {:?}", w.ended);
        w
    };
    let mut w = ending();
    w.service.net = Net::Up;
    w.time_out();
    w.pass(secs(1));
    assert!(matches!(w.ended, Some(Ending::Orderly { .. })), "{:?}", w.ended);
    assert_eq!(w.shown(), Some(JoinStatus::Closed));

    let mut w = ending();
    w.pass(secs(2));
    assert!(matches!(w.ended, Some(Ending::Undelivered { sessions: 1, .. })), "{:?}", w.ended);
    assert_eq!(w.keeper.orders.last().unwrap(), "shutdown");
}

#[test]
fn to_ask_for_a_stop_again_is_harmless_and_only_now_hastens_it() {
    let mut w = World::serving(settings());
    w.keeper.game_obeys = false;
    for _ in 0..3 {
        w.order(Order::Stop { reason: None, now: false });
    }
    assert!(w.ended.is_none() && !w.keeper.orders.contains(&"kill 1".to_owned()));
    w.order(Order::Stop { reason: None, now: true });
    assert!(w.keeper.orders.contains(&"kill 1".to_owned()));
    let Some(Ending::Orderly { reason }) = &w.ended else { panic!("{:?}", w.ended) };
    assert!(reason.contains("had to be killed"), "{reason}");
}

#[test]
fn a_stop_has_an_end_also_where_the_keeper_does_not_answer() {
    let mut w = World::serving(settings());
    w.give(Input::Keeper(KeeperFact::Away { why: "it is stopped".into() }));
    w.keeper.game_obeys = false;
    w.pass(secs(60));
    assert!(w.ended.is_none(), "a match may go on without its keeper");
    w.order(Order::Stop { reason: None, now: false });
    w.keeper.run = crate::model::process::RunState::Empty;
    w.pass(secs(24));
    assert!(w.ended.is_none());
    w.pass(secs(2));
    assert_eq!(w.ended, Some(Ending::KeeperSilent));
    assert_ne!(w.shown(), Some(JoinStatus::Closed), "nobody knows whether it has ended");
}

#[test]
fn a_stop_requested_of_the_keeper_is_a_signal_told_once() {
    let mut w = World::serving(settings());
    w.say(joins("ann"));
    w.give(Input::Keeper(KeeperFact::StopRequested));
    w.give(Input::Keeper(KeeperFact::StopRequested));
    assert_eq!(w.status().phase, PhaseName::Draining);
}

#[test]
fn stop_waits_for_nobody_and_drain_with_recycle_leaves_the_agent_free() {
    let mut w = World::serving(settings());
    w.say(joins("ann"));
    w.order(Order::Stop { reason: None, now: false });
    assert!(matches!(w.ended, Some(Ending::Orderly { .. })));

    let mut w = World::serving(settings());
    w.order(Order::Drain { reason: Some("new map".into()), then: After::Recycle });
    assert!(w.ended.is_none());
    assert_eq!(w.status().last_end.unwrap().reason, "new map");
    assert_eq!(w.keeper.starts, [1, 2]);
}

#[test]
fn the_agent_asks_before_the_stop_sequence_and_a_keeper_alone_passes_that_over() {
    let mut s = settings();
    s.stop_steps.insert(0, StopStep { action: StopAction::Ask, wait: secs(20) });
    let mut w = World::serving(s);
    let policy = w.seen.iter().rev().find_map(|effect| match effect {
        Effect::Keeper(KeeperOrder::Fallback { policy }) => Some(policy.clone()),
        _ => None,
    });
    let policy = policy.unwrap();
    assert!(policy.steps.iter().all(|step| step.action != StopAction::Ask));
    assert_eq!(policy.total, policy.steps.iter().map(|step| step.wait).sum::<Duration>());
    w.order(Order::Stop { reason: None, now: false });
    assert!(w.seen.iter().any(|effect| matches!(effect, Effect::AskToQuit { .. })));
    assert!(!w.keeper.orders.iter().any(|order| order.starts_with("signal")), "it has its time");
    w.pass(secs(20));
    assert!(w.keeper.orders.iter().any(|order| order.starts_with("signal")));
    assert!(matches!(w.ended, Some(Ending::Orderly { .. })));
}

#[test]
fn a_game_on_its_way_out_neednt_say_that_it_lives() {
    let mut w = World::serving(settings());
    w.say(joins("ann"));
    w.say(GameEvent::Heartbeat);
    w.order(Order::Drain { reason: None, then: After::Recycle });
    w.pass(secs(300));
    assert_eq!(w.status().instance_health, InstanceHealth::Healthy);
}

#[test]
fn detaching_publishes_nothing_and_leaves_the_game_and_its_keeper() {
    let mut w = World::serving(settings());
    w.take_told();
    w.order(Order::Detach { restart: true });
    assert!(matches!(w.ended, Some(Ending::Detached { restart: true })));
    assert!(w.take_told().is_empty());
    assert!(!w.keeper.orders.contains(&"shutdown".to_owned()));
    w.kill_agent();
    assert_eq!(w.status().phase, PhaseName::Serving);
    assert_eq!(w.keeper.starts, [1]);
}

#[test]
fn detaching_while_final_reports_are_owed_leaves_them_to_the_next_life() {
    let mut w = World::serving(settings());
    let why = || "refused".to_owned();
    w.service.net = Net::Refuses(Refusal::Unreachable { why: why() });
    w.give(Input::Backend(Backend::Away { why: why(), since: w.now().wall }));
    w.give(Input::Terminate);
    assert!(w.status().outbox.iter().any(|owed| owed.starts_with("closed")), "{:?}", w.status().outbox);
    // The detached agent waits longer for its last commit than the reports would be waited for.
    w.disk = Disk::Silent;
    w.pass(Duration::from_millis(500));
    w.order(Order::Detach { restart: true });
    assert!(w.ended.is_none(), "a commit is under way");
    w.pass(secs(3));
    assert!(matches!(w.ended, Some(Ending::Detached { restart: true })), "{:?}", w.ended);
    assert!(!w.keeper.orders.contains(&"shutdown".to_owned()), "{:?}", w.keeper.orders);
    (w.disk, w.service.net) = (Disk::Works, Net::Up);
    w.take_told();
    w.kill_agent();
    assert_eq!(w.take_told().last().map(String::as_str), Some("closed"));
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
    assert!(matches!(w.ended, Some(Ending::Orderly { .. })), "the next life ends as this one was asked to");
}

#[test]
fn an_agent_with_processes_that_cant_be_killed_says_so_though_its_final_reports_are_out() {
    let mut w = World::serving(settings());
    w.keeper.game_obeys = false;
    w.give(Input::Terminate);
    w.disk = Disk::Fails;
    w.give(Input::Keeper(KeeperFact::Unkillable { run: crate::model::ids::RunNumber(1), left: 2 }));
    w.pass(secs(1));
    assert_eq!(w.shown(), Some(JoinStatus::Closed), "a broken journal doesn't hold up the last report");
    w.pass(secs(5));
    assert!(matches!(w.ended, Some(Ending::Unkillable)), "{:?}", w.ended);
    assert!(!w.keeper.orders.contains(&"shutdown".to_owned()), "{:?}", w.keeper.orders);
}

#[test]
fn superseded_it_ends_at_once_and_says_nothing() {
    let mut w = World::serving(settings());
    w.take_told();
    w.seen.clear();
    w.give(Input::Keeper(KeeperFact::Superseded));
    assert!(matches!(w.ended, Some(Ending::Superseded)));
    assert!(w.take_told().is_empty());
    assert!(w.seen.iter().all(|effect| matches!(effect, Effect::Timeline(_) | Effect::End(_))), "{:?}", w.seen);
}

#[test]
fn money_guards_drain_and_recycle_with_their_reason() {
    let mut w = World::serving(settings());
    w.pass(secs(299));
    assert_eq!(w.keeper.starts, [1]);
    w.pass(secs(1));
    assert_eq!(w.keeper.starts, [1, 2]);
    assert!(w.status().last_end.unwrap().reason.starts_with("no_show"));

    let mut w = World::serving(settings());
    w.say(joins("ann"));
    w.pass(secs(1000));
    w.say(leaves("ann"));
    w.pass(secs(119));
    assert_eq!(w.keeper.starts, [1]);
    w.pass(secs(1));
    assert!(w.status().last_end.unwrap().reason.starts_with("empty"));
    assert!(w.service.told.contains(&"audit drain".to_owned()));

    let mut s = settings();
    s.guards.max_match_time = Some(Span::from_secs(600));
    let mut w = World::serving(s);
    w.say(joins("ann"));
    w.pass(secs(600));
    assert_eq!(w.status().phase, PhaseName::Draining);
}

#[test]
fn a_game_that_never_speaks_of_players_is_not_taken_for_empty() {
    let mut s = settings();
    s.readiness.by = crate::model::policy::ReadyBy::Delay;
    let mut w = World::new(s);
    w.pass(secs(4000));
    assert_eq!(w.keeper.starts, [1]);
    assert_eq!(w.shown(), Some(JoinStatus::Joinable));
}

fn probed(w: &mut World, event: Option<GameEvent>, evidence: Evidence) {
    if let Some(event) = event {
        w.give(Input::GameEvent { run: RunNumber(1), source: EventSource::Probe, event });
    }
    w.give(Input::Evidence { run: RunNumber(1), source: EventSource::Probe, evidence });
}

fn counts(players: u32) -> GameEvent {
    GameEvent::PlayerCount { players, max: None }
}

/// A game that a probe and a log tell of: it says nothing itself.
fn watched() -> World {
    let mut s = settings();
    s.readiness.by = crate::model::policy::ReadyBy::Delay;
    let mut w = World::new(s);
    w.pass(secs(60));
    assert_eq!(w.shown(), Some(JoinStatus::Joinable));
    w
}

fn drain(w: &mut World) -> bool {
    w.order(Order::Drain { reason: None, then: After::Recycle });
    w.status().phase == PhaseName::Draining
}

#[test]
fn a_drain_ends_at_once_where_a_probe_has_just_counted_nobody() {
    let mut w = watched();
    probed(&mut w, Some(counts(0)), Evidence::Up);
    w.pass(secs(9));
    assert!(!drain(&mut w));

    // A 0 that may be too old is none; the next answer counts.
    let mut w = watched();
    probed(&mut w, Some(counts(0)), Evidence::Up);
    w.pass(secs(5));
    probed(&mut w, None, Evidence::Down { why: "no answer".into() });
    w.pass(secs(5));
    assert!(drain(&mut w));
    probed(&mut w, Some(counts(1)), Evidence::Up);
    assert_eq!(w.status().phase, PhaseName::Draining, "somebody plays");
    probed(&mut w, Some(counts(0)), Evidence::Up);
    assert_ne!(w.status().phase, PhaseName::Draining);

    let mut w = watched();
    assert!(drain(&mut w), "nobody has counted");
}

#[test]
fn a_log_knows_that_nobody_plays_once_it_has_told_of_somebody() {
    let log = |w: &mut World, event| w.give(Input::GameEvent { run: RunNumber(1), source: EventSource::Log, event });
    let mut w = watched();
    log(&mut w, leaves("ann"));
    assert!(drain(&mut w), "it may miss who comes");
    let mut w = watched();
    log(&mut w, joins("ann"));
    log(&mut w, leaves("ann"));
    assert!(!drain(&mut w));
}

#[test]
fn a_session_is_lost_only_after_three_answers_over_a_minute() {
    let mut s = settings();
    s.session.on_lost = Some(OnSessionLost::Finish);
    let mut w = World::serving(s);
    w.say(joins("ann"));
    let kept = w.service.sessions.clone();
    w.service.sessions.clear();
    w.pass(secs(50));
    assert!(!w.kinds().contains(&"session_lost"));
    w.service.sessions = kept.clone();
    w.pass(secs(60));
    w.service.sessions.clear();
    w.pass(secs(55));
    assert!(!w.kinds().contains(&"session_lost"), "the count starts anew");
    w.pass(secs(60));
    assert!(w.kinds().contains(&"session_lost"));
    assert_eq!(w.keeper.starts, [1]);
    w.pass(secs(600));
    assert!(!w.keeper.orders.iter().any(|order| order.starts_with("signal")), "ann still plays");
    w.say(leaves("ann"));
    assert!(w.keeper.orders.contains(&"signal 15 to 1".to_owned()));
}

#[test]
fn an_own_session_that_is_lost_is_made_anew_and_the_game_told() {
    let mut w = World::serving(settings());
    w.say(joins("ann"));
    w.service.sessions.clear();
    w.pass(secs(100));
    assert_eq!(w.shown(), Some(JoinStatus::Joinable));
    assert_eq!(w.keeper.starts, [1]);
    let told = w.told_game();
    assert!(told.iter().any(|told| matches!(told, GameNotice::SessionLost)));
    assert!(matches!(told.last().unwrap(), GameNotice::Allocated { session_id, .. } if session_id.as_str() == "own-2"));
}

#[test]
fn no_other_404_no_credentials_and_no_silence_touch_the_game() {
    let refusals = [
        Refusal::NoSuchApi,
        Refusal::Credentials { desc: "expired".into() },
        Refusal::Unreachable { why: "refused".into() },
        Refusal::Ambiguous { why: "500".into() },
        Refusal::Busy { retry_after: Some(secs(30)) },
    ];
    for refusal in refusals {
        let mut w = World::serving(settings());
        w.say(joins("ann"));
        w.service.net = Net::Refuses(refusal.clone());
        w.pass(secs(3600));
        assert_eq!(w.status().phase, PhaseName::Serving, "{refusal}");
        assert_eq!(w.keeper.starts, [1]);
        assert!(!w.keeper.orders.iter().any(|order| order.starts_with("signal")));
        w.service.net = Net::Up;
        w.say(GameEvent::Joinable(crate::model::game::Admission::Closed));
        w.pass(secs(31));
        assert_eq!(w.shown(), Some(JoinStatus::Unjoinable), "{refusal}");
    }
}

#[test]
fn an_instance_closed_by_the_service_is_drained() {
    let mut w = World::serving(settings());
    w.say(joins("ann"));
    let session = w.service.sessions.values_mut().next().unwrap();
    session.instance.as_mut().unwrap().join_status = JoinStatus::Closed;
    w.pass(secs(11));
    assert_eq!(w.status().phase, PhaseName::Draining);
    w.take_told();
    w.say(leaves("ann"));
    assert_eq!(w.take_told()[0], "create", "nothing more is said to the closed one");
}

#[test]
fn what_cannot_be_killed_is_never_used_again() {
    let mut w = World::serving(settings());
    let run = crate::model::ids::RunNumber(1);
    w.give(Input::Keeper(KeeperFact::Unkillable { run, left: 2 }));
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
    w.pass(secs(600));
    assert_eq!(w.keeper.starts, [1]);
    w.order(Order::Allocate(Box::new(crate::core::testing::allocation("x", None))));
    let refused = Err(Refused::Unkillable);
    assert!(w.seen.iter().any(|e| matches!(e, Effect::Reply { reply, .. } if *reply == refused)));
    w.give(Input::Terminate);
    w.pass(secs(6));
    assert!(matches!(w.ended, Some(Ending::Unkillable)));
}

#[test]
fn told_to_stop_by_its_keeper_it_keeps_to_the_keepers_host_deadline() {
    let mut w = World::serving(settings());
    w.keeper.host_deadline = Some(secs(90));
    w.connect();
    w.say(joins("ann"));
    w.give(Input::Keeper(KeeperFact::StopRequested));
    let sequence: Duration = settings().stop_steps.iter().map(|step| step.wait).sum();
    let deadline = w.status().deadline.unwrap().since(w.now().wall);
    assert_eq!(deadline + sequence + secs(2), secs(90));

    let mut w = World::serving(settings());
    w.keeper.host_deadline = Some(secs(90));
    w.connect();
    w.say(joins("ann"));
    w.give(Input::Terminate);
    let deadline = w.status().deadline.unwrap().since(w.now().wall);
    assert_eq!(deadline, settings().drain.deadline.get(), "it wasn't the keeper's host that said so");
}

#[test]
fn an_end_that_is_owed_to_an_instance_that_is_gone_blocks_nothing() {
    let mut w = World::serving(settings());
    w.allocates = false;
    w.service.forbids = true;
    w.service.sessions.values_mut().for_each(|session| session.instance = None);
    w.game_exits(ExitStatus::Exited { code: 0 });
    w.pass(secs(5));
    assert_eq!(w.status().outbox, Vec::<String>::new());
    assert!(matches!(w.offer, Some(Availability::Free { .. })), "{:?}", w.offer);
}
