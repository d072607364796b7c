//! Logs that grow, are rotated, emptied, renamed and removed while they are read.

use super::*;
use crate::keeper::protocol::names::LOG;
use std::{fs, io::Write as _};

fn append(path: &Path, text: &str) {
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn end(path: &Path) -> OutputFrom {
    let metadata = fs::metadata(path).unwrap();
    place_in(&metadata, metadata.len())
}

fn keepers(dir: &Path) -> Files {
    Files::Keepers(dir.to_owned())
}

fn all(tail: &mut Tail) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let turn = tail.read().unwrap();
        texts.extend(turn.lines.into_iter().map(|line| line.text));
        if !turn.more {
            return texts;
        }
    }
}

/// As the keeper does it.
fn rotate(dir: &Path, files: u32) {
    let name = |number: u32| dir.join(names::log(number));
    let _ = fs::remove_file(name(files - 1));
    for number in (1..files).rev() {
        let _ = fs::rename(name(number - 1), name(number));
    }
}

#[test]
fn lines_come_once_through_every_rotation_and_after_a_new_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join(LOG);
    append(&log, "of the run before\n");
    let mut tail = Tail::at(keepers(dir.path()), end(&log)).unwrap();
    append(&log, "one\r\ntw");
    assert_eq!(all(&mut tail), ["one"]);
    append(&log, "o\nthree\n");
    rotate(dir.path(), 3);
    append(&log, "four\n");
    rotate(dir.path(), 3);
    append(&log, "five\n");
    let half = tail.read().unwrap().lines.remove(0);
    assert_eq!(half.text, "two");
    let mut again = Tail::at(keepers(dir.path()), half.end).unwrap();
    assert_eq!(all(&mut again), ["three", "four", "five"], "from the place of a line");

    // The file that is open goes, and the one behind it: what is left follows.
    append(&log, "six\n");
    rotate(dir.path(), 3);
    append(&log, "seven\n");
    rotate(dir.path(), 3);
    append(&log, "eight\n");
    let mut kept = all(&mut tail);
    assert_eq!(kept.remove(0), "five".to_owned(), "{kept:?}");
    assert_eq!(kept, ["six", "seven", "eight"]);
    assert_eq!(tail.place(), Some(end(&log)));
    append(&log, "nine\n");
    assert_eq!(all(&mut tail), ["nine"]);

    File::create(&log).unwrap();
    assert_eq!(all(&mut tail), [""; 0]);
    append(&log, "ten\n");
    assert_eq!(all(&mut tail), ["ten"], "it was emptied");
}

#[test]
fn a_place_in_a_file_that_is_gone_is_older_than_everything() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join(LOG);
    append(&log, "one\ntwo\n");
    let place = end(&log);
    let gone = OutputFrom { born: Some(1), ..place };
    assert_eq!(
        all(&mut Tail::at(keepers(dir.path()), gone).unwrap()),
        ["one", "two"],
        "another file of the same inode"
    );
    assert_eq!(all(&mut Tail::at(keepers(dir.path()), place).unwrap()), [""; 0]);
    let unknown = OutputFrom { born: None, ..place };
    assert_eq!(all(&mut Tail::at(keepers(dir.path()), unknown).unwrap()), [""; 0], "an older keeper doesn't say");
}

#[test]
fn a_line_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join(LOG);
    append(&log, &format!("{}\nshort\n", "x".repeat(3 * MAX_LINE / 2)));
    let lengths: Vec<usize> = {
        let mut tail = Tail::at(keepers(dir.path()), OutputFrom { offset: 0, ..end(&log) }).unwrap();
        all(&mut tail).iter().map(String::len).collect()
    };
    assert_eq!(lengths, [MAX_LINE, MAX_LINE / 2, 5]);
}

#[test]
fn a_games_own_log_is_followed_through_every_way_to_rotate_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("logs/server.log");
    let files = Files::Own(log.clone());
    let mut tail = Tail::at(files.clone(), Mark::nowhere().at).unwrap();
    assert_eq!((all(&mut tail), files.end().unwrap()), (Vec::new(), None), "not made yet");
    fs::create_dir(dir.path().join("logs")).unwrap();
    append(&log, "one\ntw");
    assert_eq!(all(&mut tail), ["one"]);
    assert_eq!(tail.unfinished().unwrap().text, "tw");
    append(&log, "o\nthree");
    assert_eq!(all(&mut tail), ["two"]);

    // Renamed, and another made.
    let place = tail.place().unwrap();
    fs::rename(&log, dir.path().join("logs/server.log.1")).unwrap();
    append(&log, "four\n");
    assert_eq!(all(&mut tail), ["three", "four"], "the line without an end gets none any more");
    assert_eq!(all(&mut Tail::at(files.clone(), place).unwrap()), ["three", "four"], "from the renamed one");

    // Emptied (copytruncate), and removed.
    File::create(&log).unwrap();
    assert_eq!(all(&mut tail), [""; 0]);
    append(&log, "five\n");
    assert_eq!(all(&mut tail), ["five"]);
    assert_eq!(files.end().unwrap().unwrap().at, end(&log));
    fs::write(&log, "FIVE\nand\n").unwrap();
    assert_eq!(all(&mut tail), ["FIVE", "and"], "emptied, and at once longer than before");
    let mark = files.end().unwrap().unwrap();
    fs::write(&log, "another run's\nlines\n").unwrap();
    let mut later = Tail::at(files.clone(), mark.at).unwrap();
    later.expect(&mark);
    assert_eq!(all(&mut later), ["another run's", "lines"], "so with the place where a run begins");
    assert_eq!(all(&mut tail), ["another run's", "lines"]);
    fs::remove_file(&log).unwrap();
    assert_eq!(all(&mut tail), [""; 0]);
    append(&log, "six\n");
    assert_eq!(all(&mut tail), ["six"]);
}

#[test]
fn what_is_no_file_is_said_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.log");
    let said = || Files::Own(path.clone()).end().unwrap_err().to_string();
    std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
    assert!(said().contains("is a link"), "{}", said());
    fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from(0o600)).unwrap();
    assert!(said().contains("no regular file"), "{}", said());
}
