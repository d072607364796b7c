//! What games speak that were built for other platforms: `[gsdk]`, `[a2s]`, `[agones]`.

use super::Faults;
use crate::{agent::config::AgentConfig, config::keys::KeyPath, model::policy::Transport};

pub(super) fn gsdk(config: &AgentConfig, faults: &mut Faults) {
    let gsdk = &config.gsdk;
    faults.require(gsdk.listen.ip().is_loopback(), "gsdk.listen", "a loopback address, such as \"127.0.0.1:0\"");
    for (key, dir) in [
        ("gsdk.log_dir", &gsdk.log_dir),
        ("gsdk.shared_content_dir", &gsdk.shared_content_dir),
        ("gsdk.certificate_dir", &gsdk.certificate_dir),
    ] {
        faults.require(dir.as_ref().is_none_or(|dir| dir.is_absolute()), key, "an absolute path");
    }
}

pub(super) fn a2s(config: &AgentConfig, faults: &mut Faults) {
    let (a2s, ports) = (&config.a2s, &config.game.ports);
    if !a2s.enabled {
        return;
    }
    let port = ports.get(&a2s.port);
    faults.require(port.is_some(), "a2s.port", "the name of a port in [game.ports] that the game leaves alone");
    let udp = port.is_none_or(|port| port.protocol != Transport::Tcp);
    faults.require(udp, "a2s.port", "a port with protocol = \"udp\" or \"both\"");
    let own = a2s.port != config.addresses.port;
    faults.require(own || ports.len() < 2, "a2s.port", "another port than the one that players connect to");
    let probed = config.probe.as_ref().and_then(|probe| probe.port.as_ref());
    faults.require(probed != Some(&a2s.port), "probe.port", "another port than a2s.port: the agent would ask itself");
    faults.require(a2s.rate > 0, "a2s.rate", "at least 1");
    faults.require(a2s.rate_per_address > 0, "a2s.rate_per_address", "at least 1");
    faults.positive(a2s.challenge_lifetime, "a2s.challenge_lifetime");
}

pub(super) fn agones(config: &AgentConfig, faults: &mut Faults) {
    let Some(agones) = &config.agones else { return };
    for (key, address) in [("agones.grpc", agones.grpc), ("agones.http", agones.http)] {
        faults.require(address.ip().is_loopback(), key, "a loopback address: the Agones SDK has no login");
    }
    faults.require(
        agones.grpc != agones.http || agones.grpc.port() == 0,
        "agones.http",
        "another port than agones.grpc",
    );
    faults.positive(agones.health.period, "agones.health.period");
    faults.require(agones.health.failure_threshold > 0, "agones.health.failure_threshold", "1 or more");
    for (name, counter) in &agones.counters {
        let key = KeyPath::parse("agones.counters").key(name).key("count").to_string();
        faults.require(counter.count <= counter.capacity, &key, "at most the counter's capacity");
    }
    for (name, list) in &agones.lists {
        let key = |key: &str| KeyPath::parse("agones.lists").key(name).key(key).to_string();
        faults.require(list.capacity <= 1000, &key("capacity"), "at most 1000");
        let fits = list.values.len() <= list.capacity as usize;
        faults.require(fits, &key("values"), "no more values than the list's capacity");
    }
    let unknown = |name: &Option<String>, known: bool| name.is_none() || known;
    let list = agones.players_list.as_ref().is_some_and(|name| agones.lists.contains_key(name));
    faults.require(unknown(&agones.players_list, list), "agones.players_list", "the name of one of [agones.lists]");
    let counter = agones.players_counter.as_ref().is_some_and(|name| agones.counters.contains_key(name));
    let expected = "the name of one of [agones.counters]";
    faults.require(unknown(&agones.players_counter, counter), "agones.players_counter", expected);
}
