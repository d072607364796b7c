//! What users read about the configuration, made from the types: a commented file, and a chapter in
//! Markdown (`chapter`, which only its test writes).
//!
//! The texts in the repository are compared with these by a test (`UPDATE=1 cargo test` writes them
//! anew), so that neither can say anything that the types don't.

use super::{
    field_order::FieldOrder,
    keys::{KeyPath, Step, is_bare},
    schema::{Kind, Node, Schema},
};
use crate::model::section::{File, Section};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

#[cfg(test)]
pub(crate) mod chapter;

/// Lines are broken beyond this.
const WIDTH: usize = 110;

/// The types of a file, ready to be written about.
#[derive(Debug)]
pub(crate) struct Reference {
    schema: Schema,
    order: FieldOrder,
    defaults: Value,
}

/// One key, as a writer meets it on the way through the file.
#[derive(Debug)]
struct Entry<'a> {
    path: KeyPath,
    node: Node<'a>,
    /// `None`: unset.
    default: Option<&'a Value>,
}

impl Reference {
    /// `sample`: a value in which every optional section is there, for the order of its keys.
    pub(crate) fn of<T: File + Section + Serialize>(sample: &T) -> Self {
        let defaults = serde_json::to_value(T::default()).unwrap_or(Value::Null);
        Reference { schema: Schema::of::<T>(), order: FieldOrder::of(sample), defaults }
    }

    /// A file with every key at its default and its explanation above it.
    pub(crate) fn toml(&self, opening: &str) -> String {
        let mut text = String::new();
        comment(&mut text, "", opening);
        let root = Entry { path: KeyPath::default(), node: self.schema.node(), default: Some(&self.defaults) };
        section(&mut text, &root, &self.order, Shown::InForce);
        text
    }
}

/// Whether lines are in force or commented out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    InForce,
    CommentedOut,
}

impl Shown {
    fn mark(self) -> &'static str {
        match self {
            Shown::InForce => "",
            Shown::CommentedOut => "# ",
        }
    }
}

/// The keys below a table: plain values first, as TOML wants it, then the tables.
fn below<'a>(entry: &Entry<'a>, order: &FieldOrder) -> (Vec<Entry<'a>>, Vec<Entry<'a>>) {
    let keys: Vec<&str> = match entry.node.kind() {
        Kind::Table(_) => order.sort(entry.node.keys()),
        Kind::Map(_) => {
            entry.default.and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key.as_str()).collect()
        }
        _ => Vec::new(),
    };
    let entries = keys.into_iter().filter_map(|key| {
        let node = entry.node.child(key)?;
        // Where the table itself isn't there by default, its type knows what its keys would be.
        let default = entry.default.map_or_else(|| node.default(), |value| value.get(key));
        Some(Entry { path: entry.path.key(key), node, default: default.filter(|value| !value.is_null()) })
    });
    entries.partition(|entry| !is_section(entry))
}

/// Written as a section of its own: a table, or a map with tables in it.
fn is_section(entry: &Entry<'_>) -> bool {
    match entry.node.kind() {
        Kind::Table(_) => true,
        Kind::Map(value) => matches!(value.kind(), Kind::Table(_)),
        _ => false,
    }
}

fn section(text: &mut String, entry: &Entry<'_>, order: &FieldOrder, shown: Shown) {
    let (plain, sections) = below(entry, order);
    let is_map = matches!(entry.node.kind(), Kind::Map(_));
    if is_map && sections.is_empty() {
        let _ = writeln!(text, "# [{}.NAME]", entry.path);
    }
    if !is_map && !entry.path.is_root() {
        let _ = writeln!(text, "{}[{}]", shown.mark(), entry.path);
    }
    for key in &plain {
        describe(text, key.node);
        assign(text, key, order.below(name_of(&key.path)), shown);
    }
    for (at, below) in sections.iter().enumerate() {
        let unset = below.default.is_none() && below.node.may_be_unset();
        let shown = if unset { Shown::CommentedOut } else { shown };
        // What a map is for is said once, above its first entry.
        if is_map {
            text.push_str(if at == 0 { "" } else { "\n" });
        } else {
            comment(text, "\n", below.node.description().unwrap_or_default());
        }
        section(text, below, order.below(name_of(&below.path)), shown);
    }
}

fn name_of(path: &KeyPath) -> &str {
    match path.steps().last() {
        Some(Step::Key(key)) => key,
        Some(Step::Index(_)) | None => "",
    }
}

/// `key = value`; commented out with an example where the default is to leave it out.
fn assign(text: &mut String, entry: &Entry<'_>, order: &FieldOrder, shown: Shown) {
    let key = bare(name_of(&entry.path));
    let (mark, value) = match entry.default {
        Some(value) => (shown.mark(), written(value, order)),
        None => ("# ", written(&example(entry.node), order)),
    };
    let _ = writeln!(text, "{mark}{key} = {}", value.replace('\n', &format!("\n{mark}")));
}

fn describe(text: &mut String, node: Node<'_>) {
    comment(text, "\n", node.description().unwrap_or_default());
    if let Kind::Choice(words) = node.kind() {
        for (word, meaning) in words {
            match meaning {
                Some(meaning) => comment(text, "", &format!("  {word:?}: {meaning}")),
                None => comment(text, "", &format!("  {word:?}")),
            }
        }
    }
    // Where the line itself shows the default, the example stands in the comment.
    if let Some(example) = node.example().filter(|_| !node.may_be_unset()) {
        comment(text, "", &format!("Example: {}", written(example, &FieldOrder::default())));
    }
}

/// `# ` before each line, wrapped.
fn comment(text: &mut String, before: &str, words: &str) {
    text.push_str(before);
    for line in unlinked(words).lines() {
        let indent = line.len() - line.trim_start().len();
        let mut column = 0;
        for word in line.split_whitespace() {
            if column == 0 || column + word.chars().count() > WIDTH {
                let hanging = if column == 0 { indent } else { indent * 2 };
                text.push_str(if column == 0 { "" } else { "\n" });
                let _ = write!(text, "#{:hanging$} {word}", "");
                column = hanging + 2 + word.chars().count();
            } else {
                let _ = write!(text, " {word}");
                column += 1 + word.chars().count();
            }
        }
        text.push_str(if column == 0 { "#\n" } else { "\n" });
    }
}

/// A value that could stand there.
fn example(node: Node<'_>) -> Value {
    if let Some(example) = node.example() {
        return example.clone();
    }
    match (node.kind(), node.type_ref()) {
        (_, Some("Span")) => "30s".into(),
        (_, Some("Size")) => "512MiB".into(),
        (Kind::Choice(words), _) => words.first().map_or("", |(word, _)| word).into(),
        (Kind::Integer { .. }, _) => 1.into(),
        (Kind::Number, _) => 60.0.into(),
        (Kind::Flag, _) => false.into(),
        (Kind::List(_), _) => Value::Array(Vec::new()),
        (Kind::Map(_) | Kind::Table(_), _) => Value::Object(serde_json::Map::new()),
        (Kind::Text | Kind::Anything, _) => "…".into(),
    }
}

/// A value in TOML; a list of tables, or a long one, over several lines.
fn written(value: &Value, order: &FieldOrder) -> String {
    let line = inline(value, order);
    let tables = |list: &[Value]| list.iter().any(Value::is_object);
    match value {
        Value::Array(list) if tables(list) || line.len() > WIDTH => {
            list.iter().fold("[\n".to_owned(), |text, item| text + "    " + &inline(item, order.below("")) + ",\n")
                + "]"
        }
        _ => line,
    }
}

fn inline(value: &Value, order: &FieldOrder) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => toml::Value::String(text.clone()).to_string(),
        Value::Array(list) => {
            format!("[{}]", list.iter().map(|item| inline(item, order.below(""))).collect::<Vec<_>>().join(", "))
        }
        Value::Object(table) => {
            let keys = order.sort(table.iter().filter(|(_, value)| !value.is_null()).map(|(key, _)| key.as_str()));
            let entries: Vec<_> =
                keys.iter().map(|key| format!("{} = {}", bare(key), inline(&table[*key], order.below(key)))).collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
    }
}

fn bare(key: &str) -> String {
    if is_bare(key) { key.to_owned() } else { format!("{key:?}") }
}

/// Without the links of a doc comment.
fn unlinked(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`")
}
