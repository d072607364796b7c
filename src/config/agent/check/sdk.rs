//! What games speak that were built for other platforms: `[gsdk]`, `[a2s]`.

use super::Faults;
use crate::{config::agent::AgentConfig, model::policy::Transport};

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
