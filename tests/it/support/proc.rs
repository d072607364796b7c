//! Processes, by pid, from `/proc`.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::AsFd,
    path::Path,
    time::Duration,
};

/// Processes marked with `dir` in environment, arguments or working directory, and all their descendants; never ourselves.
pub fn belonging_to(dir: &Path) -> Vec<u32> {
    let mark = dir.as_os_str().as_encoded_bytes();
    let parents = parents();
    let ours = std::process::id();
    let marked = |pid: u32| {
        let has = |file: &str| {
            let content = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            content.windows(mark.len()).any(|part| part == mark)
        };
        let below = std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(dir));
        below || has("environ") || has("cmdline")
    };
    let mut found: BTreeSet<u32> = parents.keys().copied().filter(|pid| *pid != ours && marked(*pid)).collect();
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid) && **pid != ours)
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found.into_iter().filter(|pid| alive(*pid)).collect()
}

/// All descendants of a process.
pub fn descendants(of: u32) -> Vec<u32> {
    let parents = parents();
    let mut found = vec![of];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(parents.iter().filter(|(_, theirs)| **theirs == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found.split_off(1)
}

/// The descendants of a keeper that are no helper of ours: processes of the game.
pub fn game_processes(keeper: u32) -> Vec<u32> {
    let serves = |pid: &u32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).nth(1) == Some(b"gateway")
    };
    descendants(keeper).into_iter().filter(|pid| !serves(pid)).collect()
}

fn parents() -> BTreeMap<u32, u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, field(pid, 1)?.parse().ok()?))).collect()
}

/// A field of `/proc/PID/stat` counted from the state, which is 0.
fn field(pid: u32, number: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let after = &stat[stat.rfind(')')? + 2..];
    after.split(' ').nth(number).map(str::to_owned)
}

pub fn command_line(pid: u32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// What it has spent of processors so far, in its own code and in the kernel.
#[allow(dead_code, reason = "for the measurements")]
pub fn processor_time(pid: u32) -> Duration {
    // A second's worth of `/proc/PID/stat`, on every machine that we run on.
    const TICKS: u32 = 100;
    let ticks = |number: usize| field(pid, number).and_then(|ticks| ticks.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_secs(ticks(11) + ticks(12)) / TICKS
}

/// A line of `/proc/PID/status`, without its name.
pub fn status(pid: u32, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// Whether it has an established connection: TCP, or a unix socket that somebody listened on.
pub fn has_connection(pid: u32) -> bool {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = fds.filter_map(|fd| std::fs::read_link(fd.path()).ok());
    let sockets: BTreeSet<String> =
        links.filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())).collect();
    // The columns of state and inode, and the state's word for "connected".
    [("tcp", 3, 9, "01"), ("unix", 5, 6, "03")].into_iter().any(|(table, state, inode, connected)| {
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.any(|row| {
            row.get(state) == Some(&connected) && row.get(inode).is_some_and(|inode| sockets.contains(*inode))
        })
    })
}

/// What it is doing, for somebody who wonders why nothing happens.
pub fn describe(pid: u32) -> String {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let field = |name: &str| status(pid, name).unwrap_or_default();
    let (state, inside, wait) = (field("State"), field("NSpid"), read("wchan"));
    let stack = read("stack").replace('\n', "\n        ");
    format!("{pid} ({inside}) {} [{state}, in {wait}]\n        {stack}", command_line(pid).join(" "))
}

/// Exists, and isn't a zombie that nobody has waited for.
pub fn alive(pid: u32) -> bool {
    field(pid, 0).is_some_and(|state| state != "Z" && state != "X")
}

/// Sends a signal; harmless where there is no such process.
pub fn signal(pid: u32, signal: i32) {
    let Some(pid) = Pid::from_raw(pid as i32) else { return };
    let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let signal = Signal::from_named_raw(signal).expect("a signal with a name");
    let _ = pidfd_send_signal(&fd, signal);
}

/// Waits until there is something to read, or that process has ended; false if it has and there is nothing.
///
/// The keeper holds the listening sockets of an agent: asked after its death, nobody refuses or answers until the next one.
pub fn readable_before_gone(socket: impl AsFd, pid: u32) -> bool {
    let Some(fd) = Pid::from_raw(pid as i32).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
        return false;
    };
    let mut both = [PollFd::new(&socket, PollFlags::IN), PollFd::new(&fd, PollFlags::IN)];
    while poll(&mut both, None) == Err(rustix::io::Errno::INTR) {}
    !both[0].revents().is_empty()
}

/// Waits for the end of a process that need not be our child; false if it outlives `patience`.
pub fn gone(pid: u32, patience: Duration) -> bool {
    let Some(raw) = Pid::from_raw(pid as i32) else { return true };
    let Ok(fd) = pidfd_open(raw, PidfdFlags::empty()) else { return true };
    let limit = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
    let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit));
    !alive(pid)
}
