//! What this process does to itself before it handles a secret.

use rustix::{
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
    thread::{CapabilitySet, capabilities},
};
use std::{io, io::Write as _, sync::OnceLock};

/// The limit of core files that this process was started with: soft, hard.
static CORE_LIMIT: OnceLock<Rlimit> = OnceLock::new();

/// The first thing that every process of ours does, before a secret is read and before there is a game: it dumps no core, and nobody of
/// its user reads its memory, its environment or its descriptors. exec undoes it, so that the game isn't concerned.
pub(crate) fn guard() {
    if let Err(error) = harden() {
        let _ = writeln!(io::stderr(), "gameside: this process can't forbid that its memory is read: {error}");
    }
}

/// The limit of core files that [`guard`] has found, for a game: soft, hard.
pub(crate) fn core_limit() -> (u64, u64) {
    let limit = CORE_LIMIT.get().copied().unwrap_or_else(|| getrlimit(Resource::Core));
    (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX))
}

/// No core dump, and no memory of ours for other processes of the same user (`PR_SET_DUMPABLE`). Only the soft limit is
/// lowered, so that a keeper may still let the game dump; exec undoes the other.
fn harden() -> io::Result<()> {
    let limit = getrlimit(Resource::Core);
    let _ = CORE_LIMIT.set(limit);
    setrlimit(Resource::Core, Rlimit { current: Some(0), ..limit })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// The soft limit of open files raised to the hard one: a service of ten thousand connections needs it, it costs an agent nothing.
pub fn raise_open_files() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// Gives SIGPIPE its default action, as other command-line tools have it: a write to a pipe that nobody reads ends this process
/// quietly, where `println!` would panic. Not for a process that serves. Writes to sockets need `MSG_NOSIGNAL` after it.
#[allow(unsafe_code, reason = "a signal's default action has no safe counterpart among our dependencies")]
pub(crate) fn end_with_the_reader() {
    // SAFETY: no handler of ours is installed or replaced; the default action runs no code of this
    // process.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether what this process starts may become another user.
pub(crate) fn may_switch_users() -> bool {
    let wanted = CapabilitySet::SETUID | CapabilitySet::SETGID;
    is_root() || capabilities(None).is_ok_and(|held| held.inheritable.contains(wanted))
}

/// From here on SIGTERM, SIGINT and SIGHUP mean nothing to this process: another one says when it ends.
#[allow(unsafe_code, reason = "ignoring a signal has no safe counterpart among our dependencies")]
pub(crate) fn pass_over_endings() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        // SAFETY: ignoring a signal runs no code of this process.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}
