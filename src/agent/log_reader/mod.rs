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
//! A game that logs to a file of its own (`[log] file`) is read from there instead, in the same
//! way; the directory tells when there is more. Its run begins where that file ended before it.
//!
//! Invariants: a reader that falls behind loses nothing, because nothing is forwarded but the news
//! that there is more; an end of the run is passed on after the lines before it; a disk that
//! doesn't answer delays that end by [`LAST_LINES`] at most.

mod changes;
pub(crate) mod config;
mod reading;
mod tail;

use crate::{
    keeper::Keeper,
    model::{
        game::{Evidence, GameEvent},
        ids::RunNumber,
        keeper::{Forward, KeeperFact},
        process::{OutputFrom, OutputRead},
    },
    probes::Log,
};
use changes::Changes;
use reading::{Lines, Meaning, Reading};
use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tail::{Files, Mark};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// How long the end of a run may be held back for the lines before it.
const LAST_LINES: Duration = Duration::from_secs(5);
/// After this long an unfinished line is matched as it stands.
const SILENCE: Duration = Duration::from_millis(300);
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

/// Where the game's lines are.
#[derive(Debug, Clone)]
pub enum LogPlace {
    /// In the directory where the keeper keeps the game's output.
    Keepers(PathBuf),
    Own(Arc<OwnLog>),
}

/// A log that the game writes by itself.
#[derive(Debug)]
pub struct OwnLog {
    path: PathBuf,
    /// Where the next run begins.
    end: Mutex<Mark>,
}

impl OwnLog {
    /// The lines that are in it now are older than any run.
    pub(super) fn new(path: PathBuf) -> OwnLog {
        let log = OwnLog { path, end: Mutex::new(Mark::nowhere()) };
        log.is_over();
        log
    }

    /// Nothing runs: the next run begins at the end of what is there.
    fn is_over(&self) {
        match Files::Own(self.path.clone()).end() {
            Ok(Some(end)) => *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "[log] file can't be read"),
        }
    }

    fn end(&self) -> Mark {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl LogPlace {
    fn files(&self) -> Files {
        match self {
            LogPlace::Keepers(dir) => Files::Keepers(dir.clone()),
            LogPlace::Own(log) => Files::Own(log.path.clone()),
        }
    }

    fn begins(&self) -> OutputFrom {
        match self {
            LogPlace::Keepers(_) => Mark::nowhere().at,
            LogPlace::Own(log) => log.end().at,
        }
    }

    /// Where a run's output begins is known of the keeper's files alone; a game's own log has its own beginning.
    pub(super) fn correct(&self, fact: &mut KeeperFact) {
        if let LogPlace::Own(log) = self {
            match fact {
                KeeperFact::Started { output_from, .. } => *output_from = Some(log.end().at),
                KeeperFact::Connected(hello) => hello.output_from = None,
                _ => {}
            }
        }
    }
}

/// A run whose output is to be read.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub run: RunNumber,
    /// The patterns, new for each run.
    pub log: Log,
    pub place: LogPlace,
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
    place: LogPlace,
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
        let (run, place) = (source.run, source.place.clone());
        let reader = Reader { run, keeper: keeper.clone(), news: news.clone(), state: None, trouble: None };
        let task = match &place {
            LogPlace::Keepers(_) => tokio::spawn(reader.read_output(source, received)),
            LogPlace::Own(log) => tokio::spawn(reader.read_own(source, log.path.clone(), received)),
        };
        LogReader { run, messages, task: Some(task), news: news.clone(), place }
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
        let (task, news, place) = (self.task.take(), self.news.clone(), self.place.clone());
        tokio::spawn(async move {
            if let Some(mut task) = task
                && timeout(LAST_LINES, &mut task).await.is_err()
            {
                task.abort();
                tracing::warn!("the last lines of the game's output are not read: the disk doesn't answer");
            }
            if let LogPlace::Own(log) = place {
                let _ = timeout(LAST_LINES, tokio::task::spawn_blocking(move || log.is_over())).await;
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
    /// Why it can't be read, as it was said last.
    trouble: Option<String>,
}

impl Reader {
    /// Follows a log of the game's own, until nothing can come any more.
    async fn read_own(mut self, source: Source, path: PathBuf, mut messages: mpsc::Receiver<Message>) {
        self.keeper.output(Forward::Nothing);
        let mut changes = Changes::of(&path);
        let begins = source.output.map_or_else(|| source.place.begins(), |output| output.from);
        loop {
            if self.state.is_none() {
                self.begin(source.clone(), begins).await;
            }
            self.read().await;
            let unfinished = self.state.as_ref().is_some_and(Reading::has_unfinished);
            tokio::select! {
                message = messages.recv() => if message.is_none() {
                    self.read().await;
                    return;
                },
                () = changes.next() => {}
                () = sleep(SILENCE), if unfinished => self.match_unfinished().await,
            }
        }
    }

    /// Follows the game's output, until nothing can come any more.
    async fn read_output(mut self, source: Source, mut messages: mpsc::Receiver<Message>) {
        let mut lines = Lines::new(source.log.clone());
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
            let unfinished = reads && self.state.as_ref().is_some_and(Reading::has_unfinished);
            let message = tokio::select! {
                message = messages.recv() => message,
                () = sleep(SILENCE), if unfinished => {
                    self.match_unfinished().await;
                    continue;
                }
            };
            match message {
                Some(Message::Line { text, lost }) if lost || !reads => {
                    let (evidence, events) = lines.meaning(&text);
                    self.tell(None, evidence, events).await;
                }
                // Such a line is in the log.
                Some(Message::More | Message::Line { .. }) => {}
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

    /// What a line without an end means: a prompt never gets one.
    async fn match_unfinished(&mut self) {
        let meaning = self.state.as_mut().and_then(Reading::unfinished);
        if let Some(Meaning { read, evidence, events }) = meaning {
            self.tell(Some(read), evidence, events).await;
        }
    }

    fn cannot_read(&mut self, error: &io::Error) {
        let why = error.to_string();
        if self.trouble.as_ref() != Some(&why) {
            tracing::warn!(why, "the game's log can't be read, so lines of it may not count");
            self.trouble = Some(why);
        }
    }

    async fn tell(&self, read: Option<OutputRead>, evidence: Vec<Evidence>, events: Vec<GameEvent>) {
        if read.is_some() || !evidence.is_empty() || !events.is_empty() {
            // The receiver goes only with the driver.
            let _ = self.news.send(LogNews::Line { run: self.run, read, evidence, events }).await;
        }
    }
}
