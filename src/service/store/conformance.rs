//! What every engine has to do, as tests: `suite!(engine)` in the tests of an engine makes one test
//! of each rule.
//!
//! | rule | why the service needs it |
//! |---|---|
//! | scans | a start reads everything, page by page |
//! | batches whole or not at all | a change, its index and its event are one |
//! | versions, conditions | of two services only one writes; an update of something stale is refused |
//! | expiry | what nobody renews goes |
//! | indexes, logs | both are tables |
//! | nothing can be stored | callers are told, nothing is half stored, and it goes on by itself |

use super::{CommitError, Page, Precondition, RowUpdate, Store, Table, Version, Write};
use crate::model::time::Timestamp;

/// An engine under test, on rows of its own.
pub(crate) trait Engine {
    /// One more handle on the same rows.
    fn handle(&self) -> Box<dyn Store>;
    /// The process ends and starts again; no handle is left.
    fn restart(&mut self);
    /// From now on nothing can be stored, or everything again.
    fn refuse_writes(&self, refuse: bool);
}

macro_rules! suite {
    ($engine:expr) => {
        $crate::service::store::conformance::suite! { $engine;
            rows_are_in_order_and_tables_apart
            a_scan_goes_on_where_the_page_before_ended
            a_batch_is_stored_whole_or_not_at_all
            no_version_comes_twice
            an_update_of_something_stale_is_refused
            a_check_guards_the_batch_and_changes_nothing
            rows_go_when_their_time_has_come
            an_index_is_a_table_of_the_same_batch
            a_log_is_read_from_a_cursor_and_trimmed_from_the_front
            concurrent_writers_lose_no_update
            what_was_committed_survives_a_restart
            while_nothing_can_be_stored_nothing_changes
        }
    };
    ($engine:expr; $($rule:ident)*) => {
        $(#[test]
        fn $rule() {
            $crate::service::store::conformance::$rule($engine);
        })*
    };
}
pub(crate) use suite;

const A: Table = Table::Sessions;
const B: Table = Table::Audit;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(1_800_000_000_000 + seconds * 1000).unwrap()
}

fn until(key: &str, seconds: i64) -> Write {
    Write { to: RowUpdate::Value { bytes: b"x".to_vec(), expires: Some(at(seconds)) }, ..Write::put(A, key, "") }
}

fn keys(store: &mut dyn Store, table: Table, prefix: &str) -> Vec<String> {
    store.scan(table, Page { prefix, after: None, limit: 1000 }).unwrap().into_iter().map(|row| row.key).collect()
}

fn value(store: &mut dyn Store, table: Table, key: &str) -> Option<String> {
    store.get(table, key).unwrap().map(|row| String::from_utf8(row.value).unwrap())
}

fn version(store: &mut dyn Store, key: &str) -> Option<Version> {
    store.get(A, key).unwrap().map(|row| row.version)
}

/// The conflicting key and what was found there.
fn conflict(result: Result<Version, CommitError>) -> (String, Option<Version>) {
    match result {
        Err(CommitError::Conflict { key, found, .. }) => (key, found),
        other => panic!("no conflict: {other:?}"),
    }
}

pub(crate) fn rows_are_in_order_and_tables_apart(engine: impl Engine) {
    let mut store = engine.handle();
    assert_eq!(store.read(A).unwrap(), []);
    assert_eq!(store.get(A, "a").unwrap(), None);
    let batch = ["b", "a", "ä", "a/b", "aa", "Z"].map(|key| Write::put(A, key, key));
    store.commit(&batch).unwrap();
    for (number, table) in Table::ALL.into_iter().enumerate() {
        store.commit(&[Write::put(table, "own", number.to_string())]).unwrap();
    }
    assert_eq!(keys(&mut *store, A, ""), ["Z", "a", "a/b", "aa", "b", "own", "ä"], "by bytes");
    assert_eq!(keys(&mut *store, A, "a"), ["a", "a/b", "aa"]);
    for (number, table) in Table::ALL.into_iter().enumerate() {
        assert_eq!(value(&mut *store, table, "own"), Some(number.to_string()));
    }
    store.commit(&[Write::remove(A, "a"), Write::remove(A, "never there")]).unwrap();
    assert_eq!(keys(&mut *store, A, "a"), ["a/b", "aa"]);
    assert_eq!(value(&mut *store, A, "a"), None);
}

pub(crate) fn a_scan_goes_on_where_the_page_before_ended(engine: impl Engine) {
    let mut store = engine.handle();
    let batch: Vec<Write> = (0..2500).map(|n| Write::put(A, format!("k{n:04}"), n.to_string())).collect();
    store.commit(&batch).unwrap();
    store.commit(&[Write::put(A, "j", "before"), Write::put(A, "l", "behind")]).unwrap();
    let mut page = |after, limit| {
        let rows = store.scan(A, Page { prefix: "k", after, limit }).unwrap();
        rows.into_iter().map(|row| row.key).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2), ["k0000", "k0001"]);
    assert_eq!(page(Some("k0001"), 1), ["k0002"]);
    assert_eq!(page(Some("k0001x"), 1), ["k0002"], "the cursor's own row may be gone");
    assert_eq!(page(Some("a"), 1), ["k0000"], "from before the first");
    assert_eq!(page(Some("k2498"), 9), ["k2499"]);
    assert!(page(Some("k2499"), 9).is_empty());
    assert!(page(Some("z"), 9).is_empty());
    assert_eq!(store.read(A).unwrap().len(), 2502, "as many pages as it takes");
}

pub(crate) fn a_batch_is_stored_whole_or_not_at_all(engine: impl Engine) {
    let mut store = engine.handle();
    store.commit(&[Write::put(A, "kept", "1"), Write::put(B, "kept", "1")]).unwrap();
    let before = version(&mut *store, "kept");
    let batch = [
        Write::put(A, "kept", "2"),
        Write::put(A, "new", "2"),
        Write::remove(B, "kept"),
        until("later", 5),
        Write::put(B, "z", "2").only(Precondition::IfVersion(Version(u64::MAX))),
    ];
    assert_eq!(conflict(store.commit(&batch)), ("z".to_owned(), None));
    assert_eq!((keys(&mut *store, A, ""), keys(&mut *store, B, "")), (vec!["kept".into()], vec!["kept".into()]));
    assert_eq!((value(&mut *store, A, "kept").as_deref(), version(&mut *store, "kept")), (Some("1"), before));
    assert!(store.expire(at(9)).unwrap().is_empty(), "nothing of it expires either");
}

pub(crate) fn no_version_comes_twice(engine: impl Engine) {
    let mut store = engine.handle();
    let mut last = Version(0);
    for round in 0..5 {
        let given = store.commit(&[Write::put(A, "k", "same"), Write::put(B, "k", "same")]).unwrap();
        assert!(given > last, "{given:?} after {last:?}");
        assert_eq!(version(&mut *store, "k"), Some(given), "round {round}");
        last = given;
        store.commit(&[Write::remove(A, "k")]).unwrap();
        assert_eq!(version(&mut *store, "k"), None);
    }
    let other = store.commit(&[Write::put(A, "other", "")]).unwrap();
    assert!(other > last);
}

pub(crate) fn an_update_of_something_stale_is_refused(engine: impl Engine) {
    let mut store = engine.handle();
    let put = |value: &str| Write::put(A, "k", value);
    let first = store.commit(&[put("1").only(Precondition::IfAbsent)]).unwrap();
    assert_eq!(conflict(store.commit(&[put("x").only(Precondition::IfAbsent)])), ("k".to_owned(), Some(first)));
    let second = store.commit(&[put("2").only(Precondition::IfVersion(first))]).unwrap();
    assert_eq!(conflict(store.commit(&[put("lost").only(Precondition::IfVersion(first))])).1, Some(second));
    assert_eq!(conflict(store.commit(&[Write::remove(A, "k").only(Precondition::IfVersion(first))])).1, Some(second));
    assert_eq!(value(&mut *store, A, "k").as_deref(), Some("2"));
    store.commit(&[Write::remove(A, "k").only(Precondition::IfVersion(second))]).unwrap();
    assert_eq!(conflict(store.commit(&[put("ghost").only(Precondition::IfVersion(second))])).1, None);
    store.commit(&[put("3").only(Precondition::IfAbsent)]).unwrap();
    assert_ne!(version(&mut *store, "k"), Some(second), "made again, it is another");
}

pub(crate) fn a_check_guards_the_batch_and_changes_nothing(engine: impl Engine) {
    let mut store = engine.handle();
    let guard = store.commit(&[until("guard", 50)]).unwrap();
    let guarded = |value: &str| [Write::check(A, "guard", Precondition::IfVersion(guard)), Write::put(A, "k", value)];
    store.commit(&guarded("1")).unwrap();
    store.commit(&guarded("2")).unwrap();
    let row = store.get(A, "guard").unwrap().unwrap();
    assert_eq!((row.version, row.expires), (guard, Some(at(50))));
    store.commit(&[Write::put(A, "guard", "taken")]).unwrap();
    conflict(store.commit(&guarded("3")));
    assert_eq!(value(&mut *store, A, "k").as_deref(), Some("2"));
    store.commit(&[Write::check(A, "nobody", Precondition::IfAbsent), Write::put(A, "k", "4")]).unwrap();
    assert_eq!(value(&mut *store, A, "nobody"), None);
}

pub(crate) fn rows_go_when_their_time_has_come(mut engine: impl Engine) {
    let mut store = engine.handle();
    store.commit(&[until("a", 10), until("b", 20), until("c", 20), until("d", 10), until("e", 10)]).unwrap();
    store.commit(&[Write::put(A, "stays", "1"), until("b", 30), Write::put(A, "d", "for ever")]).unwrap();
    store.commit(&[Write::remove(A, "e")]).unwrap();
    assert_eq!(store.get(A, "a").unwrap().unwrap().expires, Some(at(10)));
    assert!(store.expire(at(9)).unwrap().is_empty(), "not before its time");
    assert_eq!(keys(&mut *store, A, ""), ["a", "b", "c", "d", "stays"]);
    assert_eq!(store.expire(at(10)).unwrap(), [(A, "a".to_owned())]);
    drop(store);
    engine.restart();
    let mut store = engine.handle();
    assert_eq!(keys(&mut *store, A, ""), ["b", "c", "d", "stays"]);
    let mut gone = store.expire(at(100)).unwrap();
    gone.sort();
    assert_eq!(gone, [(A, "b".to_owned()), (A, "c".to_owned())], "also the one that was renewed, at its new time");
    assert!(store.expire(at(100)).unwrap().is_empty());
    assert_eq!(keys(&mut *store, A, ""), ["d", "stays"]);
}

pub(crate) fn an_index_is_a_table_of_the_same_batch(engine: impl Engine) {
    let mut store = engine.handle();
    let row = |id: &str, code: &str| [Write::put(A, id, code), Write::put(B, format!("{code}\u{1f}{id}"), "")];
    let first = store.commit(&row("s1", "red")).unwrap();
    store.commit(&row("s2", "red")).unwrap();
    store.commit(&row("s3", "redder")).unwrap();
    assert_eq!(keys(&mut *store, B, "red\u{1f}"), ["red\u{1f}s1", "red\u{1f}s2"], "a term isn't a prefix of another");
    let moved = |from: &str, to: &str, seen| {
        let mut batch = row("s1", to).to_vec();
        batch[0].only = Precondition::IfVersion(seen);
        batch.push(Write::remove(B, format!("{from}\u{1f}s1")));
        batch
    };
    store.commit(&moved("red", "blue", first)).unwrap();
    conflict(store.commit(&moved("red", "green", first)));
    let all =
        [keys(&mut *store, B, "red\u{1f}"), keys(&mut *store, B, "blue\u{1f}"), keys(&mut *store, B, "green\u{1f}")];
    assert_eq!(all, [vec!["red\u{1f}s2".to_owned()], vec!["blue\u{1f}s1".to_owned()], vec![]]);
}

pub(crate) fn a_log_is_read_from_a_cursor_and_trimmed_from_the_front(engine: impl Engine) {
    let mut store = engine.handle();
    let number = |n: u64| format!("{n:016x}");
    for n in 1..=20 {
        let event = Write::put(B, number(n), format!("event {n}")).only(Precondition::IfAbsent);
        let mut batch = vec![Write::put(A, "state", n.to_string()), event];
        if n > 12 {
            batch.push(Write::remove(B, number(n - 12)));
        }
        store.commit(&batch).unwrap();
    }
    conflict(
        store.commit(&[Write::put(A, "state", "x"), Write::put(B, number(20), "twice").only(Precondition::IfAbsent)]),
    );
    assert_eq!(value(&mut *store, A, "state").as_deref(), Some("20"), "state and event are one");
    let cursor = number(15);
    let news = store.scan(B, Page { prefix: "", after: Some(&cursor), limit: 3 }).unwrap();
    let told: Vec<&[u8]> = news.iter().map(|row| row.value.as_slice()).collect();
    assert_eq!(told, [b"event 16", b"event 17", b"event 18"]);
    let first = &store.scan(B, Page { prefix: "", after: None, limit: 1 }).unwrap()[0].key;
    assert_eq!(*first, number(9), "a reader whose cursor is before this knows that it has missed some");
}

pub(crate) fn concurrent_writers_lose_no_update(engine: impl Engine) {
    const WRITERS: usize = 4;
    const ROUNDS: usize = 25;
    engine.handle().commit(&[Write::put(A, "sum", "0")]).unwrap();
    let refused: usize = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let mut store = engine.handle();
                scope.spawn(move || (0..ROUNDS).map(|round| add_one(&mut *store, writer, round)).sum::<usize>())
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    let mut store = engine.handle();
    assert_eq!(value(&mut *store, A, "sum"), Some((WRITERS * ROUNDS).to_string()), "{refused} were refused meanwhile");
    assert_eq!(store.read(B).unwrap().len(), WRITERS * ROUNDS);
}

/// Adds one to the sum and a row of its own, in one batch; how often it was refused and began again.
fn add_one(store: &mut dyn Store, writer: usize, round: usize) -> usize {
    for refused in 0.. {
        let row = store.get(A, "sum").unwrap().unwrap();
        let sum: usize = String::from_utf8(row.value).unwrap().parse().unwrap();
        let batch = [
            Write::put(A, "sum", (sum + 1).to_string()).only(Precondition::IfVersion(row.version)),
            Write::put(B, format!("{writer}/{round}"), ""),
        ];
        match store.commit(&batch) {
            Ok(_) => return refused,
            Err(CommitError::Conflict { .. }) => {}
            Err(CommitError::Failed(why)) => panic!("{why}"),
        }
    }
    unreachable!("it goes on until it was stored")
}

pub(crate) fn what_was_committed_survives_a_restart(mut engine: impl Engine) {
    let given = engine.handle().commit(&[Write::put(A, "k", "1"), until("e", 10)]).unwrap();
    engine.restart();
    let mut store = engine.handle();
    let rows = store.scan(A, Page { prefix: "", after: None, limit: 9 }).unwrap();
    let rows: Vec<_> = rows.into_iter().map(|row| (row.key, row.version, row.expires)).collect();
    assert_eq!(rows, [("e".to_owned(), given, Some(at(10))), ("k".to_owned(), given, None)]);
    let next = store.commit(&[Write::put(A, "k", "2").only(Precondition::IfVersion(given))]).unwrap();
    assert!(next > given, "versions go on");
}

pub(crate) fn while_nothing_can_be_stored_nothing_changes(mut engine: impl Engine) {
    let mut store = engine.handle();
    let given = store.commit(&[Write::put(A, "k", "1"), until("e", 10)]).unwrap();
    engine.refuse_writes(true);
    let change = [Write::put(A, "k", "2").only(Precondition::IfVersion(given)), Write::put(A, "new", "2")];
    for _ in 0..3 {
        assert!(matches!(store.commit(&change), Err(CommitError::Failed(_))));
        assert!(store.expire(at(20)).is_err());
    }
    engine.refuse_writes(false);
    assert_eq!(keys(&mut *store, A, ""), ["e", "k"]);
    assert_eq!(version(&mut *store, "k"), Some(given));
    store.commit(&change).unwrap();
    assert_eq!(store.expire(at(20)).unwrap(), [(A, "e".to_owned())]);
    drop(store);
    engine.restart();
    assert_eq!(value(&mut *engine.handle(), A, "k").as_deref(), Some("2"), "it goes on by itself, and durably");
}
