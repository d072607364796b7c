//! From the machines to the durable text, and back: this is the one place that knows its shape.
//!
//! The text is the journal's state, and the keeper's adoption record. Additive changes only: a
//! newer agent reads an older one's journal.
//!
//! | member | of |
//! |---|---|
//! | `keeper` | the keeper link |
//! | `phase` | the match; `acquiring` of the allocation, `leaving` of the ending, `link` of the session |
//! | `process` | the process; in a run, also the game's words, the players and the pings of health |
//! | `lanes` | the instance outboxes |
//! | `last_run`, `failures` | the process |
//! | `term`, `answered` | the allocation |
//! | `matches`, `since`, `last_end` | the match |

use super::{
    allocation::{Acquiring, AllocationState, Answered},
    crash_book::Failures,
    ending::FinalReports,
    game_match::{Closing, Drain, Match, MatchStands, MatchState},
    game_words::Words,
    health::Pings,
    instance_outbox::InstanceOutbox,
    process::{Process, ProcessState, Run},
    roster::Roster,
    session::SessionLink,
    steady_time::SteadyTime,
    stop_sequence::StopSequence,
};
use crate::model::{
    CustomData,
    allocation::Allocation,
    game::{Admission, CustomDataOf, EventSource, Kept},
    ids::{InstanceId, KeeperId, MatchId, RunNumber, SessionId},
    process::LaunchSpec,
    session::StartupParams,
    status::LastEnd,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The format of the text. A reader refuses a higher one.
const FORMAT: u32 = 1;
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
    pub keeper: Option<KeeperId>,
    pub game: MatchState,
    pub process: ProcessState,
    pub words: Words,
    pub roster: Roster,
    pub pings: Pings,
    pub link: SessionLink,
    pub allocation: AllocationState,
    pub reports: Option<FinalReports>,
    pub outboxes: Vec<InstanceOutbox>,
}

impl Memory {
    pub(super) fn new(now: Timestamp) -> Self {
        Memory {
            keeper: None,
            game: MatchState::new(now),
            process: ProcessState::default(),
            words: Words::default(),
            roster: Roster::default(),
            pings: Pings::default(),
            link: SessionLink::default(),
            allocation: AllocationState::default(),
            reports: None,
            outboxes: Vec::new(),
        }
    }

    pub(super) fn read(text: &str) -> Result<Self, BadState> {
        let state: Durable = serde_json::from_str(text)?;
        if state.format > FORMAT {
            return Err(BadState::Newer { format: state.format });
        }
        Ok(state.take_apart())
    }

    /// As text.
    pub(super) fn write(&self) -> String {
        self.put_together().text()
    }

    /// For the keeper, which holds less than the journal.
    pub(super) fn record(&self) -> String {
        let mut state = self.put_together();
        let full = state.text();
        if full.len() <= MAX_RECORD {
            return full;
        }
        if let Some(run) = state.process.run_mut() {
            run.spec = None;
            run.roster = Roster::default();
            run.custom.clear();
        }
        Some(state.text()).filter(|text| text.len() <= MAX_RECORD).unwrap_or_default()
    }

    fn put_together(&self) -> Durable {
        Durable {
            format: FORMAT,
            keeper: self.keeper.clone(),
            last_run: self.process.last_run,
            term: self.allocation.term,
            phase: self.phase(),
            matches: self.game.matches,
            since: self.game.since,
            process: self.process(),
            lanes: self.outboxes.clone(),
            failures: self.process.failures.clone(),
            answered: self.allocation.answered.clone(),
            last_end: self.game.last_end.clone(),
        }
    }

    fn phase(&self) -> PhaseText {
        let text = |game: &Match| Box::new(MatchText::of(game, self.link));
        match &self.game.stands {
            MatchStands::Idle => match (&self.reports, &self.allocation.acquiring) {
                (Some(reports), _) => PhaseText::Leaving(reports.clone()),
                (None, Some(acquiring)) => PhaseText::Acquiring(acquiring.clone()),
                (None, None) => PhaseText::Idle,
            },
            MatchStands::Starting(game) => PhaseText::Starting(text(game)),
            MatchStands::Serving(game) => PhaseText::Serving(text(game)),
            MatchStands::Draining(game, drain) => PhaseText::Draining(text(game), drain.clone()),
            MatchStands::Closing(game, closing) => PhaseText::Closing(game.as_deref().map(text), closing.clone()),
        }
    }

    fn process(&self) -> ProcessText {
        let text = |run: &Run| Box::new(RunText::of(run, &self.words, &self.roster, self.pings));
        match &self.process.process {
            Process::Off => ProcessText::Off,
            Process::Delayed { until, after, stopped } => {
                ProcessText::Delayed { until: *until, after: *after, stopped: *stopped }
            }
            Process::Intended(run) => ProcessText::Intended(text(run)),
            Process::Up(run) => ProcessText::Up(text(run)),
            Process::Failing(run, sequence, why) => ProcessText::Failing(text(run), sequence.clone(), why.clone()),
            Process::Unkillable { run, left } => ProcessText::Unkillable { run: *run, left: *left },
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Durable {
    format: u32,
    keeper: Option<KeeperId>,
    last_run: u64,
    term: u64,
    phase: PhaseText,
    #[serde(default)]
    matches: u64,
    since: Timestamp,
    process: ProcessText,
    lanes: Vec<InstanceOutbox>,
    #[serde(default)]
    failures: Failures,
    #[serde(default)]
    answered: Option<Answered>,
    #[serde(default)]
    last_end: Option<LastEnd>,
}

impl Durable {
    fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data with text keys always serialises")
    }

    fn take_apart(self) -> Memory {
        let (stands, link, acquiring, reports) = self.phase.take_apart();
        let (process, run) = self.process.take_apart();
        let (words, roster, pings) = run.map_or_else(Default::default, RunText::said);
        Memory {
            keeper: self.keeper,
            game: MatchState { stands, matches: self.matches, last_end: self.last_end, since: self.since },
            process: ProcessState { process, last_run: self.last_run, failures: self.failures },
            words,
            roster,
            pings,
            link,
            allocation: AllocationState { acquiring, answered: self.answered, term: self.term },
            reports,
            outboxes: self.lanes,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PhaseText {
    Idle,
    Acquiring(Box<Acquiring>),
    Starting(Box<MatchText>),
    Serving(Box<MatchText>),
    Draining(Box<MatchText>, Drain),
    Closing(Option<Box<MatchText>>, Closing),
    Leaving(FinalReports),
}

type Phases = (MatchStands, SessionLink, Option<Box<Acquiring>>, Option<FinalReports>);

impl PhaseText {
    fn take_apart(self) -> Phases {
        let of_match = |(game, link): (Box<Match>, SessionLink), stands: fn(Box<Match>) -> MatchStands| {
            (stands(game), link, None, None)
        };
        match self {
            PhaseText::Idle => (MatchStands::Idle, SessionLink::default(), None, None),
            PhaseText::Acquiring(acquiring) => (MatchStands::Idle, SessionLink::default(), Some(acquiring), None),
            PhaseText::Leaving(reports) => (MatchStands::Idle, SessionLink::default(), None, Some(reports)),
            PhaseText::Starting(game) => of_match(game.take_apart(), MatchStands::Starting),
            PhaseText::Serving(game) => of_match(game.take_apart(), MatchStands::Serving),
            PhaseText::Draining(game, drain) => {
                let (game, link) = game.take_apart();
                (MatchStands::Draining(game, drain), link, None, None)
            }
            PhaseText::Closing(game, closing) => {
                let (game, link) = game.map(|game| game.take_apart()).unzip();
                (MatchStands::Closing(game, closing), link.unwrap_or_default(), None, None)
            }
        }
    }
}

#[allow(clippy::struct_field_names, reason = "match_id is the Session API's word")]
#[derive(Debug, Clone, Serialize, Deserialize)]
struct MatchText {
    allocation: Allocation,
    own: bool,
    session: SessionId,
    instance: InstanceId,
    params: StartupParams,
    #[serde(default)]
    join_token: Option<String>,
    #[serde(default)]
    match_id: Option<MatchId>,
    begun: SteadyTime,
    #[serde(default)]
    first_joinable: Option<SteadyTime>,
    #[serde(default)]
    operator_gate: Option<Admission>,
    #[serde(default)]
    restarts: u32,
    #[serde(default)]
    link: SessionLink,
}

impl MatchText {
    fn of(game: &Match, link: SessionLink) -> Self {
        let game = game.clone();
        MatchText {
            allocation: game.allocation,
            own: game.own,
            session: game.session,
            instance: game.instance,
            params: game.params,
            join_token: game.join_token,
            match_id: game.match_id,
            begun: game.begun,
            first_joinable: game.first_joinable,
            operator_gate: game.operator_gate,
            restarts: game.restarts,
            link,
        }
    }

    fn take_apart(self) -> (Box<Match>, SessionLink) {
        let game = Match {
            allocation: self.allocation,
            own: self.own,
            session: self.session,
            instance: self.instance,
            params: self.params,
            join_token: self.join_token,
            match_id: self.match_id,
            begun: self.begun,
            first_joinable: self.first_joinable,
            operator_gate: self.operator_gate,
            restarts: self.restarts,
        };
        (Box::new(game), self.link)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ProcessText {
    Off,
    Delayed {
        until: SteadyTime,
        after: RunNumber,
        #[serde(default)]
        stopped: bool,
    },
    Intended(Box<RunText>),
    Up(Box<RunText>),
    Failing(Box<RunText>, StopSequence, String),
    Unkillable {
        run: RunNumber,
        left: u32,
    },
}

impl ProcessText {
    fn run_mut(&mut self) -> Option<&mut RunText> {
        match self {
            ProcessText::Intended(run) | ProcessText::Up(run) | ProcessText::Failing(run, ..) => Some(run),
            ProcessText::Off | ProcessText::Delayed { .. } | ProcessText::Unkillable { .. } => None,
        }
    }

    fn take_apart(self) -> (Process, Option<Box<RunText>>) {
        match self {
            ProcessText::Off => (Process::Off, None),
            ProcessText::Delayed { until, after, stopped } => (Process::Delayed { until, after, stopped }, None),
            ProcessText::Unkillable { run, left } => (Process::Unkillable { run, left }, None),
            ProcessText::Intended(run) => (Process::Intended(run.run()), Some(run)),
            ProcessText::Up(run) => (Process::Up(run.run()), Some(run)),
            ProcessText::Failing(run, sequence, why) => (Process::Failing(run.run(), sequence, why), Some(run)),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunText {
    number: RunNumber,
    spec: Option<LaunchSpec>,
    pid: Option<i32>,
    started: Option<Timestamp>,
    up: Option<SteadyTime>,
    ready_by: Option<SteadyTime>,
    ready: Option<SteadyTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proved: Option<String>,
    #[serde(default)]
    orderly: bool,
    gate: Admission,
    #[serde(default)]
    served: u32,
    #[serde(default)]
    roster: Roster,
    #[serde(default)]
    custom: BTreeMap<CustomDataOf, CustomData>,
    #[serde(default)]
    version: Option<semver::Version>,
    #[serde(default)]
    map: Option<String>,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    speaks: BTreeSet<EventSource>,
    #[serde(default)]
    sdk: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    withheld: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    promises_pings: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pings_stopped: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    kept: BTreeMap<EventSource, Kept>,
}

impl RunText {
    fn of(run: &Run, words: &Words, roster: &Roster, pings: Pings) -> Self {
        let (run, words) = (run.clone(), words.clone());
        RunText {
            number: run.number,
            spec: run.spec,
            pid: run.pid,
            started: run.started,
            up: run.up,
            ready_by: run.ready_by,
            ready: run.ready,
            proved: run.proved,
            orderly: words.announced_end,
            gate: words.gate,
            served: run.served,
            roster: roster.clone(),
            custom: words.custom,
            version: words.version,
            map: words.map,
            mode: words.mode,
            speaks: words.speaks,
            sdk: words.sdk,
            withheld: words.withheld,
            promises_pings: pings.promised,
            pings_stopped: pings.stopped,
            kept: words.kept,
        }
    }

    fn run(&self) -> Box<Run> {
        Box::new(Run {
            number: self.number,
            spec: self.spec.clone(),
            pid: self.pid,
            started: self.started,
            up: self.up,
            ready_by: self.ready_by,
            ready: self.ready,
            proved: self.proved.clone(),
            served: self.served,
        })
    }

    #[allow(clippy::boxed_local, reason = "it comes in a box")]
    fn said(self: Box<Self>) -> (Words, Roster, Pings) {
        let words = Words {
            announced_end: self.orderly,
            gate: self.gate,
            custom: self.custom,
            version: self.version,
            map: self.map,
            mode: self.mode,
            speaks: self.speaks,
            sdk: self.sdk,
            withheld: self.withheld,
            kept: self.kept,
        };
        (words, self.roster, Pings { promised: self.promises_pings, stopped: self.pings_stopped })
    }
}
