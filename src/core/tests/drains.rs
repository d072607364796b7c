//! How long a drain lets players go on, by what is known of them.

use crate::core::{
    io::{Input, Saved, SavedState},
    testing::{World, member, secs, settings},
};
use crate::model::{
    game::{EventSource, Evidence, GameEvent, GamePlayer},
    ids::RunNumber,
    orders::{After, Order},
    policy::ReadyBy,
    status::PhaseName,
    units::Span,
};
use std::time::Duration;

fn settings_of_a_silent_game() -> crate::core::settings::Settings {
    let mut s = settings();
    s.readiness.by = ReadyBy::Delay;
    s
}

fn up(w: &mut World) {
    w.pass(secs(5));
    assert_eq!(w.status().phase, PhaseName::Serving);
}

fn log(w: &mut World, event: GameEvent) {
    let run = w.status().game.run.unwrap();
    w.give(Input::GameEvent { run, source: EventSource::Log, event });
}

fn counts(w: &mut World, players: u32) {
    let run = w.status().game.run.unwrap();
    let event = GameEvent::PlayerCount { players, max: None };
    w.give(Input::GameEvent { run, source: EventSource::Probe, event });
    w.give(Input::Evidence { run, source: EventSource::Probe, evidence: Evidence::Up });
}

fn joins(id: &str) -> GameEvent {
    GameEvent::PlayerJoined(GamePlayer { id: id.into(), name: None, team: None })
}
fn leaves(id: &str) -> GameEvent {
    GameEvent::PlayerLeft { id: id.into() }
}

/// How long a drain lasts that begins now; nothing is said meanwhile.
fn lasts(w: &mut World) -> Duration {
    let begun = w.mono;
    w.order(Order::Drain { reason: None, then: After::Recycle });
    let shown = w.status().deadline.map(|at| at.since(w.now().wall));
    while w.status().phase == PhaseName::Draining {
        w.pass(secs(1));
    }
    let took = w.mono.saturating_sub(begun);
    assert!(took.is_zero() || Some(took) == shown, "{took:?}, and {shown:?} was shown");
    took
}

#[test]
fn where_nobody_knows_who_plays_a_drain_ends_earlier() {
    let world = |unknown: u64| {
        let mut s = settings_of_a_silent_game();
        s.drain.unknown_players = Span::from_secs(unknown);
        let mut w = World::new(s);
        up(&mut w);
        w
    };
    assert_eq!(lasts(&mut world(90)), secs(90), "nothing was said");
    assert_eq!(lasts(&mut world(3600)), secs(600), "never longer than the deadline");
    let mut w = world(90);
    counts(&mut w, 0);
    assert_eq!(lasts(&mut w), Duration::ZERO, "a fresh 0");
    let mut w = world(90);
    counts(&mut w, 0);
    w.pass(secs(10));
    assert_eq!(lasts(&mut w), secs(90), "an old 0");
    let mut w = world(90);
    counts(&mut w, 2);
    assert_eq!(lasts(&mut w), secs(600), "somebody plays");
    let mut w = world(90);
    log(&mut w, joins("ghost"));
    counts(&mut w, 0);
    assert_eq!(lasts(&mut w), secs(600), "sources disagree");
    let mut w = world(90);
    let member = member(1);
    w.service.sessions.values_mut().for_each(|session| session.teams[0].players.push(member.clone()));
    w.pass(secs(11));
    assert_eq!(w.status().players_said["session"], 1);
    assert_eq!(lasts(&mut w), secs(600), "a member of the session may play");
}

#[test]
fn a_drain_that_waits_for_nobody_it_knows_of_says_so_and_outlives_its_agent() {
    let mut w = World::new(settings_of_a_silent_game());
    up(&mut w);
    w.order(Order::Drain { reason: None, then: After::Recycle });
    assert!(w.status().warnings.iter().any(|warning| warning.contains("nobody knows whether anybody plays")));
    w.pass(secs(100));
    w.kill_agent();
    w.pass(secs(19));
    assert_eq!(w.status().phase, PhaseName::Draining);
    w.pass(secs(1));
    assert_ne!(w.status().phase, PhaseName::Draining, "two minutes after it began");
}

#[test]
fn silence_of_whoever_told_of_players_in_this_build_of_the_game_is_nobody_and_a_new_build_has_told_nothing() {
    let mut w = World::new(settings_of_a_silent_game());
    let begins = |w: &mut World, run: u64, build: &str| {
        w.give(Input::Build { run: RunNumber(run), build: build.to_owned() });
        up(w);
        assert_eq!(w.status().game.run, Some(RunNumber(run)));
    };
    begins(&mut w, 1, "one");
    assert_eq!(w.status().players, None);
    log(&mut w, joins("ann"));
    log(&mut w, leaves("ann"));
    assert_eq!(lasts(&mut w), Duration::ZERO);
    begins(&mut w, 2, "one");
    assert_eq!(w.status().players, Some(0), "it would have told");
    counts(&mut w, 1);
    assert_eq!(w.status().players, Some(1), "and is no match for somebody who says more");
    counts(&mut w, 0);
    w.kill_agent();
    assert_eq!(w.status().players, Some(0), "the next life knows it, too");
    assert_eq!(lasts(&mut w), Duration::ZERO);
    begins(&mut w, 3, "one");
    let mut lost = w.core.memory();
    lost.roster = crate::core::roster::Roster::default();
    w.wake(SavedState::Journal(Saved { text: lost.write(None), bulk: None }));
    assert_eq!(w.status().players, None, "what this run has said is lost");
    assert_eq!(lasts(&mut w), secs(120));
    begins(&mut w, 4, "two");
    assert_eq!(w.status().players, None, "an update may have broken the pattern");
    assert_eq!(lasts(&mut w), secs(120));
}
