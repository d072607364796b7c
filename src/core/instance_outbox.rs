//! The outbox of one instance: every report about it that the session service hasn't taken yet.
//!
//! What the service shows is a level: only the newest is sent. *Milestones* alone are told in
//! order, each with its time: as the level itself while no newer one has replaced it, else as an
//! audit event.
//!
//! ```text
//!  post ──► milestones and notes, in order ──► level ≠ shown: PATCH ──► … ──► closed ──► read back ──► delivered
//!    ▲ ambiguous: read back before the next write ▲
//! ```
//!
//! | file | holds |
//! |---|---|
//! | this one | what is owed, and the next request |
//! | [`answers`] | what an answer means: taken, unknown, refused, taken away, delivered |
//! | [`level`] | the instance's level: compared, merged, named |
//!
//! Invariants: one request under way; nothing follows `closed`; an outbox goes only when `closed`
//! is confirmed, or the service says that the session is gone or another instance there.

mod answers;
mod level;

pub(super) use answers::{Outcome, ServiceUp};

use super::{random::Backoff, steady_time::SteadyTime};
use crate::model::{
    CustomData,
    calls::Call,
    ids::{AllocationId, InstanceId, SessionId},
    policy::ReportBy,
    session::{InstanceInfo, InstanceRequest, InstanceUpdate, JoinStatus},
    time::Timestamp,
};
use level::{difference, level_of, note_name};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Notes and milestones kept for a service that is away; beyond, the oldest notes go.
const MAX_QUEUE: usize = 64;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct InstanceOutbox {
    pub session: SessionId,
    pub instance: InstanceId,
    pub allocation: Option<AllocationId>,
    report: ReportBy,
    /// Still to be posted.
    post: Option<Box<InstanceRequest>>,
    queue: VecDeque<Item>,
    want: InstanceUpdate,
    shown: InstanceUpdate,
    want_browser: Option<CustomData>,
    shown_browser: Option<CustomData>,
    closing: Option<Close>,
    backoff: Backoff,
    /// Attempts at the audit event at the head of the queue, with the service up.
    #[serde(skip)]
    tries: u32,
    #[serde(skip)]
    retry_at: Option<SteadyTime>,
    #[serde(skip)]
    under_way: Option<Op>,
    /// Goes up with every change of what is remembered, or shown.
    #[serde(skip)]
    changes: u64,
    /// The outcome of the last write isn't known: the session is read before the next one. That is
    /// so after a restart of the agent, too.
    #[serde(skip, default = "yes")]
    must_read_back: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Item {
    Status { status: JoinStatus, at: Timestamp },
    Note { name: String, reason: String, at: Timestamp },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Close {
    at: Timestamp,
    reason: String,
    told: bool,
}

/// What is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Op {
    ReadBack,
    Post,
    Patch(Box<InstanceUpdate>),
    Browser(CustomData),
    Audit,
    Close,
    Confirm,
}

impl InstanceOutbox {
    /// For an instance that is still to be posted.
    pub(super) fn to_post(
        session: SessionId,
        report: ReportBy,
        request: InstanceRequest,
        instance: InstanceId,
    ) -> Self {
        InstanceOutbox {
            session,
            instance,
            allocation: None,
            report,
            post: Some(Box::new(request)),
            queue: VecDeque::new(),
            want: InstanceUpdate::default(),
            shown: InstanceUpdate::default(),
            want_browser: None,
            shown_browser: None,
            closing: None,
            backoff: Backoff::default(),
            tries: 0,
            retry_at: None,
            under_way: None,
            changes: 0,
            must_read_back: false,
        }
    }

    /// For one that the service made.
    pub(super) fn taken_over(session: SessionId, report: ReportBy, info: &InstanceInfo) -> Self {
        let mut outbox = InstanceOutbox::to_post(session, report, InstanceRequest::default(), info.instance_id.clone());
        outbox.post = None;
        outbox.allocation.clone_from(&info.allocation_id);
        outbox.shown = level_of(info);
        outbox.shown.custom_data = None;
        outbox
    }

    /// The same without levels and notes: which instance of which session it is, whether it is posted, and how it ends.
    pub(super) fn bare(self) -> Self {
        let InstanceOutbox { session, instance, allocation, report, post, closing, .. } = self;
        let bare = InstanceOutbox::to_post(session, report, InstanceRequest::default(), instance);
        InstanceOutbox { allocation, post, closing, must_read_back: true, ..bare }
    }

    pub(super) fn is_posted(&self) -> bool {
        self.post.is_none()
    }
    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }
    /// What the service is known to show.
    pub(super) fn shown(&self) -> Option<JoinStatus> {
        self.shown.join_status
    }
    pub(super) fn is_ours(&self, instance: &InstanceId) -> bool {
        self.instance == *instance
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    fn changed(&mut self) {
        self.changes += 1;
    }

    /// The level from now on.
    pub(super) fn want(&mut self, level: InstanceUpdate) {
        if self.closing.is_none() && self.want != level {
            self.want = level;
            self.changed();
        }
    }

    pub(super) fn want_browser(&mut self, data: CustomData) {
        if self.shown_browser.as_ref().is_some_and(|shown| *shown == data) || self.closing.is_some() {
            return;
        }
        if self.shown_browser.is_none() && self.want_browser.is_none() {
            // What the session was made with.
            self.shown_browser = Some(data.clone());
        }
        if self.want_browser.as_ref() != Some(&data) {
            self.want_browser = Some(data);
            self.changed();
        }
    }

    /// A level that must be told in its order, even if it is passed over.
    pub(super) fn milestone(&mut self, status: JoinStatus, at: Timestamp) {
        self.push(Item::Status { status, at });
    }

    pub(super) fn note(&mut self, name: &str, reason: &str, at: Timestamp) {
        self.push(Item::Note { name: name.to_owned(), reason: reason.to_owned(), at });
    }

    fn push(&mut self, item: Item) {
        if self.report == ReportBy::Game || self.closing.is_some() {
            return;
        }
        if self.queue.len() >= MAX_QUEUE {
            let oldest = self.queue.iter().position(|item| matches!(item, Item::Note { .. })).unwrap_or(0);
            self.queue.remove(oldest);
        }
        self.queue.push_back(item);
        self.changed();
    }

    /// The terminal report. The first one counts.
    pub(super) fn close(&mut self, at: Timestamp, reason: &str) {
        if self.closing.is_none() {
            self.closing = Some(Close { at, reason: reason.to_owned(), told: false });
            self.changed();
        }
    }

    /// Ends the wait for the next attempt, once it is over.
    pub(super) fn end_wait(&mut self, now: SteadyTime) {
        self.retry_at = self.retry_at.filter(|at| now < *at);
    }

    /// The next request, if one may go out.
    pub(super) fn next_call(&mut self) -> Option<Call> {
        if self.under_way.is_some() || self.retry_at.is_some() {
            return None;
        }
        let op = self.next_op()?;
        let call = self.call_for(&op);
        self.under_way = Some(op);
        call
    }

    /// A closing outbox that never got as far as being posted owes nothing.
    pub(super) fn owes_nothing(&self) -> bool {
        self.closing.is_some() && self.post.is_some() && !self.must_read_back && self.under_way.is_none()
    }

    fn next_op(&mut self) -> Option<Op> {
        if self.must_read_back {
            return Some(Op::ReadBack);
        }
        if self.post.is_some() {
            return if self.closing.is_some() { None } else { Some(Op::Post) };
        }
        if let Some(close) = &self.closing
            && close.told
        {
            return Some(Op::Confirm);
        }
        if self.report == ReportBy::Agent {
            while let Some(Item::Status { status, .. }) = self.queue.front() {
                if self.shown.join_status != Some(*status) || self.passed_over(*status) {
                    break;
                }
                self.queue.pop_front();
                self.changed();
            }
            match self.queue.front() {
                Some(Item::Note { .. }) => return Some(Op::Audit),
                Some(Item::Status { status, .. }) if self.passed_over(*status) => return Some(Op::Audit),
                Some(Item::Status { .. }) | None => {}
            }
        }
        if self.closing.is_some() {
            return Some(Op::Close);
        }
        if self.report == ReportBy::Game {
            return None;
        }
        let update = difference(&self.want, &self.shown);
        if update != InstanceUpdate::default() {
            return Some(Op::Patch(Box::new(update)));
        }
        let browser = self.want_browser.clone().filter(|want| self.shown_browser.as_ref() != Some(want));
        browser.map(Op::Browser)
    }

    /// A newer level has replaced the milestone at the head of the queue.
    fn passed_over(&self, status: JoinStatus) -> bool {
        self.closing.is_some()
            || self.want.join_status != Some(status)
            || self.queue.iter().skip(1).any(|item| matches!(item, Item::Status { .. }))
    }

    fn call_for(&self, op: &Op) -> Option<Call> {
        let session = self.session.clone();
        let patch = |update: InstanceUpdate| Call::PatchInstance {
            session: session.clone(),
            body: Box::new(InstanceUpdate { allocation_id: self.allocation.clone(), ..update }),
        };
        Some(match op {
            Op::ReadBack | Op::Confirm => Call::ReadSession { session },
            Op::Post => Call::PostInstance { session, body: self.post.clone()? },
            Op::Patch(update) => patch(update.as_ref().clone()),
            Op::Close => patch(InstanceUpdate { join_status: Some(JoinStatus::Closed), ..InstanceUpdate::default() }),
            Op::Browser(data) => Call::UpdateBrowser { session, data: data.clone() },
            Op::Audit => {
                let (name, reason, at) = match self.queue.front()? {
                    Item::Status { status, at } => (status.word(), None, *at),
                    Item::Note { name, reason, at } => (note_name(name), Some(reason.clone()), *at),
                };
                Call::Audit { session, instance: self.instance.clone(), name, reason, at }
            }
        })
    }

    /// The service is back: no more waiting.
    pub(super) fn retry_now(&mut self) {
        self.retry_at = None;
        self.changed();
        self.backoff.reset();
    }

    pub(super) fn deadline(&self) -> Option<SteadyTime> {
        self.retry_at.filter(|_| self.under_way.is_none())
    }

    /// Undelivered reports, for people, oldest first.
    pub(super) fn owed(&self) -> Vec<String> {
        let mut owed: Vec<_> = self.post.iter().map(|_| "instance".to_owned()).collect();
        if self.report == ReportBy::Agent {
            owed.extend(self.queue.iter().map(|item| match item {
                Item::Status { status, at } => format!("{} at {at}", status.word()),
                Item::Note { name, at, .. } => format!("{name} at {at}"),
            }));
            let update = difference(&self.want, &self.shown);
            if self.closing.is_none() && self.queue.is_empty() && update != InstanceUpdate::default() {
                owed.push(update.join_status.map_or("details", JoinStatus::word).to_owned());
            }
        }
        owed.extend(self.closing.iter().map(|close| format!("closed at {}: {}", close.at, close.reason)));
        owed
    }
}
