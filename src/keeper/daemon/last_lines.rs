//! The last lines of a run's output, for the report of its end.

use std::collections::VecDeque;

const LINES: usize = 5;
/// Bytes of a line that are kept.
const LENGTH: usize = 200;

#[derive(Debug, Default)]
pub(super) struct LastLines(VecDeque<Vec<u8>>);

impl LastLines {
    /// Whole lines, each with its end.
    pub(super) fn add(&mut self, lines: &[u8]) {
        let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
        let last = lines.rsplit(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).take(LINES);
        let last: Vec<_> = last.map(|line| line[..line.len().min(LENGTH)].to_vec()).collect();
        self.0.extend(last.into_iter().rev());
        self.0.drain(..self.0.len().saturating_sub(LINES));
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.0.iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_bounded() {
        let mut last = LastLines::default();
        last.add(b"1\n2\n\n");
        last.add(b"3\r\n");
        assert_eq!(last.texts(), ["1", "2", "3"]);
        last.add(b"4\n5\n6\n7\n8\n");
        last.add(b"");
        assert_eq!(last.texts(), ["4", "5", "6", "7", "8"]);
        last.add(&[b'x'; 1000]);
        assert_eq!((last.texts().len(), last.texts()[4].len()), (5, LENGTH));
    }
}
