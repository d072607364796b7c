//! Whether the service is there, and the moment it is back.
//!
//! ```text
//!                 trouble: a call got no clear answer,
//!                 or none within a second
//!      calm ───────────────────────────────────────────► in doubt: probes, each over a connection of its own,
//!        ▲                                                │   at 0, then after 0.1 s, 0.2 s, … 1.5 s (jittered)
//!        │   a clear answer, to a probe or to a call      │
//!        └────────────────────────────────────────────────┘ a probe fails, or 5 s of silence: Backend::Away
//! ```
//!
//! While a black hole swallows probes, several are outstanding: the first that is answered tells that the service is back. What was
//! asked before it and has no answer then is void, since it may hang in a connection that leads nowhere; it ends as ambiguous, and
//! the core reads back. In a service that is merely slow, answers come in the order of the questions, and nothing is void.
//!
//! Trouble with one route alone doesn't make the service away: the probe is answered, and the core's own back-off is enough.
//!
//! | the service answers | then |
//! |---|---|
//! | anything that the contract knows | it is there |
//! | login refused | [`Backend::Refused`]; tried again as often as when it is away, with the credentials read anew |
//! | 429, or 503 with Retry-After | away, and no probe before that time |
//! | 5xx, garbage, a 404 that isn't the contract's | away |

use super::agent::Inner;
use crate::{
    host::clock,
    model::calls::{Backend, Refusal},
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// A call that takes longer is reason to look whether the service is there at all.
const SLOW: Duration = Duration::from_secs(1);
/// After this long without any answer, good or bad, the service is away.
const SILENCE: Duration = Duration::from_secs(5);
/// Between probes.
const FIRST_PACE: Duration = Duration::from_millis(100);
const LAST_PACE: Duration = Duration::from_millis(1500);
/// Probes under way at a time.
const MAX_PROBES: usize = 8;
/// A probe that overtakes one sent this much earlier shows that the earlier one is lost.
const OVERTAKEN: Duration = Duration::from_millis(250);

/// What an exchange shows about the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthSignal {
    /// It is there, whatever it answered.
    Life,
    /// It refuses our login, or the token that it has just given.
    LoginRefused(String),
    /// No clear answer.
    Trouble { why: String, wait: Option<Duration> },
}

impl HealthSignal {
    /// What a refusal shows; one for credentials here means that a permission is missing.
    pub fn of(refusal: &Refusal) -> HealthSignal {
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
            | Refusal::Gone => HealthSignal::Life,
        }
    }
}

/// How long a call may take before it raises doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeoutClass {
    Short,
    /// A long poll: silence is what it is for.
    Long,
}

/// What is known about the service.
#[derive(Debug)]
pub struct AvailabilityMonitor {
    backend: watch::Sender<Backend>,
    /// What was asked before this and has no answer yet is void.
    void_before: watch::Sender<Instant>,
    /// When the latest exchange began that was answered clearly.
    last_life: watch::Sender<Instant>,
    /// When the exchange began that raised the doubt not looked into yet.
    doubt: watch::Sender<Option<Instant>>,
}

impl Default for AvailabilityMonitor {
    fn default() -> Self {
        let now = Instant::now();
        AvailabilityMonitor {
            backend: watch::Sender::new(Backend::Untried),
            void_before: watch::Sender::new(now),
            last_life: watch::Sender::new(now),
            doubt: watch::Sender::new(None),
        }
    }
}

impl AvailabilityMonitor {
    pub fn backend(&self) -> watch::Receiver<Backend> {
        self.backend.subscribe()
    }

    /// Why our login is refused, while it is.
    pub fn login_refused(&self) -> Option<String> {
        match &*self.backend.borrow() {
            Backend::Refused { why, .. } => Some(why.clone()),
            Backend::Untried | Backend::Up | Backend::Away { .. } => None,
        }
    }

    /// Sees an exchange through; ends it early when it is void. `begun` is when it began.
    pub async fn watch_over<T>(
        &self,
        begun: Instant,
        patience: TimeoutClass,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let mut void_before = self.void_before.subscribe();
        let slow = sleep_until(begun + SLOW);
        tokio::pin!(work, slow);
        let mut waited = patience == TimeoutClass::Long;
        loop {
            tokio::select! {
                biased;
                outcome = &mut work => return Some(outcome),
                _ = void_before.wait_for(|void| *void > begun) => return None,
                () = &mut slow, if !waited => {
                    waited = true;
                    self.raise_doubt(begun);
                }
            }
        }
    }

    /// Takes note of how an exchange that began at `begun` ended.
    pub fn note(&self, begun: Instant, sign: &HealthSignal) {
        match sign {
            HealthSignal::Life => self.life(begun),
            HealthSignal::LoginRefused(why) => {
                self.set(|since| Backend::Refused { since, why: why.clone() });
                self.raise_doubt(begun);
            }
            HealthSignal::Trouble { .. } => self.raise_doubt(begun),
        }
    }

    /// Doubt is pointless where something asked later has been answered.
    fn raise_doubt(&self, begun: Instant) {
        if *self.last_life.borrow() <= begun {
            self.doubt.send_replace(Some(begun));
        }
    }

    /// Waits for a doubt that nothing has settled since.
    async fn doubted(&self) {
        let mut doubt = self.doubt.subscribe();
        let unsettled = |at: &Option<Instant>| at.is_some_and(|begun| *self.last_life.borrow() <= begun);
        let _ = doubt.wait_for(unsettled).await; // The sender is ours.
        self.doubt.send_replace(None);
    }

    /// Something that was asked at `asked` was answered.
    fn life(&self, asked: Instant) {
        let away = match &*self.backend.borrow() {
            Backend::Away { .. } | Backend::Refused { .. } => true,
            Backend::Untried | Backend::Up => false,
        };
        if away {
            self.void(asked);
        }
        self.last_life.send_modify(|last| *last = asked.max(*last));
        self.set(|_| Backend::Up);
    }

    fn void(&self, before: Instant) {
        self.void_before.send_modify(|void| *void = before.max(*void));
    }

    /// Keeps `since` for as long as the state stays the same one, and says nothing where nothing changed.
    fn set(&self, make: impl FnOnce(crate::model::time::Timestamp) -> Backend) {
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

/// Looks for the service whenever there is doubt, for as long as the agent uses it.
pub(super) async fn probe(inner: Arc<Inner>) {
    loop {
        inner.availability.doubted().await;
        Episode::begin(&inner).run().await;
    }
}

/// One time of doubt.
struct Episode<'a> {
    inner: &'a Arc<Inner>,
    begun: Instant,
    pace: Duration,
    next: Instant,
    /// When the probes under way were sent, in that order.
    outstanding: Vec<Instant>,
}

impl<'a> Episode<'a> {
    fn begin(inner: &'a Arc<Inner>) -> Self {
        let now = Instant::now();
        Episode { inner, begun: now, pace: FIRST_PACE, next: now, outstanding: Vec::new() }
    }

    async fn run(mut self) {
        let availability = &self.inner.availability;
        let mut last_life = availability.last_life.subscribe();
        let client = loop {
            match self.inner.api.transport.fresh() {
                Ok(client) => break client,
                Err(_) => sleep_until(self.pace()).await, // Out of descriptors, say.
            }
        };
        let mut probes = FuturesUnordered::new();
        loop {
            let quiet = self.begun + SILENCE;
            tokio::select! {
                biased;
                Some((sent, sign)) = probes.next() => {
                    if self.learn(sent, sign) {
                        return;
                    }
                }
                _ = last_life.wait_for(|asked| *asked > self.begun) => return,
                () = sleep_until(self.next), if probes.len() < MAX_PROBES => {
                    let (sent, client) = (Instant::now(), client.clone());
                    self.outstanding.push(sent);
                    self.next = self.pace();
                    probes.push(async move { (sent, self.inner.look(&client).await) });
                }
                () = sleep_until(quiet), if !self.is_known() => {
                    availability.set(|since| Backend::Away { since, why: format!("no answer for {} s", SILENCE.as_secs()) });
                }
            }
        }
    }

    /// Whether the doubt is over.
    fn learn(&mut self, sent: Instant, sign: HealthSignal) -> bool {
        let availability = &self.inner.availability;
        self.outstanding.retain(|other| *other != sent);
        match sign {
            HealthSignal::Life => {
                let overtook = self.outstanding.iter().any(|earlier| *earlier + OVERTAKEN <= sent);
                if overtook || self.is_known() {
                    availability.void(sent);
                    self.inner.api.transport.renew();
                }
                availability.life(sent);
                return true;
            }
            HealthSignal::LoginRefused(why) => availability.set(|since| Backend::Refused { since, why }),
            HealthSignal::Trouble { why, wait } => {
                availability.set(|since| Backend::Away { since, why });
                if let Some(wait) = wait {
                    self.next = self.next.max(Instant::now() + jittered(wait));
                }
            }
        }
        false
    }

    fn is_known(&self) -> bool {
        matches!(&*self.inner.availability.backend.borrow(), Backend::Away { .. } | Backend::Refused { .. })
    }

    /// When the next probe goes out: jittered only earlier, so that the longest pace is kept.
    fn pace(&mut self) -> Instant {
        let pace = self.pace;
        self.pace = (pace * 2).min(LAST_PACE);
        Instant::now() + pace.mul_f64(rand::random_range(0.75..1.0))
    }
}

/// A little later than asked for, so that a fleet doesn't come back as one.
fn jittered(wait: Duration) -> Duration {
    wait + Duration::from_millis(rand::random_range(0..250))
}
