//! Journal × keeper, row by row; and what a new life goes on with.

use crate::core::{
    io::{Availability, Effect, Ending, Input, SavedState},
    testing::{Keeper, Net, World, exit, secs, settings},
};
use crate::model::{
    calls::Refusal,
    game::{GameEvent, GameNotice, GamePlayer},
    ids::{KeeperId, RunNumber},
    keeper::{KeeperFact, LeftReport},
    orders::{After, Order},
    process::{ExitStatus, RunState},
    session::JoinStatus,
    status::PhaseName,
    time::Timestamp,
};

#[test]
fn run_n_alive_is_adopted_with_session_instance_players_and_readiness() {
    let mut w = World::serving(settings());
    w.say(GameEvent::PlayerJoined(GamePlayer { id: "ann".into(), name: None, team: None }));
    let before = w.status();
    w.take_told();
    w.kill_agent();
    let after = w.status();
    assert_eq!((after.session_id, after.instance_id, after.players), (before.session_id, before.instance_id, Some(1)));
    assert_eq!((after.phase, after.game.ready), (PhaseName::Serving, true));
    assert!(w.take_told().is_empty(), "the service already knows");
    assert_eq!(w.keeper.starts, [1]);
    assert!(matches!(w.offer, Some(Availability::Unavailable)), "no second registration");
}

#[test]
fn the_next_life_tells_the_game_once_what_is_in_force() {
    let mut w = World::serving(settings());
    w.say(GameEvent::PlayerJoined(GamePlayer { id: "ann".into(), name: None, team: None }));
    let allocations =
        |w: &World| w.told_game().iter().filter(|told| matches!(told, GameNotice::Allocated { .. })).count();
    let drains = |w: &World| w.told_game().iter().filter(|told| matches!(told, GameNotice::Drain { .. })).count();
    assert_eq!(allocations(&w), 1, "a game that was started for it hears of it too");
    w.order(Order::Drain { reason: None, then: After::Recycle });
    w.kill_agent();
    assert_eq!((allocations(&w), drains(&w)), (2, 2));
    w.connect();
    assert_eq!((allocations(&w), drains(&w)), (2, 2), "its keeper coming back is no news");
}

#[test]
fn run_n_exited_meanwhile_is_reported_with_its_true_status() {
    let mut w = World::serving(settings());
    w.allocates = false;
    let RunState::Running { run, started, .. } = w.keeper.run else { panic!() };
    let report = exit(run, ExitStatus::Exited { code: 0 }, started, w.now().wall);
    w.keeper.run = RunState::Exited { report: report.clone() };
    w.kill_agent();
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
    assert_eq!(w.status().last_end.unwrap().exit, Some(report));
    assert!(matches!(w.keeper.run, RunState::Empty), "taken");
}

#[test]
fn another_keeper_means_that_the_game_is_lost_and_closed() {
    let mut w = World::serving(settings());
    w.allocates = false;
    w.keeper = Keeper::new("keeper-2");
    w.kill_agent();
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
    assert_eq!(w.status().last_end.unwrap().exit.unwrap().status, ExitStatus::Lost);
}

#[test]
fn the_same_keeper_empty_means_lost_for_a_run_that_ran_and_start_for_one_that_was_only_intended() {
    let mut w = World::serving(settings());
    w.allocates = false;
    w.keeper.run = RunState::Empty;
    w.kill_agent();
    assert_eq!(w.shown(), Some(JoinStatus::Closed));

    let mut w = World::new(settings());
    w.keeper.run = RunState::Empty;
    let intended = w.seen.iter().filter_map(|effect| match effect {
        Effect::Commit { text, .. } if text.contains("intended") => Some(text.clone()),
        _ => None,
    });
    let text = intended.into_iter().next_back().unwrap();
    w.wake(SavedState::Journal(text.into()));
    assert_eq!(w.keeper.starts, [1, 1], "the same run, asked for again");
    assert_eq!(w.status().phase, PhaseName::Starting);
}

#[test]
fn without_a_journal_the_keepers_record_is_the_state() {
    for memory in [
        SavedState::Fresh,
        SavedState::SetAside { why: "damaged".into(), text: None },
        SavedState::Journal("{broken".to_owned().into()),
    ] {
        let mut w = World::serving(settings());
        let before = w.status();
        w.take_told();
        w.wake(memory.clone());
        let after = w.status();
        assert_eq!((after.session_id, after.instance_id), (before.session_id, before.instance_id), "{memory:?}");
        assert_eq!(after.phase, PhaseName::Serving, "{memory:?}");
        assert!(w.take_told().is_empty());
        assert_eq!(w.keeper.starts, [1]);
    }
}

#[test]
fn an_older_journal_yields_to_the_keeper() {
    let mut w = World::serving(settings());
    let old = w.journal.clone().unwrap();
    w.game_exits(ExitStatus::Exited { code: 0 });
    w.say(GameEvent::Ready);
    let before = w.status();
    w.wake(SavedState::Journal(old.into()));
    let after = w.status();
    assert_eq!((after.game.run, after.session_id), (Some(RunNumber(2)), before.session_id));
    assert_eq!(w.keeper.starts, [1, 2]);
}

#[test]
fn a_run_that_nothing_explains_is_kept_until_the_operator_says_so() {
    let mut w = World::serving(settings());
    w.keeper.record = None;
    w.seen.clear();
    w.wake(SavedState::Fresh);
    w.pass(secs(1000));
    assert!(matches!(w.keeper.run, RunState::Running { .. }));
    assert!(matches!(w.offer, Some(Availability::Unavailable)));
    assert!(w.status().warnings.iter().any(|warning| warning.contains("gameside stop")));
    w.order(crate::model::orders::Order::Stop { reason: None, now: false });
    assert!(w.ended.is_some());
    assert!(matches!(w.keeper.run, RunState::Empty));
}

#[test]
fn an_end_that_was_committed_but_not_taken_is_taken() {
    let mut w = World::serving(settings());
    w.allocates = false;
    w.game_exits(ExitStatus::Exited { code: 0 });
    let report = exit(RunNumber(1), ExitStatus::Exited { code: 0 }, Timestamp::EPOCH, Timestamp::EPOCH);
    w.keeper.run = RunState::Exited { report };
    w.take_told();
    w.kill_agent();
    assert!(matches!(w.keeper.run, RunState::Empty));
    assert!(w.take_told().is_empty(), "it was reported once");
}

#[test]
fn a_drain_goes_on_with_the_deadline_that_it_had() {
    let mut w = World::serving(settings());
    w.say(GameEvent::PlayerJoined(GamePlayer { id: "ann".into(), name: None, team: None }));
    w.give(crate::core::io::Input::Terminate);
    let deadline = w.status().deadline;
    w.pass(secs(300));
    w.kill_agent();
    assert_eq!((w.status().phase, w.status().deadline), (PhaseName::Draining, deadline));
    w.pass(secs(300));
    assert!(w.ended.is_some());
}

#[test]
fn a_stop_sequence_goes_on_after_a_restart_of_the_agent() {
    let mut w = World::serving(settings());
    w.keeper.game_obeys = false;
    w.order(crate::model::orders::Order::Stop { reason: None, now: false });
    w.pass(secs(5));
    w.kill_agent();
    assert_eq!(w.status().phase, PhaseName::Closing);
    w.pass(secs(11));
    assert!(w.ended.is_some());
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
}

#[test]
fn the_end_of_a_match_is_delivered_by_the_next_life_before_it_takes_another_allocation() {
    let mut w = World::serving(settings());
    w.service.net = Net::Refuses(Refusal::Unreachable { why: "refused".into() });
    w.game_exits(ExitStatus::Exited { code: 0 });
    assert!(matches!(w.offer, Some(Availability::Unavailable)));
    w.kill_agent();
    assert!(matches!(w.offer, Some(Availability::Unavailable)));
    assert_eq!(w.status().outbox.len(), 1);
    w.service.net = Net::Up;
    w.take_told();
    w.pass(secs(2));
    assert_eq!(w.take_told()[..2], ["closed", "create"]);
}

#[test]
fn a_keeper_that_comes_back_finds_things_as_they_were() {
    let mut w = World::serving(settings());
    w.give(crate::core::io::Input::Keeper(crate::model::keeper::KeeperFact::Away { why: "closed".into() }));
    assert!(!w.status().keeper.connected);
    w.connect();
    assert_eq!(w.status().phase, PhaseName::Serving);
    assert_eq!(w.keeper.starts, [1]);
}

fn keeper_is_gone(w: &mut World, left: Option<Box<LeftReport>>) {
    w.give(Input::Keeper(KeeperFact::Away { why: "no program".into() }));
    w.give(Input::Keeper(KeeperFact::Gone { left }));
}

#[test]
fn while_no_keeper_can_be_had_the_end_is_reported_and_the_agent_can_end() {
    let mut w = World::serving(settings());
    keeper_is_gone(&mut w, None);
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
    assert_eq!(w.status().last_end.unwrap().exit.unwrap().status, ExitStatus::Lost);
    assert!(matches!(w.offer, Some(Availability::Unavailable)), "nothing is offered without a keeper");
    w.order(Order::Stop { reason: None, now: false });
    assert!(matches!(w.ended, Some(Ending::Orderly { .. })), "{:?}", w.ended);
}

#[test]
fn the_end_that_a_keeper_left_counts_where_none_can_be_had() {
    let mut w = World::serving(settings());
    let RunState::Running { run, started, .. } = w.keeper.run else { panic!() };
    let report = exit(run, ExitStatus::Exited { code: 0 }, started, w.now().wall);
    let left =
        |keeper: &str| Some(Box::new(LeftReport { keeper: KeeperId::new(keeper).unwrap(), report: report.clone() }));
    keeper_is_gone(&mut w, left("keeper-1"));
    assert_eq!(w.status().last_end.unwrap().exit, Some(report.clone()));

    let mut w = World::serving(settings());
    keeper_is_gone(&mut w, left("keeper-0"));
    assert_eq!(w.status().last_end.unwrap().exit.unwrap().status, ExitStatus::Lost, "another keeper's run 1");
}

#[test]
fn a_journal_that_is_set_aside_still_owes_the_end() {
    // The end is owed while the service is away, and then the journal and the keeper are gone.
    let mut w = World::serving(settings());
    w.allocates = false;
    w.service.net = Net::Silent;
    w.game_exits(ExitStatus::Exited { code: 0 });
    assert_eq!(w.shown(), Some(JoinStatus::Joinable));
    let text = w.journal.clone();
    w.keeper = Keeper::new("keeper-2");
    w.service.net = Net::Up;
    w.wake(SavedState::SetAside { why: "it killed the agent".into(), text });
    assert_eq!(w.service.sessions.values().next().unwrap().instance.as_ref().unwrap().join_status, JoinStatus::Closed);
    assert_eq!(w.status().outbox, Vec::<String>::new());
}

#[test]
fn a_match_that_only_a_journal_knew_that_was_set_aside_is_closed() {
    let mut w = World::serving(settings());
    w.allocates = false;
    let text = w.journal.clone();
    w.keeper = Keeper::new("keeper-2");
    w.wake(SavedState::SetAside { why: "it killed the agent".into(), text });
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
    assert!(w.keeper.starts.is_empty(), "no game runs for it");
}
