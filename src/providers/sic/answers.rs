//! What the service's answers mean.

use crate::model::{
    allocation::Allocation,
    calls::Refusal,
    sic::{ALLOCATION_UNDER_WAY, RegisteredItem, ServerState, StateItem, States},
};
use std::time::Duration;

/// What the state call says.
pub enum News {
    Free,
    Allocated(Allocation),
    Deallocated,
}

/// What stands in the way.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    #[error("{0}")]
    Refused(Refusal),
    #[error("the answer can't be read")]
    Unreadable,
    /// The service doesn't know us, or doesn't want us.
    #[error("error {code}: {message}")]
    Item { code: i32, message: String },
}

impl Trouble {
    /// How long the service asked to be left alone.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Trouble::Refused(Refusal::Busy { retry_after }) => *retry_after,
            Trouble::Refused(_) | Trouble::Unreadable | Trouble::Item { .. } => None,
        }
    }
}

/// Whether the only item of a registration was accepted.
pub fn accepted(items: Vec<RegisteredItem>) -> Result<(), Trouble> {
    match items.into_iter().next() {
        Some(item) if item.success || item.error_code == ALLOCATION_UNDER_WAY => Ok(()),
        Some(item) => Err(Trouble::Item { code: item.error_code, message: item.error_message }),
        None => Err(Trouble::Unreadable),
    }
}

/// What the only item of a state says.
pub fn state(states: States) -> Result<News, Trouble> {
    let item: StateItem = states.items.into_iter().next().ok_or(Trouble::Unreadable)?;
    match (item.state, item.allocation_id, item.session_id) {
        (Some(ServerState::Allocating), ..) => Ok(News::Free),
        (Some(ServerState::Deallocated), ..) => Ok(News::Deallocated),
        (Some(ServerState::Allocated), Some(allocation_id), session_id @ Some(_)) => Ok(News::Allocated(Allocation {
            allocation_id,
            session_id,
            startup_params: None,
            players: Vec::new(),
            expires: None,
        })),
        (Some(ServerState::Allocated), ..) => Err(Trouble::Unreadable),
        (None, ..) => Err(Trouble::Item { code: item.error_code, message: item.error_message }),
    }
}
