//! One lane: everything that the session service is owed about one instance.
//!
//! Remote state is a level: the newest wins. Only *milestones* are told in order, each with its time: as the level
//! itself where it still stands, else as an audit event.
//!
//! ```text
//!  post ──► milestones and notes, in order ──► level ≠ shown: PATCH ──► … ──► closed ──► read back ──► delivered
//!    ▲ ambiguous: read back before the next write ▲
//! ```
//!
//! Invariants: one request under way; nothing follows `closed`; a lane goes only when `closed` is confirmed, or the service
//! says that the session is gone or another instance there.

use super::{
    clock::When,
    mint::{Backoff, Jitter},
};
use crate::model::{
    CustomData,
    calls::{Answer, Call, Refusal},
    errors::codes,
    ids::{AllocationId, InstanceId, SessionId},
    policy::ReportBy,
    session::{InstanceInfo, InstanceRequest, InstanceUpdate, JoinStatus, Session},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, time::Duration};

const FIRST_RETRY: Duration = Duration::from_millis(100);
/// While the service is away; `upstream` says when it is back, this is what remains if it doesn't.
const LAST_RETRY: Duration = Duration::from_millis(1500);
/// Notes and milestones kept for a service that is away; beyond, the oldest notes go.
const MAX_QUEUE: usize = 64;
/// For what isn't worth holding up the rest.
const MAX_TRIES: u32 = 4;

/// Whether the service as such is up and accepts our login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Works {
    Yes,
    No,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lane {
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
    retry_at: Option<When>,
    #[serde(skip)]
    flight: Option<Op>,
    /// The outcome of the last write isn't known. So after a restart, too.
    #[serde(skip, default = "yes")]
    doubt: bool,
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

/// What an answer means for others than the lane.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Nothing,
    /// The instance is there, as this.
    Posted,
    /// Now shown there.
    Shown(JoinStatus),
    /// The service won't have the instance at all.
    PostRefused {
        why: String,
    },
    /// The service won't have it as things stand; it is tried again.
    Refused {
        why: String,
    },
    /// The service won't have this level, ever; the next may do.
    Dropped {
        why: String,
    },
    /// `session_not_found`, while the match goes on.
    SessionNotFound,
    /// The service closed the instance, or shows another.
    TakenAway {
        why: String,
    },
    /// The end is known there. The lane goes.
    Delivered,
}

impl Lane {
    /// For an instance that is still to be posted.
    pub fn to_post(session: SessionId, report: ReportBy, request: InstanceRequest, instance: InstanceId) -> Self {
        Lane {
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
            flight: None,
            doubt: false,
        }
    }

    /// For one that the service made.
    pub fn taken_over(session: SessionId, report: ReportBy, info: &InstanceInfo) -> Self {
        let mut lane = Lane::to_post(session, report, InstanceRequest::default(), info.instance_id.clone());
        lane.post = None;
        lane.allocation.clone_from(&info.allocation_id);
        lane.shown = level_of(info);
        lane.shown.custom_data = None;
        lane
    }

    pub fn is_posted(&self) -> bool {
        self.post.is_none()
    }
    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }
    /// What the service is known to show.
    pub fn shown(&self) -> Option<JoinStatus> {
        self.shown.join_status
    }
    pub fn is_ours(&self, instance: &InstanceId) -> bool {
        self.instance == *instance
    }

    /// The level from now on.
    pub fn want(&mut self, level: InstanceUpdate) {
        if self.closing.is_none() {
            self.want = level;
        }
    }

    pub fn want_browser(&mut self, data: CustomData) {
        if self.shown_browser.as_ref().is_some_and(|shown| *shown == data) || self.closing.is_some() {
            return;
        }
        if self.shown_browser.is_none() && self.want_browser.is_none() {
            // What the session was made with.
            self.shown_browser = Some(data.clone());
        }
        self.want_browser = Some(data);
    }

    /// A level that must be told in its order, even if it is passed over.
    pub fn milestone(&mut self, status: JoinStatus, at: Timestamp) {
        self.push(Item::Status { status, at });
    }

    pub fn note(&mut self, name: &str, reason: &str, at: Timestamp) {
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
    }

    /// The terminal report. The first one counts.
    pub fn close(&mut self, at: Timestamp, reason: &str) {
        if self.closing.is_none() {
            self.closing = Some(Close { at, reason: reason.to_owned(), told: false });
        }
    }

    /// The wait for the next attempt is over.
    pub fn ripen(&mut self, now: When) {
        self.retry_at = self.retry_at.filter(|at| now < *at);
    }

    /// The next request, if one may go out.
    pub fn next_call(&mut self) -> Option<Call> {
        if self.flight.is_some() || self.retry_at.is_some() {
            return None;
        }
        let op = self.next_op()?;
        let call = self.call_for(&op);
        self.flight = Some(op);
        call
    }

    /// A closing lane that never got as far as being posted owes nothing.
    pub fn owes_nothing(&self) -> bool {
        self.closing.is_some() && self.post.is_some() && !self.doubt && self.flight.is_none()
    }

    fn next_op(&mut self) -> Option<Op> {
        if self.doubt {
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

    /// The milestone at the head of the queue no longer stands.
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
                    Item::Status { status, at } => (status_name(*status), None, *at),
                    Item::Note { name, reason, at } => (note_name(name), Some(reason.clone()), *at),
                };
                Call::Audit { session, instance: self.instance.clone(), name, reason, at }
            }
        })
    }

    /// Takes the answer to the request under way.
    pub fn answered(
        &mut self,
        answer: Result<&Answer, &Refusal>,
        works: Works,
        now: When,
        jitter: &mut Jitter,
    ) -> Outcome {
        let Some(op) = self.flight.take() else { return Outcome::Nothing };
        match answer {
            Ok(answer) => {
                self.backoff.reset();
                self.retry_at = None;
                self.succeeded(op, answer)
            }
            Err(refusal) if self.is_hopeless(&op, refusal, works) => self.give_up(op, refusal.to_string()),
            Err(refusal) => self.failed(op, refusal, now, jitter),
        }
    }

    fn succeeded(&mut self, op: Op, answer: &Answer) -> Outcome {
        match op {
            Op::ReadBack => {
                self.doubt = false;
                if let Answer::Session(session) = answer { self.compare(session) } else { Outcome::Nothing }
            }
            Op::Confirm => {
                // Nothing changed since it was read last: what was told is what stands.
                if let Answer::Session(session) = answer { self.compare(session) } else { Outcome::Delivered }
            }
            Op::Post => {
                self.post = None;
                if let Answer::Instance(info) = answer {
                    self.allocation.clone_from(&info.allocation_id);
                    self.shown.join_status = Some(info.join_status);
                }
                Outcome::Posted
            }
            Op::Patch(update) => {
                let status = update.join_status;
                merge(&mut self.shown, *update);
                if matches!(self.queue.front(), Some(Item::Status { status: head, .. }) if Some(*head) == status) {
                    self.queue.pop_front();
                }
                status.map_or(Outcome::Nothing, Outcome::Shown)
            }
            Op::Browser(data) => {
                self.shown_browser = Some(data);
                Outcome::Nothing
            }
            Op::Audit => {
                self.queue.pop_front();
                Outcome::Nothing
            }
            Op::Close => {
                if let Some(close) = &mut self.closing {
                    close.told = true;
                }
                self.shown.join_status = Some(JoinStatus::Closed);
                Outcome::Shown(JoinStatus::Closed)
            }
        }
    }

    fn pop_reached(&mut self) {
        if let Some(Item::Status { status, .. }) = self.queue.front()
            && self.shown.join_status == Some(*status)
            && !self.passed_over(*status)
        {
            self.queue.pop_front();
        }
    }

    /// What the service really shows.
    fn compare(&mut self, session: &Session) -> Outcome {
        let info = session.instance.as_ref().filter(|info| self.is_ours(&info.instance_id));
        let Some(info) = info else {
            if self.post.is_some() {
                return Outcome::Nothing;
            }
            let why = "the session shows another instance, or none".to_owned();
            return if self.closing.is_some() { Outcome::Delivered } else { Outcome::TakenAway { why } };
        };
        let was_posted = self.post.take().is_none();
        if self.allocation.is_none() {
            self.allocation.clone_from(&info.allocation_id);
        }
        self.shown = level_of(info);
        if info.join_status == JoinStatus::Closed {
            let why = "the session service closed the instance".to_owned();
            return if self.closing.is_some() { Outcome::Delivered } else { Outcome::TakenAway { why } };
        }
        if let Some(close) = &mut self.closing {
            close.told = false;
        }
        self.pop_reached();
        if was_posted { Outcome::Shown(info.join_status) } else { Outcome::Posted }
    }

    /// An audit event or the browser's data must not hold up the rest for ever, where the credentials lack just that
    /// permission or the service just that function.
    fn is_hopeless(&mut self, op: &Op, refusal: &Refusal, works: Works) -> bool {
        let optional = matches!(op, Op::Audit | Op::Browser(_)) && works == Works::Yes;
        let lasting = matches!(refusal, Refusal::Credentials { .. } | Refusal::NoSuchApi | Refusal::Ambiguous { .. });
        self.tries = if optional && lasting { self.tries + 1 } else { 0 };
        self.tries >= MAX_TRIES
    }

    fn failed(&mut self, op: Op, refusal: &Refusal, now: When, jitter: &mut Jitter) -> Outcome {
        let delay = self.backoff.next(FIRST_RETRY, LAST_RETRY, jitter);
        match refusal {
            Refusal::Unreachable { .. } | Refusal::Credentials { .. } | Refusal::NoSuchApi => {
                self.retry_at = Some(now + delay);
                Outcome::Nothing
            }
            Refusal::Busy { retry_after } => {
                self.retry_at = Some(now + retry_after.unwrap_or(delay).max(delay));
                Outcome::Nothing
            }
            Refusal::Ambiguous { .. } | Refusal::Gone => {
                self.doubt = self.doubt || !matches!(op, Op::Audit | Op::Confirm);
                self.retry_at = Some(now + delay);
                Outcome::Nothing
            }
            Refusal::SessionNotFound => {
                self.retry_at = Some(now + LAST_RETRY);
                if self.closing.is_some() { Outcome::Delivered } else { Outcome::SessionNotFound }
            }
            Refusal::Conflict { code, desc } | Refusal::NotFound { code: code @ desc } => {
                self.rejected(op, code, desc, now)
            }
            Refusal::Invalid { desc } => self.rejected(op, "", desc, now),
        }
    }

    /// A clear no.
    fn rejected(&mut self, op: Op, code: &str, desc: &str, now: When) -> Outcome {
        const NO_LONGER_OURS: [&str; 4] =
            [codes::INSTANCE_CLOSED, codes::ALLOCATION_MISMATCH, codes::INSTANCE_MISMATCH, codes::NO_INSTANCE];
        let why = if desc.is_empty() { code.to_owned() } else { desc.to_owned() };
        match op {
            Op::Post if code == codes::INSTANCE_EXISTS => {
                // Perhaps it is ours, from an attempt whose answer was lost.
                self.retry_at = Some(now + FIRST_RETRY);
                if self.closing.is_some() || self.doubt { Outcome::Delivered } else { Outcome::PostRefused { why } }
            }
            Op::Post => Outcome::PostRefused { why },
            Op::Patch(_) if NO_LONGER_OURS.contains(&code) => Outcome::TakenAway { why },
            Op::Close if NO_LONGER_OURS.contains(&code) => Outcome::Delivered,
            Op::Close | Op::ReadBack | Op::Confirm => {
                self.retry_at = Some(now + LAST_RETRY);
                Outcome::Refused { why }
            }
            Op::Patch(_) | Op::Browser(_) | Op::Audit => self.give_up(op, why),
        }
    }

    /// This very thing will never be accepted; the next may be.
    fn give_up(&mut self, op: Op, why: String) -> Outcome {
        match op {
            Op::Patch(update) => {
                merge(&mut self.shown, *update);
                self.pop_reached();
            }
            Op::Browser(data) => self.shown_browser = Some(data),
            Op::Audit => {
                self.queue.pop_front();
                return Outcome::Nothing;
            }
            Op::ReadBack | Op::Post | Op::Close | Op::Confirm => {}
        }
        Outcome::Dropped { why }
    }

    /// The service is back: no more waiting.
    pub fn retry_now(&mut self) {
        self.retry_at = None;
        self.backoff.reset();
    }

    pub fn deadline(&self) -> Option<When> {
        self.retry_at.filter(|_| self.flight.is_none())
    }

    /// Undelivered reports, for people, oldest first.
    pub fn owed(&self) -> Vec<String> {
        let mut owed: Vec<_> = self.post.iter().map(|_| "instance".to_owned()).collect();
        if self.report == ReportBy::Agent {
            owed.extend(self.queue.iter().map(|item| match item {
                Item::Status { status, at } => format!("{} at {at}", status_name(*status)),
                Item::Note { name, at, .. } => format!("{name} at {at}"),
            }));
            let update = difference(&self.want, &self.shown);
            if self.closing.is_none() && self.queue.is_empty() && update != InstanceUpdate::default() {
                owed.push(update.join_status.map_or("details", status_name).to_owned());
            }
        }
        owed.extend(self.closing.iter().map(|close| format!("closed at {}: {}", close.at, close.reason)));
        owed
    }
}

fn level_of(info: &InstanceInfo) -> InstanceUpdate {
    InstanceUpdate {
        allocation_id: None,
        join_status: Some(info.join_status),
        join_params: info.join_params.clone(),
        version: info.version.clone(),
        custom_data: Some(info.custom_data.clone()),
        match_id: info.match_id.clone(),
    }
}

/// The members of `want` that aren't shown.
fn difference(want: &InstanceUpdate, shown: &InstanceUpdate) -> InstanceUpdate {
    fn unless_equal<T: Clone + PartialEq>(want: Option<&T>, shown: Option<&T>) -> Option<T> {
        want.filter(|want| shown != Some(want)).cloned()
    }
    let nothing_yet = shown.custom_data.is_none();
    InstanceUpdate {
        allocation_id: None,
        join_status: unless_equal(want.join_status.as_ref(), shown.join_status.as_ref()),
        join_params: unless_equal(want.join_params.as_ref(), shown.join_params.as_ref()),
        version: unless_equal(want.version.as_ref(), shown.version.as_ref()),
        custom_data: unless_equal(want.custom_data.as_ref(), shown.custom_data.as_ref())
            .filter(|data| !(nothing_yet && data.is_empty())),
        match_id: unless_equal(want.match_id.as_ref(), shown.match_id.as_ref()),
    }
}

fn merge(shown: &mut InstanceUpdate, update: InstanceUpdate) {
    shown.join_status = update.join_status.or(shown.join_status);
    shown.join_params = update.join_params.or(shown.join_params.take());
    shown.version = update.version.or(shown.version.take());
    shown.custom_data = update.custom_data.or(shown.custom_data.take());
    shown.match_id = update.match_id.or(shown.match_id.take());
}

fn status_name(status: JoinStatus) -> &'static str {
    match status {
        JoinStatus::Requested => "requested",
        JoinStatus::Allocated => "allocated",
        JoinStatus::Pending => "pending",
        JoinStatus::Joinable => "joinable",
        JoinStatus::Unjoinable => "unjoinable",
        JoinStatus::Closed => "closed",
    }
}

/// The names of notes are few; a journal may hold one that this version doesn't know.
fn note_name(name: &str) -> &'static str {
    const NAMES: [&str; 4] = ["unhealthy", "drain", "failed", "note"];
    NAMES.into_iter().find(|known| *known == name).unwrap_or("note")
}
