//! The journal as the core sees it: one commit under way, numbered; what waits for it; and how it is when it fails.
//!
//! A commit that fails or takes over [`PATIENCE`]: the match goes on, reports go out, status says so, and no allocation is
//! accepted. What is written ahead goes on waiting.

use super::{
    clock::When,
    engine::Core,
    io::{Effect, JournalFact},
};
use std::time::Duration;

/// A commit that takes longer is trouble.
pub const PATIENCE: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Journal {
    /// The number of the last commit that was asked for.
    asked: u64,
    /// What it said.
    text: String,
    /// The state of now, as text, and how often it has changed.
    present: String,
    written: Written,
    since: Option<When>,
    under_way: bool,
    /// The last one that reached the disk.
    done: u64,
    retry_at: Option<When>,
    /// Waits to be given a number.
    fresh: Vec<(Effect, Hold)>,
    /// Waits for a commit.
    held: Vec<(u64, Effect, Hold)>,
    pub trouble: Option<String>,
    pub set_aside: Option<String>,
}

/// Where the present state stands on its way to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Goes up with every change of what is remembered.
    pub revision: u64,
    /// The commit that has it on disk once it is done.
    pub by: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    UntilWritten,
    Briefly,
}

impl Journal {
    /// Not before the state of now is on disk.
    pub fn hold(&mut self, effect: Effect) {
        self.fresh.push((effect, Hold::UntilWritten));
    }

    /// The same, but a broken journal doesn't hold it up.
    pub fn hold_briefly(&mut self, effect: Effect) {
        self.fresh.push((effect, Hold::Briefly));
    }

    /// Takes back what still waits; says whether there was such a thing.
    pub fn drop_held(&mut self, unwanted: impl Fn(&Effect) -> bool) -> bool {
        let before = self.fresh.len() + self.held.len();
        self.fresh.retain(|(effect, _)| !unwanted(effect));
        self.held.retain(|(_, effect, _)| !unwanted(effect));
        self.fresh.len() + self.held.len() < before
    }

    pub fn deadline(&self) -> Option<When> {
        let slow = self.since.filter(|_| self.under_way && self.trouble.is_none()).map(|since| since + PATIENCE);
        if self.under_way { slow } else { self.retry_at }
    }

    /// Everything that was decided is on disk.
    pub fn is_settled(&self) -> bool {
        !self.under_way && self.retry_at.is_none() && self.held.is_empty() && self.fresh.is_empty()
    }
}

impl Core {
    /// Where the present state stands on its way to the disk: what changed it is safe once that commit is done.
    pub fn written(&self) -> Written {
        self.journal.written
    }

    /// The present state is on the disk.
    pub fn is_written(&self) -> bool {
        self.journal.written.by <= self.journal.done
    }

    pub(super) fn journal_fact(&mut self, fact: &JournalFact) {
        match fact {
            JournalFact::Committed { seq } if *seq == self.journal.asked => {
                self.journal.under_way = false;
                self.journal.done = *seq;
                if self.journal.trouble.take().is_some() {
                    self.happened("journal", "the journal can be written again", &[]);
                }
                self.release();
            }
            JournalFact::Failed { seq, why } if *seq == self.journal.asked => {
                self.journal.under_way = false;
                self.journal.retry_at = Some(self.now + RETRY);
                self.journal_trouble(format!("failed to write the journal: {why}"));
            }
            JournalFact::Committed { .. } | JournalFact::Failed { .. } => {}
        }
    }

    fn journal_trouble(&mut self, why: String) {
        if self.journal.trouble.is_none() {
            self.happened("journal", format!("{why}; the match goes on, no new allocation is taken"), &[]);
        }
        self.journal.trouble = Some(why);
        self.release();
    }

    pub(super) fn journal_tick(&mut self) {
        let slow = self.journal.since.is_some_and(|since| self.now >= since + PATIENCE);
        if self.journal.under_way && slow && self.journal.trouble.is_none() {
            self.journal_trouble("a write of the journal takes more than 2 s".to_owned());
        }
    }

    /// Asks for a commit where the state has changed, and lets go what waits for none. Last of all steps.
    pub(super) fn commit(&mut self) {
        let text = serde_json::to_string(&self.state).expect("plain data with text keys always serialises");
        let journal = &mut self.journal;
        let changed = text != journal.text;
        let failed = journal.retry_at.is_some_and(|at| self.now >= at);
        if !journal.under_way && (journal.retry_at.is_none() && changed || failed) {
            journal.asked += 1;
            journal.under_way = true;
            journal.since = Some(self.now);
            journal.retry_at = None;
            journal.text.clone_from(&text);
            self.out.push(Effect::Commit { seq: journal.asked, text: text.clone() });
        }
        // Until the next commit says so, the state of now isn't on disk.
        let needs = if journal.text == text { journal.asked } else { journal.asked + 1 };
        let needs = if journal.retry_at.is_some() { journal.asked + 1 } else { needs };
        journal.written.by = needs;
        if needs <= journal.done {
            // What changed while a commit was under way has changed back: none will follow it.
            journal.held.iter_mut().for_each(|(waits_for, ..)| *waits_for = (*waits_for).min(needs));
        }
        if journal.present != text {
            journal.written.revision += 1;
            journal.present = text;
        }
        for (effect, hold) in std::mem::take(&mut journal.fresh) {
            journal.held.push((needs, effect, hold));
        }
        self.release();
    }

    fn release(&mut self) {
        let (done, broken) = (self.journal.done, self.journal.trouble.is_some());
        let mut still = Vec::new();
        for (needs, effect, hold) in std::mem::take(&mut self.journal.held) {
            if needs <= done || (broken && hold == Hold::Briefly) {
                self.out.push(effect);
            } else {
                still.push((needs, effect, hold));
            }
        }
        self.journal.held = still;
    }
}
