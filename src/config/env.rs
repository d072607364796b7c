//! Overrides from the environment: `GAMESIDE_GAME__START=at-boot` is `[game] start = "at-boot"`.
//!
//! Two underscores separate the steps of the path; names are in lower case in the file, except
//! below a table whose keys keep their case (`game.env`). A text is taken as it is; a number, a
//! flag, a list or a table is written as in TOML. An empty value unsets a key that may be unset.

use super::{
    keys::{KeyPath, Step},
    provenance::{Provenance, Variable},
    report::{Place, Problem},
    schema::{Kind, Node, Schema},
};
use crate::model::spelling::nearest;
use std::{borrow::Cow, ops::Range};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Puts the variables over the table and notes where the values came from.
pub(crate) fn apply<'t>(
    table: &mut DeTable<'t>,
    provenance: &mut Provenance,
    schema: &Schema,
    prefix: &str,
    variables: &'t [(String, String)],
    text_length: usize,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, (name, text)) in variables.iter().enumerate() {
        let Some(steps) = steps(name, prefix) else { continue };
        // A span of its own behind the file's text, by which a later error finds back to it.
        let start = text_length + 1 + at * 2;
        let span = start..start + 1;
        match resolve(schema.node(), &steps).and_then(|target| target.value(text, &span)) {
            Ok((path, value)) => {
                provenance.note_variable(
                    path.clone(),
                    Variable { name: name.clone(), text: text.clone(), span: span.clone() },
                );
                put(table, path.steps(), value, &span);
            }
            Err(fault) => problems.push(fault.at(name, text)),
        }
    }
    problems
}

/// The steps of a variable that overrides something: the prefix, then at least two names, unless the prefix ends with `__` itself.
fn steps<'a>(variable: &'a str, prefix: &str) -> Option<Vec<&'a str>> {
    let path = variable.strip_prefix(prefix)?;
    let is_path = prefix.ends_with("__") || path.contains("__");
    is_path.then(|| path.split("__").collect())
}

/// Where a variable leads to.
struct Target<'a> {
    path: KeyPath,
    node: Node<'a>,
}

struct EnvFault {
    path: KeyPath,
    expected: String,
    nearest: Option<String>,
    /// The fault is in the variable's name, not in its value.
    in_name: bool,
}

impl EnvFault {
    fn at(self, variable: &str, text: &str) -> Problem {
        let short = (!self.in_name && text.chars().count() <= 60).then(|| format!("{text:?}"));
        Problem {
            key: self.path.to_string(),
            place: Place::Env { variable: variable.to_owned() },
            found: short,
            expected: self.expected,
            nearest: self.nearest,
            hidden: false,
        }
    }
}

fn resolve<'a>(root: Node<'a>, steps: &[&str]) -> Result<Target<'a>, EnvFault> {
    let mut target = Target { path: KeyPath::default(), node: root };
    for step in steps {
        let name = if target.node.keeps_case() { (*step).to_owned() } else { step.to_lowercase() };
        let path = target.path.key(&name);
        let node = match target.node.kind() {
            Kind::Table(_) | Kind::Map(_) => target.node.child(&name),
            _ => None,
        };
        let Some(node) = node else {
            let known: Vec<_> = target.node.keys().collect();
            let expected = if known.is_empty() {
                format!("no further step: {} is {}", target.path, target.node.expected())
            } else {
                format!("one of the keys {}", known.join(", "))
            };
            return Err(EnvFault { path, expected, nearest: nearest(&name, known), in_name: true });
        };
        target = Target { path, node };
    }
    Ok(target)
}

impl Target<'_> {
    /// The value as the schema wants it; `None` unsets the key.
    fn value<'t>(self, text: &'t str, span: &Range<usize>) -> Result<(KeyPath, Option<DeValue<'t>>), EnvFault> {
        if text.is_empty() && self.node.may_be_unset() {
            return Ok((self.path, None));
        }
        let value = match self.node.kind() {
            Kind::Text | Kind::Choice(_) | Kind::Anything => DeValue::String(Cow::Borrowed(text)),
            Kind::Integer { .. } | Kind::Number | Kind::Flag | Kind::List(_) | Kind::Map(_) | Kind::Table(_) => {
                let parsed = DeValue::parse(text).map_err(|_| EnvFault {
                    expected: format!("{}, written as in TOML", self.node.expected()),
                    path: self.path.clone(),
                    nearest: None,
                    in_name: false,
                })?;
                respan(parsed.into_inner(), span)
            }
        };
        Ok((self.path, Some(value)))
    }
}

/// The same value, every part of it at the variable's span.
fn respan<'t>(value: DeValue<'t>, span: &Range<usize>) -> DeValue<'t> {
    let at = |value: Spanned<DeValue<'t>>| Spanned::new(span.clone(), respan(value.into_inner(), span));
    match value {
        DeValue::Array(list) => {
            let mut array = toml::de::DeArray::new();
            for element in list.iter().cloned() {
                array.push(at(element));
            }
            DeValue::Array(array)
        }
        DeValue::Table(table) => {
            let entries = table.into_iter();
            DeValue::Table(
                entries.map(|(key, value)| (Spanned::new(span.clone(), key.into_inner()), at(value))).collect(),
            )
        }
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            value
        }
    }
}

/// Puts a value at a path, making the tables on the way; without a value, takes away what is there.
fn put<'t>(table: &mut DeTable<'t>, path: &[Step], value: Option<DeValue<'t>>, span: &Range<usize>) {
    let Some((Step::Key(key), rest)) = path.split_first() else { return };
    let name = || Spanned::new(span.clone(), Cow::Owned(key.clone()));
    if rest.is_empty() {
        table.remove(key.as_str());
        if let Some(value) = value {
            table.insert(name(), Spanned::new(span.clone(), value));
        }
        return;
    }
    if !table.contains_key(key.as_str()) {
        table.insert(name(), Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
    }
    // Something else than a table is the file's fault, and reported as that.
    if let Some(DeValue::Table(inner)) = table.get_mut(key.as_str()).map(Spanned::get_mut) {
        put(inner, rest, value, span);
    }
}

#[cfg(test)]
mod tests {
    use crate::{agent::config::AgentConfig, config::read::read_text};

    fn read(text: &str, variables: &[(&str, &str)]) -> (AgentConfig, Vec<String>) {
        let variables: Vec<_> = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let reading = read_text::<AgentConfig>("agent.toml", text, "GAMESIDE_", &variables);
        (reading.value, reading.problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn variables_lie_over_the_file_typed_as_the_schema_says() {
        let variables = [
            ("GAMESIDE_GAME__COMMAND", r#"["./server", "{{map}}"]"#),
            ("GAMESIDE_GAME__DIR", ""),
            ("GAMESIDE_GAME__ENV__Some_Name", "a value"),
            ("GAMESIDE_GAME__PORTS__QUERY__RANGE", "27015"),
            ("GAMESIDE_RESTART", "not ours: no path"),
            ("GAMESIDE_GAME__RESTART__BUDGET", "7"),
            ("GAMESIDE_SESSION__STARTUP__MAP", "dm1"),
            ("HOME", "/root"),
        ];
        let (config, problems) = read("[game]\ndir = \"/srv\"\nstart = \"at-boot\"\n", &variables);
        assert_eq!(problems, [""; 0]);
        assert_eq!(config.game.command, ["./server", "{{map}}"]);
        assert_eq!(config.game.dir, None);
        assert_eq!(config.game.env["Some_Name"], "a value");
        assert_eq!(config.game.ports["query"].range.to_string(), "27015");
        assert_eq!(config.game.restart.budget, 7);
        assert_eq!(config.session.startup.map.as_deref(), Some("dm1"));
    }

    #[test]
    fn what_is_wrong_in_a_variable_is_reported_with_its_name() {
        let variables = [
            ("GAMESIDE_GAME__STRAT", "at-boot"),
            ("GAMESIDE_GAME__START", "at-root"),
            ("GAMESIDE_GAME__RESTART__BUDGET", "many"),
            ("GAMESIDE_GAME__RESTART__DELAY", "5"),
            ("GAMESIDE_GAME__COMMAND", "./server"),
            ("GAMESIDE_GAME__COMMAND__0", "./server"),
        ];
        insta::assert_snapshot!(read("", &variables).1.join("\n"));
    }
}
