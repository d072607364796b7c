//! How little the gateway's process may do: it talks to the game, and nothing that it is talked
//! into may reach further than the sockets that it was handed.
//!
//! | it can't | because |
//! |---|---|
//! | be read by others of its user, dump core | undumpable from its first moment on, as all of ours |
//! | get rights by a program's file | `no_new_privs`, from the keeper; no capability |
//! | open, make, list or run a file | Landlock, from Linux 5.13 on |
//! | start a process or thread | no process more for its user (not for root's) |

use landlock::{ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, RulesetCreated};
use rustix::process::{Resource, Rlimit, chdir, setrlimit};
use std::io;

/// Gives everything up that isn't needed from here on. What this machine can't take away is left, with a line in the log.
pub(crate) fn confine() {
    let note = |what: &str, done: io::Result<()>| {
        if let Err(error) = done {
            tracing::warn!(%error, "the gateway can't {what}");
        }
    };
    note("leave its directory", chdir("/").map_err(io::Error::from));
    note("give up files", without_files());
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    note("give up starting processes", setrlimit(Resource::Nproc, none).map_err(io::Error::from));
}

/// No path leads anywhere any more. Older kernels don't know how: that is no trouble.
fn without_files() -> io::Result<()> {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    let ruleset = ruleset.handle_access(AccessFs::from_all(ABI::V1)).map_err(io::Error::other)?;
    ruleset.create().and_then(RulesetCreated::restrict_self).map(drop).map_err(io::Error::other)
}
