//! Makes the OpenAPI document of the router's rows, the operations' descriptions and the model
//! types, and compares it with the one that is checked in.

use super::{
    operation::{Answer, Operation},
    operations::{self, Group},
};
use crate::{
    model::{
        errors::{ApiError, Invalid, codes},
        parameters,
        wire::{Wire, schema::Schemas},
    },
    service::{
        auth::EVERYTHING,
        http::{
            rate::Pace,
            route::{Access, Row},
        },
        ops,
    },
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The document, made of the router's rows and the entries of [`operations`].
fn made() -> Value {
    let mut schemas = Schemas::default();
    let path_parameters: BTreeMap<&str, Value> = parameters::described(&mut schemas).into_iter().collect();
    let groups = operations::groups();
    let mut paths: Map<String, Value> = Map::new();
    for row in ops::tables().into_iter().flatten() {
        let (group, operation) = entry(&groups, row);
        let described = described(row, group.name, operation, &path_parameters, &mut schemas);
        let path = paths.entry(row.path).or_insert_with(|| json!({}));
        path[row.method.as_str().to_lowercase()] = described;
    }
    let api_error = ApiError::schema(&mut schemas);
    let invalid = Invalid::schema(&mut schemas);
    let tags: Vec<Value> =
        groups.iter().map(|group| json!({ "name": group.name, "description": group.about })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gameside session service",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Sessions, instances, players, servers, friends and notifications. A null is an absent member; members that nobody knows are passed over.",
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.into_json(),
            "responses": responses(&api_error, &invalid),
            "headers": headers(),
            "securitySchemes": { "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "The access token of a login, or of the issuer that the service trusts",
            } },
        },
    })
}

fn entry<'g>(groups: &'g [Group], row: &Row) -> (&'g Group, &'g Operation) {
    let mut all = groups.iter().flat_map(|group| group.operations.iter().map(move |operation| (group, operation)));
    let found = all.find(|(_, operation)| operation.id == row.operation);
    found.unwrap_or_else(|| panic!("{row:?} has no entry in src/service/openapi/operations.rs"))
}

fn described(
    row: &Row,
    tag: &str,
    operation: &Operation,
    path_parameters: &BTreeMap<&str, Value>,
    schemas: &mut Schemas,
) -> Value {
    let mut about = json!({
        "operationId": operation.id,
        "tags": [tag],
        "summary": operation.summary,
        "responses": answers(row, operation, schemas),
    });
    let parameters = parameters_of(row, operation, path_parameters, schemas);
    if !parameters.is_empty() {
        about["parameters"] = parameters.into();
    }
    if let Some(body) = &operation.body {
        let schema = (body.schema)(schemas);
        about["requestBody"] =
            json!({ "required": body.required, "content": { "application/json": { "schema": schema } } });
    }
    match row.access {
        Access::Nothing => about["security"] = json!([]),
        Access::Login => about["security"] = json!([{ "bearer": [] }]),
        Access::AnyOf(permissions) => {
            let all: Vec<&str> = std::iter::once(EVERYTHING).chain(permissions.iter().copied()).collect();
            about["security"] = json!([{ "bearer": [] }]);
            about["description"] = format!("Needs one of: `{}`.", all.join("`, `")).into();
            about["x-permissions"] = json!(all);
        }
    }
    if !operation.places.is_empty() {
        about["x-session-permissions"] = json!(operation.places);
    }
    if operation.is_extension {
        about["x-extension"] = true.into();
    }
    about
}

/// Names in braces, in order.
fn names(path: &str) -> Vec<&str> {
    path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

fn parameters_of(
    row: &Row,
    operation: &Operation,
    path_parameters: &BTreeMap<&str, Value>,
    schemas: &mut Schemas,
) -> Vec<Value> {
    let in_path = names(row.path).into_iter().map(|name| {
        let schema = path_parameters.get(name).unwrap_or_else(|| panic!("{row:?}: model::parameters lacks {name}"));
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let mut all: Vec<Value> = in_path.collect();
    for member in operation.query.map(|members| members(schemas)).unwrap_or_default() {
        let mut parameter = json!({ "name": member.name, "in": "query", "required": member.required });
        if !member.about.is_empty() {
            parameter["description"] = member.about.as_str().into();
        }
        if member.is_extension() {
            parameter["x-extension"] = true.into();
        }
        let mut schema = member.schema;
        if let Some(default) = member.default {
            schema["default"] = default;
        }
        parameter["schema"] = schema;
        all.push(parameter);
    }
    all.extend(operation.headers.iter().map(|(name, about)| {
        json!({ "name": name, "in": "header", "required": false, "description": about, "schema": { "type": "string" } })
    }));
    all
}

fn answers(row: &Row, operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut all = Map::new();
    for (status, answer) in &operation.answers {
        let content = match answer {
            Answer::Nothing => None,
            Answer::Json(schema) => Some(("application/json", schema(schemas))),
            Answer::Document => Some(("application/json", json!({ "type": "object" }))),
            Answer::Text(media) => Some((*media, json!({ "type": "string" }))),
            Answer::Events(schema) => {
                schema(schemas);
                Some(("text/event-stream", json!({ "type": "string" })))
            }
        };
        let text = match status {
            204 => "Done",
            304 => "Nothing has changed",
            _ => "Success",
        };
        let mut described = json!({ "description": text });
        if let Some((media, schema)) = content {
            described["content"] = json!({ media: { "schema": schema } });
        }
        if operation.is_tagged {
            described["headers"] = json!({ "ETag": { "$ref": "#/components/headers/ETag" } });
        }
        all.insert(status.to_string(), described);
    }
    for (status, codes) in errors(row, operation) {
        let shared = SHARED.iter().find(|(_, known, only)| *known == status && codes.iter().eq(only.iter()));
        let described = match shared {
            Some((name, ..)) => reference(name),
            None => error(status, &codes),
        };
        all.insert(status.to_string(), described);
    }
    all.insert("408".to_owned(), reference("BodyTimeout"));
    all.insert("413".to_owned(), reference("BodyTooLarge"));
    if operation.body.is_some() || operation.query.is_some() || !names(row.path).is_empty() {
        all.insert("422".to_owned(), reference("Invalid"));
    }
    Value::Object(all)
}

/// An operation's own refusals, and those that come with what it is.
fn errors(row: &Row, operation: &Operation) -> BTreeMap<u16, BTreeSet<&'static str>> {
    let mut all = operation.errors.clone();
    let mut add = |status: u16, codes: &[&'static str]| all.entry(status).or_default().extend(codes);
    if !matches!(row.access, Access::Nothing) {
        add(403, &[codes::BAD_TOKEN, codes::MISSING_PERMISSION]);
    }
    add(403, &[codes::FOREIGN_HOST, codes::FOREIGN_ORIGIN]);
    if names(row.path).iter().any(|name| name.ends_with("session_id")) {
        add(404, &[codes::SESSION_NOT_FOUND]);
    }
    if names(row.path).contains(&"player_id") {
        add(404, &[codes::PLAYER_NOT_FOUND]);
    }
    if row.operation == "login" || Pace::of(row) == Pace::Refused {
        add(429, &[codes::TOO_MANY_REQUESTS]);
    }
    add(400, &["bad_body"]);
    add(503, &[codes::UNAVAILABLE]);
    all
}

/// Errors that most operations have: name, status and, in order, codes.
const SHARED: [(&str, u16, &[&str]); 5] = [
    ("BadBody", 400, &["bad_body"]),
    ("Forbidden", 403, &[codes::FOREIGN_ORIGIN, codes::FOREIGN_HOST, codes::MISSING_PERMISSION, codes::BAD_TOKEN]),
    ("SessionNotFound", 404, &[codes::SESSION_NOT_FOUND]),
    ("TooManyRequests", 429, &[codes::TOO_MANY_REQUESTS]),
    ("Unavailable", 503, &[codes::UNAVAILABLE]),
];

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/responses/{name}") })
}

fn error(status: u16, codes: &BTreeSet<&str>) -> Value {
    let about = match status {
        400 => "Nothing that can be done",
        403 => "Not permitted, or against a rule of the session",
        404 => "What is named isn't there",
        409 => "Against what was decided before",
        412 => "Something has changed since",
        429 => "Too many requests: come again later",
        500 => "The service failed",
        503 => "Not now: come again later",
        other => panic!("what does {other} mean?"),
    };
    let mut described = json!({ "description": about, "content": { "application/json": { "schema": { "allOf": [
        { "$ref": "#/components/schemas/ApiError" },
        { "properties": { "error_code": { "enum": codes } } },
    ] } } } });
    if matches!(status, 429 | 503) {
        described["headers"] = json!({ "Retry-After": { "$ref": "#/components/headers/RetryAfter" } });
    }
    described
}

/// Answers that are the same everywhere.
fn responses(api_error: &Value, invalid: &Value) -> Value {
    let of = |about: &str, schema: &Value| json!({ "description": about, "content": { "application/json": { "schema": schema } } });
    let mut all = json!({
        "Invalid": of("A parameter or the body is wrong: everything that is wrong, and where", invalid),
        "BodyTimeout": of("The body came too slowly", api_error),
        "BodyTooLarge": of("The body is too large", api_error),
    });
    for (name, status, codes) in SHARED {
        all[name] = error(status, &codes.iter().copied().collect());
    }
    all
}

fn headers() -> Value {
    json!({
        "ETag": {
            "description": "This version of what was read or written",
            "required": false,
            "schema": { "type": "string" },
        },
        "RetryAfter": {
            "description": "Seconds until it makes sense to come again",
            "required": false,
            "schema": { "type": "integer", "minimum": 0 },
        },
    })
}

#[test]
fn openapi_is_what_the_router_and_the_types_say() {
    crate::snapshot::compare("src/service/openapi/openapi.json", &made());
}

#[test]
fn openapi_describes_every_row_of_the_router_and_nothing_else() {
    let rows: BTreeSet<&str> = ops::tables().into_iter().flatten().map(|row| row.operation).collect();
    let groups = operations::groups();
    let described: Vec<&str> = groups.iter().flat_map(|group| &group.operations).map(|known| known.id).collect();
    let once: BTreeSet<&str> = described.iter().copied().collect();
    assert_eq!(once.len(), described.len(), "an operation is described twice");
    assert_eq!(once, rows);
}

#[test]
fn openapi_has_no_reference_that_leads_nowhere() {
    let document = made();
    let mut open = vec![&document];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(members) => open.extend(members.values()),
            Value::Array(items) => open.extend(items),
            Value::String(text) if text.starts_with("#/") => {
                let found = document.pointer(text.trim_start_matches('#'));
                assert!(found.is_some_and(|found| !found.is_null()), "{text}");
            }
            _ => {}
        }
    }
}
