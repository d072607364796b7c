//! Starting a keeper that outlives us.

use super::SpawnKeeper;
use crate::keeper::protocol::exit;
use std::{
    io,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{process::Command, time::timeout};

/// How long it may take: it makes a lock, a socket and a few forks.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why no keeper was started.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpawnKeeperError {
    #[error("{program} didn't get ready within {} s", PATIENCE.as_secs())]
    NotReady { program: String },
    #[error("starting the keeper {program}: {why}")]
    NotStarted { program: String, why: io::Error },
    #[error("the keeper {program} could not start ({status}): {said}")]
    Failed { program: String, status: ExitStatus, said: String },
}

/// Returns once the keeper runs. Another keeper that was faster is as good.
pub(super) async fn spawn(dir: &Path, how: &SpawnKeeper) -> Result<(), SpawnKeeperError> {
    let mut command = Command::new(&how.program);
    command.args(&how.args).arg("--dir").arg(dir).arg("--detach");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let program = how.program.display().to_string();
    let output = match timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(why)) => return Err(SpawnKeeperError::NotStarted { program, why }),
        Err(_) => return Err(SpawnKeeperError::NotReady { program }),
    };
    match output.status.code() {
        Some(code) if code == i32::from(exit::ORDERLY) || code == i32::from(exit::LOCKED) => Ok(()),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(SpawnKeeperError::Failed { program, status: output.status, said })
        }
    }
}
