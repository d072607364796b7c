//! What waits for the journal, and what doesn't.

use crate::core::{
    io::{Effect, Input, JournalFact},
    testing::{Disk, World, secs, settings},
};
use crate::model::{
    game::{Admission, CustomDataOf, EventSource, GameEvent, GamePlayer},
    keeper::KeeperOrder,
    orders::{After, Order},
    process::ExitStatus,
    session::JoinStatus,
};

#[test]
fn a_start_waits_for_its_intent_and_the_taking_of_an_end_for_the_end() {
    let w = World::new(settings());
    let order = w.seen.iter().filter_map(|effect| match effect {
        Effect::Commit { text, .. } if text.contains("intended") => Some("commit"),
        Effect::Keeper(KeeperOrder::Start { .. }) => Some("start"),
        Effect::Keeper(KeeperOrder::Record { text }) if text.contains("intended") => Some("record"),
        _ => None,
    });
    let order: Vec<_> = order.collect();
    let start = order.iter().position(|what| *what == "start").unwrap();
    assert!(order[..start].contains(&"commit") && order[..start].contains(&"record"), "{order:?}");
}

#[test]
fn a_broken_journal_lets_the_match_go_on_and_its_reports_out() {
    let mut w = World::serving(settings());
    w.disk = Disk::Fails;
    w.say(GameEvent::Joinable(Admission::Closed));
    assert_eq!(w.shown(), Some(JoinStatus::Unjoinable));
    assert!(w.status().warnings.iter().any(|warning| warning.contains("no space left")));
    w.game_exits(ExitStatus::Exited { code: 0 });
    w.pass(secs(3));
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
    assert!(!w.keeper.orders.contains(&"taken 1".to_owned()), "the end isn't on disk");
    assert_eq!(w.keeper.starts, [1], "nothing new is begun");
    w.disk = Disk::Works;
    w.pass(secs(2));
    assert!(w.keeper.orders.contains(&"taken 1".to_owned()));
    assert_eq!(w.keeper.starts, [1, 2]);
}

#[test]
fn a_commit_that_takes_too_long_counts_as_trouble_until_it_is_done() {
    let mut w = World::serving(settings());
    w.disk = Disk::Silent;
    w.game_exits(ExitStatus::Exited { code: 0 });
    assert_eq!(w.shown(), Some(JoinStatus::Joinable), "closed waits a moment for the journal");
    w.pass(secs(2));
    assert_eq!(w.shown(), Some(JoinStatus::Closed));
    assert!(!w.status().warnings.is_empty());
    w.disk = Disk::Works;
    let seq = w.seen.iter().filter_map(|e| if let Effect::Commit { seq, .. } = e { Some(*seq) } else { None }).max();
    w.give(Input::Journal(JournalFact::Committed { seq: seq.unwrap() }));
    assert!(w.status().warnings.is_empty());
    assert_eq!(w.keeper.starts, [1, 2]);
}

#[test]
fn what_changes_while_a_commit_is_under_way_is_safe_only_with_the_next() {
    let mut w = World::serving(settings());
    let calm = w.core.written();
    w.say(GameEvent::Heartbeat);
    assert_eq!(w.core.written(), calm, "nothing to remember");
    w.disk = Disk::Silent;
    w.say(GameEvent::Joinable(Admission::Closed));
    let first = w.core.written();
    w.say(GameEvent::Joinable(Admission::Open));
    let second = w.core.written();
    assert!(calm.revision < first.revision && first.revision < second.revision, "{first:?} {second:?}");
    let asked = w.seen.iter().filter_map(|e| if let Effect::Commit { seq, .. } = e { Some(*seq) } else { None }).max();
    assert_eq!(Some(second.by), asked.map(|seq| seq + 1), "the one under way doesn't know of it");
}

#[test]
fn what_changed_back_while_a_commit_was_under_way_needs_no_other() {
    let mut w = World::serving(settings());
    w.disk = Disk::Silent;
    w.say(GameEvent::Joinable(Admission::Closed));
    w.say(GameEvent::Joinable(Admission::Open));
    w.say(GameEvent::Joinable(Admission::Closed));
    w.disk = Disk::Works;
    w.catch_up();
    assert!(w.core.is_written());
    assert_eq!(w.shown(), Some(JoinStatus::Unjoinable));
}

#[test]
fn the_journals_text_survives_being_read() {
    let mut w = World::serving(settings());
    let text = w.journal.clone().unwrap();
    let memory = crate::core::durable::Memory::read(&text, None).unwrap();
    assert_eq!(memory.write(None), text);
    w.kill_agent();
    assert!(crate::core::durable::Memory::read(&text.replace("\"format\":1", "\"format\":9"), None).is_err());
}

/// Written by the agent as it was before its core was taken apart.
const JOURNALS: &str = include_str!("journals.jsonl");

#[test]
fn journals_of_earlier_agents_are_read_and_written_as_they_were() {
    for text in JOURNALS.lines() {
        let memory = crate::core::durable::Memory::read(text, None).unwrap();
        assert_eq!(memory.write(None), text);
    }
    assert!(JOURNALS.lines().count() > 20, "every phase, and every state of the process");
}

#[test]
fn what_changes_nothing_costs_nothing() {
    let mut w = World::serving(settings());
    w.say(GameEvent::Heartbeat);
    w.say(GameEvent::Joinable(Admission::Open));
    w.pass(secs(1));
    let known = (w.core.status_revision(), w.core.written());
    let run = w.status().game.run.unwrap();
    let custom = GameEvent::CustomData { whose: CustomDataOf::Instance, data: [].into() };
    w.say(custom.clone());
    let known_now = (w.core.status_revision(), w.core.written());
    for event in [GameEvent::Heartbeat, GameEvent::Hello, GameEvent::Joinable(Admission::Open), custom] {
        let input = Input::GameEvent { run, source: EventSource::Native, event: event.clone() };
        let effects = w.core.handle(input, w.now());
        assert_eq!(effects, [], "{event:?}");
        assert_eq!((w.core.status_revision(), w.core.written()), known_now, "{event:?}");
    }
    assert!(known_now.0 > known.0, "that there is such data at all is news once");
}

#[test]
fn an_order_is_answered_once_it_is_on_disk_and_at_once_where_the_disk_does_not_work() {
    let replied = |w: &World| w.seen.iter().any(|effect| matches!(effect, Effect::Reply { reply: Ok(_), .. }));
    let orders = [
        Order::Drain { reason: None, then: After::End },
        Order::Stop { reason: None, now: false },
        Order::Admission(Admission::Closed),
    ];
    for order in orders {
        for disk in [Disk::Silent, Disk::Fails] {
            let mut w = World::serving(settings());
            w.say(GameEvent::PlayerJoined(GamePlayer { id: "ann".into(), name: None, team: None }));
            w.disk = disk;
            w.seen.clear();
            w.order(order.clone());
            assert_eq!(replied(&w), disk == Disk::Fails, "{order:?}, {disk:?}");
            w.disk = Disk::Works;
            w.catch_up();
            assert!(replied(&w), "{order:?}, {disk:?}");
        }
    }
}
