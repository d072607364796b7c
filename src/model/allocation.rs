//! One allocation, wherever it came from: SIC, a hook, a watched file, the environment, another
//! orchestrator.

use super::{
    ids::{AllocationId, PlayerUuid, SessionId},
    session::StartupParams,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// Who allocated. Decides which session the agent looks for and whether it owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// The agent makes a session of its own, again after every match.
    Auto,
    /// Registered with the session service, which allocates (see `sic`).
    Sic,
    /// Somebody posts to the agent's operator API.
    Hook,
}

/// One allocation.
///
/// Body of `POST /v1/allocation`. A repeated `allocation_id` gives the same answer; another while busy is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Allocation {
    #[cfg_attr(test, schema(value_type = String))]
    pub allocation_id: AllocationId,
    /// The session that it is for. Without one the agent makes its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schema(value_type = Option<String>))]
    pub session_id: Option<SessionId>,
    /// What to start with. Without it, the session's instance says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_params: Option<StartupParams>,
    /// Who is expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schema(value_type = Vec<String>))]
    pub players: Vec<PlayerUuid>,
    /// After this time the allocation is worth nothing: it is refused, or given back if no match has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}
