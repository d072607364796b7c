//! What the machine gives us: clocks, places, ports, signals, the service manager, logs.
//!
//! | file | holds |
//! |---|---|
//! | [`clock`] | the only place where a clock is read |
//! | [`alarm`] | a timer that wakes the process once |
//! | [`paths`] | where state and runtime files lie |
//! | [`directories`] | that a directory is ours |
//! | [`files`] | small private files, written whole or not at all, never through a link |
//! | [`lock`] | who may be here: a lock held for life, with the holder's pid in it |
//! | [`ports`] | free ports, reserved across the agents of a machine |
//! | `environment` | secrets taken out of this process's environment |
//! | [`secrets`] | where a secret lies, without reading it before it is needed |
//! | [`signals`] | TERM, INT and HUP as a stream |
//! | [`notify`] | systemd: ready, status, watchdog, more time |
//! | [`addresses`] | which of this machine's addresses go into which connection string |
//! | [`network`] | the addresses of this machine's interfaces |
//! | [`process`] | what this process does to itself: no core dumps, nobody reads its memory |
//! | `resources` | figures of this machine and of our own processes |
//! | [`socket`] | unix sockets at paths of any length |
//! | [`telemetry`] | the agent's own log |
//! | [`escape`] | foreign text made harmless for a terminal |

pub(crate) mod addresses;
pub(crate) mod alarm;
pub(crate) mod clock;
pub(crate) mod directories;
pub(crate) mod environment;
pub(crate) mod escape;
pub(crate) mod files;
pub(crate) mod lock;
pub(crate) mod network;
pub(crate) mod notify;
pub(crate) mod paths;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod resources;
pub(crate) mod secrets;
pub(crate) mod signals;
pub(crate) mod socket;
pub(crate) mod telemetry;
