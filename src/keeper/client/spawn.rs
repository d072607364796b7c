//! Starting a keeper that outlives us.

use super::SpawnKeeper;
use crate::keeper::protocol::exit;
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{process::Command, time::timeout};

/// Lock, socket and a few forks: far less than this.
const PATIENCE: Duration = Duration::from_secs(15);

/// Returns once it stands; the error is what it said. Another keeper that was faster is as good.
pub(super) async fn spawn(dir: &Path, how: &SpawnKeeper) -> Result<(), String> {
    let mut command = Command::new(&how.program);
    command.args(&how.args).arg("--dir").arg(dir).arg("--detach");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let shown = how.program.display();
    let output = timeout(PATIENCE, command.output())
        .await
        .map_err(|_| format!("{shown} didn't get ready within {} s", PATIENCE.as_secs()))?
        .map_err(|error| format!("starting the keeper {shown}: {error}"))?;
    match output.status.code() {
        Some(code) if code == i32::from(exit::ORDERLY) || code == i32::from(exit::LOCKED) => Ok(()),
        _ => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("the keeper {shown} could not start ({}): {}", output.status, said.trim()))
        }
    }
}
