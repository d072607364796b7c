//! Rules for values: what is accepted, and how it is described. One value of a rule serves both.

use super::{JsonCursor, ValidationErrors, Wire};
use serde::de::DeserializeOwned;
use serde_json::{Number, Value};
use std::collections::BTreeMap;
#[cfg(test)]
use {super::schema::Schemas, serde_json::json};

/// What a value must be like.
pub trait Rule<T> {
    /// Reads a value; adds what is wrong with it to `errors` and answers `None`.
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<T>;
    /// Describes what is accepted.
    #[cfg(test)]
    fn schema(&self, schemas: &mut Schemas) -> Value;
}

/// What the type itself says.
#[derive(Debug, Clone, Copy)]
pub struct Own;

impl<T: Wire> Rule<T> for Own {
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<T> {
        T::read(at, errors)
    }
    #[cfg(test)]
    fn schema(&self, schemas: &mut Schemas) -> Value {
        T::schema(schemas)
    }
}

/// Text of a length, in characters.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    min: usize,
    max: usize,
}

pub(crate) const fn text(min: usize, max: usize) -> Text {
    Text { min, max }
}

/// An id: 1 to 128 characters.
pub(crate) const fn ident() -> Text {
    text(1, 128)
}

/// Any text up to 4096 characters.
pub(crate) const fn any_text() -> Text {
    text(0, 4096)
}

/// Text for people, as long as it is.
pub(crate) const fn prose() -> Text {
    text(0, usize::MAX)
}

impl<T: From<String>> Rule<T> for Text {
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<T> {
        let (min, max) = (self.min, self.max);
        let Value::String(text) = at.value else {
            return at.fault(errors, "type_error.str", "str type expected");
        };
        match text.chars().count() {
            n if n < min => at.fault(
                errors,
                "value_error.any_str.min_length",
                format!("ensure this value has at least {min} characters"),
            ),
            n if n > max => at.fault(
                errors,
                "value_error.any_str.max_length",
                format!("ensure this value has at most {max} characters"),
            ),
            _ => Some(T::from(text.clone())),
        }
    }
    #[cfg(test)]
    fn schema(&self, _: &mut Schemas) -> Value {
        if self.max == usize::MAX {
            return json!({ "type": "string" });
        }
        json!({ "type": "string", "minLength": self.min, "maxLength": self.max })
    }
}

/// One of some words.
#[derive(Debug, Clone, Copy)]
pub struct OneOf(&'static [&'static str]);

pub(crate) const fn one_of(words: &'static [&'static str]) -> OneOf {
    OneOf(words)
}

impl Rule<String> for OneOf {
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<String> {
        match at.value.as_str().filter(|found| self.0.contains(found)) {
            Some(found) => Some(found.to_owned()),
            None => at.fault(errors, "type_error.enum", format!("expected one of: {}", self.0.join(", "))),
        }
    }
    #[cfg(test)]
    fn schema(&self, _: &mut Schemas) -> Value {
        json!({ "type": "string", "enum": self.0 })
    }
}

/// A whole number within bounds.
#[derive(Debug, Clone, Copy)]
pub struct Whole {
    min: i64,
    max: i64,
}

pub(crate) const fn whole(min: i64, max: i64) -> Whole {
    Whole { min, max }
}

/// Any count.
pub(crate) const fn count() -> Whole {
    whole(0, u32::MAX as i64)
}

impl<T: TryFrom<i64>> Rule<T> for Whole {
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<T> {
        let (min, max) = (self.min, self.max);
        let number = match at.value {
            Value::Number(number) => number.as_i64().or_else(|| without_fraction(number.as_f64()?)),
            Value::String(text) if at.is_parameter() => text.parse().ok(),
            _ => None,
        };
        match number {
            None => at.fault(errors, "type_error.integer", "value is not a valid integer"),
            Some(n) if n < min => at.fault(
                errors,
                "value_error.number.not_ge",
                format!("ensure this value is greater than or equal to {min}"),
            ),
            Some(n) if n > max => at.fault(
                errors,
                "value_error.number.not_le",
                format!("ensure this value is less than or equal to {max}"),
            ),
            Some(n) => match T::try_from(n) {
                Ok(n) => Some(n),
                Err(_) => at.fault(errors, "type_error.integer", "value is not a valid integer"),
            },
        }
    }
    #[cfg(test)]
    fn schema(&self, _: &mut Schemas) -> Value {
        if (self.min, self.max) == (i64::MIN, i64::MAX) {
            return json!({ "type": "integer" });
        }
        json!({ "type": "integer", "minimum": self.min, "maximum": self.max })
    }
}

fn without_fraction(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

/// Any number, kept as it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnyNumber;

impl Rule<Number> for AnyNumber {
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Number> {
        match at.value {
            Value::Number(number) => Some(number.clone()),
            _ => at.fault(errors, "type_error.float", "value is not a valid float"),
        }
    }
    #[cfg(test)]
    fn schema(&self, _: &mut Schemas) -> Value {
        json!({ "type": "number" })
    }
}

/// A number within bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Between {
    min: f64,
    max: f64,
}

pub(crate) const fn between(min: f64, max: f64) -> Between {
    Between { min, max }
}

impl Rule<f64> for Between {
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<f64> {
        let number = match at.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) if at.is_parameter() => text.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if (self.min..=self.max).contains(&number) => Some(number),
            _ => at.fault(errors, "value_error.number", format!("expected a number, {} to {}", self.min, self.max)),
        }
    }
    #[cfg(test)]
    fn schema(&self, _: &mut Schemas) -> Value {
        json!({ "type": "number", "minimum": self.min, "maximum": self.max })
    }
}

/// A list within bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List<R> {
    min: usize,
    max: usize,
    rule: R,
}

pub(crate) const fn list(min: usize, max: usize) -> List<Own> {
    List { min, max, rule: Own }
}

pub(crate) const fn list_of<R>(min: usize, max: usize, rule: R) -> List<R> {
    List { min, max, rule }
}

impl<T, R: Rule<T>> Rule<Vec<T>> for List<R> {
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Vec<T>> {
        let (min, max) = (self.min, self.max);
        let Value::Array(items) = at.value else {
            return at.fault(errors, "type_error.list", "value is not a valid list");
        };
        if items.len() < min || items.len() > max {
            let kind = if items.len() < min { "value_error.list.min_items" } else { "value_error.list.max_items" };
            return at.fault(errors, kind, format!("ensure this value has {min} to {max} items"));
        }
        let before = errors.0.len();
        let items = items.iter().enumerate();
        let read: Vec<T> = items.filter_map(|(i, item)| self.rule.read(at.item(i, item), errors)).collect();
        (errors.0.len() == before).then_some(read)
    }
    #[cfg(test)]
    fn schema(&self, schemas: &mut Schemas) -> Value {
        json!({ "type": "array", "minItems": self.min, "maxItems": self.max, "items": self.rule.schema(schemas) })
    }
}

/// A list of an answer: as long as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed<R>(pub R);

pub(crate) const fn listed() -> Listed<Own> {
    Listed(Own)
}

impl<T, R: Rule<T>> Rule<Vec<T>> for Listed<R> {
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Vec<T>> {
        List { min: 0, max: usize::MAX, rule: &self.0 }.read(at, errors)
    }
    #[cfg(test)]
    fn schema(&self, schemas: &mut Schemas) -> Value {
        json!({ "type": "array", "items": self.0.schema(schemas) })
    }
}

/// An object of at most so many members, all of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MapOf<R> {
    max: usize,
    rule: R,
}

pub(crate) const fn map_of<R>(max: usize, rule: R) -> MapOf<R> {
    MapOf { max, rule }
}

impl<T, R: Rule<T>> Rule<BTreeMap<String, T>> for MapOf<R> {
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<BTreeMap<String, T>> {
        let Value::Object(members) = at.value else {
            return at.fault(errors, "type_error.dict", "value is not a valid dict");
        };
        if members.len() > self.max {
            let msg = format!("ensure this value has at most {} members", self.max);
            return at.fault(errors, "value_error.dict.max_items", msg);
        }
        let before = errors.0.len();
        let mut read = BTreeMap::new();
        for (key, value) in members {
            if let Some(value) = self.rule.read(at.member(key, value), errors) {
                read.insert(key.clone(), value);
            }
        }
        (errors.0.len() == before).then_some(read)
    }
    #[cfg(test)]
    fn schema(&self, schemas: &mut Schemas) -> Value {
        let members = self.rule.schema(schemas);
        if self.max == usize::MAX {
            return json!({ "type": "object", "additionalProperties": members });
        }
        json!({ "type": "object", "maxProperties": self.max, "additionalProperties": members })
    }
}

impl<T, R: Rule<T>> Rule<T> for &R {
    fn read(&self, at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<T> {
        (**self).read(at, errors)
    }
    #[cfg(test)]
    fn schema(&self, schemas: &mut Schemas) -> Value {
        (**self).schema(schemas)
    }
}

/// `custom_data` and its like: values of 1 to 4096 characters; at most 256 of them.
pub(crate) const fn custom_data() -> MapOf<Text> {
    map_of(256, text(1, 4096))
}

/// One of an enumeration's values, as serde reads it.
#[expect(clippy::needless_pass_by_value, reason = "called as every reader is")]
pub(crate) fn word<T: DeserializeOwned>(at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<T> {
    match T::deserialize(at.value) {
        Ok(value) => Some(value),
        Err(why) => at.fault(errors, "type_error.enum", why.to_string()),
    }
}
