//! Who may play with whom.
//!
//! Two versions are compatible when they have the same major version (below 1.0 the same minor too)
//! and the client's pre-release isn't lower than the host's. Build metadata is ignored.
//! `semver::VersionReq` is wrong here: it refuses every pre-release that the requirement doesn't
//! name.

use semver::Version;
use serde::{Deserialize, Serialize};

/// How strictly versions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Matching {
    /// Same major (below 1.0: same minor), and no lower a pre-release.
    #[default]
    Compatible,
    /// Equal but for build metadata.
    Exact,
    /// Anything goes.
    Any,
}

/// Whether a `client` may play on a `host`.
pub fn compatible(matching: Matching, host: &Version, client: &Version) -> bool {
    match matching {
        Matching::Any => true,
        Matching::Exact => {
            (host.major, host.minor, host.patch, &host.pre) == (client.major, client.minor, client.patch, &client.pre)
        }
        Matching::Compatible => {
            host.major == client.major && (host.major > 0 || host.minor == client.minor) && at_least_pre(host, client)
        }
    }
}

/// Pre-releases only rank within one release: `1.2.0` is above `1.2.0-rc.1`, which is above `1.2.0-beta`.
fn at_least_pre(host: &Version, client: &Version) -> bool {
    host.pre.is_empty() || client.pre >= host.pre || client.pre.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_versions() {
        let rows = [
            ("1.2.3", "1.9.0", true),
            ("1.2.3", "2.0.0", false),
            ("0.4.1", "0.4.9", true),
            ("0.4.1", "0.5.0", false),
            ("1.2.0-beta.2", "1.2.0-beta.2", true),
            ("1.2.0-beta.2", "1.2.0-beta.10", true),
            ("1.2.0-beta.2", "1.2.0-beta.1", false),
            ("1.2.0-beta.2", "1.2.0", true),
            ("1.2.0+build.1", "1.2.0+other", true),
        ];
        for (host, client, expected) in rows {
            let (host, client) = (host.parse().unwrap(), client.parse().unwrap());
            assert_eq!(compatible(Matching::Compatible, &host, &client), expected, "{host} {client}");
        }
    }
}
