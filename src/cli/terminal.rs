//! Text for a terminal: colours only there, and nothing foreign unescaped.

use crate::{host::escape::escape, model::status::TimelineEntry};
use chrono::Local;
use std::{
    fmt::{Arguments, Write as _},
    io::{IsTerminal as _, Write as _, stdout},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

static UNWRITTEN: AtomicBool = AtomicBool::new(false);

/// Writes on standard output. What can't be written is lost, and [`is_unwritten`] knows it.
pub(crate) fn write_out(text: Arguments<'_>) {
    if stdout().write_fmt(text).is_err() {
        UNWRITTEN.store(true, Relaxed);
    }
}

/// Whether something for standard output could not be written.
pub(crate) fn is_unwritten() -> bool {
    stdout().flush().is_err() || UNWRITTEN.load(Relaxed)
}

/// Whether colours are wanted on standard output: in a terminal, and `NO_COLOR` unset or empty.
pub(crate) fn colours() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !refused
}

/// Escapes every line, and keeps the line breaks.
pub(crate) fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

/// A palette that may be off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    pub on: bool,
}

/// What a word means to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Busy,
    Bad,
    Quiet,
    Strong,
    Plain,
}

impl Paint {
    pub(crate) fn here() -> Self {
        Paint { on: colours() }
    }

    pub(crate) fn apply(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "31",
            Tone::Quiet => "2",
            Tone::Strong => "1",
            Tone::Plain => return text.to_owned(),
        };
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// One line of the timeline: time, what, detail.
    pub(crate) fn timeline(self, entry: &TimelineEntry) -> String {
        let time = entry.at.0.with_timezone(&Local).format("%H:%M:%S%.3f").to_string();
        let kind = escape(&entry.kind);
        let word = self.apply(tone_of(entry), &format!("{kind:<14}"));
        format!("{}  {word}  {}", self.apply(Tone::Quiet, &time), escape(&entry.text))
    }
}

/// The tone of a timeline entry.
pub(crate) fn tone_of(entry: &TimelineEntry) -> Tone {
    match entry.kind.as_str() {
        "joinable" | "ready" | "adopted" | "backend_up" | "registered" | "recycled" | "reported" => Tone::Good,
        "allocated" | "pending" | "starting" | "unjoinable" | "drain" | "stopping" | "restart" | "backend_away"
        | "keeper_away" | "gap" | "not_in_session" | "session_doubtful" | "allocation_retry" => Tone::Busy,
        "launch_failed" | "unkillable" | "session_lost" | "journal" | "journal_set_aside" | "backend_refused"
        | "report_refused" | "refused" | "stranger" | "superseded" | "output_lost" => Tone::Bad,
        "health" => match entry.fields.get("health").map(String::as_str) {
            Some("healthy") => Tone::Good,
            Some("degraded") => Tone::Busy,
            Some("unhealthy") => Tone::Bad,
            _ => Tone::Plain,
        },
        "ended" | "closed" => Tone::Strong,
        _ => Tone::Plain,
    }
}

/// Columns as wide as their widest cell; the last one isn't padded.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing into a String doesn't fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    #[test]
    fn foreign_text_is_escaped_and_colours_stay_off() {
        let entry = TimelineEntry {
            seq: 1,
            at: Timestamp::EPOCH,
            kind: "player_joined".into(),
            text: "\x1b[31mEve\nroot".into(),
            fields: std::collections::BTreeMap::new(),
        };
        let line = Paint { on: false }.timeline(&entry);
        assert!(!line.contains('\x1b') && !line.contains('\n'), "{line:?}");
        assert!(line.contains("player_joined"));
    }

    #[test]
    fn tables_line_up() {
        let rows = [vec!["NAME".to_owned(), "PHASE".to_owned()], vec!["a".to_owned(), "idle".to_owned()]];
        assert_eq!(table(&rows), "NAME  PHASE\na     idle\n");
    }
}
