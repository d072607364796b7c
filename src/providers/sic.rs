//! SIC: the agent registers itself as free with the session service and waits to be allocated.
//!
//! ```text
//!                 Open                        allocated
//!   withdrawn ──────────► register ──► poll ─────────────► taken: waits for the next offer; hears when the
//!       ▲                    ▲           │                 allocation is taken back
//!       └─ Withdrawn         └───────────┘ the service forgot us, took the
//!                              allocation back, or the offer changed
//! ```
//!
//! The poll is a long one (`?wait=`), which our service holds until there is news; one that is answered at once is asked again
//! after an interval. Registering is idempotent, since it names the keeper's id as the incarnation: a registration of the same
//! life is repeated after every doubt, and an allocation that was made meanwhile is told again. Nothing here gives up: every
//! failure is followed by another try, after a jittered, growing pause that ends early when the service is back.

mod answers;
mod asking;

use super::{Offer, ProviderEvent};
use crate::{
    model::{
        allocation::Allocation,
        calls::{Backend, Refusal},
        ids::{AllocationId, KeeperId},
        sic::{Register, RegisterItem, Registered, Server, Servers},
    },
    session_api::agent::SessionClient,
};
use answers::{News, Trouble, accepted};
use asking::{Heard, jittered};
use std::time::Duration;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// How the agent registers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SicSettings {
    /// Host and port under which players reach the game; they are also its identity there.
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
        format!("sic_{}_{}", self.public_host, self.public_port)
    }
}

/// How long beyond its `wait` a held call may take.
const GRACE: Duration = Duration::from_secs(5);
/// A call answered sooner than this wasn't held.
const HELD: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(15);

pub(super) async fn run(
    settings: SicSettings,
    session_client: SessionClient,
    offers: watch::Receiver<Offer>,
    incarnation: KeeperId,
    events: mpsc::Sender<ProviderEvent>,
) {
    let backend = session_client.backend();
    let mut sic = Sic {
        settings,
        session_client,
        offers,
        incarnation,
        events,
        backend,
        standing: Standing::Nobody,
        last: None,
        pause: FIRST_PAUSE,
        told: (false, None),
    };
    let Err(Over) = sic.serve().await;
}

/// Nobody makes offers or listens any more.
struct Over;

/// The agent's life with the service.
struct Sic {
    settings: SicSettings,
    session_client: SessionClient,
    offers: watch::Receiver<Offer>,
    incarnation: KeeperId,
    events: mpsc::Sender<ProviderEvent>,
    backend: watch::Receiver<Backend>,
    standing: Standing,
    /// The allocation that was told last: it is no news, also after registering again.
    last: Option<AllocationId>,
    pause: Duration,
    /// The registration as it was last told.
    told: (bool, Option<String>),
}

/// What the service takes us for, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Nobody,
    /// A registration was sent, and what became of it isn't known.
    Unsure,
    /// Registered with this.
    Free(Box<RegisterItem>),
    Taken(AllocationId),
}

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    /// What was waited for.
    Done,
    /// There is a new offer.
    Offer,
}

/// How asking for the state ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Polled {
    Taken(AllocationId),
    /// The registration is void.
    Lost,
    Offer,
}

impl Woken {
    fn or_lost(self) -> Polled {
        match self {
            Woken::Done => Polled::Lost,
            Woken::Offer => Polled::Offer,
        }
    }
}

impl Sic {
    async fn serve(&mut self) -> Result<std::convert::Infallible, Over> {
        loop {
            let offer = self.offers.borrow_and_update().clone();
            match offer {
                Offer::Open { warm_map, version } => {
                    let item = RegisterItem { warm_map, version, ..self.item() };
                    self.be_free(item).await?;
                }
                Offer::Withdrawn => self.withdraw().await?,
            }
        }
    }

    /// Registered with `item` until there is another offer.
    async fn be_free(&mut self, item: RegisterItem) -> Result<(), Over> {
        loop {
            if self.standing != Standing::Free(Box::new(item.clone())) && self.register(&item).await? == Woken::Offer {
                return Ok(());
            }
            match self.poll().await? {
                Polled::Offer => return Ok(()),
                Polled::Lost => self.standing = Standing::Nobody,
                Polled::Taken(id) => return self.be_taken(&id).await,
            }
        }
    }

    /// Sends the registration until it is accepted.
    async fn register(&mut self, item: &RegisterItem) -> Result<Woken, Over> {
        self.standing = Standing::Unsure;
        loop {
            let body = Register { items: vec![item.clone()] };
            let answer = match self.ask::<Registered>("/v3/register", &body, Duration::ZERO).await? {
                Heard::Offer => return Ok(Woken::Offer),
                Heard::Answer(answer) => answer.and_then(|registered| accepted(registered.items)),
            };
            match answer {
                Ok(()) => {
                    self.standing = Standing::Free(Box::new(item.clone()));
                    self.pause = FIRST_PAUSE;
                    self.tell(true, None).await?;
                    return Ok(Woken::Done);
                }
                Err(trouble) => {
                    self.tell(false, Some(trouble.to_string())).await?;
                    if self.rest(trouble.wait()).await? == Woken::Offer {
                        return Ok(Woken::Offer);
                    }
                }
            }
        }
    }

    /// Asks for the state until it is anything but free.
    async fn poll(&mut self) -> Result<Polled, Over> {
        loop {
            let asked = Instant::now();
            let woken = match self.state(self.settings.wait).await? {
                Heard::Offer => return Ok(Polled::Offer),
                Heard::Answer(Ok(News::Free)) => {
                    self.pause = FIRST_PAUSE;
                    self.tell(true, None).await?;
                    if asked.elapsed() >= HELD { Woken::Done } else { self.wait(self.interval()).await? }
                }
                Heard::Answer(Ok(News::Allocated(allocation)))
                    if Some(&allocation.allocation_id) == self.last.as_ref() =>
                {
                    // The instance of the match before isn't closed there yet.
                    return Ok(self.wait(self.interval()).await?.or_lost());
                }
                Heard::Answer(Ok(News::Allocated(allocation))) => return self.taken(allocation).await,
                Heard::Answer(Ok(News::Deallocated)) => return Ok(Polled::Lost),
                Heard::Answer(Err(trouble @ Trouble::Item { .. })) => {
                    self.tell(false, Some(trouble.to_string())).await?;
                    return Ok(self.rest(trouble.wait()).await?.or_lost());
                }
                Heard::Answer(Err(trouble)) => {
                    self.tell(true, Some(trouble.to_string())).await?;
                    self.rest(trouble.wait()).await?
                }
            };
            if woken == Woken::Offer {
                return Ok(Polled::Offer);
            }
        }
    }

    async fn taken(&mut self, allocation: Allocation) -> Result<Polled, Over> {
        let id = allocation.allocation_id.clone();
        self.pause = FIRST_PAUSE;
        self.last = Some(id.clone());
        self.standing = Standing::Taken(id.clone());
        self.tell(false, None).await?;
        self.send(ProviderEvent::Allocated(allocation)).await?;
        Ok(Polled::Taken(id))
    }

    /// Allocated: nothing to do before the next offer but to hear whether the allocation is taken back.
    async fn be_taken(&mut self, id: &AllocationId) -> Result<(), Over> {
        loop {
            let asked = Instant::now();
            match self.state(self.settings.wait).await? {
                Heard::Offer => return Ok(()),
                Heard::Answer(Ok(News::Deallocated)) => {
                    self.standing = Standing::Nobody;
                    self.send(ProviderEvent::Deallocated { allocation: id.clone() }).await?;
                    return self.next_offer().await;
                }
                // A service that answers at once needn't be asked further: the session itself tells the core.
                Heard::Answer(Ok(_)) if asked.elapsed() < HELD => return self.next_offer().await,
                Heard::Answer(Ok(_)) => {}
                Heard::Answer(Err(Trouble::Item { .. })) => return self.next_offer().await,
                Heard::Answer(Err(trouble)) => {
                    if self.rest(trouble.wait()).await? == Woken::Offer {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Not free any more. A registration is taken back; an allocation that came before is told.
    async fn withdraw(&mut self) -> Result<(), Over> {
        match self.standing.clone() {
            Standing::Nobody => self.tell(false, None).await?,
            Standing::Taken(id) => return self.be_taken(&id).await,
            Standing::Unsure | Standing::Free(_) => {
                if self.deregister().await? == Woken::Offer {
                    return Ok(());
                }
                self.standing = Standing::Nobody;
                // The withdrawal may have come too late.
                match self.state(Duration::ZERO).await? {
                    Heard::Offer => return Ok(()),
                    Heard::Answer(Ok(News::Allocated(allocation)))
                        if Some(&allocation.allocation_id) != self.last.as_ref() =>
                    {
                        let id = allocation.allocation_id.clone();
                        self.taken(allocation).await?;
                        return self.be_taken(&id).await;
                    }
                    Heard::Answer(_) => {}
                }
            }
        }
        self.next_offer().await
    }

    /// Takes the registration back. A service that doesn't know how takes our silence for it.
    async fn deregister(&mut self) -> Result<Woken, Over> {
        loop {
            let body = self.server();
            let trouble = match self.ask::<Registered>("/v1/deregister", &body, Duration::ZERO).await? {
                Heard::Offer => return Ok(Woken::Offer),
                Heard::Answer(Ok(_) | Err(Trouble::Refused(Refusal::NoSuchApi | Refusal::NotFound { .. }))) => {
                    self.tell(false, None).await?;
                    return Ok(Woken::Done);
                }
                Heard::Answer(Err(trouble)) => trouble,
            };
            self.tell(false, Some(trouble.to_string())).await?;
            if self.rest(trouble.wait()).await? == Woken::Offer {
                return Ok(Woken::Offer);
            }
        }
    }

    /// Says how the registration stands, where that is news.
    async fn tell(&mut self, registered: bool, trouble: Option<String>) -> Result<(), Over> {
        let now = (registered, trouble);
        if self.told == now {
            return Ok(());
        }
        self.told = now.clone();
        self.send(ProviderEvent::Registered { registered: now.0, trouble: now.1 }).await
    }

    async fn send(&self, event: ProviderEvent) -> Result<(), Over> {
        self.events.send(event).await.map_err(|_| Over)
    }

    /// Us, and the allocation that is no news.
    fn server(&self) -> Servers {
        Servers { items: vec![Server { id: self.settings.id(), allocation_id: self.last.clone() }] }
    }

    fn interval(&self) -> Duration {
        jittered(self.settings.interval)
    }

    fn item(&self) -> RegisterItem {
        let tags: Vec<String> = self.settings.group_tags.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        RegisterItem {
            id: self.settings.id(),
            group_tags: tags.join(","),
            public_host: self.settings.public_host.clone(),
            public_port: self.settings.public_port,
            incarnation: Some(self.incarnation.clone()),
            warm_map: None,
            version: None,
            region_id: self.settings.region_id.clone(),
        }
    }
}
