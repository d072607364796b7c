//! Starts that fail for good, and what is said of one that never ends.

use crate::core::{
    io::{Ending, Input},
    testing::{World, exit, secs, settings},
};
use crate::model::{
    game::{EventSource, Evidence, GameEvent, GamePlayer},
    ids::RunNumber,
    keeper::KeeperFact,
    orders::{After, Order},
    policy::{GameKind, Readiness, ReadyBy},
    process::{ExitReport, ExitStatus, LAUNCHER, RunState},
};

/// The run ends, with this report.
fn ends(w: &mut World, status: ExitStatus, change: impl FnOnce(&mut ExitReport)) {
    let RunState::Running { run, started, .. } = w.keeper.run else { panic!("{:?}", w.keeper.run) };
    let mut report = exit(run, status, started, w.now().wall);
    change(&mut report);
    w.keeper.run = RunState::Exited { report: report.clone() };
    w.give(Input::Keeper(KeeperFact::Exited(report)));
    w.pass(secs(3600));
}

fn why(w: &World) -> &str {
    match &w.ended {
        Some(Ending::Failed { why }) => why,
        other => panic!("it goes on: {other:?}, {:?}", w.timeline()),
    }
}

#[test]
fn what_would_end_the_same_again_is_not_tried_again() {
    let mut w = World::serving(settings());
    ends(&mut w, ExitStatus::Exited { code: 0 }, |report| report.stragglers = 1);
    assert_eq!((why(&w), w.keeper.starts.len()), (LAUNCHER, 1), "a launcher of which the keeper has told nothing");

    let mut w = World::serving(settings());
    let RunState::Running { run, .. } = w.keeper.run else { panic!() };
    w.give(Input::Keeper(KeeperFact::LeftBehind { run, status: ExitStatus::Exited { code: 0 }, left: 1 }));
    assert!(w.timeline().iter().any(|text| text.contains("forking = true")), "at once");
    assert!(!w.keeper.orders.iter().any(|order| order.starts_with("signal")), "the keeper has begun to stop it");
    ends(&mut w, ExitStatus::Signaled { signal: 15, core: false }, |report| report.stragglers = 1);
    assert_eq!((why(&w), w.keeper.starts.len()), (LAUNCHER, 1));

    let mut w = World::serving(settings());
    let error = "starting /game: Permission denied".to_owned();
    ends(&mut w, ExitStatus::SpawnFailed { error }, |report| report.lasting = true);
    assert!(why(&w).contains("isn't tried again"), "{}", why(&w));
    assert_eq!(w.keeper.starts.len(), 1);
}

#[test]
fn what_ends_with_others_left_is_no_launcher_if_it_failed_or_had_served_for_long() {
    for (code, served) in [(1, 0), (0, 120)] {
        let mut w = World::serving(settings());
        w.pass(secs(served));
        let RunState::Running { run, .. } = w.keeper.run else { panic!() };
        let status = ExitStatus::Exited { code };
        w.give(Input::Keeper(KeeperFact::LeftBehind { run, status: status.clone(), left: 1 }));
        assert!(!w.timeline().iter().any(|text| text.contains("forking")), "{code} {served}");
    }
}

#[test]
fn what_ends_with_others_left_is_no_launcher_if_its_end_was_asked_for() {
    let mut w = World::serving(settings());
    let RunState::Running { run, .. } = w.keeper.run else { panic!() };
    w.say(GameEvent::PlayerJoined(GamePlayer { id: "ann".into(), name: None, team: None }));
    w.order(Order::Drain { reason: None, then: After::Recycle });
    w.give(Input::Keeper(KeeperFact::LeftBehind { run, status: ExitStatus::Exited { code: 0 }, left: 1 }));
    assert!(!w.timeline().iter().any(|text| text.contains("forking")), "{:?}", w.timeline());
}

#[test]
fn a_crash_comes_with_its_last_lines_even_if_others_had_to_be_stopped_after_it() {
    for stragglers in [0, 2] {
        let mut w = World::serving(settings());
        ends(&mut w, ExitStatus::Exited { code: 1 }, |report| {
            report.stragglers = stragglers;
            report.stopped_at_step = (stragglers > 0).then_some(1);
            report.last_lines = vec!["no such map".to_owned()];
        });
        assert!(w.timeline().iter().any(|text| text.contains("no such map")), "{stragglers}: {:?}", w.timeline());
    }
}

#[test]
fn a_world_that_could_be_started_before_is_tried_again() {
    let mut s = settings();
    s.kind = GameKind::World;
    let mut w = World::serving(s);
    w.game_exits(ExitStatus::Exited { code: 1 });
    w.pass(secs(31));
    assert_eq!(w.keeper.starts, [1, 2]);
    let error = "starting /game: No such file or directory".to_owned();
    ends(&mut w, ExitStatus::SpawnFailed { error }, |report| report.lasting = true);
    assert!(w.ended.is_none() && w.keeper.starts.len() > 2, "{:?}", w.ended);
}

#[test]
fn a_start_that_never_ends_says_what_was_waited_for() {
    let down = Evidence::Down { why: "127.0.0.1:7777 did not answer".to_owned() };
    let rows = [
        (ReadyBy::Sdk, None, "the word of an SDK was waited for; it has spoken no SDK"),
        (ReadyBy::Probe, Some(&down), "[probe] was waited for, and found last: 127.0.0.1:7777 did not answer"),
        (ReadyBy::Probe, None, "[probe] was waited for, and got no answer"),
        (ReadyBy::Port, None, "port 7777 (game) was waited for"),
        (ReadyBy::Log, None, "matches \"^up\" was waited for"),
        (ReadyBy::Auto, None, "it has spoken no SDK, and port 7777 (game) was waited for"),
        (ReadyBy::Auto, Some(&down), "it has spoken no SDK, and [probe] was waited for, and found last"),
    ];
    for (by, evidence, expected) in rows {
        let mut s = settings();
        s.readiness = Readiness { by, pattern: Some("^up".to_owned()), ..Readiness::default() };
        let mut w = World::new(s.clone());
        if let Some(evidence) = evidence {
            w.give(Input::Evidence { run: RunNumber(1), source: EventSource::Probe, evidence: evidence.clone() });
        }
        w.pass(s.readiness.timeout.get());
        let said = w.timeline();
        assert!(said.iter().any(|text| text.contains(expected)), "{by:?}: {expected}: {said:?}");
    }
    let mut s = settings();
    s.readiness.by = ReadyBy::Sdk;
    let mut w = World::new(s.clone());
    w.give(Input::GameEvent { run: RunNumber(1), source: EventSource::Agones, event: GameEvent::Hello });
    w.pass(s.readiness.timeout.get());
    assert!(w.timeline().iter().any(|text| text.contains("it speaks the Agones SDK, and has not said")));
}
