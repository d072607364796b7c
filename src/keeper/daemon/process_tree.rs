//! Every living process of a run, found by descent.
//!
//! The keeper is a child subreaper: whatever a game's process does (double fork, `setsid`, a new
//! group), its nearest living ancestor stays within the keeper's tree. So the run is the keeper's
//! descendants, less those of its own few helpers.
//!
//! A pid is never trusted on its own: before a signal goes out, a pidfd pins the process and its
//! start time is compared.

use super::sys;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::{collections::HashSet, fs, io, os::fd::OwnedFd};

/// One process, as `/proc/PID/stat` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) parent: i32,
    /// Gone but for its exit status.
    pub(super) zombie: bool,
    /// In clock ticks since boot; with the pid it names a process for good.
    pub(super) born: u64,
    /// Its own and its reaped children's CPU time, in clock ticks.
    pub(super) ticks: u64,
    pub(super) pages: u64,
}

/// The living descendants of `root`, without `root`, and without those whose pid is in `but` and their descendants.
pub(super) fn descendants(root: i32, but: &[i32]) -> Vec<Process> {
    let mut left = all();
    let mut known = HashSet::from([root]);
    let mut found = Vec::new();
    loop {
        let before = left.len();
        left.retain(|process| {
            let ours = known.contains(&process.parent) && !but.contains(&process.pid);
            if ours {
                known.insert(process.pid);
                if !process.zombie {
                    found.push(process.clone());
                }
            }
            !ours
        });
        if left.len() == before {
            return found;
        }
    }
}

/// Whether we have no child but these. A walk through `/proc` isn't enough to say that nothing lives: who forks and dies while we
/// walk can be missed, and its child with it. But whatever lives of a run has a living or unreaped ancestor that is our own child.
pub(super) fn is_childless(but: &[i32]) -> bool {
    if !sys::has_children() {
        return true;
    }
    let us = std::process::id();
    match fs::read_to_string(format!("/proc/self/task/{us}/children")) {
        Ok(children) => children.split_whitespace().filter_map(|pid| pid.parse().ok()).all(|pid| but.contains(&pid)),
        // A kernel without CONFIG_PROC_CHILDREN: look again, as often as makes a miss unlikely.
        Err(_) => !but.is_empty() && (0..3).all(|_| descendants(us as i32, but).is_empty()),
    }
}

/// Everything that `/proc` shows.
fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(look).collect()
}

/// One process, if it is there.
pub(super) fn look(pid: i32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// When a living process was born, in clock ticks since boot.
pub(in crate::keeper) fn born(pid: i32) -> Option<u64> {
    look(pid).filter(|process| !process.zombie).map(|process| process.born)
}

/// `pid (name, which may hold anything) state ppid …`, see proc(5).
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(' ')?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |field: usize| fields.get(field - 3).and_then(|text| text.trim().parse::<i64>().ok());
    let ticks = [14, 15, 16, 17].into_iter().filter_map(number).sum::<i64>();
    Some(Process {
        pid: pid.parse().ok()?,
        zombie: matches!(*fields.first()?, "Z" | "X" | "x"),
        parent: i32::try_from(number(4)?).ok()?,
        born: u64::try_from(number(22)?).ok()?,
        ticks: u64::try_from(ticks).unwrap_or(0),
        pages: u64::try_from(number(24)?).unwrap_or(0),
    })
}

/// Pins a process that was found before; none if it has gone or the pid is another's by now.
pub(super) fn pin(process: &Process) -> Option<OwnedFd> {
    let pidfd = pidfd_open(Pid::from_raw(process.pid)?, PidfdFlags::empty()).ok()?;
    (look(process.pid)?.born == process.born).then_some(pidfd)
}

/// Signals exactly this process. That it has gone is no error.
pub(super) fn signal(process: &Process, signal: i32) -> io::Result<()> {
    match pin(process).map(|pidfd| sys::signal_process(&pidfd, signal)) {
        Some(Err(error)) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
        _ => Ok(()),
    }
}

/// Whether the kernel is writing this process's core file.
pub(super) fn is_dumping(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("CoreDumping:") && line.ends_with('1')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = "42 (a) b) R 7 42 42 0 -1 4194304 1 0 0 0 10 20 3 4 20 0 1 0 5555 1000 250 18446744073709551615 0";
        let process = parse(line).unwrap();
        assert_eq!(process, Process { pid: 42, parent: 7, zombie: false, born: 5555, ticks: 37, pages: 250 });
    }

    #[test]
    fn we_are_a_descendant_of_our_parent() {
        let me = std::process::id() as i32;
        let parent = look(me).unwrap().parent;
        assert!(descendants(parent, &[]).iter().any(|process| process.pid == me));
        assert!(!descendants(parent, &[me]).iter().any(|process| process.pid == me));
    }

    #[test]
    fn another_process_under_the_same_pid_is_not_signalled() {
        let me = look(std::process::id() as i32).unwrap();
        assert!(pin(&me).is_some());
        assert!(pin(&Process { born: me.born + 1, ..me }).is_none());
    }
}
