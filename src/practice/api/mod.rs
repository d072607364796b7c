//! The agent, as a game of any language would reach it: plain blocking HTTP.
//!
//! Two threads, so that the game never waits: one says what is to be said ([`reporter`]), one listens ([`follower`]). Both
//! try again for as long as it takes: an agent that is away comes back.

pub mod follower;
pub mod http;
pub mod reporter;
