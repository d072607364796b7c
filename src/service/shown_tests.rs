//! Every key of the fixed resources (session types, regions, request templates, deserter rules,
//! matchmaking) is shown: a change of it changes what the API shows of the configuration.

use super::{ServiceSettings, config_import};
use crate::config::{
    keys::{KeyPath, Step},
    schema::{Kind, Node, Schema},
};
use toml::{Table, Value};

/// One of each.
fn everything() -> Table {
    Table::try_from(config_import::full_settings()).unwrap()
}

const RESOURCES: [&str; 6] = [
    "session_types",
    "regions",
    "request_templates",
    "deserters",
    "match_making_profiles",
    "match_making_template_groups",
];

#[test]
fn every_key_of_a_fixed_resource_is_shown() {
    let schema = Schema::of::<ServiceSettings>();
    let base = everything();
    let mut hidden = Vec::new();
    let mut seen = 0;
    for resource in RESOURCES {
        let mut keys = Vec::new();
        let root = KeyPath::default().key(resource);
        leaves(schema.at(&root).unwrap(), &base[resource], &root, &mut keys);
        for (path, node) in keys {
            seen += 1;
            let mut changed = Value::Table(base.clone());
            let place = at(&mut changed, path.steps());
            *place = other_value(node, &path, place);
            let Value::Table(changed) = changed else { unreachable!("it was made of one") };
            if shown(&changed) == shown(&base) {
                hidden.push(path.to_string());
            }
        }
    }
    assert!(seen > 45, "{seen}");
    assert_eq!(hidden, [""; 0], "keys that nobody is shown");
}

fn shown(settings: &Table) -> serde_json::Value {
    let settings: ServiceSettings = settings.clone().try_into().unwrap_or_else(|error| panic!("{error}: {settings}"));
    config_import::export(&settings)
}

/// Every key with a value of its own, of the last entry of each map and list.
fn leaves<'a>(node: Node<'a>, value: &Value, path: &KeyPath, found: &mut Vec<(KeyPath, Node<'a>)>) {
    let empty = Value::Table(Table::new());
    match (node.kind(), value) {
        (Kind::Table(keys), Value::Table(table)) => {
            for key in keys.keys() {
                leaves(node.child(key).unwrap(), table.get(key).unwrap_or(&empty), &path.key(key), found);
            }
        }
        (Kind::Map(inner), Value::Table(table)) if matches!(inner.kind(), Kind::Table(_)) => {
            let (key, value) = table.iter().next_back().unwrap_or_else(|| panic!("an entry of {path}"));
            leaves(inner, value, &path.key(key), found);
        }
        (Kind::List(inner), Value::Array(list)) if matches!(inner.kind(), Kind::Table(_)) => {
            let last = list.len().checked_sub(1).unwrap_or_else(|| panic!("an element of {path}"));
            leaves(inner, &list[last], &path.index(last), found);
        }
        _ => found.push((path.clone(), node)),
    }
}

fn at<'a>(value: &'a mut Value, path: &[Step]) -> &'a mut Value {
    let Some((step, rest)) = path.split_first() else { return value };
    let inner = match (step, value) {
        (Step::Key(key), Value::Table(table)) => table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new())),
        (Step::Index(index), Value::Array(list)) => &mut list[*index],
        (step, value) => panic!("{step:?} of {value}"),
    };
    at(inner, rest)
}

fn other_value(node: Node<'_>, path: &KeyPath, now: &Value) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    let id = "00000000-0000-0000-0000-0000000000ff";
    let last = path.steps().last();
    match last {
        Some(Step::Key(key)) if key == "last_cleared" => return text("2024-05-06T07:08:09Z"),
        Some(Step::Key(key)) if key == "default_host_type" => return text("player"),
        Some(Step::Key(key)) if key == "auto_startup_params" => {
            return Value::Table(Table::from_iter([("map".to_owned(), text("changed"))]));
        }
        Some(Step::Key(key)) if key == "profiles" => return Value::Array(Vec::new()),
        Some(Step::Key(key))
            if key.ends_with("_id") && !matches!(key.as_str(), "region_id" | "rank_id" | "item_id") =>
        {
            return text(id);
        }
        _ => {}
    }
    match node.kind() {
        Kind::Choice(words) => {
            text(words.iter().map(|(word, _)| *word).find(|word| Some(*word) != now.as_str()).unwrap())
        }
        Kind::Integer { .. } => 7.into(),
        Kind::Number => 77.0.into(),
        Kind::Flag => (!now.as_bool().unwrap_or(false)).into(),
        Kind::List(_) => Value::Array(vec![text("changed")]),
        Kind::Map(_) => Value::Table(Table::from_iter([("changed".to_owned(), text("changed"))])),
        Kind::Text | Kind::Anything | Kind::Table(_) => text("changed"),
    }
}
