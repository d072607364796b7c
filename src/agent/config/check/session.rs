//! What is said to the session service, and how it is reached: `[session]`, `[credentials]`,
//! `[allocation]`, `[custom_data]`.

use super::Faults;
use crate::{
    agent::config::AgentConfig,
    config::keys::KeyPath,
    model::{CustomData, allocation::ProviderKind, policy::OnSessionLost, units::Span},
};

/// The Session API's bound on a custom-data value, in characters.
const LONGEST_VALUE: usize = 4096;

pub(super) fn session(config: &AgentConfig, faults: &mut Faults) {
    let session = &config.session;
    let url = url::Url::parse(&session.url);
    let good = session.is_local()
        || url.as_ref().is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && no_login(url));
    faults.require(
        good,
        "session.url",
        "\"local\", or a URL that starts with https:// or http:// and holds no password",
    );
    faults.require(!session.session_type.is_empty(), "session.type", "a session type");
    faults.require(session.poll >= Span::from_secs(1), "session.poll", "at least 1s");
    faults.positive(session.call_timeout, "session.call_timeout");
    for (index, size) in session.teams.iter().enumerate() {
        faults.require((1..=100).contains(size), &format!("session.teams[{index}]"), "a team size from 1 to 100");
    }
    faults.require(session.teams.len() <= 50, "session.teams", "at most 50 teams");
    let own = config.allocation.provider != ProviderKind::Sic;
    let recreates = session.on_session_lost == Some(OnSessionLost::Recreate);
    faults.require(own || !recreates, "session.on_session_lost", "another choice: only own sessions can be made anew");
    let by_login = !session.is_local() && config.credentials.client_id.is_none();
    let by = config.credentials.by;
    faults.require(
        !by_login || by == crate::agent::config::session::LoginBy::Basic,
        "credentials.client_id",
        "the client id with which the session service lets this agent in",
    );
    let sic = &config.allocation.sic;
    faults.positive(sic.interval, "allocation.sic.interval");
    faults.require(!sic.profile.is_empty(), "allocation.sic.profile", "a profile");
}

fn no_login(url: &url::Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

pub(super) fn is_loopback_url(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

pub(super) fn custom_data(config: &AgentConfig, faults: &mut Faults) {
    let data = &config.custom_data;
    let maps: [(&str, &CustomData); 5] = [
        ("custom_data.session", &data.session),
        ("custom_data.instance", &data.instance),
        ("custom_data.join_params", &data.join_params),
        ("custom_data.browser", &data.browser),
        ("session.startup.custom_data", &config.session.startup.custom_data),
    ];
    for (name, map) in maps {
        for (key, value) in map {
            let path = KeyPath::parse(name).key(key).to_string();
            faults.require(!key.is_empty(), &path, "a key that isn't empty");
            let length = value.chars().count();
            faults.require((1..=LONGEST_VALUE).contains(&length), &path, "a text of 1 to 4096 characters");
        }
    }
}
