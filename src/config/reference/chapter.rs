//! `docs/configuration.md`: a table of keys for each section. Only its test writes it.

use super::{Entry, Reference, below, inline, name_of, unlinked};
use crate::{
    config::{field_order::FieldOrder, keys::KeyPath, schema::Kind},
    model::section::{Answers, OnReload},
};
use std::fmt::Write as _;

/// The chapter of one file.
pub(crate) fn markdown(reference: &Reference, answers: &Answers) -> String {
    let mut text = String::new();
    let root = Entry { path: KeyPath::default(), node: reference.schema.node(), default: Some(&reference.defaults) };
    chapter(&mut text, &root, &reference.order, answers);
    text
}

fn chapter(text: &mut String, entry: &Entry<'_>, order: &FieldOrder, answers: &Answers) {
    // Below a map, one entry stands for all.
    let entry = &match entry.node.kind() {
        Kind::Map(value) => Entry { path: entry.path.key("NAME"), node: value, default: None },
        _ => Entry { path: entry.path.clone(), node: entry.node, default: entry.default },
    };
    let (plain, sections) = below(entry, order);
    if !plain.is_empty() {
        if !entry.path.is_root() {
            let _ = writeln!(text, "## `[{}]`\n", entry.path);
        }
        if let Some(description) = entry.node.description() {
            let _ = writeln!(text, "{}\n", prose(description));
        }
        text.push_str("| key | value | default | reload | |\n|---|---|---|---|---|\n");
        for key in &plain {
            row(text, key, order.below(name_of(&key.path)), answers);
        }
        text.push('\n');
    }
    for list in &plain {
        let Kind::List(element) = list.node.kind() else { continue };
        if matches!(element.kind(), Kind::Table(_)) {
            let element = Entry { path: list.path.clone(), node: element, default: None };
            chapter(text, &element, order.below(name_of(&list.path)).below(""), answers);
        }
    }
    for section in &sections {
        let name = name_of(&section.path);
        let order = order.below(name);
        let inner = if matches!(section.node.kind(), Kind::Map(_)) { order.below("") } else { order };
        chapter(text, section, inner, answers);
    }
}

fn row(text: &mut String, entry: &Entry<'_>, order: &FieldOrder, answers: &Answers) {
    let value = match entry.node.kind() {
        Kind::Choice(words) => words.iter().map(|(word, _)| format!("`{word:?}`")).collect::<Vec<_>>().join(", "),
        _ => prose(&entry.node.expected()),
    };
    let default =
        entry.default.map_or_else(String::new, |default| format!("`{}`", inline(default, order).replace('|', "\\|")));
    let mut what = prose(entry.node.description().unwrap_or_default());
    if let Kind::Choice(words) = entry.node.kind() {
        for (word, meaning) in words.into_iter().filter_map(|(word, meaning)| Some((word, meaning?))) {
            let _ = write!(what, " `{word:?}`: {}", prose(meaning));
        }
    }
    let reload = match answers.at(&entry.path.to_string()) {
        Some(OnReload::Applied) => "applied",
        Some(OnReload::NeedsRestart) => "restart",
        None => "",
    };
    let _ = writeln!(text, "| `{}` | {value} | {default} | {reload} | {what} |", name_of(&entry.path));
}

/// Nothing that Markdown or a table would take for its own.
fn prose(text: &str) -> String {
    unlinked(text).replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}
