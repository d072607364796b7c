//! Exit codes: few, documented, and given in one place. `gameside help exit-codes` prints this
//! table.

use crate::{
    agent::NoAgent,
    core::io::Ending,
    model::{calls::Refusal, orders::Refused},
    session_api::client::ClientError,
};
use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done,
    Failed,
    Usage,
    NotRunning,
    Refused,
    AlreadyRunning,
    Undelivered,
    GameFailed,
    Unkillable,
    Superseded,
    Restart,
    Incompatible,
}

impl Exit {
    pub const ALL: [Exit; 12] = [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::NotRunning,
        Exit::Refused,
        Exit::AlreadyRunning,
        Exit::Undelivered,
        Exit::GameFailed,
        Exit::Unkillable,
        Exit::Superseded,
        Exit::Restart,
        Exit::Incompatible,
    ];

    /// The number. Released numbers never change; scripts and units rely on them.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotRunning => 3,
            Exit::Refused => 4,
            Exit::AlreadyRunning => 5,
            Exit::Undelivered => 6,
            Exit::GameFailed => 70,
            Exit::Unkillable => 71,
            Exit::Superseded => 72,
            Exit::Restart => 75,
            Exit::Incompatible => 76,
        }
    }

    /// What it means, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done as asked; for `run`: drained and stopped in order, or detached",
            Exit::Failed => {
                "something went wrong; the message says what, where and what to do (for `status --probe`: the agent said no, or nothing)"
            }
            Exit::Usage => "the command line or the configuration is wrong; nothing was done",
            Exit::NotRunning => "no agent runs under that name (`status` still prints what keeper and journal know)",
            Exit::Refused => "the agent or the session service refused, and the message says why",
            Exit::AlreadyRunning => "another agent of that name runs; the message gives its pid",
            Exit::Undelivered => {
                "ended in order, but the session service was not told; the next `gameside run` of that name tells it"
            }
            Exit::GameFailed => "the game crashed too often or can't be started; the instance was closed",
            Exit::Unkillable => "processes of the game can't be killed; this host needs an operator",
            Exit::Superseded => "another agent took the game over; this one ended without touching it",
            Exit::Restart => "detached for an upgrade: the supervisor starts a new agent (RestartForceExitStatus=75)",
            Exit::Incompatible => "the keeper speaks no version that this agent knows; the match is kept",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// What `gameside run` exits with.
impl From<&Ending> for Exit {
    fn from(ending: &Ending) -> Exit {
        match ending {
            Ending::Orderly { .. } | Ending::Detached { restart: false } => Exit::Done,
            Ending::Undelivered { .. } => Exit::Undelivered,
            Ending::Detached { restart: true } => Exit::Restart,
            Ending::Superseded => Exit::Superseded,
            Ending::Failed { .. } => Exit::GameFailed,
            Ending::KeeperSilent => Exit::Failed,
            Ending::Unkillable => Exit::Unkillable,
            Ending::Incompatible { .. } => Exit::Incompatible,
        }
    }
}

/// What `gameside run` exits with where no agent could be run.
impl From<&NoAgent> for Exit {
    fn from(error: &NoAgent) -> Exit {
        match error {
            NoAgent::AlreadyRuns { .. } => Exit::AlreadyRunning,
            NoAgent::Place(_) | NoAgent::Setup(_) => Exit::Usage,
            NoAgent::Incompatible { .. } => Exit::Incompatible,
            NoAgent::Superseded { .. } => Exit::Superseded,
            NoAgent::Port(_)
            | NoAgent::File(_)
            | NoAgent::Journal { .. }
            | NoAgent::Keeper(_)
            | NoAgent::OperatorListen { .. }
            | NoAgent::SessionClient(_)
            | NoAgent::Io { .. } => Exit::Failed,
        }
    }
}

/// What a command exits with that asked the session service.
impl From<&ClientError> for Exit {
    fn from(error: &ClientError) -> Exit {
        match error {
            ClientError::UnknownName { .. } | ClientError::NameTaken { .. } => Exit::Usage,
            ClientError::Service {
                why: Refusal::Unreachable { .. } | Refusal::Ambiguous { .. } | Refusal::Busy { .. } | Refusal::NoSuchApi,
                ..
            }
            | ClientError::KeepsChanging { .. } => Exit::Failed,
            ClientError::Service { .. }
            | ClientError::Login { .. }
            | ClientError::NoPlayer
            | ClientError::NoInvite { .. }
            | ClientError::NoFriendRequest { .. }
            | ClientError::NoConnectString { .. } => Exit::Refused,
        }
    }
}

/// What a command exits with whose order was refused.
impl From<&Refused> for Exit {
    fn from(refused: &Refused) -> Exit {
        match refused {
            Refused::Unkillable => Exit::Unkillable,
            Refused::Busy { .. }
            | Refused::Draining
            | Refused::HeldBack
            | Refused::EndUndelivered
            | Refused::JournalBroken { .. }
            | Refused::NoKeeper
            | Refused::UnknownSession { .. }
            | Refused::Backend { .. }
            | Refused::Expired { .. }
            | Refused::Launch { .. }
            | Refused::Nothing { .. }
            | Refused::NotByHook { .. } => Exit::Refused,
        }
    }
}

impl Exit {
    /// What a command exits with that got this answer of an agent; `code`: the member `error` of its body.
    pub fn of_answer(status: u16, code: Option<&str>) -> Exit {
        match (status, code) {
            (200..300, _) => Exit::Done,
            (_, Some("unkillable")) => Exit::Unkillable,
            (401 | 403, _) => Exit::Failed,
            // What was asked can't be understood; what is understood and refused has its own codes.
            (400, _) | (422, None | Some("invalid")) => Exit::Usage,
            _ => Exit::Refused,
        }
    }
}

/// The table as `gameside help exit-codes` prints it.
pub(crate) fn table() -> String {
    use std::fmt::Write as _;
    Exit::ALL.iter().fold(String::new(), |mut text, exit| {
        let _ = writeln!(text, "  {:>3}  {}", exit.code(), exit.meaning());
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_documentation_lists_every_code() {
        let page = include_str!("../../docs/exit-codes.md");
        for exit in Exit::ALL {
            let row = format!("| {} | {} |", exit.code(), exit.meaning());
            assert!(page.contains(&row), "docs/exit-codes.md lacks: {row}");
        }
    }

    #[test]
    fn a_refusal_over_http_exits_like_the_refusal_itself() {
        let text = || "x".to_owned();
        for refused in [
            Refused::Busy { allocation: text() },
            Refused::Draining,
            Refused::HeldBack,
            Refused::EndUndelivered,
            Refused::JournalBroken { why: text() },
            Refused::NoKeeper,
            Refused::Unkillable,
            Refused::UnknownSession { session: text() },
            Refused::Backend { why: text() },
            Refused::Expired { expired: crate::model::time::Timestamp::EPOCH },
            Refused::Launch { why: text() },
            Refused::Nothing { why: text() },
            Refused::NotByHook { provider: "auto" },
        ] {
            let exit = Exit::of_answer(refused.http_status(), Some(refused.code()));
            assert_eq!(exit, Exit::from(&refused), "{}", refused.code());
        }
        assert_eq!(Exit::of_answer(422, Some("invalid")), Exit::Usage);
        assert_eq!(Exit::of_answer(403, Some("forbidden")), Exit::Failed);
    }

    #[test]
    fn no_two_exits_share_a_code() {
        assert_eq!(Exit::ALL.iter().map(|exit| exit.code()).collect::<BTreeSet<_>>().len(), Exit::ALL.len());
    }
}
