//! `POST /users/v1/login`, as far as a server's agent uses it, and as far as our service answers
//! it.

use super::{
    ids::PlayerUuid,
    time::Timestamp,
    wire::{
        JsonCursor, Rule, ValidationErrors, Wire,
        rules::{Listed, any_text, ident, listed, one_of, text, whole},
        wire, words,
    },
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The client id that a local, elected session service accepts together with its random secret.
pub const LOCAL_CLIENT_ID: &str = "local";

/// How the caller proves who it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantType {
    /// Client id and secret, in the `Authorization: Basic` header.
    ClientCredentials,
    /// `user:password` in `portal_access_token`.
    Basic,
    /// A refresh token in `portal_access_token`.
    Refresh,
    /// A grant that this service doesn't offer.
    #[serde(untagged)]
    Other(String),
}

impl Wire for GrantType {
    fn read(at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Self> {
        let text: String = ident().read(at, errors)?;
        Some(match text.as_str() {
            "client_credentials" => GrantType::ClientCredentials,
            "basic" => GrantType::Basic,
            "refresh" => GrantType::Refresh,
            _ => GrantType::Other(text),
        })
    }
    #[cfg(test)]
    fn schema(schemas: &mut super::wire::schema::Schemas) -> serde_json::Value {
        Rule::<String>::schema(&ident(), schemas)
    }
}

/// A credential: never shown, not even in a log.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Credential(String);

impl Credential {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Credential {
    fn from(text: String) -> Credential {
        Credential(text)
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[hidden]")
    }
}

wire! {
    /// Logs in. The header `Authorization: Basic base64(client_id:secret)` goes with it where there is a client id.
    pub struct LoginRequest [derive(Eq)] {
        /// `client_credentials`, `basic` (where the service accepts it) or `refresh`; every other one is refused.
        required grant_type: GrantType;
        /// `name:password`, or a refresh token.
        sparse portal_access_token: Credential = text(0, 16_384);
        /// Accepted and not used.
        sparse portal_display_name: String = any_text();
        /// Whether the answer shall have a refresh token.
        default include_refresh: bool;
        /// Accepted and not used.
        sparse accept_eula: bool;
        /// Accepted and not used.
        sparse accept_tos: bool;
        /// Accepted and not used.
        sparse accept_privacy_policy: bool;
    }
}

impl LoginRequest {
    /// A login that wants a refresh token, its credential still empty.
    pub fn by(grant_type: GrantType) -> LoginRequest {
        LoginRequest {
            grant_type,
            portal_access_token: Credential::default(),
            portal_display_name: String::new(),
            include_refresh: true,
            accept_eula: false,
            accept_tos: false,
            accept_privacy_policy: false,
        }
    }
}

wire! {
    /// Who logged in, and the tokens. Another service may say less.
    pub struct LoginAnswer [derive(Eq, Default)] {
        always access_token: Credential = any_text();
        optional refresh_token: Credential = any_text();
        always token_type: String = any_text();
        /// Seconds until the access token is worth nothing.
        optional expires_in: u64 = whole(0, i64::MAX);
        always permissions: Vec<String> = Listed(any_text());
        always restrictions: Vec<Restriction> = listed();
        always display_name: String = any_text();
        always client_id: String = any_text();
        always client_uuid: Uuid;
        always publisher_uuid: Uuid;
        always tenant_uuid: Uuid;
        always config_elector_uuid: Uuid;
        /// The player, if it was one.
        optional active_player_uuid: PlayerUuid;
        /// The player's legacy number.
        optional active_player_id: i64 = whole(i64::MIN, i64::MAX);
        optional person_id: PlayerUuid;
        optional portal_user_id: String = any_text();
        optional platform: String = one_of(super::player::PLATFORMS);
    }
}

wire! {
    /// A sanction on a player.
    pub struct Restriction [derive(Eq)] {
        required kind ("type"): RestrictionType;
        optional reason: RestrictionReason;
        optional expiration: Timestamp;
    }
}

words!(RestrictionType, RestrictionReason);

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
