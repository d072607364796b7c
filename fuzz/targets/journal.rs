//! The journal after a crash: a torn or overwritten file yields one of the two states that were
//! committed, or none; never a third. Input: where to overwrite (two bytes), then what with.
#![no_main]

use gameside::{internals::agent::journal, model::time::Timestamp};
use libfuzzer_sys::fuzz_target;
use std::{fs::OpenOptions, os::unix::fs::FileExt};

const OLDER: &str = r#"{"state":"older"}"#;
const NEWER: &str = r#"{"state":"newer","and":"longer"}"#;

fuzz_target!(|data: &[u8]| {
    let Some((place, damage)) = data.split_first_chunk::<3>() else { return };
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let path = dir.path().join("journal");
    let now = Timestamp::from_unix_millis(0).expect("a time");
    let mut opened = journal::open(&path, now).expect("a new journal").journal;
    opened.commit(OLDER, None).expect("committed");
    opened.commit(NEWER, None).expect("committed");
    drop(opened);
    let file = OpenOptions::new().write(true).open(&path).expect("the journal's file");
    let length = file.metadata().expect("its length").len();
    let place = u64::from(u32::from_le_bytes([place[0], place[1], place[2], 0])) % length;
    file.write_all_at(damage, place).expect("written over");
    let opened = journal::open(&path, now).expect("a damaged journal is opened or set aside");
    let text = opened.saved.as_ref().map(|saved| saved.text.as_str());
    assert!(matches!(text, None | Some(OLDER | NEWER)), "neither of the two: {text:?}");
    assert!(text.is_some() || opened.aside.is_some(), "a state that can't be read is set aside");
});
