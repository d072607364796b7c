//! Whether a pattern can only match from the beginning of a line.
//!
//! Players write into a game's log too: their chat, their names. A pattern that may match anywhere
//! in a line matches what they wrote.

use regex_syntax::hir::{Dot, Hir, HirKind, Look};

/// Every alternative begins with `^` or `\A`, and not with "anything" after it.
pub(crate) fn is_anchored(pattern: &str) -> bool {
    regex_syntax::parse(pattern).is_ok_and(|pattern| begins_a_line(&pattern))
}

fn begins_a_line(pattern: &Hir) -> bool {
    match pattern.kind() {
        // A line has no line break in it, so that the beginning of a line is that of the text.
        HirKind::Look(look) => matches!(look, Look::Start | Look::StartLF | Look::StartCRLF),
        HirKind::Capture(group) => begins_a_line(&group.sub),
        HirKind::Repetition(repeated) => repeated.min > 0 && begins_a_line(&repeated.sub),
        HirKind::Alternation(all) => all.iter().all(begins_a_line),
        HirKind::Concat(parts) => match &parts[..] {
            [first, second, ..] => begins_a_line(first) && !is_anything(second),
            [only] => begins_a_line(only),
            [] => false,
        },
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) => false,
    }
}

/// `.*` or `.+`, also in a group without a name.
fn is_anything(pattern: &Hir) -> bool {
    match pattern.kind() {
        HirKind::Repetition(repeated) => {
            let any = [Dot::AnyChar, Dot::AnyCharExceptLF].map(Hir::dot).contains(&repeated.sub);
            any && repeated.min <= 1 && repeated.max.is_none()
        }
        HirKind::Capture(group) if group.name.is_none() => is_anything(&group.sub),
        HirKind::Concat(parts) => parts.first().is_some_and(is_anything),
        HirKind::Capture(_)
        | HirKind::Alternation(_)
        | HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_) => false,
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
