//! Commands that run beside the game for a moment, such as probes: with its user, limits and
//! environment; bounded in time and output.
//!
//! A command is over when its first process has ended, by itself or because its time is up.

use super::{
    Instant, process_tree,
    spawn::{Child, ExecOutcome},
    sys,
};
use crate::keeper::protocol::{ExecResult, ExecStatus, MAX_EXEC_OUTPUT};
use rustix::io::Errno;
use std::{
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::ExitStatus,
};

/// How many may run at once.
pub(super) const MAX_COMMANDS: usize = 8;
/// The longest that one may take.
pub(super) const MAX_TIME: std::time::Duration = std::time::Duration::from_secs(300);

/// What the names of the commands' cgroups begin with.
pub(super) const LEAF: &str = "probe";

/// A cgroup in which everything was killed isn't used again: kernels kill what `clone3` makes in it, since
/// they compare its count of kills with that of the cgroup of the parent.
pub(super) fn leaf_name(number: u64) -> String {
    format!("{LEAF}-{number}")
}

/// One command under way.
#[derive(Debug)]
pub(super) struct ExecCommand {
    /// Who asked, and the order's id.
    pub(super) peer: u64,
    pub(super) re: u64,
    pub(super) pid: i32,
    pub(super) deadline: Instant,
    outcome: OwnedFd,
    /// None once every writer has gone.
    pub(super) pipe: Option<OwnedFd>,
    output: Vec<u8>,
    status: Option<ExecStatus>,
    timed_out: bool,
    answered: bool,
}

impl ExecCommand {
    pub(super) fn new(peer: u64, re: u64, child: Child, pipe: OwnedFd, deadline: Instant) -> ExecCommand {
        ExecCommand {
            peer,
            re,
            pid: child.pid,
            deadline,
            outcome: child.outcome,
            pipe: Some(pipe),
            output: Vec::new(),
            status: None,
            timed_out: false,
            answered: false,
        }
    }

    /// Reads what is there; what goes beyond the bound is dropped.
    pub(super) fn pump(&mut self, buffer: &mut [u8]) {
        while let Some(pipe) = &self.pipe {
            match rustix::io::read(pipe, &mut *buffer) {
                Ok(count) if count > 0 => {
                    let room = MAX_EXEC_OUTPUT.saturating_sub(self.output.len());
                    self.output.extend_from_slice(&buffer[..count.min(room)]);
                }
                Err(Errno::AGAIN | Errno::INTR) => return,
                _ => self.pipe = None,
            }
        }
    }

    /// Its first process has ended.
    pub(super) fn ended(&mut self, status: ExitStatus) {
        self.status = Some(match (ExecOutcome::read(&self.outcome), status.signal()) {
            (ExecOutcome::Failed(failure), _) => ExecStatus::NotStarted(failure.why),
            _ if self.timed_out => ExecStatus::TimedOut,
            (_, Some(signal)) => ExecStatus::Signaled(signal),
            (_, None) => ExecStatus::Exited(status.code().unwrap_or(0)),
        });
    }

    /// Kills it, because its time is up or the game has ended. It is answered once it has been reaped.
    pub(super) fn kill(&mut self) {
        self.timed_out = true;
        self.deadline = Instant(std::time::Duration::MAX);
        self.kill_all();
    }

    fn kill_all(&self) {
        for process in process_tree::descendants(self.pid, &[]) {
            let _ = process_tree::signal(&process, libc::SIGKILL);
        }
        if self.status.is_none() {
            // Not reaped, so pid and group are its own.
            let _ = sys::signal_group(self.pid, libc::SIGKILL);
        }
    }

    pub(super) fn is_answered(&self) -> bool {
        self.answered
    }

    /// The answer, once it has ended.
    pub(super) fn result(&mut self, buffer: &mut [u8]) -> Option<ExecResult> {
        self.status.as_ref()?;
        self.pump(buffer);
        let status = self.status.take()?;
        self.answered = true;
        Some(ExecResult { status, output: String::from_utf8_lossy(&self.output).into_owned() })
    }
}
