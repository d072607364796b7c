//! Asks on a schedule.

use super::{Exec, Finding, Target};
use crate::model::{policy::Readiness, probe::Probe};
use tokio::{sync::mpsc, task::JoinHandle};

/// What is watched ends when this is dropped.
#[derive(Debug)]
pub struct Watcher {
    task: JoinHandle<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is wrong with a probe as configured, one text a fault: for `check`.
pub fn check(_probe: &Probe) -> Vec<String> {
    unimplemented!("lands next")
}

/// Watches a run: with the probe, and the port where that proves readiness. Findings: door `Probe`.
pub fn start(
    _probe: Option<Probe>,
    _readiness: &Readiness,
    _target: Target,
    _exec: Option<Exec>,
    _findings: mpsc::Sender<Finding>,
) -> Watcher {
    unimplemented!("lands next")
}
