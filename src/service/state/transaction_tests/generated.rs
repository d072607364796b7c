//! Bodies made of the service's own description: values of every kind that the types take, the
//! largest and the oddest among them, and some that they don't take.

use crate::service::openapi;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Map, Value, json};

pub(in crate::service::state) struct Generator {
    document: Value,
    rng: StdRng,
}

/// Times and texts that were trouble somewhere.
const TIMES: &[&str] = &[
    "2030-01-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
    "9999-12-31T23:59:59-14:00",
    "1969-12-31T23:59:59+14:00",
    "1893456000",
    "-62167219200",
];
const TEXTS: &[&str] = &[
    "",
    "k",
    "\u{0}",
    "\u{feff}\u{202e}é",
    "\"\\\n\r\t",
    "null",
    "1e400",
    "😀",
    "\u{10ffff}",
    "a b",
    "\u{7f}\u{85}\u{2028}",
];
const NUMBERS: &[f64] = &[0.0, -0.0, 0.1, 1e-308, 5e-324, 1.7e308, -1.7e308, 9_007_199_254_740_993.0];

impl Generator {
    pub(in crate::service::state) fn new(seed: u64) -> Generator {
        Generator {
            document: serde_json::from_str(&openapi::DOCUMENT.text()).unwrap(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    fn chance(&mut self, of: u32) -> bool {
        self.rng.next_u32().is_multiple_of(of)
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.rng.random_range(0..of.len())]
    }

    /// The schema of an operation's body.
    fn schema(&self, operation: &str) -> Option<Value> {
        let paths = self.document["paths"].as_object()?.values().filter_map(Value::as_object);
        let found = paths.flat_map(Map::values).find(|known| known["operationId"] == operation)?;
        Some(found["requestBody"]["content"]["application/json"]["schema"].clone()).filter(|schema| !schema.is_null())
    }

    /// A good body with other values in it, and more members.
    pub(in crate::service::state) fn body(&mut self, operation: &str, good: &Value) -> Option<Value> {
        let schema = self.schema(operation)?;
        Some(self.value(&schema, Some(good), 0))
    }

    fn value(&mut self, schema: &Value, good: Option<&Value>, depth: u32) -> Value {
        if let Some(name) = schema["$ref"].as_str() {
            let schema = self.document.pointer(name.trim_start_matches('#')).unwrap().clone();
            return self.value(&schema, good, depth);
        }
        for several in ["allOf", "anyOf", "oneOf"] {
            if let Some(all) = schema[several].as_array() {
                let one = self.pick(all).clone();
                return self.value(&one, good, depth);
            }
        }
        if let Some(words) = schema["enum"].as_array() {
            return self.pick(words).clone();
        }
        match (schema["type"].as_str(), good) {
            (Some("object"), good) => self.object(schema, good, depth),
            (Some("array"), good) => self.array(schema, good, depth),
            // What names something has to go on naming it, or nearly all is refused.
            (Some("string"), Some(good)) if schema["format"] != "date-time" && !self.chance(3) => good.clone(),
            (Some("string"), _) => self.text(schema),
            (Some("integer"), _) => self.integer(schema),
            (Some("number"), _) => json!(*self.pick(NUMBERS)),
            (Some("boolean"), _) => self.chance(2).into(),
            _ => good.cloned().unwrap_or(Value::Null),
        }
    }

    fn object(&mut self, schema: &Value, good: Option<&Value>, depth: u32) -> Value {
        let mut made = good.and_then(Value::as_object).cloned().unwrap_or_default();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            let there = made.get(name).cloned();
            let wanted = required.iter().any(|known| known == name.as_str());
            let time = there.is_some() && member["$ref"] == "#/components/schemas/Timestamp";
            if depth < 4 && (wanted && there.is_none() || time || self.chance(3)) {
                let value = self.value(member, there.as_ref(), depth + 1);
                made.insert(name.clone(), value);
            }
        }
        if schema["additionalProperties"].is_object() {
            for _ in 0..self.rng.random_range(0..3) {
                let (key, value) = (*self.pick(TEXTS), self.value(&schema["additionalProperties"], None, depth + 1));
                made.insert(key.to_owned(), value);
            }
        }
        made.into()
    }

    fn array(&mut self, schema: &Value, good: Option<&Value>, depth: u32) -> Value {
        let known = good.and_then(Value::as_array).cloned().unwrap_or_default();
        let count = if known.is_empty() && depth < 4 { self.rng.random_range(0..3) } else { known.len() };
        (0..count).map(|at| self.value(&schema["items"], known.get(at), depth + 1)).collect()
    }

    fn text(&mut self, schema: &Value) -> Value {
        match schema["format"].as_str() {
            Some("date-time") => {
                let seconds = [0, i64::MAX, i64::MIN, 253_402_300_799, 253_402_300_800, 1_893_456_000_000];
                if self.chance(2) { json!(*self.pick(&seconds)) } else { json!(*self.pick(TIMES)) }
            }
            Some("uuid") => {
                let who = *self.pick(&["ann", "bob", "carl", "eve", "nobody"]);
                super::requests::uuid(who).into()
            }
            _ => {
                let most = schema["maxLength"].as_u64().unwrap_or(4096).min(4096) as usize;
                let text = *self.pick(TEXTS);
                let times = if self.chance(8) { most / text.chars().count().max(1) } else { 1 };
                text.repeat(times).into()
            }
        }
    }

    fn integer(&mut self, schema: &Value) -> Value {
        let bound = |name: &str| schema[name].as_f64().map(|bound| bound as i64);
        let (least, most) = (bound("minimum").unwrap_or(i64::MIN), bound("maximum").unwrap_or(i64::MAX));
        json!(*self.pick(&[least, least.saturating_add(1), 0, 1, 2, most.saturating_sub(1), most]))
    }
}
