//! Figures of this machine and of our own processes, for status and metrics.
//!
//! | figure | from |
//! |---|---|
//! | processors, load, memory | sysinfo; memory of the container where it has a limit |
//! | pressure | `/proc/pressure`: the share of the last 10 s in which somebody waited |
//! | private memory of a process | `RssAnon` of `/proc/PID/status` |
//! | its proportional share | `Pss` of `/proc/PID/smaps_rollup`, which only the same user or root may read |
//!
//! Invariant: nothing is read that nobody asked for, and nothing here wakes up by itself.

use crate::model::status::{MachineStatus, MemoryStatus};
use std::fs;
use sysinfo::System;

/// Looks at the machine; remembers what the last look found, since CPU usage is what lies between two.
#[derive(Debug)]
pub(crate) struct Machine {
    /// None where `/proc` can't be read.
    system: Option<System>,
    processors: u32,
}

impl Machine {
    pub(crate) fn new() -> Machine {
        let system = System::new().ok().map(|mut system| {
            system.refresh_cpu_usage();
            system
        });
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
        Machine { system, processors }
    }

    /// The figures of now. CPU usage is that since the last call, or since [`Machine::new`].
    pub(crate) fn look(&mut self) -> Option<MachineStatus> {
        let system = self.system.as_mut()?;
        system.refresh_cpu_usage();
        system.refresh_memory();
        let load = System::load_average().ok()?;
        let whole = (system.total_memory(), system.available_memory());
        let limited = system.cgroup_limits().filter(|limits| limits.total_memory > 0 && limits.total_memory < whole.0);
        let (memory_total, memory_available) =
            limited.map_or(whole, |limits| (limits.total_memory, limits.free_memory.min(whole.1)));
        Some(MachineStatus {
            processors: self.processors,
            cpu_percent: system.global_cpu_usage().round().clamp(0.0, 100.0) as u8,
            load: [load.one, load.five, load.fifteen],
            memory_total,
            memory_available,
            memory_pressure: pressure("memory"),
            cpu_pressure: pressure("cpu"),
        })
    }
}

/// What a process of ours costs; none if it has gone.
pub(crate) fn memory(pid: u32) -> Option<MemoryStatus> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    Some(MemoryStatus { private: kibibytes(&status, "RssAnon:")?, proportional: kibibytes(&rollup, "Pss:") })
}

/// PSI, `some avg10`, in percent; none where the kernel doesn't tell.
fn pressure(of: &str) -> Option<f32> {
    avg10(&fs::read_to_string(format!("/proc/pressure/{of}")).ok()?)
}

fn avg10(text: &str) -> Option<f32> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    some.split(' ').find_map(|field| field.strip_prefix("avg10="))?.parse().ok()
}

/// A line of `/proc/PID/status` or `smaps_rollup`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse::<u64>().ok().map(|count| count * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_private_memory_and_a_share_of_what_it_shares() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.private > 0 && memory.proportional.unwrap() >= memory.private, "{memory:?}");
        assert_eq!(super::memory(u32::MAX), None);
    }

    #[test]
    fn the_machine_has_memory_and_processors() {
        let machine = Machine::new().look().unwrap();
        assert!(machine.processors >= 1 && machine.cpu_percent <= 100, "{machine:?}");
        assert!(machine.memory_total > 64 << 20 && machine.memory_available <= machine.memory_total, "{machine:?}");
        assert!(machine.load.iter().all(|load| *load >= 0.0), "{machine:?}");
    }

    #[test]
    fn figures_are_read_as_the_kernel_writes_them() {
        assert_eq!(avg10("some avg10=1.50 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.2"), Some(1.5));
        assert_eq!(avg10("full avg10=0.20"), None);
        assert_eq!(kibibytes("Pss:                 123 kB\nPss_Dirty:  4 kB\n", "Pss:"), Some(123 * 1024));
    }
}
