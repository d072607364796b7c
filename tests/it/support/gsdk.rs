//! A client of PlayFab's GSDK with each flavour's spellings and habits.

use super::{http, world::PATIENCE};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How a flavour beats.
pub struct Flavour {
    pub name: &'static str,
    /// What it calls itself in `gsdkinfo`; none: it doesn't introduce itself.
    pub info: Option<&'static str>,
    method: &'static str,
    route: &'static str,
    user_agent: &'static str,
    body: fn(state: &str, players: &[&str]) -> Value,
}

fn pascal(state: &str, players: &[&str]) -> Value {
    let players: Vec<_> = players.iter().map(|id| json!({"PlayerId": id})).collect();
    json!({"CurrentGameState": state, "CurrentGameHealth": "Healthy", "CurrentPlayers": players})
}
/// Writes an empty list as null.
fn cpp(state: &str, players: &[&str]) -> Value {
    let list = (!players.is_empty()).then(|| pascal(state, players)["CurrentPlayers"].clone());
    json!({"CurrentGameState": state, "CurrentGameHealth": "Healthy", "CurrentPlayers": list})
}
/// Says Unhealthy, for want of a callback, and has no list before there is anybody.
fn csharp(state: &str, players: &[&str]) -> Value {
    let list = (!players.is_empty()).then(|| pascal(state, players)["CurrentPlayers"].clone());
    json!({"CurrentGameState": state, "CurrentGameHealth": "Unhealthy", "CurrentPlayers": list})
}
fn camel(state: &str, players: &[&str]) -> Value {
    let players: Vec<_> = players.iter().map(|id| json!({"playerId": id})).collect();
    json!({"currentGameState": state, "currentGameHealth": "Healthy", "currentPlayers": players})
}
fn unity(state: &str, players: &[&str]) -> Value {
    json!({"CurrentGameState": state, "CurrentPlayers": camel(state, players)["currentPlayers"]})
}

pub const CPP: Flavour =
    Flavour { name: "C++", info: Some("Cpp"), method: "PATCH", route: "", user_agent: "", body: cpp };
pub const UNITY: Flavour = Flavour {
    name: "Unity",
    info: Some("Unity"),
    method: "POST",
    route: "/heartbeats",
    user_agent: "UnityPlayer/2021.3.16f1",
    body: unity,
};
pub const FLAVOURS: [Flavour; 7] = [
    CPP,
    Flavour { name: "C#", info: Some("CSharp"), body: csharp, ..CPP },
    Flavour { name: "Java", info: Some("Java"), body: camel, ..CPP },
    UNITY,
    Flavour { name: "Go", info: None, user_agent: "Go-http-client/1.1", body: csharp, ..UNITY },
    Flavour { name: "Godot", info: Some("Godot"), user_agent: "GodotEngine/4.2", body: pascal, ..UNITY },
    Flavour { name: "Unreal", info: Some("Unreal"), ..CPP },
];

/// The SDK of a game that runs, as one flavour has it.
pub struct Sdk<'f> {
    flavour: &'f Flavour,
    pub config: Value,
}

impl<'f> Sdk<'f> {
    /// Reads the file that the game's environment names.
    pub fn start(flavour: &'f Flavour, pid: u32) -> Self {
        let file = environment(pid, "GSDK_CONFIG_FILE").expect("GSDK_CONFIG_FILE in the game's environment");
        assert!(file.starts_with('/'), "{file}");
        let config: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!(environment(pid, "HEARTBEAT_ENDPOINT").as_deref(), config["heartbeatEndpoint"].as_str());
        assert_eq!(environment(pid, "SESSION_HOST_ID").as_deref(), config["sessionHostId"].as_str());
        let sdk = Sdk { flavour, config };
        sdk.can_be_read();
        if let Some(name) = flavour.info {
            let info = json!({"Flavor": name, "Version": "0.7.20"});
            let url = sdk.url(&format!("/v1/metrics/{}/gsdkinfo", sdk.id()));
            assert_eq!(http::exchange("POST", &url, &[], Some(&info)).unwrap().status, 200);
        }
        sdk
    }

    /// The file as the flavours' own types have it: strict ones die of anything else.
    fn can_be_read(&self) {
        for key in ["heartbeatEndpoint", "sessionHostId", "vmId", "logFolder", "titleId", "buildId", "region"] {
            assert!(self.config[key].is_string(), "{key}: {}", self.config);
        }
        for map in ["gameCertificates", "buildMetadata", "gamePorts"] {
            let map = self.config[map].as_object().expect("a map is never null");
            assert!(map.values().all(Value::is_string), "{map:?}");
        }
        let connection = &self.config["gameServerConnectionInfo"];
        for key in ["publicIpV4Adress", "publicIpV4Address"] {
            assert!(connection[key].is_string(), "{connection}");
        }
        for port in connection["gamePortsConfiguration"].as_array().unwrap() {
            assert!(port["name"].is_string() && port["serverListeningPort"].is_u64(), "{port}");
            assert!(port["clientConnectionPort"].is_u64(), "{port}");
        }
        // Go's is an int, and its decoder takes no text for one; all others convert.
        assert!(self.config["serverInstanceNumber"].is_u64(), "{}", self.flavour.name);
    }

    pub fn id(&self) -> &str {
        self.config["sessionHostId"].as_str().unwrap()
    }
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.config["heartbeatEndpoint"].as_str().unwrap())
    }

    pub fn send(&self, state: &str, players: &[&str]) -> std::io::Result<http::Answer> {
        let url = self.url(&format!("/v1/sessionHosts/{}{}", self.id(), self.flavour.route));
        let headers = [("user-agent", self.flavour.user_agent)];
        http::exchange(self.flavour.method, &url, &headers, Some(&(self.flavour.body)(state, players)))
    }

    /// One beat, and what it was answered.
    pub fn beat(&self, state: &str, players: &[&str]) -> Value {
        let answer = self.send(state, players).unwrap().ok();
        assert!(answer["nextHeartbeatIntervalMs"].as_u64().unwrap() >= 1000, "{answer}");
        let session = &answer["sessionConfig"];
        assert!(session.is_null() || session["sessionId"].as_str().unwrap().parse::<uuid::Uuid>().is_ok(), "{answer}");
        answer
    }

    /// Beats until it is told to do this.
    pub fn until(&self, operation: &str, state: &str, players: &[&str]) -> Value {
        let begun = Instant::now();
        loop {
            let answer = self.beat(state, players);
            if answer["operation"] == operation {
                return answer;
            }
            assert_eq!(answer["operation"], "Continue", "{}", self.flavour.name);
            assert!(begun.elapsed() < PATIENCE, "{}: waited in vain for {operation}: {answer}", self.flavour.name);
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }
}

/// A variable of a running process.
pub fn environment(pid: u32, name: &str) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    text.split('\0').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}
