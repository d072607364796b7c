//! The published contracts, fuzzed: Schemathesis sends the real service whatever they allow and forbid, and every answer must be
//! one that they document: its status, its headers, its body; never a 5xx but the 503 that an operation documents.
//!
//! It sees the operations that are served. Where a parameter names a session or a player, real ones are among the values, so that
//! more than 404s are seen. Besides the documented statuses an operation may answer what any HTTP service does.

use crate::{
    contract::contract,
    support::{component, service::Service, world::World},
};
use gameside::service::ops;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

/// Printed with every failure; `GAMESIDE_SEED` sets another.
const SEED: &str = "20260101";
/// Cases an operation, besides those that are the same every time. More find more: `GAMESIDE_CASES`.
const CASES: &str = "6";

/// A caller who may do everything, and finds nothing to wait for.
const CONFIG: &str = r#"
[auth]
player_permissions = ["session:*", "friend:*", "notification:player:*"]
[limits]
longest_wait = "10ms"
longest_notification_wait = "10ms"
"#;

/// 503 is no failure as such; that it is documented is another check.
const SETTINGS: &str = "[checks]\nnot_a_server_error.expected-statuses = [\"2xx\", \"3xx\", \"4xx\", 503]\n";

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance";

fn program() -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/schemathesis/bin/schemathesis");
    let why = "target/schemathesis has no Schemathesis";
    component::present(installed.is_file(), why, "`tests/run` installs it, from PyPI").then_some(installed)
}

#[test]
fn every_answer_is_in_the_published_contracts() {
    let Some(program) = program() else { return };
    let world = World::new();
    let service = Service::start_with(&world, CONFIG);
    let (token, player) = service.player("ann");
    let hints = hints(&service, &token, &player);
    let settings = world.file("schemathesis.toml", SETTINGS);
    let told = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let (seed, cases) = (told("GAMESIDE_SEED", SEED), told("GAMESIDE_CASES", CASES));
    for (base, document) in contract().documents() {
        let Some(document) = served(document, &hints) else { continue };
        let file = world.file(&format!("{}.json", base.trim_matches('/')), &document.to_string());
        let mut command = Command::new(&program);
        command.arg("--config-file").arg(&settings).arg("run").arg(file);
        command.args(["--url", &format!("{}{base}", service.url()), "--seed", &seed, "--max-examples", &cases]);
        command.args(["--header", &format!("Authorization: Bearer {token}"), "--checks", CHECKS]);
        command.args(["--phases", "coverage,fuzzing", "--continue-on-failure"]);
        // With more, a seed means nothing, and CPython 3.11 stumbles over its own parser (gh-106905).
        command.args(["--workers", "1"]);
        command.args(["--generation-database", "none", "--warnings", "off", "--request-timeout", "60", "--no-color"]);
        command.current_dir(world.path()).env("HOME", world.path()).env("NO_PROXY", "*");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{base}, seed {seed}:\n{}", readable(&output.stdout, &output.stderr));
    }
}

/// Values that lead somewhere, by the parameter's name.
fn hints(service: &Service<'_>, token: &str, player: &str) -> BTreeMap<&'static str, Vec<String>> {
    let body = json!({"session_type": "default", "client_version": "1.0.0", "force_create": true,
        "client_settings": {"input": "gamepad"}});
    let session = || {
        let made = service.call_as(token, "POST", "/v1/session", Some(&body)).ok();
        made["session_id"].as_str().unwrap().to_owned()
    };
    let sessions: Vec<String> = (0..6).map(|_| session()).collect();
    let (_, other) = service.player("bob");
    BTreeMap::from([
        ("session_id", sessions.clone()),
        ("invited_session_id", sessions.clone()),
        ("kicked_session_id", sessions),
        ("player_uuid", vec![player.to_owned(), other.clone()]),
        ("other_player_uuid", vec![other]),
        ("session_type", vec!["default".to_owned()]),
    ])
}

/// A contract's served operations, with the hints and with what any HTTP service answers. None: nothing of it is served.
fn served(document: &Value, hints: &BTreeMap<&'static str, Vec<String>>) -> Option<Value> {
    let served: BTreeSet<&str> = ops::tables().into_iter().flatten().map(|row| row.operation).collect();
    let mut document = document.clone();
    let paths = document["paths"].as_object_mut().unwrap();
    for methods in paths.values_mut() {
        let methods = methods.as_object_mut().unwrap();
        methods.retain(|_, operation| operation["operationId"].as_str().is_some_and(|id| served.contains(id)));
        methods.values_mut().for_each(|operation| prepare(operation, hints));
    }
    paths.retain(|_, methods| methods.as_object().is_some_and(|methods| !methods.is_empty()));
    (!paths.is_empty()).then_some(document)
}

fn prepare(operation: &mut Value, hints: &BTreeMap<&'static str, Vec<String>>) {
    let responses = operation["responses"].as_object_mut().unwrap();
    let error = json!({"description": "an error", "content": {"application/json": {"schema": {
        "type": "object", "required": ["auth_success", "error_code", "desc"]}}}});
    for status in ["400", "404", "405", "409", "412", "413"] {
        responses.entry(status).or_insert_with(|| error.clone());
    }
    // 431 comes from the HTTP library, which has no body for it.
    for status in ["304", "431"] {
        responses.entry(status).or_insert_with(|| json!({"description": "without a body"}));
    }
    // What is deleted leads nowhere.
    if operation["operationId"] == "delete_session" {
        return;
    }
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        if let Some(values) = parameter["name"].as_str().and_then(|name| hints.get(name)) {
            parameter["schema"] = json!({"anyOf": [{"type": "string", "enum": values}, parameter["schema"]]});
        }
    }
}

/// The report without lines that nobody can read, and the end of it if it is long.
fn readable(out: &[u8], err: &[u8]) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    let lines: Vec<String> = text.lines().map(|line| line.chars().take(600).collect()).collect();
    lines[lines.len().saturating_sub(300)..].join("\n")
}
