//! From templates and values to what the keeper starts.

use super::settings::Launch;

/// Why a game can't be started as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    #[error("failed to read the template {place}: {why}")]
    Template { place: String, why: String },
    #[error("no map: neither the allocation nor the configuration names one, and {place} uses it")]
    NoMap { place: String },
    #[error("the command is empty")]
    NoCommand,
}

/// Checks every template of the launch with stand-ins for what only an allocation knows. All faults, not the first.
pub fn check(launch: &Launch) -> Vec<LaunchError> {
    let _ = launch;
    unimplemented!()
}
