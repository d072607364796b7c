//! SIC.

use std::time::Duration;

/// How the agent registers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SicSettings {
    /// Host and port under which players reach the game; they are also its identity there.
    pub public_host: String,
    pub public_port: u16,
    /// `group_tags`, in this order: profile_id, server_id, hostname, and whatever else is configured.
    pub group_tags: Vec<(String, String)>,
    pub region_id: Option<String>,
    /// How long the service is asked to hold a state call.
    pub wait: Duration,
    /// How often the state is asked for where the service doesn't hold the call.
    pub interval: Duration,
}

impl SicSettings {
    pub const WAIT: Duration = Duration::from_secs(25);
    pub const INTERVAL: Duration = Duration::from_secs(2);
}
