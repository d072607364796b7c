//! The session service under load: a process of its own, with its store on this disk. What its
//! measurements share.

use crate::{
    support::{service::Service, world::World},
    wire::{Wire, request},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::task::LocalSet;

/// What a load generator needs to know.
pub struct Target {
    pub address: SocketAddr,
    pub pid: u32,
    /// May do everything.
    pub platform: String,
    /// As agents log in.
    agents: String,
}

impl Target {
    pub fn of(service: &Service<'_>) -> Target {
        // The measurement and the service have thousands of connections to each other.
        gameside::internals::host::process::raise_open_files().unwrap();
        let (id, secret) = service.agents();
        let agents = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        Target { address: service.address(), pid: service.pid(), platform: service.platform_token(), agents }
    }

    /// Logs in an agent.
    pub async fn agent(&self, wire: &mut Wire) -> String {
        let headers = [("authorization", self.agents.as_str())];
        let body = json!({"grant_type": "client_credentials"});
        wire.ask(&request("POST", "/users/v1/login", "", &headers, Some(&body))).await.text("/access_token")
    }

    /// Logs in a player.
    pub async fn player(&self, wire: &mut Wire, name: &str) -> String {
        let body = json!({"grant_type": "basic", "portal_access_token": format!("{name}:x")});
        wire.ask(&request("POST", "/users/v1/login", "", &[], Some(&body))).await.text("/access_token")
    }

    /// Makes a session that anybody may join; its path.
    pub async fn session(&self, wire: &mut Wire) -> String {
        let body = json!({"session_type": "default", "region_id": "local", "client_version": "1.0.0",
            "client_settings": {"input": "gamepad"}, "force_create": true});
        let made = wire.ask(&request("POST", "/session/v1/session", &self.platform, &[], Some(&body))).await;
        format!("/session/v1/session/{}", made.text("/session_id"))
    }
}

/// A service whose sessions outlive the measurement.
pub fn start(world: &World) -> Service<'_> {
    Service::start_with(world, "[timings]\nsession_ttl = \"1h\"\n")
}

/// The body of a join.
pub fn join() -> Value {
    json!({"client_version": "1.0.0", "client_settings": {"input": "gamepad"}, "team_id": 0})
}

/// Runs a load generator on this thread.
pub fn run<T>(load: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, load)
}
