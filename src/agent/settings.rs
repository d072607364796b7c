//! From the configuration file to what each room wants to know.

use crate::{
    config::agent::{
        AgentConfig,
        agones::{self, Agones},
        sdk,
        session::LoginBy,
    },
    core::settings::{Addresses, Launch, SessionSettings, Settings},
    frontends::{self, LaunchContext},
    host::{
        addresses::{Hosts, Wanted, choose},
        network,
        paths::AgentPlace,
        paths::Places,
        secrets,
    },
    model::{
        allocation::ProviderKind,
        policy::{AdmissionPolicy, SdkPings},
        units::Span,
    },
    providers::{ProviderSettings, sic::SicSettings},
    session_api::{ConnectionSettings, Credentials, Secret, agent::SessionClientSettings},
};
use secrecy::SecretString;
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};
use url::Url;

/// A configuration that can't be carried out on this machine.
#[derive(Debug, thiserror::Error)]
pub enum BadSetup {
    #[error("session.url = {url:?} is no URL: {why}")]
    Url { url: String, why: String },
    #[error("[credentials] for {url}: {source}")]
    NoSecret { url: String, source: secrets::NoSecret },
    #[error("[credentials] client_id is missing; {url} needs it to let this agent in")]
    NoClientId { url: String },
    #[error("can't read the game's version from {from}: {why}")]
    Version { from: String, why: String },
    #[error("can't find this program's own file, which the practice game is started from: {0}")]
    OwnProgram(std::io::Error),
    #[error("[allocation.sic] registers an address, and none is known: set addresses.public or addresses.private")]
    NoAddress,
    #[error("{port:?} names no port; [game.ports] has {known}")]
    NoPort { port: String, known: String },
    #[error("[game.stop.quit] needs the password of the game's remote console: {source}")]
    NoRconPassword { source: secrets::NoSecret },
}

impl BadSetup {
    pub fn no_port(port: &str, ports: &BTreeMap<String, u16>) -> Self {
        let known: Vec<_> = ports.keys().map(String::as_str).collect();
        BadSetup::NoPort { port: port.to_owned(), known: known.join(", ") }
    }
}

/// What was found out about this machine, and what was reserved on it.
#[derive(Debug, Clone)]
pub struct Found {
    pub ports: BTreeMap<String, u16>,
    /// The variables by which the game finds its frontends.
    pub frontends: BTreeMap<String, String>,
    pub hosts: Hosts,
    pub seed: u64,
}

/// The core's settings.
pub fn core(config: &AgentConfig, place: &AgentPlace, found: &Found) -> Result<Settings, BadSetup> {
    let (game, data, session) = (&config.game, &config.custom_data, &config.session);
    let startup_file = game.startup_file.clone();
    // Nobody else adds players to a session that was made for this machine only.
    let own_admission = if session.is_local() { AdmissionPolicy::Open } else { AdmissionPolicy::Members };
    Ok(Settings {
        name: config.agent.name.clone(),
        seed: found.seed,
        provider: config.allocation.provider,
        launch: Launch {
            start: game.start,
            command: command(config)?,
            env: game.env.clone(),
            dir: game.dir.clone(),
            startup_file: startup_file.unwrap_or_else(|| place.startup_file().display().to_string()),
            forking: game.forking,
            version: version(config)?,
            ports: found.ports.clone(),
            frontends: found.frontends.clone(),
        },
        readiness: config.readiness(),
        restart: game.restart.clone(),
        recycle: game.recycle.clone(),
        stop_steps: game.stop.steps(),
        unattended: config.keeper.unattended.map(Span::get),
        guards: config.guards.clone(),
        drain: config.drain.clone(),
        session: SessionSettings {
            own_admission: config.players.admission.unwrap_or(own_admission),
            admission: config.players.admission.unwrap_or_default(),
            session_type: session.session_type.clone(),
            region: session.region.clone(),
            startup_params: config.startup_params(),
            teams: session.teams.clone(),
            joinable: session.joinable,
            custom_data: data.session.clone(),
            report: config.report.by,
            on_lost: session.on_session_lost,
            join_token: session.join_token,
            instance_data: data.instance.clone(),
            join_data: data.join_params.clone(),
            browser_data: data.browser.clone(),
        },
        players: config.players.clone(),
        health: config.health.clone(),
        sdk_pings: config.agones.as_ref().and_then(sdk_pings),
        backfill: config.backfill.clone(),
        addresses: Addresses {
            public: found.hosts.public.clone(),
            private: found.hosts.private.clone(),
            public_format: config.addresses.public_format.clone(),
            private_format: config.addresses.private_format.clone(),
            port: config.addresses.port.clone(),
        },
        poll: session.poll.get(),
    })
}

/// The pings that the Agones SDK promises, unless they aren't counted.
fn sdk_pings(agones: &Agones) -> Option<SdkPings> {
    let health = &agones.health;
    (agones.enabled && !health.disabled).then(|| SdkPings {
        period: health.period.get(),
        failure_threshold: health.failure_threshold,
        initial_delay: health.initial_delay.get(),
    })
}

/// What is run: what is configured, or the practice game that is part of this program.
fn command(config: &AgentConfig) -> Result<Vec<String>, BadSetup> {
    if !config.is_practice() {
        return Ok(config.game.command.clone());
    }
    let own = std::env::current_exe().map_err(BadSetup::OwnProgram)?;
    Ok(vec![own.display().to_string(), "practice".to_owned()])
}

fn version(config: &AgentConfig) -> Result<Option<semver::Version>, BadSetup> {
    let game = &config.game;
    if let Some(version) = &game.version {
        return Ok(Some(version.clone()));
    }
    let (from, text) = if let Some(path) = &game.version_file {
        let from = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| BadSetup::Version { from: from.clone(), why: error.to_string() })?;
        (from, text.lines().next().unwrap_or_default().to_owned())
    } else if let Some(variable) = &game.version_env {
        let Ok(text) = std::env::var(variable) else { return Ok(None) };
        (variable.clone(), text)
    } else {
        return Ok(None);
    };
    let why = |error: semver::Error| BadSetup::Version { from, why: error.to_string() };
    text.trim().trim_start_matches('v').parse().map(Some).map_err(why)
}

/// The hosts for the connection strings. `seen`: the address that the session service sees.
pub fn hosts(config: &AgentConfig, seen: Option<IpAddr>) -> Hosts {
    let wanted = Wanted { public: config.addresses.public.clone(), private: config.addresses.private.clone() };
    choose(&wanted, &network::interfaces(), seen)
}

/// The way to the session service. A local one is reached through its socket, so that it may come back on another port.
pub fn session_client(config: &AgentConfig, places: &Places) -> Result<SessionClientSettings, BadSetup> {
    let session = &config.session;
    let text = if session.is_local() { "http://localhost" } else { session.url.as_str() };
    let base_url = Url::parse(text).map_err(|error| BadSetup::Url { url: text.to_owned(), why: error.to_string() })?;
    let credentials = if session.is_local() {
        Credentials::Local { secret_file: places.sessions_secret() }
    } else {
        credentials(config)?
    };
    let connection = ConnectionSettings {
        base_url,
        unix_socket: session.is_local().then(|| places.sessions_socket()),
        ca_file: session.ca_file.clone(),
        credentials,
        user_agent: concat!("gameside/", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    Ok(SessionClientSettings { connection, call_timeout: session.call_timeout.get() })
}

fn credentials(config: &AgentConfig) -> Result<Credentials, BadSetup> {
    let (given, url) = (&config.credentials, &config.session.url);
    let wanted = secrets::Wanted {
        file: given.client_secret_file.as_deref(),
        credential: &given.client_secret_credential,
        variable: &given.client_secret_env,
    };
    let source = secrets::find(wanted, |key| std::env::var(key).ok())
        .map_err(|source| BadSetup::NoSecret { url: url.clone(), source })?;
    let secret = match source {
        secrets::Source::File(path) => Secret::File(path),
        secrets::Source::Text(text) => Secret::Text(text),
    };
    match (given.by, &given.client_id) {
        (LoginBy::Client, Some(id)) => Ok(Credentials::Client { id: id.clone(), secret }),
        (LoginBy::Client, None) => Err(BadSetup::NoClientId { url: url.clone() }),
        (LoginBy::Basic, name) => {
            Ok(Credentials::Basic { user_password: user_password(name.as_deref(), secret), client: None })
        }
    }
}

/// `user:password`; the name may be configured apart from a password that stands in the environment.
fn user_password(name: Option<&str>, secret: Secret) -> Secret {
    use secrecy::ExposeSecret as _;
    match (name, secret) {
        (Some(name), Secret::Text(text)) if !text.expose_secret().contains(':') => {
            Secret::Text(SecretString::from(format!("{name}:{}", text.expose_secret())))
        }
        (_, secret) => secret,
    }
}

/// Where allocations come from.
pub fn provider(config: &AgentConfig, found: &Found) -> Result<ProviderSettings, BadSetup> {
    match config.allocation.provider {
        ProviderKind::Auto => Ok(ProviderSettings::Auto),
        ProviderKind::Hook => Ok(ProviderSettings::Hook),
        ProviderKind::Sic => sic(config, found).map(ProviderSettings::Sic),
    }
}

fn sic(config: &AgentConfig, found: &Found) -> Result<SicSettings, BadSetup> {
    let sic = &config.allocation.sic;
    let host = found.hosts.public.clone().or_else(|| found.hosts.private.clone()).ok_or(BadSetup::NoAddress)?;
    let hostname = sic.hostname.clone().unwrap_or_else(hostname);
    let tag = |key: &str, value: String| (key.to_owned(), value);
    Ok(SicSettings {
        public_host: host,
        public_port: game_port(config, found)?,
        group_tags: vec![
            tag("profile_id", sic.profile.clone()),
            tag("server_id", sic.server_id.clone().unwrap_or_else(|| config.agent.name.clone())),
            tag("hostname", hostname),
        ],
        region_id: config.session.region.clone(),
        wait: sic.long_poll.get(),
        interval: sic.interval.get(),
    })
}

fn game_port(config: &AgentConfig, found: &Found) -> Result<u16, BadSetup> {
    let port = &config.addresses.port;
    found.ports.get(port).copied().ok_or_else(|| BadSetup::no_port(port, &found.ports))
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Which frontends are on, and where.
pub fn frontends(
    config: &AgentConfig,
    place: &AgentPlace,
    ports: &BTreeMap<String, u16>,
) -> Result<frontends::Settings, BadSetup> {
    let native = frontends::native::Settings { tcp: config.api.listen, socket: Some(place.api_socket()) };
    let a2s = config.a2s.enabled.then(|| a2s(config, ports)).transpose()?;
    let gsdk = config.gsdk.enabled.then(|| gsdk(&config.gsdk));
    let agones = config.agones.as_ref().filter(|agones| agones.enabled).map(|given| agones(config, given));
    Ok(frontends::Settings { native, gsdk, a2s, agones })
}

fn a2s(config: &AgentConfig, ports: &BTreeMap<String, u16>) -> Result<frontends::a2s::Settings, BadSetup> {
    let given = &config.a2s;
    let port = *ports.get(&given.port).ok_or_else(|| BadSetup::no_port(&given.port, ports))?;
    let browser = config.custom_data.browser.clone();
    Ok(frontends::a2s::Settings {
        listen: (given.host, port).into(),
        name: given.name.clone().unwrap_or_else(|| config.agent.name.clone()),
        game: given.game.clone(),
        folder: given.folder.clone(),
        app_id: given.app_id,
        keywords: given.keywords.clone(),
        rules: browser.into_iter().chain(given.rules.clone()).collect(),
        port: config.addresses.port.clone(),
        rate: given.rate,
        rate_per_address: given.rate_per_address,
        challenge_lifetime: given.challenge_lifetime.get(),
    })
}

fn gsdk(gsdk: &sdk::Gsdk) -> frontends::gsdk::Settings {
    frontends::gsdk::Settings {
        listen: gsdk.listen,
        if_taken: gsdk.if_taken,
        terminate: match gsdk.terminate {
            sdk::Terminate::AtStop => frontends::gsdk::Terminate::AtStop,
            sdk::Terminate::AtDrain => frontends::gsdk::Terminate::AtDrain,
        },
        trust_health: gsdk.trust_health,
        empty_means_nobody: gsdk.empty_means_nobody,
        title_id: gsdk.title_id.clone(),
        build_id: gsdk.build_id.clone(),
        log_dir: gsdk.log_dir.clone(),
        shared_content_dir: gsdk.shared_content_dir.clone(),
        certificate_dir: gsdk.certificate_dir.clone(),
        certificates: gsdk.certificates.clone(),
        metadata: gsdk.metadata.clone(),
    }
}

/// Where the game runs, as frontends may tell it.
pub fn launch_context(config: &AgentConfig, place: &AgentPlace, found: &Found) -> Result<LaunchContext, BadSetup> {
    Ok(LaunchContext {
        name: config.agent.name.clone(),
        public: found.hosts.public.clone(),
        private: found.hosts.private.clone(),
        hostname: hostname(),
        region: config.session.region.clone(),
        version: version(config)?.map(|version| version.to_string()),
        ports: found.ports.clone(),
        work_dir: config.game.dir.clone().filter(|dir| dir.starts_with('/') && !dir.contains("{{")),
        game_dir: place.game(),
    })
}

fn agones(config: &AgentConfig, given: &Agones) -> frontends::agones::Settings {
    use frontends::agones::{HealthSpec, Settings, counters_lists};
    let hosts = hosts(config, None);
    let counter = |(name, it): (&String, &agones::Counter)| {
        (name.clone(), counters_lists::Counter { count: it.count.into(), capacity: it.capacity.into() })
    };
    let list = |(name, it): (&String, &agones::List)| {
        (name.clone(), counters_lists::List { capacity: it.capacity.into(), values: it.values.clone() })
    };
    Settings {
        grpc: given.grpc,
        http: given.http,
        if_taken: given.if_taken,
        health: HealthSpec {
            disabled: given.health.disabled,
            period: given.health.period.get(),
            failure_threshold: given.health.failure_threshold,
            initial_delay: given.health.initial_delay.get(),
        },
        counters: given.counters.iter().map(counter).collect(),
        lists: given.lists.iter().map(list).collect(),
        player_capacity: given.player_capacity.map(i64::from),
        players_list: given.players_list.clone(),
        players_counter: given.players_counter.clone(),
        public: hosts.public,
        private: hosts.private,
    }
}

/// The log that the keeper writes.
pub fn game_log(place: &AgentPlace) -> PathBuf {
    place.logs().join(crate::keeper::protocol::names::LOG)
}
