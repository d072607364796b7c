//! Which of this machine's addresses goes into which connection string.
//!
//! | string | first of these that there is |
//! |---|---|
//! | public | configured; seen by the service, where the user opted in; a globally routable address of an interface; nothing |
//! | private | configured; a private IPv4 address of an interface; a globally routable IPv4 address; the same of IPv6; loopback |
//!
//! A private address never goes into the public string. IPv4 is preferred to IPv6, and a network
//! card to what containers and tunnels put beside it. "Globally routable" follows IANA's
//! special-purpose address registries (RFC 6890 and its successors).

use crate::model::address::InterfaceAddress;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the configuration says; host names are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ConfiguredHosts {
    pub public: Option<String>,
    pub private: Option<String>,
}

/// The hosts for the two connection strings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    pub public: Option<String>,
    pub private: Option<String>,
}

/// What an address is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AddressKind {
    /// Reachable from anywhere, as far as the address says.
    Global,
    /// Reachable within a site: RFC 1918, carrier-grade NAT, unique local.
    Private,
    Loopback,
    /// Link-local, documentation, benchmarking, multicast, reserved.
    Unusable,
}

/// Names of interfaces that lead to containers, virtual machines and tunnels on this machine.
const VIRTUAL: [&str; 12] =
    ["docker", "br-", "veth", "virbr", "cni", "flannel", "cali", "lxc", "podman", "tun", "tap", "wg"];

/// Chooses the hosts. `seen`: the address that the session service sees, where the user opted in to ask for it.
pub(crate) fn choose(configured: &ConfiguredHosts, interfaces: &[InterfaceAddress], seen: Option<IpAddr>) -> Hosts {
    let best = |wanted: AddressKind| {
        interfaces
            .iter()
            .filter(|on| kind(on.address) == wanted)
            .min_by_key(|on| (is_virtual(&on.interface), on.address.is_ipv6()))
            .map(|on| on.address.to_string())
    };
    let seen = seen.map(|address| address.to_canonical()).filter(|address| kind(*address) == AddressKind::Global);
    // Many games and networks know no IPv6: a unique local address serves where there is no IPv4.
    let near = interfaces
        .iter()
        .filter(|on| matches!(kind(on.address), AddressKind::Private | AddressKind::Global))
        .min_by_key(|on| (is_virtual(&on.interface), on.address.is_ipv6(), kind(on.address) == AddressKind::Global))
        .map(|on| on.address.to_string());
    Hosts {
        public: configured
            .public
            .clone()
            .or(seen.map(|address| address.to_string()))
            .or_else(|| best(AddressKind::Global)),
        private: configured.private.clone().or(near).or_else(|| best(AddressKind::Loopback)),
    }
}

/// What the registries say about an address.
pub(crate) fn kind(address: IpAddr) -> AddressKind {
    match address.to_canonical() {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> AddressKind {
    match address.octets() {
        [127, ..] => AddressKind::Loopback,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => AddressKind::Private,
        // The two of 192.0.0.0/24 that are globally reachable: PCP and TURN anycast.
        [192, 0, 0, 9 | 10] => AddressKind::Global,
        [0 | 224..=255, ..] | [169, 254, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => {
            AddressKind::Unusable
        }
        [198, 51, 100, _] | [203, 0, 113, _] => AddressKind::Unusable,
        _ => AddressKind::Global,
    }
}

fn kind_v6(address: Ipv6Addr) -> AddressKind {
    if address.is_loopback() {
        return AddressKind::Loopback;
    }
    match address.segments() {
        [0xfc00..=0xfdff, ..] => AddressKind::Private,
        // The parts of 2001::/23 that are globally reachable.
        [0x2001, 1, 0, 0, 0, 0, 0, 1..=3] | [0x2001, 3 | 0x20..=0x3f, ..] | [0x2001, 4, 0x112, ..] => {
            AddressKind::Global
        }
        // The rest of it; documentation; 6to4.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] | [0x2002, ..] => AddressKind::Unusable,
        // Unicast space that IANA has given out.
        [0x2000..=0x3fff, ..] => AddressKind::Global,
        _ => AddressKind::Unusable,
    }
}

fn is_virtual(interface: &str) -> bool {
    VIRTUAL.iter().any(|prefix| interface.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registries_as_a_table() {
        let rows = [
            ("8.8.8.8", AddressKind::Global),
            ("172.15.255.255", AddressKind::Global),
            ("172.32.0.1", AddressKind::Global),
            ("192.0.0.9", AddressKind::Global),
            ("100.63.255.255", AddressKind::Global),
            ("198.20.0.1", AddressKind::Global),
            ("10.1.2.3", AddressKind::Private),
            ("172.16.0.1", AddressKind::Private),
            ("172.31.255.255", AddressKind::Private),
            ("192.168.1.1", AddressKind::Private),
            ("100.64.0.1", AddressKind::Private),
            ("100.127.255.255", AddressKind::Private),
            ("127.0.0.53", AddressKind::Loopback),
            ("0.0.0.0", AddressKind::Unusable),
            ("169.254.169.254", AddressKind::Unusable),
            ("192.0.0.1", AddressKind::Unusable),
            ("192.0.2.1", AddressKind::Unusable),
            ("192.88.99.1", AddressKind::Unusable),
            ("198.19.255.255", AddressKind::Unusable),
            ("198.51.100.7", AddressKind::Unusable),
            ("203.0.113.7", AddressKind::Unusable),
            ("224.0.0.1", AddressKind::Unusable),
            ("240.0.0.1", AddressKind::Unusable),
            ("255.255.255.255", AddressKind::Unusable),
            ("2a00:1450:4001:800::200e", AddressKind::Global),
            ("2606:4700::1", AddressKind::Global),
            ("2001:200::1", AddressKind::Global),
            ("2001:4:112::1", AddressKind::Global),
            ("2001:20::1", AddressKind::Global),
            ("fd00::1", AddressKind::Private),
            ("fc00::1", AddressKind::Private),
            ("::1", AddressKind::Loopback),
            ("::ffff:10.0.0.1", AddressKind::Private),
            ("::ffff:8.8.8.8", AddressKind::Global),
            ("::", AddressKind::Unusable),
            ("64:ff9b:1::1", AddressKind::Unusable),
            ("100::1", AddressKind::Unusable),
            ("2001::1", AddressKind::Unusable),
            ("2001:2::1", AddressKind::Unusable),
            ("2001:db8::1", AddressKind::Unusable),
            ("3fff::1", AddressKind::Unusable),
            ("2002:808:808::1", AddressKind::Unusable),
            ("5f00::1", AddressKind::Unusable),
            ("fe80::1", AddressKind::Unusable),
            ("ff02::1", AddressKind::Unusable),
        ];
        for (address, expected) in rows {
            assert_eq!(kind(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn the_choice_as_a_table() {
        /// Interfaces, what the service sees; public, private.
        type Row =
            (&'static [(&'static str, &'static str)], Option<&'static str>, Option<&'static str>, Option<&'static str>);
        let rows: [Row; 14] = [
            (&[("lo", "127.0.0.1"), ("eth0", "10.0.0.5")], None, None, Some("10.0.0.5")),
            (&[("lo", "127.0.0.1"), ("eth0", "8.8.4.4")], None, Some("8.8.4.4"), Some("8.8.4.4")),
            (&[("eth0", "8.8.4.4"), ("eth1", "10.0.0.5")], None, Some("8.8.4.4"), Some("10.0.0.5")),
            (&[("docker0", "172.17.0.1"), ("eth0", "192.168.1.9")], None, None, Some("192.168.1.9")),
            (&[("docker0", "172.17.0.1")], None, None, Some("172.17.0.1")),
            (&[("eth0", "fd00::5"), ("eth0", "10.0.0.5")], None, None, Some("10.0.0.5")),
            (&[("eth0", "fd00::2"), ("eth0", "8.8.4.4")], None, Some("8.8.4.4"), Some("8.8.4.4")),
            (&[("eth0", "fd00::2"), ("eth1", "8.8.4.4")], None, Some("8.8.4.4"), Some("8.8.4.4")),
            (&[("eth0", "fd00::2"), ("eth0", "2606:4700::1")], None, Some("2606:4700::1"), Some("fd00::2")),
            (&[("docker0", "172.17.0.1"), ("eth0", "8.8.4.4")], None, Some("8.8.4.4"), Some("8.8.4.4")),
            (&[("eth0", "2606:4700::1"), ("eth0", "fe80::1")], None, Some("2606:4700::1"), Some("2606:4700::1")),
            (&[("eth0", "10.0.0.5")], Some("8.8.8.8"), Some("8.8.8.8"), Some("10.0.0.5")),
            (&[("eth0", "10.0.0.5")], Some("10.0.0.1"), None, Some("10.0.0.5")),
            (&[("lo", "::1"), ("lo", "127.0.0.1")], None, None, Some("127.0.0.1")),
        ];
        for (interfaces, seen, public, private) in rows {
            let interfaces: Vec<_> = interfaces
                .iter()
                .map(|(name, address)| InterfaceAddress {
                    interface: (*name).into(),
                    address: address.parse().unwrap(),
                })
                .collect();
            let hosts = choose(&ConfiguredHosts::default(), &interfaces, seen.map(|seen| seen.parse().unwrap()));
            assert_eq!((hosts.public.as_deref(), hosts.private.as_deref()), (public, private), "{interfaces:?}");
        }
    }

    #[test]
    fn what_is_configured_comes_first() {
        let wanted = ConfiguredHosts { public: Some("play.example.com".into()), private: Some("node7".into()) };
        let on = InterfaceAddress { interface: "eth0".into(), address: "8.8.4.4".parse().unwrap() };
        let hosts = choose(&wanted, &[on], Some("8.8.8.8".parse().unwrap()));
        assert_eq!((hosts.public.as_deref(), hosts.private.as_deref()), (Some("play.example.com"), Some("node7")));
        assert_eq!(choose(&ConfiguredHosts::default(), &[], None), Hosts::default());
    }
}
