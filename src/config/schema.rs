//! A JSON schema as the checks and the reference look at it: which keys there are, what a value
//! must be.
//!
//! The schema of a file lies beside its types as JSON. A test makes it from the types and compares
//! the two (`UPDATE=1 cargo test --lib config::schema` writes it anew), so that it can't say
//! anything else than they do, and the program carries a text in place of the code that makes it.

use super::keys::{KeyPath, Step};
use crate::model::section::File;
use serde_json::{Map, Value};

/// The schema of a whole file.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    root: Value,
}

/// The schema of one value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'a> {
    root: &'a Value,
    /// Where it is used: description, default, examples of this use.
    used: &'a Value,
    /// What it is, every reference followed.
    is: &'a Value,
    /// May be left out because there is no default (an `Option`).
    pub optional: bool,
}

/// What a value must be.
#[derive(Debug, Clone)]
pub(crate) enum Kind<'a> {
    /// A table of known keys.
    Table(&'a Map<String, Value>),
    /// A table whose keys the user chooses.
    Map(Node<'a>),
    List(Node<'a>),
    /// One of these words, each with its description.
    Choice(Vec<(&'a str, Option<&'a str>)>),
    Text,
    Integer {
        min: Option<i64>,
        max: Option<i64>,
    },
    Number,
    Flag,
    Anything,
}

impl Schema {
    /// The schema of `T`.
    pub(crate) fn of<T: File>() -> Self {
        // A text that isn't JSON would be found by the test that compares it.
        Schema { root: serde_json::from_str(&T::SCHEMA.text()).unwrap_or_default() }
    }

    /// The whole file.
    pub(crate) fn node(&self) -> Node<'_> {
        Node::new(&self.root, &self.root)
    }

    /// The node at a path of keys and list positions, as far as there is one.
    pub(crate) fn at(&self, path: &KeyPath) -> Option<Node<'_>> {
        path.steps().iter().try_fold(self.node(), |node, step| match step {
            Step::Key(key) => node.child(key),
            Step::Index(_) => match node.kind() {
                Kind::List(element) => Some(element),
                _ => None,
            },
        })
    }
}

impl<'a> Node<'a> {
    fn new(root: &'a Value, used: &'a Value) -> Self {
        let mut node = Node { root, used, is: used, optional: false };
        loop {
            if let Some(target) = node.is.get("$ref").and_then(Value::as_str) {
                let pointer = target.trim_start_matches('#');
                node.is = root.pointer(pointer).unwrap_or(&Value::Null);
                continue;
            }
            match node.is.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
                Some([one, null]) if is_null(null) => {
                    node.is = one;
                    node.optional = true;
                }
                _ => return node,
            }
        }
    }

    /// The value below a key.
    pub(crate) fn child(self, key: &str) -> Option<Node<'a>> {
        match self.kind() {
            Kind::Table(keys) => keys.get(key).map(|used| Node::new(self.root, used)),
            Kind::Map(value) => Some(value),
            _ => None,
        }
    }

    /// The keys that a table has; none where the user chooses them.
    pub(crate) fn keys(self) -> impl Iterator<Item = &'a str> {
        let keys = match self.kind() {
            Kind::Table(keys) => Some(keys),
            _ => None,
        };
        keys.into_iter().flat_map(Map::keys).map(String::as_str)
    }

    pub(crate) fn kind(self) -> Kind<'a> {
        if let Some(words) = self.words() {
            return Kind::Choice(words);
        }
        match self.type_name() {
            "object" => match self.is.get("properties").and_then(Value::as_object) {
                Some(keys) => Kind::Table(keys),
                None => match self.is.get("additionalProperties").filter(|value| value.is_object()) {
                    Some(value) => Kind::Map(Node::new(self.root, value)),
                    None => Kind::Anything,
                },
            },
            "array" => self.is.get("items").map_or(Kind::Anything, |items| Kind::List(Node::new(self.root, items))),
            "string" => Kind::Text,
            "integer" => {
                let bound = |key| self.is.get(key).and_then(Value::as_i64);
                Kind::Integer { min: bound("minimum"), max: bound("maximum") }
            }
            "number" => Kind::Number,
            "boolean" => Kind::Flag,
            _ => Kind::Anything,
        }
    }

    /// The description of this use, else of the type.
    pub(crate) fn description(self) -> Option<&'a str> {
        let of = |value: &'a Value| value.get("description").and_then(Value::as_str);
        of(self.used).or_else(|| of(self.is))
    }

    /// The description of the type, where it is another one.
    pub(crate) fn type_description(self) -> Option<&'a str> {
        self.is.get("description").and_then(Value::as_str)
    }

    /// The default of this use, as the type around it has it.
    pub(crate) fn default(self) -> Option<&'a Value> {
        self.used.get("default")
    }

    /// The first example of this use.
    pub(crate) fn example(self) -> Option<&'a Value> {
        self.used.get("examples")?.as_array()?.first()
    }

    /// The name of the type, where it is one that is defined on its own.
    pub(crate) fn type_ref(self) -> Option<&'a str> {
        let reference = |value: &'a Value| value.get("$ref").and_then(Value::as_str);
        let of_option = || self.used.get("anyOf")?.as_array()?.first().and_then(reference);
        reference(self.used).or_else(of_option)?.rsplit('/').next()
    }

    /// Keys below are taken as they are written in an environment variable's name, not in lower case.
    pub(crate) fn keeps_case(self) -> bool {
        self.used.get("x-case").is_some_and(|value| value == "kept")
    }

    /// What is expected, in words.
    pub(crate) fn expected(self) -> String {
        match self.kind() {
            Kind::Table(_) => "a table".to_owned(),
            Kind::Map(value) => format!("a table of {}", value.plural()),
            Kind::List(value) => format!("a list of {}", value.plural()),
            Kind::Choice(words) => {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
                format!("one of {}", words.join(", "))
            }
            Kind::Text => match self.type_description().filter(|_| self.type_ref().is_some()) {
                Some(description) => description.to_owned(),
                None => "a text in quotes".to_owned(),
            },
            Kind::Integer { min: Some(min), max: Some(max) } => format!("a whole number from {min} to {max}"),
            Kind::Integer { min: Some(0), .. } => "a whole number, not below 0".to_owned(),
            Kind::Integer { .. } => "a whole number".to_owned(),
            Kind::Number => "a number".to_owned(),
            Kind::Flag => "true or false".to_owned(),
            Kind::Anything => "a value".to_owned(),
        }
    }

    fn plural(self) -> &'static str {
        match self.kind() {
            Kind::Table(_) | Kind::Map(_) => "tables",
            Kind::List(_) => "lists",
            Kind::Choice(_) => "words",
            Kind::Text => "texts",
            Kind::Integer { .. } | Kind::Number => "numbers",
            Kind::Flag => "true or false",
            Kind::Anything => "values",
        }
    }

    /// `type`, with an `Option`'s "null" left out.
    fn type_name(self) -> &'a str {
        match self.is.get("type") {
            Some(Value::String(name)) => name,
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("")
            }
            _ => "",
        }
    }

    /// The words of an enum, which schemars writes as `enum`, or as `oneOf` where variants are described.
    fn words(self) -> Option<Vec<(&'a str, Option<&'a str>)>> {
        let listed = |value: &'a Value| -> Option<Vec<_>> {
            if let Some(word) = value.get("const").and_then(Value::as_str) {
                return Some(vec![(word, value.get("description").and_then(Value::as_str))]);
            }
            let words = value.get("enum")?.as_array()?;
            Some(words.iter().filter_map(Value::as_str).map(|word| (word, None)).collect())
        };
        if let Some(words) = listed(self.is) {
            return Some(words);
        }
        let variants = self.is.get("oneOf")?.as_array()?;
        variants.iter().map(listed).collect::<Option<Vec<_>>>().map(|lists| lists.concat())
    }
}

impl Node<'_> {
    /// An `Option` without a default: the file may leave it out, and that means something.
    pub(crate) fn may_be_unset(self) -> bool {
        self.optional
            || self.is.get("type").and_then(Value::as_array).is_some_and(|names| names.contains(&"null".into()))
    }
}

fn is_null(value: &Value) -> bool {
    value.get("type").is_some_and(|name| name == "null")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{agent::config::AgentConfig, service::ServiceSettings};

    fn is_what_the_types_say<T: File + schemars::JsonSchema>(file: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let made = schemars::schema_for!(T).to_value();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, written(&made)).unwrap();
        }
        let found: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap_or_default();
        assert!(
            found == made,
            "{file} doesn't say what the types say; write it with: UPDATE=1 cargo test --lib config::schema"
        );
    }

    /// A line for each definition: short in the program, and readable as a difference.
    fn written(schema: &Value) -> String {
        let entries = |table: &Map<String, Value>, text: &dyn Fn(&str, &Value) -> String| {
            let lines: Vec<_> = table.iter().map(|(key, value)| format!("{key:?}: {}", text(key, value))).collect();
            format!("{{\n{}\n}}", lines.join(",\n"))
        };
        let text = |key: &str, value: &Value| match (key, value) {
            ("$defs" | "properties", Value::Object(table)) => entries(table, &|_, value| value.to_string()),
            _ => value.to_string(),
        };
        entries(schema.as_object().unwrap(), &text) + "\n"
    }

    #[test]
    fn the_schemas_beside_the_types_say_what_they_say() {
        is_what_the_types_say::<AgentConfig>("src/agent/config/schema.json");
        is_what_the_types_say::<ServiceSettings>("src/service/settings.json");
    }

    #[test]
    fn every_kind_of_value_is_seen_as_what_it_is() {
        let schema = Schema::of::<AgentConfig>();
        let expected = |path: &str| schema.at(&KeyPath::parse(path)).unwrap().expected();
        assert_eq!(expected("game.command"), "a list of texts");
        assert_eq!(expected("game.env"), "a table of texts");
        assert_eq!(expected("game.start"), "one of \"on-allocation\", \"at-boot\"");
        assert_eq!(expected("game.ports.query.protocol"), "one of \"udp\", \"tcp\", \"both\"");
        assert_eq!(expected("game.stop.ladder[0].wait"), "a duration with its unit: 500ms, 30s, 1h30m");
        assert_eq!(expected("health.memory_percent"), "a whole number from 0 to 255");
        assert_eq!(expected("health.tick_target"), "a number");
        assert_eq!(expected("game.forking"), "true or false");
        assert_eq!(expected("probe"), "a table");
        assert!(schema.at(&KeyPath::parse("game.no_such_key")).is_none());
        assert!(schema.at(&KeyPath::parse("game.dir")).unwrap().may_be_unset());
        assert!(!schema.at(&KeyPath::parse("game.start")).unwrap().may_be_unset());
    }
}
