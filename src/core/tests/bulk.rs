//! What is large of the state and seldom changes: written once, referred to by id, and missed
//! without harm.

use crate::core::{
    durable::{BulkText, Memory, bulk_named_in},
    io::{Bulk, Effect, Saved, SavedState},
    journal::INLINE,
    testing::{World, secs, settings},
};
use crate::model::{
    game::{Admission, CustomDataOf, EventSource, GameEvent, GamePlayer, Kept},
    orders::{After, Order},
    session::JoinStatus,
    status::PhaseName,
};

const SHELF: usize = 200 * 1024;

fn aside(text: &str) -> GameEvent {
    GameEvent::KeepAside(Kept::from(text.to_owned()))
}

fn player(id: &str) -> GamePlayer {
    GamePlayer { id: id.to_owned(), name: None, team: None }
}

/// Serves, with players, custom data and much that its SDK keeps.
fn laden() -> World {
    let mut w = World::serving(settings());
    w.say(GameEvent::Players((0..500).map(|n| player(&format!("player-{n}"))).collect()));
    w.say(aside(&"x".repeat(SHELF)));
    let data = [("mood".to_owned(), "calm".to_owned())].into();
    w.say(GameEvent::CustomData { whose: CustomDataOf::Instance, data });
    w
}

/// The commits since the last look.
fn commits(w: &mut World) -> Vec<Saved> {
    let seen = std::mem::take(&mut w.seen).into_iter().filter_map(|effect| match effect {
        Effect::Commit { text, bulk, .. } => Some(Saved { text, bulk }),
        _ => None,
    });
    seen.collect()
}

#[test]
fn a_word_that_changes_nothing_of_it_refers_to_the_same_and_is_small() {
    let mut w = laden();
    let before = commits(&mut w).pop().unwrap().bulk.unwrap();
    assert!(before.text.len() > SHELF);
    for word in [
        GameEvent::Joinable(Admission::Closed),
        GameEvent::Keep(Kept::from("a book".to_owned())),
        GameEvent::PlayerCount { players: 500, max: Some(1200) },
        aside(&"x".repeat(SHELF)),
        GameEvent::Joinable(Admission::Open),
    ] {
        w.say(word);
    }
    let written = commits(&mut w);
    assert!(written.len() >= 4, "{}", written.len());
    for Saved { text, bulk } in written {
        assert_eq!((bulk_named_in(&text), bulk.unwrap().id), (Some(before.id), before.id));
        assert!(text.len() < 2 * INLINE, "{}", text.len());
    }
    for word in [aside("y"), GameEvent::PlayerLeft { id: "player-0".to_owned() }] {
        w.say(word);
        let Saved { text, bulk } = commits(&mut w).pop().unwrap();
        let bulk = bulk.unwrap();
        assert_eq!(bulk_named_in(&text), Some(bulk.id));
        assert_ne!(bulk.id, before.id);
    }
}

#[test]
fn it_is_there_again_in_the_next_life_and_gone_with_the_run() {
    let mut w = laden();
    let before = w.status();
    w.kill_agent();
    let after = w.status();
    assert_eq!(after.game.kept_aside[&EventSource::Native].as_str().len(), SHELF);
    assert_eq!((after.players, after.players_known), (Some(500), before.players_known));
    assert_eq!(after.custom_data, before.custom_data);
    w.say(GameEvent::StopMe);
    w.pass(secs(1));
    assert!(w.status().game.kept_aside.is_empty());
    assert_eq!(commits(&mut w).pop().unwrap().bulk, None);
}

#[test]
fn what_is_small_lies_in_the_state_itself() {
    let mut w = World::serving(settings());
    w.say(GameEvent::PlayerJoined(player("ada")));
    w.say(aside("a shelf"));
    let Saved { text, bulk } = commits(&mut w).pop().unwrap();
    assert_eq!((bulk, bulk_named_in(&text)), (None, None));
    assert!(text.contains("a shelf") && text.contains("\"format\":1,"), "{text}");
    w.say(aside(&"x".repeat(INLINE)));
    assert!(commits(&mut w).pop().unwrap().text.contains("\"format\":2,"), "an older agent doesn't read half of it");
    w.say(aside("a shelf"));
    assert_eq!(commits(&mut w).pop().unwrap().bulk, None);
}

#[test]
fn a_life_without_its_bulk_knows_that_it_does_not_know_who_plays() {
    let mut w = laden();
    let text = w.journal.clone().unwrap();
    let id = bulk_named_in(&text).unwrap();
    for bulk in [None, Some(Bulk { id, text: "{broken".into() })] {
        w.wake(SavedState::Journal(Saved { text: text.clone(), bulk }));
        let status = w.status();
        assert_eq!((status.phase, w.shown()), (PhaseName::Serving, Some(JoinStatus::Joinable)));
        assert!(status.players_known.is_empty() && status.game.kept_aside.is_empty());
        assert!(w.kinds().contains(&"journal"));
    }
    w.pass(secs(3600));
    assert_eq!(w.status().phase, PhaseName::Serving, "nobody knows that it is empty");
    w.order(Order::Drain { reason: None, then: After::End });
    assert_eq!(w.status().phase, PhaseName::Draining, "somebody may play");
    w.say(GameEvent::Players(vec![player("ada")]));
    assert_eq!(w.status().players, Some(1));
    w.say(GameEvent::Players(Vec::new()));
    assert_eq!(w.status().phase, PhaseName::Ended);
}

#[test]
fn the_keepers_record_leaves_it_out_before_anything_else() {
    let mut w = laden();
    w.order(Order::Admission(Admission::Closed));
    let memory = w.core.memory();
    let record = Memory::read(&memory.record(), None).unwrap();
    assert!(record.words.kept_aside.is_empty());
    assert_eq!((&record.roster.nearest, &record.words.custom), (&memory.roster.nearest, &memory.words.custom));
    w.say(aside("a shelf"));
    let record = Memory::read(&w.core.memory().record(), None).unwrap();
    assert_eq!(record.words.kept_aside[&EventSource::Native].as_str(), "a shelf");
}

/// Of the first agent that wrote one: its journal, and what that refers to.
const WRITTEN: &str = include_str!("bulk.jsonl");

#[test]
fn what_the_first_agent_wrote_that_had_one_is_read_and_written_as_it_was() {
    let [text, bulk] = WRITTEN.lines().collect::<Vec<_>>()[..] else { panic!("two lines") };
    let read = BulkText::read(bulk).unwrap();
    let memory = Memory::read(text, Some(read.clone())).unwrap();
    assert!(read.is_of(&memory));
    assert_eq!((read.text(), memory.write(bulk_named_in(text))), (bulk.to_owned(), text.to_owned()));
    assert_eq!(
        (memory.roster.nearest.known.len(), memory.words.custom.len(), memory.words.kept_aside.len()),
        (40, 1, 1)
    );
}
