//! What the tests of transactions ask for: a service with everything that an operation could be
//! about, a good request of every operation that writes, and bad ones made of each.

use crate::service::{
    auth::Caller,
    http::route::{Found, Router},
    settings::ServiceSettings,
    state::testing::{Harness, player, server},
    templates::SessionType,
};
use serde_json::{Value, json};

pub(in crate::service::state) const RULE: &str = "00000000-0000-0000-0000-000000000009";

/// A session with everything that an operation could be about: led by ann, with bob and carl, hosted by `admin`, listed, with a
/// platform session and a backfill. Another session of dora's; finn is in both. A registered server. Carl may invite, and shows the session;
/// ann has asked bob to be her friend; bob is a deserter.
pub(in crate::service::state) struct Stage {
    pub(in crate::service::state) harness: Harness,
    pub(in crate::service::state) session: String,
    pub(in crate::service::state) other: String,
}

pub(in crate::service::state) fn settings() -> ServiceSettings {
    let mut settings = ServiceSettings::default();
    let kind = SessionType { num_teams: 2, players_per_team: 8, ..SessionType::built_in() };
    settings.session_types.insert("default".into(), kind);
    settings.deserters.insert(RULE.parse().unwrap(), <_>::default());
    settings
}

/// Whoever may do everything.
fn everything(caller: Caller) -> Caller {
    let more = ["session:*", "friend:*", "notification:player:*"].map(str::to_owned);
    Caller { permissions: caller.permissions.into_iter().chain(more).collect(), ..caller }
}

pub(in crate::service::state) fn who(name: &str) -> Caller {
    everything(if name == "admin" { server(name) } else { player(name) })
}

pub(in crate::service::state) fn uuid(name: &str) -> String {
    player(name).player.unwrap().to_string()
}

pub(in crate::service::state) fn join(team: u32) -> Value {
    json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "team_id": team})
}

pub(in crate::service::state) fn create() -> Value {
    json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "session_type": "default"})
}

pub(in crate::service::state) fn registration(id: &str) -> Value {
    json!({"id": id, "public_host": "h", "public_port": 1, "version": "1.0.0", "incarnation": "k"})
}

impl Stage {
    pub(in crate::service::state) fn new() -> Stage {
        Stage::with(settings())
    }

    pub(in crate::service::state) fn with(settings: ServiceSettings) -> Stage {
        let mut harness = Harness::new(settings);
        let path = harness.session(&who("ann"), "default");
        for (name, team) in [("bob", 0), ("carl", 1)] {
            harness.json(&who(name), "POST", &format!("{path}/player/me"), join(team));
        }
        let mut new = create();
        new["force_create"] = true.into();
        let other = harness.json(&who("dora"), "POST", "/session/v1/session", new);
        let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        let (session, other) = (id(&path), other["session_id"].as_str().unwrap().to_owned());
        let [ann, bob, carl] = ["ann", "bob", "carl"].map(uuid);
        let mark = json!({"deserter_expiration": "2029-01-01T00:00:00Z", "deserter_count": 3});
        let furniture = [
            ("admin", "POST", format!("{path}/instance"), json!({"instance_id": "i1", "host_type": "preallocated"})),
            ("admin", "POST", format!("{path}/browser"), json!({"custom_data": {"k": "v"}})),
            (
                "admin",
                "POST",
                format!("/session/v1/platform/Basic/platform-session/cGFydHk/session/{session}"),
                Value::Null,
            ),
            ("admin", "PUT", format!("/session/v1/backfill/session/{session}"), json!({"teams": []})),
            (
                "admin",
                "POST",
                "/instances/sic_registration/v3/register".to_owned(),
                json!({"items": [registration("s1")]}),
            ),
            ("finn", "POST", format!("/session/v1/session/{other}/player/me"), join(0)),
            ("finn", "POST", format!("{path}/player/me"), join(1)),
            ("ann", "PATCH", format!("{path}/player/{carl}/permission/invite"), Value::Null),
            ("carl", "PUT", "/session/v1/player/me/presence-session".to_owned(), json!({"session_id": session})),
            ("ann", "PUT", format!("/friends/v2/player/{ann}/friend/{bob}"), Value::Null),
            ("admin", "PUT", format!("/session/v1/player/{bob}/deserter/{RULE}"), mark),
        ];
        for (name, method, path, body) in furniture {
            harness.json(&who(name), method, &path, body);
        }
        Stage { harness, session, other }
    }

    /// A good request of every writing operation: who, method, path, body.
    #[allow(clippy::too_many_lines, reason = "a table")]
    pub(in crate::service::state) fn good(&self) -> Vec<(&'static str, &'static str, String, Value)> {
        let (s, t) = (format!("/session/v1/session/{}", self.session), format!("/session/v1/session/{}", self.other));
        let v2 = s.replace("/v1/", "/v2/");
        let number = player("bob").player.unwrap().0.as_u128() >> 76;
        let [ann, bob, carl, eve] = ["ann", "bob", "carl", "eve"].map(uuid);
        let platform = "/session/v1/platform/Basic/platform-session";
        let backfill = format!("/session/v1/backfill/session/{}", self.session);
        let none = Value::Null;
        let instance = json!({"instance_id": "i1"});
        let requested = json!({"host_type": "dedicated", "instance_startup_params": {"map": "m", "misc_params": ""},
            "custom_data": {"k": "v"}});
        let change = json!({"custom_data": {"k": "w"}, "region_id": "local", "joinability": {"open": true},
            "teams": [{"max_size": 9}, {}], "browser": {"custom_data": {"a": "b"}}, "allow_new_members": true});
        let mark =
            json!({"deserter_expiration": "2030-01-01T00:00:00Z", "deserter_count": 1, "custom_data": {"k": "v"}});
        let note = json!({"notifications": [{"message": "m", "custom_data": {"k": "v"}}]});
        let ended = json!({"join_params": {"public_conn_str": "a", "private_conn_str": "b"}, "version": "1.0.0"});
        let deserter = format!("/session/v1/player/{bob}/deserter");
        vec![
            ("eve", "POST", "/session/v1/session".into(), create()),
            ("admin", "PATCH", s.clone(), change),
            ("admin", "PATCH", format!("{s}/team/0"), json!({"max_size": 12, "custom_data": {"k": "v"}})),
            ("admin", "DELETE", s.clone(), none.clone()),
            ("admin", "POST", format!("{t}/instance"), requested),
            ("admin", "PATCH", format!("{s}/instance"), ended),
            ("admin", "DELETE", format!("{s}/instance"), none.clone()),
            (
                "admin",
                "POST",
                format!("{s}/instance/health"),
                json!({"instance_id": "i1", "instance_health": "healthy"}),
            ),
            ("eve", "POST", format!("{s}/player/me"), join(1)),
            ("bob", "DELETE", format!("{s}/player/me"), none.clone()),
            ("admin", "POST", format!("{s}/player/{eve}"), json!({"status": "member", "team_id": 0})),
            ("admin", "POST", format!("{s}/player/uuid/{eve}"), json!({"status": "invited"})),
            ("admin", "POST", format!("{s}/player/id/{number}"), json!({"status": "leader"})),
            ("admin", "DELETE", format!("{s}/player/{bob}"), none.clone()),
            ("admin", "DELETE", format!("{s}/player/uuid/{bob}"), none.clone()),
            ("admin", "DELETE", format!("{s}/player/id/{number}"), none.clone()),
            ("ann", "POST", format!("{v2}/player/{eve}:invite"), json!({"team_id": 0, "custom_data": {"k": "v"}})),
            ("ann", "POST", format!("{v2}/player/{bob}:promote"), none.clone()),
            ("ann", "POST", format!("{v2}/player/{bob}:move"), json!({"team_id": 1})),
            ("ann", "POST", format!("{v2}/player/{bob}"), json!({"custom_data": {"k": "v"}})),
            ("ann", "POST", format!("{s}/player:swap"), json!({"players": [bob, carl]})),
            ("ann", "PATCH", format!("{s}/player/{bob}/permission/invite"), none.clone()),
            ("ann", "DELETE", format!("{s}/player/{carl}/permission/invite"), none.clone()),
            ("admin", "POST", format!("{s}/invited-session/{}:invite", self.other), json!({"team_id": 0})),
            ("admin", "DELETE", format!("{s}/kicked-session/{}", self.other), none.clone()),
            ("ann", "POST", format!("{s}:generate-short-code"), none.clone()),
            ("dora", "POST", format!("{platform}/bmV3/session/{}", self.other), none.clone()),
            ("ann", "DELETE", format!("{platform}/cGFydHk/session/{}", self.session), none.clone()),
            ("eve", "POST", format!("{platform}/cGFydHk/player/me"), join(0)),
            ("admin", "POST", format!("{platform}/cGFydHk/player/{eve}"), join(0)),
            ("bob", "DELETE", format!("{platform}/cGFydHk/player/me"), none.clone()),
            ("admin", "DELETE", format!("{platform}/cGFydHk/player/{bob}"), none.clone()),
            ("admin", "PUT", backfill.clone(), json!({"teams": [], "players": [{"player_uuid": eve}]})),
            ("admin", "POST", backfill.clone(), json!({"instance_id": "i1", "extensions": {"k": "v"}})),
            ("admin", "PATCH", backfill.clone(), json!({"instance_id": "i1", "teams": []})),
            ("admin", "DELETE", backfill, instance),
            ("admin", "POST", format!("{s}/browser"), json!({"custom_data": {"k": "w"}})),
            ("admin", "PATCH", format!("{s}/browser"), json!({"custom_data": {"k": "w"}})),
            ("admin", "DELETE", format!("{s}/browser"), none.clone()),
            ("eve", "POST", "/session/v1/browser:search".into(), json!({"session_type": "default"})),
            ("eve", "POST", "/session/v1/matchmaking".into(), json!({"create": create()})),
            ("bob", "PUT", "/session/v1/player/me/presence-session".into(), json!({"session_id": self.session})),
            ("carl", "DELETE", "/session/v1/player/me/presence-session".into(), none.clone()),
            ("ann", "PUT", format!("/friends/v2/player/{ann}/friend/{bob}"), json!({"notes": "n"})),
            ("ann", "DELETE", format!("/friends/v2/player/{ann}/friend/{bob}"), none.clone()),
            ("ann", "DELETE", format!("/friends/v2/player/{ann}/friend"), json!({"friends": [bob]})),
            ("ann", "POST", "/notification/v1/player/me/notification".into(), note.clone()),
            ("admin", "POST", format!("/notification/v1/player/{bob}/notification"), note),
            ("admin", "PUT", format!("{deserter}/{RULE}"), mark),
            ("admin", "DELETE", format!("{deserter}/{RULE}"), none.clone()),
            ("admin", "DELETE", deserter, none.clone()),
            ("admin", "POST", "/session/v1/deserter:clear".into(), none.clone()),
            ("admin", "POST", format!("/session/v1/deserter/{RULE}:clear"), none),
            ("ann", "POST", "/session/v1/audit".into(), json!({"event_name": "e", "session_id": self.session})),
            (
                "admin",
                "POST",
                "/instances/sic_registration/v3/register".into(),
                json!({"items": [registration("s1"), registration("s2")]}),
            ),
            ("admin", "POST", "/instances/sic_registration/v1/deregister".into(), json!({"items": [{"id": "s1"}]})),
            ("admin", "POST", "/instances/sic_registration/v1/release".into(), json!({"items": [{"id": "s1"}]})),
        ]
    }

    pub(in crate::service::state) fn picture(&self) -> String {
        format!("{:?}", self.harness.state)
    }
}

/// The body with one value spoilt or left out, for each value in it.
fn spoilt(body: &Value) -> Vec<Value> {
    let mut pointers = Vec::new();
    gather(body, String::new(), &mut pointers);
    let mut all = vec![json!("no object"), json!([1])];
    for pointer in pointers {
        for bad in
            [json!({"no": {"such": "thing"}}), json!("maybe"), json!(-1), json!([["x"]]), json!("x".repeat(5000))]
        {
            let mut body = body.clone();
            *body.pointer_mut(&pointer).unwrap() = bad;
            all.push(body);
        }
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut body = body.clone();
        if let Some(Value::Object(members)) = body.pointer_mut(parent) {
            members.remove(name);
            all.push(body);
        }
    }
    all
}

fn gather(value: &Value, pointer: String, all: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (name, value) in below {
        gather(value, format!("{pointer}/{name}"), all);
    }
    if !pointer.is_empty() {
        all.push(pointer);
    }
}

/// Good requests with one bad parameter each: in the path, in the query, in the body.
pub(in crate::service::state) fn bad(router: &Router, method: &str, path: &str, body: &Value) -> Vec<(String, Value)> {
    let Found::Row(_, parameters) = router.find(&method.parse().unwrap(), path) else { panic!("{method} {path}") };
    let mut all = Vec::new();
    for (_, value) in parameters {
        for other in ["x".repeat(5000), "nobody".to_owned(), "-1".to_owned()] {
            all.push((path.replacen(&value, &other, 1), body.clone()));
        }
    }
    for query in ["refresh_ttl=maybe", "reason=", "cursor=x", "page_size=x"] {
        all.push((format!("{path}?{query}"), body.clone()));
    }
    if !body.is_null() {
        all.extend(spoilt(body).into_iter().map(|body| (path.to_owned(), body)));
        all.push((path.to_owned(), Value::Null));
    }
    all
}
