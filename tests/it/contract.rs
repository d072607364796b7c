//! The published contract as a judge: every answer that passes through here is checked against it.
//!
//! An answer is looked up by method, path and status; its body must match that schema, hold no null anywhere, and every
//! error must have the shape of an error. Statuses that the contract doesn't list for an operation are allowed only where
//! `session-semantics.md` says so (304, 404, 409, 412) or where any HTTP service gives them (400, 405, 413, 429, 503).

use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};

/// All published contracts that the service speaks.
pub fn contract() -> &'static Contract {
    static CONTRACT: OnceLock<Contract> = OnceLock::new();
    CONTRACT.get_or_init(|| Contract::load(&["session-api", "users-login", "friends", "notification-api"]))
}

pub struct Contract {
    specs: Vec<Spec>,
    compiled: Mutex<HashMap<(usize, String), std::sync::Arc<jsonschema::Validator>>>,
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
    document: &'c Value,
}

impl Operation<'_> {
    /// What it says for people, permissions included.
    pub fn description(&self) -> &str {
        self.document["description"].as_str().unwrap_or_default()
    }
}

/// Where the contracts lie.
pub fn specs_dir() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::env::var_os("GAMESIDE_SPECS").map_or_else(|| here.join("../shared/specs"), PathBuf::from)
}

impl Contract {
    fn load(names: &[&str]) -> Contract {
        let specs = names
            .iter()
            .map(|name| {
                let path = specs_dir().join(format!("{name}.openapi.json"));
                let text = std::fs::read(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
                let mut document: Value = serde_json::from_slice(&text).unwrap();
                numeric_bounds(&mut document);
                let base = document["servers"][0]["url"].as_str().unwrap().to_owned();
                Spec { base, document }
            })
            .collect();
        Contract { specs, compiled: Mutex::default() }
    }

    /// The contracts as they were published, each with its base path.
    pub fn documents(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.specs.iter().map(|spec| (spec.base.as_str(), &spec.document))
    }

    /// Every operation.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        let mut all = Vec::new();
        for (number, spec) in self.specs.iter().enumerate() {
            for (path, methods) in spec.document["paths"].as_object().unwrap() {
                for (method, document) in methods.as_object().unwrap() {
                    let Some(id) = document["operationId"].as_str() else { continue };
                    let path = format!("{}{path}", spec.base);
                    all.push(Operation { id, method: method.to_uppercase(), path, spec: number, document });
                }
            }
        }
        all
    }

    /// The operation with this id.
    pub fn operation(&self, id: &str) -> Option<Operation<'_>> {
        self.operations().into_iter().find(|operation| operation.id == id)
    }

    /// Checks an answer to an operation of the contract; says what is wrong.
    pub fn check(&self, operation: &Operation<'_>, status: u16, body: Option<&Value>) -> Result<(), String> {
        if let Some(body) = body {
            no_nulls(body, "")?;
        }
        let responses = &operation.document["responses"];
        let listed = &responses[status.to_string()];
        match (status, body) {
            (204 | 304, None) => return Ok(()),
            (204 | 304, Some(body)) => return Err(format!("{status} with a body: {body}")),
            _ => {}
        }
        let schema = match listed["content"]["application/json"].get("schema") {
            Some(schema) => schema.clone(),
            None if matches!(status, 400 | 404 | 405 | 409 | 412 | 413 | 429 | 503) => {
                json!({ "$ref": "#/components/schemas/HzApiErrorModel" })
            }
            None => return Err(format!("{status} is not a status of {}", operation.id)),
        };
        let body = body.ok_or_else(|| format!("{status} without a body"))?;
        let validator = self.validator(operation.spec, &schema);
        let faults: Vec<String> =
            validator.iter_errors(body).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }

    fn validator(&self, spec: usize, schema: &Value) -> std::sync::Arc<jsonschema::Validator> {
        let key = (spec, schema.to_string());
        let mut compiled = self.compiled.lock().unwrap();
        let make = || {
            let mut root = schema.clone();
            if let Some(members) = root.as_object_mut() {
                members.insert("components".into(), self.specs[spec].document["components"].clone());
            }
            let options = jsonschema::options().should_validate_formats(true);
            std::sync::Arc::new(options.build(&root).unwrap_or_else(|why| panic!("schema {schema}: {why}")))
        };
        compiled.entry(key).or_insert_with(make).clone()
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
    let good =
        json!({"type": "t", "session_id": "s", "joinable": false, "teams": [], "created": "2026-01-01T00:00:00.000Z"});
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
