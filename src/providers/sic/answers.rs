//! What the service's answers mean.

use crate::model::{
    allocation::Allocation,
    calls::Refusal,
    sic::{ALLOCATION_UNDER_WAY, RegisteredItem, ServerState, StateItem, States, TAKEN},
};
use std::time::Duration;

/// What the service says about this server.
pub(super) enum StateReport {
    Free,
    Allocated(Allocation),
    Deallocated,
}

/// Why a request brought no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum SicError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the answer can't be read")]
    Unreadable,
    /// The service doesn't know us, or doesn't want us.
    #[error("error {code}: {message}")]
    Item { code: i32, message: String },
}

impl SicError {
    /// The id belongs to another life of this server, or to another client.
    pub(super) fn is_taken(&self) -> bool {
        matches!(self, SicError::Item { code: TAKEN, .. })
    }

    /// How long the service asked to be left alone.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            SicError::Refused(Refusal::Busy { retry_after }) => *retry_after,
            SicError::Refused(_) | SicError::Unreadable | SicError::Item { .. } => None,
        }
    }
}

/// Whether the only item of a registration was accepted.
pub(super) fn accepted(items: Vec<RegisteredItem>) -> Result<(), SicError> {
    match items.into_iter().next() {
        Some(item) if item.success || item.error_code == ALLOCATION_UNDER_WAY => Ok(()),
        Some(item) => Err(SicError::Item { code: item.error_code, message: item.error_message }),
        None => Err(SicError::Unreadable),
    }
}

/// What the only item of a state says.
pub(super) fn state(states: States) -> Result<StateReport, SicError> {
    let item: StateItem = states.items.into_iter().next().ok_or(SicError::Unreadable)?;
    match (item.state, item.allocation_id, item.session_id) {
        (Some(ServerState::Allocating), ..) => Ok(StateReport::Free),
        (Some(ServerState::Deallocated), ..) => Ok(StateReport::Deallocated),
        (Some(ServerState::Allocated), Some(allocation_id), session_id @ Some(_)) => {
            Ok(StateReport::Allocated(Allocation {
                allocation_id,
                session_id,
                startup_params: None,
                players: Vec::new(),
                expires: None,
            }))
        }
        (Some(ServerState::Allocated), ..) => Err(SicError::Unreadable),
        (None, ..) => Err(SicError::Item { code: item.error_code, message: item.error_message }),
    }
}
