//! SIC: the agent registers itself as free with the session service and waits to be allocated.
//!
//! ```text
//!                 Open                        allocated
//!   withdrawn ──────────► register ──► poll ─────────────► allocated: waits for the next offer, and learns if the
//!       ▲                    ▲           │                 allocation is taken back
//!       └─ Withdrawn         └───────────┘ the service forgot the registration, took
//!                              the allocation back, or the offer changed
//! ```
//!
//! | file | holds |
//! |---|---|
//! | this one | the loop: registered, polling, allocated, withdrawn |
//! | `requests` | one request at a time, and the pauses between them |
//! | `answers` | what the service's answers mean |
//!
//! The poll is a long one (`?wait=`): our service holds it until something changes. A poll that is
//! answered at once is repeated after an interval. Registering is idempotent, because it names the
//! keeper's id as the incarnation: whenever the outcome of a registration is unclear it is sent
//! again, and an allocation that was made meanwhile is reported again.
//!
//! A registration names the incarnation before this one, so that the service lets it take over at
//! once. A life may have ended before it was registered: where the service says that the id is
//! taken, the next registration names the one before that, and so on in turn.
//!
//! Invariants: no allocation is reported twice; a request is given up when there is a new offer;
//! nothing here gives up for good: after each failure it tries again, with the project's back-off,
//! and sooner when the service is back.

mod answers;
mod requests;

use super::{Context, Offer, ProviderEvent};
use crate::{
    model::{
        allocation::Allocation,
        backoff::{Backoff, JITTER_SHARE, earlier},
        calls::{Backend, Refusal},
        ids::{AllocationId, KeeperId},
        sic::{Register, RegisterItem, Server, Servers},
    },
    session_api::endpoints::{SIC_DEREGISTER, SIC_REGISTER},
};
use answers::{SicError, StateReport, accepted};
use requests::Reply;
use std::time::Duration;
use tokio::{sync::watch, time::Instant};

/// How the agent registers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SicSettings {
    /// Under which the server is registered; none: made of host and port.
    pub id: Option<String>,
    /// Host and port under which players reach the game.
    pub public_host: String,
    pub public_port: u16,
    /// `group_tags`, in this order: profile_id, server_id, hostname, and whatever else is configured.
    pub group_tags: Vec<(String, String)>,
    pub region_id: Option<String>,
    /// How long the service is asked to hold a state call.
    pub wait: Duration,
    /// How often the state is asked for where the service doesn't hold the call.
    pub interval: Duration,
}

impl SicSettings {
    pub const WAIT: Duration = Duration::from_secs(25);
    pub const INTERVAL: Duration = Duration::from_secs(2);

    /// The server's id there.
    pub fn id(&self) -> String {
        self.id.clone().unwrap_or_else(|| format!("sic_{}_{}", self.public_host, self.public_port))
    }
}

/// How long beyond its `wait` a held call may take.
const GRACE: Duration = Duration::from_secs(5);
/// A call answered sooner than this wasn't held.
const HELD: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(15);

pub(super) async fn run(settings: SicSettings, context: Context) {
    let backend = context.session_client.backend();
    let mut sic = Sic {
        settings,
        context,
        backend,
        registration: Registration::None,
        last: None,
        shown: 0,
        backoff: Backoff::default(),
        reported: (false, None),
    };
    let Err(Stopped) = sic.serve().await;
}

/// Nobody makes offers or listens to events any more.
struct Stopped;

/// This server, as the service knows it.
struct Sic {
    settings: SicSettings,
    context: Context,
    backend: watch::Receiver<Backend>,
    registration: Registration,
    /// The allocation that was reported last. The service may show it again; it isn't reported again.
    last: Option<AllocationId>,
    /// Which of the former incarnations is named.
    shown: usize,
    backoff: Backoff,
    /// The registration as it was last reported.
    reported: (bool, Option<String>),
}

/// How the service has us registered, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Registration {
    None,
    /// A registration was sent; whether it was accepted isn't known.
    Unknown,
    /// Registered with this.
    Free(Box<RegisterItem>),
    Allocated(AllocationId),
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WaitEnd {
    /// What was waited for has come.
    Elapsed,
    NewOffer,
}

/// How polling ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PollEnd {
    Allocated(AllocationId),
    /// The registration is void.
    Unregistered,
    NewOffer,
}

impl WaitEnd {
    fn or_unregistered(self) -> PollEnd {
        match self {
            WaitEnd::Elapsed => PollEnd::Unregistered,
            WaitEnd::NewOffer => PollEnd::NewOffer,
        }
    }
}

impl Sic {
    async fn serve(&mut self) -> Result<std::convert::Infallible, Stopped> {
        loop {
            let offer = self.context.offers.borrow_and_update().clone();
            match offer {
                Offer::Open { warm_map, version } => {
                    let item = RegisterItem { warm_map, version, ..self.item() };
                    self.stay_registered(item).await?;
                }
                Offer::Withdrawn => self.withdraw().await?,
            }
        }
    }

    /// Keeps the server registered with `item` until there is another offer.
    async fn stay_registered(&mut self, item: RegisterItem) -> Result<(), Stopped> {
        loop {
            if self.registration != Registration::Free(Box::new(item.clone()))
                && self.register(&item).await? == WaitEnd::NewOffer
            {
                return Ok(());
            }
            match self.poll().await? {
                PollEnd::NewOffer => return Ok(()),
                PollEnd::Unregistered => self.registration = Registration::None,
                PollEnd::Allocated(id) => return self.await_deallocation(&id).await,
            }
        }
    }

    /// Sends the registration until it is accepted.
    async fn register(&mut self, item: &RegisterItem) -> Result<WaitEnd, Stopped> {
        self.registration = Registration::Unknown;
        loop {
            let sent = RegisterItem { previous_incarnation: self.previous(), ..item.clone() };
            let request = SIC_REGISTER.request_with([], &Register { items: vec![sent] });
            let answer = match self.ask(request, Duration::ZERO).await? {
                Reply::NewOffer => return Ok(WaitEnd::NewOffer),
                Reply::Answer(answer) => answer.and_then(|registered| accepted(registered.items)),
            };
            match answer {
                Ok(()) => {
                    self.registration = Registration::Free(Box::new(item.clone()));
                    self.backoff.reset();
                    self.report_registration(true, None).await?;
                    return Ok(WaitEnd::Elapsed);
                }
                Err(error) => {
                    if error.is_taken() {
                        self.shown += 1;
                    }
                    self.report_registration(false, Some(error.to_string())).await?;
                    if self.back_off(error.wait()).await? == WaitEnd::NewOffer {
                        return Ok(WaitEnd::NewOffer);
                    }
                }
            }
        }
    }

    /// The incarnation that this one follows.
    fn previous(&self) -> Option<KeeperId> {
        let former = &self.context.incarnations.former;
        former.get(self.shown.checked_rem(former.len())?).cloned()
    }

    /// Asks for the state until it is anything but free.
    async fn poll(&mut self) -> Result<PollEnd, Stopped> {
        loop {
            let asked = Instant::now();
            let end = match self.state(self.settings.wait).await? {
                Reply::NewOffer => return Ok(PollEnd::NewOffer),
                Reply::Answer(Ok(StateReport::Free)) => {
                    self.backoff.reset();
                    self.report_registration(true, None).await?;
                    if asked.elapsed() >= HELD { WaitEnd::Elapsed } else { self.wait(self.interval()).await? }
                }
                Reply::Answer(Ok(StateReport::Allocated(allocation)))
                    if Some(&allocation.allocation_id) == self.last.as_ref() =>
                {
                    // The instance of the match before isn't closed there yet.
                    return Ok(self.wait(self.interval()).await?.or_unregistered());
                }
                Reply::Answer(Ok(StateReport::Allocated(allocation))) => {
                    return self.report_allocation(allocation).await;
                }
                Reply::Answer(Ok(StateReport::Deallocated)) => return Ok(PollEnd::Unregistered),
                Reply::Answer(Err(error @ SicError::Item { .. })) => {
                    self.report_registration(false, Some(error.to_string())).await?;
                    return Ok(self.back_off(error.wait()).await?.or_unregistered());
                }
                Reply::Answer(Err(error)) => {
                    self.report_registration(true, Some(error.to_string())).await?;
                    self.back_off(error.wait()).await?
                }
            };
            if end == WaitEnd::NewOffer {
                return Ok(PollEnd::NewOffer);
            }
        }
    }

    async fn report_allocation(&mut self, allocation: Allocation) -> Result<PollEnd, Stopped> {
        let id = allocation.allocation_id.clone();
        self.backoff.reset();
        self.last = Some(id.clone());
        self.registration = Registration::Allocated(id.clone());
        self.report_registration(false, None).await?;
        self.send(ProviderEvent::Allocated(allocation)).await?;
        Ok(PollEnd::Allocated(id))
    }

    /// While allocated: waits for the next offer, and reports if the allocation is taken back.
    async fn await_deallocation(&mut self, id: &AllocationId) -> Result<(), Stopped> {
        loop {
            let asked = Instant::now();
            match self.state(self.settings.wait).await? {
                Reply::NewOffer => return Ok(()),
                Reply::Answer(Ok(StateReport::Deallocated)) => {
                    self.registration = Registration::None;
                    self.send(ProviderEvent::Deallocated { allocation: id.clone() }).await?;
                    return self.next_offer().await;
                }
                // A service that answers at once needn't be asked further: the session itself tells
                // the core.
                Reply::Answer(Ok(_)) if asked.elapsed() < HELD => return self.next_offer().await,
                Reply::Answer(Ok(_)) => {}
                Reply::Answer(Err(SicError::Item { .. })) => return self.next_offer().await,
                Reply::Answer(Err(error)) => {
                    if self.back_off(error.wait()).await? == WaitEnd::NewOffer {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Takes the registration back. An allocation that came before that is reported.
    async fn withdraw(&mut self) -> Result<(), Stopped> {
        match self.registration.clone() {
            Registration::None => self.report_registration(false, None).await?,
            Registration::Allocated(id) => return self.await_deallocation(&id).await,
            Registration::Unknown | Registration::Free(_) => {
                if self.deregister().await? == WaitEnd::NewOffer {
                    return Ok(());
                }
                self.registration = Registration::None;
                // The withdrawal may have come too late.
                match self.state(Duration::ZERO).await? {
                    Reply::NewOffer => return Ok(()),
                    Reply::Answer(Ok(StateReport::Allocated(allocation)))
                        if Some(&allocation.allocation_id) != self.last.as_ref() =>
                    {
                        let id = allocation.allocation_id.clone();
                        self.report_allocation(allocation).await?;
                        return self.await_deallocation(&id).await;
                    }
                    Reply::Answer(_) => {}
                }
            }
        }
        self.next_offer().await
    }

    /// Asks the service to forget the registration. A service without that endpoint forgets it when we stay silent.
    async fn deregister(&mut self) -> Result<WaitEnd, Stopped> {
        loop {
            let request = SIC_DEREGISTER.request_with([], &self.server());
            let error = match self.ask(request, Duration::ZERO).await? {
                Reply::NewOffer => return Ok(WaitEnd::NewOffer),
                Reply::Answer(Ok(_) | Err(SicError::Refused(Refusal::NoSuchApi | Refusal::NotFound { .. }))) => {
                    self.report_registration(false, None).await?;
                    return Ok(WaitEnd::Elapsed);
                }
                Reply::Answer(Err(error)) => error,
            };
            self.report_registration(false, Some(error.to_string())).await?;
            if self.back_off(error.wait()).await? == WaitEnd::NewOffer {
                return Ok(WaitEnd::NewOffer);
            }
        }
    }

    /// Reports the state of the registration if it has changed.
    async fn report_registration(&mut self, registered: bool, error: Option<String>) -> Result<(), Stopped> {
        let now = (registered, error);
        if self.reported == now {
            return Ok(());
        }
        self.reported = now.clone();
        self.send(ProviderEvent::Registered { registered: now.0, trouble: now.1 }).await
    }

    async fn send(&self, event: ProviderEvent) -> Result<(), Stopped> {
        self.context.events.send(event).await.map_err(|_| Stopped)
    }

    /// This server, and the allocation that it knows of.
    fn server(&self) -> Servers {
        Servers { items: vec![Server { id: self.settings.id(), allocation_id: self.last.clone() }] }
    }

    fn interval(&self) -> Duration {
        earlier(self.settings.interval, JITTER_SHARE, rand::random())
    }

    fn item(&self) -> RegisterItem {
        let tags: Vec<String> = self.settings.group_tags.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        RegisterItem {
            id: self.settings.id(),
            group_tags: tags.join(","),
            public_host: self.settings.public_host.clone(),
            public_port: self.settings.public_port,
            incarnation: Some(self.context.incarnations.present.clone()),
            previous_incarnation: None,
            warm_map: None,
            version: None,
            region_id: self.settings.region_id.clone(),
        }
    }
}
