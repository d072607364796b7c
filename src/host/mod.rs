//! What the machine gives us: clocks, places, ports, signals, the service manager, logs.
//!
//! | file | holds |
//! |---|---|
//! | [`clock`] | the only place where a clock is read |
//! | [`paths`] | where state and runtime files lie, and that those directories are ours |
//! | [`telemetry`] | the agent's own log |
//! | [`escape`] | foreign text made harmless for a terminal |

pub mod clock;
pub mod escape;
pub mod paths;
pub mod telemetry;
