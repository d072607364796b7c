//! From the configuration file to what each room wants to know.
//!
//! Sections that one room obeys are taken apart there (`frontends::*::config`, `providers::config`,
//! `keeper::config`); those that several share are taken apart here. Every pattern names every key:
//! a new one has to be given to somebody.

mod session_client;

pub use session_client::session_client;

use super::config::{
    AgentConfig,
    game::Game,
    host,
    session::{Data, Report, Session},
};
use crate::{
    core::settings::{Addresses, Launch, SessionSettings, Settings},
    frontends::{
        self, LaunchContext, a2s::config::ServerContext, agones::config::AgonesConfig, native::config::ApiConfig,
    },
    host::{
        addresses::{ConfiguredHosts, Hosts, choose},
        network,
        paths::AgentPlace,
        secrets,
    },
    model::{
        ordered::Ports,
        policy::{AdmissionPolicy, Players},
        units::Span,
    },
    providers::{self, ProviderSettings},
};
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

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
    #[error(transparent)]
    Provider(#[from] providers::config::Unregistrable),
    #[error("{port:?} names no port; [game.ports] has {known}")]
    NoPort { port: String, known: String },
    #[error("[game.stop.quit] needs the password of the game's remote console: {source}")]
    NoRconPassword { source: secrets::NoSecret },
}

impl BadSetup {
    pub fn no_port(port: &str, ports: &Ports) -> Self {
        let known: Vec<_> = ports.keys().map(String::as_str).collect();
        BadSetup::NoPort { port: port.to_owned(), known: known.join(", ") }
    }
}

/// What was found out about this machine, and what was reserved on it.
#[derive(Debug, Clone)]
pub struct Found {
    pub ports: Ports,
    /// The variables by which the game finds its frontends.
    pub frontends: BTreeMap<String, String>,
    pub hosts: Hosts,
    /// The game's version, as it was read when the agent started.
    pub version: Option<semver::Version>,
    pub seed: u64,
}

/// The file that the game logs to, if it has one: from its own working directory on.
pub(super) fn own_log(config: &AgentConfig) -> Option<PathBuf> {
    let file = config.log.file.as_ref()?;
    Some(config.game.dir.as_ref().map_or_else(|| file.clone(), |dir| PathBuf::from(dir).join(file)))
}

/// The core's settings.
pub fn core(config: &AgentConfig, place: &AgentPlace, found: &Found) -> Result<Settings, BadSetup> {
    let AgentConfig {
        agent,
        game,
        allocation,
        session,
        custom_data,
        report,
        addresses,
        players,
        health,
        backfill,
        guards,
        drain,
        keeper,
        agones,
        // The core's edges go by these.
        probe: _,
        log_patterns: _,
        log: _,
        credentials: _,
        hooks: _,
        api: _,
        gsdk: _,
        a2s: _,
    } = config;
    Ok(Settings {
        name: agent.name.clone(),
        kind: config.kind().0,
        seed: found.seed,
        provider: allocation.provider,
        launch: launch(config, game, place, found)?,
        readiness: config.readiness(),
        restart: game.restart.clone(),
        recycle: game.recycle.clone(),
        stop_steps: game.stop.steps(),
        unattended: keeper.unattended.map(Span::get),
        guards: guards.clone(),
        drain: drain.clone(),
        session: session_settings(config, session, custom_data, *report),
        players: players.clone(),
        health: health.clone(),
        sdk_pings: agones.as_ref().and_then(AgonesConfig::sdk_pings),
        backfill: backfill.clone(),
        addresses: self::addresses(addresses, &found.hosts),
        poll: session.poll.get(),
    })
}

fn launch(config: &AgentConfig, game: &Game, place: &AgentPlace, found: &Found) -> Result<Launch, BadSetup> {
    let Game {
        command: _,
        dir,
        env,
        allow,
        start,
        reuse,
        startup_file,
        forking,
        // See `AgentConfig::kind`.
        kind: _,
        // Reserved and read at the start, they are in `found`.
        ports: _,
        version: _,
        version_file: _,
        version_env: _,
        // Settings of their own.
        readiness: _,
        stop: _,
        restart: _,
        recycle: _,
    } = game;
    Ok(Launch {
        start: *start,
        reuse: *reuse,
        command: command(config)?,
        env: env.clone(),
        allow: allow.clone(),
        dir: dir.clone(),
        startup_file: startup_file.clone().unwrap_or_else(|| place.startup_file().display().to_string()),
        forking: *forking,
        version: found.version.clone(),
        ports: found.ports.clone(),
        frontends: found.frontends.clone(),
    })
}

fn session_settings(config: &AgentConfig, session: &Session, data: &Data, report: Report) -> SessionSettings {
    let Session {
        session_type,
        region,
        joinable,
        teams,
        on_session_lost,
        join_token,
        startup: _,
        poll: _,
        // How the service is reached: `upstream`.
        url: _,
        ca_file: _,
        call_timeout: _,
    } = session;
    let Data { session: custom_data, instance, join_params, browser } = data;
    let Report { by } = report;
    let Players { admission, reconnect_grace: _, count_conflict: _ } = &config.players;
    // Nobody else adds players to a session that was made for this machine only.
    let own_admission = if session.is_local() { AdmissionPolicy::Open } else { AdmissionPolicy::Members };
    SessionSettings {
        own_admission: admission.unwrap_or(own_admission),
        admission: admission.unwrap_or_default(),
        session_type: session_type.clone(),
        region: region.clone(),
        startup_params: config.startup_params(),
        teams: teams.clone(),
        joinable: *joinable,
        custom_data: custom_data.clone(),
        report: by,
        on_lost: *on_session_lost,
        join_token: *join_token,
        instance_data: instance.clone(),
        join_data: join_params.clone(),
        browser_data: browser.clone(),
    }
}

fn addresses(config: &host::Addresses, hosts: &Hosts) -> Addresses {
    // `connection_info` was asked when the hosts were found.
    let host::Addresses { public: _, private: _, public_format, private_format, port, connection_info: _ } = config;
    Addresses {
        public: hosts.public.clone(),
        private: hosts.private.clone(),
        public_format: public_format.clone(),
        private_format: private_format.clone(),
        port: port.clone(),
    }
}

/// What is run: what is configured, or the practice game that is part of this program.
fn command(config: &AgentConfig) -> Result<Vec<String>, BadSetup> {
    if !config.is_practice() {
        return Ok(config.game.command.clone());
    }
    let own = std::env::current_exe().map_err(BadSetup::OwnProgram)?;
    Ok(vec![own.display().to_string(), "practice".to_owned()])
}

/// The game's version: as it is configured, or as a file or variable says it.
pub fn version(config: &AgentConfig) -> Result<Option<semver::Version>, BadSetup> {
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
    let configured =
        ConfiguredHosts { public: config.addresses.public.clone(), private: config.addresses.private.clone() };
    choose(&configured, &network::interfaces(), seen)
}

/// Where allocations come from.
pub fn provider(config: &AgentConfig, found: &Found) -> Result<ProviderSettings, BadSetup> {
    let around = providers::config::RegistrationContext {
        agent: &config.agent.name,
        machine: &hostname(),
        host: found.hosts.public.as_deref().or(found.hosts.private.as_deref()),
        port: found.ports.get(&config.addresses.port).copied(),
        region: config.session.region.as_deref(),
    };
    Ok(ProviderSettings::of(&config.allocation, &around)?)
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Which frontends are on, and where.
pub fn frontends(config: &AgentConfig, place: &AgentPlace, ports: &Ports) -> Result<frontends::Settings, BadSetup> {
    // The operators' side is the agent's own: `operator_token`, `bootstrap::operator_sockets`.
    let ApiConfig { listen, operator_listen: _, operator_token_file: _ } = &config.api;
    let native = frontends::native::Settings { tcp: *listen, socket: Some(place.api_socket()) };
    let hosts = hosts(config, None);
    let agones = config.agones.as_ref();
    Ok(frontends::Settings {
        native,
        gsdk: Some(config.gsdk.clone()).filter(|gsdk| gsdk.enabled),
        a2s: config.a2s.enabled.then(|| a2s(config, ports)).transpose()?,
        agones: agones.and_then(|given| frontends::agones::Settings::of(given, hosts.public, hosts.private)),
    })
}

fn a2s(config: &AgentConfig, ports: &Ports) -> Result<frontends::a2s::Settings, BadSetup> {
    let name = &config.a2s.port;
    let port = *ports.get(name).ok_or_else(|| BadSetup::no_port(name, ports))?;
    let around = ServerContext {
        agent: &config.agent.name,
        port,
        players: &config.addresses.port,
        browser: &config.custom_data.browser,
    };
    Ok(frontends::a2s::Settings::of(&config.a2s, &around))
}

/// The file with the operator's token.
pub fn operator_token(config: &AgentConfig, place: &AgentPlace) -> PathBuf {
    config.api.operator_token_file.clone().unwrap_or_else(|| place.operator_token())
}

/// Where the game runs, as frontends may tell it.
pub fn launch_context(config: &AgentConfig, place: &AgentPlace, found: &Found) -> LaunchContext {
    LaunchContext {
        name: config.agent.name.clone(),
        public: found.hosts.public.clone(),
        private: found.hosts.private.clone(),
        hostname: hostname(),
        region: config.session.region.clone(),
        version: found.version.as_ref().map(ToString::to_string),
        ports: found.ports.clone(),
        work_dir: config.game.dir.clone().filter(|dir| dir.starts_with('/') && !dir.contains("{{")),
        game_dir: place.game(),
    }
}

/// The log that the keeper writes.
pub fn game_log(place: &AgentPlace) -> PathBuf {
    place.logs().join(crate::keeper::protocol::names::LOG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::paths::Places;

    fn config(text: &str) -> AgentConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_games_version_is_configured_or_read_from_a_file_or_a_variable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("VERSION");
        std::fs::write(&file, "v1.4.0\nbuilt on a Friday\n").unwrap();
        let read =
            |text: &str| version(&config(&format!("[game]\n{text}"))).map(|found| found.map(|it| it.to_string()));
        assert_eq!(read("version = \"2.0.0\"").unwrap().as_deref(), Some("2.0.0"));
        assert_eq!(read(&format!("version_file = {file:?}")).unwrap().as_deref(), Some("1.4.0"));
        assert!(matches!(read("version_file = \"/no/such/file\""), Err(BadSetup::Version { .. })));
        // Cargo sets it for the tests.
        assert_eq!(read("version_env = \"CARGO_PKG_VERSION\"").unwrap().as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(read("version_env = \"GAMESIDE_TEST_NO_SUCH\"").unwrap(), None);
    }

    #[test]
    fn the_operators_token_lies_where_it_is_configured() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = dir.path().join("run").display().to_string();
        let env = |key: &str| (key == "GAMESIDE_RUNTIME_DIR").then(|| runtime.clone());
        let places = Places::find(Some(&dir.path().join("s")), rustix::process::geteuid().as_raw(), env).unwrap();
        let place = places.prepare_agent("one").unwrap();
        let named = config("[api]\noperator_token_file = \"/run/token\"\n");
        assert_eq!(operator_token(&named, &place), PathBuf::from("/run/token"));
        assert_eq!(operator_token(&AgentConfig::default(), &place), place.operator_token());
    }
}
