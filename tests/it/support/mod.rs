//! The harness.

pub mod component;
pub mod source;
