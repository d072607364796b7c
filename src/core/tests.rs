//! Conversations with the core.

mod matches;
