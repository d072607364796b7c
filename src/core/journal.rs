//! The journal as the core sees it: commits are numbered, and one is under way at a time. The
//! effects that wait for a commit are in [`super::decisions`].
//!
//! The state is written out as text only when its revision has moved; a text that is the same as
//! the last one is no change. What is large and seldom changes, who plays and what the game's SDK
//! keeps, is a text of its own as long as it is larger than [`INLINE`]: the bulk. A state refers to
//! it by an id, and what changes nothing in it has the next state refer to the same.
//!
//! A commit that fails or takes over [`PATIENCE`]: the match goes on, reports go out, status says
//! so, and no allocation is accepted. What is written ahead goes on waiting.

use super::{
    decisions::{Decisions, JournalWorks},
    durable::{BulkText, Memory},
    io::{Bulk, Effect, JournalFact},
    revision::{Revision, Tracked},
    steady_time::SteadyTime,
};
use std::time::Duration;

/// A commit that takes longer is trouble.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(1);
/// Up to so many bytes it lies in the state itself.
pub(super) const INLINE: usize = 4 * 1024;

/// Where the present state stands on its way to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Goes up with every change of what is remembered.
    pub revision: u64,
    /// The commit that has it on disk once it is done.
    pub by: u64,
}

/// What other machines know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct JournalFacts {
    /// Why it can't be written.
    pub trouble: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    /// The number of the last commit that was asked for.
    asked: u64,
    /// The text of that commit.
    asked_text: String,
    /// The present state is another one than that text.
    stale: bool,
    /// The large part of the present state; with an id, and as text, where it is a bulk.
    large: BulkText,
    bulk: Option<Bulk>,
    /// The present state as text, and the revision that it was made from.
    text: String,
    seen: Option<u64>,
    written: Written,
    /// When the last commit was asked for.
    since: Option<SteadyTime>,
    under_way: bool,
    /// The last one that reached the disk.
    done: u64,
    retry_at: Option<SteadyTime>,
    trouble: Tracked<Option<String>>,
    /// Why the journal of the last life couldn't be used.
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

    #[cfg(any(test, feature = "simulation"))]
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
    pub(super) fn is_settled(&self, decisions: &Decisions) -> bool {
        !self.under_way && self.retry_at.is_none() && decisions.nothing_waits()
    }

    /// What became of a commit.
    pub(super) fn on(&mut self, fact: &JournalFact, now: SteadyTime, decisions: &mut Decisions) {
        match fact {
            JournalFact::Committed { seq } if *seq == self.asked => {
                self.under_way = false;
                self.done = *seq;
                if self.trouble.is_some() {
                    self.trouble.set(None);
                    decisions.timeline("journal", "the journal can be written again", &[]);
                }
                self.release(decisions);
            }
            JournalFact::Failed { seq, why } if *seq == self.asked => {
                self.under_way = false;
                self.retry_at = Some(now + RETRY);
                self.in_trouble(format!("failed to write the journal: {why}"), decisions);
            }
            JournalFact::Committed { .. } | JournalFact::Failed { .. } => {}
        }
    }

    /// When [`Journal::tick`] or [`Journal::commit`] does something next.
    pub(super) fn next_deadline(&self) -> Option<SteadyTime> {
        let slow = self.since.filter(|_| self.under_way && self.trouble.is_none()).map(|since| since + PATIENCE);
        if self.under_way { slow } else { self.retry_at }
    }

    pub(super) fn tick(&mut self, now: SteadyTime, decisions: &mut Decisions) {
        let slow = self.since.is_some_and(|since| now >= since + PATIENCE);
        if self.under_way && slow && self.trouble.is_none() {
            self.in_trouble("a write of the journal takes more than 2 s".to_owned(), decisions);
        }
    }

    fn in_trouble(&mut self, why: String, decisions: &mut Decisions) {
        if self.trouble.is_none() {
            decisions.timeline("journal", format!("{why}; the match goes on, no new allocation is taken"), &[]);
        }
        self.trouble.set(Some(why));
        self.release(decisions);
    }

    /// Whether the state may be another one than the text says.
    pub(super) fn needs_text(&self, revision: u64) -> bool {
        self.seen != Some(revision)
    }

    /// The state as text. It refers to the present bulk, unless that is another one by now.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn text_of(&self, memory: &Memory) -> String {
        memory.write(self.bulk.as_ref().filter(|_| self.large.is_of(memory)).map(|bulk| bulk.id))
    }

    fn write(&mut self, memory: &Memory, decisions: &mut Decisions) -> String {
        if !self.large.is_of(memory) {
            self.large = BulkText::of(memory);
            let text = self.large.text();
            self.bulk = (text.len() > INLINE).then(|| Bulk { id: decisions.ids.number(), text: text.into() });
        }
        memory.write(self.bulk.as_ref().map(|bulk| bulk.id))
    }

    /// Asks for a commit where the state has changed, and lets go the effects that wait for none. This is the last step of
    /// every input. `revision`: of what is remembered; `memory`: the state, where it may have changed.
    pub(super) fn commit(
        &mut self,
        revision: u64,
        memory: Option<&Memory>,
        now: SteadyTime,
        decisions: &mut Decisions,
    ) {
        self.seen = Some(revision);
        let text = memory.map(|memory| self.write(memory, decisions));
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
            let (text, bulk) = (self.text.clone(), self.bulk.clone());
            decisions.effect(Effect::Commit { seq: self.asked, text, bulk });
        }
        self.number_waiting(decisions);
        self.release(decisions);
    }

    /// Says which commit has the present state, and has the waiting effects wait for that one.
    fn number_waiting(&mut self, decisions: &mut Decisions) {
        let is_asked_for = !self.stale && self.retry_at.is_none();
        let needs = if is_asked_for { self.asked } else { self.asked + 1 };
        self.written.by = needs;
        if needs <= self.done {
            decisions.wait_at_most_for(needs);
        }
        decisions.wait_for(needs);
    }

    fn release(&self, decisions: &mut Decisions) {
        let works = if self.trouble.is_some() { JournalWorks::No } else { JournalWorks::Yes };
        decisions.release(self.done, works);
    }
}
