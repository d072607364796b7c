//! Every key of the agent's file reaches somebody: a change of it changes what some room is given.

use super::{
    config::AgentConfig,
    console_quit::ConsoleQuit,
    hooks::Hooks,
    settings::{self, Found},
};
use crate::{
    config::{
        keys::{KeyPath, Step},
        schema::{Kind, Node, Schema},
    },
    host::paths::{AgentPlace, Places},
    model::ordered::Ports,
};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Everything is on, so that every key counts.
const EVERYTHING: &str = r#"
[game]
command = ["./server"]
version = "1.0.0"
[game.ports.game]
range = "27000"
[game.ports.query]
range = "27001"
[game.stop.quit]
by = "source-rcon"
port = "game"
password_env = "PATH"
[probe]
[allocation]
provider = "sic"
[session]
url = "https://sessions.example.com"
[session.startup]
map = "dm1"
[credentials]
client_id = "servers"
client_secret_env = "PATH"
[addresses]
public = "203.0.113.7"
private = "10.0.0.7"
[a2s]
enabled = true
[agones.counters.rooms]
[agones.lists.players]
"#;

/// What only counts where something else is off.
const OTHERWISE: [&str; 5] = [
    "[game]\ncommand = [\"./server\"]\n",
    "[game]\ncommand = [\"./server\"]\nversion_file = \"/no/such/file\"\n",
    "[game.stop.quit]\nby = \"stdin\"\n",
    "[credentials]\nclient_id = \"a\"\nclient_secret_env = \"PATH\"\n[session]\nurl = \"https://sessions.example.com\"\n",
    "[session]\nurl = \"https://sessions.example.com\"\n[game.stop.quit]\nby = \"source-rcon\"\n",
];

#[test]
fn every_key_changes_what_some_room_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = dir.path().join("run").display().to_string();
    let env = |key: &str| (key == "GAMESIDE_RUNTIME_DIR").then(|| runtime.clone());
    let places = Places::find(Some(&dir.path().join("state")), rustix::process::geteuid().as_raw(), env).unwrap();
    let place = places.prepare_agent("one").unwrap();
    let bases: Vec<Table> = [EVERYTHING].iter().chain(&OTHERWISE).map(|text| toml::from_str(text).unwrap()).collect();
    let schema = Schema::of::<AgentConfig>();
    let mut keys = Vec::new();
    leaves(schema.node(), &KeyPath::default(), &mut keys);
    assert!(keys.len() > 150, "{}", keys.len());
    let unread: Vec<String> = keys
        .iter()
        .filter(|(path, node)| {
            !bases.iter().any(|base| {
                let mut changed = base.clone();
                put(&mut changed, path.steps(), other_value(*node, base, path));
                given(base, &place, &places) != given(&changed, &place, &places)
            })
        })
        .map(|(path, _)| path.to_string())
        .collect();
    assert_eq!(unread, [""; 0], "keys that nobody reads");
}

/// Every key with a value of its own; below a map, of the entry that [`EVERYTHING`] has.
fn leaves<'a>(node: Node<'a>, path: &KeyPath, found: &mut Vec<(KeyPath, Node<'a>)>) {
    match node.kind() {
        Kind::Table(keys) => {
            for key in keys.keys() {
                leaves(node.child(key).unwrap(), &path.key(key), found);
            }
        }
        Kind::Map(value) if matches!(value.kind(), Kind::Table(_)) => {
            let entry = match path.to_string().as_str() {
                "game.ports" => "query",
                "agones.counters" => "rooms",
                "agones.lists" => "players",
                other => panic!("an entry of {other} for this test"),
            };
            leaves(value, &path.key(entry), found);
        }
        _ => found.push((path.clone(), node)),
    }
}

/// A value that is neither the base's nor the default.
fn other_value(node: Node<'_>, base: &Table, path: &KeyPath) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    match path.to_string().as_str() {
        "session.on_session_lost" => return text("drain"),
        "players.admission" => return text("open"),
        "game.version" => return text("7.7.7"),
        "game.version_env" => return text("HOME"),
        "credentials.client_secret_env" | "game.stop.quit.password_env" => return text("GAMESIDE_TEST_NO_SUCH"),
        "a2s.port" => return text("game"),
        "game.stop.quit.port" | "addresses.port" | "probe.port" => return text("query"),
        "session.url" => return text("https://elsewhere.example.com"),
        "backfill.styles" => return Value::Array(vec![text("composition")]),
        "game.stop.ladder" => {
            return Value::Array(vec![Value::Table(Table::from_iter([("kill".to_owned(), true.into())]))]);
        }
        _ => {}
    }
    match (node.kind(), node.type_ref()) {
        (_, Some("Span")) => text("77s"),
        (_, Some("Size")) => text("77MiB"),
        (_, Some("PortRange")) => text("7777"),
        (Kind::Choice(words), _) => {
            let now = lookup(base, path).map(str::to_owned);
            let default = node.default().and_then(|value| value.as_str().map(str::to_owned));
            let now = now.or(default);
            text(words.iter().map(|(word, _)| *word).rfind(|word| Some(*word) != now.as_deref()).unwrap())
        }
        (Kind::Integer { .. }, _) => 7.into(),
        (Kind::Number, _) => 77.0.into(),
        (Kind::Flag, _) => {
            let now = node.default().and_then(serde_json::Value::as_bool).unwrap_or(false);
            (!now).into()
        }
        (Kind::List(element), _) => match element.kind() {
            Kind::Integer { .. } => Value::Array(vec![7.into()]),
            _ => Value::Array(vec![text("changed")]),
        },
        (Kind::Map(element), _) => {
            let value = if matches!(element.kind(), Kind::Integer { .. }) { 7.into() } else { text("changed") };
            Value::Table(Table::from_iter([("changed".to_owned(), value)]))
        }
        (Kind::Text | Kind::Anything | Kind::Table(_), _) => {
            let is = |what: fn(&str) -> bool| node.default().and_then(|value| value.as_str()).is_some_and(what);
            if is(|text| text.parse::<std::net::SocketAddr>().is_ok()) {
                text("127.0.0.9:7799")
            } else if is(|text| text.parse::<std::net::IpAddr>().is_ok()) {
                text("127.0.0.9")
            } else {
                text("changed")
            }
        }
    }
}

fn lookup<'a>(base: &'a Table, path: &KeyPath) -> Option<&'a str> {
    let (last, above) = path.steps().split_last()?;
    let mut table = base;
    for step in above {
        let Step::Key(key) = step else { return None };
        table = table.get(key)?.as_table()?;
    }
    let Step::Key(key) = last else { return None };
    table.get(key)?.as_str()
}

fn put(table: &mut Table, path: &[Step], value: Value) {
    let Some((Step::Key(key), rest)) = path.split_first() else { panic!("a path of keys") };
    if rest.is_empty() {
        table.insert(key.clone(), value);
        return;
    }
    let inner = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
    put(inner.as_table_mut().unwrap(), rest, value);
}

/// What the rooms are given, as text.
fn given(table: &Table, place: &AgentPlace, places: &Places) -> String {
    let config: AgentConfig = table.clone().try_into().unwrap_or_else(|error| panic!("{error}: {table}"));
    let ports: Ports =
        config.game.ports.iter().map(|(name, port)| (name.clone(), *port.range.ports().start())).collect();
    let found = Found {
        ports: ports.clone(),
        frontends: BTreeMap::new(),
        hosts: settings::hosts(&config, None),
        version: settings::version(&config).ok().flatten(),
        seed: 1,
    };
    let parts: Vec<Box<dyn std::fmt::Debug>> = vec![
        // The agent's own: the log, what is reserved and asked for, and who is watched how.
        Box::new((config.agent.log_format, config.agent.log.clone())),
        Box::new((config.game.ports.clone(), config.addresses.connection_info)),
        Box::new((config.probe.clone(), config.log_patterns.clone(), settings::own_log(&config), config.readiness())),
        Box::new((config.keeper.mode, config.keeper.args())),
        Box::new(settings::version(&config).map_err(|error| error.to_string())),
        // Others'.
        Box::new(settings::core(&config, place, &found).map_err(|error| error.to_string())),
        Box::new(settings::frontends(&config, place, &ports).map_err(|error| error.to_string())),
        Box::new(settings::provider(&config, &found).map_err(|error| error.to_string())),
        Box::new(settings::launch_context(&config, place, &found)),
        Box::new(settings::session_client(&config, places).map_err(|error| error.to_string())),
        Box::new((settings::operator_token(&config, place), config.api.operator_listen)),
        Box::new(Hooks::new(config.agent.name.clone(), &config.hooks, settings::game_log(place))),
        Box::new(ConsoleQuit::new(&config, &ports).map_err(|error| error.to_string())),
    ];
    format!("{parts:?}")
}
