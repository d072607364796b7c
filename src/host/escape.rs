//! Text that others wrote (a game's output, a session's data) made harmless before it reaches a
//! terminal.
//!
//! Control characters, among them the escape that starts every terminal command, and the characters
//! that turn the direction of writing become visible `\u{…}`; everything else stays as it is.

use std::fmt::{self, Write as _};

/// Prints like the text, with everything that could steer a terminal made visible. A tab stays; a line feed doesn't.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\t' => f.write_char(c)?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                _ if is_steering(c) => write!(f, "\\u{{{:x}}}", c as u32)?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// The escaped text as a string; see [`Escaped`].
pub fn escape(text: &str) -> String {
    Escaped(text).to_string()
}

/// C0 and C1 controls, delete, and the invisible marks that reorder what is read.
fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_passes() {
        assert_eq!(escape("\x1b]0;owned\x07 \u{9b}2J \r\nend"), "\\u{1b}]0;owned\\u{7} \\u{9b}2J \\r\\nend");
        assert_eq!(escape("abc\u{202e}fdp"), "abc\\u{202e}fdp");
    }

    #[test]
    fn plain_text_in_any_script_passes_unchanged() {
        for text in ["oa_dm1\t12 players", "Zoë 東京 🎮", ""] {
            assert_eq!(escape(text), text);
        }
    }
}
