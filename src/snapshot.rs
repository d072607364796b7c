//! Documents that a test makes and the programs carry as text: `openapi.json` of the native API and
//! of the session service.
//!
//! A document is laid out with a line for each operation and each component, so that it stays small
//! in the programs and a change of it can be read as a difference of lines.

use serde_json::Value;
use std::path::Path;

/// Set to write what was made in the place of what is checked in.
const ACCEPT: &str = "GAMESIDE_ACCEPT";

/// Compares a document with the file that is checked in, `file` from the package's root.
#[track_caller]
pub(crate) fn compare(file: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let made = laid_out(document);
    if std::env::var_os(ACCEPT).is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(made.lines()).find(|(kept, made)| kept != made);
    assert!(
        kept == made,
        "{file} isn't what the code says now. If the change is meant, run `{ACCEPT}=1 cargo test --lib openapi` and check the \
         file in. The first difference:\n- {}\n+ {}",
        differs.map_or("(the end)", |(kept, _)| kept),
        differs.map_or("(the end)", |(_, made)| made),
    );
}

/// JSON with line breaks down to single operations and components.
fn laid_out(document: &Value) -> String {
    let mut text = String::new();
    lay_out(document, 0, &mut text);
    text.push('\n');
    text
}

/// Paths and kinds of components are the second level; operations and components are the third.
const DEEPEST: usize = 3;

fn lay_out(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(members) if depth < DEEPEST && !members.is_empty() => {
            for (number, (key, value)) in members.iter().enumerate() {
                text.push_str(if number == 0 { "{\n" } else { ",\n" });
                text.push_str(&" ".repeat(depth));
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                lay_out(value, depth + 1, text);
            }
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}

#[test]
fn a_document_is_laid_out_without_a_change() {
    let document = serde_json::json!({"a": {"b": {"c": {"d": [1, {"e": {}}]}, "f": {}}}, "g": "h\n"});
    let text = laid_out(&document);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    assert!(text.contains("\n  \"c\":{\"d\":[1,{\"e\":{}}]},\n"), "{text}");
}
