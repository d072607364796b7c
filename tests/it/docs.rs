//! What the documents say, against what is there.

use crate::support::{
    component, http,
    service::Service,
    world::{GAMESIDE, PATIENCE, World},
};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Instant,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let below = |dir: PathBuf| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    below(root())
        .chain(below(root().join("docs")))
        .filter(|path| path.extension().is_some_and(|ext| ext == "md"))
        .collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let link = regex::Regex::new(r"\]\(([^)#\s]+)").unwrap();
    let mut dead = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for found in link.captures_iter(&text) {
            let target = &found[1];
            if !target.contains("://") && !document.parent().unwrap().join(target).exists() {
                dead.push(format!("{} -> {target}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn every_file_that_is_named_in_code_spans_exists() {
    let span = regex::Regex::new(r"`((?:config|docs|systemd|tests|benches|src|\.ci)/[^`{}*\s]*)`").unwrap();
    let mut missing = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for found in span.captures_iter(&text) {
            if !root().join(&found[1]).exists() {
                missing.push(format!("{}: {}", document.display(), &found[1]));
            }
        }
    }
    assert!(missing.is_empty(), "missing:\n{}", missing.join("\n"));
}

/// What shows a promise is a test that there is.
#[test]
fn every_test_that_reliability_names_exists() {
    let mut code = String::new();
    let mut folders = vec![root().join("src"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                code.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let page = std::fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let name = regex::Regex::new(r"`([a-z]+(?:_[a-z0-9]+){2,})`").unwrap();
    let named: BTreeSet<_> = name.captures_iter(&page).map(|found| found[1].to_owned()).collect();
    assert!(named.len() > 10, "{named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert!(missing.is_empty(), "there is no such test: {missing:?}");
}

/// The names in the page's first column, without labels.
fn documented(heading: &str) -> BTreeSet<String> {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let names = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    names.map(str::to_owned).collect()
}

/// The names on a page of metrics, as its samples bear them.
fn served(url: &str) -> BTreeSet<String> {
    let page = http::exchange("GET", &format!("{url}/metrics"), &[], None).unwrap();
    assert_eq!(page.status, 200);
    let samples = page.text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    samples.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

#[test]
fn the_metrics_page_names_what_is_served_and_nothing_else() {
    let world = World::new();
    let service = Service::start(&world);
    let sic = format!("{}[allocation]\nprovider = \"sic\"\n", service.agent_config());
    let agent = world.agent("server", &sic);
    let status = agent.wait("registration", |status| status["agent"]["registered"] == true);
    let api = status["agent"]["api"].as_str().unwrap();
    assert_eq!(served(api), documented("The agent"));
    let mut page = served(&service.url());
    // Without TLS there is none; `tls.rs` has one that is served.
    page.insert("gameside_sessions_tls_certificate_expiry_timestamp_seconds".to_owned());
    assert_eq!(page, documented("The session service"));
}

#[test]
fn the_readme_gives_the_command_that_ci_runs() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    assert!(readme.contains("\ntests/run\n") && ci.contains("tests/run"));
    assert!(executable(&root().join("tests/run")) && executable(&root().join(".ci/run")));
}

fn executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().unwrap().permissions().mode() & 0o111 != 0
}

/// The commands between the marks in a document, as a reader would paste them.
fn commands(document: &str) -> String {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let (_, rest) = text.split_once("<!-- test: begin -->").unwrap_or_else(|| panic!("{document} has no marks"));
    let (marked, _) = rest.split_once("<!-- test: end -->").unwrap();
    marked.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

/// Runs them from an empty directory, on a free port; what they print.
fn run_document(world: &World, document: &str) -> String {
    let port = world.service_port();
    let script = commands(document).replace("127.0.0.1:8787", &format!("127.0.0.1:{port}"));
    let empty = world.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let (out, err) = (world.log("document.out"), world.log("document.err"));
    let mut command = world.command("bash", ["-eu", "-c", &script]);
    let path = [Path::new(GAMESIDE).parent().unwrap().as_os_str().to_owned(), std::env::var_os("PATH").unwrap()];
    command.env("PATH", path.join(std::ffi::OsStr::new(":"))).env_remove("GAMESIDE_STATE_DIR");
    let mut child = command.current_dir(&empty).stdout(out).stderr(err).spawn().unwrap();
    let begun = Instant::now();
    let said = |name: &str| std::fs::read_to_string(world.path().join("logs").join(name)).unwrap();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if begun.elapsed() > 3 * PATIENCE => {
                child.kill().unwrap();
                break child.wait().unwrap();
            }
            None => std::thread::park_timeout(std::time::Duration::from_millis(50)),
        }
    };
    let logs = || {
        let files = std::fs::read_dir(&empty).unwrap().map(|entry| entry.unwrap().path());
        let logs = files.filter(|file| file.extension().is_some_and(|ext| ext == "log"));
        let text = |log: PathBuf| format!("--- {}\n{}", log.display(), std::fs::read_to_string(&log).unwrap());
        logs.map(text).collect::<Vec<_>>().join("\n")
    };
    assert!(status.success(), "{status}\n{}\n{}\n{}", said("document.out"), said("document.err"), logs());
    said("document.out")
}

fn addresses(said: &str) -> usize {
    said.lines().filter(|line| line.parse::<std::net::SocketAddr>().is_ok()).count()
}

#[test]
fn the_readmes_fleet_works_as_pasted() {
    let world = World::new();
    let said = run_document(&world, "README.md");
    assert_eq!(addresses(&said), 1, "one connect string: {said}");
    assert!((1..=10).all(|n| said.contains(&format!("server-{n} "))), "{said}");
}

#[test]
fn the_services_api_works_as_pasted() {
    if component::program("curl", "curl").is_none() || component::program("jq", "jq").is_none() {
        return;
    }
    let world = World::new();
    let said = run_document(&world, "docs/service.md");
    for line in ["member", "{\"map\":\"docks\"}", "etag_mismatch", "OnSessionJoined", "OnSessionUpdated"] {
        assert!(said.lines().any(|found| found == line), "{line}: {said}");
    }
}

#[test]
fn the_sessions_interfaces_story_works_as_pasted() {
    let world = World::new();
    let said = run_document(&world, "docs/sessions-interface.md");
    assert_eq!(addresses(&said), 1, "the connect string: {said}");
    assert!(said.contains("level=4") && said.contains("leader") && said.contains("destroyed session"), "{said}");
}
