//! How wide prose may be, 100 columns: the comments of the source (`//` and `//!`) and the
//! documents.
//!
//! Tables, code blocks and lines with an address are as wide as they have to be. `///` comments
//! are left out, as some of them become help and snapshots, and so is the generated reference of
//! the configuration.

use crate::support::source::rust_files;
use std::path::{Path, PathBuf};

const WIDTH: usize = 100;
const GENERATED: &str = "docs/configuration.md";

#[test]
fn comments_and_documents_are_at_most_100_columns_wide() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = ["src", "tests", "benches", "fuzz/fuzz_targets"].map(|dir| root.join(dir));
    let sources: Vec<PathBuf> = sources.iter().filter(|dir| dir.exists()).flat_map(|dir| rust_files(dir)).collect();
    let documents = ["", "docs", "src/cli"].map(|dir| documents(&root.join(dir)));
    let documents = documents.into_iter().flatten().filter(|path| *path != root.join(GENERATED));
    let mut wide = Vec::new();
    for (path, prose) in
        sources.into_iter().map(|path| (path, comment as Prose)).chain(documents.map(|path| (path, whole as Prose)))
    {
        let text = std::fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root).unwrap().display();
        wide.extend(too_wide(&text, prose).into_iter().map(|line| format!("{path}:{line}")));
    }
    assert!(wide.is_empty(), "prose of more than {WIDTH} columns:\n{}", wide.join("\n"));
}

/// What of a line is prose, if anything is.
type Prose = fn(&str) -> Option<&str>;

fn comment(line: &str) -> Option<&str> {
    let text = line.trim_start().strip_prefix("//").filter(|text| !text.starts_with('/'))?;
    Some(text.strip_prefix('!').unwrap_or(text).trim_start())
}

#[allow(clippy::unnecessary_wraps, reason = "the other kind of file has lines that are no prose")]
fn whole(line: &str) -> Option<&str> {
    Some(line.trim_start())
}

fn documents(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|ext| ext == "md")).collect()
}

/// The numbers of the lines that are too wide.
fn too_wide(text: &str, prose: Prose) -> Vec<usize> {
    let mut in_code = false;
    let mut wide = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(said) = prose(line) else {
            in_code = false;
            continue;
        };
        if said.starts_with("```") {
            in_code = !in_code;
        } else if !in_code && !said.starts_with('|') && !said.contains("://") && line.chars().count() > WIDTH {
            wide.push(index + 1);
        }
    }
    wide
}

#[test]
fn tables_code_addresses_and_what_is_no_comment_may_be_wider() {
    let long = "word ".repeat(30);
    let source = format!(
        "//! {long}\n//! | {long}\n//! ```\n//! {long}\n//! ```\n/// {long}\nlet x = \"{long}\";\n    // {long}\n// http://{long}\n"
    );
    assert_eq!(too_wide(&source, comment), [1, 8]);
    let document = format!("{long}\n```\n// {long}\n```\n| {long}\n- {long}\n");
    assert_eq!(too_wide(&document, whole), [1, 6]);
    let exactly = "é".repeat(WIDTH);
    assert!(too_wide(&exactly, whole).is_empty() && too_wide(&format!("{exactly}."), whole) == [1]);
}
