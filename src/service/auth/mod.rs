//! Who calls, and what they may do.
//!
//! | file | holds |
//! |---|---|
//! | [`tokens`] | signing and verifying access and refresh tokens (Ed25519) |
//! | [`issuer`], [`issuer_settings`] | verifying access tokens that an external issuer signs |
//! | [`clients`] | client credentials, hashed at rest, in a file that the command line may change while the service runs |
//! | [`secrets`] | hashing and comparing |
//! | [`hashing`] | how much of it is done at a time, and for whom |
//! | `jws` | the signatures of all these tokens |
//! | [`login`] | the grants |
//!
//! Invariants: neither a password, a secret nor a token is ever logged or kept in the clear; an
//! access token's permissions are those of its login or refresh, so that a reload doesn't change
//! what a live token may do; a token of a client ends with the client's generation.

pub(crate) mod clients;
pub(crate) mod hashing;
pub(crate) mod issuer;
pub(crate) mod issuer_settings;
mod jws;
pub(crate) mod login;
pub(crate) mod secrets;
pub(crate) mod tokens;

use crate::model::ids::PlayerUuid;
use std::collections::BTreeSet;

/// Whoever sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `client:NAME`, `player:UUID`, or empty for nobody.
    pub subject: String,
    pub player: Option<PlayerUuid>,
    pub name: String,
    /// As the contract spells it: `Basic`, `Steam`.
    pub platform: Option<String>,
    pub permissions: BTreeSet<String>,
    /// The login came with restrictions.
    pub restricted: bool,
    /// Of a client: the generation of its credentials.
    pub generation: String,
}

/// Stands for every permission of the Session API.
pub(crate) const EVERYTHING: &str = "session:*";

impl Caller {
    /// Somebody without a token.
    pub fn nobody() -> Caller {
        Caller {
            subject: String::new(),
            player: None,
            name: String::new(),
            platform: None,
            permissions: BTreeSet::new(),
            restricted: false,
            generation: String::new(),
        }
    }

    /// Whether one of these permissions, or all of them at once, was given.
    pub fn may(&self, any_of: &[&str]) -> bool {
        self.permissions.contains(EVERYTHING) || any_of.iter().any(|one| self.permissions.contains(*one))
    }

    /// For an operation on a player: `any` serves for everybody, `own` for oneself.
    pub fn may_for(&self, player: PlayerUuid, any: &[&str], own: &[&str]) -> bool {
        self.may(any) || (self.player == Some(player) && self.may(own))
    }
}
