//! `[allocation]`: where allocations come from.

use super::{ProviderSettings, sic::SicSettings};
use crate::model::{allocation::ProviderKind, section::section, units::Span};
use serde::{Deserialize, Serialize};

/// `[allocation]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AllocationConfig {
    /// Where allocations come from.
    pub provider: ProviderKind,
    /// With `provider = "sic"`: how this server is registered.
    pub sic: SicConfig,
}

impl Default for AllocationConfig {
    fn default() -> Self {
        AllocationConfig { provider: ProviderKind::Auto, sic: SicConfig::default() }
    }
}

/// `[allocation.sic]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SicConfig {
    /// The id under which it is registered. Unset: sic_HOST_PORT.
    #[cfg_attr(test, schemars(example = &"sic_203.0.113.7_27960"))]
    pub id: Option<String>,
    /// The profile that it serves.
    pub profile: String,
    /// The server's id. Unset: the agent's name.
    #[cfg_attr(test, schemars(example = &"eu-west-17"))]
    pub server_id: Option<String>,
    /// The host's name. Unset: this machine's.
    #[cfg_attr(test, schemars(example = &"metal-17"))]
    pub hostname: Option<String>,
    /// How long one poll waits for an allocation, where the service can do that.
    pub long_poll: Span,
    /// The time between two polls where it can't.
    pub interval: Span,
}

impl Default for SicConfig {
    fn default() -> Self {
        SicConfig {
            id: None,
            profile: "default".to_owned(),
            server_id: None,
            hostname: None,
            long_poll: Span::from_secs(30),
            interval: Span::from_secs(2),
        }
    }
}

section!(AllocationConfig {
    needs_restart: provider;
    sections: sic;
});
section!(SicConfig {
    needs_restart: id, profile, server_id, hostname, long_poll, interval;
});

/// What a registration says besides the section itself.
#[derive(Debug)]
pub struct RegistrationContext<'a> {
    /// The agent's name, and this machine's.
    pub agent: &'a str,
    pub machine: &'a str,
    /// Host and port under which players reach the game.
    pub host: Option<&'a str>,
    pub port: Option<u16>,
    pub region: Option<&'a str>,
}

/// What a registration lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unregistrable {
    #[error("[allocation.sic] registers an address, and none is known: set addresses.public or addresses.private")]
    NoAddress,
    #[error(
        "[allocation.sic] registers the port that players connect to: add it to [game.ports], and name it in addresses.port"
    )]
    NoPort,
}

impl ProviderSettings {
    pub fn of(config: &AllocationConfig, around: &RegistrationContext<'_>) -> Result<ProviderSettings, Unregistrable> {
        let AllocationConfig { provider, sic } = config;
        match provider {
            ProviderKind::Auto => Ok(ProviderSettings::Auto),
            ProviderKind::Hook => Ok(ProviderSettings::Hook),
            ProviderKind::Sic => SicSettings::of(sic, around).map(ProviderSettings::Sic),
        }
    }
}

impl SicSettings {
    fn of(config: &SicConfig, around: &RegistrationContext<'_>) -> Result<SicSettings, Unregistrable> {
        let SicConfig { id, profile, server_id, hostname, long_poll, interval } = config;
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        Ok(SicSettings {
            id: id.clone(),
            public_host: around.host.ok_or(Unregistrable::NoAddress)?.to_owned(),
            public_port: around.port.ok_or(Unregistrable::NoPort)?,
            group_tags: vec![
                tag("profile_id", profile),
                tag("server_id", server_id.as_deref().unwrap_or(around.agent)),
                tag("hostname", hostname.as_deref().unwrap_or(around.machine)),
            ],
            region_id: around.region.map(str::to_owned),
            wait: long_poll.get(),
            interval: interval.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AROUND: RegistrationContext<'_> = RegistrationContext {
        agent: "eu-1",
        machine: "metal",
        host: Some("203.0.113.7"),
        port: Some(7777),
        region: Some("eu"),
    };

    fn settings(sic: &SicConfig) -> SicSettings {
        SicSettings::of(sic, &AROUND).unwrap()
    }

    #[test]
    fn a_server_is_registered_under_the_configured_id_else_its_address() {
        assert_eq!(settings(&SicConfig::default()).id(), "sic_203.0.113.7_7777");
        let mut named = settings(&SicConfig { id: Some("arena-1".into()), ..SicConfig::default() });
        assert_eq!(named.id(), "arena-1");
        named.public_port = 7778;
        assert_eq!(named.id(), "arena-1", "also when its port has moved");
    }

    #[test]
    fn the_group_tags_say_what_is_configured_else_what_is_known() {
        let tags = |sic: SicConfig| settings(&sic).group_tags.into_iter().map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!(tags(SicConfig::default()), ["default", "eu-1", "metal"]);
        let sic = SicConfig {
            profile: "duel".into(),
            server_id: Some("s".into()),
            hostname: Some("h".into()),
            ..SicConfig::default()
        };
        assert_eq!(tags(sic), ["duel", "s", "h"]);
    }

    #[test]
    fn polls_wait_as_long_and_come_as_often_as_configured() {
        let sic = SicConfig { long_poll: Span::from_secs(7), interval: Span::from_millis(300), ..SicConfig::default() };
        let settings = settings(&sic);
        assert_eq!((settings.wait.as_millis(), settings.interval.as_millis()), (7000, 300));
    }

    #[test]
    fn without_an_address_there_is_nothing_to_register() {
        let around = RegistrationContext { host: None, ..AROUND };
        assert_eq!(SicSettings::of(&SicConfig::default(), &around), Err(Unregistrable::NoAddress));
    }
}
