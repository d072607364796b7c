//! Texts of the journal and what they refer to: both are there after a crash, or the pair before.

use super::{
    slots::{HEAD, SLOT_HEAD},
    *,
};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::EPOCH;

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    (dir, path)
}

fn bulk(id: u64, text: &str) -> Bulk {
    Bulk { id, text: text.into() }
}

/// A text that refers to a bulk.
fn saved(name: &str, bulk: Option<Bulk>) -> Saved {
    let named = bulk.as_ref().map(|bulk| bulk.id);
    Saved { text: serde_json::json!({"name": name, "bulk": named}).to_string(), bulk }
}

fn commit(journal: &mut Journal, saved: &Saved) {
    journal.commit(&saved.text, saved.bulk.as_ref()).unwrap();
}

fn found(path: &Path) -> Option<Saved> {
    let opened = open(path, NOW).unwrap();
    assert_eq!(opened.aside, None);
    opened.journal.replayed().unwrap();
    opened.saved
}

/// Writes over what lies in the bulk's slot of this id.
fn damage(path: &Path, id: u64) {
    let file = slots::open(&path.with_extension("bulk")).unwrap();
    let slot =
        (0..2).find(|slot| matches!(bulk::SLOTS.read(&file, *slot), Ok(Slot::Text { number, .. }) if number == id));
    file.write_all_at(b"\xff", bulk::SLOTS.at(slot.unwrap()) + SLOT_HEAD as u64).unwrap();
}

#[test]
fn a_bulk_is_written_before_the_first_text_that_refers_to_it_and_never_again() {
    let (_dir, path) = place();
    let mut journal = open(&path, NOW).unwrap().journal;
    let players = bulk(7, &"ada ".repeat(10_000));
    commit(&mut journal, &saved("first", Some(players.clone())));
    assert_eq!(found(&path), Some(saved("first", Some(players.clone()))));
    // Were it written again, it would be whole again.
    damage(&path, 7);
    for round in 0..5 {
        commit(&mut journal, &saved(&round.to_string(), Some(players.clone())));
        assert_eq!(found(&path).unwrap().bulk, None);
    }
    let others = bulk(8, "bob");
    commit(&mut journal, &saved("others", Some(others.clone())));
    assert_eq!(found(&path), Some(saved("others", Some(others))));
}

#[test]
fn a_bulk_that_is_torn_costs_its_own_state_and_the_pair_before_counts() {
    let (_dir, path) = place();
    let (first, second) = (saved("first", Some(bulk(1, "ada"))), saved("second", Some(bulk(2, "bob"))));
    let mut journal = open(&path, NOW).unwrap().journal;
    commit(&mut journal, &first);
    commit(&mut journal, &second);
    drop(journal);
    damage(&path, 2);
    assert_eq!(found(&path).as_ref(), Some(&first));
    assert_eq!(peek(&path).unwrap().as_ref(), Some(&first));
    // The life that begins with it spares it until there is something newer.
    let third = saved("third", Some(bulk(3, "cleo")));
    let mut opened = open(&path, NOW).unwrap();
    opened.journal.bulk.hold(third.bulk.as_ref().unwrap(), opened.journal.refers_to).unwrap();
    assert_eq!(found(&path).as_ref(), Some(&first), "its text isn't written yet");
    commit(&mut opened.journal, &third);
    assert_eq!(found(&path), Some(third));
}

#[test]
fn a_state_before_it_without_a_bulk_is_a_whole_one() {
    let (_dir, path) = place();
    let mut journal = open(&path, NOW).unwrap().journal;
    commit(&mut journal, &saved("small", None));
    commit(&mut journal, &saved("large", Some(bulk(1, "ada"))));
    std::fs::remove_file(path.with_extension("bulk")).unwrap();
    assert_eq!(found(&path), Some(saved("small", None)));
}

#[test]
fn where_no_pair_is_whole_the_newest_text_counts_without() {
    let (_dir, path) = place();
    let players = bulk(1, "ada");
    let mut journal = open(&path, NOW).unwrap().journal;
    commit(&mut journal, &saved("first", Some(players.clone())));
    commit(&mut journal, &saved("second", Some(players.clone())));
    drop(journal);
    let cut = |path: &Path| std::fs::write(path.with_extension("bulk"), "cut").unwrap();
    for harm in [(|path| damage(path, 1)) as fn(&Path), cut] {
        harm(&path);
        let without = Saved { bulk: None, ..saved("second", Some(players.clone())) };
        assert_eq!(found(&path), Some(without));
    }
    let third = saved("third", Some(bulk(2, "bob")));
    commit(&mut open(&path, NOW).unwrap().journal, &third);
    assert_eq!(found(&path), Some(third));
}

#[test]
fn the_first_commit_of_a_life_leaves_a_file_whose_every_block_is_written() {
    let (_dir, path) = place();
    drop(open(&path, NOW).unwrap().journal.start().unwrap());
    let blocks = |path: &Path| std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).unwrap());
    let file = path.with_extension("bulk");
    let size = HEAD + 2 * bulk::SLOTS.size as u64;
    assert!(blocks(&file) * 512 >= size, "every block was written");
    let mut journal = open(&path, NOW).unwrap().journal;
    for id in 1..=4 {
        commit(&mut journal, &saved("large", Some(bulk(id, &"x".repeat(MAX_BULK)))));
    }
    assert_eq!(std::fs::metadata(&file).unwrap().len(), size);
    let too_large = saved("larger", Some(bulk(5, &"x".repeat(MAX_BULK + 1))));
    assert!(journal.commit(&too_large.text, too_large.bulk.as_ref()).is_err());
    assert_eq!(found(&path), Some(saved("large", Some(bulk(4, &"x".repeat(MAX_BULK))))));
}

/// What happens to a journal.
#[derive(Debug, Clone)]
enum Act {
    /// A commit; its bulk is another one, or the same as before, or none.
    Commit(Option<bool>),
    /// A crash while the next bulk, or the text after it, was written.
    Crash { in_bulk: bool, garbage: Vec<u8> },
}

fn act() -> impl Strategy<Value = Act> {
    let garbage = prop::collection::vec(any::<u8>(), 1..40);
    prop_oneof![
        3 => any::<Option<bool>>().prop_map(Act::Commit),
        1 => (any::<bool>(), garbage).prop_map(|(in_bulk, garbage)| Act::Crash { in_bulk, garbage }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever a crash leaves in the slot that was being written, the last pair survives.
    #[test]
    fn the_last_pair_survives_a_crash_in_the_midst_of_the_next(acts in prop::collection::vec(act(), 1..14)) {
        let (_dir, path) = place();
        let mut journal = open(&path, NOW).unwrap().journal;
        let (mut last, mut id) = (None, 0);
        for (round, act) in acts.into_iter().enumerate() {
            match act {
                Act::Commit(other) => {
                    let before = last.as_ref().and_then(|last: &Saved| last.bulk.clone());
                    let next_bulk = other.and_then(|other| {
                        id += 1;
                        if other { Some(bulk(id, &format!("text of {id}"))) } else { before }
                    });
                    let next = saved(&round.to_string(), next_bulk);
                    commit(&mut journal, &next);
                    last = Some(next);
                }
                Act::Crash { in_bulk, garbage } => {
                    id += 1;
                    if in_bulk {
                        journal.bulk.hold(&bulk(id, "torn"), journal.refers_to).unwrap();
                        let file = slots::open(&path.with_extension("bulk")).unwrap();
                        let slot = journal.bulk.slot_of(id).unwrap();
                        file.write_all_at(&garbage, bulk::SLOTS.at(slot)).unwrap();
                    } else {
                        journal.file.write_all_at(&garbage, SLOTS.at(1 - journal.newest)).unwrap();
                    }
                    journal = open(&path, NOW).unwrap().journal;
                    journal.replayed().unwrap();
                }
            }
            prop_assert_eq!(peek(&path).unwrap(), last.clone());
        }
    }
}
