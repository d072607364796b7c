//! The agent, as a game reaches it: HTTP over the socket or the port that its environment names.
//!
//! Two threads, so that the game never waits: one says what is to be said ([`reporter`]), one
//! listens ([`follower`]). Both try again for as long as it takes: an agent that is away comes
//! back.

pub(crate) mod follower;
pub(crate) mod reporter;

use std::io;

/// Runs a thread's conversation with the agent.
fn block_on<T>(conversation: impl Future<Output = T>) -> io::Result<T> {
    Ok(runtime()?.block_on(conversation))
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
