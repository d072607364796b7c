//! The directions of imports, as `docs/architecture.md` draws them: a room uses the rooms named
//! beside it and no other.
//!
//! The source is read as text: comments, strings and `#[cfg(test)]` items are cut out, then every
//! path that starts at `crate`, `gameside`, `super` or an outside crate is resolved, `use` groups
//! included.

use crate::support::source::{Paths, rust_files};
use std::path::Path;

/// Which rooms a room may use. Of the machine's room some may use single files alone: `host::clock` and the like.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("core", &["model"]),
    (
        "agent",
        &[
            "model",
            "core",
            "net",
            "keeper",
            "gateway",
            "session_api",
            "providers",
            "frontends",
            "probes",
            "config",
            "host",
        ],
    ),
    ("keeper", &["model", "host::clock", "host::environment", "host::lock", "host::process", "host::socket"]),
    ("session_api", &["model", "net", "host::clock"]),
    ("providers", &["model", "session_api", "host::clock"]),
    ("net", &["model", "host::clock", "host::socket"]),
    ("gateway", &["model", "frontends", "net", "host::clock", "host::process", "host::socket"]),
    ("frontends", &["model", "net", "host::clock"]),
    ("probes", &["model", "host::clock"]),
    ("service", &["model", "net", "session_api", "host::clock", "host::files", "host::lock"]),
    ("config", &["model", "host::clock"]),
    ("practice", &["model", "net", "host::clock"]),
    ("host", &["model"]),
    ("cli", EVERYTHING),
    ("bin", EVERYTHING),
    ("main", EVERYTHING),
];

const EVERYTHING: &[&str] = &["*"];

/// What declares the rooms, names what tests use of them, or is built for tests alone.
const OF_NO_ROOM: &[&str] = &["internals", "lib", "snapshot"];

/// What neither the nouns nor the decisions may touch: runtimes, sockets, files, the environment, clocks, chance.
const IMPURE: &[&str] = &[
    "tokio",
    "reqwest",
    "axum",
    "hyper",
    "rustix",
    "libc",
    "std::fs",
    // Addresses are plain data.
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "std::os",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::Instant::now",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
    "Utc::now",
    "Local::now",
    "chrono::Utc::now",
];

/// Chance, too, comes to the core from outside: as a seed.
const CHANCE: &[&str] = &[
    "rand::rng",
    "rand::random",
    "rand::rngs::ThreadRng",
    "rand::rngs::OsRng",
    "rand::rngs::SysRng",
    "StdRng::from_os_rng",
    "StdRng::try_from_os_rng",
    "Uuid::new_v4",
    "uuid::Uuid::new_v4",
];

#[test]
fn rooms_import_only_what_the_layout_allows() {
    let mut faults = Vec::new();
    each_file(|room, file, paths| {
        for path in paths.crate_paths() {
            let Some(other) = path.first().filter(|other| *other != room) else { continue };
            if !known(other) {
                continue; // A macro or item of the crate's root.
            }
            if !allowed(room, path) {
                faults.push(format!("{}: `{room}` uses `{}`", file.display(), path.join("::")));
            }
        }
    });
    assert!(faults.is_empty(), "imports against the layout:\n{}", faults.join("\n"));
}

#[test]
fn nouns_and_decisions_touch_no_file_clock_or_socket() {
    let mut faults = Vec::new();
    each_file(|room, file, paths| {
        let banned: Vec<&str> = match room {
            "core" => IMPURE.iter().chain(CHANCE).copied().collect(),
            "model" => IMPURE.to_vec(),
            _ => return,
        };
        for path in paths.all() {
            let text = path.join("::");
            let hit = banned.iter().find(|ban| text == **ban || text.starts_with(&format!("{ban}::")));
            let minted = room == "core" && path.len() > 1 && path.last().is_some_and(|last| last == "random");
            if hit.is_some() || minted {
                faults.push(format!("{}: `{room}` uses `{text}`", file.display()));
            }
        }
    });
    assert!(faults.is_empty(), "impure:\n{}", faults.join("\n"));
}

#[test]
fn every_room_of_the_source_has_its_row() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(src).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let room = name.trim_end_matches(".rs");
        assert!(known(room) || OF_NO_ROOM.contains(&room), "src/{name} has no row in the layout");
    }
}

#[test]
fn the_scan_finds_what_it_looks_for() {
    let paths = Paths::of(
        &["keeper", "daemon"],
        r##"
        // crate::service::in_a_comment
        use crate::{model::{ids::RunNumber, time}, session_api::client as c};
        use super::super::core::settings;
        const TEXT: &str = "crate::cli::in_a_string";
        const RAW: &str = r#"crate::cli::in_a_raw_string"#;
        fn f<'a>(c: char) -> bool { c == '"' || gameside::probes::x() || std::env::var("X").is_ok() }
        pub mod inner { use super::super::super::providers::sic; }
        #[cfg(test)]
        mod tests { use crate::agent::driver; fn g() { let _ = "}"; } }
        use crate::frontends::native;
        "##,
    );
    let found: Vec<String> = paths.crate_paths().map(|path| path.join("::")).collect();
    let expected = [
        "model::ids::RunNumber",
        "model::time",
        "session_api::client",
        "core::settings",
        "probes::x",
        "providers::sic",
        "frontends::native",
    ];
    assert_eq!(found, expected);
    assert!(paths.all().any(|path| path.join("::") == "std::env::var"));
    assert!(!allowed("keeper", &["host".into(), "paths".into()]));
    assert!(allowed("keeper", &["host".into(), "clock".into(), "boot".into()]));
}

fn known(room: &str) -> bool {
    ROOMS.iter().any(|(name, _)| *name == room)
}

fn allowed(room: &str, path: &[String]) -> bool {
    let (_, may) = ROOMS.iter().find(|(name, _)| *name == room).expect("a room with a row");
    let file = path.get(..2).map(|file| file.join("::"));
    may.iter().any(|may| *may == "*" || *may == path[0] || file.as_deref() == Some(*may))
}

fn each_file(mut look: impl FnMut(&str, &Path, &Paths)) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rust_files(&src) {
        let inside = file.strip_prefix(&src).unwrap().with_extension("");
        let mut module: Vec<&str> = inside.iter().map(|part| part.to_str().unwrap()).collect();
        if module.len() == 1 && OF_NO_ROOM.contains(&module[0]) {
            continue;
        }
        if module.last() == Some(&"mod") {
            module.pop();
        }
        if module.iter().any(|part| *part == "tests" || part.ends_with("_tests")) {
            continue; // Modules of tests in files of their own.
        }
        let room = module[0];
        assert!(known(room), "{} lies in no known room", file.display());
        look(room, &file, &Paths::of(&module, &std::fs::read_to_string(&file).unwrap()));
    }
}
