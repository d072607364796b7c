//! The agent's journal on a disk with no room left: a small tmpfs in a mount namespace of its own,
//! filled to the last byte.
//!
//! The test runs itself again in there, so that nothing is mounted where anybody else could see it.

use crate::support::component;
use gameside::{
    internals::{
        agent::journal::{self, MAX_BULK, MAX_TEXT},
        core::io::{Bulk, JournalFact, Saved},
    },
    model::time::Timestamp,
};
use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    path::Path,
    process::Command,
};

/// Set in the inner run: the directory on which the small disk is mounted.
const INSIDE: &str = "GAMESIDE_TEST_SMALL_DISK";
const NAME: &str = "full_disk::the_journal_is_written_where_nothing_else_can_be";

#[test]
fn the_journal_is_written_where_nothing_else_can_be() {
    if let Some(dir) = std::env::var_os(INSIDE) {
        return commits_on_a_full_disk(Path::new(&dir));
    }
    let Some(unshare) =
        component::program("unshare", "util-linux").filter(|_| component::root("it mounts a small file system"))
    else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=6m tmpfs \"$1\" && exec \"$2\" --exact \"$3\" --nocapture";
    let output = Command::new(unshare)
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env(INSIDE, dir.path())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn commits_on_a_full_disk(dir: &Path) {
    let path = dir.join("journal");
    // A life makes what it may need behind its first commit.
    let (writer, mut facts) = journal::open(&path, Timestamp::EPOCH).unwrap().journal.start().unwrap();
    writer.commit(1, "before".to_owned(), None);
    assert_eq!(facts.blocking_recv(), Some(JournalFact::Committed { seq: 1 }));
    drop(writer);
    let mut opened = journal::open(&path, Timestamp::EPOCH).unwrap();
    fill(dir);
    assert_eq!(std::fs::write(dir.join("other"), "x").unwrap_err().kind(), ErrorKind::StorageFull);

    for text in ["short", &"long ".repeat(MAX_TEXT / 5)] {
        opened.journal.commit(text, None).unwrap();
        assert_eq!(journal::peek(&path).unwrap(), Some(text.to_owned().into()));
    }
    for id in 1..=3 {
        let bulk = Some(Bulk { id, text: "large ".repeat(MAX_BULK / 6).into() });
        let saved = Saved { text: format!("{{\"bulk\":{id}}}"), bulk };
        opened.journal.commit(&saved.text, saved.bulk.as_ref()).unwrap();
        assert_eq!(journal::peek(&path).unwrap(), Some(saved));
    }
    opened.journal.commit("the last of this life", None).unwrap();
    // The next agent takes it up, and its thread goes on writing.
    drop(opened);
    let opened = journal::open(&path, Timestamp::EPOCH).unwrap();
    assert_eq!((opened.saved, &opened.aside), (Some("the last of this life".to_owned().into()), &None));
    let (writer, mut facts) = opened.journal.start().unwrap();
    for seq in 1..=20 {
        writer.commit(seq, format!("state {seq}"), None);
        assert_eq!(facts.blocking_recv(), Some(JournalFact::Committed { seq }));
    }
    assert_eq!(journal::peek(&path).unwrap(), Some("state 20".to_owned().into()));
}

fn fill(dir: &Path) {
    let mut file = File::create(dir.join("filler")).unwrap();
    for size in [64 * 1024, 1] {
        let piece = vec![1; size];
        while file.write_all(&piece).is_ok() {}
    }
}
