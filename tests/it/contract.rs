//! The service's own document as a judge: every answer that passes through here is checked against
//! it.
//!
//! An answer is looked up by method, path and status; its body must match that schema, and hold no
//! null anywhere. What was done for a request must be allowed by the document, too: a body that was
//! taken matches its schema. Where `GAMESIDE_CONTRACTS` names the folder of the published
//! contracts, these judge answers as well; [`crate::published`] compares the two.

use gameside::internals::service::openapi::DOCUMENT;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, OnceLock},
};

/// The service's own document.
pub fn contract() -> &'static Contract {
    static CONTRACT: OnceLock<Contract> = OnceLock::new();
    CONTRACT
        .get_or_init(|| Contract::of(vec![Spec { base: String::new(), document: parsed(DOCUMENT.text().as_bytes()) }]))
}

/// All published contracts that the service speaks, if they are there.
pub fn published() -> Option<&'static Contract> {
    static CONTRACT: OnceLock<Option<Contract>> = OnceLock::new();
    CONTRACT
        .get_or_init(|| std::env::var_os("GAMESIDE_CONTRACTS").map(|folder| Contract::published(folder.as_ref())))
        .as_ref()
}

pub struct Contract {
    specs: Vec<Spec>,
    compiled: Mutex<HashMap<(usize, String), Arc<jsonschema::Validator>>>,
}

struct Spec {
    base: String,
    document: Value,
}

/// One operation of a contract.
pub struct Operation<'c> {
    pub id: &'c str,
    pub method: String,
    /// With its base path.
    pub path: String,
    spec: usize,
    pub document: &'c Value,
    /// The whole document, to which references lead.
    pub root: &'c Value,
}

impl Operation<'_> {
    /// What it says for people, permissions included.
    pub fn description(&self) -> &str {
        self.document["description"].as_str().unwrap_or_default()
    }

    /// Places in the session of which a caller needs one: an extension of our own document.
    pub fn places(&self) -> Vec<&str> {
        self.document["x-session-permissions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

fn parsed(text: &[u8]) -> Value {
    let mut document: Value = serde_json::from_slice(text).unwrap();
    numeric_bounds(&mut document);
    document
}

impl Contract {
    fn of(specs: Vec<Spec>) -> Contract {
        Contract { specs, compiled: Mutex::default() }
    }

    fn published(folder: &Path) -> Contract {
        let names = ["session-api", "users-login", "friends", "notification-api"];
        let spec = |name: &str| {
            let path = folder.join(format!("{name}.openapi.json"));
            let text = std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
            let document = parsed(&text);
            let base = document["servers"][0]["url"].as_str().unwrap().to_owned();
            Spec { base, document }
        };
        Contract::of(names.into_iter().map(spec).collect())
    }

    /// Every operation.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        let mut all = Vec::new();
        for (number, spec) in self.specs.iter().enumerate() {
            for (path, methods) in spec.document["paths"].as_object().unwrap() {
                for (method, document) in methods.as_object().unwrap() {
                    let Some(id) = document["operationId"].as_str() else { continue };
                    let path = format!("{}{path}", spec.base);
                    let method = method.to_uppercase();
                    all.push(Operation { id, method, path, spec: number, document, root: &spec.document });
                }
            }
        }
        all
    }

    /// The operation with this id.
    pub fn operation(&self, id: &str) -> Option<Operation<'_>> {
        self.operations().into_iter().find(|operation| operation.id == id)
    }

    /// Checks an answer to an operation; says what is wrong.
    pub fn check(&self, operation: &Operation<'_>, status: u16, body: Option<&Value>) -> Result<(), String> {
        if let Some(body) = body {
            no_nulls(body, "")?;
        }
        match (status, body) {
            (204 | 304, Some(body)) => return Err(format!("{status} with a body: {body}")),
            (304, None) if self.is_published() => return Ok(()),
            _ => {}
        }
        let listed = &operation.document["responses"][status.to_string()];
        let listed = match listed["$ref"].as_str() {
            Some(reference) => operation.root.pointer(reference.trim_start_matches('#')).unwrap(),
            None => listed,
        };
        let schema = match listed["content"].as_object().and_then(|content| content.values().next()) {
            Some(content) => content["schema"].clone(),
            // What the published contracts leave to whoever serves them.
            None if self.is_published() && matches!(status, 400 | 404 | 405 | 408 | 409 | 412 | 413 | 429 | 503) => {
                json!({ "$ref": "#/components/schemas/HzApiErrorModel" })
            }
            None if listed.is_null() => return Err(format!("{status} is not a status of {}", operation.id)),
            None => return body.map_or(Ok(()), |body| Err(format!("{status} with a body: {body}"))),
        };
        let is_text = listed["content"].get("application/json").is_none() && !self.is_published();
        match body {
            None if is_text => Ok(()),
            None => Err(format!("{status} without a body")),
            Some(body) => self.validate(operation, &schema, body),
        }
    }

    /// Checks that a body may be sent.
    pub fn check_request(&self, operation: &Operation<'_>, body: &Value) -> Result<(), String> {
        match operation.document["requestBody"]["content"]["application/json"].get("schema") {
            Some(schema) => {
                let faults = self.faults(operation, schema, &without_nulls(body));
                let faults: Vec<String> = faults.into_iter().filter(|fault| !is_lenient(fault)).collect();
                if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
            }
            None => Ok(()),
        }
    }

    /// Checks a value against a schema of the operation's document.
    fn validate(&self, operation: &Operation<'_>, schema: &Value, value: &Value) -> Result<(), String> {
        let faults = self.faults(operation, schema, value);
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }

    fn faults(&self, operation: &Operation<'_>, schema: &Value, value: &Value) -> Vec<String> {
        let validator = self.validator(operation.spec, schema);
        validator.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect()
    }

    fn is_published(&self) -> bool {
        self.specs.len() > 1
    }

    fn validator(&self, spec: usize, schema: &Value) -> Arc<jsonschema::Validator> {
        let key = (spec, schema.to_string());
        let mut compiled = self.compiled.lock().unwrap();
        let make = || {
            let mut root = schema.clone();
            if let Some(members) = root.as_object_mut() {
                members.insert("components".into(), self.specs[spec].document["components"].clone());
            }
            let options = jsonschema::options().should_validate_formats(true);
            Arc::new(options.build(&root).unwrap_or_else(|why| panic!("schema {schema}: {why}")))
        };
        compiled.entry(key).or_insert_with(make).clone()
    }
}

/// What the service takes beyond its document: Unix seconds for a date-time, and a platform's number that no platform has, which
/// is passed over.
fn is_lenient(fault: &str) -> bool {
    let (at, what) = fault.split_once(": ").unwrap_or_default();
    let seconds = at.starts_with("/deserter_") && what.ends_with("is not of type \"string\"");
    seconds || (at.ends_with("/platform_id") && what.contains("is not one of"))
}

/// A null that comes in is an absent member.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        other => other.clone(),
    }
}

/// A null anywhere: existing clients throw the whole object away.
fn no_nulls(value: &Value, at: &str) -> Result<(), String> {
    match value {
        Value::Null => Err(format!("null at {at:?}")),
        Value::Array(items) => items.iter().enumerate().try_for_each(|(i, item)| no_nulls(item, &format!("{at}/{i}"))),
        Value::Object(members) => members.iter().try_for_each(|(key, item)| no_nulls(item, &format!("{at}/{key}"))),
        _ => Ok(()),
    }
}

/// The contract says `minimum: 0, exclusiveMinimum: true`, as an older JSON Schema did.
fn numeric_bounds(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(numeric_bounds),
        Value::Object(members) => {
            if members.get("exclusiveMinimum") == Some(&Value::Bool(true)) {
                let minimum = members.remove("minimum").unwrap_or_default();
                members.insert("exclusiveMinimum".into(), minimum);
            }
            members.values_mut().for_each(numeric_bounds);
        }
        _ => {}
    }
}

#[test]
fn the_judge_finds_nulls_missing_members_and_unlisted_statuses() {
    let contract = contract();
    let get = contract.operation("get_session_by_id").unwrap();
    let good = json!({"type": "t", "session_id": "s", "joinable": false, "teams": [], "platform_session": [],
        "custom_data": {}, "created_by_matchmaking": false, "created": "2026-01-01T00:00:00.000Z"});
    assert_eq!(contract.check(&get, 200, Some(&good)), Ok(()));
    let mut null = good.clone();
    null["browser"] = Value::Null;
    assert!(contract.check(&get, 200, Some(&null)).is_err());
    let mut missing = good.clone();
    missing.as_object_mut().unwrap().remove("joinable");
    assert!(contract.check(&get, 200, Some(&missing)).is_err());
    assert!(contract.check(&get, 201, Some(&good)).is_err());
    assert!(contract.check(&get, 404, Some(&good)).is_err());
    assert!(contract.check(&get, 304, Some(&good)).is_err());
}

#[test]
fn the_judge_finds_bodies_that_may_not_be_sent_and_errors_with_other_codes() {
    let contract = contract();
    let create = contract.operation("create_or_join_session").unwrap();
    let good = json!({"session_type": "t", "client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "player": null});
    assert_eq!(contract.check_request(&create, &good), Ok(()));
    for (member, wrong) in
        [("client_version", json!("1")), ("password", json!("")), ("settings", json!({"teams": [{"max_size": 0}]}))]
    {
        let mut bad = good.clone();
        bad[member] = wrong;
        assert!(contract.check_request(&create, &bad).is_err(), "{member}");
    }
    let error = |code: &str| json!({"auth_success": true, "error_code": code, "desc": ""});
    assert_eq!(contract.check(&create, 400, Some(&error("template_not_found"))), Ok(()));
    assert!(contract.check(&create, 400, Some(&error("no_such_code"))).is_err());
    assert!(contract.check(&create, 418, Some(&error("template_not_found"))).is_err());
}
