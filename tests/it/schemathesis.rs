//! The service's own document, fuzzed: Schemathesis sends the real service whatever it allows and
//! forbids, and every answer must be one that it documents: its status, its headers, its body;
//! never a 5xx but the 503 that an operation documents.
//!
//! The document is asked of the service itself. Where a parameter names a session or a player, real
//! ones are among the values, so that more than 404s are seen. Besides the documented statuses, the
//! HTTP library may refuse a request's header.

use crate::support::{component, http, service::Service, world::World};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
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
fn every_answer_is_in_the_document() {
    let Some(program) = program() else { return };
    let world = World::new();
    let service = Service::start_with(&world, CONFIG);
    let (token, player) = service.player("ann");
    let hints = hints(&service, &token, &player);
    let settings = world.file("schemathesis.toml", SETTINGS);
    let told = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let (seed, cases) = (told("GAMESIDE_SEED", SEED), told("GAMESIDE_CASES", CASES));
    let url = service.url();
    let mut document = http::exchange("GET", &format!("{url}/openapi.json"), &[], None).unwrap().ok();
    prepare(&mut document, &hints);
    let file = world.file("openapi.json", &document.to_string());
    let mut command = Command::new(&program);
    command.arg("--config-file").arg(&settings).arg("run").arg(file);
    command.args(["--url", &url, "--seed", &seed, "--max-examples", &cases]);
    command.args(["--header", &format!("Authorization: Bearer {token}"), "--checks", CHECKS]);
    command.args(["--phases", "coverage,fuzzing", "--continue-on-failure"]);
    // With more, a seed means nothing, and CPython 3.11 stumbles over its own parser (gh-106905).
    command.args(["--workers", "1"]);
    command.args(["--generation-database", "none", "--warnings", "off", "--request-timeout", "60", "--no-color"]);
    command.current_dir(world.path()).env("HOME", world.path()).env("NO_PROXY", "*");
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "seed {seed}:
{}",
        readable(&output.stdout, &output.stderr)
    );
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

/// Puts in the hints, and what comes from the HTTP library or of another method than the document's.
fn prepare(document: &mut Value, hints: &BTreeMap<&'static str, Vec<String>>) {
    // An event stream ends with the token.
    document["paths"].as_object_mut().unwrap().remove("/session/v1/player/me/events");
    for operation in document["paths"].as_object_mut().unwrap().values_mut() {
        operation.as_object_mut().unwrap().values_mut().for_each(|operation| put_hints(operation, hints));
    }
}

fn put_hints(operation: &mut Value, hints: &BTreeMap<&'static str, Vec<String>>) {
    let responses = operation["responses"].as_object_mut().unwrap();
    let error = json!({"description": "an error", "content": {"application/json": {"schema": {
        "$ref": "#/components/schemas/ApiError"}}}});
    responses.entry("405").or_insert(error.clone());
    // A parameter that makes another path of it.
    responses.entry("404").or_insert(error);
    // 431 comes from the HTTP library, which has no body for it.
    responses.entry("431").or_insert_with(|| json!({"description": "without a body"}));
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
