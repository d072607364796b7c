//! SIC: how a server registers itself as free, and learns that it was allocated.
//!
//! | route | body | answer |
//! |---|---|---|
//! | `POST /instances/sic_registration/v3/register` | [`Register`] | [`Registered`] |
//! | `POST /instances/sic_registration/v1/state?wait=SECONDS` | [`Servers`] | [`States`] |
//! | `POST /instances/sic_registration/v1/deregister` (ours) | [`Servers`] | [`Registered`] |
//!
//! What is marked *ours* are extensions: another service passes over them, another client leaves them out.

use super::ids::{AllocationId, KeeperId, SessionId};
use semver::Version;
use serde::{Deserialize, Serialize};

/// `error_code` of an item that went well.
pub const OK: i32 = 0;
/// Our service doesn't know the id: register again.
pub const UNKNOWN_SERVER: i32 = 2;
/// An allocation is under way already: poll on.
pub const ALLOCATION_UNDER_WAY: i32 = 6;

/// Body of `register`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    pub items: Vec<RegisterItem>,
}

/// One server that is free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterItem {
    /// `sic_HOST_PORT`.
    pub id: String,
    /// `profile_id:P,server_id:S,hostname:H`
    #[serde(default)]
    pub group_tags: String,
    pub public_host: String,
    pub public_port: u16,
    /// Ours: which life of the server this is. The same one registers idempotently; a new one closes what the old one hosted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<KeeperId>,
    /// Ours: the map of a game that is already up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_map: Option<String>,
    /// Ours: the game's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Ours: the region that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_id: Option<String>,
}

/// Answer to `register` and `deregister`, an item each in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    pub items: Vec<RegisteredItem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredItem {
    pub success: bool,
    #[serde(default)]
    pub error_code: i32,
    #[serde(default)]
    pub error_message: String,
}

/// Body of `state` and `deregister`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Servers {
    pub items: Vec<Server>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    pub id: String,
    /// Ours: the allocation that the asker already knows. With `wait`, `allocated` with this id is no news, and held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_id: Option<AllocationId>,
}

/// Answer to `state`, an item each in the same order.
///
/// With `?wait=SECONDS` (ours) the answer is held until there is news, at most that long; a service that doesn't know it
/// answers at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct States {
    pub items: Vec<StateItem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateItem {
    pub success: bool,
    #[serde(default)]
    pub error_code: i32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error_message: String,
    /// A failed item has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ServerState>,
    /// Only with [`ServerState::Allocated`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_id: Option<AllocationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
}

/// Where a registered server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// Free: waiting for an allocation.
    Allocating,
    Allocated,
    Deallocated,
}
