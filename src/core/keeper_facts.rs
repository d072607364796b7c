//! What the keeper says. Its hello is compared with the journal: the journal knows what was
//! intended, the keeper knows what has become of it.
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
//! | run n | none lives, none can be had | the end that it left on the disk counts; else `lost`, then `closed` |
//! | any | unkillable | nothing is ever started there again |

use super::{
    durable::Memory,
    ending::EndingEvent,
    engine::Core,
    facts::Phase,
    game_match::MatchEvent,
    gateway_link::GatewayEvent,
    health::HealthEvent,
    io::{Effect, Ending},
    keeper_link::{KeeperEvent, Recovery},
    process::{ProcessEvent, ProcessStatus},
};
use crate::model::{
    ids::RunNumber,
    keeper::{KeeperFact, KeeperOrder, LeftReport},
    process::{ExitReport, KeeperHello, OutputFrom, RunState},
};

impl Core {
    pub(super) fn keeper_fact(&mut self, fact: KeeperFact) {
        match fact {
            KeeperFact::Connected(hello) => self.met(hello),
            KeeperFact::Away { why } => self.on_keeper(KeeperEvent::Away { why }),
            KeeperFact::Gone { left } => self.keeper_gone(left.map(|left| *left)),
            KeeperFact::Started { run, pid, started, output_from } => {
                self.on_process(ProcessEvent::Started { run, pid, started, output_from });
            }
            KeeperFact::LeftBehind { run, status, left: _ } => {
                self.on_process(ProcessEvent::LeftBehind { run, status });
            }
            KeeperFact::StartRefused { run, why } => self.on_process(ProcessEvent::StartRefused { run, why }),
            KeeperFact::Exited(report) => self.exited(report),
            KeeperFact::Unkillable { run, left } => self.on_process(ProcessEvent::Unkillable { run, left }),
            KeeperFact::StopRequested => self.stop_requested(),
            KeeperFact::Superseded => {
                self.end_at_once(Ending::Superseded, "superseded", "another agent has taken over; this one ends");
            }
            KeeperFact::Incompatible { why } => {
                let text = format!("the keeper can't be talked to, the match is kept: {why}");
                self.end_at_once(Ending::Incompatible { why }, "incompatible", &text);
            }
            KeeperFact::Stats(stats) if self.facts.process.run == Some(stats.run) => {
                let was_frozen = self.process.stats().is_some_and(|before| before.frozen);
                self.on_process(ProcessEvent::Stats(stats));
                if stats.frozen || was_frozen {
                    self.game_was_frozen(stats.frozen, was_frozen);
                }
                self.on_health(HealthEvent::Measured(stats));
            }
            KeeperFact::Stats(_) | KeeperFact::GatewayEnded { .. } => {}
        }
    }

    /// What a frozen game doesn't say, it can't say: that is a gap, and no hang.
    fn game_was_frozen(&mut self, is: bool, was: bool) {
        if is != was {
            let text = if is { "the game is frozen; its silence doesn't count" } else { "the game goes on" };
            self.decisions.timeline("frozen", text, &[]);
        }
        self.on_health(HealthEvent::Gap);
        self.on_game(MatchEvent::Gap);
    }

    fn met(&mut self, hello: Box<KeeperHello>) {
        self.believe_record(&hello);
        let same = self.keeper.id() == Some(&hello.keeper);
        let (run, stop_requested, output_from) = (hello.run.clone(), hello.stop_requested, hello.output_from);
        if !matches!(run, RunState::Unkillable { .. }) {
            self.on_process(ProcessEvent::KeeperIsClean);
        }
        self.on_keeper(KeeperEvent::Met(hello));
        if self.facts.keeper.recovery == Recovery::JournalLost {
            self.on_keeper(KeeperEvent::Recovery(Recovery::Done));
        }
        if let Some(batch) = self.gateway.take_early() {
            self.game_batch(*batch);
        }
        self.compare(run, output_from, same);
        if self.facts.phase() == Phase::Closing {
            self.on_game(MatchEvent::RepeatStep);
        } else {
            self.on_process(ProcessEvent::RepeatStep);
        }
        if stop_requested {
            self.stop_requested();
        }
    }

    /// Nobody holds the keeper's lock, so nothing of a run lives: it is reported now, and not when a keeper can be had again.
    fn keeper_gone(&mut self, left: Option<LeftReport>) {
        self.on_process(ProcessEvent::KeeperIsClean);
        let ours = |left: &LeftReport| self.keeper.id() == Some(&left.keeper);
        match left.filter(ours) {
            Some(left) if self.facts.process.run == Some(left.report.run) => {
                self.on_process(ProcessEvent::Exited(left.report));
            }
            Some(_) | None => self.on_process(ProcessEvent::Lost),
        }
    }

    /// Takes the keeper's record for the state where the journal doesn't explain what the keeper has.
    fn believe_record(&mut self, hello: &KeeperHello) {
        let theirs = match &hello.run {
            RunState::Running { run, .. } | RunState::Unkillable { run, .. } => Some(*run),
            RunState::Exited { report } => Some(report.run),
            RunState::Empty => None,
        };
        let explained = theirs.is_none_or(|run| run.0 <= self.facts.process.last_run);
        if explained && self.facts.keeper.recovery != Recovery::JournalLost {
            return;
        }
        let read = |text: &str| Memory::read_by(&self.clock, self.facts.now, text, None).ok();
        let record = hello.record.as_deref().and_then(read);
        match record {
            Some(record) if theirs.is_none_or(|run| record.process.last_run >= run.0) => {
                self.decisions.timeline("adopted", "the keeper's record is taken for the journal", &[]);
                self.recall(record);
            }
            _ => {
                if let Some(run) = theirs {
                    self.on_process(ProcessEvent::Seen(run));
                }
            }
        }
    }

    fn compare(&mut self, theirs: RunState, output_from: Option<OutputFrom>, same_keeper: bool) {
        match (self.facts.process.run, theirs) {
            (Some(ours), RunState::Running { run, pid, started }) if ours == run => {
                self.on_process(ProcessEvent::Started { run, pid, started, output_from });
                self.on_gateway(GatewayEvent::RunAdopted);
                self.on_process(ProcessEvent::Adopted { run, pid });
            }
            (Some(ours), RunState::Exited { report }) if ours == report.run => {
                self.on_process(ProcessEvent::Exited(report));
            }
            (Some(_), RunState::Empty) if same_keeper && self.facts.process.state == ProcessStatus::Intended => {
                self.on_process(ProcessEvent::NeverStarted);
            }
            (Some(_), RunState::Empty) => self.on_process(ProcessEvent::Lost),
            (Some(_), RunState::Exited { report }) => {
                self.taken(report.run);
                self.on_process(ProcessEvent::Lost);
            }
            (ours, RunState::Running { run, pid, started }) => {
                if ours.is_some() {
                    self.on_process(ProcessEvent::Lost);
                }
                self.on_keeper(KeeperEvent::Recovery(Recovery::UnknownRun));
                self.on_process(ProcessEvent::Unexplained { run, pid, started });
            }
            // Its end was committed, or nothing is known of it.
            (None, RunState::Exited { report }) => self.taken(report.run),
            (None, RunState::Empty) => {}
            (_, RunState::Unkillable { run, left }) => self.on_process(ProcessEvent::Unkillable { run, left }),
        }
    }

    fn taken(&mut self, run: RunNumber) {
        self.decisions.after_commit(Effect::Keeper(KeeperOrder::ExitTaken { run }));
    }

    fn exited(&mut self, report: ExitReport) {
        if self.facts.process.run == Some(report.run) {
            self.on_process(ProcessEvent::Exited(report));
        } else if report.run.0 <= self.facts.process.last_run {
            self.taken(report.run);
        }
    }

    fn stop_requested(&mut self) {
        if !self.keeper.stop_seen() {
            self.on_keeper(KeeperEvent::StopRequested);
            self.learn_host_deadline();
            self.terminate("the keeper was asked to stop");
        }
    }

    /// Nothing more can be done through the keeper, and nothing may be said of the match.
    fn end_at_once(&mut self, ending: Ending, kind: &'static str, text: &str) {
        self.decisions.drop_effects();
        self.decisions.timeline(kind, text, &[]);
        self.on_ending(EndingEvent::EndAtOnce(ending));
    }
}
