//! Why an order is refused, and why a process isn't started. The messages go to the agent as they
//! stand: `why` of `refused`, `error` of `spawn-failed`, `not_started` of an `exec`.

use super::{console::ConsoleError, listeners::ListenError};
use crate::{
    keeper::protocol::{MAX_FILE_BYTES, MAX_RECORD_BYTES},
    model::ids::RunNumber,
};
use rustix::io::Errno;
use std::{io, path::PathBuf, time::Duration};

/// Why an order is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("this keeper doesn't understand it: {0}")]
    NotUnderstood(#[from] serde_json::Error),
    #[error("the first order is hello")]
    NoHello,
    #[error("hello was said already")]
    SecondHello,
    #[error("only uid {0} may control this keeper; you may observe")]
    NotTheAgent(u32),
    #[error("an observer may only look, and stop")]
    Observer,
    #[error("{left} processes of run {run} can't be killed; nothing is started here any more")]
    Unkillable { run: RunNumber, left: u32 },
    #[error("run {0} isn't over")]
    RunLives(RunNumber),
    #[error("the exit of run {0} isn't taken yet")]
    ExitNotTaken(RunNumber),
    #[error("run {0} is over, and its exit was taken")]
    RunIsOver(RunNumber),
    #[error("run {0} isn't running")]
    NotRunning(RunNumber),
    #[error("the keeper was told to stop")]
    Stopping,
    #[error("the game still runs; stop it first")]
    GameRuns,
    #[error("an adoption record has at most {MAX_RECORD_BYTES} bytes, not {0}")]
    RecordTooLong(usize),
    #[error("this keeper starts no gateway; its --gateway says which program it would be")]
    NoGateway,
    #[error("there is no gateway program {}", .0.display())]
    GatewayMissing(PathBuf),
    #[error("the gateway can't be started: {0}")]
    GatewayNotStarted(SpawnError),
    #[error("the gateway ended: {why}; the next one is started in {} ms", wait.as_millis() + 1)]
    GatewayFailed { why: String, wait: Duration },
    #[error("the gateway can't be told of you: {0}")]
    GatewayNotTold(io::Error),
    #[error(transparent)]
    Console(#[from] ConsoleError),
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Why a process isn't started.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpawnError {
    #[error("{0} commands run already")]
    TooManyCommands(usize),
    #[error("an empty command can't be started")]
    NoProgram,
    #[error("no program `{word}` in PATH ({path}); give its full path")]
    NotInPath { word: String, path: String },
    #[error("{} is outside the keeper's --executable-root", .0.display())]
    ProgramOutside(PathBuf),
    #[error("the working directory {0} is outside the keeper's --executable-root")]
    DirectoryOutside(String),
    #[error("{0:?} has a zero byte in it")]
    ZeroByte(String),
    #[error("writing {path} for the game: {why}")]
    File { path: String, why: FileError },
    #[error("making a cgroup: {0}")]
    Cgroup(io::Error),
    #[error("making a socket pair: {0}")]
    Socket(io::Error),
    #[error("making pipes: {0}")]
    Pipes(io::Error),
    #[error("starting a process: {0}")]
    Fork(io::Error),
}

/// Why a file isn't written for the game.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("it must lie directly in {}", .0.display())]
    Outside(PathBuf),
    #[error("it has more than {MAX_FILE_BYTES} bytes")]
    TooLong,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What the machine, or this process, has none left of: no fault of the game.
pub(super) fn shortage(error: &io::Error) -> Option<&'static str> {
    Some(match Errno::from_io_error(error)? {
        Errno::MFILE => "the keeper has no file descriptor left; raise its limit (LimitNOFILE=, ulimit -n)",
        Errno::NFILE => "the machine has no file descriptor left; raise fs.file-max",
        Errno::AGAIN => "no further process may be started; raise the limit (TasksMax=, pids.max, ulimit -u)",
        Errno::NOMEM | Errno::NOBUFS => "the machine has no memory left for it",
        Errno::NOSPC => "the disk has no room or no inode left (df, df -i)",
        Errno::DQUOT => "the quota of the disk is used up",
        _ => return None,
    })
}

impl SpawnError {
    /// The order itself can't be carried out: another try would end the same.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            SpawnError::NoProgram
            | SpawnError::NotInPath { .. }
            | SpawnError::ProgramOutside(_)
            | SpawnError::DirectoryOutside(_)
            | SpawnError::ZeroByte(_) => true,
            SpawnError::TooManyCommands(_)
            | SpawnError::File { .. }
            | SpawnError::Cgroup(_)
            | SpawnError::Socket(_)
            | SpawnError::Pipes(_)
            | SpawnError::Fork(_) => false,
        }
    }

    /// The shortage that is the reason, if one is.
    pub(super) fn shortage(&self) -> Option<&'static str> {
        match self {
            SpawnError::Cgroup(why)
            | SpawnError::Socket(why)
            | SpawnError::Pipes(why)
            | SpawnError::Fork(why)
            | SpawnError::File { why: FileError::Io(why), .. } => shortage(why),
            SpawnError::TooManyCommands(_)
            | SpawnError::NoProgram
            | SpawnError::NotInPath { .. }
            | SpawnError::ProgramOutside(_)
            | SpawnError::DirectoryOutside(_)
            | SpawnError::ZeroByte(_)
            | SpawnError::File { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanting_is_named_and_nothing_else_is_a_shortage() {
        let error = |errno: Errno| SpawnError::Pipes(errno.into());
        assert!(error(Errno::MFILE).shortage().unwrap().contains("LimitNOFILE"));
        assert!(SpawnError::Fork(Errno::AGAIN.into()).shortage().unwrap().contains("TasksMax"));
        let full = FileError::Io(Errno::NOSPC.into());
        assert!(SpawnError::File { path: "x".into(), why: full }.shortage().unwrap().contains("inode"));
        assert_eq!(error(Errno::ACCESS).shortage(), None);
        assert_eq!(SpawnError::NoProgram.shortage(), None);
    }
}
