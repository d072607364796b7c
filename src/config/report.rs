//! What is wrong with a configuration: every fault at once, each with its place.

use miette::{Diagnostic, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use serde::Serialize;
use std::{fmt, sync::Arc};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "source")]
pub enum Place {
    /// In the file. Line and column count from 1; the column counts characters.
    File {
        file: String,
        line: usize,
        column: usize,
        #[serde(skip)]
        span: (usize, usize),
    },
    /// In an environment variable.
    Env { variable: String },
    /// On the command line.
    CommandLine { option: String },
    /// Nowhere: it is the default that is wrong, or something that isn't there.
    Nowhere,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The key, as a path: `game.stop.ladder[1].wait`. Empty for the file as a whole.
    pub key: String,
    pub place: Place,
    /// What was found there, as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What would be right.
    pub expected: String,
    /// The key or word that was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// The line may hold a secret that was put there by mistake: it isn't shown.
    #[serde(skip)]
    pub hidden: bool,
}

/// All faults of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub problems: Vec<Problem>,
    source: Option<(String, Arc<str>)>,
}

impl Report {
    /// `source`: the file's name and text, to show the lines.
    pub fn new(problems: Vec<Problem>, source: Option<(String, Arc<str>)>) -> Self {
        Report { problems, source }
    }

    /// For people: fancy, with colours and the lines themselves, or plain.
    pub fn render(&self, style: Style) -> String {
        let theme = match style {
            Style::Fancy => miette::GraphicalTheme::unicode(),
            Style::Plain => miette::GraphicalTheme::none(),
        };
        let handler =
            miette::GraphicalReportHandler::new_themed(theme).with_width(110).with_links(false).with_context_lines(0);
        let mut text = String::new();
        for problem in &self.problems {
            if !text.is_empty() {
                text.push('\n');
            }
            let shown = Shown { problem, source: self.lines() };
            // Writing into a String doesn't fail.
            let _ = handler.render_report(&mut text, &shown);
        }
        text
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "ok": false, "problems": self.problems })
    }

    fn lines(&self) -> Option<Lines> {
        self.source.as_ref().map(|(name, text)| Lines { name: name.clone(), text: Arc::clone(text) })
    }
}

/// How a report is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Fancy,
    Plain,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { file, line, column, .. } => write!(f, "{file}:{line}:{column}: ")?,
            Place::Env { variable } => write!(f, "{variable}: ")?,
            Place::CommandLine { option } => write!(f, "{option}: ")?,
            Place::Nowhere => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        match &self.found {
            Some(found) => write!(f, "found {found}, expected {}", self.expected)?,
            None => write!(f, "expected {}", self.expected)?,
        }
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean {nearest:?}?"),
            None => Ok(()),
        }
    }
}

/// One line a fault.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let line_feed = if index == 0 { "" } else { "\n" };
            write!(f, "{line_feed}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// The file, of which miette is shown the lines of a span and no more: those around it may hold anything.
#[derive(Debug)]
struct Lines {
    name: String,
    text: Arc<str>,
}

impl SourceCode for Lines {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        context: usize,
        _after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (from, to) = (span.offset(), span.offset() + span.len());
        let before = self.text.get(..from).ok_or(MietteError::OutOfBounds)?;
        let behind = self.text.get(to..).ok_or(MietteError::OutOfBounds)?;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let end = to + behind.find('\n').unwrap_or(behind.len());
        let lines = &self.text[start..end];
        // Without context only the place is wanted, for the heading.
        let column = if context == 0 { self.text[start..from].chars().count() } else { 0 };
        let contents = MietteSpanContents::new_named(
            self.name.clone(),
            lines.as_bytes(),
            SourceSpan::new(start.into(), end - start),
            before.matches('\n').count(),
            column,
            lines.lines().count(),
        );
        Ok(Box::new(contents))
    }
}

/// A problem as miette shows it.
#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    source: Option<Lines>,
}

/// Only what label, help and line don't say already.
impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { key, place, found, .. } = self.problem;
        let found = found.as_deref().unwrap_or("nothing that will do");
        match place {
            Place::File { .. } if !self.problem.hidden && key.is_empty() => write!(f, "found {found}"),
            Place::File { .. } if !self.problem.hidden => write!(f, "{key}: found {found}"),
            _ => fmt::Display::fmt(self.problem, f),
        }
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        match self.problem.place {
            Place::File { .. } if self.problem.hidden => None,
            Place::File { .. } => self.source.as_ref().map(|source| source as &dyn SourceCode),
            Place::Env { .. } | Place::CommandLine { .. } | Place::Nowhere => None,
        }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Place::File { span: (start, end), .. } = self.problem.place else { return None };
        if self.problem.hidden {
            return None;
        }
        let label = LabeledSpan::new_with_span(
            Some(format!("expected {}", self.problem.expected)),
            SourceSpan::new(start.into(), end.saturating_sub(start)),
        );
        Some(Box::new(std::iter::once(label)))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        // Where the whole problem is the headline, it is said there.
        let shown = matches!(self.problem.place, Place::File { .. }) && !self.problem.hidden;
        let nearest = self.problem.nearest.as_ref().filter(|_| shown)?;
        Some(Box::new(format!("did you mean {nearest:?}?")))
    }
}
