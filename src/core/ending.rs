//! The end of the agent: from the order to end, through the final reports, to the last commit.
//!
//! ```text
//! Running ──asked to end──► ShuttingDown ──► final reports ──► Exiting ──last commit──► Ended
//!    └───── detached, or the game can't be run ───────────────────┘
//! ```
//!
//! The final reports wait for the session service, a few seconds at most; `Exiting` waits for the
//! journal, 2 s at most. An agent that already ends otherwise (detached, or with processes that
//! can't be killed) keeps that ending, and leaves undelivered reports to its next life.

use super::{
    decisions::Decisions,
    facts::{Facts, Phase},
    game_match::AfterDrain,
    io::{Effect, Ending},
    journal::PATIENCE,
    process::ProcessStatus,
    revision::{Revision, Tracked},
    steady_time::{SteadyTime, earliest},
    stop_sequence::StopSequence,
};
use crate::model::keeper::KeeperOrder;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long the final reports are waited for: with the service up, and with it away.
const LAST_REPORTS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));
/// How long a keeper that doesn't answer may take, beyond the steps of the stop sequence, to end the game.
const KEEPER_PATIENCE: Duration = Duration::from_secs(10);
/// How long an agent with processes that can't be killed waits for its last commit.
const UNKILLABLE_PATIENCE: Duration = Duration::from_secs(5);

/// How far the agent is on the way to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lifecycle {
    Running,
    /// A stop was asked for, by signal, keeper or operator.
    ShuttingDown,
    /// The last commit is waited for, until this moment at most.
    Exiting {
        ending: Ending,
        until: SteadyTime,
    },
    Ended,
}

/// The match is over, and the agent ends once its last reports are delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FinalReports {
    pub reason: String,
    pub then: AfterDrain,
    /// How long undelivered reports are waited for.
    pub until: SteadyTime,
}

/// What other machines know of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct EndingFacts {
    /// The agent is to end, once the match has.
    pub shutting_down: bool,
    /// The last commit is waited for.
    pub exiting: bool,
    /// It lets go of the game: nothing more is said of the match.
    pub detaching: bool,
    pub ended: bool,
    pub final_reports: bool,
    /// The time that the host gives, if it does.
    pub host_deadline: Option<Duration>,
}

#[derive(Debug)]
pub(super) enum EndingEvent {
    ShutDown,
    Detach {
        restart: bool,
    },
    FinalReports {
        reason: String,
        then: AfterDrain,
    },
    /// With processes that can't be killed, there is nothing to wait for.
    LookForUnkillable,
    /// Of the keeper's host, where it told the keeper to stop; the configured one counts, too.
    HostDeadline(Option<Duration>),
    /// The agent has started, or has taken the keeper's record for its memory. `ends`: the match that it remembers is to
    /// end with the agent.
    Woken {
        ends: bool,
    },
    /// Nothing more can be done through the keeper.
    EndAtOnce(Ending),
    Tick,
    /// Everything else is decided. `written`: all of it is on disk.
    Settle {
        written: bool,
    },
}

#[derive(Debug)]
pub(super) struct EndingMachine {
    lifecycle: Tracked<Lifecycle>,
    reports: Tracked<Option<FinalReports>>,
    host_deadline: Tracked<Option<Duration>>,
    /// Since when a game is to end whose keeper doesn't answer.
    stuck_since: Option<SteadyTime>,
}

impl EndingMachine {
    pub(super) fn restore(reports: Option<FinalReports>) -> Self {
        EndingMachine {
            lifecycle: Tracked::new(Lifecycle::Running),
            reports: Tracked::new(reports),
            host_deadline: Tracked::new(None),
            stuck_since: None,
        }
    }

    pub(super) fn recall(&mut self, reports: Option<FinalReports>) {
        *self.reports.edit() = reports;
    }

    pub(super) fn reports(&self) -> Option<&FinalReports> {
        self.reports.as_ref()
    }

    pub(super) fn revision(&self) -> Revision {
        let visible = self.lifecycle.changes() + self.host_deadline.changes();
        Revision { durable: self.reports.changes(), visible }
    }

    pub(super) fn facts(&self) -> EndingFacts {
        let (shutting_down, exiting, detaching) = match &*self.lifecycle {
            Lifecycle::Running => (false, false, false),
            Lifecycle::ShuttingDown => (true, false, false),
            Lifecycle::Exiting { ending: Ending::Detached { .. }, .. } => (false, true, true),
            Lifecycle::Exiting { .. } | Lifecycle::Ended => (true, true, false),
        };
        EndingFacts {
            shutting_down,
            exiting,
            detaching,
            ended: *self.lifecycle == Lifecycle::Ended,
            final_reports: self.reports.is_some(),
            host_deadline: *self.host_deadline,
        }
    }

    pub(super) fn on(&mut self, event: EndingEvent, facts: &Facts, decisions: &mut Decisions) {
        match event {
            EndingEvent::ShutDown => {
                if *self.lifecycle == Lifecycle::Running {
                    self.lifecycle.set(Lifecycle::ShuttingDown);
                }
            }
            EndingEvent::Detach { restart } => {
                decisions.timeline("detached", "let go of the game; it lives on with its keeper", &[]);
                self.exit(Ending::Detached { restart }, facts.now + PATIENCE);
            }
            EndingEvent::FinalReports { reason, then } => {
                let (up, away) = LAST_REPORTS;
                let until = facts.now + if facts.session.service_works { up } else { away };
                self.reports.set(Some(FinalReports { reason, then, until }));
            }
            EndingEvent::LookForUnkillable => {
                let stuck = matches!(facts.process.state, ProcessStatus::Unkillable { .. });
                if stuck && *self.lifecycle == Lifecycle::ShuttingDown {
                    self.exit(Ending::Unkillable, facts.now + UNKILLABLE_PATIENCE);
                }
            }
            EndingEvent::HostDeadline(keepers) => {
                let configured = facts.settings.drain.host_deadline.map(crate::model::units::Span::get);
                self.host_deadline.set([keepers, configured].into_iter().flatten().min());
            }
            EndingEvent::Woken { ends } => self.woken(ends, facts),
            EndingEvent::EndAtOnce(ending) => self.end(ending, decisions),
            EndingEvent::Tick => self.tick(facts),
            EndingEvent::Settle { written } => {
                self.watch_the_keeper(facts);
                self.settle(written, facts, decisions);
            }
        }
    }

    /// When [`EndingEvent::Tick`] or [`EndingEvent::Settle`] does something next.
    pub(super) fn next_deadline(&self, facts: &Facts) -> Option<SteadyTime> {
        match &*self.lifecycle {
            Lifecycle::Running | Lifecycle::ShuttingDown => {
                earliest([self.reports.as_ref().map(|reports| reports.until), self.stuck_until(facts)])
            }
            Lifecycle::Exiting { until, .. } => Some(*until),
            Lifecycle::Ended => None,
        }
    }

    fn woken(&mut self, ends: bool, facts: &Facts) {
        let ends = ends || self.reports.is_some();
        self.lifecycle.set(if ends { Lifecycle::ShuttingDown } else { Lifecycle::Running });
        if self.reports.is_some()
            && let Some(reports) = self.reports.edit()
        {
            // The life before was cut short over its last reports: this one may deliver them,
            // however late it comes.
            reports.until = reports.until.max(facts.now + LAST_REPORTS.0);
        }
    }

    fn exit(&mut self, ending: Ending, until: SteadyTime) {
        self.lifecycle.set(Lifecycle::Exiting { ending, until });
    }

    /// A stop has an end, also where the keeper doesn't answer.
    fn stuck_until(&self, facts: &Facts) -> Option<SteadyTime> {
        let patience = StopSequence::total(&facts.settings.stop_steps) + KEEPER_PATIENCE;
        self.stuck_since.map(|since| since + patience)
    }

    fn watch_the_keeper(&mut self, facts: &Facts) {
        let ends = *self.lifecycle == Lifecycle::ShuttingDown && matches!(facts.phase(), Phase::Closing | Phase::Idle);
        let stuck = ends && facts.process.run.is_some() && !facts.keeper.connected;
        self.stuck_since = stuck.then(|| self.stuck_since.unwrap_or(facts.now));
    }

    fn tick(&mut self, facts: &Facts) {
        // An agent that already ends otherwise leaves the reports to its next life.
        if !matches!(&*self.lifecycle, Lifecycle::Running | Lifecycle::ShuttingDown) {
            return;
        }
        if self.stuck_until(facts).is_some_and(|until| facts.now >= until) {
            return self.exit(Ending::KeeperSilent, facts.now + PATIENCE);
        }
        let Some(reports) = self.reports.as_ref() else { return };
        let owes = !facts.outbox.is_empty() || facts.allocation.removes;
        if owes && facts.now < reports.until {
            return;
        }
        let ending = match &reports.then {
            AfterDrain::Fail { why } => Ending::Failed { why: why.clone() },
            AfterDrain::End | AfterDrain::Recycle if !facts.outbox.is_empty() => {
                Ending::Undelivered { reason: reports.reason.clone(), sessions: facts.outbox.all().len() }
            }
            AfterDrain::End | AfterDrain::Recycle => Ending::Orderly { reason: reports.reason.clone() },
        };
        // To the next life the journal says: nothing is going on, and these reports are owed.
        self.reports.set(None);
        self.exit(ending, facts.now + PATIENCE);
    }

    /// The agent ends once the journal has its last text, or a moment later.
    fn settle(&mut self, written: bool, facts: &Facts, decisions: &mut Decisions) {
        let Lifecycle::Exiting { ending, until } = &*self.lifecycle else { return };
        if !written && facts.now < *until {
            return;
        }
        let ending = ending.clone();
        if matches!(ending, Ending::Orderly { .. } | Ending::Undelivered { .. } | Ending::Failed { .. }) {
            decisions.order(KeeperOrder::Shutdown);
        }
        self.end(ending, decisions);
    }

    fn end(&mut self, ending: Ending, decisions: &mut Decisions) {
        decisions.effect(Effect::End(ending));
        self.lifecycle.set(Lifecycle::Ended);
    }
}
