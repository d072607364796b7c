//! An address of one of this machine's network interfaces.

use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The interface: `eth0`.
    pub interface: String,
    pub address: IpAddr,
}
