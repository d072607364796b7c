use super::{
    slots::{HEAD, SLOT_HEAD},
    *,
};
use proptest::prelude::*;
use std::thread;

const NOW: Timestamp = Timestamp::EPOCH;

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    (dir, path)
}

fn text_at(path: &Path) -> Option<String> {
    open(path, NOW).unwrap().saved.map(|saved| saved.text)
}

fn text(opened: &Opened) -> Option<&str> {
    opened.saved.as_ref().map(|saved| saved.text.as_str())
}

fn damage(path: &Path, at: u64) {
    let file = slots::open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}

#[test]
fn what_was_committed_last_is_found_again() {
    let (_dir, path) = place();
    assert_eq!(text_at(&path), None);
    for round in 0..5 {
        let mut opened = open(&path, NOW).unwrap();
        opened.journal.replayed().unwrap();
        opened.journal.commit(&format!("a{round}"), None).unwrap();
        opened.journal.commit(&format!("b{round}"), None).unwrap();
        assert_eq!(peek(&path).unwrap(), Some(format!("b{round}").into()));
    }
}

#[test]
fn a_torn_commit_leaves_the_one_before() {
    let (_dir, path) = place();
    let mut opened = open(&path, NOW).unwrap();
    opened.journal.commit("one", None).unwrap();
    opened.journal.commit("two", None).unwrap();
    damage(&path, SLOTS.at(opened.journal.newest) + SLOT_HEAD as u64);
    let again = open(&path, NOW).unwrap();
    assert_eq!(text(&again), Some("one"));
    assert_eq!(again.aside, None);
}

#[test]
fn when_both_slots_are_damaged_the_file_is_set_aside() {
    let (_dir, path) = place();
    let mut opened = open(&path, NOW).unwrap();
    opened.journal.commit("one", None).unwrap();
    opened.journal.commit("two", None).unwrap();
    damage(&path, SLOTS.at(0) + 5);
    damage(&path, SLOTS.at(1) + 17);
    let again = open(&path, NOW).unwrap();
    assert_eq!(again.saved, None);
    assert!(again.aside.unwrap().path.exists());
    assert_eq!(text_at(&path), None, "the new file is usable");
}

#[test]
fn three_deaths_in_replay_set_the_state_aside() {
    let (_dir, path) = place();
    open(&path, NOW).unwrap().journal.commit("poison", None).unwrap();
    for _ in 0..MAX_REPLAYS {
        assert_eq!(text_at(&path).as_deref(), Some("poison"));
    }
    let opened = open(&path, NOW).unwrap();
    assert_eq!(opened.saved, None);
    assert!(opened.aside.unwrap().why.contains("3 times"));
}

#[test]
fn a_healthy_life_clears_the_count() {
    let (_dir, path) = place();
    open(&path, NOW).unwrap().journal.commit("fine", None).unwrap();
    for _ in 0..10 {
        let opened = open(&path, NOW).unwrap();
        assert_eq!(text(&opened), Some("fine"));
        opened.journal.replayed().unwrap();
    }
}

#[test]
fn an_end_that_is_no_crash_clears_the_count() {
    let (_dir, path) = place();
    open(&path, NOW).unwrap().journal.commit("fine", None).unwrap();
    for _ in 0..10 {
        let opened = open(&path, NOW).unwrap();
        assert_eq!(text(&opened), Some("fine"));
        drop(opened.journal.start().unwrap());
    }
    for _ in 0..MAX_REPLAYS {
        let opened = open(&path, NOW).unwrap();
        assert_eq!(text(&opened), Some("fine"));
        let life = thread::spawn(move || {
            let _writer = opened.journal.start().unwrap();
            panic!("the state is poison");
        });
        assert!(life.join().is_err());
    }
    let aside = open(&path, NOW).unwrap().aside.unwrap();
    assert_eq!(aside.text.as_deref(), Some("fine"), "what it owes can be read from it");
}

#[test]
fn a_new_life_has_a_journal_without_any_space_and_old_ones_do_not_pile_up() {
    let (dir, path) = place();
    for life in 0..6 {
        drop(open(&path, NOW).unwrap().journal.start().unwrap());
        let mut opened = open(&path, NOW).unwrap();
        let blocks = |path: &Path| std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).unwrap());
        assert!(blocks(&spare(&path)) * 512 >= HEAD + 2 * SLOTS.size as u64, "every block of the spare was written");
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
        let kept = inode(&spare(&path));
        opened.journal.commit("poison", None).unwrap();
        for _ in 0..MAX_REPLAYS {
            open(&path, NOW).unwrap();
        }
        let aside = open(&path, Timestamp::from_unix_millis(life).unwrap()).unwrap().aside.unwrap();
        assert!(aside.path.exists());
        assert_eq!(inode(&path), kept, "the spare is the journal now");
    }
    drop(open(&path, NOW).unwrap().journal.start().unwrap());
    let names = std::fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["journal", "journal.bad-3", "journal.bad-4", "journal.bad-5", "journal.bulk", "journal.spare"]);
}

#[test]
fn links_are_not_followed() {
    let (dir, path) = place();
    let elsewhere = dir.path().join("elsewhere");
    std::fs::write(&elsewhere, "precious").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(open(&path, NOW).is_err());
    assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "precious");
}

#[test]
fn a_state_too_large_is_refused_and_the_old_one_kept() {
    let (_dir, path) = place();
    let mut opened = open(&path, NOW).unwrap();
    opened.journal.commit("small", None).unwrap();
    assert!(opened.journal.commit(&"x".repeat(MAX_TEXT + 1), None).is_err());
    opened.journal.commit(&"y".repeat(MAX_TEXT), None).unwrap();
    assert_eq!(text_at(&path).map(|text| text.len()), Some(MAX_TEXT));
}

#[test]
fn no_commit_makes_the_file_grow() {
    let (_dir, path) = place();
    let mut opened = open(&path, NOW).unwrap();
    let blocks = |path: &Path| std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).unwrap());
    let (size, before) = (std::fs::metadata(&path).unwrap().len(), blocks(&path));
    assert!(before * 512 >= size, "every block was written");
    for length in [0, 1, MAX_TEXT] {
        opened.journal.commit(&"z".repeat(length), None).unwrap();
    }
    assert_eq!(std::fs::metadata(&path).unwrap().len(), size);
}

#[tokio::test]
async fn the_thread_answers_every_commit_in_order() {
    let (_dir, path) = place();
    let (writer, mut facts) = open(&path, NOW).unwrap().journal.start().unwrap();
    for seq in 1..=50 {
        writer.commit(seq, format!("state {seq}"), None);
    }
    drop(writer);
    for seq in 1..=50 {
        assert_eq!(facts.recv().await, Some(JournalFact::Committed { seq }));
    }
    assert_eq!(facts.recv().await, None);
    assert_eq!(text_at(&path).as_deref(), Some("state 50"));
}

proptest! {
    /// Whatever bytes a crash leaves in the slot that was being written, the state before survives.
    #[test]
    fn no_garbage_in_the_written_slot_hurts_the_other(
        texts in prop::collection::vec(".{0,200}", 1..6),
        garbage in prop::collection::vec(any::<u8>(), 1..300),
        offset in 0u64..64,
    ) {
        let (_dir, path) = place();
        let mut opened = open(&path, NOW).unwrap();
        for text in &texts {
            opened.journal.commit(text, None).unwrap();
        }
        let victim = SLOTS.at(1 - opened.journal.newest) + offset;
        opened.journal.file.write_all_at(&garbage, victim).unwrap();
        prop_assert_eq!(text_at(&path), texts.last().cloned());
    }

    /// A cut anywhere in the file never panics, and never gives a text that was not committed.
    #[test]
    fn a_cut_file_never_invents(texts in prop::collection::vec("[a-z]{0,50}", 1..5), cut in 0u64..(HEAD + 2 * SLOTS.size as u64)) {
        let (_dir, path) = place();
        let mut opened = open(&path, NOW).unwrap();
        for text in &texts {
            opened.journal.commit(text, None).unwrap();
        }
        opened.journal.file.set_len(cut).unwrap();
        let found = text_at(&path);
        prop_assert!(found.is_none_or(|found| texts.contains(&found)));
    }
}
