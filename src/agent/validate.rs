//! What only the whole agent can say about its configuration: whether the templates compile and can
//! be filled in, whether names and filters are what other rooms take.

use crate::{
    agent::config::{AgentConfig, Loaded, Overrides, load_with},
    config::{keys::KeyPath, read::Fault, report::Report},
    core::{
        launch::{self, LaunchError, Values, WrittenBy},
        settings::Launch,
    },
    host::{
        paths::{BadPlace, NAME_RULE, check_name},
        telemetry::check_filter,
    },
    model::{
        allocation::ProviderKind,
        ids::{AllocationId, InstanceId, SessionId},
        ordered::Ports,
        probe::ProbeKind,
    },
    probes::query,
};
use std::{collections::BTreeMap, path::Path};

/// [`crate::agent::config::load()`] with every check there is.
pub fn load(
    path: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: Overrides,
) -> Result<Loaded, Report> {
    load_with(path, env, overrides, faults)
}

/// This process's environment, as far as it is text.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
}

/// Every fault that the configuration can't find by itself.
pub fn faults(config: &AgentConfig) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Err(error) = check_name(&config.agent.name) {
        let rule = matches!(error, BadPlace::Name { .. }).then(|| NAME_RULE.to_owned());
        let expected = rule.unwrap_or_else(|| format!("another name: {error}"));
        faults.push(Fault::new("agent.name", expected).found(format!("{:?}", config.agent.name)));
    }
    if let Some(Err(error)) = config.agent.log.as_deref().map(check_filter) {
        faults.push(Fault::new("agent.log", error.to_string()));
    }
    faults.extend(protocol(config));
    faults.extend(templates(config));
    faults.extend(formats(config));
    faults
}

/// The probes know which protocols there are.
fn protocol(config: &AgentConfig) -> Option<Fault> {
    let name = config.probe.as_ref().filter(|probe| probe.kind == ProbeKind::Gamedig)?.protocol.as_deref()?;
    if query::find(name).is_some() {
        return None;
    }
    let meant = query::nearest(name).map_or_else(String::new, |nearest| format!("; did you mean {nearest:?}?"));
    Some(Fault::new("probe.protocol", format!("a protocol or game that `gameside probes` lists{meant}")))
}

/// Each template by itself, so that each fault has its place.
fn templates(config: &AgentConfig) -> Vec<Fault> {
    let game = &config.game;
    let arguments = game.command.iter().enumerate().map(|(index, text)| {
        // An argument may come to nothing, the program may not.
        let program = (index > 0).then(|| "program".to_owned());
        let command = program.into_iter().chain([text.clone()]).collect();
        (KeyPath::parse("game.command").index(index), Launch { command, ..blank(config) })
    });
    let variables = game.env.iter().map(|(key, text)| {
        let env = BTreeMap::from([(key.clone(), text.clone())]);
        (KeyPath::parse("game.env").key(key), Launch { env, ..blank(config) })
    });
    let dir =
        game.dir.iter().map(|dir| (KeyPath::parse("game.dir"), Launch { dir: Some(dir.clone()), ..blank(config) }));
    let each = arguments.chain(variables).chain(dir);
    each.filter_map(|(path, launch)| Some(fault(&path, &fill(config, &launch)?))).collect()
}

/// An own session is known beforehand, so its launch is filled in as it will be; for any other, only what no allocation
/// could mend is a fault.
fn fill(config: &AgentConfig, launch: &Launch) -> Option<LaunchError> {
    if config.allocation.provider != ProviderKind::Auto {
        return launch::check(launch).into_iter().next();
    }
    let params = config.startup_params();
    let (session, instance, allocation) =
        (SessionId::new("session").ok(), InstanceId::new("instance").ok(), AllocationId::new("allocation").ok());
    let values = Values {
        name: &config.agent.name,
        host: Some("host"),
        region: config.session.region.as_deref(),
        params: params.as_ref(),
        session: session.as_ref(),
        instance: instance.as_ref(),
        allocation: allocation.as_ref(),
        join_token: config.session.join_token.then_some("token"),
        written_by: WrittenBy::Us,
    };
    launch::check(launch).into_iter().next().or_else(|| launch::render(launch, &values).err())
}

fn fault(path: &KeyPath, error: &LaunchError) -> Fault {
    let expected = match error {
        LaunchError::Template { why, .. } => format!("a template that can be filled in ({why})"),
        LaunchError::NoMap { .. } => "a map in [session.startup] for {{map}}".to_owned(),
        LaunchError::Words { why, .. } => format!("misc_params that can be split into words ({why})"),
        LaunchError::Unfit { why, .. } => format!("a value that may stand there ({why})"),
        LaunchError::ZeroByte { .. } => "text without a zero byte".to_owned(),
        LaunchError::NoCommand => "a program".to_owned(),
    };
    Fault::new(path.to_string(), expected)
}

/// Something that can be launched, with the configured ports under made-up numbers.
fn blank(config: &AgentConfig) -> Launch {
    Launch {
        reuse: config.game.reuse,
        start: config.game.start,
        command: vec!["program".to_owned()],
        env: BTreeMap::new(),
        allow: BTreeMap::new(),
        dir: None,
        startup_file: "startup.json".to_owned(),
        forking: config.game.forking,
        version: None,
        ports: ports(config),
        frontends: BTreeMap::new(),
    }
}

fn ports(config: &AgentConfig) -> Ports {
    config.game.ports.iter().map(|(name, port)| (name.clone(), *port.range.ports().start())).collect()
}

fn formats(config: &AgentConfig) -> Vec<Fault> {
    let addresses = &config.addresses;
    let ports = ports(config);
    let texts = [
        ("addresses.public_format", &addresses.public_format),
        ("addresses.private_format", &addresses.private_format),
    ];
    let each = texts.into_iter().filter(|_| ports.contains_key(&addresses.port));
    each.filter_map(|(key, format)| {
        let error = launch::address(format, "host", &addresses.port, &ports).err()?;
        Some(fault(&KeyPath::parse(key), &error))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(text: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        match load(Some(&path), Vec::new(), Overrides::default()) {
            Ok(_) => Vec::new(),
            Err(report) => {
                report.problems.iter().map(|problem| format!("{}: {}", problem.key, problem.expected)).collect()
            }
        }
    }

    #[test]
    fn templates_are_filled_in_before_anything_is_spawned() {
        let text = r#"
[agent]
name = "a/b"
log = "loud"
[game]
command = ["./server", "{{ports.gmae}}", "{{map", "{{map}}", "{{ports.game}}", "{{misc_args}}"]
dir = "/srv/{{region}}"
env = { MODE = "{% if mode %}{{mode}}{% endif %}", ID = "{{session_id}}", TOKEN = "{{join_token}}" }
[addresses]
public_format = "unreal://{host}:{prot}"
private_format = "unreal://{host}:{port}"
"#;
        let keys: Vec<_> = validate(text).iter().map(|line| line.split(": ").next().unwrap().to_owned()).collect();
        assert_eq!(
            keys,
            [
                "agent.name",
                "agent.log",
                "game.command[1]",
                "game.command[2]",
                "game.command[3]",
                "game.dir",
                "game.env.TOKEN",
                "addresses.public_format"
            ]
        );
    }

    #[test]
    fn a_protocol_that_no_probe_speaks_is_a_fault() {
        let faults = validate("[probe]\nprotocol = \"quak3\"\n");
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("quake3"), "{faults:?}");
    }

    #[test]
    fn a_missing_map_is_a_fault_only_where_nobody_else_can_bring_one() {
        let text = "[game]\ncommand = [\"./server\", \"{{map}}\"]\n";
        assert_eq!(validate(text), ["game.command[1]: a map in [session.startup] for {{map}}"]);
        assert_eq!(validate(&format!("{text}[allocation]\nprovider = \"hook\"\n")), [""; 0]);
        assert_eq!(validate(&format!("{text}[session.startup]\nmap = \"dm1\"\n")), [""; 0]);
    }

    #[test]
    fn the_example_for_openarena_is_sound() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/openarena.toml");
        let loaded = load(Some(&path), Vec::new(), Overrides::default()).unwrap();
        assert_eq!(loaded.warnings, [""; 0]);
        assert_eq!(loaded.config.startup_params().unwrap().map, "oa_dm1");
    }

    #[test]
    fn without_a_file_all_is_well() {
        load(None, Vec::new(), Overrides::default()).unwrap();
    }
}
