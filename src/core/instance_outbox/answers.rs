//! What an answer means, for the outbox and for others.
//!
//! | answer to a write | then |
//! |---|---|
//! | taken | it is shown |
//! | ambiguous (lost, 5xx) | read back before the next write |
//! | unreachable, busy | the same again, later |
//! | credentials, forbidden | the same again, later; a write is read back before: perhaps the instance is gone, or another's |
//! | refused for good | a level is dropped, as the next may be accepted; `closed` is tried again |
//! | no longer ours | taken away; while closing: delivered |

use super::{
    InstanceOutbox, Item, Op,
    level::{level_of, merge},
};
use crate::core::{random::Jitter, steady_time::SteadyTime};
use crate::model::{
    calls::{Answer, Refusal},
    errors::codes,
    session::{JoinStatus, Session},
};
use std::time::Duration;

const FIRST_RETRY: Duration = Duration::from_millis(100);
/// While the service is away; `session_api` says when it is back, this is what remains if it doesn't.
const LAST_RETRY: Duration = Duration::from_millis(1500);
/// Attempts at what must not hold up the rest for ever: audit events and the browser's data.
const MAX_TRIES: u32 = 4;

/// Whether the service as such is up and accepts our login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServiceUp {
    Yes,
    No,
}

/// What an answer means for others than the outbox.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Nothing,
    /// The instance is there, as this.
    Posted,
    /// Now shown there.
    Shown(JoinStatus),
    /// The service refuses the instance altogether.
    PostRefused {
        why: String,
    },
    /// The service refuses it for now; it is tried again.
    Refused {
        why: String,
    },
    /// The service will never accept this level; it may accept the next.
    Dropped {
        why: String,
    },
    /// `session_not_found`, while the match goes on.
    SessionNotFound,
    /// The service closed the instance, or shows another.
    TakenAway {
        why: String,
    },
    /// The end is known there. The outbox goes.
    Delivered,
}

impl InstanceOutbox {
    /// Takes the answer to the request under way.
    pub(crate) fn answered(
        &mut self,
        answer: Result<&Answer, &Refusal>,
        service: ServiceUp,
        now: SteadyTime,
        jitter: &mut Jitter,
    ) -> Outcome {
        let Some(op) = self.under_way.take() else { return Outcome::Nothing };
        self.changed();
        match answer {
            Ok(answer) => {
                self.backoff.reset();
                self.retry_at = None;
                self.succeeded(op, answer)
            }
            Err(refusal) if self.is_hopeless(&op, refusal, service) => self.give_up(op, refusal.to_string()),
            Err(refusal) => self.failed(op, refusal, now, jitter),
        }
    }

    fn succeeded(&mut self, op: Op, answer: &Answer) -> Outcome {
        match op {
            Op::ReadBack => {
                self.must_read_back = false;
                if let Answer::Session(session) = answer { self.compare(session) } else { Outcome::Nothing }
            }
            Op::Confirm => {
                // Nothing has changed since the session was read last: it shows what it was told.
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
    fn is_hopeless(&mut self, op: &Op, refusal: &Refusal, service: ServiceUp) -> bool {
        let optional = matches!(op, Op::Audit | Op::Browser(_)) && service == ServiceUp::Yes;
        let lasting = matches!(refusal, Refusal::Credentials { .. } | Refusal::NoSuchApi | Refusal::Ambiguous { .. });
        self.tries = if optional && lasting { self.tries + 1 } else { 0 };
        self.tries >= MAX_TRIES
    }

    fn failed(&mut self, op: Op, refusal: &Refusal, now: SteadyTime, jitter: &mut Jitter) -> Outcome {
        let delay = self.backoff.next(FIRST_RETRY, LAST_RETRY, jitter);
        match refusal {
            Refusal::Unreachable { .. } | Refusal::NoSuchApi => {
                self.retry_at = Some(now + delay);
                Outcome::Nothing
            }
            Refusal::Credentials { .. } => {
                self.must_read_back |= matches!(op, Op::Close | Op::Patch(_) | Op::Browser(_));
                self.retry_at = Some(now + delay);
                Outcome::Nothing
            }
            Refusal::Busy { retry_after } => {
                self.retry_at = Some(now + retry_after.unwrap_or(delay).max(delay));
                Outcome::Nothing
            }
            Refusal::Ambiguous { .. } | Refusal::Gone => {
                self.must_read_back = self.must_read_back || !matches!(op, Op::Audit | Op::Confirm);
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

    /// The service refuses this very request.
    fn rejected(&mut self, op: Op, code: &str, desc: &str, now: SteadyTime) -> Outcome {
        const NO_LONGER_OURS: [&str; 4] =
            [codes::INSTANCE_CLOSED, codes::ALLOCATION_MISMATCH, codes::INSTANCE_MISMATCH, codes::NO_INSTANCE];
        let why = if desc.is_empty() { code.to_owned() } else { desc.to_owned() };
        match op {
            Op::Post if code == codes::INSTANCE_EXISTS => {
                // Perhaps it is ours, from an attempt whose answer was lost.
                self.retry_at = Some(now + FIRST_RETRY);
                if self.closing.is_some() || self.must_read_back {
                    Outcome::Delivered
                } else {
                    Outcome::PostRefused { why }
                }
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
}
