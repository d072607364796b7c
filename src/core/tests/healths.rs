//! Evidence, hysteresis, cadence.

use crate::core::{
    io::{Effect, Input},
    testing::{World, secs, settings, stats},
};
use crate::model::{
    calls::Call,
    game::{Counted, EventSource, Evidence, GameEvent},
    ids::RunNumber,
    keeper::KeeperFact,
    policy::{SdkPings, WhenUnhealthy},
    process::{ExitStatus, ProcessStats},
    session::{InstanceHealth, JoinStatus},
    units::Span,
};
use InstanceHealth::{Degraded, Healthy, Unhealthy};
use std::time::Duration;

fn probe(w: &mut World, evidence: Evidence) {
    w.give(Input::Evidence { run: RunNumber(1), source: EventSource::Probe, evidence });
}
fn news(source: EventSource, count: u64, age: u64) -> Input {
    let counted = vec![Counted { source, count, age: secs(age) }];
    Input::HeartbeatsCounted { run: RunNumber(1), counted, answer: false }
}
fn down() -> Evidence {
    Evidence::Down { why: "no answer".into() }
}

#[test]
fn it_is_unknown_before_the_first_evidence_and_healthy_with_the_proof() {
    let mut w = World::new(settings());
    assert_eq!(w.status().instance_health, InstanceHealth::Unknown);
    w.say(GameEvent::Ready);
    assert_eq!(w.status().instance_health, InstanceHealth::Healthy);
    assert!(w.status().health_reasons.is_empty());
}

#[test]
fn it_falls_by_degrees_and_rises_again() {
    let mut w = World::serving(settings());
    let mut seen = Vec::new();
    for _ in 0..6 {
        probe(&mut w, down());
        seen.push(w.status().instance_health);
    }
    assert_eq!(seen, [Healthy, Healthy, Degraded, Degraded, Degraded, Unhealthy]);
    assert_eq!(w.status().health_reasons, ["the probe gets no answer: no answer"]);
    probe(&mut w, Evidence::Up);
    assert_eq!(w.status().instance_health, Unhealthy, "one success is none");
    probe(&mut w, Evidence::Up);
    assert_eq!(w.status().instance_health, Healthy);
}

#[test]
fn silence_counts_only_once_it_has_spoken() {
    let mut w = World::serving(settings());
    w.pass(secs(100));
    assert_eq!(w.status().instance_health, InstanceHealth::Healthy);
    w.say(GameEvent::Heartbeat);
    w.pass(secs(45));
    assert_eq!(w.status().instance_health, Degraded);
    w.pass(secs(45));
    assert_eq!(w.status().instance_health, InstanceHealth::Unhealthy);
    w.say(GameEvent::Heartbeat);
    w.pass(secs(1));
    w.say(GameEvent::Heartbeat);
    assert_eq!(w.status().instance_health, InstanceHealth::Healthy);
}

#[test]
fn what_was_missed_inside_a_gap_does_not_count() {
    let mut w = World::serving(settings());
    w.say(GameEvent::Heartbeat);
    w.pass(secs(44));
    w.mono += secs(3600);
    w.give(Input::Gap(secs(3600)));
    w.pass(secs(20));
    assert_eq!(w.status().instance_health, InstanceHealth::Healthy);
}

#[test]
fn the_tick_rate_that_it_aims_at_and_its_own_opinion_count() {
    let mut w = World::serving(settings());
    for _ in 0..3 {
        w.say(GameEvent::TickRate { measured: 20.0, target: Some(60.0) });
    }
    w.say(GameEvent::Health { health: InstanceHealth::Degraded, reason: Some("the navmesh is broken".into()) });
    assert_eq!(w.status().health_reasons, ["it runs at 20.0 of 60.0 ticks a second", "the navmesh is broken"]);
}

#[test]
fn checks_keep_the_services_cadence_never_late_and_changes_go_at_once() {
    let mut w = World::serving(settings());
    w.pass(secs(1));
    w.seen.clear();
    let mut posts = Vec::new();
    for _ in 0..600 {
        let before = w.service.health.len();
        w.pass(Duration::from_millis(100));
        if w.service.health.len() > before {
            posts.push(w.mono);
        }
    }
    assert!(posts.len() >= 6, "{posts:?}");
    assert!(
        posts
            .windows(2)
            .all(|pair| (secs(9)..=Duration::from_millis(10_100)).contains(&pair[1].saturating_sub(pair[0]))),
        "{posts:?}"
    );
    let before = w.service.health.len();
    for _ in 0..3 {
        probe(&mut w, down());
    }
    assert_eq!(w.service.health[before..], [InstanceHealth::Degraded]);
}

#[test]
fn what_follows_is_as_configured() {
    for (policy, shown) in [
        (WhenUnhealthy::Report, JoinStatus::Joinable),
        (WhenUnhealthy::Unjoinable, JoinStatus::Unjoinable),
        (WhenUnhealthy::Restart, JoinStatus::Pending),
    ] {
        let mut s = settings();
        s.health.when_unhealthy = policy;
        s.restart.delay = Span::from_secs(1);
        let mut w = World::serving(s);
        for _ in 0..6 {
            probe(&mut w, down());
        }
        assert_eq!(w.shown(), Some(shown), "{policy:?}");
        probe(&mut w, Evidence::Up);
        probe(&mut w, Evidence::Up);
        if policy != WhenUnhealthy::Restart {
            assert_eq!(w.shown(), Some(JoinStatus::Joinable), "{policy:?}");
        }
    }
}

#[test]
fn an_unhealthy_episode_that_nobody_could_be_told_of_becomes_an_audit_event() {
    let mut w = World::serving(settings());
    w.service.net = crate::core::testing::Net::Refuses(crate::model::calls::Refusal::Unreachable { why: "x".into() });
    w.pass(secs(5));
    let when = w.now().wall;
    for _ in 0..6 {
        probe(&mut w, down());
    }
    for _ in 0..2 {
        probe(&mut w, Evidence::Up);
    }
    w.service.net = crate::core::testing::Net::Up;
    w.pass(secs(2));
    assert!(w.service.audits.contains(&("unhealthy", when)), "{:?}", w.service.audits);
    assert_eq!(w.service.health.last(), Some(&InstanceHealth::Healthy));
    assert!(w.seen.iter().any(|effect| matches!(effect, Effect::Call { call: Call::HealthConfig, .. })));
}

/// A game that serves, and whose SDK promises a ping every five seconds.
fn pinging(stopped: WhenUnhealthy) -> World {
    let mut s = settings();
    s.health.when_unhealthy = stopped;
    // Silence of other SDKs is not what these tests are about.
    s.health.heartbeat = None;
    s.sdk_pings = Some(SdkPings { period: secs(5), failure_threshold: 3, initial_delay: secs(5) });
    World::serving(s)
}

fn ping(w: &mut World) {
    let run = w.status().game.run.unwrap();
    w.give(Input::GameEvent { run, source: EventSource::Agones, event: GameEvent::Heartbeat });
}

#[test]
fn pings_that_stop_make_a_run_unhealthy_until_they_come_again() {
    let mut w = pinging(WhenUnhealthy::Unjoinable);
    w.pass(secs(100));
    assert!(!w.status().game.pings_stopped, "it doesn't use that SDK");
    ping(&mut w);
    w.pass(secs(14));
    assert_eq!(w.status().instance_health, Healthy);
    w.pass(secs(1));
    assert_eq!((w.status().instance_health, w.status().game.pings_stopped), (Unhealthy, true));
    assert_eq!(w.status().health_reasons, ["no health ping in 3 periods of 5 s"]);
    assert_eq!(w.shown(), Some(JoinStatus::Unjoinable));
    w.kill_agent();
    assert_eq!((w.status().instance_health, w.status().game.pings_stopped), (Unhealthy, true), "the next agent knows");
    ping(&mut w);
    assert_eq!((w.status().instance_health, w.status().game.pings_stopped), (Healthy, false));
    assert_eq!(w.shown(), Some(JoinStatus::Joinable));
}

#[test]
fn pings_that_were_counted_elsewhere_are_judged_by_their_age() {
    let mut w = pinging(WhenUnhealthy::Report);
    ping(&mut w);
    // The newest of a hundred came six seconds before anybody asked.
    w.pass(secs(9));
    let counted = |age| news(EventSource::Agones, 100, age);
    w.give(counted(6));
    w.pass(secs(8));
    assert!(!w.status().game.pings_stopped, "two periods without one");
    w.pass(secs(4));
    assert!(w.status().game.pings_stopped, "three of them, counted from when it came");
    w.give(counted(0));
    assert!(!w.status().game.pings_stopped);
}

#[test]
fn heartbeats_that_were_counted_elsewhere_are_as_good_as_one_by_one() {
    let mut s = settings();
    s.health.heartbeat = Some(Span::from_secs(5));
    (s.health.fall, s.health.rise) = (2, 3);
    let mut w = World::serving(s);
    let counted = |count| news(EventSource::Native, count, 0);
    w.give(counted(1));
    w.pass(secs(11));
    assert_eq!(w.status().instance_health, Degraded);
    w.give(counted(2));
    assert_eq!(w.status().instance_health, Degraded, "two of three");
    w.give(counted(1));
    assert_eq!(w.status().instance_health, Healthy);
    w.pass(secs(11));
    w.give(counted(1_000_000));
    assert_eq!(w.status().instance_health, Healthy);
}

#[test]
fn only_pings_promise_more_of_them() {
    let mut w = pinging(WhenUnhealthy::Report);
    for event in [GameEvent::Hello, GameEvent::Keep(String::from("state").into())] {
        w.give(Input::GameEvent { run: RunNumber(1), source: EventSource::Agones, event });
    }
    w.pass(secs(100));
    assert!(!w.status().game.pings_stopped, "somebody has looked, and that is all");
}

#[test]
fn a_run_that_stops_to_ping_is_started_anew_where_that_is_configured() {
    let mut w = pinging(WhenUnhealthy::Restart);
    ping(&mut w);
    w.pass(secs(21));
    assert_eq!(w.keeper.starts, [1, 2]);
    assert!(!w.status().game.pings_stopped, "the next run has its own pings");
}

#[test]
fn pings_are_counted_from_the_start_of_the_process_after_the_initial_delay() {
    let mut s = settings();
    s.health.heartbeat = None;
    s.sdk_pings = Some(SdkPings { period: secs(5), failure_threshold: 3, initial_delay: secs(20) });
    let mut w = World::serving(s);
    ping(&mut w);
    w.pass(secs(34));
    assert!(!w.status().game.pings_stopped);
    w.pass(secs(1));
    assert!(w.status().game.pings_stopped);
}

#[test]
fn pings_that_a_gap_may_have_swallowed_are_not_missed() {
    let mut w = pinging(WhenUnhealthy::Report);
    ping(&mut w);
    w.pass(secs(14));
    w.mono += secs(60);
    w.give(Input::Gap(secs(60)));
    w.pass(secs(14));
    assert!(!w.status().game.pings_stopped);
    w.pass(secs(1));
    assert!(w.status().game.pings_stopped);
}

#[test]
fn a_game_that_is_being_stopped_need_not_ping() {
    let mut w = pinging(WhenUnhealthy::Report);
    w.keeper.game_obeys = false;
    ping(&mut w);
    w.pass(secs(14));
    w.give(Input::GameEvent { run: RunNumber(1), source: EventSource::Agones, event: GameEvent::StopMe });
    w.pass(secs(9));
    assert!(!w.status().game.pings_stopped);
}

/// A game that serves, has sent a heartbeat, and whose silence of 5 s is a failure.
fn beating() -> World {
    let mut s = settings();
    s.health.heartbeat = Some(Span::from_secs(5));
    s.health.fall = 1;
    let mut w = World::serving(s);
    w.give(news(EventSource::Native, 1, 0));
    w.seen.clear();
    w
}

/// When the heartbeats were asked for, in seconds from now; `span` passes.
fn questions(w: &mut World, span: u64) -> Vec<u64> {
    let (start, mut asked) = (w.mono, Vec::new());
    for _ in 0..span * 10 {
        let before = w.seen.len();
        w.pass(Duration::from_millis(100));
        let count = w.seen[before..].iter().filter(|effect| matches!(effect, Effect::CountHeartbeats { .. })).count();
        asked.extend(std::iter::repeat_n((w.mono.saturating_sub(start)).as_secs(), count));
    }
    asked
}

fn answer(w: &mut World, counted: Vec<Counted>) {
    w.give(Input::HeartbeatsCounted { run: RunNumber(1), counted, answer: true });
}

const UNANSWERED: &str = "the SDK gateway doesn't answer; the game's health can't be judged by its heartbeats";

fn warns(w: &World) -> bool {
    w.status().warnings.iter().any(|warning| warning == UNANSWERED)
}

#[test]
fn heartbeats_are_asked_for_at_their_deadlines_and_at_no_other_time() {
    let mut w = beating();
    for _ in 0..20 {
        w.counted.push(Counted { source: EventSource::Native, count: 9, age: secs(1) });
        let asked = questions(&mut w, 4);
        assert!(asked.len() <= 1, "{asked:?}");
        assert_eq!(w.status().instance_health, Healthy);
    }
    let asked = w.seen.iter().filter(|effect| matches!(effect, Effect::CountHeartbeats { .. })).count();
    assert_eq!(asked, 1 + 75 / 4, "after five seconds, and, as the newest is a second old then, every four");
    w.counted.clear();
    w.pass(secs(5));
    assert_eq!(w.status().instance_health, Degraded, "an answer without a heartbeat is silence");
}

#[test]
fn a_deadline_is_judged_by_the_answer_and_not_before() {
    let mut w = beating();
    w.counts = false;
    assert_eq!(questions(&mut w, 6), [5]);
    assert_eq!((w.status().instance_health, warns(&w)), (Healthy, false), "it is being asked");
    answer(&mut w, vec![Counted { source: EventSource::Native, count: 1, age: secs(2) }]);
    assert_eq!(w.status().instance_health, Healthy);
    assert_eq!(questions(&mut w, 4), [3], "five seconds after the newest");
    answer(&mut w, vec![Counted { source: EventSource::Native, count: 0, age: secs(6) }]);
    assert_eq!(w.status().instance_health, Degraded, "none since the last time");
}

#[test]
fn a_gateway_that_does_not_answer_is_no_silent_game() {
    let mut w = beating();
    w.counts = false;
    assert_eq!(questions(&mut w, 26), [5, 10, 15, 20, 25]);
    assert_eq!((w.status().instance_health, warns(&w)), (Healthy, true));
    answer(&mut w, Vec::new());
    assert_eq!((w.status().instance_health, warns(&w)), (Healthy, false), "it begins anew");
    answer(&mut w, Vec::new());
    assert_eq!(w.status().instance_health, Healthy, "a second answer to the same question");
    w.counts = true;
    w.pass(secs(4));
    assert_eq!(w.status().instance_health, Healthy);
    w.pass(secs(1));
    assert_eq!((w.status().instance_health, warns(&w)), (Degraded, false));
}

#[test]
fn after_a_stall_counting_goes_on_from_a_heartbeat_that_came_meanwhile() {
    let mut w = beating();
    w.counts = false;
    w.pass(secs(20));
    assert!(warns(&w));
    answer(&mut w, vec![Counted { source: EventSource::Native, count: 1, age: secs(3) }]);
    assert!(!warns(&w));
    assert_eq!(questions(&mut w, 4), [2]);
}

#[test]
fn a_stall_forgives_what_was_missed_before_it_but_not_what_others_found() {
    let mut w = beating();
    w.settings.health.fall = 2;
    let settings = w.settings.clone();
    w.give(Input::Reloaded(Box::new(settings)));
    w.pass(secs(5));
    probe(&mut w, down());
    w.counts = false;
    w.pass(secs(10));
    answer(&mut w, Vec::new());
    w.counts = true;
    w.pass(secs(5));
    assert_eq!(w.status().instance_health, Healthy, "one silence before, one after");
    probe(&mut w, down());
    assert_eq!(w.status().health_reasons, ["the probe gets no answer: no answer"], "two probes in a row");
}

#[test]
fn missing_pings_are_asked_for_too_and_a_stall_is_none() {
    let mut w = pinging(WhenUnhealthy::Report);
    ping(&mut w);
    w.counts = false;
    w.pass(secs(60));
    assert_eq!((w.status().game.pings_stopped, warns(&w)), (false, true));
    answer(&mut w, Vec::new());
    w.counts = true;
    let none = Counted { source: EventSource::Agones, count: 0, age: secs(60) };
    w.counted.push(none);
    w.pass(secs(5));
    w.counted.push(none);
    w.pass(secs(9));
    assert_eq!((w.status().game.pings_stopped, warns(&w)), (false, false));
    w.pass(secs(1));
    assert!(w.status().game.pings_stopped, "three periods from the answer on");
}

#[test]
fn nobody_waits_for_an_answer_that_no_longer_matters() {
    let mut w = beating();
    w.counts = false;
    w.pass(secs(20));
    assert!(warns(&w));
    w.give(news(EventSource::Native, 1, 0));
    assert!(!warns(&w), "it is heard of again");
    w.pass(secs(20));
    w.allocates = false;
    w.game_exits(ExitStatus::Exited { code: 0 });
    assert!(!warns(&w), "the run is over");
}

#[test]
fn a_frozen_game_is_silent_and_that_is_no_hang() {
    let serve = || {
        let mut w = World::serving(settings());
        w.say(GameEvent::Heartbeat);
        w
    };
    let silent = |w: &mut World, frozen: bool| {
        for _ in 0..60 {
            let stats = ProcessStats { frozen, ..stats(1) };
            w.give(Input::Keeper(KeeperFact::Stats(stats)));
            w.pass(secs(5));
        }
        w.status().instance_health
    };
    let mut w = serve();
    assert_ne!(silent(&mut w, false), InstanceHealth::Healthy, "it would be ill if it ran");
    let mut w = serve();
    assert_eq!(silent(&mut w, true), InstanceHealth::Healthy);
    assert_eq!(w.kinds().iter().filter(|kind| **kind == "frozen").count(), 1);
}
