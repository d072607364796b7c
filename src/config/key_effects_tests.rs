//! For every key of both files one test in which it has its effect: `key_effects.txt`.
//!
//! A row is `ROLE KEY TEST`. A key that nothing reads has no such test, and a test that was renamed
//! or removed is missed here.

use super::{
    keys::KeyPath,
    schema::{Kind, Node, Schema},
};
use crate::{agent::config::AgentConfig, model::section::Answers, service::ServiceSettings};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

const TABLE: &str = include_str!("key_effects.txt");

/// The name of a test, by key.
fn rows(role: &str) -> BTreeMap<&'static str, &'static str> {
    let mut rows = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [of, key, test] = words[..] else { panic!("{line:?} is no row: ROLE KEY TEST") };
        if of == role {
            assert!(rows.insert(key, test).is_none(), "{key} has two rows");
        }
    }
    rows
}

/// Every key that has a value of its own; `NAME` stands for the names that a user chooses, an element of a list for its list.
fn keys(node: Node<'_>, path: &KeyPath, found: &mut BTreeSet<String>) {
    match node.kind() {
        Kind::Table(table) => {
            for key in table.keys() {
                keys(node.child(key).expect("a listed key"), &path.key(key), found);
            }
        }
        Kind::Map(value) if matches!(value.kind(), Kind::Table(_)) => keys(value, &path.key("NAME"), found),
        Kind::List(element) if matches!(element.kind(), Kind::Table(_)) => keys(element, path, found),
        _ => {
            found.insert(path.to_string());
        }
    }
}

fn every_key(schema: &Schema) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    keys(schema.node(), &KeyPath::default(), &mut found);
    assert!(found.len() > 100, "the schema has few keys: {found:?}");
    found
}

/// The names of all tests below a folder.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the source").flatten() {
        let path = entry.path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a file of the source");
            // A test's attribute, perhaps others, its name.
            for after in text.split("#[test]").skip(1).chain(text.split("#[tokio::test").skip(1)) {
                let name = after.split_once("fn ").and_then(|(_, rest)| rest.split_once('(')).map(|(name, _)| name);
                found.extend(name.map(str::to_owned));
            }
        }
    }
}

fn is_complete(role: &str, schema: &Schema) {
    let (keys, rows) = (every_key(schema), rows(role));
    let known: BTreeSet<String> = rows.keys().map(|key| (*key).to_owned()).collect();
    let without: Vec<_> = keys.difference(&known).collect();
    assert!(without.is_empty(), "keys of the {role} without a test in which they have their effect: {without:#?}");
    let gone: Vec<_> = known.difference(&keys).collect();
    assert!(gone.is_empty(), "rows for keys that the {role} doesn't have: {gone:#?}");
    let mut all = BTreeSet::new();
    for folder in ["src", "tests/it"] {
        tests(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut all);
    }
    let missing: BTreeSet<_> = rows.values().filter(|test| !all.contains(**test)).collect();
    assert!(missing.is_empty(), "tests that aren't there: {missing:#?}");
}

#[test]
fn every_key_has_a_test_in_which_it_has_its_effect() {
    is_complete("agent", &Schema::of::<AgentConfig>());
    is_complete("sessions", &Schema::of::<ServiceSettings>());
}

#[test]
fn every_key_has_its_answer_to_a_reload_and_no_other_has() {
    for (schema, answers) in [
        (Schema::of::<AgentConfig>(), Answers::of::<AgentConfig>()),
        (Schema::of::<ServiceSettings>(), Answers::of::<ServiceSettings>()),
    ] {
        let without: Vec<_> = every_key(&schema).into_iter().filter(|key| answers.at(key).is_none()).collect();
        assert_eq!(without, [""; 0], "keys without an answer");
        let unknown: Vec<_> =
            answers.iter().map(|(key, _)| key).filter(|key| schema.at(&KeyPath::parse(key)).is_none()).collect();
        assert_eq!(unknown, [""; 0], "answers for keys that there aren't");
    }
}
