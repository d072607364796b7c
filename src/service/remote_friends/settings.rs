//! `[friends]`: another service's friend graph in place of the own one.

use crate::{
    model::{section::section, units::Span},
    service::settings::{BadKey, is_safe_url},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Another service's friend graph in place of the own one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FriendsSettings {
    /// The base URL of the service whose `/friends/v2` is asked: https, or http on this machine. Empty: the graph is kept here.
    #[cfg_attr(test, schemars(example = &"https://social.example.com/"))]
    pub url: String,
    /// A client of that service which may read every player's friends.
    #[cfg_attr(test, schemars(example = &"sessions"))]
    pub client_id: String,
    /// The file with its secret.
    #[cfg_attr(test, schemars(example = &"/etc/gameside/friends.secret"))]
    pub client_secret_file: Option<PathBuf>,
    /// A file with an access token, in place of the client. It is read again when the token was refused.
    #[cfg_attr(test, schemars(example = &"/run/gameside/friends.token"))]
    pub token_file: Option<PathBuf>,
    /// Certificate authorities (PEM) that the URL's certificate must come from; without it the machine's own are trusted.
    #[cfg_attr(test, schemars(example = &"/etc/gameside/ca.pem"))]
    pub ca_file: Option<PathBuf>,
    /// How long a caller waits for an answer of that service.
    pub timeout: Span,
    /// How long an answer counts. A friendship that began or ended there is seen here so much later.
    pub keep: Span,
    /// After a failure that service isn't asked for so long.
    pub retry: Span,
    /// Players and their friends that are remembered in all; the oldest answers go first.
    pub remembered: u32,
}

impl Default for FriendsSettings {
    fn default() -> Self {
        FriendsSettings {
            url: String::new(),
            client_id: String::new(),
            client_secret_file: None,
            token_file: None,
            ca_file: None,
            timeout: Span::from_secs(2),
            keep: Span::from_secs(30),
            retry: Span::from_secs(5),
            remembered: 1_000_000,
        }
    }
}

section!(FriendsSettings {
    applied: url, client_id, client_secret_file, token_file, ca_file, timeout, keep, retry, remembered;
});

impl FriendsSettings {
    /// Whether the graph is another service's.
    pub fn elsewhere(&self) -> bool {
        !self.url.is_empty()
    }

    /// What is wrong.
    pub fn faults(&self) -> Vec<BadKey> {
        if !self.elsewhere() {
            return Vec::new();
        }
        let client = !self.client_id.is_empty() && self.client_secret_file.is_some();
        let partly = !self.client_id.is_empty() || self.client_secret_file.is_some();
        let rows = [
            (is_safe_url(&self.url), "friends.url", "an https URL (http on this machine alone)"),
            (
                if self.token_file.is_some() { !partly } else { client },
                "friends.client_id",
                "a client's id with `client_secret_file`, or `token_file` alone",
            ),
            (!self.timeout.get().is_zero(), "friends.timeout", "more than 0"),
            (!self.keep.get().is_zero(), "friends.keep", "more than 0"),
            (self.remembered >= 1, "friends.remembered", "at least 1"),
        ];
        rows.into_iter().filter(|(good, ..)| !good).map(|(_, key, expected)| (key, expected)).collect()
    }
}
