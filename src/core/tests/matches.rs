//! The match from its beginning to its end, row by row of the lifecycle's table.

use crate::core::{
    io::{Effect, Input, Watch},
    testing::{World, secs, settings},
};
use crate::model::{
    game::{Admission, CustomDataOf, EventSource, Evidence, GameEvent, GameNotice},
    ids::{MatchId, RunNumber},
    keeper::{KeeperFact, KeeperOrder},
    orders::Order,
    policy::{ReadyBy, ReportBy, Reuse, Start},
    process::ExitStatus,
    session::{JoinStatus, StartupParams},
    status::PhaseName,
};
use std::time::Duration;

#[test]
fn a_match_of_our_own_from_offer_to_closed_and_the_next() {
    let mut w = World::new(settings());
    assert_eq!(w.status().phase, PhaseName::Starting);
    assert_eq!(w.take_told(), ["create", "post", "pending"]);
    assert_eq!(w.keeper.starts, [1]);
    w.say(GameEvent::Ready);
    assert_eq!(w.status().phase, PhaseName::Serving);
    assert_eq!(w.take_told(), ["joinable"]);
    assert_eq!(w.status().private_conn_str.as_deref(), Some("10.0.0.5:7777"));
    assert_eq!(w.status().public_conn_str, None, "a private address is no public one");
    w.game_exits(ExitStatus::Exited { code: 0 });
    assert_eq!(w.take_told(), ["closed", "create", "post", "pending"]);
    assert_eq!(w.keeper.starts, [1, 2]);
    assert!(w.status().last_end.unwrap().reported);
    assert!(w.ended.is_none());
}

#[test]
fn the_timeline_tells_the_story() {
    let mut w = World::serving(settings());
    w.game_exits(ExitStatus::Exited { code: 0 });
    let story: Vec<_> = w.kinds().into_iter().filter(|kind| *kind != "health").take(9).collect();
    assert_eq!(
        story,
        ["allocated", "starting", "pending", "ready", "joinable", "exit", "closed", "recycled", "reported"]
    );
}

#[test]
fn every_proof_of_readiness_counts_only_where_it_is_asked_for() {
    let rows = [
        (ReadyBy::Sdk, Some(GameEvent::Ready), None),
        (ReadyBy::Probe, None, Some(EventSource::Probe)),
        (ReadyBy::Port, None, Some(EventSource::Probe)),
        (ReadyBy::Log, None, Some(EventSource::Log)),
    ];
    for (by, said, door) in rows {
        let mut s = settings();
        s.readiness.by = by;
        let mut w = World::new(s);
        let up = |door| Input::Evidence { run: RunNumber(1), source: door, evidence: Evidence::Up };
        if by != ReadyBy::Sdk {
            w.say(GameEvent::Ready);
        }
        if door != Some(EventSource::Log) {
            w.give(up(EventSource::Log));
        }
        if door != Some(EventSource::Probe) {
            w.give(up(EventSource::Probe));
        }
        assert_eq!(w.shown(), Some(JoinStatus::Pending), "{by:?}: the wrong proof");
        said.into_iter().for_each(|said| w.say(said));
        door.into_iter().for_each(|door| w.give(up(door)));
        assert_eq!(w.shown(), Some(JoinStatus::Joinable), "{by:?}");
    }
}

#[test]
fn a_game_may_be_ready_before_the_keeper_has_said_that_it_runs() {
    for agent_dies in [false, true] {
        let mut w = World::serving(settings());
        w.keeper.says_started = false;
        w.game_exits(ExitStatus::Exited { code: 0 });
        w.say(GameEvent::Ready);
        assert_ne!(w.shown(), Some(JoinStatus::Joinable), "nothing is known of a process yet");
        if agent_dies {
            w.kill_agent();
        } else {
            let started = w.now().wall;
            w.give(Input::Keeper(KeeperFact::Started { run: RunNumber(2), pid: 1002, started, output_from: None }));
        }
        assert_eq!(w.shown(), Some(JoinStatus::Joinable), "what the game said is not forgotten");
    }
}

#[test]
fn a_match_that_is_told_again_has_begun_once() {
    let mut w = World::serving(settings());
    let begun = |id: &str| GameEvent::MatchStarted { match_id: MatchId::new(id).ok() };
    for id in ["m-1", "m-1", "m-2"] {
        w.say(begun(id));
    }
    assert_eq!(w.kinds().iter().filter(|kind| **kind == "match_started").count(), 2);
}

#[test]
fn a_game_that_speaks_an_sdk_says_itself_that_it_is_ready_and_of_any_other_it_is_seen() {
    for (speaks, shown) in [(false, JoinStatus::Joinable), (true, JoinStatus::Pending)] {
        let mut s = settings();
        s.readiness.by = ReadyBy::Auto;
        let mut w = World::new(s);
        if speaks {
            w.say(GameEvent::Heartbeat);
        }
        w.give(Input::Evidence { run: RunNumber(1), source: EventSource::Probe, evidence: Evidence::Up });
        assert_eq!(w.shown(), Some(shown));
        w.say(GameEvent::Ready);
        assert_eq!(w.shown(), Some(JoinStatus::Joinable));
    }
}

#[test]
fn a_fixed_delay_is_the_weakest_proof_and_ends_with_the_process() {
    let mut s = settings();
    s.readiness.by = ReadyBy::Delay;
    let mut w = World::new(s);
    w.pass(Duration::from_millis(4900));
    assert_eq!(w.shown(), Some(JoinStatus::Pending));
    w.pass(Duration::from_millis(100));
    assert_eq!(w.shown(), Some(JoinStatus::Joinable));
}

#[test]
fn the_gate_goes_to_and_fro_and_the_operators_word_is_above_the_games() {
    let mut w = World::serving(settings());
    w.take_told();
    w.say(GameEvent::Joinable(Admission::Closed));
    w.say(GameEvent::Joinable(Admission::Open));
    w.order(Order::Admission(Admission::Closed));
    w.say(GameEvent::Joinable(Admission::Open));
    assert_eq!(w.take_told(), ["unjoinable", "joinable", "unjoinable"]);
}

#[test]
fn what_the_game_says_goes_into_the_three_maps_and_an_empty_value_removes() {
    let mut s = settings();
    s.session.instance_data = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into();
    s.session.join_token = true;
    let mut w = World::serving(s);
    let data = [("b".to_owned(), String::new()), ("c".to_owned(), "3".to_owned())].into();
    w.say(GameEvent::CustomData { whose: CustomDataOf::Instance, data });
    let info = w.service.sessions.values().next().unwrap().instance.clone().unwrap();
    assert_eq!(info.custom_data, [("a".to_owned(), "1".to_owned()), ("c".to_owned(), "3".to_owned())].into());
    let token = &info.join_params.unwrap().custom_data["rh.SessionSecurityToken"];
    assert_eq!(token.len(), 64);
    let started = w.seen.iter().find_map(|effect| match effect {
        Effect::Keeper(KeeperOrder::Start { spec, .. }) => Some(spec.env["GAMESIDE_JOIN_TOKEN"].clone()),
        _ => None,
    });
    assert_eq!(started.as_ref(), Some(token));
}

#[test]
fn shutdown_said_by_the_game_is_an_orderly_end_also_with_a_bad_exit_code() {
    let mut w = World::serving(settings());
    w.say(GameEvent::Shutdown);
    w.take_told();
    w.game_exits(ExitStatus::Exited { code: 1 });
    assert_eq!(w.take_told()[0], "closed");
    assert_eq!(w.status().last_end.unwrap().reason, "the game ended, as it had said");
}

#[test]
fn shutdown_overtaken_by_the_exit_still_makes_the_end_orderly() {
    let mut w = World::serving(settings());
    w.allocates = false;
    w.take_told();
    w.game_exits(ExitStatus::Exited { code: 1 });
    assert_eq!(w.shown(), Some(JoinStatus::Pending), "it is to be started again");
    w.give(Input::GameEvent { run: RunNumber(1), source: EventSource::Native, event: GameEvent::Shutdown });
    assert_eq!(w.take_told(), ["pending", "closed"]);
    assert_eq!(w.keeper.starts, [1]);
}

#[test]
fn a_warm_game_serves_what_it_was_started_for_and_is_replaced_for_anything_else() {
    for (map, starts) in [("arena", vec![1]), ("desert", vec![1, 2])] {
        let mut s = settings();
        s.launch.start = Start::AtBoot;
        s.provider = crate::model::allocation::ProviderKind::Hook;
        let mut w = World::new(s);
        assert!(matches!(w.offer, Some(crate::core::io::Availability::Unavailable)), "not before it is ready");
        w.say(GameEvent::Ready);
        let Some(crate::core::io::Availability::Free { warm_map, .. }) = &w.offer else { panic!("no offer") };
        assert_eq!(warm_map.as_deref(), Some("arena"));
        let mut wish = crate::core::testing::allocation("a1", None);
        wish.startup_params = Some(StartupParams { map: map.into(), ..StartupParams::default() });
        w.order(Order::Allocate(Box::new(wish)));
        assert_eq!(w.keeper.starts, starts, "{map}");
        if map == "arena" {
            assert!(matches!(w.told_game()[0], GameNotice::Allocated { .. }));
            assert_eq!(w.shown(), Some(JoinStatus::Joinable));
        } else {
            assert_eq!(w.shown(), Some(JoinStatus::Pending));
            w.say(GameEvent::Ready);
            assert_eq!(w.shown(), Some(JoinStatus::Joinable));
        }
    }
}

/// How it is reused, its command and a variable of its own; whether it is replaced for another map.
#[test]
fn any_allocation_goes_to_a_game_that_was_started_without_a_use_of_startup_values() {
    let rows = [
        (Reuse::Auto, "-port={{ports.game}}", "{{name}}", false),
        (Reuse::Auto, "{% if mode %}-mode={% endif %}", "", true),
        (Reuse::Auto, "{{misc_args}}", "", true),
        (Reuse::Auto, "--config={{startup_file}}", "", true),
        (Reuse::Auto, "", "{{custom.bots}}", true),
        (Reuse::Auto, "exec ./server +map $GAMESIDE_MAP", "", true),
        (Reuse::SameLaunch, "-port={{ports.game}}", "", true),
    ];
    for (reuse, argument, variable, replaced) in rows {
        let mut s = settings();
        (s.launch.start, s.launch.reuse) = (Start::AtBoot, reuse);
        s.launch.command = vec!["/game".into(), argument.into()];
        s.launch.env = [("OWN".to_owned(), variable.to_owned())].into();
        s.session.startup_params = Some(StartupParams {
            map: "arena".into(),
            custom_data: [("bots".to_owned(), "4".to_owned())].into(),
            ..StartupParams::default()
        });
        s.provider = crate::model::allocation::ProviderKind::Hook;
        let mut w = World::new(s);
        w.say(GameEvent::Ready);
        let mut wish = crate::core::testing::allocation("a1", None);
        let custom_data = [("cookie".to_owned(), "7".to_owned()), ("bots".to_owned(), "4".to_owned())].into();
        wish.startup_params = Some(StartupParams { map: "desert".into(), custom_data, ..StartupParams::default() });
        w.order(Order::Allocate(Box::new(wish)));
        assert_eq!(w.keeper.starts, if replaced { vec![1, 2] } else { vec![1] }, "{reuse:?} {argument} {variable}");
        if !replaced {
            let told = w.told_game();
            let Some(GameNotice::Allocated { startup_params, .. }) = told.first() else { panic!("{told:?}") };
            assert_eq!((startup_params.map.as_str(), startup_params.custom_data["cookie"].as_str()), ("desert", "7"));
            assert_eq!(w.shown(), Some(JoinStatus::Joinable));
        }
    }
}

#[test]
fn one_process_serves_as_many_matches_as_it_may() {
    let mut s = settings();
    s.recycle.after_matches = 2;
    let mut w = World::serving(s);
    w.say(GameEvent::MatchEnded { allocation: None });
    assert_eq!(w.keeper.starts, [1], "the second match has the same process");
    assert_eq!(w.shown(), Some(JoinStatus::Joinable));
    assert_eq!(w.service.sessions.len(), 2);
    w.say(GameEvent::MatchEnded { allocation: None });
    assert_eq!(w.keeper.starts, [1, 2], "the third a fresh one");
}

#[test]
fn a_game_that_writes_its_own_instance_only_gets_its_closed_written() {
    let mut s = settings();
    s.session.report = ReportBy::Game;
    let mut w = World::new(s);
    w.say(GameEvent::Ready);
    w.pass(secs(60));
    w.game_exits(ExitStatus::Exited { code: 0 });
    assert_eq!(w.take_told()[..3], ["create", "post", "closed"]);
    assert!(w.service.health.is_empty() && w.service.audits.is_empty());
}

#[test]
fn a_run_is_watched_while_it_lives() {
    let mut w = World::serving(settings());
    w.game_exits(ExitStatus::Exited { code: 0 });
    let watched: Vec<_> =
        w.seen.iter().filter_map(|e| if let Effect::Watch(watch) = e { Some(watch) } else { None }).collect();
    assert!(matches!(watched[..], [Watch::Run { .. }, Watch::Nothing, Watch::Run { .. }]), "{watched:?}");
}

#[test]
fn the_end_of_another_match_ends_none() {
    let mut w = World::serving(settings());
    let present = w.status().allocation_id;
    w.say(GameEvent::MatchEnded { allocation: Some("an-earlier-one".parse().unwrap()) });
    assert_eq!(w.status().phase, PhaseName::Serving);
    w.say(GameEvent::MatchEnded { allocation: present.clone() });
    assert_ne!(w.status().allocation_id, present);
}
