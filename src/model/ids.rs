//! Identifiers. A newtype each, so that a session's id can't be handed over where an instance's is
//! wanted.
//!
//! The Session API bounds ids to 1–128 characters; every constructor checks that, and
//! deserialising does too.

use super::wire::{JsonCursor, Rule, ValidationErrors, Wire, rules};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// The longest id that the Session API permits, in characters.
pub const MAX_ID_CHARS: usize = 128;

/// An id that is empty or longer than [`MAX_ID_CHARS`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must have 1 to 128 characters, found {found}")]
pub struct BadId {
    what: &'static str,
    found: usize,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema, utoipa::ToSchema))]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(test, schemars(with = "String"))]
        #[cfg_attr(test, schema(value_type = String, min_length = 1, max_length = 128))]
        pub struct $name(String);

        impl $name {
            /// Checks the length and wraps.
            pub fn new(text: impl Into<String>) -> Result<Self, BadId> {
                let text = text.into();
                match text.chars().count() {
                    1..=MAX_ID_CHARS => Ok(Self(text)),
                    found => Err(BadId { what: $what, found }),
                }
            }
            /// A fresh random id.
            pub fn from_uuid(id: Uuid) -> Self {
                Self(id.to_string())
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                Self::new(text)
            }
        }
        impl std::str::FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                Self::new(text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Wire for $name {
            fn read(at: JsonCursor<'_>, errors: &mut ValidationErrors) -> Option<Self> {
                rules::ident().read(at, errors).map(Self)
            }
            #[cfg(test)]
            fn schema(schemas: &mut super::wire::schema::Schemas) -> serde_json::Value {
                Rule::<String>::schema(&rules::ident(), schemas)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text_id!(/// A session, unique within its environment.
    SessionId, "a session id");
text_id!(/// One host's term in one session. The agent mints it and commits it before posting it.
    InstanceId, "an instance id");
text_id!(/// One allocation, named by whoever allocated.
    AllocationId, "an allocation id");
text_id!(/// A keeper's random id: a new one whenever a keeper starts.
    KeeperId, "a keeper id");
text_id!(/// An SDK gateway's random id: a new one for each process of it.
    GatewayId, "a gateway id");
text_id!(/// A match, as the host names it.
    MatchId, "a match id");
text_id!(/// A backfill ticket attached to a session.
    BackfillId, "a backfill id");

/// A player's UUID in the Session API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct PlayerUuid(pub Uuid);

impl fmt::Display for PlayerUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the runs of the game under one keeper, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct RunNumber(pub u64);

impl fmt::Display for RunNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One run of the game. Never a pid, never a boot id: those are reused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct RunId {
    pub keeper: KeeperId,
    pub run: RunNumber,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.keeper, self.run)
    }
}
