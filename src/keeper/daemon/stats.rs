//! Figures of a live run, and where its core file went.

use super::{cgroup::Leaf, process_tree, run::Run, sys};
use crate::model::process::ProcessStats;
use std::{fs, path::Path};

/// Of the cgroup where there is one, else summed over the run's processes.
pub(super) fn of(run: &Run, helpers: &[i32]) -> ProcessStats {
    let members = run.members(helpers);
    let (ticks_a_second, page) = sys::units();
    let summed = |what: fn(&process_tree::Process) -> u64| members.iter().map(what).sum::<u64>();
    let leaf = run.leaf.as_ref();
    ProcessStats {
        run: run.number,
        memory: leaf
            .and_then(|leaf| leaf.number("memory.current"))
            .unwrap_or_else(|| summed(|process| process.pages) * page),
        memory_limit: leaf.and_then(|leaf| leaf.number("memory.max")),
        cpu_us: leaf
            .and_then(|leaf| leaf.value("cpu.stat", "usage_usec"))
            .unwrap_or_else(|| summed(|process| process.ticks) * 1_000_000 / ticks_a_second),
        processes: members.len() as u32,
        memory_pressure: leaf.and_then(|leaf| leaf.pressure("memory.pressure")),
        frozen: leaf.is_some_and(Leaf::frozen),
        cpu_pressure: leaf.and_then(|leaf| leaf.pressure("cpu.pressure")),
    }
}

/// Where the kernel wrote the core file, if it wrote one that is still there: see core(5). A pipe to a collector is none.
pub(super) fn core_path(pid: i32, dir: Option<&str>) -> Option<String> {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").ok()?;
    let uses_pid = fs::read_to_string("/proc/sys/kernel/core_uses_pid").is_ok_and(|text| text.trim() == "1");
    let name = expand(pattern.trim(), pid, uses_pid)?;
    let base = dir.map_or_else(|| std::env::current_dir().unwrap_or_default(), Into::into);
    let path = base.join(Path::new(&name));
    path.is_file().then(|| path.display().to_string())
}

/// Only what we know for certain is replaced; anything else means that we don't know the name.
fn expand(pattern: &str, pid: i32, uses_pid: bool) -> Option<String> {
    if pattern.is_empty() || pattern.starts_with('|') {
        return None;
    }
    let mut name = String::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => match letters.next()? {
                '%' => name.push('%'),
                'p' | 'P' => name.push_str(&pid.to_string()),
                'h' => name.push_str(fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim()),
                _ => return None,
            },
            other => name.push(other),
        }
    }
    if uses_pid && !pattern.contains("%p") {
        name += ".";
        name += &pid.to_string();
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_names_follow_the_pattern() {
        assert_eq!(expand("core", 7, false).as_deref(), Some("core"));
        assert_eq!(expand("core", 7, true).as_deref(), Some("core.7"));
        assert_eq!(expand("/var/cores/c.%p", 7, true).as_deref(), Some("/var/cores/c.7"));
        assert_eq!(expand("|/usr/lib/systemd/systemd-coredump %P", 7, false), None);
        assert_eq!(expand("core.%e", 7, false), None);
    }
}
