//! The agent's session client. Each call of the core is one HTTP exchange, and the client watches
//! whether the service can be reached.
//!
//! ```text
//!   core: Call ──► calls (which endpoint?) ──► ApiClient (one exchange) ──► Answer | Refusal
//!                                                 └ availability: what did it show? ──► Backend
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `calls` | the table from [`Call`] to endpoint, and from its answer to [`Answer`] |
//! | `etags` | which version of a session the core has seen |
//!
//! Invariants:
//!
//! 1. A call is carried out once. Whoever wants it again asks again; only a token found expired is
//!    renewed on the way.
//! 2. Whatever the service does, a call ends: each exchange within
//!    [`SessionClientSettings::call_timeout`], a login within a limit of its own.
//! 3. When the service is back after it was away, no call of the time before stays under way: it
//!    ends as ambiguous.

mod calls;
mod etags;

use super::{
    ApiClient, CallError, ConnectionSettings, LoginError, SetupError,
    availability::{AvailabilityMonitor, HealthSignal, Probing, TimeoutClass},
    endpoints::{self, ApiRequest},
    etag_of,
    login::LoginSharing,
    transport::{Request, Response, TransportError},
};
use crate::model::{
    calls::{Answer, Backend, Call, Refusal},
    ids::SessionId,
};
use http::{StatusCode, header};
use reqwest::Client;
use serde::de::DeserializeOwned;
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::AbortHandle,
    time::Instant,
};

/// Where the service is and how to get in.
#[derive(Debug, Clone)]
pub struct SessionClientSettings {
    pub connection: ConnectionSettings,
    /// How long one call may take, login not included.
    pub call_timeout: Duration,
}

impl SessionClientSettings {
    /// How long a call may take where nothing else is configured.
    pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
}

/// The session service, as the agent sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SessionClient(Arc<Owner>);

/// Ends the tasks with the last clone.
#[derive(Debug)]
struct Owner {
    inner: Arc<Inner>,
    tasks: [AbortHandle; 2],
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

#[derive(Debug)]
struct Inner {
    api: Arc<ApiClient>,
    availability: AvailabilityMonitor,
    etags: etags::Etags,
    call_timeout: Duration,
}

/// A refusal, and what it shows about the service as a whole.
#[derive(Debug)]
struct Failure {
    refusal: Refusal,
    signal: HealthSignal,
}

/// Sets the client up; nothing is sent before the first call. Must be called within a tokio runtime. The receiver gets
/// every change of [`Backend`], beginning with the first that differs from [`Backend::Untried`]; a slow reader gets the
/// latest.
pub fn connect(settings: &SessionClientSettings) -> Result<(SessionClient, mpsc::Receiver<Backend>), SetupError> {
    let inner = Arc::new(Inner {
        api: ApiClient::new(&settings.connection)?,
        availability: AvailabilityMonitor::default(),
        etags: etags::Etags::default(),
        call_timeout: settings.call_timeout,
    });
    let (to, changes) = mpsc::channel(1);
    let forwarder = tokio::spawn(forward(inner.availability.backend(), to)).abort_handle();
    let watched = inner.clone();
    let watcher = tokio::spawn(async move { watched.availability.watch(&*watched).await }).abort_handle();
    Ok((SessionClient(Arc::new(Owner { inner, tasks: [forwarder, watcher] })), changes))
}

async fn forward(mut backend: watch::Receiver<Backend>, to: mpsc::Sender<Backend>) {
    while backend.changed().await.is_ok() {
        let now = backend.borrow_and_update().clone();
        if to.send(now).await.is_err() {
            return;
        }
    }
}

impl SessionClient {
    /// Carries out one call, once.
    pub async fn carry_out(&self, call: Call) -> Result<Answer, Refusal> {
        let inner = &self.0.inner;
        inner.supervised(TimeoutClass::Short, |client| async move { inner.carry_out(&client, &call).await }).await
    }

    /// Carries out a provider's request, once. `timeout`: how long the service may take to answer; for a long poll, its
    /// wait and some seconds.
    pub async fn request<A: DeserializeOwned>(&self, request: ApiRequest<A>, timeout: Duration) -> Result<A, Refusal> {
        let inner = &self.0.inner;
        let class = if timeout > inner.call_timeout { TimeoutClass::Long } else { TimeoutClass::Short };
        let asked = &request;
        let send = |client| async move { inner.send(&client, asked, LoginSharing::Shared, timeout).await };
        let response = inner.supervised(class, send).await?;
        request.answer(&response)
    }

    /// Whether the service can be worked with, now and from now on.
    pub fn backend(&self) -> watch::Receiver<Backend> {
        self.0.inner.availability.backend()
    }

    /// The address under which the service sees us. Only where the user opted in.
    pub async fn connection_info(&self) -> Result<IpAddr, Refusal> {
        let request = endpoints::CONNECTION_INFO.request([])?;
        Ok(self.request(request, self.0.inner.call_timeout).await?.ip)
    }
}

impl Inner {
    /// Runs a call over the kept connection, and notes what it shows about the service.
    async fn supervised<T, F>(&self, class: TimeoutClass, call: impl FnOnce(Client) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        if let Some(why) = self.availability.login_refused() {
            return Err(Refusal::Credentials { desc: why });
        }
        let begun = Instant::now();
        let client = self.api.transport.client()?;
        match self.availability.supervise(begun, class, call(client)).await {
            Some(Ok(done)) => {
                self.availability.note(begun, &HealthSignal::Alive);
                Ok(done)
            }
            Some(Err(failure)) => {
                self.availability.note(begun, &failure.signal);
                Err(failure.refusal)
            }
            None => Err(Refusal::Ambiguous { why: "under way while the service was away; it is back now".to_owned() }),
        }
    }

    async fn carry_out(&self, client: &Client, call: &Call) -> Result<Answer, Failure> {
        let mut prepared = calls::prepare(call)?;
        if let Call::ReadSession { session } = call
            && let Some(etag) = self.etags.get(session)
        {
            prepared.request = prepared.request.header(header::IF_NONE_MATCH, &etag);
        }
        let mut outcome = self.send(client, &prepared.request, LoginSharing::Shared, self.call_timeout).await;
        if let (Call::UpdateBrowser { session, data }, Err(Failure { refusal: Refusal::Conflict { .. }, .. })) =
            (call, &outcome)
        {
            prepared = calls::update_in_browser(session, data)?;
            outcome = self.send(client, &prepared.request, LoginSharing::Shared, self.call_timeout).await;
        }
        if let (Call::ReadSession { session }, Err(_)) | (Call::DeleteSession { session }, _) = (call, &outcome) {
            self.etags.set(session, None);
        }
        let response = outcome?;
        if response.status == StatusCode::NOT_MODIFIED {
            return Ok(Answer::NotModified);
        }
        let answer = prepared.answer(&response)?;
        if let (Call::ReadSession { session }, StatusCode::OK) = (call, response.status) {
            self.remember(session, &response);
        }
        Ok(answer)
    }

    fn remember(&self, session: &SessionId, response: &Response) {
        self.etags.set(session, etag_of(response));
    }

    async fn send(
        &self,
        client: &Client,
        request: &Request,
        sharing: LoginSharing,
        timeout: Duration,
    ) -> Result<Response, Failure> {
        Ok(self.api.send_over(client, request, sharing, timeout).await?)
    }

    async fn health_config(&self, client: &Client) -> Result<(), Failure> {
        let request = endpoints::HEALTH_CONFIG.request([])?;
        let response = self.send(client, &request, LoginSharing::Own, self.call_timeout).await?;
        request.answer(&response)?;
        Ok(())
    }
}

impl Probing for Inner {
    fn fresh_client(&self) -> Result<Client, TransportError> {
        self.api.transport.fresh()
    }

    async fn probe(&self, fresh: Client) -> HealthSignal {
        match self.health_config(&fresh).await {
            Ok(()) => HealthSignal::Alive,
            Err(failure) => failure.signal,
        }
    }

    fn drop_connection(&self) {
        self.api.transport.renew();
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure { signal: HealthSignal::of(&refusal), refusal }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Call(refusal) | CallError::Login(LoginError::Trouble(refusal)) => refusal.into(),
            CallError::Login(LoginError::Refused(why)) => {
                Failure { signal: HealthSignal::LoginRefused(why.clone()), refusal: Refusal::Credentials { desc: why } }
            }
        }
    }
}
