//! Silence of the game: heartbeats and pings are counted elsewhere, and asked for at each deadline.
//!
//! ```text
//!   a deadline ──► Effect::CountHeartbeats ──► answer: what it counted is noted, then the deadline is judged
//!                       ▲         │
//!                       │ 5 s     └─ none in 2 s ──► stalled: nothing is judged, the status warns
//!                       └───────────────────────────────┘ │ answer: counting begins anew
//! ```
//!
//! A gateway that doesn't answer is no silent game: what it couldn't hear does not count.

use super::{Health, Kind, Sample, is_going};
use crate::{
    core::{
        decisions::Decisions,
        facts::{Facts, Phase},
        io::Effect,
        process::ProcessStatus,
        steady_time::{SteadyTime, earliest},
    },
    model::{policy::SdkPings, units::Span},
};
use std::time::Duration;

/// No answer within this: whoever counts is stalled or away.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is asked again then.
const ASK_AGAIN: Duration = Duration::from_secs(5);
const STALLED: &str = "the SDK gateway doesn't answer; the game's health can't be judged by its heartbeats";

impl Health {
    /// The warning for the status, while nobody answers.
    pub(in crate::core) fn stalled(&self) -> Option<&'static str> {
        self.stalled.then_some(STALLED)
    }

    /// When [`Health::ask`] does something next.
    pub(super) fn counting_deadline(&self, facts: &Facts) -> Option<SteadyTime> {
        match self.asked {
            Some(asked) if *self.stalled => Some(asked + ASK_AGAIN),
            Some(asked) => Some(asked + PATIENCE),
            None => earliest([self.silence_due(facts), self.pings_due(facts)]),
        }
    }

    /// Asks for the heartbeats where a deadline has come.
    pub(super) fn ask(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let due = earliest([self.silence_due(facts), self.pings_due(facts)]).is_some_and(|due| facts.now >= due);
        match self.asked {
            None if due => self.count(facts, decisions),
            Some(_) if *self.stalled && !due => self.forget_question(),
            Some(asked) if *self.stalled && facts.now >= asked + ASK_AGAIN => self.count(facts, decisions),
            Some(asked) if !*self.stalled && facts.now >= asked + PATIENCE => {
                if due {
                    self.stalled.set(true);
                } else {
                    self.forget_question();
                }
            }
            None | Some(_) => {}
        }
    }

    /// The answer has come, and what it counted is noted: judges the deadline for which it was asked for.
    pub(super) fn counted(&mut self, facts: &Facts) {
        let Some(asked) = self.asked else { return };
        let was_stalled = *self.stalled;
        self.forget_question();
        if was_stalled {
            self.begin_anew(facts);
        } else {
            self.count_silence(asked, facts);
            self.count_pings(asked, facts);
        }
    }

    /// No answer is waited for.
    pub(super) fn forget_question(&mut self) {
        self.asked = None;
        self.stalled.set(false);
    }

    fn count(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let Some(run) = facts.process.run else { return };
        self.asked = Some(facts.now);
        decisions.effect(Effect::CountHeartbeats { run });
    }

    /// What fell due while nobody answered wasn't missed.
    fn begin_anew(&mut self, facts: &Facts) {
        self.trends.forgive(Kind::Heartbeat);
        if self.silence_due(facts).is_some_and(|due| facts.now >= due) {
            self.next_beat = Some(facts.now);
        }
        if let Some(pings) = &facts.settings.sdk_pings
            && self.pings.deadline().is_some_and(|due| facts.now >= due)
        {
            self.pings.gap(pings, facts.now);
        }
    }

    fn count_silence(&mut self, now: SteadyTime, facts: &Facts) {
        let Some(span) = heartbeat(facts) else { return };
        let Some(due) = self.silence_due(facts).filter(|due| now >= *due) else { return };
        self.next_beat = Some(due);
        let why = format!("it has sent no heartbeat for over {} s", span.as_secs());
        self.doubtful |= self.trends.note(Kind::Heartbeat, Sample::Bad { why }, &facts.settings.health);
    }

    /// Notes when pings have been missing for too long.
    fn count_pings(&mut self, now: SteadyTime, facts: &Facts) {
        let Some(pings) = self.counted_pings(facts) else { return };
        if self.pings.runs_out(pings, now) {
            self.doubtful |= !self.pings_are.stopped;
            self.pings_are.set(super::Pings { promised: true, stopped: true });
        }
    }

    /// When the silence of a game that has sent a heartbeat counts next.
    fn silence_due(&self, facts: &Facts) -> Option<SteadyTime> {
        let up = facts.process.state == ProcessStatus::Up;
        heartbeat(facts).and_then(|span| Some(self.next_beat? + span)).filter(|_| up && !is_going(facts))
    }

    fn pings_due(&self, facts: &Facts) -> Option<SteadyTime> {
        self.pings.deadline().filter(|_| self.counted_pings(facts).is_some())
    }

    /// Missing pings count where the run uses an SDK that promises them, and isn't being stopped.
    fn counted_pings<'a>(&self, facts: &'a Facts) -> Option<&'a SdkPings> {
        let up = facts.process.state == ProcessStatus::Up && facts.phase() != Phase::Closing;
        facts.settings.sdk_pings.as_ref().filter(|_| up && self.pings_are.promised)
    }
}

/// How long a silence is that counts.
fn heartbeat(facts: &Facts) -> Option<Duration> {
    facts.settings.health.heartbeat.map(Span::get).filter(|span| !span.is_zero())
}
