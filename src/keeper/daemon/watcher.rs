//! The keeper's own parent: a process that does nothing until the keeper dies, and then ends the
//! game.
//!
//! ```text
//!   watcher (subreaper) ──► keeper (subreaper) ──► the game and whatever it forks
//!                              ╳ SIGKILL
//!   watcher ──► everything that was the keeper's: its orphans are reparented to the nearest subreaper, us
//! ```
//!
//! The game's first process dies with the keeper by PDEATHSIG anyway. Its helpers, in sessions of
//! their own, would live on, as nothing of the keeper runs any more: hence this. It works without
//! any cgroup; where there are some, they are killed whole first. As PID 1 there is no watcher: the
//! kernel ends the namespace. If the watcher itself is killed, the keeper goes on without it.
//!
//! The lock is taken before the two part, so both hold it: it is free once nothing is left of the
//! run. An agent that finds it free may say that the match is over.
//!
//! The one who started the keeper knows only the watcher's pid. So the watcher passes SIGTERM and
//! SIGINT on, and ends with the keeper's exit code.

use super::{
    cgroup::Cgroups,
    presence::is_at,
    privileges, process_tree, sys,
    sys::{Forked, Reaped},
};
use crate::host::lock::Lock;
use rustix::{
    process::{Pid, Signal, getpid, kill_process, set_child_subreaper},
    thread::CapabilitySet,
};
use std::{
    io,
    os::{
        fd::{AsFd as _, AsRawFd, OwnedFd},
        unix::process::ExitStatusExt,
    },
    path::Path,
    time::Duration,
};

/// After so many rounds of 10 ms, what is left is killed once a second.
const ROUNDS: u32 = 1000;

/// Splits in two. Returns in the keeper, which is the child; with the watcher's pid, if there is one. The watcher keeps hold of `lock`
/// until it ends; `path` is where the lock lies.
pub(super) fn split(detached: bool, cgroups: Option<&Cgroups>, lock: &Lock, path: &Path) -> io::Result<Option<i32>> {
    if getpid() == Pid::INIT {
        return Ok(None);
    }
    set_child_subreaper(Some(getpid()))?;
    // Before the fork, so that no signal is lost in between; the keeper blocks the same ones.
    let signals = sys::signal_fd(&super::SIGNALS)?;
    let watcher = std::process::id() as i32;
    match sys::fork()? {
        Forked::Child => Ok(Some(watcher)),
        Forked::Parent(keeper) => {
            if detached {
                super::start::silence();
            }
            sys::close_all_but(&[signals.as_raw_fd(), lock.as_fd().as_raw_fd()]);
            let _ = privileges::shed(CapabilitySet::KILL | CapabilitySet::DAC_OVERRIDE);
            watch(&signals, keeper, cgroups, || renewed(lock, path))
        }
    }
}

/// The lock at its path, where the keeper took that one because ours had gone.
fn renewed(lock: &Lock, path: &Path) -> Option<Lock> {
    if is_at(lock.as_fd(), path) { None } else { Lock::take(path, "").ok() }
}

fn watch(signals: &OwnedFd, keeper: i32, cgroups: Option<&Cgroups>, renew: impl Fn() -> Option<Lock>) -> ! {
    loop {
        while let Some(signal) = sys::next_signal(signals) {
            // Its pid can't be another's before we have reaped it.
            let hand_on = match signal {
                libc::SIGTERM => Some(Signal::TERM),
                libc::SIGINT => Some(Signal::INT),
                _ => None,
            };
            if let (Some(signal), Some(pid)) = (hand_on, Pid::from_raw(keeper)) {
                let _ = kill_process(pid, signal);
            }
        }
        while let Some(child) = sys::reap() {
            if child.pid == keeper {
                let _lock = renew();
                clear(cgroups);
                sys::exit_now(code(&child));
            }
        }
        super::wait_for(signals, None);
    }
}

/// Kills whatever the keeper left behind, until nothing is left. What can't be killed is waited for: the lock is held meanwhile.
fn clear(cgroups: Option<&Cgroups>) {
    for round in 0_u32.. {
        let leaves = cgroups.map(Cgroups::leaves).unwrap_or_default();
        for leaf in &leaves {
            leaf.kill();
        }
        let left = process_tree::descendants(std::process::id() as i32, &[]);
        for process in &left {
            let _ = process_tree::signal(process, libc::SIGKILL);
        }
        while sys::reap().is_some() {}
        if let Some(cgroups) = cgroups {
            cgroups.remove();
        }
        let populated = leaves.iter().any(super::cgroup::Leaf::populated);
        if left.is_empty() && !populated && process_tree::is_childless(&[]) {
            return;
        }
        super::pause(if round < ROUNDS { Duration::from_millis(10) } else { Duration::from_secs(1) });
    }
}

fn code(keeper: &Reaped) -> i32 {
    keeper.status.code().unwrap_or_else(|| 128 + keeper.status.signal().unwrap_or(0))
}
