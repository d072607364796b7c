//! A parsed file against the schema: unknown keys, wrong types, words that aren't known.
//!
//! Whatever is at fault is taken out of the table, so that the rest can still be deserialised and
//! checked, and every fault is found in one go.

use super::{
    keys::{KeyPath, Step},
    provenance::{Part, Provenance},
    report::Problem,
    schema::{Kind, Node},
};
use crate::model::spelling::nearest;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Checks `table` and takes out what is at fault.
pub(crate) fn table(table: &mut DeTable<'_>, node: Node<'_>, path: &KeyPath, provenance: &Provenance) -> Vec<Problem> {
    let (mut problems, mut at_fault) = (Vec::new(), Vec::new());
    for (key, value) in table.iter_mut() {
        let name: &str = key.get_ref();
        let path = path.key(name);
        let faults = match node.child(name) {
            Some(child) => self::value(value, child, &path, provenance),
            None => vec![unknown_key(name, node, &path, provenance)],
        };
        if faults.iter().any(|fault| fault.key == path.to_string()) {
            at_fault.push(name.to_owned());
        }
        problems.extend(faults);
    }
    for name in at_fault {
        table.remove(name.as_str());
    }
    problems
}

/// Checks one value. If it is itself at fault, and not only something in it, a problem with just this path says so.
pub(crate) fn value(
    value: &mut Spanned<DeValue<'_>>,
    node: Node<'_>,
    path: &KeyPath,
    provenance: &Provenance,
) -> Vec<Problem> {
    let kind = node.kind();
    match (value.get_mut(), &kind) {
        (_, Kind::Anything)
        | (DeValue::String(_), Kind::Text)
        | (DeValue::Integer(_) | DeValue::Float(_), Kind::Number)
        | (DeValue::Boolean(_), Kind::Flag) => Vec::new(),
        (DeValue::Table(inner), Kind::Table(_) | Kind::Map(_)) => table(inner, node, path, provenance),
        (DeValue::Array(inner), Kind::List(element)) => {
            let each = inner.iter_mut().enumerate();
            each.flat_map(|(index, item)| self::value(item, *element, &path.index(index), provenance)).collect()
        }
        (DeValue::String(word), Kind::Choice(words)) => {
            let known = || words.iter().map(|(word, _)| *word);
            if known().any(|known| known == word) {
                return Vec::new();
            }
            vec![Problem { nearest: nearest(word, known()), ..wrong(node, path, provenance) }]
        }
        (DeValue::Integer(number), Kind::Integer { min, max }) => {
            let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
            let fits =
                value.is_some_and(|value| min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max));
            if fits { Vec::new() } else { vec![wrong(node, path, provenance)] }
        }
        _ => vec![wrong(node, path, provenance)],
    }
}

/// Takes the value at `path` out. Every call takes something out, so that a loop of them ends.
///
/// An element of a list of tables is emptied instead, which makes it a default: its place must stay, or the paths of those
/// behind it would change. Any other element takes its whole list with it.
pub(crate) fn remove(table: &mut DeTable<'_>, path: &KeyPath) {
    match path.steps().split_last() {
        None => table.clear(),
        Some((last, above)) if take_from_table(table, above, last) => {}
        Some(_) => remove(table, &path.parent().unwrap_or_default()),
    }
}

fn take_from_table(table: &mut DeTable<'_>, above: &[Step], last: &Step) -> bool {
    match (above.split_first(), last) {
        (Some((Step::Key(key), rest)), _) => {
            table.get_mut(key.as_str()).is_some_and(|value| take_from(value.get_mut(), rest, last))
        }
        (None, Step::Key(key)) => table.remove(key.as_str()).is_some(),
        (Some((Step::Index(_), _)), _) | (None, Step::Index(_)) => false,
    }
}

fn take_from(value: &mut DeValue<'_>, above: &[Step], last: &Step) -> bool {
    match (value, above.split_first(), last) {
        (DeValue::Table(table), _, _) => take_from_table(table, above, last),
        (DeValue::Array(list), Some((Step::Index(index), rest)), _) => {
            list.get_mut(*index).is_some_and(|element| take_from(element.get_mut(), rest, last))
        }
        (DeValue::Array(list), None, Step::Index(index)) => match list.get_mut(*index).map(Spanned::get_mut) {
            Some(DeValue::Table(table)) if !table.is_empty() => {
                table.clear();
                true
            }
            _ => false,
        },
        _ => false,
    }
}

fn wrong(node: Node<'_>, path: &KeyPath, provenance: &Provenance) -> Problem {
    provenance.problem(path, Part::Value, node.expected())
}

fn unknown_key(name: &str, node: Node<'_>, path: &KeyPath, provenance: &Provenance) -> Problem {
    let known: Vec<_> = node.keys().collect();
    let expected = format!("one of the keys {}", known.join(", "));
    let hidden = super::read::names_a_secret(name);
    Problem { nearest: nearest(name, known), hidden, ..provenance.problem(path, Part::Key, expected) }
}
