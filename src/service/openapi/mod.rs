//! The service's own OpenAPI 3.1 document: `GET /openapi.json`, `gameside sessions openapi`.
//!
//! ```text
//!   router's rows ──► path, method, permissions ──┐
//!   operations    ──► answers, errors, headers  ──┼──► openapi.json (checked in) ──► the program, packed
//!   model types   ──► bodies, parameters, bounds ─┘       ▲ a test compares
//! ```
//!
//! Extensions of the published contract are marked `x-extension`. `x-permissions` lists the
//! permissions of which a token needs one; `x-session-permissions` says what else a caller needs
//! within the session.
//!
//! Invariants: every row of the router is described, and nothing else; no code for schemas is in
//! the programs.

use crate::model::packed::{Packed, packed};

/// The document.
pub const DOCUMENT: Packed = packed!("service-openapi");

#[cfg(test)]
mod document;
#[cfg(test)]
mod operation;
#[cfg(test)]
mod operations;
