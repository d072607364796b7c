//! How many play, by everything that says so.

use crate::core::{
    io::Input,
    testing::{World, secs, settings},
};
use crate::model::{
    game::{EventSource, Evidence, GameEvent, GamePlayer},
    ids::RunNumber,
    policy::ReadyBy,
    status::PhaseName,
    units::Span,
};
use EventSource::{Agones, Gsdk, Log, Native, Probe};

fn player(id: &str) -> GamePlayer {
    GamePlayer { id: id.into(), name: None, team: None }
}
fn joins(id: &str) -> GameEvent {
    GameEvent::PlayerJoined(player(id))
}
fn leaves(id: &str) -> GameEvent {
    GameEvent::PlayerLeft { id: id.into() }
}
fn list(ids: &[&str]) -> GameEvent {
    GameEvent::Players(ids.iter().map(|id| player(id)).collect())
}
fn counts(players: u32) -> GameEvent {
    GameEvent::PlayerCount { players, max: Some(64) }
}

/// A game that serves, of whose players nobody has said anything. A probe answers every 5 s where it is asked.
fn silent() -> World {
    let mut s = settings();
    s.readiness.by = ReadyBy::Delay;
    let mut w = World::new(s);
    w.pass(secs(5));
    assert_eq!(w.status().phase, PhaseName::Serving);
    w
}

fn says(w: &mut World, source: EventSource, event: GameEvent) {
    let run = RunNumber(1);
    w.give(Input::GameEvent { run, source, event });
    if source == Probe {
        w.give(Input::Evidence { run, source, evidence: Evidence::Up });
    }
}

/// So long a probe answers every 5 s.
fn pass_probed(w: &mut World, seconds: u64) {
    for _ in 0..seconds / 5 {
        w.pass(secs(5));
        if let Some(run) = w.status().game.run {
            w.give(Input::Evidence { run, source: Probe, evidence: Evidence::Up });
        }
    }
}

type Said = Vec<(EventSource, GameEvent)>;

/// What is shown, and whether sources disagree.
fn shown(w: &World) -> (Option<u32>, bool) {
    (w.status().players, w.status().players_disputed_until.is_some())
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn what_the_sources_say_and_what_is_concluded() {
    let rows: Vec<(&str, Said, Option<u32>, bool)> = vec![
        ("nothing was said", vec![], None, false),
        ("a game that speaks, of other things", vec![(Native, GameEvent::Hello)], None, false),
        ("an SDK's join", vec![(Native, joins("a"))], Some(1), false),
        ("an SDK's join and leave", vec![(Agones, joins("a")), (Agones, leaves("a"))], Some(0), false),
        ("an SDK's empty list", vec![(Native, list(&[]))], Some(0), false),
        ("the same of a frontend that keeps the list itself", vec![(Agones, list(&[]))], None, false),
        ("capacity set, nobody connected", vec![(Agones, counts(0))], None, false),
        ("then somebody", vec![(Agones, counts(0)), (Agones, joins("a"))], Some(1), false),
        ("a counter that went up and down", vec![(Agones, counts(2)), (Agones, counts(0))], Some(0), false),
        ("a list", vec![(Gsdk, list(&["a", "b"]))], Some(2), false),
        ("a log's join", vec![(Log, joins("a"))], Some(1), false),
        ("a log's leave of somebody unknown", vec![(Log, leaves("a"))], None, false),
        ("a log's join and leave", vec![(Log, joins("a")), (Log, leaves("a"))], Some(0), false),
        ("a query's names", vec![(Probe, list(&["a", "b"]))], Some(2), false),
        ("a query that then only counts", vec![(Probe, list(&[])), (Probe, counts(3))], Some(3), false),
        ("a query that names again", vec![(Probe, counts(3)), (Probe, list(&["a"]))], Some(1), false),
        ("a query's nobody", vec![(Probe, counts(0))], Some(0), false),
        ("a query that lists them, and counts none", vec![(Probe, list(&["a"])), (Probe, counts(0))], Some(1), true),
        ("two sources agree that somebody plays", vec![(Log, joins("a")), (Probe, counts(7))], Some(1), false),
        ("the log misses who came", vec![(Log, joins("a")), (Log, leaves("a")), (Probe, counts(3))], Some(3), true),
        ("a broken pattern, and a query", vec![(Log, leaves("a")), (Probe, counts(3))], Some(3), false),
        ("the log's phantom", vec![(Log, joins("a")), (Probe, counts(0))], Some(1), true),
        ("an SDK's phantom", vec![(Native, joins("a")), (Probe, list(&[]))], Some(1), true),
        ("all agree that nobody plays", vec![(Native, list(&[])), (Probe, counts(0))], Some(0), false),
        (
            "a farther source spoke first",
            vec![(Probe, list(&["a", "b"])), (Log, joins("1")), (Log, joins("2"))],
            Some(2),
            false,
        ),
    ];
    for (what, said, players, disputed) in rows {
        let mut w = silent();
        for (source, event) in said.clone() {
            says(&mut w, source, event);
        }
        assert_eq!(shown(&w), (players, disputed), "{what}: {:?}", w.status().players_said);
        // The next life knows as much, but for what only a new answer of the probe can tell.
        w.kill_agent();
        if said.iter().any(|(source, _)| *source == Probe) {
            w.give(Input::Evidence { run: RunNumber(1), source: Probe, evidence: Evidence::Up });
        }
        assert_eq!(shown(&w), (players, disputed), "{what}, in the next life");
    }
}

#[test]
fn what_each_source_says_is_in_the_status_and_names_are_only_shown_where_they_are_all() {
    let mut w = silent();
    says(&mut w, Probe, list(&["Pia"]));
    assert_eq!(w.status().players_known.len(), 1);
    says(&mut w, Probe, counts(3));
    assert_eq!((w.status().players, w.status().players_known), (Some(3), vec![]), "she may have left");
    says(&mut w, Log, joins("1"));
    let said: Vec<_> = w.status().players_said.into_iter().collect();
    let number = |name: &str, players| (name.to_owned(), players);
    assert_eq!(said, [number("log", 1), number("probe", 3), number("session", 0)]);
    says(&mut w, Probe, list(&["Pia"]));
    says(&mut w, Probe, counts(0));
    assert_eq!(w.status().players_said["probe_list"], 1);
}

#[test]
fn names_that_go_blank_are_no_empty_server_and_no_match_is_ended_over_them() {
    // A server that listed nobody at first, and then only counts.
    let mut w = silent();
    says(&mut w, Probe, list(&[]));
    says(&mut w, Probe, counts(3));
    pass_probed(&mut w, 3600);
    assert_eq!((w.status().players, w.status().phase), (Some(3), PhaseName::Serving));
    assert_eq!(w.keeper.starts, [1], "neither no_show nor empty");
    says(&mut w, Probe, counts(0));
    pass_probed(&mut w, 115);
    assert_eq!(w.keeper.starts, [1]);
    pass_probed(&mut w, 5);
    assert!(w.status().last_end.unwrap().reason.starts_with("empty"));
}

#[test]
fn an_unknown_number_of_players_ends_no_match() {
    // It lists nobody, once; then it is asked no more, or doesn't answer.
    let mut w = silent();
    says(&mut w, Probe, counts(0));
    w.pass(secs(60));
    assert_eq!(w.status().players, None, "what was said a minute ago isn't known");
    w.pass(secs(3600));
    assert_eq!(w.keeper.starts, [1]);
    says(&mut w, Probe, counts(0));
    assert_eq!(w.keeper.starts, [1, 2], "and this is a fresh word");
    assert!(w.timeline().iter().any(|text| text.contains("no_show")));
}

#[test]
fn sources_that_disagree_hold_the_server_for_a_while_and_then_whoever_says_nobody_is_believed() {
    let mut s = settings();
    s.readiness.by = ReadyBy::Delay;
    s.players.count_conflict = Span::from_secs(600);
    let mut w = World::new(s);
    w.pass(secs(5));
    says(&mut w, Log, joins("ghost"));
    says(&mut w, Probe, counts(0));
    let until = w.status().players_disputed_until.unwrap();
    assert_eq!(until.since(w.now().wall), secs(600));
    pass_probed(&mut w, 300);
    // Somebody comes: that is news, also where only the log has it.
    says(&mut w, Log, joins("ann"));
    let until = w.status().players_disputed_until.unwrap();
    assert_eq!(until.since(w.now().wall), secs(600));
    says(&mut w, Probe, counts(1));
    assert_eq!(shown(&w), (Some(2), false), "both say that somebody plays");
    says(&mut w, Log, leaves("ann"));
    says(&mut w, Probe, counts(0));
    pass_probed(&mut w, 595);
    assert_eq!((shown(&w), w.keeper.starts.len()), ((Some(1), true), 1));
    w.pass(secs(5));
    assert_eq!(w.keeper.starts, [1, 2], "a phantom pins no machine");
    assert!(w.timeline().iter().any(|text| text.contains("empty: everybody has left")));
}

#[test]
fn a_dispute_that_nobody_can_settle_by_now_goes_on() {
    let mut s = settings();
    s.readiness.by = ReadyBy::Delay;
    s.players.count_conflict = Span::from_secs(60);
    let mut w = World::new(s);
    w.pass(secs(5));
    says(&mut w, Log, joins("ann"));
    says(&mut w, Probe, counts(0));
    w.pass(secs(3600));
    assert_eq!((w.status().players, w.keeper.starts.len()), (Some(1), 1), "the query has not answered lately");
    w.give(Input::Evidence { run: RunNumber(1), source: Probe, evidence: Evidence::Up });
    assert_eq!(w.keeper.starts, [1, 2]);
}
