//! Reads what callers send: every fault of a body, a query or a path is found and located, not only
//! the first.

use super::{Members, Rule, Wire};
use crate::model::errors::Fault;
use serde_json::{Map, Value};

/// What is wrong with a request, so far.
#[derive(Debug, Default)]
pub struct ValidationErrors(pub Vec<Fault>);

/// Deeper than any body of the API; steps below aren't named.
const DEEPEST: usize = 8;

/// Where a value stands. Written out only for a fault, so that good requests don't pay for it.
#[derive(Debug, Clone, Copy)]
struct Place<'v> {
    steps: [Step<'v>; DEEPEST],
    depth: usize,
}

#[derive(Debug, Clone, Copy)]
enum Step<'v> {
    Name(&'v str),
    Index(usize),
}

/// What is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Json,
    /// A query or a path: numbers come as text.
    Text,
}

impl<'v> Place<'v> {
    fn top(name: &'v str) -> Self {
        Place { steps: [Step::Name(name); DEEPEST], depth: 1 }
    }
    fn below(mut self, step: Step<'v>) -> Self {
        if let Some(free) = self.steps.get_mut(self.depth) {
            *free = step;
            self.depth += 1;
        }
        self
    }
    fn loc(&self) -> Vec<Value> {
        let written = |step: &Step<'_>| match *step {
            Step::Name(name) => name.into(),
            Step::Index(index) => index.into(),
        };
        self.steps[..self.depth].iter().map(written).collect()
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct JsonCursor<'v> {
    pub value: &'v Value,
    place: Place<'v>,
    origin: Origin,
}

/// An object whose members are read one by one.
#[derive(Debug)]
pub struct JsonObject<'v, 'e> {
    members: &'v Map<String, Value>,
    place: Place<'v>,
    origin: Origin,
    errors: &'e mut ValidationErrors,
}

impl ValidationErrors {
    pub fn add(&mut self, loc: &[Value], kind: &str, msg: impl Into<String>) {
        self.0.push(Fault { loc: loc.to_vec(), msg: msg.into(), kind: kind.to_owned() });
    }
}

/// Reads a body. Without a value, the faults.
pub(crate) fn body<T: Wire>(value: &Value) -> Result<T, ValidationErrors> {
    collect(|errors| T::read(JsonCursor::body(value), errors))
}

/// Reads a query's parameters.
pub(crate) fn query<T: Members>(parameters: &[(String, String)]) -> Result<T, ValidationErrors> {
    let value = self::parameters(parameters);
    collect(|errors| T::read(JsonCursor::query(&value), errors))
}

/// Reads one parameter of a path.
pub(crate) fn path<T>(name: &str, text: &str, rule: &impl Rule<T>) -> Result<T, ValidationErrors> {
    let value = Value::String(text.to_owned());
    let place = Place::top("path").below(Step::Name(name));
    collect(|errors| rule.read(JsonCursor { value: &value, place, origin: Origin::Text }, errors))
}

/// A query as an object of texts. Of a parameter that comes twice, the first counts.
pub(crate) fn parameters(query: &[(String, String)]) -> Value {
    let mut members = Map::new();
    for (name, value) in query {
        members.entry(name.as_str()).or_insert_with(|| value.as_str().into());
    }
    Value::Object(members)
}

/// Runs a reader. One that answers nothing has said why.
fn collect<T>(read: impl FnOnce(&mut ValidationErrors) -> Option<T>) -> Result<T, ValidationErrors> {
    let mut errors = ValidationErrors::default();
    match read(&mut errors) {
        Some(value) if errors.0.is_empty() => Ok(value),
        _ => Err(errors),
    }
}

impl<'v> JsonCursor<'v> {
    /// The top of a body.
    pub fn body(value: &'v Value) -> Self {
        JsonCursor { value, place: Place::top("body"), origin: Origin::Json }
    }
    /// The parameters of a query.
    pub fn query(value: &'v Value) -> Self {
        JsonCursor { value, place: Place::top("query"), origin: Origin::Text }
    }
    /// Adds a fault of this value.
    pub fn fault<T>(&self, errors: &mut ValidationErrors, kind: &str, msg: impl Into<String>) -> Option<T> {
        errors.add(&self.place.loc(), kind, msg);
        None
    }
    /// The members of an object.
    pub fn object<'e>(self, errors: &'e mut ValidationErrors) -> Option<JsonObject<'v, 'e>> {
        match self.value {
            Value::Object(members) => Some(JsonObject { members, place: self.place, origin: self.origin, errors }),
            _ => self.fault(errors, "type_error.dict", "value is not a valid dict"),
        }
    }
    /// The value at a name below this one.
    pub fn member(&self, name: &'v str, value: &'v Value) -> JsonCursor<'v> {
        JsonCursor { value, place: self.place.below(Step::Name(name)), origin: self.origin }
    }
    /// An item of a list below this one.
    pub fn item(&self, index: usize, value: &'v Value) -> JsonCursor<'v> {
        JsonCursor { value, place: self.place.below(Step::Index(index)), origin: self.origin }
    }
    /// Whether a number comes as text.
    pub fn is_parameter(&self) -> bool {
        self.origin == Origin::Text
    }
}

impl<'v> JsonObject<'v, '_> {
    /// A member that may be left out.
    pub fn optional<T>(&mut self, name: &'v str, rule: &impl Rule<T>) -> Option<T> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        let place = self.place.below(Step::Name(name));
        rule.read(JsonCursor { value, place, origin: self.origin }, self.errors)
    }
    /// A member that must be there.
    pub fn required<T>(&mut self, name: &'v str, rule: &impl Rule<T>) -> Option<T> {
        if self.members.get(name).is_none_or(Value::is_null) {
            let loc = self.place.below(Step::Name(name)).loc();
            self.errors.add(&loc, "value_error.missing", "field required");
            return None;
        }
        self.optional(name, rule)
    }
}
