//! `hook`.
