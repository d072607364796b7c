//! `POST /users/v1/login`, as far as a server's agent uses it, and as far as our service answers it.

use super::{ids::PlayerUuid, time::Timestamp};
use serde::{Deserialize, Serialize};

/// The client id that a local, elected session service accepts together with its random secret.
pub const LOCAL_CLIENT_ID: &str = "local";

/// How the caller proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// Client id and secret, in the `Authorization: Basic` header.
    ClientCredentials,
    /// `user:password` in `portal_access_token`.
    Basic,
    /// A refresh token in `portal_access_token`.
    Refresh,
}

/// The request's body. The header `Authorization: Basic base64(client_id:secret)` goes with it where there is a client id.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRequest {
    pub grant_type: GrantType,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub portal_access_token: String,
    #[serde(default)]
    pub include_refresh: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub accept_eula: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub accept_tos: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub accept_privacy_policy: bool,
}

/// What a client needs of the answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginAnswer {
    #[serde(default)]
    pub access_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Seconds until the access token is worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// Who logged in, if it was a player.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_player_uuid: Option<PlayerUuid>,
}

// Both hold secrets: a derived Debug would put them into a log.
impl std::fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginRequest").field("grant_type", &self.grant_type).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for LoginAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginAnswer").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A sanction on a player, as the login's answer shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restriction {
    #[serde(rename = "type")]
    pub kind: RestrictionType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RestrictionReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<Timestamp>,
}

/// What kind of sanction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RestrictionType {
    AccountBan,
    AccountLockout,
    AccountPendingDeletion,
    AccountDenyAuth,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RestrictionReason {
    CheatingAutodetected,
    SpeedhackAutodetect,
    Other,
    CheatingObserved,
    CheatingReportedByPlayer,
    Threats,
    Language,
    Griefing,
    Fraud,
    RevokeFailed,
    Unknown,
    Guardian,
    IssuerProcess,
    AccountMigration,
    UserRequest,
    Maintenance,
    PendingDeletion,
}
