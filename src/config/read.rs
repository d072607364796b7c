//! From a file and an environment to a value and every fault on the way.
//!
//! ```text
//!   text ─ parse, recovering ─► table ─ environment over it ─► check against the schema ─► deserialise ─► T
//!             │ syntax               │ unknown variables           │ keys, types, words     │ units, patterns
//!             └──────────────────────┴───────────── problems ◄─────┴────────────────────────┘
//! ```
//!
//! Whatever is at fault is taken out, so that the next stage sees the rest; `T` is then a default
//! there.

use super::{
    env,
    keys::{KeyPath, Step},
    provenance::{Part, Provenance},
    report::{Place, Problem, Report},
    schema::Schema,
    schema_check,
};
use crate::model::section::File;
use std::path::Path;
use toml::{Spanned, de::DeTable};

/// A file is read up to this size; a configuration is far below it.
const LARGEST: u64 = 4 << 20;

/// What was read.
#[derive(Debug)]
pub struct Reading<T> {
    /// Complete: a default wherever something is at fault.
    pub value: T,
    pub provenance: Provenance,
    pub problems: Vec<Problem>,
    /// The file's syntax has faults, so that what seems missing may only be unreadable.
    pub broken: bool,
}

/// Something wrong that the types can't say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// As a path: `game.stop.ladder[1]`.
    pub key: String,
    /// What was found, where the value's own text doesn't say it.
    pub found: Option<String>,
    pub expected: String,
}

impl Fault {
    pub fn new(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Fault { key: key.into(), found: None, expected: expected.into() }
    }
    #[must_use]
    pub fn found(self, found: impl Into<String>) -> Self {
        Fault { found: Some(found.into()), ..self }
    }
}

impl<T> Reading<T> {
    /// Adds a fault, unless one of the same value was found before.
    pub fn add(&mut self, fault: Fault) {
        let path = KeyPath::parse(&fault.key);
        let known = self.problems.iter().map(|problem| KeyPath::parse(&problem.key));
        let doubtful = self.broken && !self.provenance.is_set(&path);
        if doubtful || known.filter(|at| !at.is_root()).any(|at| at.is_within(&path) || path.is_within(&at)) {
            return;
        }
        let problem = self.provenance.problem(&path, Part::Value, fault.expected);
        self.problems.push(Problem { found: fault.found.or(problem.found.clone()), ..problem });
    }

    /// The value, if nothing is wrong.
    pub fn finish(mut self) -> Result<(T, Provenance), Report> {
        if self.problems.is_empty() {
            return Ok((self.value, self.provenance));
        }
        self.problems.sort_by_key(|problem| match problem.place {
            Place::File { span, .. } => (0, span.0),
            Place::Env { .. } => (1, 0),
            Place::CommandLine { .. } => (2, 0),
            Place::Nowhere => (3, 0),
        });
        Err(Report::new(self.problems, self.provenance.file()))
    }
}

/// Reads `path` (none: an empty file) with the variables that start with `prefix` over it. Fails only if the file can't be
/// read; everything else is in [`Reading::problems`].
pub(crate) fn read<T: File>(
    path: Option<&Path>,
    prefix: &str,
    variables: &[(String, String)],
) -> Result<Reading<T>, Report> {
    let text = path.map_or_else(|| Ok(String::new()), text_of)?;
    let name = path.map_or_else(String::new, |path| path.display().to_string());
    Ok(read_text(&name, &text, prefix, variables))
}

/// The same for a text.
pub fn read_text<T: File>(name: &str, text: &str, prefix: &str, variables: &[(String, String)]) -> Reading<T> {
    let schema = Schema::of::<T>();
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut table = root.into_inner();
    let mut provenance = Provenance::new(name, text, &table);
    let mut problems: Vec<_> = errors.iter().map(|error| syntax(error, &provenance)).collect();
    let broken = !problems.is_empty();
    problems.extend(env::apply(&mut table, &mut provenance, &schema, prefix, variables, text.len()));

    let faults = schema_check::table(&mut table, schema.node(), &KeyPath::default(), &provenance);
    for fault in faults {
        let path = KeyPath::parse(&fault.key);
        if matches!(path.steps().last(), Some(Step::Index(_))) {
            schema_check::remove(&mut table, &path);
        }
        problems.push(fault);
    }
    let value = deserialise(&mut table, text.len(), &schema, &provenance, &mut problems);
    Reading { value, provenance, problems, broken }
}

/// Deserialises; takes out what can't be, and tries again until the rest can.
fn deserialise<T: File>(
    table: &mut DeTable<'_>,
    length: usize,
    schema: &Schema,
    provenance: &Provenance,
    problems: &mut Vec<Problem>,
) -> T {
    loop {
        let root = Spanned::new(0..length, table.clone());
        let error = match T::deserialize(toml::Deserializer::from(root)) {
            Ok(value) => return value,
            Err(error) => error,
        };
        let path = error.span().and_then(|span| provenance.path_of(&span)).unwrap_or_default();
        let reported = problems.iter().any(|problem| KeyPath::parse(&problem.key).is_within(&path));
        if !reported {
            problems.push(unsuitable(&error, &path, schema, provenance));
        }
        if table.is_empty() {
            return T::default();
        }
        schema_check::remove(table, &path);
    }
}

/// A value of the right type that its own parser refuses. Its message says what was expected, or why it isn't that.
fn unsuitable(error: &toml::de::Error, path: &KeyPath, schema: &Schema, provenance: &Provenance) -> Problem {
    let message = error.message();
    let said = message.strip_prefix("expected ").and_then(|rest| rest.split_once(", found "));
    let expected = match (said, schema.at(path)) {
        (Some((expected, _)), _) => expected.to_owned(),
        (None, Some(node)) if !path.is_root() => match node.example() {
            Some(example) => format!("{} such as {example} ({message})", node.expected()),
            None => format!("{} ({message})", node.expected()),
        },
        (None, _) => message.to_owned(),
    };
    provenance.problem(path, Part::Value, expected)
}

fn syntax(error: &toml::de::Error, provenance: &Provenance) -> Problem {
    let span = error.span().unwrap_or(0..0);
    let hidden = provenance.line(span.start).is_some_and(names_a_secret);
    let message = error.message();
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, "TOML"));
    Problem {
        key: String::new(),
        place: provenance.at(span),
        found: Some(what.to_owned()),
        expected: expected.to_owned(),
        nearest: None,
        hidden,
    }
}

/// Somebody may have written a secret here, where none belongs.
pub(super) fn names_a_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    ["secret", "password", "token"].iter().any(|word| text.contains(word))
}

fn text_of(path: &Path) -> Result<String, Report> {
    let unreadable = |why: String| {
        let place = Place::CommandLine { option: "--config".to_owned() };
        let found = Some(path.display().to_string());
        let problem = Problem { key: String::new(), place, found, expected: why, nearest: None, hidden: false };
        Report::new(vec![problem], None)
    };
    let size = std::fs::metadata(path).map_err(|error| unreadable(format!("a file that can be read: {error}")))?.len();
    if size > LARGEST {
        return Err(unreadable(format!("a file of at most {LARGEST} bytes, not {size}")));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(format!("a text file that can be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{agent::config::AgentConfig, config::report::Style};

    fn report(text: &str) -> Report {
        let reading = read_text::<AgentConfig>("agent.toml", text, "GAMESIDE_", &[]);
        reading.finish().expect_err("the text has faults")
    }

    #[test]
    fn every_fault_of_every_kind_is_found_in_one_go() {
        let text = r#"
nmae = "x"

[game]
comand = ["./server"]
start = "at-bot"
forking = "yes"
version = "1.x"
env = { A = 1, B = "fine" }

[game.readiness]
timeout = 30

[game.stop]
ladder = [{ signal = "SIGSTOP", wait = "10s" }, { kill = true, wait = "soon" }, { sgnal = "SIGTERM" }]

[game.ports.query]
range = "9-1"

[health]
memory_percent = 300

[session]
teams = [4, "four"]
custom_data = {}

[addresses]
port = 'query'
"#;
        insta::assert_snapshot!(report(text).to_string());
    }

    #[test]
    fn a_person_is_shown_the_line_and_a_program_gets_an_object() {
        let text = "[game]\nstart = \"at-bot\"\n";
        insta::assert_snapshot!(report(text).render(Style::Plain));
        insta::assert_snapshot!(serde_json::to_string_pretty(&report(text).to_json()).unwrap());
    }

    #[test]
    fn broken_syntax_doesnt_hide_the_rest() {
        let text = "[game\nstart = \"at-boot\"\n[session]\nurl = unquoted\ntyp = \"x\"\n";
        insta::assert_snapshot!(report(text).to_string());
    }

    #[test]
    fn a_secret_that_was_put_into_the_file_isnt_repeated() {
        let text = "[credentials]\nclient_secret = \"hunter2\"\npassword = hunter2\n";
        for style in [Style::Plain, Style::Fancy] {
            let shown = report(text).render(style);
            assert!(!shown.contains("hunter2") && shown.contains("client_secret_file"), "{shown}");
        }
    }

    #[test]
    fn what_is_right_survives_what_is_wrong_beside_it() {
        let text = "[game]\nstart = \"at-boot\"\nforking = 3\n[drain]\ndeadline = \"90s\"\n";
        let reading = read_text::<AgentConfig>("agent.toml", text, "GAMESIDE_", &[]);
        assert_eq!(reading.problems.len(), 1);
        assert_eq!(reading.value.game.start, crate::model::policy::Start::AtBoot);
        assert_eq!(reading.value.drain.deadline.to_string(), "1m30s");
    }

    #[test]
    fn no_file_is_a_configuration_too() {
        let reading = read::<AgentConfig>(None, "GAMESIDE_", &[]).unwrap();
        assert_eq!(reading.finish().unwrap().0, AgentConfig::default());
        let missing = read::<AgentConfig>(Some(Path::new("/no/such/file")), "GAMESIDE_", &[]).unwrap_err();
        assert!(missing.to_string().contains("/no/such/file"), "{missing}");
    }
}
