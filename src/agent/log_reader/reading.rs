//! From a place in a log to what the lines behind it mean: what is done in a thread.

use super::{
    LogPlace, Source,
    tail::{Files, Line, Tail},
};
use crate::{
    model::{
        game::{Evidence, GameEvent},
        process::{OutputFrom, OutputRead},
    },
    probes::{Log, Observation},
};
use std::io;

/// The patterns, at work.
#[derive(Debug)]
pub(super) struct Lines(Log);

impl Lines {
    pub(super) fn new(log: Log) -> Lines {
        Lines(log)
    }

    /// Who came and went in a file, from a place on: no more than that is taken from it.
    fn learn(&mut self, files: &Files, from: OutputFrom) -> io::Result<()> {
        if !files.have(from)? {
            return Ok(());
        }
        let mut tail = Tail::at(files.clone(), from)?;
        tail.stay();
        loop {
            let turn = tail.read()?;
            for line in turn.lines {
                self.meaning(&line.text);
            }
            if !turn.more {
                return Ok(());
            }
        }
    }

    pub(super) fn meaning(&mut self, line: &str) -> (Vec<Evidence>, Vec<GameEvent>) {
        let (mut evidence, mut events) = (Vec::new(), Vec::new());
        for found in self.0.line(line) {
            match found {
                Observation::Evidence(found) => evidence.push(found),
                // No line says that.
                Observation::Build(_) => {}
                Observation::GameEvent(event) => events.push(event),
            }
        }
        (evidence, events)
    }
}

/// What lines count for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    All,
    /// Those before this place had their effects in an earlier life of the agent. `in_its_file`: its file was reached.
    Behind {
        place: OutputFrom,
        in_its_file: bool,
    },
    /// Nobody knows which had: a proof of readiness can do no harm.
    Readiness,
}

/// A log under way: what is done in a thread.
#[derive(Debug)]
pub(super) struct Reading {
    tail: Tail,
    lines: Lines,
    from: OutputFrom,
    counts: Counts,
    /// Where the output begins, until it has been said.
    unsaid: bool,
    /// What the unfinished line has meant so far.
    unfinished: Option<Unfinished>,
}

/// An unfinished line that was matched.
#[derive(Debug)]
struct Unfinished {
    end: OutputFrom,
    evidence: Vec<Evidence>,
    events: Vec<GameEvent>,
}

pub(super) struct Meaning {
    pub read: OutputRead,
    pub evidence: Vec<Evidence>,
    pub events: Vec<GameEvent>,
}

pub(super) struct Found {
    pub meanings: Vec<Meaning>,
    pub more: bool,
}

impl Reading {
    pub(super) fn begin(source: Source, begins: OutputFrom) -> io::Result<Reading> {
        let Source { log, place, output, .. } = source;
        let (files, mut lines) = (place.files(), Lines(log));
        let (start, counts) = match output {
            // Nothing was read yet, or what was read is gone: all that is left counts.
            Some(OutputRead { from, to }) if from == to || !files.have(to)? => (to, Counts::All),
            // A game's own files have no order by which the one leads to the other.
            Some(OutputRead { from, to }) if matches!(place, LogPlace::Own(_)) && !from.is_in_the_file_of(&to) => {
                lines.learn(&files, from)?;
                (OutputFrom { offset: 0, ..to }, Counts::Behind { place: to, in_its_file: false })
            }
            Some(OutputRead { from, to }) => (from, Counts::Behind { place: to, in_its_file: false }),
            None if matches!(place, LogPlace::Own(_)) => (begins, Counts::All),
            None => (begins, Counts::Readiness),
        };
        let mut tail = Tail::at(files, start)?;
        if let LogPlace::Own(log) = &place {
            tail.expect(&log.end());
        }
        Ok(Reading { tail, lines, from: begins, counts, unsaid: output.is_none(), unfinished: None })
    }

    pub(super) fn turn(&mut self) -> io::Result<Found> {
        let turn = self.tail.read()?;
        let mut meanings = Vec::new();
        for line in turn.lines {
            let before = self.unfinished.take();
            meanings.extend(self.news(&line, before.as_ref()));
        }
        if self.counts == Counts::Readiness && !turn.more {
            self.counts = Counts::All;
        }
        if std::mem::take(&mut self.unsaid) {
            let to = self.tail.place().unwrap_or(self.from);
            let read = OutputRead { from: self.from, to };
            meanings.push(Meaning { read, evidence: Vec::new(), events: Vec::new() });
        }
        Ok(Found { meanings, more: turn.more })
    }

    /// There is an unfinished line that wasn't matched as it stands.
    pub(super) fn has_unfinished(&self) -> bool {
        let matched = self.unfinished.as_ref().map(|line| line.end);
        self.tail.unfinished().is_some_and(|line| Some(line.end) != matched)
    }

    /// What the unfinished line means, as far as that is new.
    pub(super) fn unfinished(&mut self) -> Option<Meaning> {
        let line = self.tail.unfinished()?;
        let before = self.unfinished.take();
        let news = self.news(&line, before.as_ref());
        let mut all = before.unwrap_or(Unfinished { end: line.end, evidence: Vec::new(), events: Vec::new() });
        all.end = line.end;
        if let Some(Meaning { evidence, events, .. }) = &news {
            all.evidence.extend(evidence.iter().cloned());
            all.events.extend(events.iter().cloned());
        }
        self.unfinished = Some(all);
        news
    }

    /// What a line means, as far as it counts and wasn't known while it was unfinished.
    fn news(&mut self, line: &Line, known: Option<&Unfinished>) -> Option<Meaning> {
        let (mut evidence, mut events) = self.lines.meaning(&line.text);
        if let Some(known) = known {
            evidence.retain(|found| !known.evidence.contains(found));
            events.retain(|found| !known.events.contains(found));
        }
        match self.counts_at(line.end) {
            Counts::All => {}
            Counts::Behind { .. } => return None,
            Counts::Readiness => events.clear(),
        }
        let read = OutputRead { from: self.from, to: line.end };
        (!evidence.is_empty() || !events.is_empty()).then_some(Meaning { read, evidence, events })
    }

    fn counts_at(&mut self, end: OutputFrom) -> Counts {
        if let Counts::Behind { place, in_its_file } = self.counts {
            let now_in_it = end.is_in_the_file_of(&place);
            self.counts = if now_in_it && end.offset <= place.offset || !now_in_it && !in_its_file {
                Counts::Behind { place, in_its_file: now_in_it }
            } else {
                Counts::All
            };
        }
        self.counts
    }
}
