//! Reads what callers send: every fault of a body, a query or a path is found and located, not only the first.
//!
//! A parser is a function from a place in the JSON ([`JsonCursor`]) to a value; it adds what is wrong to [`ValidationErrors`] and returns
//! `None`. An absent member and a null are the same. Members that nobody knows are passed over, as in the contract.

#![allow(clippy::needless_pass_by_value, reason = "parsers share a signature")]

use crate::model::{CustomData, errors::Fault, ids::PlayerUuid, time::Timestamp};
use semver::Version;
use serde_json::Value;

/// What is wrong, so far.
#[derive(Debug, Default)]
pub struct ValidationErrors(pub Vec<Fault>);

/// Where a value stands. Written out only for a fault, so that good requests don't pay for it.
#[derive(Debug, Clone, Copy)]
struct Place<'v> {
    steps: [Step<'v>; DEEPEST],
    depth: usize,
}

/// Deeper than any body of the API; steps below aren't named.
const DEEPEST: usize = 8;

#[derive(Debug, Clone, Copy)]
enum Step<'v> {
    Name(&'v str),
    Index(usize),
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
}

/// An object whose members are read one by one.
#[derive(Debug)]
pub struct Object<'v, 'f> {
    members: &'v serde_json::Map<String, Value>,
    place: Place<'v>,
    pub faults: &'f mut ValidationErrors,
}

impl ValidationErrors {
    pub fn add(&mut self, loc: &[Value], kind: &str, msg: impl Into<String>) {
        self.0.push(Fault { loc: loc.to_vec(), msg: msg.into(), kind: kind.to_owned() });
    }
}

impl<'v> JsonCursor<'v> {
    /// The top of a body.
    pub fn body(value: &'v Value) -> Self {
        JsonCursor { value, place: Place::top("body") }
    }
    /// One parameter of a query.
    pub fn query(name: &'v str, value: &'v Value) -> Self {
        JsonCursor { value, place: Place::top("query").below(Step::Name(name)) }
    }
    /// One parameter of the path.
    pub fn path(name: &'v str, value: &'v Value) -> Self {
        JsonCursor { value, place: Place::top("path").below(Step::Name(name)) }
    }
    pub fn fault<T>(&self, faults: &mut ValidationErrors, kind: &str, msg: impl Into<String>) -> Option<T> {
        faults.add(&self.place.loc(), kind, msg);
        None
    }
    /// The members of an object.
    pub fn object<'f>(self, faults: &'f mut ValidationErrors) -> Option<Object<'v, 'f>> {
        match self.value {
            Value::Object(members) => Some(Object { members, place: self.place, faults }),
            _ => self.fault(faults, "type_error.dict", "value is not a valid dict"),
        }
    }
    fn below(&self, step: Step<'v>, value: &'v Value) -> JsonCursor<'v> {
        JsonCursor { value, place: self.place.below(step) }
    }
}

impl<'v> Object<'v, '_> {
    /// A member that may be left out.
    pub fn optional<T>(
        &mut self,
        name: &'v str,
        parse: impl FnOnce(JsonCursor<'v>, &mut ValidationErrors) -> Option<T>,
    ) -> Option<T> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        parse(JsonCursor { value, place: self.place.below(Step::Name(name)) }, self.faults)
    }
    /// A member that must be there.
    pub fn required<T>(
        &mut self,
        name: &'v str,
        parse: impl FnOnce(JsonCursor<'v>, &mut ValidationErrors) -> Option<T>,
    ) -> Option<T> {
        if self.members.get(name).is_none_or(Value::is_null) {
            self.fault(name, "value_error.missing", "field required");
            return None;
        }
        self.optional(name, parse)
    }
    pub fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| !value.is_null())
    }
    pub fn fault(&mut self, name: &str, kind: &str, msg: impl Into<String>) {
        self.faults.add(&self.place.below(Step::Name(name)).loc(), kind, msg);
    }
}

/// Text of a length, in characters.
pub fn text(min: usize, max: usize) -> impl Fn(JsonCursor<'_>, &mut ValidationErrors) -> Option<String> {
    move |at, faults| {
        let Value::String(text) = at.value else {
            return at.fault(faults, "type_error.str", "str type expected");
        };
        match text.chars().count() {
            n if n < min => at.fault(
                faults,
                "value_error.any_str.min_length",
                format!("ensure this value has at least {min} characters"),
            ),
            n if n > max => at.fault(
                faults,
                "value_error.any_str.max_length",
                format!("ensure this value has at most {max} characters"),
            ),
            _ => Some(text.clone()),
        }
    }
}

/// An id: 1 to 128 characters.
pub fn id(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<String> {
    text(1, 128)(at, faults)
}

/// Any text up to 4096 characters.
pub fn any_text(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<String> {
    text(0, 4096)(at, faults)
}

pub fn integer(min: i64, max: i64) -> impl Fn(JsonCursor<'_>, &mut ValidationErrors) -> Option<i64> {
    move |at, faults| {
        let number = match at.value {
            Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
            _ => None,
        };
        match number {
            None => at.fault(faults, "type_error.integer", "value is not a valid integer"),
            Some(n) if n < min => at.fault(
                faults,
                "value_error.number.not_ge",
                format!("ensure this value is greater than or equal to {min}"),
            ),
            Some(n) if n > max => at.fault(
                faults,
                "value_error.number.not_le",
                format!("ensure this value is less than or equal to {max}"),
            ),
            Some(n) => Some(n),
        }
    }
}

fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

pub fn unsigned(min: u32, max: u32) -> impl Fn(JsonCursor<'_>, &mut ValidationErrors) -> Option<u32> {
    move |at, faults| integer(min.into(), max.into())(at, faults).and_then(|n| u32::try_from(n).ok())
}

pub fn number(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<f64> {
    match at.value.as_f64() {
        Some(number) => Some(number),
        None => at.fault(faults, "type_error.float", "value is not a valid float"),
    }
}

pub fn flag(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<bool> {
    match at.value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if matches!(text.as_str(), "true" | "1" | "yes" | "on") => Some(true),
        Value::String(text) if matches!(text.as_str(), "false" | "0" | "no" | "off") => Some(false),
        _ => at.fault(faults, "type_error.bool", "value could not be parsed to a boolean"),
    }
}

pub fn uuid(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<uuid::Uuid> {
    match at.value.as_str().and_then(|text| text.parse().ok()) {
        Some(id) => Some(id),
        None => at.fault(faults, "type_error.uuid", "value is not a valid uuid"),
    }
}

pub fn player(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<PlayerUuid> {
    uuid(at, faults).map(PlayerUuid)
}

pub fn version(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<Version> {
    match at.value.as_str().map(Version::parse) {
        Some(Ok(version)) => Some(version),
        _ => at.fault(faults, "value_error.semver", "value is not a semantic version such as 1.2.3"),
    }
}

pub fn timestamp(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<Timestamp> {
    match serde_json::from_value(at.value.clone()) {
        Ok(time) => Some(time),
        Err(_) => {
            at.fault(faults, "value_error.datetime", "expected an RFC 3339 date-time with an offset, or Unix seconds")
        }
    }
}

/// One of an enumeration's values, as serde reads it.
pub fn one_of<T: serde::de::DeserializeOwned>(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<T> {
    match T::deserialize(at.value) {
        Ok(value) => Some(value),
        Err(why) => at.fault(faults, "type_error.enum", why.to_string()),
    }
}

/// A list of at most so many.
pub fn list<'v, T>(
    min: usize,
    max: usize,
    parse: impl Fn(JsonCursor<'v>, &mut ValidationErrors) -> Option<T>,
) -> impl FnOnce(JsonCursor<'v>, &mut ValidationErrors) -> Option<Vec<T>> {
    move |at, faults| {
        let Value::Array(items) = at.value else {
            return at.fault(faults, "type_error.list", "value is not a valid list");
        };
        if items.len() < min || items.len() > max {
            let kind = if items.len() < min { "value_error.list.min_items" } else { "value_error.list.max_items" };
            return at.fault(faults, kind, format!("ensure this value has {min} to {max} items"));
        }
        let before = faults.0.len();
        let read: Vec<T> =
            items.iter().enumerate().filter_map(|(i, item)| parse(at.below(Step::Index(i), item), faults)).collect();
        (faults.0.len() == before).then_some(read)
    }
}

/// `custom_data` and its like: values of 1 to 4096 characters; at most 256 of them.
pub fn custom_data(at: JsonCursor<'_>, faults: &mut ValidationErrors) -> Option<CustomData> {
    let Value::Object(members) = at.value else {
        return at.fault(faults, "type_error.dict", "value is not a valid dict");
    };
    if members.len() > 256 {
        return at.fault(faults, "value_error.dict.max_items", "ensure this value has at most 256 members");
    }
    let before = faults.0.len();
    let mut read = CustomData::new();
    for (key, value) in members {
        if let Some(value) = text(1, 4096)(at.below(Step::Name(key), value), faults) {
            read.insert(key.clone(), value);
        }
    }
    (faults.0.len() == before).then_some(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_fault_is_found_and_located() {
        let body = json!({"a": 3, "teams": [{"max_size": 0}, {"max_size": 101}], "when": "2026-01-01T00:00:00"});
        let mut faults = ValidationErrors::default();
        let mut object = JsonCursor::body(&body).object(&mut faults).unwrap();
        object.required("missing", any_text);
        object.optional("a", any_text);
        object.optional("when", timestamp);
        object.optional("teams", list(0, 50, |at, faults| at.object(faults)?.required("max_size", unsigned(1, 100))));
        let locs: Vec<_> = faults.0.iter().map(|fault| json!(fault.loc).to_string()).collect();
        assert_eq!(
            locs,
            [
                r#"["body","missing"]"#,
                r#"["body","a"]"#,
                r#"["body","when"]"#,
                r#"["body","teams",0,"max_size"]"#,
                r#"["body","teams",1,"max_size"]"#
            ]
        );
    }

    #[test]
    fn a_null_is_an_absent_member() {
        let body = json!({"a": null});
        let mut faults = ValidationErrors::default();
        let mut object = JsonCursor::body(&body).object(&mut faults).unwrap();
        assert_eq!(object.optional("a", any_text), None);
        assert!(faults.0.is_empty());
    }

    #[test]
    fn date_times_need_an_offset_or_are_unix_seconds() {
        let rows = [
            (json!("2026-01-01T00:00:00+01:00"), true),
            (json!("2026-01-01T00:00:00Z"), true),
            (json!(1_767_225_600), true),
            (json!("2026-01-01T00:00:00"), false),
            (json!("yesterday"), false),
        ];
        for (value, good) in rows {
            assert_eq!(
                timestamp(JsonCursor::body(&value), &mut ValidationErrors::default()).is_some(),
                good,
                "{value}"
            );
        }
    }
}
