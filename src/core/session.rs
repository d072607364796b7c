//! The session: read again and again while it is served; and whether it is still there.
//!
//! | link | answers `session_not_found` | any other answer |
//! |---|---|---|
//! | `Held` | → `Doubtful` (1) | – |
//! | `Doubtful` | counted; the third, 60 s or more after the first: *lost* | → `Held` |
//!
//! Lost: `finish` and the match plays on, `Gone`; `recreate` makes a new session; `drain`; `stop`.
//! Nothing else says that a session is gone: no other 404, no refused credentials, no silence.

use super::{
    decisions::{Decisions, Purpose},
    facts::{Facts, Phase},
    revision::{Revision, Tracked},
    signal::{AfterLoss, Signal},
    steady_time::SteadyTime,
};
use crate::model::{
    calls::{Answer, Backend, Call, Refusal},
    game::GameNotice,
    ids::InstanceId,
    policy::OnSessionLost,
    session::{JoinStatus, Session},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

const CONFIRM_ANSWERS: u32 = 3;
const CONFIRM_SPAN: Duration = Duration::from_secs(60);
/// How often a doubtful session is read.
const CONFIRM_POLL: Duration = Duration::from_secs(20);
/// Answers that come sooner after one another count as one.
const APART: Duration = Duration::from_secs(10);

/// How the match is tied to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SessionLink {
    #[default]
    Held,
    /// `session_not_found` was answered; it isn't confirmed yet.
    Doubtful { first: SteadyTime, last: SteadyTime, answers: u32 },
    /// A new session is being made for the match.
    Recreating,
    /// The session is gone; the match plays on.
    Gone,
}

/// What other machines know of it.
#[derive(Debug, Clone, Default)]
pub(super) struct SessionFacts {
    /// As it was read last.
    pub reading: Option<Arc<Session>>,
    pub link: SessionLink,
    /// The service is up and accepts our login, as far as is known.
    pub service_works: bool,
}

#[derive(Debug)]
pub(super) enum SessionEvent {
    /// The answer to our own reading.
    Polled(Result<Answer, Refusal>),
    /// It was read for another reason.
    Read(Box<Session>),
    /// Any sign that the session is there.
    Answered {
        instance: InstanceId,
    },
    NotFound {
        instance: InstanceId,
    },
    /// The instance is no longer ours.
    Gone,
    /// A match begins, ends, or goes on in another session.
    Changed,
    ReadSoon,
    Backend(Backend),
    Tick,
}

#[derive(Debug)]
pub(super) struct SessionMachine {
    link: Tracked<SessionLink>,
    reading: Tracked<Option<Arc<Session>>>,
    backend: Tracked<Backend>,
    next_poll: Option<SteadyTime>,
    soon: bool,
    under_way: bool,
}

impl SessionMachine {
    pub(super) fn restore(link: SessionLink) -> Self {
        SessionMachine {
            link: Tracked::new(link),
            reading: Tracked::new(None),
            backend: Tracked::new(Backend::Untried),
            next_poll: None,
            soon: false,
            under_way: false,
        }
    }

    pub(super) fn recall(&mut self, link: SessionLink) {
        *self.link.edit() = link;
    }

    pub(super) fn revision(&self) -> Revision {
        Revision { durable: self.link.changes(), visible: self.reading.changes() + self.backend.changes() }
    }

    pub(super) fn facts(&self) -> SessionFacts {
        let service_works = match &*self.backend {
            Backend::Untried | Backend::Up => true,
            Backend::Away { .. } | Backend::Refused { .. } => false,
        };
        SessionFacts { reading: self.reading.clone(), link: *self.link, service_works }
    }

    pub(super) fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(super) fn on(&mut self, event: SessionEvent, facts: &Facts, decisions: &mut Decisions) {
        match event {
            SessionEvent::Polled(answer) => self.polled(answer, facts, decisions),
            SessionEvent::Read(session) => self.read(session, facts, decisions),
            SessionEvent::Answered { instance } => self.answered(&instance, facts),
            SessionEvent::NotFound { instance } => self.not_found(&instance, facts, decisions),
            SessionEvent::Gone => self.link.set(SessionLink::Gone),
            SessionEvent::Changed => {
                self.link.set(SessionLink::Held);
                self.reading.set(None);
                self.soon = true;
            }
            SessionEvent::ReadSoon => self.soon = true,
            SessionEvent::Backend(backend) => self.backend_changed(backend, decisions),
            SessionEvent::Tick => self.tick(facts, decisions),
        }
    }

    /// When [`SessionEvent::Tick`] does something next.
    pub(super) fn next_deadline(&self, facts: &Facts) -> Option<SteadyTime> {
        self.next_poll.filter(|_| !self.under_way && is_polled(facts))
    }

    fn tick(&mut self, facts: &Facts, decisions: &mut Decisions) {
        let due = self.soon || self.next_poll.is_none_or(|at| facts.now >= at);
        if !due || self.under_way || !is_polled(facts) {
            return;
        }
        let Some(game) = &facts.game.game else { return };
        let doubtful = matches!(*self.link, SessionLink::Doubtful { .. });
        let (every, share) =
            if doubtful { (CONFIRM_POLL.min(facts.settings.poll), 0.0) } else { (facts.settings.poll, 0.1) };
        self.soon = false;
        self.under_way = true;
        self.next_poll = Some(facts.now + decisions.jitter.earlier(every, share));
        decisions.call(Call::ReadSession { session: game.session.clone() }, Purpose::Poll);
    }

    fn polled(&mut self, answer: Result<Answer, Refusal>, facts: &Facts, decisions: &mut Decisions) {
        self.under_way = false;
        let Some(game) = facts.game.game.clone() else { return };
        match answer {
            Ok(Answer::Session(session)) if game.session == session.session_id => {
                self.answered(&game.instance, facts);
                let taken_away = taken_away(&game.instance, &session, facts);
                self.read(session, facts, decisions);
                if let Some(why) = taken_away {
                    decisions.signal(Signal::TakenAway { instance: game.instance.clone(), why: why.to_owned() });
                }
            }
            Ok(Answer::Session(_)) => {}
            Ok(_) => {
                self.answered(&game.instance, facts);
                decisions.signal(Signal::SessionUnchanged);
            }
            Err(Refusal::SessionNotFound) => self.not_found(&game.instance, facts, decisions),
            Err(_) => {}
        }
    }

    /// A fresh reading of our session, for whatever reason it was read.
    fn read(&mut self, session: Box<Session>, facts: &Facts, decisions: &mut Decisions) {
        if facts.game.game.as_ref().is_none_or(|game| game.session != session.session_id) {
            return;
        }
        self.reading.set(Some(Arc::new(session.as_ref().clone())));
        decisions.signal(Signal::Reading(session));
    }

    fn answered(&mut self, instance: &InstanceId, facts: &Facts) {
        if facts.is_current(instance) && matches!(*self.link, SessionLink::Doubtful { .. }) {
            self.link.set(SessionLink::Held);
        }
    }

    fn not_found(&mut self, instance: &InstanceId, facts: &Facts, decisions: &mut Decisions) {
        if !facts.is_current(instance) {
            return;
        }
        let now = facts.now;
        match *self.link {
            SessionLink::Held => {
                self.link.set(SessionLink::Doubtful { first: now, last: now, answers: 1 });
                self.next_poll = Some(now + CONFIRM_POLL);
                decisions.timeline(
                    "session_doubtful",
                    "the session service doesn't know the session; asking again",
                    &[],
                );
            }
            SessionLink::Doubtful { first, mut last, mut answers } => {
                if now.since(last) >= APART {
                    last = now;
                    answers += 1;
                }
                self.link.set(SessionLink::Doubtful { first, last, answers });
                if answers >= CONFIRM_ANSWERS && now.since(first) >= CONFIRM_SPAN {
                    self.lost(instance, facts, decisions);
                }
            }
            SessionLink::Recreating | SessionLink::Gone => {}
        }
    }

    fn lost(&mut self, instance: &InstanceId, facts: &Facts, decisions: &mut Decisions) {
        let own = facts.game.game.as_ref().is_some_and(|game| game.own);
        let under_way = matches!(facts.phase(), Phase::Starting | Phase::Serving);
        let then = match facts.settings.session.on_lost {
            Some(OnSessionLost::Recreate) | None if own && under_way => AfterLoss::Recreate,
            Some(OnSessionLost::Recreate | OnSessionLost::Finish) | None => AfterLoss::PlayOn,
            Some(OnSessionLost::Drain) => AfterLoss::Drain,
            Some(OnSessionLost::Stop) => AfterLoss::Stop,
        };
        let recreating = then == AfterLoss::Recreate;
        self.link.set(if recreating { SessionLink::Recreating } else { SessionLink::Gone });
        self.reading.set(None);
        let text = format!("the session is gone; confirmed by {CONFIRM_ANSWERS} answers");
        decisions.timeline("session_lost", text, &[]);
        if let Some(run) = facts.process.run {
            decisions.notify(run, GameNotice::SessionLost);
        }
        decisions.signal(Signal::SessionLost { instance: instance.clone(), then });
    }

    fn backend_changed(&mut self, backend: Backend, decisions: &mut Decisions) {
        match &backend {
            Backend::Up => {
                if !matches!(*self.backend, Backend::Untried | Backend::Up) {
                    decisions.timeline("backend_up", "the session service is back", &[]);
                }
                self.soon = true;
                decisions.signal(Signal::ServiceUp);
            }
            Backend::Away { why, .. } if !matches!(*self.backend, Backend::Away { .. }) => {
                let text = format!("the session service can't be reached: {why}; the game goes on");
                decisions.timeline("backend_away", text, &[]);
            }
            Backend::Refused { why, .. } if !matches!(*self.backend, Backend::Refused { .. }) => {
                let text = format!("the session service refuses our credentials: {why}; the game goes on");
                decisions.timeline("backend_refused", text, &[]);
            }
            Backend::Untried | Backend::Away { .. } | Backend::Refused { .. } => {}
        }
        self.backend.set(backend);
    }
}

fn is_polled(facts: &Facts) -> bool {
    matches!(facts.phase(), Phase::Starting | Phase::Serving | Phase::Draining) && facts.linked().is_some()
}

/// Somebody else closed our instance, or replaced it.
fn taken_away(instance: &InstanceId, session: &Session, facts: &Facts) -> Option<&'static str> {
    facts.outbox.of(instance).filter(|outbox| outbox.posted && !outbox.closing)?;
    let shown = session.instance.as_ref().filter(|info| info.instance_id == *instance);
    if shown.is_some_and(|info| info.join_status == JoinStatus::Closed) {
        Some("the session service closed the instance")
    } else if shown.is_none() && session.instance.is_some() {
        Some("the session has another instance")
    } else {
        None
    }
}
