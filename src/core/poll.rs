//! The session, read again and again while it is served; and whether it is still there.
//!
//! | link | answers `session_not_found` | any other answer |
//! |---|---|---|
//! | `Held` | → `Doubtful` (1) | – |
//! | `Doubtful` | counted; the third, 60 s or more after the first: *lost* | → `Held` |
//!
//! Lost: `finish` and the match plays on, `Gone`; `recreate` makes a new session; `drain`; `stop`. Nothing else says that a
//! session is gone: no other 404, no refused credentials, no silence.

use super::{
    clock::{When, earliest},
    engine::{Core, Purpose},
    state::{Link, Phase, Then},
};
use crate::model::{
    calls::{Answer, Call, Refusal},
    game::GameNotice,
    ids::InstanceId,
    policy::OnSessionLost,
    session::{JoinStatus, Session},
};
use std::time::Duration;

const CONFIRM_ANSWERS: u32 = 3;
const CONFIRM_SPAN: Duration = Duration::from_secs(60);
/// How often a doubtful session is read.
const CONFIRM_POLL: Duration = Duration::from_secs(20);
/// What counts as another answer, rather than the same one twice.
const APART: Duration = Duration::from_secs(10);

/// When the session is read next.
#[derive(Debug, Default)]
pub(super) struct Poll {
    at: Option<When>,
    asap: bool,
    under_way: bool,
}

impl Poll {
    pub fn now(&mut self) {
        self.asap = true;
    }
}

impl Core {
    fn polled(&self) -> bool {
        matches!(self.state.phase, Phase::Starting(_) | Phase::Serving(_) | Phase::Draining(..))
            && self.linked().is_some()
    }

    pub(super) fn poll_tick(&mut self) {
        let due = self.poll.asap || self.poll.at.is_none_or(|at| self.now >= at);
        if !due || self.poll.under_way || !self.polled() {
            return;
        }
        let Some(game) = self.state.phase.game() else { return };
        let session = game.session.clone();
        let doubtful = matches!(game.link, Link::Doubtful { .. });
        let every = if doubtful { CONFIRM_POLL.min(self.settings.poll) } else { self.settings.poll };
        self.poll.asap = false;
        self.poll.under_way = true;
        self.poll.at = Some(self.now + self.jitter.earlier(every, if doubtful { 0.0 } else { 0.1 }));
        self.call(Call::ReadSession { session }, Purpose::Poll);
    }

    pub(super) fn poll_deadline(&self) -> Option<When> {
        self.poll.at.filter(|_| !self.poll.under_way && self.polled())
    }

    pub(super) fn poll_answered(&mut self, answer: Result<Answer, Refusal>) {
        self.poll.under_way = false;
        let Some(instance) = self.state.phase.game().map(|game| game.instance.clone()) else { return };
        match answer {
            Ok(Answer::Session(session)) => {
                if self.state.phase.game().is_some_and(|game| game.session != session.session_id) {
                    return;
                }
                self.link_held(&instance);
                self.session_read(&session);
                self.instance_shown(&instance, &session);
            }
            Ok(_) => {
                self.link_held(&instance);
                self.judge_players(true);
            }
            Err(Refusal::SessionNotFound) => self.session_not_found(&instance),
            Err(_) => {}
        }
    }

    /// A fresh reading of our session, for whatever reason it was read.
    pub(super) fn session_read(&mut self, session: &Session) {
        if self.state.phase.game().is_none_or(|game| game.session != session.session_id) {
            return;
        }
        self.session = Some(session.clone());
        self.backfill_seen(session);
        self.judge_players(true);
    }

    /// Somebody else closed our instance, or replaced it.
    fn instance_shown(&mut self, instance: &InstanceId, session: &Session) {
        let busy = self.lane(instance).is_none_or(|lane| !lane.is_posted() || lane.is_closing());
        let shown = session.instance.as_ref().filter(|info| info.instance_id == *instance);
        let closed = shown.is_some_and(|info| info.join_status == JoinStatus::Closed);
        if !busy && closed {
            self.taken_away(instance, "the session service closed the instance");
        } else if !busy && shown.is_none() && session.instance.is_some() {
            self.taken_away(instance, "the session has another instance");
        }
    }

    /// Any sign that the session is there.
    pub(super) fn link_held(&mut self, instance: &InstanceId) {
        if let Some(game) = self.state.phase.game_mut().filter(|game| game.instance == *instance)
            && matches!(game.link, Link::Doubtful { .. })
        {
            game.link = Link::Held;
        }
    }

    pub(super) fn session_not_found(&mut self, instance: &InstanceId) {
        let now = self.now;
        let Some(game) = self.state.phase.game_mut().filter(|game| game.instance == *instance) else { return };
        let confirmed = match &mut game.link {
            link @ Link::Held => {
                *link = Link::Doubtful { first: now, last: now, answers: 1 };
                self.poll.at = Some(now + CONFIRM_POLL);
                self.happened("session_doubtful", "the session service doesn't know the session; asking again", &[]);
                false
            }
            Link::Doubtful { first, last, answers } => {
                if now.since(*last) >= APART {
                    *last = now;
                    *answers += 1;
                }
                *answers >= CONFIRM_ANSWERS && now.since(*first) >= CONFIRM_SPAN
            }
            Link::Recreating | Link::Gone => false,
        };
        if confirmed {
            self.session_lost(instance);
        }
    }

    fn session_lost(&mut self, instance: &InstanceId) {
        let Some(game) = self.state.phase.game_mut() else { return };
        let own = game.own;
        game.link = Link::Gone;
        self.state.lanes.retain(|lane| lane.instance != *instance);
        self.session = None;
        self.backfill.reset();
        let policy = match self.settings.session.on_lost {
            Some(OnSessionLost::Recreate) | None if own => OnSessionLost::Recreate,
            Some(OnSessionLost::Recreate) | None => OnSessionLost::Finish,
            Some(policy @ (OnSessionLost::Finish | OnSessionLost::Drain | OnSessionLost::Stop)) => policy,
        };
        let reason = "the session is gone";
        self.happened("session_lost", format!("{reason}; confirmed by {CONFIRM_ANSWERS} answers"), &[]);
        self.tell(GameNotice::SessionLost);
        match policy {
            OnSessionLost::Drain => self.drain(reason, Then::Recycle),
            OnSessionLost::Stop => self.stop_process(reason, Then::Recycle, None),
            OnSessionLost::Recreate if matches!(self.state.phase, Phase::Starting(_) | Phase::Serving(_)) => {
                if let Some(game) = self.state.phase.game_mut() {
                    game.link = Link::Recreating;
                }
                self.acquire.retry_at = None;
                self.acquire.under_way = false;
            }
            OnSessionLost::Recreate | OnSessionLost::Finish => {}
        }
    }

    /// Makes the new session.
    pub(super) fn link_tick(&mut self) {
        let (Phase::Starting(game) | Phase::Serving(game)) = &self.state.phase else { return };
        let waits = self.acquire.under_way || self.acquire.retry_at.is_some_and(|at| self.now < at);
        if game.link != Link::Recreating || waits {
            return;
        }
        let call = self.new_session(&game.allocation);
        self.acquire.under_way = true;
        self.call(call, Purpose::Recreate);
    }

    pub(super) fn link_deadline(&self) -> Option<When> {
        let recreating = self.state.phase.game().is_some_and(|game| game.link == Link::Recreating);
        earliest([self.acquire.retry_at.filter(|_| recreating && !self.acquire.under_way)])
    }
}
