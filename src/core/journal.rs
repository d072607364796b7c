//! The journal as the core sees it: one commit under way, numbered; and how it is when it fails.
//! What waits for a commit is in [`super::turn`].
//!
//! The state is written out as text only when its revision has moved; a text that is the same as
//! the last one is no change.
//!
//! A commit that fails or takes over [`PATIENCE`]: the match goes on, reports go out, status says
//! so, and no allocation is accepted. What is written ahead goes on waiting.

use super::{
    io::{Effect, JournalFact},
    revision::{Revision, Tracked},
    steady_time::SteadyTime,
    turn::{JournalWorks, Turn},
};
use std::time::Duration;

/// A commit that takes longer is trouble.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(1);

/// Where the present state stands on its way to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Goes up with every change of what is remembered.
    pub revision: u64,
    /// The commit that has it on disk once it is done.
    pub by: u64,
}

/// What others know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct JournalFacts {
    /// Why it can't be written.
    pub trouble: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    /// The number of the last commit that was asked for.
    asked: u64,
    /// What it said; `stale`: that isn't the state of now.
    asked_text: String,
    stale: bool,
    /// The state of now, as text, and the revision that it was made from.
    text: String,
    seen: Option<u64>,
    written: Written,
    since: Option<SteadyTime>,
    under_way: bool,
    /// The last one that reached the disk.
    done: u64,
    retry_at: Option<SteadyTime>,
    trouble: Tracked<Option<String>>,
    /// The journal of an earlier life, which can't be used.
    set_aside: Tracked<Option<String>>,
}

impl Journal {
    pub(super) fn new(set_aside: Option<String>) -> Self {
        Journal { set_aside: Tracked::new(set_aside), ..Journal::default() }
    }

    pub(super) fn revision(&self) -> Revision {
        Revision { durable: 0, visible: self.trouble.changes() + self.set_aside.changes() }
    }

    pub(super) fn facts(&self) -> JournalFacts {
        JournalFacts { trouble: self.trouble.clone() }
    }

    pub(super) fn set_aside(&self) -> Option<&str> {
        self.set_aside.as_deref()
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn written(&self) -> Written {
        self.written
    }

    /// The present state is on the disk.
    pub(super) fn is_written(&self) -> bool {
        self.written.by <= self.done
    }

    /// Everything that was decided is on disk.
    pub(super) fn is_settled(&self, turn: &Turn) -> bool {
        !self.under_way && self.retry_at.is_none() && turn.nothing_waits()
    }

    /// What became of a commit.
    pub(super) fn on(&mut self, fact: &JournalFact, now: SteadyTime, turn: &mut Turn) {
        match fact {
            JournalFact::Committed { seq } if *seq == self.asked => {
                self.under_way = false;
                self.done = *seq;
                if self.trouble.is_some() {
                    self.trouble.set(None);
                    turn.timeline("journal", "the journal can be written again", &[]);
                }
                self.release(turn);
            }
            JournalFact::Failed { seq, why } if *seq == self.asked => {
                self.under_way = false;
                self.retry_at = Some(now + RETRY);
                self.in_trouble(format!("failed to write the journal: {why}"), turn);
            }
            JournalFact::Committed { .. } | JournalFact::Failed { .. } => {}
        }
    }

    /// When [`Journal::tick`] or [`Journal::commit`] does something next.
    pub(super) fn next_deadline(&self) -> Option<SteadyTime> {
        let slow = self.since.filter(|_| self.under_way && self.trouble.is_none()).map(|since| since + PATIENCE);
        if self.under_way { slow } else { self.retry_at }
    }

    pub(super) fn tick(&mut self, now: SteadyTime, turn: &mut Turn) {
        let slow = self.since.is_some_and(|since| now >= since + PATIENCE);
        if self.under_way && slow && self.trouble.is_none() {
            self.in_trouble("a write of the journal takes more than 2 s".to_owned(), turn);
        }
    }

    fn in_trouble(&mut self, why: String, turn: &mut Turn) {
        if self.trouble.is_none() {
            turn.timeline("journal", format!("{why}; the match goes on, no new allocation is taken"), &[]);
        }
        self.trouble.set(Some(why));
        self.release(turn);
    }

    /// The state may be another one than the text says.
    pub(super) fn needs_text(&self, revision: u64) -> bool {
        self.seen != Some(revision)
    }

    /// Asks for a commit where the state has changed, and lets go what waits for none. Last of all
    /// steps. `revision`: of what is remembered; `text`: what that is, where it may be news.
    pub(super) fn commit(&mut self, revision: u64, text: Option<String>, now: SteadyTime, turn: &mut Turn) {
        self.seen = Some(revision);
        if let Some(text) = text.filter(|text| self.text != *text) {
            self.written.revision += 1;
            self.text = text;
            self.stale = self.text != self.asked_text;
        }
        let failed = self.retry_at.is_some_and(|at| now >= at);
        if !self.under_way && (self.retry_at.is_none() && self.stale || failed) {
            self.asked += 1;
            self.under_way = true;
            self.since = Some(now);
            self.retry_at = None;
            self.asked_text.clone_from(&self.text);
            self.stale = false;
            turn.effect(Effect::Commit { seq: self.asked, text: self.text.clone() });
        }
        self.number_waiting(turn);
        self.release(turn);
    }

    /// Until the next commit says so, the state of now isn't on disk.
    fn number_waiting(&mut self, turn: &mut Turn) {
        let stands = !self.stale && self.retry_at.is_none();
        let needs = if stands { self.asked } else { self.asked + 1 };
        self.written.by = needs;
        if needs <= self.done {
            turn.wait_at_most_for(needs);
        }
        turn.wait_for(needs);
    }

    fn release(&self, turn: &mut Turn) {
        let works = if self.trouble.is_some() { JournalWorks::No } else { JournalWorks::Yes };
        turn.release(self.done, works);
    }
}
