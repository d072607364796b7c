//! Things that a test needs and a machine may lack: root, systemd, a game server.
//!
//! Where `CI=true`, a missing component fails the test: nothing may go untested in silence. On anybody else's machine the
//! test says on stderr that it was skipped, and what would have to be there.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

/// Whether the component is there. `why` completes "skipped: …".
pub fn present(found: bool, why: &str) -> bool {
    if found {
        return true;
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} can't run: {why}");
    // Not eprintln!, which the test runner swallows for tests that pass.
    let _ = writeln!(std::io::stderr(), "{test}: skipped: {why}");
    false
}

/// Root is needed for namespaces, cgroups and other users.
pub fn root() -> bool {
    present(rustix::process::geteuid().is_root(), "it needs root")
}

/// The program's path, looked up in `PATH` and the usual places of system programs.
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/games"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(usual).map(|dir| dir.join(name)).find(|file| file.is_file());
    present(found.is_some(), &format!("`{name}` is not installed (Debian's {package})")).then_some(found).flatten()
}

/// The tool that runs a command under a systemd of its own, `with-systemd COMMAND…`.
pub fn with_systemd() -> Option<PathBuf> {
    let told = std::env::var_os("GAMESIDE_WITH_SYSTEMD").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/with-systemd");
    let found = told.into_iter().chain([beside]).find(|file| file.is_file());
    present(found.is_some(), "no `with-systemd`; name one in GAMESIDE_WITH_SYSTEMD").then_some(found).flatten()
}

/// A Python that has this module, as `tests/run` makes one.
pub fn python(module: &str) -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    let imports = |python: &Path| {
        let tried = std::process::Command::new(python).args(["-c", &format!("import {module}")]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let found = imports(&ours);
    present(found, &format!("no Python module `{module}` in target/python; `tests/run` installs it")).then_some(ours)
}
