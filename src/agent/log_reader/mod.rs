//! What the game's output means: the keeper's log is read line by line, by a task of its own.
//!
//! ```text
//!   keeper: "the log has more" ──► reader ──read, match (a blocking thread)──► news ──► driver ──► core
//!                                                └─ how far it was read goes with each line into the journal
//! ```
//!
//! | known of the run | read from | what counts |
//! |---|---|---|
//! | how far it was read | where its output begins | lines behind that place; earlier ones only say who plays |
//! | only where its output begins (a journal of an older agent) | there | of what is there already the proof of readiness alone |
//! | neither (an older keeper), or the log can't be read | nowhere | the lines that the keeper forwards |
//!
//! Invariants: a reader that falls behind loses nothing, because nothing is forwarded but the news
//! that there is more; an end of the run is passed on after the lines before it; a disk that
//! doesn't answer delays that end by [`LAST_LINES`] at most.

mod tail;

use crate::{
    keeper::{Forward, Keeper},
    model::{
        game::{Evidence, GameEvent},
        ids::RunNumber,
        keeper::KeeperFact,
        process::{OutputFrom, OutputRead},
    },
    probes::{Log, Observation},
};
use std::{io, path::PathBuf, time::Duration};
use tail::Tail;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

/// How long the end of a run may be held back for the lines before it.
const LAST_LINES: Duration = Duration::from_secs(5);
/// Lines from the keeper that may wait; beyond, they are lost.
const MAX_WAITING: usize = 1024;

/// What a reader has found out.
#[derive(Debug)]
pub enum LogNews {
    /// A line that means something, or, with neither, the place where a run's output begins.
    Line { run: RunNumber, read: Option<OutputRead>, evidence: Vec<Evidence>, events: Vec<GameEvent> },
    /// Everything that the run has written is read: this fact may be taken now.
    Ended(Box<KeeperFact>),
}

/// What is to be read.
#[derive(Debug)]
pub(super) struct Source {
    pub run: RunNumber,
    /// The patterns, new for each run.
    pub log: Log,
    /// Where the keeper keeps the game's output.
    pub logs: PathBuf,
    /// How far it was read before.
    pub output: Option<OutputRead>,
    /// Where it begins, as the keeper says.
    pub begins: Option<OutputFrom>,
}

/// Reads the output of one run; it ends when this is dropped.
#[derive(Debug)]
pub struct LogReader {
    pub run: RunNumber,
    messages: mpsc::Sender<Message>,
    task: Option<JoinHandle<()>>,
    news: mpsc::Sender<LogNews>,
}

#[derive(Debug)]
enum Message {
    /// There is more in the log.
    More,
    Line {
        text: String,
        /// The log doesn't have it.
        lost: bool,
    },
}

impl Drop for LogReader {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl LogReader {
    pub(super) fn start(source: Source, keeper: &Keeper, news: &mpsc::Sender<LogNews>) -> LogReader {
        let (messages, received) = mpsc::channel(MAX_WAITING);
        let run = source.run;
        let reader = Reader { run, keeper: keeper.clone(), news: news.clone(), state: None };
        let task = tokio::spawn(reader.live(source, received));
        LogReader { run, messages, task: Some(task), news: news.clone() }
    }

    /// There is more to read.
    pub(super) fn more(&self) {
        // Where there is no room, something else makes it look.
        let _ = self.messages.try_send(Message::More);
    }

    /// A line that the keeper has forwarded.
    pub(super) fn line(&self, text: String, lost: bool) {
        if self.messages.try_send(Message::Line { text, lost }).is_err() {
            tracing::warn!(run = %self.run, "a line of the game's output was lost: too many wait");
        }
    }

    /// The run is over: the rest is read, and then the fact is passed on.
    pub(super) fn finish(mut self, fact: KeeperFact) {
        // The reader reads to the end once nothing can come any more.
        let (closed, _) = mpsc::channel(1);
        self.messages = closed;
        let (task, news) = (self.task.take(), self.news.clone());
        tokio::spawn(async move {
            if let Some(mut task) = task
                && timeout(LAST_LINES, &mut task).await.is_err()
            {
                task.abort();
                tracing::warn!("the last lines of the game's output are not read: the disk doesn't answer");
            }
            // The receiver goes only with the driver.
            let _ = news.send(LogNews::Ended(Box::new(fact))).await;
        });
    }
}

/// The task.
struct Reader {
    run: RunNumber,
    keeper: Keeper,
    news: mpsc::Sender<LogNews>,
    /// None while it is read in a thread.
    state: Option<Reading>,
}

impl Reader {
    async fn live(mut self, source: Source, mut messages: mpsc::Receiver<Message>) {
        let mut lines = Lines(source.log.clone());
        if let Some(begins) = source.output.map(|output| output.from).or(source.begins) {
            self.begin(source, begins).await;
        }
        let mut reads = self.state.is_some();
        self.keeper.output(if reads { Forward::News } else { Forward::Lines });
        loop {
            if reads && !self.read().await {
                reads = false;
                self.keeper.output(Forward::Lines);
            }
            match messages.recv().await {
                Some(Message::More) => {}
                Some(Message::Line { text, lost }) if lost || !reads => {
                    let (evidence, events) = lines.meaning(&text);
                    self.tell(None, evidence, events).await;
                }
                Some(Message::Line { .. }) => {} // it is in the log
                None => {
                    if reads {
                        self.read().await;
                    }
                    return;
                }
            }
        }
    }

    async fn begin(&mut self, source: Source, begins: OutputFrom) {
        let begun = tokio::task::spawn_blocking(move || Reading::begin(source, begins)).await;
        match begun {
            Ok(Ok(reading)) => self.state = Some(reading),
            Ok(Err(error)) => self.cannot_read(&error),
            Err(_) => {}
        }
    }

    /// Reads what is there. False: it can't be read.
    async fn read(&mut self) -> bool {
        while let Some(mut reading) = self.state.take() {
            let turn = tokio::task::spawn_blocking(move || {
                let turn = reading.turn();
                (reading, turn)
            });
            let Ok((reading, turn)) = turn.await else { return false };
            match turn {
                Ok(found) => {
                    let more = found.more;
                    for Meaning { read, evidence, events } in found.meanings {
                        self.tell(Some(read), evidence, events).await;
                    }
                    self.state = Some(reading);
                    if !more {
                        return true;
                    }
                }
                Err(error) => {
                    self.cannot_read(&error);
                    return false;
                }
            }
        }
        false
    }

    fn cannot_read(&self, error: &io::Error) {
        tracing::warn!(%error, "the log of the game's output can't be read; what the keeper forwards counts, and a burst loses lines");
    }

    async fn tell(&self, read: Option<OutputRead>, evidence: Vec<Evidence>, events: Vec<GameEvent>) {
        if read.is_some() || !evidence.is_empty() || !events.is_empty() {
            // The receiver goes only with the driver.
            let _ = self.news.send(LogNews::Line { run: self.run, read, evidence, events }).await;
        }
    }
}

/// The patterns, at work.
#[derive(Debug)]
struct Lines(Log);

impl Lines {
    fn meaning(&mut self, line: &str) -> (Vec<Evidence>, Vec<GameEvent>) {
        let (mut evidence, mut events) = (Vec::new(), Vec::new());
        for found in self.0.line(line) {
            match found {
                Observation::Evidence(found) => evidence.push(found),
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
struct Reading {
    tail: Tail,
    lines: Lines,
    from: OutputFrom,
    counts: Counts,
    /// Where the output begins, until it has been said.
    unsaid: bool,
}

struct Meaning {
    read: OutputRead,
    evidence: Vec<Evidence>,
    events: Vec<GameEvent>,
}

struct Found {
    meanings: Vec<Meaning>,
    more: bool,
}

impl Reading {
    fn begin(source: Source, begins: OutputFrom) -> io::Result<Reading> {
        let Source { log, logs, output, .. } = source;
        let (start, counts) = match output {
            // Nothing was read yet, or what was read lies in a file that is gone: all that is left counts.
            Some(OutputRead { from, to }) if from == to || !Tail::has(&logs, to)? => (to, Counts::All),
            Some(OutputRead { from, to }) => (from, Counts::Behind { place: to, in_its_file: false }),
            None => (begins, Counts::Readiness),
        };
        let tail = Tail::at(&logs, start)?;
        Ok(Reading { tail, lines: Lines(log), from: begins, counts, unsaid: output.is_none() })
    }

    fn turn(&mut self) -> io::Result<Found> {
        let turn = self.tail.read()?;
        let mut meanings = Vec::new();
        for line in turn.lines {
            let (evidence, mut events) = self.lines.meaning(&line.text);
            match self.counts_at(line.end) {
                Counts::All => {}
                Counts::Behind { .. } => continue,
                Counts::Readiness => events.clear(),
            }
            if !evidence.is_empty() || !events.is_empty() {
                meanings.push(Meaning { read: OutputRead { from: self.from, to: line.end }, evidence, events });
            }
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
