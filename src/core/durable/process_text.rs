//! The process in the durable text; with its run, what the game has said, who plays, and whether
//! its SDK promised pings.

use super::{BulkText, Memory};
use crate::{
    core::{
        game_words::Words,
        health::Pings,
        process::{Process, Run},
        roster::Roster,
        steady_time::SteadyTime,
        stop_sequence::StopSequence,
    },
    model::{
        CustomData,
        game::{Admission, CustomDataOf, EventSource, Kept},
        ids::RunNumber,
        process::{LaunchSpec, OutputRead},
        time::Timestamp,
    },
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ProcessText {
    Off,
    Delayed {
        until: SteadyTime,
        after: RunNumber,
        #[serde(default)]
        stopped: bool,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        uncounted: bool,
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
    pub(super) fn of(memory: &Memory) -> Self {
        let text = |run: &Run| Box::new(RunText::of(run, &memory.words, &memory.roster, memory.pings));
        match &memory.process.process {
            Process::Off => ProcessText::Off,
            Process::Delayed { until, after, stopped, uncounted } => {
                ProcessText::Delayed { until: *until, after: *after, stopped: *stopped, uncounted: *uncounted }
            }
            Process::Intended(run) => ProcessText::Intended(text(run)),
            Process::Up(run) => ProcessText::Up(text(run)),
            Process::Failing(run, sequence, why) => ProcessText::Failing(text(run), sequence.clone(), why.clone()),
            Process::Unkillable { run, left } => ProcessText::Unkillable { run: *run, left: *left },
        }
    }

    /// Leaves out of its run what lies in a bulk.
    pub(super) fn leave_out_bulk(&mut self) {
        if let Some(run) = self.run_mut() {
            run.roster.nearest.known.clear();
            run.custom.clear();
            run.kept_aside.clear();
        }
    }

    /// The other way round. Who plays isn't known without it.
    pub(super) fn put_back(&mut self, bulk: Option<BulkText>) {
        let Some(run) = self.run_mut() else { return };
        let Some(bulk) = bulk else {
            run.roster = Roster::default();
            return;
        };
        run.roster.nearest.known = bulk.known;
        run.custom = bulk.custom;
        run.kept_aside = bulk.kept_aside;
    }

    /// Leaves out what frontends keep aside: a gateway that has it tells it again.
    pub(super) fn leave_out_aside(&mut self) {
        if let Some(run) = self.run_mut() {
            run.kept_aside.clear();
        }
    }

    /// Leaves out of its run what makes it large.
    pub(super) fn shorten(&mut self) {
        if let Some(run) = self.run_mut() {
            run.spec = None;
            run.roster = Roster::default();
            run.custom.clear();
        }
    }

    fn run_mut(&mut self) -> Option<&mut RunText> {
        match self {
            ProcessText::Intended(run) | ProcessText::Up(run) | ProcessText::Failing(run, ..) => Some(run),
            ProcessText::Off | ProcessText::Delayed { .. } | ProcessText::Unkillable { .. } => None,
        }
    }

    pub(super) fn take_apart(self) -> (Process, Option<Box<RunText>>) {
        match self {
            ProcessText::Off => (Process::Off, None),
            ProcessText::Delayed { until, after, stopped, uncounted } => {
                (Process::Delayed { until, after, stopped, uncounted }, None)
            }
            ProcessText::Unkillable { run, left } => (Process::Unkillable { run, left }, None),
            ProcessText::Intended(run) => (Process::Intended(run.run()), Some(run)),
            ProcessText::Up(run) => (Process::Up(run.run()), Some(run)),
            ProcessText::Failing(run, sequence, why) => (Process::Failing(run.run(), sequence, why), Some(run)),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunText {
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<OutputRead>,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sdk_state: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    withheld: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    promises_pings: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pings_stopped: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    kept: BTreeMap<EventSource, Kept>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    kept_aside: BTreeMap<EventSource, Kept>,
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
            output: run.output,
            roster: roster.clone(),
            custom: words.custom,
            version: words.version,
            map: words.map,
            mode: words.mode,
            speaks: words.speaks,
            sdk: words.sdk,
            sdk_state: words.sdk_state,
            withheld: words.withheld,
            promises_pings: pings.promised,
            pings_stopped: pings.stopped,
            kept: words.kept,
            kept_aside: words.kept_aside,
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
            output: self.output,
        })
    }

    #[allow(clippy::boxed_local, reason = "it comes in a box")]
    pub(super) fn said(self: Box<Self>) -> (Words, Roster, Pings) {
        let words = Words {
            announced_end: self.orderly,
            gate: self.gate,
            custom: self.custom,
            version: self.version,
            map: self.map,
            mode: self.mode,
            speaks: self.speaks,
            sdk: self.sdk,
            sdk_state: self.sdk_state,
            withheld: self.withheld,
            kept: self.kept,
            kept_aside: self.kept_aside,
        };
        (words, self.roster, Pings { promised: self.promises_pings, stopped: self.pings_stopped })
    }
}
