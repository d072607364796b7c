//! Where every value was written: in the file, with its span, or in an environment variable.

use super::{
    keys::{KeyPath, Step},
    report::{Place, Problem},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Longer values aren't repeated in a message.
const LONGEST_SHOWN: usize = 60;

/// The places of one configuration's values.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    /// The file's name and text.
    file: Option<(String, Arc<str>)>,
    /// Key and value of each path in the file.
    spans: BTreeMap<KeyPath, KeySpan>,
    /// Variable of each path that the environment overrides.
    variables: BTreeMap<KeyPath, Variable>,
    /// Options of the command line that override a path.
    options: BTreeMap<KeyPath, String>,
}

#[derive(Debug, Clone)]
struct KeySpan {
    key: Range<usize>,
    value: Range<usize>,
}

/// A variable of the environment.
#[derive(Debug, Clone)]
pub struct Variable {
    pub name: String,
    pub text: String,
    /// Stands for its value where a span is wanted: behind the file's text.
    pub span: Range<usize>,
}

/// Which part of an entry a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Key,
    Value,
}

impl Provenance {
    /// The places in `table`, which was parsed from `text`.
    pub fn new(name: &str, text: &str, table: &DeTable<'_>) -> Self {
        let mut provenance = Provenance { file: Some((name.to_owned(), text.into())), ..Provenance::default() };
        provenance.note_table(&KeyPath::default(), table);
        provenance
    }

    pub fn note_variable(&mut self, path: KeyPath, variable: Variable) {
        self.variables.insert(path, variable);
    }

    pub fn note_option(&mut self, path: KeyPath, option: &str) {
        self.options.insert(path, option.to_owned());
    }

    /// The file's name and text.
    pub fn file(&self) -> Option<(String, Arc<str>)> {
        self.file.clone()
    }

    /// Where a value was written; for one that wasn't, the nearest section around it that was.
    pub fn place(&self, path: &KeyPath, part: Part) -> Place {
        if let Some(option) = over(&self.options, path) {
            return Place::CommandLine { option: option.clone() };
        }
        if let Some(variable) = over(&self.variables, path) {
            return Place::Env { variable: variable.name.clone() };
        }
        if let Some(key_span) = self.spans.get(path) {
            return self.at(match part {
                Part::Key => key_span.key.clone(),
                Part::Value => key_span.value.clone(),
            });
        }
        let around = std::iter::successors(path.parent(), KeyPath::parent).find_map(|above| self.spans.get(&above));
        around.map_or(Place::Nowhere, |key_span| self.at(key_span.key.clone()))
    }

    /// Whether anybody wrote this value: a default isn't.
    pub fn is_set(&self, path: &KeyPath) -> bool {
        let below = |at: &KeyPath| at.is_within(path) || path.is_within(at);
        self.spans.contains_key(path) || self.variables.keys().chain(self.options.keys()).any(below)
    }

    /// The paths of all values that somebody wrote, sorted; tables are their keys' paths.
    pub fn written(&self) -> Vec<KeyPath> {
        let all: BTreeSet<&KeyPath> =
            self.spans.keys().chain(self.variables.keys()).chain(self.options.keys()).collect();
        let has_keys = |path: &KeyPath| {
            let depth = path.steps().len();
            all.iter().any(|other| other.is_within(path) && matches!(other.steps().get(depth), Some(Step::Key(_))))
        };
        all.iter().filter(|path| !has_keys(path)).map(|path| (*path).clone()).collect()
    }

    /// A value's text as it was written, if it is short.
    pub fn found(&self, path: &KeyPath, part: Part) -> Option<String> {
        if let Some(variable) = over(&self.variables, path) {
            return Some(format!("{:?}", variable.text)).filter(|text| text.chars().count() <= LONGEST_SHOWN);
        }
        let key_span = self.spans.get(path).filter(|_| matches!(self.place(path, part), Place::File { .. }))?;
        let span = if part == Part::Key { key_span.key.clone() } else { key_span.value.clone() };
        self.slice(span)
    }

    /// The path whose value has exactly this span; the deepest one.
    pub fn path_of(&self, span: &Range<usize>) -> Option<KeyPath> {
        let exact = |(path, key_span): (&KeyPath, &KeySpan)| {
            (key_span.value == *span || key_span.key == *span).then(|| path.clone())
        };
        let in_file = self.spans.iter().filter_map(exact).max_by_key(|path| path.steps().len());
        let variable =
            || self.variables.iter().find(|(_, variable)| variable.span == *span).map(|(path, _)| path.clone());
        in_file.or_else(variable)
    }

    /// Line and column of a span of the file.
    pub fn at(&self, span: Range<usize>) -> Place {
        let Some((name, text)) = &self.file else { return Place::Nowhere };
        let start = span.start.min(text.len());
        let before = &text[..floor(text, start)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place::File {
            file: name.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            span: (start, span.end.clamp(start, text.len())),
        }
    }

    /// A span of the file, if it is short and one line.
    pub fn slice(&self, span: Range<usize>) -> Option<String> {
        let (_, text) = self.file.as_ref()?;
        let slice = text.get(span)?;
        (!slice.is_empty() && slice.chars().count() <= LONGEST_SHOWN && !slice.contains('\n')).then(|| slice.to_owned())
    }

    /// The line of the file around an offset.
    pub fn line(&self, offset: usize) -> Option<&str> {
        let (_, text) = self.file.as_ref()?;
        let at = floor(text, offset.min(text.len()));
        let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
        text[start..].lines().next()
    }

    /// A fault at a path.
    pub fn problem(&self, path: &KeyPath, part: Part, expected: String) -> Problem {
        Problem {
            key: path.to_string(),
            place: self.place(path, part),
            found: self.found(path, part),
            expected,
            nearest: None,
            hidden: false,
        }
    }

    fn note_table(&mut self, path: &KeyPath, table: &DeTable<'_>) {
        for (key, value) in table {
            self.note(path.key(key.get_ref()), key.span(), value);
        }
    }

    fn note(&mut self, path: KeyPath, key: Range<usize>, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.note_table(&path, table),
            DeValue::Array(list) => {
                for (index, element) in list.iter().enumerate() {
                    self.note(path.index(index), element.span(), element);
                }
            }
            _ => {}
        }
        self.spans.insert(path, KeySpan { key, value: value.span() });
    }
}

/// Whoever overrides this path, or a table around it.
fn over<'a, T>(places: &'a BTreeMap<KeyPath, T>, path: &KeyPath) -> Option<&'a T> {
    places.iter().find(|(at, _)| path.is_within(at)).map(|(_, by)| by)
}

/// The start of the character that `at` lies in.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
