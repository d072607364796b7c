//! From the machines to the durable text, and back: this is the one place that knows its shape.
//!
//! The text is the journal's state, and the keeper's adoption record. Additive changes only: a
//! newer agent reads an older one's journal.
//!
//! | member | of |
//! |---|---|
//! | `clock` | the wiring: by which clock the moments in the text are |
//! | `keeper`, `former_keepers` | the keeper link |
//! | `phase` | the match; `acquiring` of the allocation, `leaving` of the ending, `link` of the session |
//! | `process` | the process; in a run, also the game's words, the players and the pings of health |
//! | `gateway` | the gateway link: the last batch that the rest of the text has the effects of |
//! | `lanes` | the instance outboxes |
//! | `last_run`, `failures` | the process |
//! | `tellers` | the players |
//! | `term`, `answered` | the allocation |
//! | `matches`, `since`, `last_end` | the match |
//! | `bulk` | the id of the other text that has the rest of the run, where that is large |
//!
//! The shape of `phase` is in [`phase_text`], that of `process` in [`process_text`], that of the
//! bulk in [`bulk_text`].

mod bulk_text;
mod phase_text;
mod process_text;

use super::{
    allocation::{AllocationState, Answered, Making},
    crash_book::Failures,
    ending::FinalReports,
    game_match::MatchState,
    game_words::Words,
    health::Pings,
    instance_outbox::InstanceOutbox,
    players::Tellers,
    process::ProcessState,
    roster::Roster,
    session::SessionLink,
    steady_time::{Anchor, Clock, Shift, SteadyTime},
};
use crate::model::{
    game::BatchId,
    ids::{GatewayId, KeeperId},
    status::LastEnd,
    time::Timestamp,
};
pub(super) use bulk_text::BulkText;
use phase_text::PhaseText;
use process_text::{ProcessText, RunText};
use serde::{Deserialize, Serialize};

/// The formats of the text: whole, or with a part of it in a bulk. A reader refuses a higher one.
const WHOLE: u32 = 1;
const FORMAT: u32 = 2;
/// The most that a keeper holds.
const MAX_RECORD: usize = 64 * 1024;

/// A text that is no state of this agent.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadState {
    #[error("{0}")]
    NotRead(#[from] serde_json::Error),
    #[error("it has format {format}, written by a newer version; this one reads up to {FORMAT}")]
    Newer { format: u32 },
}

/// What every machine remembers.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    /// Of the life that wrote it.
    pub anchor: Option<Anchor>,
    pub keeper: Option<KeeperId>,
    pub former_keepers: Vec<KeeperId>,
    pub game: MatchState,
    pub process: ProcessState,
    pub words: Words,
    pub roster: Roster,
    /// Which sources tell of players, over all runs of one build.
    pub tellers: Option<Tellers>,
    pub pings: Pings,
    pub heard: Option<BatchId>,
    pub link: SessionLink,
    pub allocation: AllocationState,
    pub reports: Option<FinalReports>,
    pub outboxes: Vec<InstanceOutbox>,
}

impl Memory {
    pub(super) fn new(now: Timestamp) -> Self {
        Memory {
            anchor: None,
            keeper: None,
            former_keepers: Vec::new(),
            game: MatchState::new(now),
            process: ProcessState::default(),
            words: Words::default(),
            roster: Roster::default(),
            tellers: None,
            pings: Pings::default(),
            heard: None,
            link: SessionLink::default(),
            allocation: AllocationState::default(),
            reports: None,
            outboxes: Vec::new(),
        }
    }

    /// With its moments moved to the clock of this life; `now` is on that.
    pub(super) fn read_by(
        clock: &Clock,
        now: SteadyTime,
        text: &str,
        bulk: Option<BulkText>,
    ) -> Result<Self, BadState> {
        let head: Head = serde_json::from_str(text)?;
        let shift = head.clock.map_or_else(Shift::default, |anchor| clock.shift_from(anchor, now));
        shift.reading(|| Memory::read(text, bulk))
    }

    /// As it was written. A bulk that it refers to and that isn't there is as if the run had not said it.
    pub(super) fn read(text: &str, bulk: Option<BulkText>) -> Result<Self, BadState> {
        let mut state: Durable = serde_json::from_str(text)?;
        if state.format > FORMAT {
            return Err(BadState::Newer { format: state.format });
        }
        if state.bulk.is_some() {
            state.process.put_back(bulk);
        }
        Ok(state.take_apart())
    }

    /// The debts to sessions, of a state that can't be trusted otherwise: reports, and the end of one that got no
    /// instance.
    pub(super) fn owed_to_sessions(self, now: Timestamp) -> Memory {
        Memory {
            outboxes: self.outboxes.into_iter().map(InstanceOutbox::bare).collect(),
            allocation: AllocationState { making: self.allocation.making, ..AllocationState::default() },
            ..Memory::new(now)
        }
    }

    /// As text, without what lies in the bulk of this id.
    pub(super) fn write(&self, bulk: Option<u64>) -> String {
        let mut state = Durable::of(self);
        if bulk.is_some() {
            (state.format, state.bulk) = (FORMAT, bulk);
            state.process.leave_out_bulk();
        }
        state.text()
    }

    /// For the keeper, which holds less than the journal.
    pub(super) fn record(&self) -> String {
        let mut state = Durable::of(self);
        for shorten in [|_: &mut ProcessText| {}, ProcessText::leave_out_aside, ProcessText::shorten] {
            shorten(&mut state.process);
            let text = state.text();
            if text.len() <= MAX_RECORD {
                return text;
            }
        }
        String::new()
    }
}

/// The members of the text by which the others are read.
#[derive(Debug, Deserialize)]
struct Head {
    #[serde(default)]
    clock: Option<Anchor>,
    #[serde(default)]
    bulk: Option<u64>,
}

/// The bulk that a text refers to.
pub(super) fn bulk_named_in(text: &str) -> Option<u64> {
    serde_json::from_str::<Head>(text).ok()?.bulk
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Durable {
    format: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bulk: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock: Option<Anchor>,
    keeper: Option<KeeperId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former_keepers: Vec<KeeperId>,
    last_run: u64,
    term: u64,
    phase: PhaseText,
    #[serde(default)]
    matches: u64,
    since: Timestamp,
    process: ProcessText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway: Option<BatchText>,
    lanes: Vec<InstanceOutbox>,
    #[serde(default)]
    failures: Failures,
    #[serde(default)]
    answered: Option<Answered>,
    /// The session that was asked for last, until it has its instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    making: Option<Making>,
    #[serde(default)]
    last_end: Option<LastEnd>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tellers: Option<Tellers>,
}

/// The last batch of the SDK gateway whose effects are in this text.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct BatchText {
    id: GatewayId,
    batch: u64,
}

impl Durable {
    fn of(memory: &Memory) -> Self {
        Durable {
            format: WHOLE,
            bulk: None,
            clock: memory.anchor,
            keeper: memory.keeper.clone(),
            former_keepers: memory.former_keepers.clone(),
            last_run: memory.process.last_run,
            term: memory.allocation.term,
            phase: PhaseText::of(memory),
            matches: memory.game.matches,
            since: memory.game.since,
            process: ProcessText::of(memory),
            gateway: memory.heard.clone().map(|id| BatchText { id: id.gateway, batch: id.batch }),
            lanes: memory.outboxes.clone(),
            failures: memory.process.failures.clone(),
            answered: memory.allocation.answered.clone(),
            making: memory.allocation.making.clone(),
            last_end: memory.game.last_end.clone(),
            tellers: memory.tellers.clone(),
        }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data with text keys always serialises")
    }

    fn take_apart(self) -> Memory {
        let (stage, link, acquiring, reports) = self.phase.take_apart();
        let (process, run) = self.process.take_apart();
        let (words, roster, pings) = run.map_or_else(Default::default, RunText::said);
        Memory {
            anchor: self.clock,
            keeper: self.keeper,
            former_keepers: self.former_keepers,
            game: MatchState { stage, matches: self.matches, last_end: self.last_end, since: self.since },
            process: ProcessState { process, last_run: self.last_run, failures: self.failures },
            words,
            roster,
            tellers: self.tellers,
            pings,
            heard: self.gateway.map(|text| BatchId { gateway: text.id, batch: text.batch }),
            link,
            allocation: AllocationState { acquiring, answered: self.answered, making: self.making, term: self.term },
            reports,
            outboxes: self.lanes,
        }
    }
}
