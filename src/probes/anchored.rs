//! Whether a pattern can only match from the beginning of a line.
//!
//! Players write into a game's log too: their chat, their names. A pattern that may match anywhere
//! in a line matches what they wrote.

/// Every alternative begins with `^` or `\A`, and not with "anything" after it.
pub(crate) fn is_anchored(pattern: &str) -> bool {
    alternatives(pattern).into_iter().all(|part| {
        let part = without_flags(part);
        if let Some(rest) = part.strip_prefix('^').or_else(|| part.strip_prefix(r"\A")) {
            return ![".", "(.", "(?:."]
                .iter()
                .any(|any| rest.strip_prefix(any).is_some_and(|rest| rest.starts_with(['*', '+'])));
        }
        first_group(part).is_some_and(is_anchored)
    })
}

/// The parts between `|` that stand in no group and no class.
fn alternatives(pattern: &str) -> Vec<&str> {
    let (mut parts, mut from, mut depth, mut class, mut escaped) = (Vec::new(), 0, 0usize, false, false);
    for (at, c) in pattern.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' => class = false,
            _ if class => {}
            '[' => class = true,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => {
                parts.push(&pattern[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&pattern[from..]);
    parts
}

/// Flags such as `(?i)` match nothing. With `m` a `^` matches after a line break; a line has none.
fn without_flags(pattern: &str) -> &str {
    let flags = pattern.strip_prefix("(?").and_then(|rest| rest.split_once(')'));
    match flags {
        Some((flags, rest)) if flags.chars().all(|c| c.is_ascii_alphabetic() || c == '-') => without_flags(rest),
        Some(_) | None => pattern,
    }
}

/// What the group holds that a pattern begins with, if it has to match once at least.
fn first_group(pattern: &str) -> Option<&str> {
    let inner = pattern.strip_prefix('(')?;
    let (mut depth, mut class, mut escaped) = (1usize, false, false);
    let end = inner.char_indices().find_map(|(at, c)| {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ']' => class = false,
            _ if class => {}
            '[' => class = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })?;
    let (inside, after) = (&inner[..end], &inner[end + 1..]);
    if after.starts_with(['?', '*', '{']) {
        return None;
    }
    let inside = inside.strip_prefix("?:").unwrap_or(inside);
    match inside.strip_prefix("?P<").or_else(|| inside.strip_prefix("?<")) {
        Some(named) => named.split_once('>').map(|(_, inside)| inside),
        None => Some(inside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_anchored_if_every_way_through_it_is() {
        for anchored in ["^a", r"\Aa", "(?i)^a", "^a|^b", "^(a|b)", "(^a|^b)c", "(?:^a)", "(?<x>^a)", r"^\[[0-9|]+\]"] {
            assert!(is_anchored(anchored), "{anchored}");
        }
        for open in
            [r"^\[a|\]", "a", "^a|b", "(^a)?b", "(^a|b)", "^.*a", "^(.+)a", r"\^a", "[^a]", "[|^]a", "(?i)a", ""]
        {
            assert!(!is_anchored(open), "{open}");
        }
    }
}
