//! Things that a test needs and a machine may lack: root, systemd, a game server.
//!
//! | `CI=true` | a component is missing |
//! |---|---|
//! | yes | the test fails: nothing may go untested in silence |
//! | no | the test is skipped, and leaves a line in the file that `GAMESIDE_SKIPPED` names |
//!
//! `tests/run` prints that file at the end: the test, why it was skipped, and how to have what it
//! needs.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// Whether the component is there. `why` completes "skipped: …", `remedy` completes "to run it: …".
pub fn present(found: bool, why: &str, remedy: &str) -> bool {
    if !found {
        let test = current_test();
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} can't run: {why}; to run it: {remedy}");
        skipped(&test, why, remedy);
    }
    found
}

/// The folder of the published contracts, for the one comparison with them. They are no part of this
/// project, so the comparison is skipped without them even where `CI=true`.
pub fn published_contracts() -> Option<PathBuf> {
    let folder = std::env::var_os("GAMESIDE_CONTRACTS").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    if folder.is_none() {
        let remedy = "name the folder of the published contracts in GAMESIDE_CONTRACTS";
        skipped(&current_test(), "the published contracts aren't part of this project", remedy);
    }
    folder
}

/// Root is needed for namespaces, cgroups and other users. `why` says what for.
pub fn root(why: &str) -> bool {
    present(is_root(), &format!("it needs root: {why}"), "run `tests/run` as root")
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The program's path, looked up in `PATH` and the usual places of system programs.
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/games"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(usual).map(|dir| dir.join(name)).find(|file| file.is_file());
    let remedy = format!("install {package} (the name of Debian's package)");
    present(found.is_some(), &format!("`{name}` is not installed"), &remedy).then_some(found).flatten()
}

/// `tests/with-systemd`, which runs a command under a systemd of its own, if it can work here.
pub fn with_systemd() -> Option<PathBuf> {
    let systemd = Path::new("/lib/systemd/systemd").is_file();
    let there = root("it mounts and makes namespaces")
        && present(systemd, "there is no systemd", "install systemd (the name of Debian's package)")
        && program("nsenter", "util-linux").is_some()
        && program("pgrep", "procps").is_some();
    there.then(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/with-systemd"))
}

/// A Python that has this module, as `tests/run` makes one.
pub fn python(module: &str) -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    let tried = Command::new(&ours).args(["-c", &format!("import {module}")]).output();
    let found = tried.is_ok_and(|output| output.status.success());
    let why = format!("target/python has no module `{module}`");
    present(found, &why, "`tests/run` installs it, from PyPI").then_some(ours)
}

fn current_test() -> String {
    std::thread::current().name().unwrap_or("a test").to_owned()
}

/// For `tests/run`'s list, and for whoever watches `cargo test`.
fn skipped(test: &str, why: &str, remedy: &str) {
    if let Some(list) = std::env::var_os("GAMESIDE_SKIPPED") {
        let line = [test, why, remedy].map(|text| text.replace(['\t', '\n'], " ")).join("\t") + "\n";
        let mut list = OpenOptions::new().create(true).append(true).open(list).unwrap();
        list.write_all(line.as_bytes()).unwrap();
    }
    // Not eprintln!, which the test runner swallows for tests that pass.
    let _ = writeln!(std::io::stderr(), "{test}: skipped: {why}; to run it: {remedy}");
}
