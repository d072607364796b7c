//! Text that somebody else wrote: a game, a player, a server.

/// The first `limit` characters, counted without control characters, which are left out.
pub fn printable(text: &str, limit: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_characters_are_left_out_and_do_not_count() {
        assert_eq!(printable("a\u{1b}[1mb\nc\u{e9}", 6), "a[1mbc");
        assert_eq!(printable("\u{e9}\u{e9}", 6), "\u{e9}\u{e9}");
        assert_eq!(printable("\r\n", 6), "");
    }
}
