//! Configuration: one TOML file a role, every key with a default, all errors at once.
//!
//! | file | holds |
//! |---|---|
//! | [`agent`] | the agent's file, as types with defaults |
//! | [`report`] | what is wrong, and where |
//! | [`values`] | values with a syntax of their own: port ranges, signals |

pub mod agent;
pub mod report;
pub mod values;
