//! The cgroup that a run has for itself, where the keeper may make one.
//!
//! ```text
//!   …/<our own cgroup>/              where we were put, by systemd (Delegate=yes) or the user's session
//!        ├── keeper                  we move here if we were alone: only then may controllers be handed down
//!        └── game-<keeper>/          made while we still have root's rights, so that it is ours without them
//!              ├── <run>             a run: entered before exec, killed whole, removed when empty
//!              └── probe-<n>         commands of `exec`; another after those in it were killed
//! ```
//!
//! Where cgroupfs is read-only or not ours, there is none, and the run is held by descent alone
//! (`process_tree`).

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

/// How deep the game's own groups are followed.
const DEPTH: u32 = 8;

/// Where leaves are made.
#[derive(Debug, Clone)]
pub(super) struct Cgroups {
    base: PathBuf,
    ours: PathBuf,
}

/// One leaf.
#[derive(Debug)]
pub(super) struct Leaf {
    path: PathBuf,
}

impl Cgroups {
    /// Finds our own cgroup and tries whether leaves can be made and entered there. `tag` tells us from other keepers.
    pub(super) fn find(tag: &str) -> Option<Cgroups> {
        let base = own()?;
        let short: String = tag.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        let ours = base.join(format!("game-{short}"));
        fs::create_dir(&ours).ok()?;
        let cgroups = Cgroups { base, ours };
        let writable = |dir: &Path| fs::OpenOptions::new().write(true).open(dir.join("cgroup.procs")).is_ok();
        if writable(&cgroups.ours) && writable(&cgroups.base) {
            return Some(cgroups);
        }
        cgroups.remove();
        None
    }

    /// Everything that we made, once nothing lives in it.
    pub(super) fn remove(&self) {
        remove_tree(&self.ours, DEPTH);
    }

    /// If nobody else shares our cgroup: moves us (and our parent, the watcher) aside, so that memory and CPU are counted a run.
    pub(super) fn hand_down_controllers(&self, watcher: Option<i32>) {
        let us = [Some(i32::try_from(process::id()).unwrap_or(0)), watcher];
        if !self.base.join("cgroup.events").exists() {
            return; // the root, where no rule keeps processes out of inner groups
        }
        let alone = members(&self.base).iter().all(|pid| us.contains(&Some(*pid)));
        let Ok(controllers) = fs::read_to_string(self.base.join("cgroup.controllers")) else { return };
        let wanted = controllers.split_whitespace().filter(|name| matches!(*name, "memory" | "cpu" | "pids"));
        let wanted: Vec<String> = wanted.map(|name| format!("+{name}")).collect();
        if !alone || wanted.is_empty() {
            return;
        }
        let aside = self.base.join("keeper");
        let _ = fs::create_dir(&aside);
        let moved = us.iter().flatten().all(|pid| fs::write(aside.join("cgroup.procs"), pid.to_string()).is_ok());
        for controller in wanted.iter().filter(|_| moved) {
            let _ = fs::write(self.base.join("cgroup.subtree_control"), controller);
            let _ = fs::write(self.ours.join("cgroup.subtree_control"), controller);
        }
    }

    /// Makes (or finds) a leaf.
    pub(super) fn leaf(&self, name: &str) -> io::Result<Leaf> {
        let path = self.ours.join(name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Leaf { path }),
        }
    }

    /// Removes those leaves whose names begin so and in which nothing lives.
    pub(super) fn remove_leaves(&self, prefix: &str) {
        let named = |leaf: &Leaf| {
            leaf.path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()))
        };
        self.leaves().iter().filter(|leaf| named(leaf)).for_each(Leaf::remove);
    }

    /// Every leaf that still is there.
    pub(super) fn leaves(&self) -> Vec<Leaf> {
        let entries = fs::read_dir(&self.ours).into_iter().flatten().flatten();
        let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        dirs.map(|entry| Leaf { path: entry.path() }).collect()
    }
}

impl Leaf {
    /// For a process that is to be born in it.
    pub(super) fn open(&self) -> io::Result<fs::File> {
        fs::File::open(&self.path)
    }

    /// A process enters by writing `0` here.
    pub(super) fn procs_file(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    pub(super) fn pids(&self) -> Vec<i32> {
        pids(&self.path, DEPTH)
    }

    /// Whether anything lives in it, or below.
    pub(super) fn populated(&self) -> bool {
        self.value("cgroup.events", "populated").is_some_and(|value| value != 0)
    }

    /// Whether nothing in it gets to run: it, or a group around it, is frozen.
    pub(super) fn frozen(&self) -> bool {
        self.value("cgroup.events", "frozen").is_some_and(|value| value != 0)
    }

    /// SIGKILL to everything in it, at once and without a race. Says whether the kernel can (5.14).
    pub(super) fn kill(&self) -> bool {
        fs::write(self.path.join("cgroup.kill"), "1").is_ok()
    }

    /// Sets the memory limit, in bytes.
    pub(super) fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        fs::write(self.path.join("memory.max"), bytes.to_string())
    }

    /// A file that holds one number; `max` and missing files are none.
    pub(super) fn number(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.path.join(file)).ok()?.trim().parse().ok()
    }

    /// `key value` lines, such as `cpu.stat`.
    pub(super) fn value(&self, file: &str, key: &str) -> Option<u64> {
        keyed(&fs::read_to_string(self.path.join(file)).ok()?, key)
    }

    /// PSI: `some avg10`, in percent.
    pub(super) fn pressure(&self, file: &str) -> Option<f32> {
        avg10(&fs::read_to_string(self.path.join(file)).ok()?)
    }

    /// How often the kernel has killed for memory here.
    pub(super) fn oom_kills(&self) -> u64 {
        self.value("memory.events", "oom_kill").unwrap_or(0)
    }

    /// Removes it, and what the game may have made below it. Fails silently while something lives.
    pub(super) fn remove(&self) {
        remove_tree(&self.path, DEPTH);
    }
}

/// How often the kernel has killed for memory in our own cgroup; where leaves can't be made, that is the nearest figure.
pub(super) fn own_oom_kills() -> u64 {
    own()
        .and_then(|base| fs::read_to_string(base.join("memory.events")).ok())
        .and_then(|events| keyed(&events, "oom_kill"))
        .unwrap_or(0)
}

/// The directory of our own cgroup (v2), checked by our pid being in it.
fn own() -> Option<PathBuf> {
    let path = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = path.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned();
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().filter_map(|line| place(line, &path)).find(|place| {
        fs::read_to_string(place.join("cgroup.procs"))
            .is_ok_and(|pids| pids.lines().any(|pid| pid == process::id().to_string()))
    })
}

/// Where `path` is below this mount, if it is a cgroup2 mount that shows it. A line of mountinfo: `id parent dev root at …  - type …`.
fn place(line: &str, path: &str) -> Option<PathBuf> {
    let (left, right) = line.split_once(" - ")?;
    let mut fields = left.split(' ').skip(3);
    let (root, at) = (fields.next()?, fields.next()?);
    let below = if root == "/" { path } else { path.strip_prefix(root).unwrap_or(path) };
    right.starts_with("cgroup2 ").then(|| Path::new(at).join(below.trim_start_matches('/')))
}

fn members(dir: &Path) -> Vec<i32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// With those in groups that the game made below.
fn pids(dir: &Path, depth: u32) -> Vec<i32> {
    let mut found = members(dir);
    for below in fs::read_dir(dir).into_iter().flatten().flatten().filter(|_| depth > 0) {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(pids(&below.path(), depth - 1));
        }
    }
    found
}

fn remove_tree(dir: &Path, depth: u32) {
    if depth > 0 {
        for below in fs::read_dir(dir).into_iter().flatten().flatten() {
            if below.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_tree(&below.path(), depth - 1);
            }
        }
    }
    let _ = fs::remove_dir(dir);
}

fn keyed(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

fn avg10(text: &str) -> Option<f32> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    some.split(' ').find_map(|field| field.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_place_is_found_through_whatever_is_mounted() {
        let whole = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw";
        assert_eq!(place(whole, "/a/b.service"), Some("/sys/fs/cgroup/a/b.service".into()));
        let part = "30 23 0:26 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw";
        assert_eq!(place(part, "/docker/1/x"), Some("/sys/fs/cgroup/x".into()));
        assert_eq!(place("30 23 0:26 / /sys rw - sysfs sysfs rw", "/"), None);
    }

    #[test]
    fn figures_are_read_as_the_kernel_writes_them() {
        assert_eq!(keyed("low 0\noom 3\noom_kill 2\n", "oom_kill"), Some(2));
        assert_eq!(keyed("oom_kill_group 7\n", "oom_kill"), None);
        assert_eq!(avg10("some avg10=1.50 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.2"), Some(1.5));
    }
}
