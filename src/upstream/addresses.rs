//! Which of this machine's addresses goes into which connection string.

use crate::model::address::InterfaceAddress;
use std::net::IpAddr;

/// What the user said about addresses; host names are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub public: Option<String>,
    pub private: Option<String>,
}

/// The hosts for the two connection strings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    pub public: Option<String>,
    pub private: Option<String>,
}

/// Chooses. `seen` is the address that the service sees, where the user opted in to ask for it.
pub fn choose(wanted: &Wanted, interfaces: &[InterfaceAddress], seen: Option<IpAddr>) -> Hosts {
    let _ = (wanted, interfaces, seen);
    unimplemented!()
}
