//! What can go wrong, typed; each message says what was being done, to what, and what to do.

use crate::{
    model::{
        calls::Refusal,
        ids::{PlayerUuid, SessionId},
        session::JoinStatus,
    },
    session_api::{CallError, LoginError},
};
use uuid::Uuid;

/// Why a call did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The service said no, or couldn't be asked; [`Refusal`] tells which, and whether anything may have been done.
    #[error("could not {doing}: {}", refused(why))]
    Service { doing: String, why: Refusal },
    /// The service doesn't accept the credentials.
    #[error("could not {doing}: the login was refused: {why}")]
    Login { doing: String, why: String },
    /// Names are this handle's own.
    #[error("no session is named {name:?} here: create or join one under that name, or use its id")]
    UnknownName { name: String },
    #[error("the name {name:?} is taken by session {session}: leave it first, or choose another name")]
    NameTaken { name: String, session: SessionId },
    /// Only players have invites, a presence session and places in sessions.
    #[error("this login is no player's: log in as a player to do this")]
    NoPlayer,
    #[error("there is no pending invite {invite}; it may have been withdrawn or answered")]
    NoInvite { invite: Uuid },
    #[error("player {player} has not asked for friendship, or has taken it back")]
    NoFriendRequest { player: PlayerUuid },
    /// The session's instance can't be connected to (yet, or any more).
    #[error("session {session} can't be connected to: {}", describe(*join_status))]
    NoConnectString { session: SessionId, join_status: Option<JoinStatus> },
    /// Somebody else changed the session each time we tried.
    #[error("session {session} changes all the time; the settings were not written: try again")]
    KeepsChanging { session: SessionId },
}

/// As a player reads it: here the credentials themselves are good.
fn refused(why: &Refusal) -> String {
    match why {
        Refusal::Credentials { desc } => format!("not permitted: {desc}"),
        why => why.to_string(),
    }
}

fn describe(join_status: Option<JoinStatus>) -> &'static str {
    match join_status {
        None => "it has no instance; ask for one, or wait for its host",
        Some(JoinStatus::Requested) => "its instance waits for a free server",
        Some(JoinStatus::Allocated | JoinStatus::Pending) => "its instance is starting",
        Some(JoinStatus::Joinable | JoinStatus::Unjoinable) => {
            "its connect string isn't shown to you; join the session first"
        }
        Some(JoinStatus::Closed) => "its instance has ended",
    }
}

impl ClientError {
    /// The service's code for a refusal, where it gave one: `not_joinable`, `wrong_password`, …
    pub fn code(&self) -> Option<&str> {
        match self {
            ClientError::Service { why: Refusal::Conflict { code, .. } | Refusal::NotFound { code }, .. } => Some(code),
            _ => None,
        }
    }

    /// The session doesn't exist (any more).
    pub fn is_gone(&self) -> bool {
        matches!(self, ClientError::Service { why: Refusal::SessionNotFound, .. })
    }
}

/// What is being done, for errors: "join session 3c1d…".
#[derive(Debug, Clone)]
pub(super) struct Operation(String);

impl Operation {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Operation(what.into())
    }

    /// "…join session ID"
    pub(super) fn on(verb: &str, session: &SessionId) -> Self {
        Operation(format!("{verb} session {session}"))
    }

    pub(super) fn failed(&self, error: impl Into<CallError>) -> ClientError {
        let doing = self.0.clone();
        match error.into() {
            CallError::Login(LoginError::Refused(why)) => ClientError::Login { doing, why },
            CallError::Login(LoginError::Trouble(why)) | CallError::Call(why) => ClientError::Service { doing, why },
        }
    }
}
