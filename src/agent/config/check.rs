//! What the types can't say about an agent's configuration. One function a section; each pushes
//! every fault it finds.

mod sdk;
mod session;
mod stop;
mod watch;

use super::AgentConfig;
use crate::{
    config::{keys::KeyPath, provenance::Provenance, read::Fault},
    model::{
        policy::{GameKind, Guards, ReadyBy, Transport},
        probe::{Bots, Probe, ProbeKind},
        process::StopAction,
        units::Span,
    },
};
use regex::Regex;

/// The names of limits that the keeper knows; all but `memory` are those of `prlimit`.
const LIMITS: [&str; 10] = ["nofile", "nproc", "core", "fsize", "as", "stack", "memlock", "rtprio", "nice", "memory"];
/// Collects faults.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn require(&mut self, good: bool, key: &str, expected: &str) {
        if !good {
            self.0.push(Fault::new(key, expected));
        }
    }
    fn positive(&mut self, span: Span, key: &str) {
        self.require(span > Span::from_millis(0), key, "a duration above 0");
    }
}

/// Every fault.
pub fn faults(config: &AgentConfig, provenance: &Provenance) -> Vec<Fault> {
    let mut faults = Faults::default();
    game(config, &mut faults);
    versions(config, &mut faults);
    ports(config, provenance, &mut faults);
    readiness(config, &mut faults);
    stop::ladder(config, &mut faults);
    stop::quit(config, &mut faults);
    sdk::gsdk(config, &mut faults);
    sdk::a2s(config, &mut faults);
    watch::probe(config, &mut faults);
    watch::log_patterns(config, &mut faults);
    session::session(config, &mut faults);
    session::custom_data(config, &mut faults);
    numbers(config, &mut faults);
    keeper(config, &mut faults);
    sdk::agones(config, &mut faults);
    faults.0
}

/// What is allowed, but should be known.
pub fn warnings(config: &AgentConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    for (key, address) in [("listen", config.api.listen), ("operator_listen", config.api.operator_listen)] {
        if !address.ip().is_loopback() {
            warnings.push(format!(
                "api.{key} = \"{address}\" can be reached from other machines; the API speaks plain HTTP, its tokens could be overheard"
            ));
        }
    }
    if config.session.url.starts_with("http://") && !session::is_loopback_url(&config.session.url) {
        warnings.push(format!(
            "session.url = {:?} isn't encrypted; credentials and tokens could be overheard",
            config.session.url
        ));
    }
    if config.session.is_local() && config.credentials.client_id.is_some() {
        warnings.push("[credentials] isn't used: session.url is \"local\", which has a secret of its own".to_owned());
    }
    if config.game.stop.steps().last().is_some_and(|step| step.action != StopAction::Kill) {
        warnings.push(
            "game.stop.ladder doesn't end with { kill = true }: what ignores it is killed only at the last deadline"
                .to_owned(),
        );
    }
    if config.game.readiness.by == ReadyBy::Delay {
        warnings.push(
            "game.readiness.by = \"delay\" proves little: players may be let in before the game is up".to_owned(),
        );
    }
    if config.kind().0 == GameKind::World && config.guards != Guards::default() {
        warnings.push("[guards] end no world; [game] kind = \"match\" makes it a match".to_owned());
    }
    warnings.extend(watch::open_patterns(config));
    if counts_bots_beside_the_log(config) {
        warnings.push(
            "[probe] counts bots, and [log_patterns] may not: where only one of them says that somebody plays, the server is held for \
             players.count_conflict; probe.bots = \"ignore\" leaves bots out"
                .to_owned(),
        );
    }
    warnings
}

fn counts_bots_beside_the_log(config: &AgentConfig) -> bool {
    let counts = |probe: &Probe| probe.kind == ProbeKind::Gamedig && probe.bots == Bots::Count;
    config.probe.as_ref().is_some_and(counts)
        && (config.log_patterns.player_joined.is_some() || config.log_patterns.player_left.is_some())
}

fn game(config: &AgentConfig, faults: &mut Faults) {
    let program = config.game.command.first();
    faults.require(program.is_none_or(|program| !program.trim().is_empty()), "game.command[0]", "a program");
    for name in config.game.env.keys() {
        let good = !name.is_empty() && !name.contains(['=', '\0']);
        faults.require(good, &KeyPath::parse("game.env").key(name).to_string(), "a variable's name, without '='");
    }
    for (name, pattern) in &config.game.allow {
        let key = KeyPath::parse("game.allow").key(name).to_string();
        if let Err(why) = Regex::new(pattern) {
            faults.0.push(watch::bad_pattern(&key, &why));
        }
        let known = matches!(name.as_str(), "map" | "mode" | "misc" | "misc_args") || name.starts_with("custom.");
        faults.require(known, &key, "map, mode, misc, misc_args or custom.KEY");
    }
    let file = config.game.startup_file.as_deref();
    faults.require(file.is_none_or(|file| file.starts_with('/')), "game.startup_file", "an absolute path");
}

fn versions(config: &AgentConfig, faults: &mut Faults) {
    let game = &config.game;
    let given = [game.version.is_some(), game.version_file.is_some(), game.version_env.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        let key = if game.version_env.is_some() { "game.version_env" } else { "game.version_file" };
        faults.require(false, key, "only one of version, version_file and version_env");
    }
}

fn ports(config: &AgentConfig, provenance: &Provenance, faults: &mut Faults) {
    let ports = &config.game.ports;
    for (name, port) in ports.iter() {
        let key = KeyPath::parse("game.ports").key(name);
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let good = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(allowed);
        faults.require(good, &key.to_string(), "a name of lower-case letters, digits and '_', which templates can use");
        let earlier = ports.iter().take_while(|(other, _)| *other != name);
        let clash = earlier.filter(|(_, other)| {
            let apart = matches!(
                (other.protocol, port.protocol),
                (Transport::Udp, Transport::Tcp) | (Transport::Tcp, Transport::Udp)
            );
            port.range.is_fixed() && other.range == port.range && !apart
        });
        for (other, _) in clash {
            let expected = format!("another port than that of [game.ports.{other}]");
            faults.require(false, &key.key("range").to_string(), &expected);
        }
    }
    let mut known = |name: &str, key: &str| {
        if !ports.contains_key(name) {
            let names: Vec<_> = ports.keys().map(String::as_str).collect();
            let expected = format!("the name of one of [game.ports]: {}", names.join(", "));
            faults.0.push(Fault::new(key, expected).found(format!("{name:?}")));
        }
    };
    if ports.len() > 1 || provenance.is_set(&KeyPath::parse("addresses.port")) {
        known(&config.addresses.port, "addresses.port");
    }
    if let Some(name) = config.probe.as_ref().and_then(|probe| probe.port.as_deref()) {
        known(name, "probe.port");
    }
}

fn readiness(config: &AgentConfig, faults: &mut Faults) {
    let readiness = &config.game.readiness;
    faults.positive(readiness.timeout, "game.readiness.timeout");
    let pattern = readiness.pattern.as_deref();
    if let Some(Err(why)) = pattern.map(Regex::new) {
        faults.0.push(watch::bad_pattern("game.readiness.pattern", &why));
    }
    let (good, expected) = match readiness.by {
        ReadyBy::Auto | ReadyBy::Sdk => (true, ""),
        ReadyBy::Probe => (config.probe.is_some(), "a section [probe] for by = \"probe\""),
        ReadyBy::Port => (!config.game.ports.is_empty(), "a port in [game.ports] for by = \"port\""),
        ReadyBy::Log => {
            let some = pattern.or(config.log_patterns.ready.as_deref()).is_some();
            (some, "game.readiness.pattern for by = \"log\"")
        }
        ReadyBy::Delay => (readiness.delay < readiness.timeout, "a delay that is shorter than the timeout"),
    };
    faults.require(good, "game.readiness.by", expected);
}

fn numbers(config: &AgentConfig, faults: &mut Faults) {
    let restart = &config.game.restart;
    faults.positive(restart.delay, "game.restart.delay");
    faults.require(
        restart.delay <= restart.max_delay,
        "game.restart.max_delay",
        "at least as long as game.restart.delay",
    );
    faults.require(restart.budget >= 1, "game.restart.budget", "at least 1");
    faults.positive(restart.window, "game.restart.window");
    let health = &config.health;
    faults.require(health.fall >= 1, "health.fall", "at least 1");
    faults.require(health.rise >= 1, "health.rise", "at least 1");
    for (percent, key) in [
        (health.memory_percent, "health.memory_percent"),
        (health.pressure_percent, "health.pressure_percent"),
        (health.tick_percent, "health.tick_percent"),
    ] {
        faults.require(percent <= 100, key, "a share in percent, from 0 to 100");
    }
    let target = health.tick_target;
    faults.require(target.is_none_or(|rate| rate.is_finite() && rate > 0.0), "health.tick_target", "a rate above 0");
    faults.positive(config.hooks.timeout, "hooks.timeout");
}

fn keeper(config: &AgentConfig, faults: &mut Faults) {
    let keeper = &config.keeper;
    for name in keeper.limits.keys() {
        let expected = format!("one of the limits {}", LIMITS.join(", "));
        faults.require(
            LIMITS.contains(&name.as_str()),
            &KeyPath::parse("keeper.limits").key(name).to_string(),
            &expected,
        );
    }
    for (index, root) in keeper.executable_roots.iter().enumerate() {
        faults.require(root.is_absolute(), &format!("keeper.executable_roots[{index}]"), "an absolute path");
    }
    faults.require(keeper.log_files >= 1, "keeper.log_files", "at least 1");
    faults.require(keeper.log_size.0 >= 4096, "keeper.log_size", "at least 4KiB");
    let user = keeper.user.is_some() || keeper.group.is_none();
    faults.require(user, "keeper.group", "a keeper.user beside it");
}

#[cfg(test)]
mod tests {
    use crate::{agent::config::AgentConfig, config::read::read_text};

    fn check(text: &str) -> String {
        let mut reading = read_text::<AgentConfig>("agent.toml", text, "GAMESIDE_", &[]);
        for fault in super::faults(&reading.value, &reading.provenance) {
            reading.add(fault);
        }
        reading.finish().map_or_else(|report| report.to_string(), |_| String::new())
    }

    #[test]
    fn the_defaults_are_without_fault_or_warning() {
        assert_eq!(check(""), "");
        assert_eq!(super::warnings(&AgentConfig::default()), [""; 0]);
    }

    #[test]
    fn every_rule_is_reported_with_its_place() {
        let text = r#"
[game]
command = [" "]
version = "1.0.0"
version_env = "GAME_VERSION"
startup_file = "startup.json"

[game.env]
"A=B" = "x"

[game.ports]
Game = { range = "7777" }
a = { range = "7000" }
b = { range = "7000", protocol = "both" }

[game.readiness]
by = "log"
timeout = "0"

[game.stop]
ladder = [{ signal = "SIGTERM", kill = true }, { stdin = "a\nb", wait = "1m" }]

[game.restart]
delay = "1m"
budget = 0

[probe]
interval = "0"

[log_patterns]
player_joined = "joined: (.*)"
player_left = "left: ("

[session]
url = "ftp://x"
type = ""
poll = "1ms"
teams = [0]
on_session_lost = "recreate"

[allocation]
provider = "sic"

[custom_data]
join_params = { "rh.Token" = "" }

[health]
memory_percent = 101
tick_target = -1.0
fall = 0

[drain]
host_deadline = "30s"

[keeper]
group = "games"
executable_roots = ["bin"]
log_size = "1B"
limits = { nofiles = 5 }
"#;
        insta::assert_snapshot!(check(text));
    }

    #[test]
    fn a_value_that_is_already_at_fault_is_not_complained_about_twice() {
        assert_eq!(check("[game.stop]\nladder = 5\n").lines().count(), 1);
        assert_eq!(check("[game]\nports = {}\n[addresses]\nport = 5\n").lines().count(), 1);
    }

    #[test]
    fn faults_about_quitting_and_other_platforms_have_their_places() {
        let text = "[game.stop.quit]\nby = \"source-rcon\"\ncommand = \"a\\nb\"\nport = \"rcon\"\n[gsdk]\nlisten = \"0.0.0.0:56001\"\n\
                    log_dir = \"logs\"\n[a2s]\nenabled = true\nport = \"nowhere\"\nrate = 0\n[probe]\nkind = \"tcp\"\nport = \"nowhere\"\n";
        let found = check(text);
        for key in [
            "game.stop.quit.command",
            "game.stop.quit.port",
            "gsdk.listen",
            "gsdk.log_dir",
            "a2s.port",
            "a2s.rate",
            "probe.port",
        ] {
            assert!(found.contains(&format!(" {key}: ")), "{key} in {found}");
        }
        let udp = check("[game.stop.quit]\nby = \"minecraft-rcon\"\ncommand = \"stop\"\n");
        assert!(udp.contains("game.stop.quit.port") && udp.contains("tcp"), "{udp}");
    }

    #[test]
    fn bots_that_only_one_of_two_sources_counts_are_warned_of() {
        let twice = |text: &str| {
            let config: AgentConfig = toml::from_str(text).unwrap();
            super::warnings(&config).iter().any(|warning| warning.contains("counts bots"))
        };
        let (joined, ready) = ("player_joined = '^join (?<name>.+)'", "ready = '^up'");
        assert!(twice(&format!("[probe]\nprotocol = 'quake3'\n[log_patterns]\n{joined}\n")));
        assert!(!twice(&format!("[probe]\nprotocol = 'quake3'\nbots = 'ignore'\n[log_patterns]\n{joined}\n")));
        assert!(!twice(&format!("[probe]\nprotocol = 'quake3'\n[log_patterns]\n{ready}\n")));
        assert!(!twice(&format!("[probe]\nkind = 'udp'\n[log_patterns]\n{joined}\n")));
        assert!(!twice(&format!("[log_patterns]\n{joined}\n")));
    }

    #[test]
    fn warnings_name_what_is_open() {
        let mut config = AgentConfig::default();
        config.api.listen = "0.0.0.0:8000".parse().unwrap();
        config.session.url = "http://sessions.example.com".to_owned();
        config.game.stop.ladder.pop();
        assert_eq!(super::warnings(&config).len(), 3);
        config.session.url = "http://127.0.0.1:80".to_owned();
        assert_eq!(super::warnings(&config).len(), 2);
        config.api.operator_listen = "[::]:8001".parse().unwrap();
        assert_eq!(super::warnings(&config).len(), 3);
    }
}
