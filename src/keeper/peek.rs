//! A look at a keeper without taking it over; for `gameside status` and `gameside stop` while the agent is down. Blocking.

use crate::model::process::{ExitReport, KeeperHello};
use std::{path::Path, time::Duration};

/// What can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peek {
    /// Nobody holds the lock.
    None,
    /// A keeper lives but doesn't answer.
    Silent {
        pid: Option<i32>,
        why: String,
    },
    Here(Box<KeeperHello>),
}

/// Why a keeper could not be told to stop, or was not seen to end.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("no keeper holds {dir}")]
    NoKeeper { dir: String },
    #[error("the keeper in {dir} can't be told to stop: {why}")]
    Unreachable { dir: String, why: String },
    #[error("the keeper (pid {pid:?}) still runs after {waited:?}; its standing orders may allow for more")]
    StillThere { pid: Option<i32>, waited: Duration },
}

/// Is there a keeper in this state directory, and what does it hold?
pub fn peek(_dir: &Path) -> Peek {
    unimplemented!()
}

/// Tells a keeper to stop as SIGTERM would, and waits for its end. Returns the report of the game that it ended.
pub fn stop(_dir: &Path, _wait: Duration) -> Result<Option<ExitReport>, StopError> {
    unimplemented!()
}
