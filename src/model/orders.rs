//! What an operator may ask of an agent, and the typed reasons for a refusal. Over HTTP a refusal
//! becomes a status code, in the shell an exit code; both mappings are exhaustive matches, here and
//! in `cli::exit`.

use super::{
    allocation::Allocation,
    ids::{AllocationId, InstanceId, SessionId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// Matches an answer to its asker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What an operator asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Allocate(Box<Allocation>),
    /// Players may finish; then the server ends (`then`).
    Drain {
        reason: Option<String>,
        then: After,
    },
    /// The stop ladder at once, without waiting for players; then the agent ends.
    Stop {
        reason: Option<String>,
        /// A stop that is under way already takes its next step at once. Without it, to ask again changes nothing.
        now: bool,
    },
    /// Let go of the game: the agent ends, the match goes on under the keeper. With `restart` the agent's exit
    /// code asks its supervisor for a new one (an upgrade).
    Detach {
        restart: bool,
    },
    /// Overrides the game's own gate.
    Admission(super::game::Admission),
}

/// What follows a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum After {
    /// Ready for the next allocation.
    Recycle,
    /// The agent ends.
    End,
}

/// An order that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "accepted")]
pub enum Accepted {
    Allocated {
        #[cfg_attr(test, schema(value_type = String))]
        allocation_id: AllocationId,
        #[cfg_attr(test, schema(value_type = String))]
        session_id: SessionId,
        #[cfg_attr(test, schema(value_type = String))]
        instance_id: InstanceId,
    },
    Draining {
        deadline: Timestamp,
    },
    Stopping,
    Detached,
    Admission,
}

/// Why an order was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("busy with allocation {allocation}; one match at a time")]
    Busy { allocation: String },
    #[error("the agent is draining and takes no further allocation")]
    Draining,
    #[error("the game holds itself back (its SDK's Reserve or Allocate) until it says that it is ready again")]
    HeldBack,
    #[error("an earlier end could not be reported yet; no allocation until it is")]
    EndUndelivered,
    #[error("the journal can't be written, so no allocation is taken: {why}")]
    JournalBroken { why: String },
    #[error("the keeper is away; nothing can be started")]
    NoKeeper,
    #[error("processes of the last game can't be killed; this host needs an operator")]
    Unkillable,
    #[error("the session {session} is not known to the session service")]
    UnknownSession { session: String },
    #[error("the session service can't be asked: {why}")]
    Backend { why: String },
    #[error("the allocation expired at {expired}")]
    Expired { expired: Timestamp },
    #[error("the game can't be started for this allocation: {why}")]
    Launch { why: String },
    #[error("nothing to do: {why}")]
    Nothing { why: String },
    #[error("this agent takes its allocations from {provider}")]
    NotByHook { provider: &'static str },
}

impl Refused {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Refused::Busy { .. } => "busy",
            Refused::Draining => "draining",
            Refused::HeldBack => "held_back",
            Refused::EndUndelivered => "end_undelivered",
            Refused::JournalBroken { .. } => "journal_broken",
            Refused::NoKeeper => "no_keeper",
            Refused::Unkillable => "unkillable",
            Refused::UnknownSession { .. } => "session_not_found",
            Refused::Backend { .. } => "backend_away",
            Refused::Expired { .. } => "expired",
            Refused::Launch { .. } => "launch",
            Refused::Nothing { .. } => "nothing_to_do",
            Refused::NotByHook { .. } => "not_by_hook",
        }
    }

    /// The HTTP status that says it.
    pub fn http_status(&self) -> u16 {
        match self {
            Refused::Busy { .. }
            | Refused::Draining
            | Refused::HeldBack
            | Refused::NotByHook { .. }
            | Refused::Nothing { .. } => 409,
            Refused::UnknownSession { .. } => 404,
            Refused::Expired { .. } | Refused::Launch { .. } => 422,
            Refused::EndUndelivered
            | Refused::JournalBroken { .. }
            | Refused::NoKeeper
            | Refused::Unkillable
            | Refused::Backend { .. } => 503,
        }
    }
}
