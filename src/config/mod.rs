//! Configuration: one TOML file a role, every key with a default, all errors at once.
//!
//! | file | holds |
//! |---|---|
//! | [`service`] | reading the session service's file |
//! | [`values`] | values with a syntax of their own: port ranges, signals |
//! | [`mod@read`] | from a file and an environment to a value and every fault on the way |
//! | [`schema`], [`keys`] | the types as the checks and the reference look at them; paths to values |
//! | [`provenance`] | where every value was written |
//! | [`schema_check`], [`mod@env`] | stages of reading |
//! | [`report`] | what is wrong, and where |
//! | [`mod@reference`], [`field_order`] | what users read, made from the types |
//!
//! The files' types lie with those who obey them: `agent::config`, `service::settings`.

pub(crate) mod env;
pub(crate) mod field_order;
#[cfg(test)]
mod key_effects_tests;
pub(crate) mod keys;
pub(crate) mod provenance;
pub(crate) mod read;
pub(crate) mod reference;
pub(crate) mod report;
pub(crate) mod schema;
pub(crate) mod schema_check;
pub(crate) mod service;
pub(crate) mod values;
