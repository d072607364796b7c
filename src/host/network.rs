//! The addresses of this machine's network interfaces.

use crate::model::address::InterfaceAddress;

/// Every address of every interface that is up; an empty list where the kernel doesn't tell.
pub(crate) fn interfaces() -> Vec<InterfaceAddress> {
    let all = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "the network interfaces can't be listed; configure [addresses]");
        Vec::new()
    });
    let up = all.into_iter().filter(if_addrs::Interface::is_oper_up);
    up.map(|interface| InterfaceAddress { address: interface.ip(), interface: interface.name }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_found() {
        let found = interfaces();
        assert!(found.iter().any(|found| found.interface == "lo" && found.address.is_loopback()), "{found:?}");
    }
}
