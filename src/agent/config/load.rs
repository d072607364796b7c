//! Loading the agent's file.

use super::{AgentConfig, check};
use crate::{
    config::{
        keys::KeyPath,
        provenance::Provenance,
        read::{Fault, Reading, read},
        report::Report,
    },
    keeper::config::KeeperMode,
    model::{allocation::ProviderKind, policy::LogFormat, units::Span},
};
use std::path::{Path, PathBuf};

/// Variables of the environment that override this file start so.
pub const PREFIX: &str = "GAMESIDE_";

/// What the command line says; it has the last word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// `--name`
    pub name: Option<String>,
    /// `-- COMMAND …`
    pub command: Vec<String>,
    /// `--log`
    pub log: Option<String>,
    /// `--log-format`
    pub log_format: Option<LogFormat>,
    /// As PID 1 of a container this program is the keeper already, and its agent connects to it.
    pub connect_keeper: bool,
}

/// A configuration without a fault.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: AgentConfig,
    /// The file that it came from.
    pub path: Option<PathBuf>,
    /// What isn't wrong, but should be known.
    pub warnings: Vec<String>,
    /// Where each value was written.
    pub provenance: Provenance,
}

/// Reads the file (none: defaults alone), puts the environment's overrides (`GAMESIDE_SECTION__KEY`) over it and the command
/// line's over those, and reports all faults at once.
pub fn load(
    path: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: Overrides,
) -> Result<Loaded, Report> {
    load_with(path, env, overrides, |_| Vec::new())
}

/// The same, with checks that only other rooms can make (`more`): templates, names, protocols.
pub fn load_with(
    path: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: Overrides,
    more: impl FnOnce(&AgentConfig) -> Vec<Fault>,
) -> Result<Loaded, Report> {
    // Those of the session service, which an agent may have started, aren't ours.
    let ours = |name: &str| name.starts_with(PREFIX) && !name.starts_with(crate::config::service::PREFIX);
    let variables: Vec<_> = env.into_iter().filter(|(name, _)| ours(name)).collect();
    let mut reading = read::<AgentConfig>(path, PREFIX, &variables)?;
    apply(&mut reading, overrides);
    let made_up = path.is_none() && make_up_a_map(&mut reading.value);
    for fault in check::faults(&reading.value, &reading.provenance).into_iter().chain(more(&reading.value)) {
        reading.add(fault);
    }
    let (config, provenance) = reading.finish()?;
    let mut warnings = check::warnings(&config);
    if made_up {
        let map = config.session.startup.map.as_deref().unwrap_or_default();
        warnings.push(format!(
            "no map is configured; own sessions use {map:?}. GAMESIDE_SESSION__STARTUP__MAP sets another"
        ));
    }
    Ok(Loaded { config: settle(config, &provenance), path: path.map(Path::to_owned), warnings, provenance })
}

fn apply(reading: &mut Reading<AgentConfig>, overrides: Overrides) {
    let Overrides { name, command, log, log_format, connect_keeper } = overrides;
    let (config, provenance) = (&mut reading.value, &mut reading.provenance);
    let mut note = |key: &str, option: &str| provenance.note_option(KeyPath::parse(key), option);
    if let Some(name) = name {
        note("agent.name", "--name");
        config.agent.name = name;
    }
    if !command.is_empty() {
        note("game.command", "the command line");
        config.game.command = command;
    }
    if let Some(log) = log {
        note("agent.log", "--log");
        config.agent.log = Some(log);
    }
    if let Some(format) = log_format {
        note("agent.log_format", "--log-format");
        config.agent.log_format = format;
    }
    if connect_keeper {
        note("keeper.mode", "--connect-keeper");
        config.keeper.mode = KeeperMode::Connect;
    }
}

/// A command that is tried out without a file gets the practice game's map and mode, so that `{{map}}` has a value. A file has
/// to say what its game plays.
fn make_up_a_map(config: &mut AgentConfig) -> bool {
    let missing = !config.is_practice() && config.session.startup.map.is_none();
    let own = config.allocation.provider == ProviderKind::Auto;
    if missing && own {
        let startup = &mut config.session.startup;
        startup.map = Some(super::PRACTICE_MAP.to_owned());
        startup.mode.get_or_insert_with(|| super::PRACTICE_MODE.to_owned());
    }
    missing && own
}

/// What follows from the rest: a limit of "0" is none; players connect to the only port there is.
fn settle(mut config: AgentConfig, provenance: &Provenance) -> AgentConfig {
    if let (Some(only), 1) = (config.game.ports.keys().next(), config.game.ports.len())
        && !provenance.is_set(&KeyPath::parse("addresses.port"))
    {
        config.addresses.port.clone_from(only);
    }
    let limits = [
        &mut config.guards.no_show_timeout,
        &mut config.guards.empty_timeout,
        &mut config.guards.max_match_time,
        &mut config.health.heartbeat,
        &mut config.keeper.unattended,
        &mut config.game.recycle.after,
    ];
    for limit in limits {
        *limit = limit.filter(|span| *span > Span::from_secs(0));
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str, env: &[(&str, &str)], overrides: Overrides) -> Result<Loaded, Report> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        let env: Vec<_> = env.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        load(Some(&path), env, overrides)
    }

    #[test]
    fn the_command_line_beats_the_environment_and_that_the_file() {
        let text = "[agent]\nname = \"file\"\n[game]\nstart = \"on-allocation\"\ncommand = [\"a\"]\n";
        let env =
            [("GAMESIDE_AGENT__NAME", "env"), ("GAMESIDE_GAME__START", "at-boot"), ("GAMESIDE_SESSIONS__X__Y", "?")];
        let overrides = Overrides {
            name: Some("option".to_owned()),
            command: vec!["b".to_owned()],
            log: Some("debug".to_owned()),
            log_format: Some(LogFormat::Json),
            connect_keeper: true,
        };
        let loaded = load_text(text, &env, overrides).unwrap();
        assert_eq!(loaded.config.agent.log.as_deref(), Some("debug"));
        assert_eq!((loaded.config.agent.log_format, loaded.config.keeper.mode), (LogFormat::Json, KeeperMode::Connect));
        assert_eq!(loaded.config.agent.name, "option");
        assert_eq!(loaded.config.game.command, ["b"]);
        assert_eq!(loaded.config.game.start, crate::model::policy::Start::AtBoot);
    }

    #[test]
    fn a_limit_of_nothing_is_no_limit() {
        let text = "[guards]\nempty_timeout = \"0\"\n[health]\nheartbeat = \"0s\"\n";
        let loaded = load_text(text, &[], Overrides::default()).unwrap();
        assert_eq!(loaded.config.guards.empty_timeout, None);
        assert_eq!(loaded.config.health.heartbeat, None);
        assert_eq!(loaded.config.guards.no_show_timeout, Some(Span::from_secs(300)));
    }

    #[test]
    fn without_anything_the_practice_game_has_a_map() {
        let loaded = load(None, Vec::new(), Overrides::default()).unwrap();
        let params = loaded.config.startup_params().unwrap();
        assert_eq!((params.map.as_str(), params.mode.as_deref()), ("harbour", Some("duel")));

        let overrides = Overrides { command: vec!["./server".to_owned()], ..Overrides::default() };
        let loaded = load(None, Vec::new(), overrides.clone()).unwrap();
        assert_eq!(loaded.config.startup_params().unwrap().map, "harbour");
        assert!(loaded.warnings[0].contains("no map is configured"), "{:?}", loaded.warnings);
        assert_eq!(load_text("", &[], overrides).unwrap().config.startup_params(), None);
    }

    #[test]
    fn players_connect_to_the_only_port_unless_it_is_said() {
        let text = "[game.ports.main]\nrange = \"7777\"\n";
        assert_eq!(load_text(text, &[], Overrides::default()).unwrap().config.addresses.port, "main");
        let said = format!("{text}[addresses]\nport = \"game\"\n");
        load_text(&said, &[], Overrides::default()).unwrap_err();
    }

    #[test]
    fn ports_keep_the_order_in_which_they_are_written() {
        let port = |name: &str| format!("[game.ports.{name}]\nrange = \"20000-20999\"\n");
        let text = ["query", "game", "beacon"].map(port).concat();
        let env = [("GAMESIDE_GAME__PORTS__ALSO__RANGE", "7000"), ("GAMESIDE_GAME__PORTS__GAME__RANGE", "7001")];
        let config = load_text(&text, &env, Overrides::default()).unwrap().config;
        assert_eq!(config.game.ports.keys().collect::<Vec<_>>(), ["query", "game", "beacon", "also"]);
        assert_eq!(config.game.ports["game"].range.to_string(), "7001");
    }

    #[test]
    fn a_fault_that_only_another_room_can_find_has_its_place_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, "[game]\ncommand = [\"x\", \"{{nmap}}\"]\n").unwrap();
        let more = |_: &AgentConfig| vec![Fault::new("game.command[1]", "a known value")];
        let report = load_with(Some(&path), Vec::new(), Overrides::default(), more).unwrap_err();
        assert!(
            report
                .to_string()
                .ends_with("agent.toml:2:17: game.command[1]: found \"{{nmap}}\", expected a known value")
        );
    }
}
