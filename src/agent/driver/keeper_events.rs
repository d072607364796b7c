//! What the keeper says, and what comes before it: the end of a run waits for the lines that it
//! printed, for its last words, and, if it never got ready, for a look at its ports.

use super::{Driver, LoopState};
use crate::{
    agent::{log_reader::LogNews, ports::Examined},
    core::io::{Ending, Input, TimelineEvent},
    gateway::server::read_words,
    keeper::KeeperEvent,
    model::{
        ids::RunNumber,
        keeper::KeeperFact,
        process::{ExitReport, RunState},
        time::Now,
    },
};
use std::collections::BTreeMap;

impl Driver {
    pub(super) fn keeper(&mut self, event: KeeperEvent, state: &mut LoopState, now: Now) -> Option<Ending> {
        match event {
            KeeperEvent::Fact(mut fact) => {
                self.executor.watch.place.correct(&mut fact);
                let fact = match report_in(&fact).map(|report| report.run) {
                    Some(run) => self.executor.read_to_the_end(run, self.core.output_read(run), fact),
                    None => Some(fact),
                };
                self.inbox.keeper_waits = fact.is_none();
                self.keeper_fact(fact?, state, now)
            }
            KeeperEvent::Lost(losses) => {
                self.executor.lost(losses, now);
                None
            }
            KeeperEvent::Output { run, stream: _, line, lost } => {
                self.executor.output_line(run, line, lost);
                None
            }
            KeeperEvent::OutputKept { run: _ } => {
                self.executor.output_kept();
                None
            }
            KeeperEvent::Refused { order, why } => {
                let text = format!("the keeper refused {order}: {why}");
                self.executor.timeline(TimelineEvent { kind: "keeper", text, fields: BTreeMap::new() }, now);
                None
            }
        }
    }

    /// A fact from the keeper, when what the game printed before it has been read.
    fn keeper_fact(&mut self, fact: KeeperFact, state: &mut LoopState, now: Now) -> Option<Ending> {
        match fact {
            KeeperFact::Exited(report) if self.is_unready(report.run) => {
                self.executor.examine_ports(report);
                None
            }
            fact => {
                if matches!(fact, KeeperFact::Connected(_) | KeeperFact::Stats(_)) {
                    state.figures.refresh(&self.status.borrow());
                    state.published = None;
                }
                self.executor.note(&fact, || self.core.met_keepers());
                let ending = report_in(&fact).and_then(|report| self.last_words(report, state, now));
                ending.or_else(|| self.take(Input::Keeper(fact), state, now))
            }
        }
    }

    pub(super) fn output(&mut self, news: LogNews, state: &mut LoopState, now: Now) -> Option<Ending> {
        match news {
            LogNews::Line { run, read, evidence, events } => {
                self.take(Input::Output { run, read, evidence, events }, state, now)
            }
            LogNews::Ended(fact) => {
                self.inbox.keeper_waits = false;
                self.keeper_fact(*fact, state, now)
            }
        }
    }

    fn is_unready(&self, run: RunNumber) -> bool {
        let status = self.status.borrow();
        status.game.run == Some(run) && !status.game.ready
    }

    /// Its ports first, so that what is started next gets them.
    pub(super) fn examined(&mut self, examined: Examined, state: &mut LoopState, now: Now) -> Option<Ending> {
        for text in examined.taken {
            self.executor.timeline(TimelineEvent { kind: "port_taken", text, fields: BTreeMap::new() }, now);
        }
        let mut ending = None;
        if let Some(ports) = examined.renewed {
            self.executor.set_ports(&ports);
            ending = self.take(Input::Ports(ports), state, now);
        }
        let ending = ending.or_else(|| self.last_words(&examined.report, state, now));
        ending.or_else(|| self.take(Input::Keeper(KeeperFact::Exited(examined.report)), state, now))
    }

    /// What a game said that no agent has heard: it counts before its end does.
    fn last_words(&mut self, report: &ExitReport, state: &mut LoopState, now: Now) -> Option<Ending> {
        let words = report.last_words.as_deref()?;
        let batches =
            read_words(words).inspect_err(|error| tracing::warn!(%error, "the game's last words can't be read"));
        batches.unwrap_or_default().into_iter().find_map(|batch| self.take(Input::GameBatch(batch), state, now))
    }
}

/// The end of a run, if this says that one is over.
fn report_in(fact: &KeeperFact) -> Option<&ExitReport> {
    match fact {
        KeeperFact::Exited(report) => Some(report),
        KeeperFact::Connected(hello) => match &hello.run {
            RunState::Exited { report } => Some(report),
            RunState::Empty | RunState::Running { .. } | RunState::Unkillable { .. } => None,
        },
        _ => None,
    }
}
