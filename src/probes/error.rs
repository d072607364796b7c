//! Why a probe found nothing: each message completes "the probe gets no answer:".

use gamedig::errors::{GDError, GDErrorKind};
use std::{io, time::Duration};

/// Why a probe got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("GET {path} answers {status}")]
    HttpStatus { path: String, status: u16 },
    #[error("what answers there isn't HTTP")]
    NotHttp,
    #[error("UDP port {0} isn't bound")]
    NotBound(u16),
    #[error("can't read which ports are bound: {0}")]
    PortTable(#[source] io::Error),
    #[error("the probe's port {0:?} isn't configured in [game.ports]")]
    UnknownPort(String),
    #[error("there is no protocol {0:?}")]
    UnknownProtocol(String),
    /// A time-out that the query library can't use.
    #[error("{0}")]
    QuerySettings(GDError),
    #[error("{0:?}")]
    Query(GDErrorKind),
    #[error("the answer made the query library panic")]
    QueryPanicked,
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("{program} ended with {code}: {last_line}")]
    CommandFailed { program: String, code: i32, last_line: String },
}

/// Why a command has no exit code.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("commands can't be run here")]
    Unavailable,
    #[error("took longer than {0:?}")]
    TimedOut(Duration),
    #[error("{0}")]
    NotStarted(String),
    /// Whoever runs commands could not be asked.
    #[error("{0}")]
    Unreachable(String),
}
