//! A registered server: what it was given, what was heard of it, and its row in the store.
//!
//! | after | a server |
//! |---|---|
//! | `poll_gap`, or `registration_ttl` if it never used a long poll | isn't handed out |
//! | two missed polls | is silent: another life of it takes over, an allocation that it hasn't taken moves on |
//! | ten minutes, unless it holds an allocation | is gone |
//!
//! Stored is what it registered with, and whether it has to register again; an allocation is found
//! in its session. What was heard counts from a start of the service.

use crate::{
    model::{
        ids::{AllocationId, SessionId},
        sic::RegisterItem,
        time::Instant,
    },
    service::settings::AllocationSettings,
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;

/// What a server has been given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerState {
    Free,
    Held {
        allocation: AllocationId,
        session: SessionId,
        told: bool,
    },
    /// Its allocation is over; it must register to get another.
    Over,
}

#[derive(Debug, Clone)]
pub struct Server {
    pub registration: RegisterItem,
    pub incarnation: Incarnation,
    /// The credential that registered it.
    pub subject: String,
    pub state: ServerState,
    /// The last register or state call.
    pub seen: Instant,
    /// The last state call, in this incarnation.
    polled: Option<Instant>,
    /// Between the last two state calls.
    interval: Option<Duration>,
    /// Open long polls.
    pub waiting: u32,
    /// Whether it has used a long poll in this incarnation.
    pub long_polls: bool,
    /// It let an allocation lie, and nothing was heard of it since.
    pub unresponsive: bool,
    /// Grows with each time it became free: fairness.
    pub free_since: u64,
    /// Wakes its long polls.
    pub woken: Arc<Notify>,
}

/// An open long poll of a server: of that registration, and of no other that has its id later.
#[derive(Debug)]
pub struct Poll(pub(super) Arc<Notify>);

/// One life of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Incarnation {
    /// As the server itself calls it.
    Named(String),
    /// As the service calls it, since the server doesn't.
    Given(String),
}

impl Incarnation {
    pub fn as_str(&self) -> &str {
        match self {
            Incarnation::Named(name) | Incarnation::Given(name) => name,
        }
    }

    /// Whether a registration comes from this life, as far as it says.
    pub(super) fn is_of(&self, registration: &RegisterItem) -> bool {
        match (&registration.incarnation, self) {
            (Some(named), own) => named.as_str() == own.as_str(),
            (None, Incarnation::Given(_)) => true,
            (None, Incarnation::Named(_)) => false,
        }
    }
}

/// A server's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ServerRow {
    registration: RegisterItem,
    incarnation: Incarnation,
    subject: String,
    /// Its allocation is over, and it hasn't registered since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    over: bool,
    free_since: u64,
}

/// After so much silence a server is gone.
const LAPSES_AFTER: Duration = Duration::from_secs(600);

impl Server {
    pub(super) fn new(
        registration: RegisterItem,
        incarnation: Incarnation,
        subject: &str,
        now: Instant,
        count: u64,
    ) -> Server {
        Server {
            registration,
            incarnation,
            subject: subject.to_owned(),
            state: ServerState::Free,
            seen: now,
            polled: None,
            interval: None,
            waiting: 0,
            long_polls: false,
            unresponsive: false,
            free_since: count,
            woken: Arc::default(),
        }
    }

    /// As it stands in the store.
    pub(super) fn stored(row: ServerRow, now: Instant) -> Server {
        let ServerRow { registration, incarnation, subject, over, free_since } = row;
        let state = if over { ServerState::Over } else { ServerState::Free };
        Server { state, ..Server::new(registration, incarnation, &subject, now, free_since) }
    }

    /// Whether both have the same row.
    pub(super) fn is_stored_as(&self, other: &Server) -> bool {
        let over = |server: &Server| server.state == ServerState::Over;
        let place = |server: &Server| (server.free_since, over(server));
        place(self) == place(other)
            && self.incarnation == other.incarnation
            && self.subject == other.subject
            && self.registration == other.registration
    }

    pub(super) fn row(&self) -> ServerRow {
        ServerRow {
            registration: self.registration.clone(),
            incarnation: self.incarnation.clone(),
            subject: self.subject.clone(),
            over: self.state == ServerState::Over,
            free_since: self.free_since,
        }
    }

    /// It asks for its state.
    pub(super) fn polls(&mut self, now: Instant) {
        self.interval = self.polled.map(|before| now.since(before)).or(self.interval);
        self.polled = Some(now);
        self.seen = now;
        self.unresponsive = false;
    }

    /// How long it takes to miss two polls: at a pace that isn't known, as long as it is handed out.
    pub(super) fn two_polls(&self, settings: &AllocationSettings) -> Duration {
        let least = settings.poll_gap.get() * 2;
        let most = settings.registration_ttl.get().max(least);
        match self.interval {
            _ if self.long_polls => least,
            Some(interval) => (interval * 2).clamp(least, most),
            None => most,
        }
    }

    pub(super) fn is_silent(&self, now: Instant, settings: &AllocationSettings) -> bool {
        self.waiting == 0 && now.since(self.seen) >= self.two_polls(settings)
    }

    /// Whether nothing was heard of it for so long that it is gone.
    pub(super) fn has_lapsed(&self, now: Instant) -> bool {
        let held = matches!(self.state, ServerState::Held { .. });
        !held && self.waiting == 0 && now.since(self.seen) >= LAPSES_AFTER
    }

    /// Whether another life takes over at once, also while this one is heard: it shows this one. A life without a name of its own
    /// comes again when its allocation is over.
    pub(super) fn gives_way_to(&self, next: &RegisterItem) -> bool {
        let shown = next.previous_incarnation.as_ref().map(ToString::to_string);
        let again = self.state == ServerState::Over && self.incarnation.is_of(next);
        again || shown.as_deref() == Some(self.incarnation.as_str())
    }

    /// Another life begins.
    pub(super) fn begin(&mut self, incarnation: Incarnation, count: u64) {
        self.incarnation = incarnation;
        (self.polled, self.interval, self.long_polls) = (None, None, false);
        self.free(count);
    }

    pub(super) fn free(&mut self, count: u64) {
        self.state = ServerState::Free;
        self.free_since = count;
    }

    /// Whether it may be handed out: it is free, and was heard of lately; a server that uses long polls has one open, or had
    /// one a moment ago.
    pub fn is_available(&self, now: Instant, settings: &AllocationSettings) -> bool {
        let silence = if self.long_polls { settings.poll_gap } else { settings.registration_ttl };
        let heard = self.waiting > 0 || now.since(self.seen) <= silence.get();
        self.state == ServerState::Free && !self.unresponsive && heard
    }

    /// A tag of `group_tags` (`profile_id:P,server_id:S,hostname:H`).
    pub fn tag(&self, name: &str) -> Option<&str> {
        let tags = self.registration.group_tags.split(',').filter_map(|tag| tag.trim().split_once(':'));
        tags.filter(|(key, _)| *key == name).map(|(_, value)| value).find(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::settings::ServiceSettings;

    fn server() -> Server {
        let registration = RegisterItem {
            id: "sic_h_1".into(),
            group_tags: "profile_id:p,server_id:box-1,hostname:h".into(),
            ..RegisterItem::default()
        };
        Server::new(registration, Incarnation::Given("i".into()), "client:a", at(0.0), 0)
    }

    fn at(seconds: f64) -> Instant {
        Instant(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn tags_are_found_by_name() {
        assert_eq!(server().tag("server_id"), Some("box-1"));
        assert_eq!(server().tag("region"), None);
    }

    /// Between polls, with long polls or without, and after how many seconds two were missed.
    #[test]
    fn a_server_is_silent_when_it_has_missed_two_polls() {
        let settings = ServiceSettings::default().allocation;
        for (interval, long_polls, silent) in [
            (None, false, 60.0),
            (Some(1.0), false, 10.0),
            (Some(8.0), false, 16.0),
            (Some(50.0), false, 60.0),
            (Some(8.0), true, 10.0),
        ] {
            let mut server = server();
            let mut last = 0.0;
            if let Some(interval) = interval {
                server.polls(at(3.0));
                server.polls(at(3.0 + interval));
                last = 3.0 + interval;
            }
            server.long_polls = long_polls;
            let seen = [last + silent - 0.1, last + silent].map(|now| server.is_silent(at(now), &settings));
            assert_eq!(seen, [false, true], "{interval:?} {long_polls}");
            server.waiting = 1;
            assert!(!server.is_silent(at(1000.0), &settings), "a poll of it is open");
        }
    }
}
