//! What the session service is still owed: an outbox for each instance, in the order in which they
//! began.
//!
//! Each has one request under way, and a session's next outbox begins only after its last. What the
//! session should show comes from [`super::desired_state`]; [`super::instance_outbox`] decides what
//! is sent.

use super::{
    decisions::{Decisions, Hold, Purpose},
    facts::Facts,
    instance_outbox::{InstanceOutbox, Outcome, ServiceUp},
    keeper_link::Recovery,
    revision::{Revision, Tracked},
    signal::{MatchClosed, Report, ReportItem, Signal},
    steady_time::{SteadyTime, earliest},
};
use crate::model::{
    CustomData,
    calls::{Answer, Call, Refusal},
    ids::{InstanceId, SessionId},
    session::{InstanceUpdate, JoinStatus},
};

/// What other machines know of one outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutboxStatus {
    pub instance: InstanceId,
    /// The service has the instance.
    pub posted: bool,
    /// Its end is on the way.
    pub closing: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OutboxFacts(Vec<OutboxStatus>);

impl OutboxFacts {
    pub(super) fn of(&self, instance: &InstanceId) -> Option<&OutboxStatus> {
        self.0.iter().find(|outbox| outbox.instance == *instance)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn all(&self) -> &[OutboxStatus] {
        &self.0
    }
}

#[derive(Debug)]
pub(super) enum OutboxEvent {
    Add(Box<InstanceOutbox>),
    /// An instance that can't be served, though the service waits for it: it is reported closed, and nothing else.
    AddClosed(Box<InstanceOutbox>, String),
    /// What the session should show of the current instance.
    Want {
        instance: InstanceId,
        level: Box<InstanceUpdate>,
        browser: Option<CustomData>,
    },
    Report(Report),
    MatchClosed(MatchClosed),
    /// Nothing is owed about it any more.
    Forget(InstanceId),
    /// The answer to the request under way.
    Answered {
        instance: InstanceId,
        answer: Result<Answer, Refusal>,
    },
    ServiceUp,
    /// Another match, or none: a report of the last one that was dropped is no longer shown.
    MatchChanged,
    /// After a start: the timeline isn't told again what this instance is known to show.
    Known(InstanceId),
    /// Sends what may be sent.
    Flush,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    outboxes: Vec<InstanceOutbox>,
    changes: u64,
    /// The join status that the timeline was told last.
    shown: Option<(InstanceId, JoinStatus)>,
    /// Why the service refuses reports that are tried again; until it takes one.
    waiting: Tracked<Option<(InstanceId, String)>>,
    /// A report that was dropped; until the match is over.
    dropped: Tracked<Option<String>>,
}

impl Outbox {
    pub(super) fn restore(outboxes: Vec<InstanceOutbox>) -> Self {
        Outbox { outboxes, ..Outbox::default() }
    }

    /// Replaces the memory by another one, the keeper's record; what this one owes is owed still.
    pub(super) fn recall(&mut self, outboxes: Vec<InstanceOutbox>) {
        let owed = std::mem::replace(&mut self.outboxes, outboxes);
        let news = |outbox: &InstanceOutbox| !self.outboxes.iter().any(|known| known.is_ours(&outbox.instance));
        let owed: Vec<_> = owed.into_iter().filter(news).collect();
        self.outboxes.extend(owed);
        self.changes += 1;
    }

    pub(super) fn outboxes(&self) -> &[InstanceOutbox] {
        &self.outboxes
    }

    pub(super) fn revision(&self) -> Revision {
        Revision { durable: self.changes, visible: self.waiting.changes() + self.dropped.changes() }
    }

    pub(super) fn facts(&self) -> OutboxFacts {
        let is = |outbox: &InstanceOutbox| OutboxStatus {
            instance: outbox.instance.clone(),
            posted: outbox.is_posted(),
            closing: outbox.is_closing(),
        };
        OutboxFacts(self.outboxes.iter().map(is).collect())
    }

    /// Undelivered reports, for people, oldest first.
    pub(super) fn owed(&self) -> Vec<String> {
        self.outboxes.iter().flat_map(InstanceOutbox::owed).collect()
    }

    /// Which reports the service refuses, for the status.
    pub(super) fn warnings(&self) -> impl Iterator<Item = String> {
        let waits = |(instance, _): &&(InstanceId, String)| self.find(instance).is_some();
        let waiting = self.waiting.as_ref().filter(waits).map(|(_, why)| why.clone());
        waiting.into_iter().chain(self.dropped.clone())
    }

    pub(super) fn on(&mut self, event: OutboxEvent, facts: &Facts, decisions: &mut Decisions) {
        match event {
            OutboxEvent::Add(outbox) => {
                self.outboxes.push(*outbox);
                self.changes += 1;
            }
            OutboxEvent::AddClosed(outbox, why) => {
                let (session, instance) = (outbox.session.clone(), outbox.instance.clone());
                self.outboxes.push(*outbox);
                self.close(session, &instance, &why, facts, decisions);
            }
            OutboxEvent::Want { instance, level, browser } => self.with(&instance, |outbox| {
                outbox.want(*level);
                browser.into_iter().for_each(|data| outbox.want_browser(data));
            }),
            OutboxEvent::Report(Report { instance, item }) => self.with(&instance, |outbox| match item {
                ReportItem::Milestone(status) => outbox.milestone(status, facts.wall),
                ReportItem::Note { name, reason, at } => outbox.note(name, &reason, at),
            }),
            OutboxEvent::MatchClosed(MatchClosed { session, instance, reason }) => {
                self.close(session, &instance, &reason, facts, decisions);
            }
            OutboxEvent::Forget(instance) => self.forget(&instance),
            OutboxEvent::Answered { instance, answer } => self.answered(instance, answer, facts, decisions),
            OutboxEvent::ServiceUp => {
                self.outboxes.iter_mut().for_each(InstanceOutbox::retry_now);
                self.changes += 1;
            }
            OutboxEvent::MatchChanged => self.dropped.set(None),
            OutboxEvent::Known(instance) => {
                self.shown = self.find(&instance).and_then(InstanceOutbox::shown).map(|shown| (instance, shown));
            }
            OutboxEvent::Flush => self.flush(facts, decisions),
        }
    }

    /// When [`OutboxEvent::Flush`] does something next.
    pub(super) fn next_deadline(&self, _facts: &Facts) -> Option<SteadyTime> {
        earliest(self.outboxes.iter().map(InstanceOutbox::deadline))
    }

    fn find(&self, instance: &InstanceId) -> Option<&InstanceOutbox> {
        self.outboxes.iter().find(|outbox| outbox.is_ours(instance))
    }

    fn with(&mut self, instance: &InstanceId, change: impl FnOnce(&mut InstanceOutbox)) {
        if let Some(outbox) = self.outboxes.iter_mut().find(|outbox| outbox.is_ours(instance)) {
            let before = outbox.changes();
            change(outbox);
            self.changes += outbox.changes() - before;
        }
    }

    fn forget(&mut self, instance: &InstanceId) {
        self.retain(|outbox| !outbox.is_ours(instance));
    }

    fn retain(&mut self, keep: impl Fn(&InstanceOutbox) -> bool) {
        let before = self.outboxes.len();
        self.outboxes.retain(keep);
        self.changes += u64::from(self.outboxes.len() < before);
    }

    fn close(
        &mut self,
        session: SessionId,
        instance: &InstanceId,
        reason: &str,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        self.with(instance, |outbox| outbox.close(facts.wall, reason));
        self.changes += 1;
        self.retain(|outbox| !outbox.owes_nothing());
        if self.find(instance).is_none() {
            decisions.signal(Signal::EndReported { session });
        }
    }

    /// A journal that was set aside knew of an instance that nobody knows now: it is over.
    fn close_the_lost(&mut self, facts: &Facts) {
        if !facts.keeper.met || facts.keeper.recovery != Recovery::Done {
            return;
        }
        let ours = facts.game.game.as_ref().map(|game| &game.instance);
        for outbox in self.outboxes.iter_mut().filter(|outbox| !outbox.is_closing() && Some(&outbox.instance) != ours) {
            outbox.close(facts.wall, "what was known of the match is lost");
            self.changes += 1;
        }
    }

    fn flush(&mut self, facts: &Facts, decisions: &mut Decisions) {
        self.close_the_lost(facts);
        self.retain(|outbox| !outbox.owes_nothing());
        for index in 0..self.outboxes.len() {
            let (before, rest) = self.outboxes.split_at_mut(index);
            let outbox = &mut rest[0];
            outbox.end_wait(facts.now);
            if before.iter().any(|earlier| earlier.session == outbox.session) {
                continue;
            }
            if !outbox.is_closing() && !facts.keeper.met {
                // Whether the match still is what the journal says, the keeper knows.
                continue;
            }
            let changes = outbox.changes();
            let call = outbox.next_call();
            self.changes += outbox.changes() - changes;
            let Some(call) = call else { continue };
            let purpose = Purpose::Outbox(outbox.instance.clone());
            let ahead = matches!(call, Call::PostInstance { .. });
            match (ahead, outbox.is_closing()) {
                (true, _) => decisions.call_after_commit(call, purpose, Hold::UntilWritten),
                (false, true) => decisions.call_after_commit(call, purpose, Hold::WhileJournalWorks),
                (false, false) => decisions.call(call, purpose),
            }
        }
    }

    fn answered(
        &mut self,
        instance: InstanceId,
        answer: Result<Answer, Refusal>,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        let service = if facts.session.service_works { ServiceUp::Yes } else { ServiceUp::No };
        let Some(outbox) = self.outboxes.iter_mut().find(|outbox| outbox.is_ours(&instance)) else { return };
        let session = outbox.session.clone();
        let before = outbox.changes();
        let outcome = outbox.answered(answer.as_ref(), service, facts.now, &mut decisions.jitter);
        self.changes += outbox.changes() - before;
        let is_taken = match &answer {
            // Read back, it may show what it was to show.
            Ok(Answer::Session(_)) => outbox.owed().is_empty(),
            Ok(_) => true,
            Err(_) => false,
        };
        if is_taken && self.waiting.as_ref().is_some_and(|(waits, _)| *waits == instance) {
            self.waiting.set(None);
        }
        match answer {
            Ok(Answer::Session(read)) => {
                decisions.signal(Signal::SessionRead(read));
                decisions.signal(Signal::ReportAnswered { instance: instance.clone() });
            }
            Ok(_) => decisions.signal(Signal::ReportAnswered { instance: instance.clone() }),
            Err(refusal @ Refusal::Credentials { .. }) => self.refused(&instance, &refusal.to_string(), decisions),
            Err(_) => {}
        }
        self.follow(outcome, instance, session, facts, decisions);
    }

    fn follow(
        &mut self,
        outcome: Outcome,
        instance: InstanceId,
        session: SessionId,
        facts: &Facts,
        decisions: &mut Decisions,
    ) {
        match outcome {
            Outcome::Nothing | Outcome::Posted => {}
            Outcome::Shown(status) => self.shown(instance, status, facts, decisions),
            Outcome::PostRefused { why } => decisions.signal(Signal::PostRefused { instance, why }),
            Outcome::Refused { why } => self.refused(&instance, &why, decisions),
            Outcome::Dropped { why } => {
                let why = format!("the session service refused a report, it was dropped: {why}");
                decisions.timeline("report_refused", why.clone(), &[]);
                self.dropped.set(Some(why));
            }
            Outcome::SessionNotFound => decisions.signal(Signal::SessionNotFound { instance }),
            Outcome::TakenAway { why } => decisions.signal(Signal::TakenAway { instance, why }),
            Outcome::Delivered => {
                self.forget(&instance);
                let text = format!("the end is reported to session {session}");
                decisions.timeline("reported", text, &[("session_id", session.as_str())]);
                decisions.signal(Signal::EndReported { session });
            }
        }
    }

    /// Reports wait for as long as it takes, so the operator is told why.
    fn refused(&mut self, instance: &InstanceId, why: &str, decisions: &mut Decisions) {
        let text = format!("the session service doesn't take our reports: {why}");
        let refusal = Some((instance.clone(), text.clone()));
        if *self.waiting != refusal {
            self.waiting.set(refusal);
            decisions.timeline("report_refused", text, &[]);
        }
    }

    fn shown(&mut self, instance: InstanceId, status: JoinStatus, facts: &Facts, decisions: &mut Decisions) {
        let seen = Some((instance, status));
        if self.shown == seen {
            return;
        }
        self.shown = seen;
        let (kind, text) = match status {
            JoinStatus::Pending => ("pending", "pending: the game is starting"),
            JoinStatus::Joinable => ("joinable", "joinable"),
            JoinStatus::Unjoinable => ("unjoinable", "unjoinable"),
            JoinStatus::Requested | JoinStatus::Allocated | JoinStatus::Closed => return,
        };
        let known = status == JoinStatus::Joinable && facts.game.game.is_some();
        let (public, private) = if known { facts.addresses.both() } else { ("", "") };
        let address = if public.is_empty() { private } else { public };
        let text = if address.is_empty() { text.to_owned() } else { format!("{text} at {address}") };
        decisions.timeline(kind, text, &[("public_conn_str", public), ("private_conn_str", private)]);
    }
}
