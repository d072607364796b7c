//! `[auth.issuer]`: an external issuer of players' access tokens.

use crate::{
    model::{section::section, units::Span},
    service::settings::{BadKey, is_safe_url},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// An external issuer of players' access tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct IssuerSettings {
    /// Its name, the claim `iss`. Empty: there is none.
    #[cfg_attr(test, schemars(example = &"https://login.example.com/"))]
    pub issuer: String,
    /// What must be among a token's audiences, the claim `aud`.
    #[cfg_attr(test, schemars(example = &"my-game"))]
    pub audience: String,
    /// Where its key set is: https, or http on this machine.
    #[cfg_attr(test, schemars(example = &"https://login.example.com/.well-known/jwks.json"))]
    pub jwks_url: String,
    /// The key set as a file, in place of the URL.
    #[cfg_attr(test, schemars(example = &"/etc/gameside/jwks.json"))]
    pub jwks_file: Option<PathBuf>,
    /// Certificate authorities (PEM) that the URL's certificate must come from; without it the machine's own are trusted.
    #[cfg_attr(test, schemars(example = &"/etc/gameside/ca.pem"))]
    pub ca_file: Option<PathBuf>,
    /// How its tokens may be signed. Shared secrets are never accepted.
    pub algorithms: Vec<TokenAlgorithm>,
    /// The keys are read again when they are older.
    pub refresh: Span,
    /// The claim with the player: a UUID, or anything else from which one is made.
    pub player_claim: String,
    /// The claim with what the player may do: a list, or words with spaces between them. Tokens without it get `player_permissions`.
    pub permissions_claim: String,
}

/// How a token may be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum TokenAlgorithm {
    EdDSA,
    ES256,
    ES384,
    RS256,
    RS384,
    RS512,
    PS256,
}

impl Default for IssuerSettings {
    fn default() -> Self {
        IssuerSettings {
            issuer: String::new(),
            audience: String::new(),
            jwks_url: String::new(),
            jwks_file: None,
            ca_file: None,
            algorithms: vec![TokenAlgorithm::EdDSA, TokenAlgorithm::ES256, TokenAlgorithm::RS256],
            refresh: Span::from_secs(900),
            player_claim: "sub".to_owned(),
            permissions_claim: "permissions".to_owned(),
        }
    }
}

section!(IssuerSettings {
    applied: issuer, audience, jwks_url, jwks_file, ca_file, algorithms, refresh, player_claim, permissions_claim;
});

impl IssuerSettings {
    /// What is wrong.
    pub fn faults(&self) -> Vec<BadKey> {
        if self.issuer.is_empty() {
            return Vec::new();
        }
        let rows = [
            (!self.audience.is_empty(), "auth.issuer.audience", "the audience that tokens are made for"),
            (
                is_safe_url(&self.jwks_url) || self.jwks_file.is_some(),
                "auth.issuer.jwks_url",
                "an https URL (http on this machine alone), or `jwks_file`",
            ),
            (!self.algorithms.is_empty(), "auth.issuer.algorithms", "at least one algorithm"),
            (self.refresh.get().as_secs() >= 1, "auth.issuer.refresh", "at least 1s"),
            (!self.player_claim.is_empty(), "auth.issuer.player_claim", "the name of a claim"),
        ];
        rows.into_iter().filter(|(good, ..)| !good).map(|(_, key, expected)| (key, expected)).collect()
    }
}
