//! Settings that no other conversation is about: each with the effect that it has.

use crate::{
    core::{
        io::{Effect, Ending, Input},
        testing::{World, backfill, secs, settings, stats},
    },
    model::{
        calls::{Call, NewSession},
        game::GameEvent,
        keeper::KeeperFact,
        process::ProcessStats,
        session::{BackfillAck, BackfillStyle, TeamOverflow},
    },
};

fn session(w: &World) -> NewSession {
    let made = w.seen.iter().find_map(|effect| match effect {
        Effect::Call { call: Call::CreateSession(new), .. } => Some(new),
        _ => None,
    });
    NewSession::clone(made.expect("a session was made"))
}

fn acknowledged(w: &World) -> Option<BackfillAck> {
    w.seen.iter().find_map(|effect| match effect {
        Effect::Call { call: Call::AckBackfill { body, .. }, .. } => Some(BackfillAck::clone(body)),
        _ => None,
    })
}

#[test]
fn after_so_many_allocations_the_agent_ends() {
    for (exit_after, ends) in [(0, false), (1, true), (2, false)] {
        let mut s = settings();
        s.recycle.exit_after = exit_after;
        let mut w = World::serving(s);
        w.say(GameEvent::MatchEnded { allocation: None });
        assert_eq!(matches!(w.ended, Some(Ending::Orderly { .. })), ends, "exit_after = {exit_after}");
    }
}

#[test]
fn an_own_session_is_made_as_configured() {
    let mut s = settings();
    s.session.session_type = "duel".into();
    s.session.region = Some("eu".into());
    s.session.joinable = false;
    s.session.teams = vec![3];
    s.session.custom_data = [("a".to_owned(), "b".to_owned())].into();
    s.session.browser_data = [("c".to_owned(), "d".to_owned())].into();
    let expected = s.session.clone();
    let made = session(&World::serving(s));
    assert_eq!((made.session_type, made.region, made.joinable), (expected.session_type, expected.region, false));
    assert_eq!((made.teams, made.custom_data, made.browser), (vec![3], expected.custom_data, expected.browser_data));
}

#[test]
fn a_backfill_is_acknowledged_as_configured_or_not_at_all() {
    let mut s = settings();
    s.backfill.styles = vec![BackfillStyle::Composition];
    s.backfill.overflow_action = TeamOverflow::Overfill;
    for enabled in [true, false] {
        s.backfill.enabled = enabled;
        let mut w = World::serving(s.clone());
        w.service.sessions.values_mut().next().unwrap().backfill = Some(backfill("b1"));
        w.pass(secs(11));
        let said = acknowledged(&w).map(|body| (body.styles, body.overflow_action));
        assert_eq!(said, enabled.then(|| (vec![BackfillStyle::Composition], TeamOverflow::Overfill)));
    }
}

#[test]
fn a_full_server_keeps_its_backfill_where_that_is_configured() {
    for delete in [true, false] {
        let mut s = settings();
        s.backfill.delete_when_full = delete;
        let mut w = World::serving(s);
        let session = w.service.sessions.values_mut().next().unwrap();
        session.backfill = Some(backfill("b1"));
        session.teams.iter_mut().for_each(|team| team.max_size = 0);
        w.pass(secs(11));
        assert_eq!(w.service.told.contains(&"delete backfill".to_owned()), delete);
    }
}

#[test]
fn each_sign_of_bad_health_counts_from_its_own_share_or_not_at_all() {
    let reasons = |change: fn(&mut crate::model::policy::Health)| {
        let mut s = settings();
        change(&mut s.health);
        let mut w = World::serving(s);
        let stats = ProcessStats { memory_limit: Some(100), memory_pressure: Some(70.0), ..stats(95) };
        for _ in 0..3 {
            w.give(Input::Keeper(KeeperFact::Stats(stats)));
            w.say(GameEvent::TickRate { measured: 20.0, target: None });
        }
        w.status().health_reasons.join("; ")
    };
    let all = reasons(|health| health.tick_target = Some(60.0));
    for sign in ["95 % of its memory", "memory pressure", "20.0 of 60.0 ticks"] {
        assert!(all.contains(sign), "{sign}: {all}");
    }
    assert!(!reasons(|health| health.memory_percent = 96).contains("of its memory"));
    assert!(!reasons(|health| health.pressure_percent = 71).contains("pressure"));
    assert!(!reasons(|_| ()).contains("ticks"), "nobody said how many there should be");
    let slow = |health: &mut crate::model::policy::Health| {
        health.tick_target = Some(60.0);
        health.tick_percent = 30;
    };
    assert!(!reasons(slow).contains("ticks"));
}

#[test]
fn a_process_that_is_too_old_or_too_large_serves_no_other_match() {
    let starts = |change: fn(&mut crate::model::policy::Recycle)| {
        let mut s = settings();
        s.recycle.after_matches = 0;
        change(&mut s.recycle);
        let mut w = World::serving(s);
        w.pass(secs(11));
        w.give(Input::Keeper(KeeperFact::Stats(stats(95))));
        w.say(GameEvent::MatchEnded { allocation: None });
        w.keeper.starts.len()
    };
    assert_eq!(starts(|_| ()), 1, "the same process serves on");
    assert_eq!(starts(|recycle| recycle.after = Some(crate::model::units::Span::from_secs(10))), 2);
    assert_eq!(starts(|recycle| recycle.memory = Some(crate::model::units::Size(90))), 2);
}

#[test]
fn the_session_is_read_as_often_as_configured() {
    let reads = |seconds| {
        let mut s = settings();
        s.poll = secs(seconds);
        let mut w = World::serving(s);
        w.pass(secs(60));
        let read = |effect: &&Effect| matches!(effect, Effect::Call { call: Call::ReadSession { .. }, .. });
        w.seen.iter().filter(read).count()
    };
    let (often, seldom) = (reads(3), reads(20));
    assert!(often >= 15 && seldom <= 5, "{often}, {seldom}");
}
