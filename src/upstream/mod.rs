//! The agent's way to the session service: logged in, bounded, classified, and watched for being reachable.
//!
//! ```text
//!   core: Call ──► client (which request?) ──► wire (one exchange) ──► classify (which answer?) ──► Answer | Refusal
//!                                               │ login: a token that is still good
//!                                               └ reach: is the service there? ──► Backend
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`client`] | the table from [`Call`] to request, and from answer to [`Answer`] |
//! | [`etag`] | which version of a session the core has seen |
//! | [`reach`] | whether the service is there, and the moment it is back |
//! | [`addresses`] | which of this machine's addresses go into which connection string |
//!
//! Invariants:
//!
//! 1. A call is carried out once. Whoever wants it again asks again; only a token found expired is renewed on the way.
//! 2. Whatever the service does, a call ends: each exchange after [`UpstreamSettings::call_timeout`], a login after its own.
//! 3. When the service is back after it was away, no call of the time before stays under way: it ends as ambiguous.
//!
//! The exchanges themselves, logged in and understood, are [`crate::access`]'s, which players' programs share.

pub mod addresses;
pub mod client;
pub mod etag;
pub mod reach;

use crate::{
    access::{
        Access, BadEndpoint, Endpoint, NotDone,
        classify::{self, Asked},
        etag_of,
        login::{NoToken, Turn},
        wire::{Incoming, Outgoing},
    },
    model::{
        calls::{Answer, Backend, Call, Refusal},
        ids::SessionId,
    },
};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use reach::{Patience, Reach, Sign};
use reqwest::Client;
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::Instant,
};

/// Where the service is and how to get in.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    pub endpoint: Endpoint,
    /// How long one call may take, login not included.
    pub call_timeout: Duration,
}

impl UpstreamSettings {
    /// How long a call may take where nothing else is configured.
    pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
}

/// A request of a provider, which speaks another API of the same environment.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: http::Method,
    /// Path and query below the base URL: `/instances/…`.
    pub path: String,
    pub body: Option<Vec<u8>>,
    /// How long the service may take to answer: for a long poll, its wait and some seconds.
    pub patience: Duration,
}

/// The body of an answer that was a success.
#[derive(Debug, Clone)]
pub struct Heard {
    pub status: http::StatusCode,
    pub etag: Option<String>,
    pub body: Bytes,
}

/// The session service, as the agent sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Upstream(Arc<Owned>);

/// Its tasks end with its last clone.
#[derive(Debug)]
struct Owned {
    inner: Arc<Inner>,
    tasks: [AbortHandle; 2],
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

#[derive(Debug)]
struct Inner {
    access: Arc<Access>,
    reach: Reach,
    etags: etag::Etags,
    call_timeout: Duration,
}

/// A refusal, and what it shows about the service as a whole.
#[derive(Debug)]
struct Fault {
    refusal: Refusal,
    sign: Sign,
}

/// Sets the client up; nothing is sent before the first call. Must be called within a tokio runtime. The receiver gets every
/// change of [`Backend`], beginning with the first that differs from [`Backend::Untried`]; a slow reader gets the latest.
pub fn connect(settings: &UpstreamSettings) -> Result<(Upstream, mpsc::Receiver<Backend>), BadEndpoint> {
    let inner = Arc::new(Inner {
        access: Access::new(&settings.endpoint)?,
        reach: Reach::default(),
        etags: etag::Etags::default(),
        call_timeout: settings.call_timeout,
    });
    let (to, changes) = mpsc::channel(1);
    let forwarder = tokio::spawn(forward(inner.reach.backend(), to)).abort_handle();
    let prober = tokio::spawn(reach::probe(inner.clone())).abort_handle();
    Ok((Upstream(Arc::new(Owned { inner, tasks: [forwarder, prober] })), changes))
}

async fn forward(mut backend: watch::Receiver<Backend>, to: mpsc::Sender<Backend>) {
    while backend.changed().await.is_ok() {
        let now = backend.borrow_and_update().clone();
        if to.send(now).await.is_err() {
            return;
        }
    }
}

impl Upstream {
    /// Carries out one call, once.
    pub async fn carry_out(&self, call: Call) -> Result<Answer, Refusal> {
        let inner = &self.0.inner;
        let timeout = inner.call_timeout;
        inner.supervised(Patience::Short, |client| async move { inner.carry_out(&client, &call, timeout).await }).await
    }

    /// Sends a provider's request with a good token, and hears a success or why it was none.
    pub async fn authorised(&self, request: Request) -> Result<Heard, Refusal> {
        let inner = &self.0.inner;
        let patience = if request.patience > inner.call_timeout { Patience::Long } else { Patience::Short };
        let outgoing = Outgoing { body: request.body, ..Outgoing::bare(request.method, request.path) };
        let send = |client| async move {
            inner.exchange(&client, &outgoing, Asked::Other, Turn::Shared, request.patience).await
        };
        let incoming = inner.supervised(patience, send).await?;
        Ok(Heard { status: incoming.status, etag: etag_of(&incoming), body: incoming.body })
    }

    /// Whether the service can be worked with, now and from now on.
    pub fn backend(&self) -> watch::Receiver<Backend> {
        self.0.inner.reach.backend()
    }

    /// The address under which the service sees us (`GET /v1/connection-info`). Only where the user opted in.
    pub async fn connection_info(&self) -> Result<IpAddr, Refusal> {
        let inner = &self.0.inner;
        let ask = |client| async move {
            let outgoing = client::connection_info();
            inner.exchange(&client, &outgoing, Asked::Other, Turn::Shared, inner.call_timeout).await
        };
        client::seen_address(&inner.supervised(Patience::Short, ask).await?)
    }
}

impl Inner {
    /// Runs an exchange under the eyes of `reach`, over the kept connection.
    async fn supervised<T, F>(&self, patience: Patience, work: impl FnOnce(Client) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        if let Some(why) = self.reach.login_refused() {
            return Err(Refusal::Credentials { desc: why });
        }
        let begun = Instant::now();
        let client = self.access.wire.client().map_err(classify::lost)?;
        let outcome = self.reach.watch_over(begun, patience, work(client)).await;
        match outcome {
            Some(Ok(done)) => {
                self.reach.note(begun, &Sign::Life);
                Ok(done)
            }
            Some(Err(fault)) => {
                self.reach.note(begun, &fault.sign);
                Err(fault.refusal)
            }
            None => Err(Refusal::Ambiguous { why: "under way while the service was away; it is back now".to_owned() }),
        }
    }

    async fn carry_out(self: &Arc<Self>, client: &Client, call: &Call, timeout: Duration) -> Result<Answer, Fault> {
        let mut outgoing = client::request(call)?;
        if let Call::ReadSession { session } = call
            && let Some(etag) = self.etags.get(session)
        {
            outgoing = outgoing.with(header::IF_NONE_MATCH, &etag);
        }
        let asked = if matches!(call, Call::AckBackfill { .. }) { Asked::BackfillAck } else { Asked::Other };
        let mut outcome = self.exchange(client, &outgoing, asked, Turn::Shared, timeout).await;
        if let (Call::UpdateBrowser { session, data }, Err(Fault { refusal: Refusal::Conflict { .. }, .. })) =
            (call, &outcome)
        {
            outgoing = client::browser(Method::PATCH, session, data)?;
            outcome = self.exchange(client, &outgoing, asked, Turn::Shared, timeout).await;
        }
        if let (Call::ReadSession { session }, Err(_)) | (Call::DeleteSession { session }, _) = (call, &outcome) {
            self.etags.set(session, None);
        }
        let incoming = outcome?;
        let answer = client::answer(call, &incoming)?;
        if let (Call::ReadSession { session }, StatusCode::OK) = (call, incoming.status) {
            self.remember(session, &incoming);
        }
        Ok(answer)
    }

    fn remember(&self, session: &SessionId, incoming: &Incoming) {
        self.etags.set(session, etag_of(incoming));
    }

    async fn exchange(
        &self,
        client: &Client,
        outgoing: &Outgoing,
        asked: Asked,
        turn: Turn,
        patience: Duration,
    ) -> Result<Incoming, Fault> {
        Ok(self.access.exchange(client, outgoing, asked, turn, patience).await?)
    }

    /// What a probe sees: a cheap question, over a connection of its own.
    async fn look(self: &Arc<Self>, client: &Client) -> Sign {
        let question = async {
            let outgoing = client::request(&Call::HealthConfig)?;
            let incoming = self.exchange(client, &outgoing, Asked::Other, Turn::Own, self.call_timeout).await?;
            client::answer(&Call::HealthConfig, &incoming)?;
            Ok(())
        };
        match question.await {
            Ok(()) => Sign::Life,
            Err(Fault { sign, .. }) => sign,
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Fault { sign: Sign::of(&refusal), refusal }
    }
}

impl From<NotDone> for Fault {
    fn from(why: NotDone) -> Self {
        match why {
            NotDone::Call(refusal) | NotDone::Login(NoToken::Trouble(refusal)) => refusal.into(),
            NotDone::Login(NoToken::Refused(why)) => {
                Fault { sign: Sign::LoginRefused(why.clone()), refusal: Refusal::Credentials { desc: why } }
            }
        }
    }
}
