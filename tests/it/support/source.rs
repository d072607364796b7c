//! Just enough of Rust's grammar to find the paths that a file uses.

use std::path::{Path, PathBuf};

/// All `.rs` files below, in a stable order.
pub fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            found.extend(rust_files(&entry));
        } else if entry.extension().is_some_and(|ext| ext == "rs") {
            found.push(entry);
        }
    }
    found
}

/// The paths that a file uses outside its tests, `use` groups flattened.
pub struct Paths(Vec<(Root, Vec<String>)>);

#[derive(PartialEq)]
enum Root {
    /// From this crate's root.
    Crate,
    /// As written.
    Other,
}

impl Paths {
    /// `module` is the file's own place, from the crate's root.
    pub fn of(module: &[&str], text: &str) -> Self {
        let tokens = without_tests(&tokens(text));
        let mut paths = Paths(Vec::new());
        let mut module: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
        let mut depth = 0;
        let mut opened = Vec::new(); // Brace depth of each inline module.
        let mut at = 0;
        while at < tokens.len() {
            match tokens[at].as_str() {
                "mod" if tokens.get(at + 2).is_some_and(|next| next == "{") => {
                    module.push(tokens[at + 1].clone());
                    opened.push(depth);
                    at += 2;
                    continue;
                }
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if opened.last() == Some(&depth) {
                        opened.pop();
                        module.pop();
                    }
                }
                first if is_name(first) => {
                    at = paths.take(&tokens, at, &module, &[]);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        paths
    }

    /// Those within the crate, without the leading `crate`.
    pub fn crate_paths(&self) -> impl Iterator<Item = &Vec<String>> {
        self.0.iter().filter(|(root, path)| *root == Root::Crate && !path.is_empty()).map(|(_, path)| path)
    }

    /// All, those within the crate without the leading `crate`.
    pub fn all(&self) -> impl Iterator<Item = &Vec<String>> {
        self.0.iter().map(|(_, path)| path)
    }

    /// Takes the path (or tree of paths) that starts here; returns where it ends.
    fn take(&mut self, tokens: &[String], mut at: usize, module: &[String], before: &[String]) -> usize {
        let mut path = before.to_vec();
        while let Some(token) = tokens.get(at) {
            if token == "{" {
                return self.group(tokens, at + 1, module, &path);
            }
            if !is_name(token) {
                break; // `*`, `<`: the path so far says enough.
            }
            path.push(token.clone());
            at += 1;
            if tokens.get(at).is_none_or(|next| next != "::") {
                break;
            }
            at += 1;
        }
        self.0.push(resolve(&path, module));
        at
    }

    fn group(&mut self, tokens: &[String], mut at: usize, module: &[String], before: &[String]) -> usize {
        while let Some(token) = tokens.get(at) {
            match token.as_str() {
                "}" => return at + 1,
                "as" => at += 2,
                name if is_name(name) => at = self.take(tokens, at, module, before),
                _ => at += 1,
            }
        }
        at
    }
}

fn resolve(path: &[String], module: &[String]) -> (Root, Vec<String>) {
    let supers = path.iter().take_while(|part| *part == "super").count();
    match path.first().map(String::as_str) {
        Some("crate" | "gameside") => (Root::Crate, path[1..].to_vec()),
        Some("super") => {
            let up = &module[..module.len().saturating_sub(supers)];
            (Root::Crate, up.iter().chain(&path[supers..]).cloned().collect())
        }
        _ => (Root::Other, path.to_vec()),
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single other characters; no comments, strings, chars or lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    let is = |at: usize, what: &str| what.chars().enumerate().all(|(n, c)| chars.get(at + n) == Some(&c));
    while at < chars.len() {
        let c = chars[at];
        if is(at, "//") {
            at = find(&chars, at, '\n');
        } else if is(at, "/*") {
            at = after_block_comment(&chars, at);
        } else if let Some(end) = raw_string(&chars, at) {
            at = end;
        } else if c == '"' {
            at = after_quoted(&chars, at, '"');
        } else if c == '\'' {
            // A char literal, or a lifetime, of which only the quote is dropped.
            let literal = chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'');
            at = if literal { after_quoted(&chars, at, '\'') } else { at + 1 };
        } else if c.is_alphanumeric() || c == '_' {
            let end = (at..chars.len()).find(|n| !chars[*n].is_alphanumeric() && chars[*n] != '_');
            let end = end.unwrap_or(chars.len());
            found.push(chars[at..end].iter().collect());
            at = end;
        } else if is(at, "::") {
            found.push("::".into());
            at += 2;
        } else {
            if !c.is_whitespace() {
                found.push(c.to_string());
            }
            at += 1;
        }
    }
    found
}

fn find(chars: &[char], from: usize, what: char) -> usize {
    (from..chars.len()).find(|n| chars[*n] == what).unwrap_or(chars.len())
}

fn after_quoted(chars: &[char], open: usize, quote: char) -> usize {
    let mut at = open + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn after_block_comment(chars: &[char], open: usize) -> usize {
    let (mut at, mut depth) = (open, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// `r"…"`, `r#"…"#`, also with a leading `b` or `c`; the end of one that starts here.
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    let inside_name = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    let r = at + usize::from(matches!(chars[at], 'b' | 'c'));
    if inside_name || chars.get(r) != Some(&'r') {
        return None;
    }
    let hashes = chars[r + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(r + 1 + hashes) != Some(&'"') {
        return None;
    }
    let mut end = r + 2 + hashes;
    while end < chars.len() {
        let closed = chars[end] == '"' && chars[end + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
        end += 1;
        if closed {
            return Some(end + hashes);
        }
    }
    Some(end)
}

/// Cuts out the items under `#[cfg(test)]`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].iter().zip(mark).filter(|(token, mark)| token == mark).count() == mark.len() {
            at = after_item(tokens, at + mark.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The end of the item that starts here: its closing brace, or a semicolon outside of any.
fn after_item(tokens: &[String], mut at: usize) -> usize {
    let mut depth = 0;
    while at < tokens.len() {
        match tokens[at].as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth -= 1;
                if depth == 0 && tokens[at] == "}" {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
        at += 1;
    }
    at
}
