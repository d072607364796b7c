//! The service beside the published contracts: nothing of them is missing in its own document, and
//! nothing is narrower.
//!
//! | of the published contract | must be |
//! |---|---|
//! | an operation that is served | at the same method and path, under the same id |
//! | a parameter | known, no more required, its values accepted |
//! | a request's body | accepted: every value that the contract allows |
//! | an answer's body | what the contract allows: every value that may be answered |
//! | an operation, a member that it doesn't have | marked as an extension, and no other is |
//!
//! Bounds that the contract leaves open (the length of a text, of a list) may be set: no service
//! takes all.

use crate::{
    contract::{Contract, Operation, contract, published},
    support::component,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Operations of the contract that there are not: queues and match-made sessions.
pub const NOT_YET: &[&str] =
    &["join_queue", "leave_queue", "create_matchmade_session", "get_all_queue_info", "get_all_queue_info_v2"];

#[test]
fn nothing_published_is_missing_or_narrower() {
    let Some(folder) = component::published_contracts() else { return };
    let theirs = published().unwrap();
    let ours = contract();
    let mut wrong = Vec::new();
    for operation in theirs.operations() {
        if NOT_YET.contains(&operation.id) {
            continue;
        }
        match ours.operation(operation.id) {
            Some(own) => compare(&operation, &own, &mut wrong),
            None => wrong.push(format!("{} is missing", operation.id)),
        }
    }
    extensions(theirs, ours, &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    crate::service_semantics::every_rule_of_the_page_is_in_the_table(&folder);
    crate::service_refusals::the_table_of_refusals_covers_what_is_published(theirs);
}

/// Two schemas in their documents.
#[derive(Clone, Copy)]
struct Pair<'a> {
    /// What must be accepted, or may be answered.
    narrow: (&'a Value, &'a Value),
    /// What accepts it.
    wide: (&'a Value, &'a Value),
    /// Whether bounds that `narrow` leaves open may be set by `wide`.
    may_bound: bool,
}

fn compare(theirs: &Operation<'_>, own: &Operation<'_>, wrong: &mut Vec<String>) {
    let id = theirs.id;
    if (&theirs.method, &theirs.path) != (&own.method, &own.path) {
        wrong.push(format!("{id}: {} {} is at {} {}", theirs.method, theirs.path, own.method, own.path));
    }
    for parameter in theirs.document["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        if matches!(name, "user-agent" | "x-rh-client-addr") {
            continue;
        }
        let own_parameters = own.document["parameters"].as_array().into_iter().flatten();
        let Some(known) = own_parameters.into_iter().find(|own| own["name"] == name && own["in"] == parameter["in"])
        else {
            wrong.push(format!("{id}: the parameter {name} is missing"));
            continue;
        };
        if known["required"] == true && parameter["required"] != true {
            wrong.push(format!("{id}: the parameter {name} is required"));
        }
        let pair =
            Pair { narrow: (&parameter["schema"], theirs.root), wide: (&known["schema"], own.root), may_bound: true };
        fits(pair, &format!("{id}: parameter {name}"), wrong);
    }
    let body = |of: &'_ Value| of["requestBody"]["content"]["application/json"]["schema"].clone();
    let (their_body, own_body) = (body(theirs.document), body(own.document));
    if !their_body.is_null() {
        let pair = Pair { narrow: (&their_body, theirs.root), wide: (&own_body, own.root), may_bound: true };
        fits(pair, &format!("{id}: body"), wrong);
    }
    for (status, answer) in theirs.document["responses"].as_object().unwrap() {
        // Without a vendor there are no voice tokens; a permission that is taken is answered
        // without a body.
        let never = status == "200" && (id.contains("vivox") || id.contains("epic") || id.starts_with("remove_"));
        let own_answer = &own.document["responses"][status];
        if status.starts_with('2') && !never && own_answer.is_null() {
            wrong.push(format!("{id}: {status} is missing"));
        }
        let schema = |answer: &Value| answer["content"]["application/json"]["schema"].clone();
        let (their_schema, own_schema) = (schema(answer), schema(own_answer));
        if !their_schema.is_null() && !own_schema.is_null() {
            let pair = Pair { narrow: (&own_schema, own.root), wide: (&their_schema, theirs.root), may_bound: false };
            fits(pair, &format!("{id}: {status}"), wrong);
        }
        if !never && answer["headers"]["ETag"].is_object() && !own_answer["headers"]["ETag"].is_object() {
            wrong.push(format!("{id}: {status} has no ETag"));
        }
    }
}

fn resolved<'a>((schema, root): (&'a Value, &'a Value)) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => resolved((root.pointer(reference.trim_start_matches('#')).unwrap(), root)),
        None => match schema["allOf"].as_array().map(Vec::as_slice) {
            // The other parts of ours only say which codes an error has.
            Some([first, ..]) => resolved((first, root)),
            _ => schema,
        },
    }
}

/// Whether every value of `narrow` is one of `wide`.
fn fits(pair: Pair<'_>, at: &str, wrong: &mut Vec<String>) {
    let (narrow, wide) = (resolved(pair.narrow), resolved(pair.wide));
    let mut say = |what: String| wrong.push(format!("{at}: {what}"));
    if wide.as_object().is_none_or(serde_json::Map::is_empty) {
        return;
    }
    if let Some(words) = narrow["enum"].as_array() {
        let missing =
            |words: &[Value]| words.iter().any(|word| !values(pair.wide).is_none_or(|all| all.contains(word)));
        if missing(words) {
            say(format!("not all of {words:?} are accepted"));
        }
        return;
    }
    if let Some(any) = narrow["anyOf"].as_array() {
        for one in any {
            fits(Pair { narrow: (one, pair.narrow.1), ..pair }, at, wrong);
        }
        return;
    }
    if let Some(any) = wide["anyOf"].as_array() {
        let fitting = any.iter().any(|one| {
            let mut faults = Vec::new();
            fits(Pair { wide: (one, pair.wide.1), ..pair }, at, &mut faults);
            faults.is_empty()
        });
        if !fitting {
            say("none of the alternatives fits".to_owned());
        }
        return;
    }
    let (kind, accepted) = (narrow["type"].as_str(), wide["type"].as_str());
    if kind != accepted && !(kind == Some("integer") && accepted == Some("number")) && accepted.is_some() {
        return say(format!("{kind:?} is not {accepted:?}"));
    }
    if wide["enum"].is_array() && narrow["enum"].is_null() {
        say("only some words are accepted".to_owned());
    }
    bounds(pair.may_bound, narrow, wide, &mut say);
    members(pair, narrow, wide, at, wrong);
    if narrow["items"].is_object() {
        fits(
            Pair { narrow: (&narrow["items"], pair.narrow.1), wide: (&wide["items"], pair.wide.1), ..pair },
            &format!("{at}[]"),
            wrong,
        );
    }
}

fn values<'a>(schema: (&'a Value, &'a Value)) -> Option<&'a Vec<Value>> {
    resolved(schema)["enum"].as_array()
}

/// Lengths and ranges.
fn bounds(may_bound: bool, narrow: &Value, wide: &Value, say: &mut impl FnMut(String)) {
    let number = |schema: &Value, name: &str| schema[name].as_f64();
    let low = |schema: &Value| number(schema, "minimum").or(number(schema, "exclusiveMinimum"));
    let mut check = |name: &str, narrow: Option<f64>, wide: Option<f64>, upper: bool| match (narrow, wide) {
        (None, Some(_)) if may_bound => {}
        // An empty answer is shorter than what the contract has nothing to say about.
        (None, Some(wide)) if !upper && wide <= 0.0 => {}
        (None, Some(_)) => say(format!("{name} is not bounded")),
        (Some(narrow), Some(wide)) if (upper && narrow > wide) || (!upper && narrow < wide) => {
            say(format!("{name} {narrow} is beyond {wide}"));
        }
        _ => {}
    };
    check("minimum", low(narrow), low(wide), false);
    check("maximum", number(narrow, "maximum"), number(wide, "maximum"), true);
    for (name, upper) in [("minLength", false), ("maxLength", true), ("minItems", false), ("maxItems", true)] {
        check(name, number(narrow, name), number(wide, name), upper);
    }
}

fn members(pair: Pair<'_>, narrow: &Value, wide: &Value, at: &str, wrong: &mut Vec<String>) {
    let required = |schema: &Value| -> BTreeSet<String> {
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    for missing in required(wide).difference(&required(narrow)) {
        wrong.push(format!("{at}: {missing} is required"));
    }
    for (name, schema) in narrow["properties"].as_object().into_iter().flatten() {
        let known = &wide["properties"][name];
        let at = format!("{at}.{name}");
        if !known.is_null() {
            fits(Pair { narrow: (schema, pair.narrow.1), wide: (known, pair.wide.1), ..pair }, &at, wrong);
        }
    }
    let (each, accepted) = (&narrow["additionalProperties"], &wide["additionalProperties"]);
    if each.is_object() && accepted.is_object() {
        fits(Pair { narrow: (each, pair.narrow.1), wide: (accepted, pair.wide.1), ..pair }, &format!("{at}.*"), wrong);
    }
}

/// What the contract doesn't have is marked; what it has isn't.
fn extensions(theirs: &Contract, ours: &Contract, wrong: &mut Vec<String>) {
    for own in ours.operations() {
        let published = theirs.operation(own.id);
        if (own.document["x-extension"] == true) == published.is_some() {
            wrong.push(format!("{}: x-extension is {}", own.id, own.document["x-extension"]));
        }
        let Some(published) = published else { continue };
        let body = |of: &Value| of["requestBody"]["content"]["application/json"]["schema"].clone();
        let (own_body, their_body) = (body(own.document), body(published.document));
        if own_body.is_null() || their_body.is_null() {
            continue;
        }
        let (own_body, their_body) = (resolved((&own_body, own.root)), resolved((&their_body, published.root)));
        for (name, member) in own_body["properties"].as_object().into_iter().flatten() {
            let known = !their_body["properties"][name].is_null();
            if known == (member["x-extension"] == true) {
                wrong.push(format!("{}: body.{name}: x-extension is {}", own.id, member["x-extension"]));
            }
        }
    }
}
