//! `auto`.
