//! Watches whether the session service can be reached, and notices at once when it is back.
//!
//! ```text
//!                a call got no clear answer,
//!                or none within a second
//!     settled ─────────────────────────────────► in doubt: probes, each over a connection of its own,
//!        ▲                                        │   at 0, then after 0.1 s, 0.2 s, … 1.5 s (jittered)
//!        │   a clear answer, to a probe or a call │
//!        └────────────────────────────────────────┘ a probe fails, or 5 s of silence: Backend::Away
//! ```
//!
//! While the network swallows probes, several are outstanding. The first that is answered shows
//! that the service is back. An exchange that began before that probe and has no answer is
//! abandoned, since its connection may lead nowhere: it ends as ambiguous, and the core reads back.
//! A service that is merely slow answers in the order of the questions, and nothing is abandoned.
//!
//! Trouble with one route alone doesn't make the service away: the probe is answered, and the
//! core's own back-off does.
//!
//! | the service answers | then |
//! |---|---|
//! | anything that the contract knows | it is there |
//! | login refused | [`Backend::Refused`]; tried again as often as when it is away, with the credentials read anew |
//! | 429, or 503 with Retry-After | away, and no probe before that time |
//! | 5xx, garbage, a 404 that isn't the contract's | away |

use super::transport::TransportError;
use crate::{
    host::clock,
    model::{
        backoff::{Backoff, earlier},
        calls::{Backend, Refusal},
        time::Timestamp,
    },
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use reqwest::Client;
use std::{future::Future, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// A call that takes longer is reason to look whether the service is there at all.
const SLOW: Duration = Duration::from_secs(1);
/// After this long without any answer, good or bad, the service is away.
const SILENCE: Duration = Duration::from_secs(5);
/// Between probes.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_millis(1500);
/// A probe after a Retry-After is up to this much later than asked for, so that a fleet doesn't come back at once.
const SPREAD: Duration = Duration::from_millis(250);
/// Probes under way at a time.
const MAX_PROBES: usize = 8;
/// A probe that overtakes one sent this much earlier shows that the earlier one is lost.
const OVERTAKEN: Duration = Duration::from_millis(250);

/// What an exchange shows about the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HealthSignal {
    /// It is there, whatever it answered.
    Alive,
    /// It refuses our login, or the token that it has just given.
    LoginRefused(String),
    /// No clear answer. `wait`: how long it asked to be left alone.
    Trouble { why: String, wait: Option<Duration> },
}

impl HealthSignal {
    /// What a refusal shows. One for credentials means here that a permission is missing: we are logged in.
    pub(super) fn of(refusal: &Refusal) -> HealthSignal {
        let wait = match refusal {
            Refusal::Busy { retry_after } => *retry_after,
            _ => None,
        };
        match refusal {
            Refusal::NoSuchApi | Refusal::Busy { .. } | Refusal::Unreachable { .. } | Refusal::Ambiguous { .. } => {
                HealthSignal::Trouble { why: refusal.to_string(), wait }
            }
            Refusal::SessionNotFound
            | Refusal::NotFound { .. }
            | Refusal::Conflict { .. }
            | Refusal::Credentials { .. }
            | Refusal::Invalid { .. }
            | Refusal::Gone => HealthSignal::Alive,
        }
    }
}

/// Whether an exchange that takes long is reason for doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeoutClass {
    /// It is, after a second.
    Short,
    /// It isn't: silence is what a long poll is for.
    Long,
}

/// The client whose service is watched.
pub(super) trait Probing: Sync {
    /// A client that makes a connection of its own for each probe.
    fn fresh_client(&self) -> Result<Client, TransportError>;

    /// Asks a cheap question through a fresh client.
    fn probe(&self, fresh: Client) -> impl Future<Output = HealthSignal> + Send;

    /// Lets go of the kept connection: it may lead nowhere.
    fn drop_connection(&self);
}

/// What is known about the service.
#[derive(Debug)]
pub(super) struct AvailabilityMonitor {
    backend: watch::Sender<Backend>,
    /// An exchange that began before this and has no answer yet is abandoned.
    abandoned_before: watch::Sender<Instant>,
    /// When the latest exchange began that was answered clearly.
    last_answered: watch::Sender<Instant>,
    /// When the exchange began that raised a doubt which nobody has looked into yet.
    doubt: watch::Sender<Option<Instant>>,
}

impl Default for AvailabilityMonitor {
    fn default() -> Self {
        let now = Instant::now();
        AvailabilityMonitor {
            backend: watch::Sender::new(Backend::Untried),
            abandoned_before: watch::Sender::new(now),
            last_answered: watch::Sender::new(now),
            doubt: watch::Sender::new(None),
        }
    }
}

impl AvailabilityMonitor {
    pub(super) fn backend(&self) -> watch::Receiver<Backend> {
        self.backend.subscribe()
    }

    /// Why our login is refused, while it is.
    pub(super) fn login_refused(&self) -> Option<String> {
        match &*self.backend.borrow() {
            Backend::Refused { why, .. } => Some(why.clone()),
            Backend::Untried | Backend::Up | Backend::Away { .. } => None,
        }
    }

    /// Sees an exchange through that began at `begun`; none if it was abandoned.
    pub(super) async fn supervise<T>(
        &self,
        begun: Instant,
        class: TimeoutClass,
        exchange: impl Future<Output = T>,
    ) -> Option<T> {
        let mut abandoned_before = self.abandoned_before.subscribe();
        let slow = sleep_until(begun + SLOW);
        tokio::pin!(exchange, slow);
        let mut doubted = class == TimeoutClass::Long;
        loop {
            tokio::select! {
                biased;
                outcome = &mut exchange => return Some(outcome),
                _ = abandoned_before.wait_for(|before| *before > begun) => return None,
                () = &mut slow, if !doubted => {
                    doubted = true;
                    self.raise_doubt(begun);
                }
            }
        }
    }

    /// Takes note of what an exchange that began at `begun` showed.
    pub(super) fn note(&self, begun: Instant, signal: &HealthSignal) {
        match signal {
            HealthSignal::Alive => self.answered(begun),
            HealthSignal::LoginRefused(why) => {
                self.set(|since| Backend::Refused { since, why: why.clone() });
                self.raise_doubt(begun);
            }
            HealthSignal::Trouble { .. } => self.raise_doubt(begun),
        }
    }

    /// Looks for the service whenever there is doubt; never ends.
    pub(super) async fn watch(&self, client: &impl Probing) {
        loop {
            self.doubted().await;
            Outage::begin(self, client).run().await;
        }
    }

    /// Doubt is pointless where an exchange that began later has been answered.
    fn raise_doubt(&self, begun: Instant) {
        if *self.last_answered.borrow() <= begun {
            self.doubt.send_replace(Some(begun));
        }
    }

    /// Waits for a doubt that nothing has settled since.
    async fn doubted(&self) {
        let mut doubt = self.doubt.subscribe();
        let unsettled = |at: &Option<Instant>| at.is_some_and(|begun| *self.last_answered.borrow() <= begun);
        let _ = doubt.wait_for(unsettled).await; // The sender is ours.
        self.doubt.send_replace(None);
    }

    /// An exchange that began at `begun` was answered.
    fn answered(&self, begun: Instant) {
        if self.is_known_away() {
            self.abandon(begun);
        }
        self.last_answered.send_modify(|last| *last = begun.max(*last));
        self.set(|_| Backend::Up);
    }

    fn is_known_away(&self) -> bool {
        match &*self.backend.borrow() {
            Backend::Away { .. } | Backend::Refused { .. } => true,
            Backend::Untried | Backend::Up => false,
        }
    }

    fn abandon(&self, before: Instant) {
        self.abandoned_before.send_modify(|held| *held = before.max(*held));
    }

    /// Keeps `since` for as long as the state stays the same one, and tells nobody where nothing changed.
    fn set(&self, make: impl FnOnce(Timestamp) -> Backend) {
        self.backend.send_if_modified(|held| {
            let mut new = make(clock::wall());
            match (&*held, &mut new) {
                (Backend::Away { since: held, .. }, Backend::Away { since, .. })
                | (Backend::Refused { since: held, .. }, Backend::Refused { since, .. }) => *since = *held,
                _ => {}
            }
            let changed = *held != new;
            *held = new;
            changed
        });
    }
}

/// One time of doubt.
struct Outage<'a, C> {
    monitor: &'a AvailabilityMonitor,
    client: &'a C,
    begun: Instant,
    backoff: Backoff,
    next: Instant,
    /// When the probes under way were sent, in that order.
    outstanding: Vec<Instant>,
}

impl<'a, C: Probing> Outage<'a, C> {
    fn begin(monitor: &'a AvailabilityMonitor, client: &'a C) -> Self {
        let now = Instant::now();
        Outage { monitor, client, begun: now, backoff: Backoff::default(), next: now, outstanding: Vec::new() }
    }

    async fn run(mut self) {
        let mut last_answered = self.monitor.last_answered.subscribe();
        let fresh = loop {
            match self.client.fresh_client() {
                Ok(fresh) => break fresh,
                Err(_) => sleep_until(self.pause()).await, // Out of descriptors, say.
            }
        };
        let mut probes = FuturesUnordered::new();
        loop {
            let quiet = self.begun + SILENCE;
            tokio::select! {
                biased;
                Some((sent, signal)) = probes.next() => {
                    if self.learn(sent, signal) {
                        return;
                    }
                }
                _ = last_answered.wait_for(|begun| *begun > self.begun) => return,
                () = sleep_until(self.next), if probes.len() < MAX_PROBES => {
                    let (sent, client, fresh) = (Instant::now(), self.client, fresh.clone());
                    self.outstanding.push(sent);
                    self.next = self.pause();
                    probes.push(async move { (sent, client.probe(fresh).await) });
                }
                () = sleep_until(quiet), if !self.monitor.is_known_away() => {
                    let why = format!("no answer for {} s", SILENCE.as_secs());
                    self.monitor.set(|since| Backend::Away { since, why });
                }
            }
        }
    }

    /// When the next probe goes out.
    fn pause(&mut self) -> Instant {
        Instant::now() + self.backoff.next(FIRST_PAUSE, LAST_PAUSE, rand::random())
    }

    /// Takes note of a probe's outcome. True: the doubt is over.
    fn learn(&mut self, sent: Instant, signal: HealthSignal) -> bool {
        self.outstanding.retain(|other| *other != sent);
        match signal {
            HealthSignal::Alive => {
                let overtook = self.outstanding.iter().any(|earlier| *earlier + OVERTAKEN <= sent);
                if overtook || self.monitor.is_known_away() {
                    self.monitor.abandon(sent);
                    self.client.drop_connection();
                }
                self.monitor.answered(sent);
                return true;
            }
            HealthSignal::LoginRefused(why) => self.monitor.set(|since| Backend::Refused { since, why }),
            HealthSignal::Trouble { why, wait } => {
                self.monitor.set(|since| Backend::Away { since, why });
                if let Some(wait) = wait {
                    let later = wait + earlier(SPREAD, 1.0, rand::random());
                    self.next = self.next.max(Instant::now() + later);
                }
            }
        }
        false
    }
}
