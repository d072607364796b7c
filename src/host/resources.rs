//! What this process costs, for its metrics; and how large the machine is.

use std::time::Duration;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// This process now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// Resident memory, in bytes.
    pub resident: u64,
    /// The private part of it that isn't backed by a file (RssAnon), in bytes.
    pub private: u64,
    /// Processor time so far.
    pub cpu: Duration,
    pub open_files: u64,
    pub threads: u64,
}

/// The machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Memory in bytes: of the container, where a limit is set, else of the machine.
    pub memory: u64,
    pub processors: usize,
}

/// Reads /proc; `None` where it can't be read.
pub fn own() -> Option<Own> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mut system = System::new().ok()?;
    let pid = Pid::from_u32(std::process::id());
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        false,
        ProcessRefreshKind::nothing().with_cpu(),
    );
    let cpu = system.process(pid).map_or(0, sysinfo::Process::accumulated_cpu_time);
    Some(Own {
        resident: kibibytes(&status, "VmRSS:")?,
        private: kibibytes(&status, "RssAnon:")?,
        cpu: Duration::from_millis(cpu),
        open_files: std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        threads: field(&status, "Threads:").unwrap_or(1),
    })
}

/// How large the machine is; `None` where /proc can't be read.
pub fn machine() -> Option<Machine> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    let limit = system.cgroup_limits().map(|limits| limits.total_memory).filter(|limit| *limit > 0);
    let memory = limit.map_or(system.total_memory(), |limit| limit.min(system.total_memory()));
    Some(Machine { memory, processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get) })
}

fn field(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    field(status, name).map(|count| count * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_size_and_open_files() {
        let own = own().unwrap();
        assert!(own.resident >= own.private && own.private > 0, "{own:?}");
        assert!(own.open_files >= 3 && own.threads >= 1, "{own:?}");
    }

    #[test]
    fn the_machine_has_memory_and_processors() {
        let machine = machine().unwrap();
        assert!(machine.memory > 64 << 20 && machine.processors >= 1, "{machine:?}");
    }
}
