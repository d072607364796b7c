//! What the keeper says, and above all its hello: the journal says what was intended, the keeper what is.
//!
//! | journal | keeper | action |
//! |---|---|---|
//! | run n | run n alive | adopt |
//! | run n | run n exited | its true status counts |
//! | run n intended, same keeper | empty | it never got the order: start |
//! | run n | another id, or empty | `lost`, then `closed` |
//! | no run | empty | nothing to do |
//! | no run | exited n, and n was ours | the end was committed, but not taken: take it |
//! | none, unusable, or older | running or exited | the keeper wins: its record is the state; without one, the game is kept, the operator asked |
//! | any | unkillable | nothing is ever started there again |

use super::{
    clock::When,
    engine::Core,
    io::{Effect, Ending},
    state::{Durable, Phase, Process, Run, Then},
};
use crate::model::{
    ids::RunNumber,
    keeper::{KeeperFact, KeeperOrder},
    process::{ExitReport, ExitStatus, KeeperHello, RunState},
};

impl Core {
    pub(super) fn keeper_fact(&mut self, fact: KeeperFact) {
        match fact {
            KeeperFact::Connected(hello) => self.met(*hello),
            KeeperFact::Away { why } => {
                if self.keeper.connected {
                    self.happened("keeper_away", format!("the keeper is away: {why}"), &[]);
                }
                self.keeper.connected = false;
                self.keeper.trouble = Some(why);
            }
            KeeperFact::Started { run, pid, started } => self.started(run, pid, started),
            KeeperFact::Exited(report) => self.exit_told(report),
            KeeperFact::Unkillable { run, left } => self.unkillable(run, left),
            KeeperFact::StopRequested => self.stop_requested(),
            KeeperFact::Superseded => {
                self.end_at_once(Ending::Superseded, "superseded", "another agent has taken over; this one ends");
            }
            KeeperFact::Incompatible { why } => {
                let text = format!("the keeper can't be talked to, the match is kept: {why}");
                self.end_at_once(Ending::Incompatible { why }, "incompatible", &text);
            }
            KeeperFact::Stats(stats) => self.measured(stats),
        }
    }

    fn met(&mut self, hello: KeeperHello) {
        self.keeper.connected = true;
        self.keeper.trouble = None;
        // Whatever was deposited may not have arrived.
        self.last.record = None;
        self.last.fallback = None;
        self.recall(&hello);
        let same = self.state.keeper.as_ref() == Some(&hello.keeper);
        if !matches!(hello.run, RunState::Unkillable { .. }) && matches!(self.state.process, Process::Unkillable { .. })
        {
            self.state.process = Process::Off;
        }
        self.state.keeper = Some(hello.keeper.clone());
        self.keeper.hello = Some(hello.clone());
        self.amnesia = false;
        self.compare(hello.run, same);
        self.repeat_rung();
        if hello.stop_requested {
            self.stop_requested();
        }
    }

    /// Takes the keeper's record for the state where the journal doesn't explain what the keeper has.
    fn recall(&mut self, hello: &KeeperHello) {
        let theirs = match &hello.run {
            RunState::Running { run, .. } | RunState::Unkillable { run, .. } => Some(*run),
            RunState::Exited { report } => Some(report.run),
            RunState::Empty => None,
        };
        let explained = theirs.is_none_or(|run| run.0 <= self.state.last_run);
        if explained && !self.amnesia {
            return;
        }
        let record = hello.record.as_deref().and_then(|text| Durable::read(text).ok());
        match record {
            Some(record) if theirs.is_none_or(|run| record.last_run >= run.0) => {
                let owed = std::mem::take(&mut self.state.lanes);
                self.state = record;
                let known: Vec<_> = self.state.lanes.iter().map(|lane| lane.instance.clone()).collect();
                self.state.lanes.extend(owed.into_iter().filter(|lane| !known.contains(&lane.instance)));
                self.happened("adopted", "the keeper's record is taken for the journal", &[]);
                self.wake();
            }
            _ => {
                if let Some(run) = theirs {
                    self.state.last_run = self.state.last_run.max(run.0);
                }
            }
        }
    }

    fn compare(&mut self, theirs: RunState, same: bool) {
        let ours = self.state.process.run().map(|run| run.number);
        match (ours, theirs) {
            (Some(run), RunState::Running { run: theirs, pid, started }) if run == theirs => {
                self.started(run, pid, started);
                self.adopted(run, pid);
            }
            (Some(run), RunState::Exited { report }) if run == report.run => self.exited(report),
            (Some(_), RunState::Empty) if same && matches!(self.state.process, Process::Intended(_)) => {
                self.start_again();
            }
            (Some(run), RunState::Empty) => self.lost(run),
            (Some(run), RunState::Exited { report }) => {
                self.taken(report.run);
                self.lost(run);
            }
            (Some(run), RunState::Running { run: theirs, pid, started }) => {
                self.lost(run);
                self.estranged(theirs, pid, started);
            }
            (None, RunState::Running { run, pid, started }) => self.estranged(run, pid, started),
            // Its end was committed, or nothing is known of it.
            (None, RunState::Exited { report }) => self.taken(report.run),
            (None, RunState::Empty) => {}
            (_, RunState::Unkillable { run, left }) => self.unkillable(run, left),
        }
    }

    fn taken(&mut self, run: RunNumber) {
        self.journal.hold(Effect::Keeper(KeeperOrder::ExitTaken { run }));
    }

    fn adopted(&mut self, run: RunNumber, pid: i32) {
        self.attend();
        if self.state.process.run().is_some_and(|run| run.ready.is_some()) {
            self.health.proved();
        }
        if let Some(run) = self.state.process.run_mut() {
            // What it would have sent meanwhile it couldn't; nobody is late before the whole time has passed again.
            let by = self.settings.readiness.timeout.get();
            run.ready_by = run.ready_by.map(|at| at.max(self.now + by.min(std::time::Duration::from_secs(10))));
        }
        self.happened("adopted", format!("took over run {run} (pid {pid})"), &[("run", &run.to_string())]);
    }

    /// The keeper that ran it is gone, and with it the game.
    fn lost(&mut self, run: RunNumber) {
        let started = self.state.process.run().and_then(|run| run.started).unwrap_or(self.wall);
        self.exited(ExitReport {
            run,
            status: ExitStatus::Lost,
            started,
            ended: self.wall,
            stopped_at_step: None,
            stragglers: 0,
            peak_memory: None,
            core_path: None,
        });
    }

    /// A game runs that nothing explains: it is kept, and stopped only when somebody says so.
    fn estranged(&mut self, number: RunNumber, pid: i32, started: crate::model::time::Timestamp) {
        let mut run = Run::new(number, None);
        run.pid = Some(pid);
        run.started = Some(started);
        run.up = Some(self.now);
        self.state.last_run = self.state.last_run.max(number.0);
        self.state.process = Process::Up(Box::new(run));
        self.stranger = true;
        let text = format!(
            "run {number} (pid {pid}) is known to no journal and no record; it is kept. `gameside stop` ends it"
        );
        self.happened("stranger", text, &[("run", &number.to_string())]);
        self.attend();
    }

    fn exit_told(&mut self, report: ExitReport) {
        if self.state.process.run().is_some_and(|run| run.number == report.run) {
            self.exited(report);
        } else if report.run.0 <= self.state.last_run {
            self.taken(report.run);
        }
    }

    fn unkillable(&mut self, run: RunNumber, left: u32) {
        if matches!(self.state.process, Process::Unkillable { .. }) {
            return;
        }
        self.state.process = Process::Unkillable { run, left };
        let why = format!("{left} processes of run {run} can't be killed");
        self.happened("unkillable", format!("{why}; nothing is started here again"), &[]);
        let leaving = self.leaving || matches!(self.state.phase, Phase::Leaving(_));
        let then = if leaving { Then::End } else { Then::Recycle };
        if self.state.phase.game().is_some() {
            self.close_match(&why, then, None);
        }
        self.farewell_if_unkillable();
    }

    /// After a restart of the agent, or its keeper's return: the rung that was due may not have been carried out.
    fn repeat_rung(&mut self) {
        let now: When = self.now;
        match (&mut self.state.phase, &mut self.state.process) {
            (Phase::Closing(_, closing), _) => closing.ladder.repeat(now),
            (_, Process::Failing(_, ladder, _)) => ladder.repeat(now),
            _ => {}
        }
    }

    fn stop_requested(&mut self) {
        if !self.keeper.stop_seen {
            self.keeper.stop_seen = true;
            self.learn_host_deadline();
            self.terminate("the keeper was asked to stop");
        }
    }

    /// Nothing more can be done through the keeper, and nothing may be said of the match.
    fn end_at_once(&mut self, ending: Ending, kind: &'static str, text: &str) {
        self.out.clear();
        self.happened(kind, text, &[]);
        self.effect(Effect::End(ending));
        self.ended = true;
    }
}
