//! How the world carries out what the core has decided, and how it answers.

use super::{Disk, World, allocation, exit, keeper::short, service::written_session};
use crate::{
    core::io::{Availability, Effect, Input, JournalFact, Saved},
    model::{
        allocation::ProviderKind,
        ids::RunNumber,
        keeper::{KeeperFact, KeeperOrder},
        process::{ExitStatus, RunState},
    },
};

impl World {
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) {
        let end = effects.iter().find_map(|effect| match effect {
            Effect::End(ending) => Some(ending.clone()),
            _ => None,
        });
        for effect in effects {
            match &effect {
                Effect::Commit { seq, text, bulk } => {
                    self.commit(*seq, Saved { text: text.clone(), bulk: bulk.clone() });
                }
                Effect::Keeper(order) => self.order_keeper(order.clone()),
                Effect::Call { id, call } => {
                    let writes = written_session(call);
                    if let Some(session) = &writes {
                        let twice = self.open.values().any(|open| open.as_ref() == Some(session));
                        assert!(!twice, "two writes to {session} at once");
                    }
                    self.open.insert(*id, writes);
                    if let Some(answer) = self.service.answer(call, self.now().wall) {
                        self.inputs.push_back(Input::Answered { call: *id, answer });
                    }
                }
                Effect::Availability(provide) => self.provide(provide.clone()),
                Effect::Reply { reply: Ok(_), .. } if self.dies_answering => {
                    self.inputs.clear();
                    self.seen.push(effect);
                    // Nothing was left to do but to end.
                    self.ended = end;
                    return;
                }
                Effect::End(ending) => self.ended = Some(ending.clone()),
                Effect::CountHeartbeats { run } if self.counts => {
                    let counted = std::mem::take(&mut self.counted);
                    self.inputs.push_back(Input::HeartbeatsCounted { run: *run, counted, answer: true });
                }
                Effect::CountHeartbeats { .. }
                | Effect::Notify { .. }
                | Effect::Watch(_)
                | Effect::Reply { .. }
                | Effect::Timeline(_)
                | Effect::AskToQuit { .. }
                | Effect::ExitHook { .. } => {}
            }
            self.seen.push(effect);
        }
    }

    pub(super) fn commit(&mut self, seq: u64, saved: Saved) {
        match self.disk {
            Disk::Works => {
                self.journal = Some(saved.text);
                self.bulk = saved.bulk;
                self.inputs.push_back(Input::Journal(JournalFact::Committed { seq }));
            }
            Disk::Fails => {
                self.inputs.push_back(Input::Journal(JournalFact::Failed { seq, why: "no space left".into() }));
            }
            Disk::Silent => self.uncommitted = Some((seq, saved)),
        }
    }

    /// What `auto` does; other providers' allocations are given by the test.
    fn provide(&mut self, provide: Availability) {
        let offered = matches!(provide, Availability::Free { .. });
        let status = self.core.status();
        let free = status.agent.journal.is_none() && status.outbox.is_empty() && status.keeper.connected;
        assert!(free || !offered, "offered though it isn't free: {:?} {:?}", status.warnings, status.outbox);
        self.offer = Some(provide);
        if offered && self.allocates && self.settings.provider == ProviderKind::Auto {
            self.allocations += 1;
            let id = format!("auto-{}-{}", self.allocations, self.mono.as_millis());
            self.inputs.push_back(Input::Allocated(allocation(&id, None)));
        }
    }

    fn order_keeper(&mut self, order: KeeperOrder) {
        let wall = self.now().wall;
        if self.keeper.gone {
            return;
        }
        self.keeper.orders.push(short(&order));
        match order {
            KeeperOrder::Start { run, .. } if std::mem::take(&mut self.keeper.refuses) => {
                let why = "the keeper was told to stop".to_owned();
                self.inputs.push_back(Input::Keeper(KeeperFact::StartRefused { run, why }));
            }
            KeeperOrder::Start { run, .. } => {
                assert!(
                    matches!(self.keeper.run, RunState::Empty),
                    "two games at once: {run} and {:?}",
                    self.keeper.run
                );
                let journal = self.journal.clone().unwrap_or_default();
                assert!(
                    journal.contains(&format!("\"last_run\":{run},")),
                    "run {run} was started before it was committed"
                );
                self.keeper.starts.push(run.0);
                self.keeper.run = RunState::Running { run, pid: 1000 + run.0 as i32, started: wall };
                if self.keeper.says_started {
                    self.inputs.push_back(Input::Keeper(KeeperFact::Started {
                        run,
                        pid: 1000 + run.0 as i32,
                        started: wall,
                        output_from: None,
                    }));
                }
            }
            KeeperOrder::Signal { run, signal } if self.keeper.game_obeys => self.end_run(run, signal),
            KeeperOrder::Kill { run } => self.end_run(run, 9),
            KeeperOrder::ExitTaken { run } => {
                if matches!(&self.keeper.run, RunState::Exited { report } if report.run == run) {
                    self.keeper.run = RunState::Empty;
                }
            }
            KeeperOrder::Record { text } => self.keeper.record = Some(text),
            KeeperOrder::Signal { .. }
            | KeeperOrder::Stdin { .. }
            | KeeperOrder::Fallback { .. }
            | KeeperOrder::Stats
            | KeeperOrder::Shutdown => {}
            other => panic!("not the core's to give: {other:?}"),
        }
    }

    fn end_run(&mut self, run: RunNumber, signal: i32) {
        if let RunState::Running { run: running, started, .. } = self.keeper.run
            && running == run
        {
            let status = ExitStatus::Signaled { signal, core: false };
            let report = exit(run, status, started, self.now().wall);
            self.keeper.run = RunState::Exited { report: report.clone() };
            self.inputs.push_back(Input::Keeper(KeeperFact::Exited(report)));
        }
    }
}
