//! The calls of RallyHere's Unreal plugin, in its order, as its public source makes them: a client
//! in `replay/client.json`, a dedicated server in `replay/server.json`. Each step says what the
//! plugin does with the answer, and what the answer must be for that.
//!
//! | member of a step | |
//! |---|---|
//! | `who`, `method`, `path`, `body` | the call; `{name}` stands for a value kept before |
//! | `if_none_match`, `tag` | the tag that it brings; the name under which the answer's tag is kept |
//! | `status`, `present`, `absent`, `equals` | the answer: its status and what is at which JSON pointers |
//! | `keep` | values of the answer for later steps |
//!
//! No answer may have a null anywhere: the plugin throws a whole object away over one.

use crate::support::{
    http::{self, Answer},
    service::Service,
    world::World,
};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

const TYPES: &str = "
[deserters.00000000-0000-0000-0000-000000000009]
[session_types.match]
keep_alive_on_empty = true
num_teams = 2
[session_types.party]
can_be_created_by_players_directly = true
auto_add_to_browser = true
num_teams = 2
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    does: String,
    who: String,
    /// With the client's id and secret in place of a token.
    #[serde(default)]
    login: bool,
    method: String,
    path: String,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    if_none_match: Option<String>,
    status: u16,
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    present: Vec<String>,
    #[serde(default)]
    absent: Vec<String>,
    #[serde(default)]
    equals: BTreeMap<String, Value>,
    #[serde(default)]
    keep: BTreeMap<String, String>,
}

struct Replay<'w> {
    service: Service<'w>,
    kept: BTreeMap<String, String>,
}

impl Replay<'_> {
    /// Puts in what was kept.
    fn filled(&self, text: &str) -> String {
        self.kept.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    fn send(&self, step: &Step) -> Answer {
        let mut headers = Vec::new();
        if step.login {
            let (id, secret) = self.service.agents();
            let basic = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
            headers.push(("authorization", format!("Basic {basic}")));
        } else if step.who != "nobody" {
            let token = self.kept.get(&format!("{}_token", step.who)).map_or("none", String::as_str);
            headers.push(("authorization", format!("Bearer {token}")));
        }
        if let Some(tag) = &step.if_none_match {
            headers.push(("if-none-match", self.kept[tag].clone()));
        }
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = step.body.as_ref().map(|body| serde_json::from_str(&self.filled(&body.to_string())).unwrap());
        let url = format!("{}{}", self.service.url(), self.filled(&step.path));
        http::exchange(&step.method, &url, &headers, body.as_ref()).unwrap()
    }

    fn take(&mut self, number: usize, step: &Step) {
        let answer = self.send(step);
        let told = || format!("step {number}, {} {}: {}\n{}", step.method, step.path, step.does, answer.text);
        assert_eq!(answer.status, step.status, "{}", told());
        let at = |pointer: &str| answer.body.pointer(&self.filled(pointer));
        for pointer in &step.present {
            assert!(at(pointer).is_some(), "{pointer} is missing: {}", told());
        }
        for pointer in &step.absent {
            assert_eq!(at(pointer), None, "{pointer} is there: {}", told());
        }
        for (pointer, value) in &step.equals {
            let value: Value = serde_json::from_str(&self.filled(&value.to_string())).unwrap();
            assert_eq!(at(pointer), Some(&value), "{pointer}: {}", told());
        }
        assert!(!answer.text.is_empty() || matches!(step.status, 204 | 304), "an empty answer: {}", told());
        assert!(answer.text.is_empty() || !has_null(&answer.body), "a null: {}", told());
        let kept: Vec<_> = step.keep.iter().map(|(name, pointer)| (name.clone(), at(pointer).cloned())).collect();
        for (name, value) in kept {
            let text = value.as_ref().and_then(Value::as_str).unwrap_or_else(|| panic!("no {name}: {}", told()));
            self.kept.insert(name, text.to_owned());
        }
        if let Some(name) = &step.tag {
            let tag = answer.etag.clone().unwrap_or_else(|| panic!("no ETag: {}", told()));
            self.kept.insert(name.clone(), tag);
        }
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn replay(steps: &str) {
    let world = World::new();
    let mut replay = Replay { service: Service::start_with(&world, TYPES), kept: BTreeMap::new() };
    let steps: Vec<Step> = serde_json::from_str(steps).unwrap();
    for (number, step) in steps.iter().enumerate() {
        replay.take(number, step);
    }
}

#[test]
fn the_unreal_plugins_client() {
    replay(include_str!("replay/client.json"));
}

#[test]
fn the_unreal_plugins_dedicated_server() {
    replay(include_str!("replay/server.json"));
}
