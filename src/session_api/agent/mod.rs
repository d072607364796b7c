//! The agent's way to the session service: logged in, bounded, classified, and watched for being reachable.
//!
//! ```text
//!   core: Call ──► client (which request?) ──► transport (one exchange) ──► classify (which answer?) ──► Answer | Refusal
//!                                               │ login: a token that is still good
//!                                               └ availability: is the service there? ──► Backend
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `calls` | the table from [`Call`] to request, and from answer to [`Answer`] |
//! | `etags` | which version of a session the core has seen |
//! | [`availability`](super::availability) | whether the service is there, and the moment it is back |
//!
//! Invariants:
//!
//! 1. A call is carried out once. Whoever wants it again asks again; only a token found expired is renewed on the way.
//! 2. Whatever the service does, a call ends: each exchange after [`SessionClientSettings::call_timeout`], a login after its own.
//! 3. When the service is back after it was away, no call of the time before stays under way: it ends as ambiguous.
//!
//! The exchanges themselves, logged in and understood, are [`crate::session_api`]'s, which players' programs share.

mod calls;
mod etags;

use crate::session_api::availability::{self, AvailabilityMonitor, HealthSignal, TimeoutClass};
use crate::{
    model::{
        calls::{Answer, Backend, Call, Refusal},
        ids::SessionId,
    },
    session_api::{
        ApiClient, CallError, ConnectionSettings, SetupError, etag_of,
        login::{LoginError, LoginSharing},
        response::{self, Asked},
        transport::{Request, Response},
    },
};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use reqwest::Client;
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

/// A request of a provider, which speaks another API of the same environment.
#[derive(Debug, Clone)]
pub struct ProviderRequest {
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
pub struct SessionClient(Arc<Owned>);

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
pub(super) struct Inner {
    pub(super) api: Arc<ApiClient>,
    pub(super) availability: AvailabilityMonitor,
    etags: etags::Etags,
    call_timeout: Duration,
}

/// A refusal, and what it shows about the service as a whole.
#[derive(Debug)]
struct Fault {
    refusal: Refusal,
    sign: HealthSignal,
}

/// Sets the client up; nothing is sent before the first call. Must be called within a tokio runtime. The receiver gets every
/// change of [`Backend`], beginning with the first that differs from [`Backend::Untried`]; a slow reader gets the latest.
pub fn connect(settings: &SessionClientSettings) -> Result<(SessionClient, mpsc::Receiver<Backend>), SetupError> {
    let inner = Arc::new(Inner {
        api: ApiClient::new(&settings.connection)?,
        availability: AvailabilityMonitor::default(),
        etags: etags::Etags::default(),
        call_timeout: settings.call_timeout,
    });
    let (to, changes) = mpsc::channel(1);
    let forwarder = tokio::spawn(forward(inner.availability.backend(), to)).abort_handle();
    let prober = tokio::spawn(availability::probe(inner.clone())).abort_handle();
    Ok((SessionClient(Arc::new(Owned { inner, tasks: [forwarder, prober] })), changes))
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
        let timeout = inner.call_timeout;
        inner
            .supervised(TimeoutClass::Short, |client| async move { inner.carry_out(&client, &call, timeout).await })
            .await
    }

    /// Sends a provider's request with a good token, and hears a success or why it was none.
    pub async fn authorised(&self, request: ProviderRequest) -> Result<Heard, Refusal> {
        let inner = &self.0.inner;
        let patience = if request.patience > inner.call_timeout { TimeoutClass::Long } else { TimeoutClass::Short };
        let timeout = request.patience;
        let request = Request { body: request.body, ..Request::bare(request.method, request.path) };
        let send = |client| async move {
            inner.exchange(&client, &request, Asked::Other, LoginSharing::Shared, timeout).await
        };
        let response = inner.supervised(patience, send).await?;
        Ok(Heard { status: response.status, etag: etag_of(&response), body: response.body })
    }

    /// Whether the service can be worked with, now and from now on.
    pub fn backend(&self) -> watch::Receiver<Backend> {
        self.0.inner.availability.backend()
    }

    /// The address under which the service sees us (`GET /v1/connection-info`). Only where the user opted in.
    pub async fn connection_info(&self) -> Result<IpAddr, Refusal> {
        let inner = &self.0.inner;
        let ask = |client| async move {
            let request = calls::connection_info();
            inner.exchange(&client, &request, Asked::Other, LoginSharing::Shared, inner.call_timeout).await
        };
        calls::seen_address(&inner.supervised(TimeoutClass::Short, ask).await?)
    }
}

impl Inner {
    /// Runs an exchange under the eyes of `availability`, over the kept connection.
    async fn supervised<T, F>(&self, patience: TimeoutClass, work: impl FnOnce(Client) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        if let Some(why) = self.availability.login_refused() {
            return Err(Refusal::Credentials { desc: why });
        }
        let begun = Instant::now();
        let client = self.api.transport.client().map_err(response::lost)?;
        let outcome = self.availability.watch_over(begun, patience, work(client)).await;
        match outcome {
            Some(Ok(done)) => {
                self.availability.note(begun, &HealthSignal::Life);
                Ok(done)
            }
            Some(Err(fault)) => {
                self.availability.note(begun, &fault.sign);
                Err(fault.refusal)
            }
            None => Err(Refusal::Ambiguous { why: "under way while the service was away; it is back now".to_owned() }),
        }
    }

    async fn carry_out(self: &Arc<Self>, client: &Client, call: &Call, timeout: Duration) -> Result<Answer, Fault> {
        let mut request = calls::request(call)?;
        if let Call::ReadSession { session } = call
            && let Some(etag) = self.etags.get(session)
        {
            request = request.with(header::IF_NONE_MATCH, &etag);
        }
        let asked = if matches!(call, Call::AckBackfill { .. }) { Asked::BackfillAck } else { Asked::Other };
        let mut outcome = self.exchange(client, &request, asked, LoginSharing::Shared, timeout).await;
        if let (Call::UpdateBrowser { session, data }, Err(Fault { refusal: Refusal::Conflict { .. }, .. })) =
            (call, &outcome)
        {
            request = calls::browser(Method::PATCH, session, data)?;
            outcome = self.exchange(client, &request, asked, LoginSharing::Shared, timeout).await;
        }
        if let (Call::ReadSession { session }, Err(_)) | (Call::DeleteSession { session }, _) = (call, &outcome) {
            self.etags.set(session, None);
        }
        let response = outcome?;
        let answer = calls::answer(call, &response)?;
        if let (Call::ReadSession { session }, StatusCode::OK) = (call, response.status) {
            self.remember(session, &response);
        }
        Ok(answer)
    }

    fn remember(&self, session: &SessionId, response: &Response) {
        self.etags.set(session, etag_of(response));
    }

    async fn exchange(
        &self,
        client: &Client,
        request: &Request,
        asked: Asked,
        turn: LoginSharing,
        patience: Duration,
    ) -> Result<Response, Fault> {
        Ok(self.api.exchange(client, request, asked, turn, patience).await?)
    }

    /// What a probe sees: a cheap question, over a connection of its own.
    pub(super) async fn look(self: &Arc<Self>, client: &Client) -> HealthSignal {
        let question = async {
            let request = calls::request(&Call::HealthConfig)?;
            let response = self.exchange(client, &request, Asked::Other, LoginSharing::Own, self.call_timeout).await?;
            calls::answer(&Call::HealthConfig, &response)?;
            Ok(())
        };
        match question.await {
            Ok(()) => HealthSignal::Life,
            Err(Fault { sign, .. }) => sign,
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Fault { sign: HealthSignal::of(&refusal), refusal }
    }
}

impl From<CallError> for Fault {
    fn from(why: CallError) -> Self {
        match why {
            CallError::Call(refusal) | CallError::Login(LoginError::Trouble(refusal)) => refusal.into(),
            CallError::Login(LoginError::Refused(why)) => {
                Fault { sign: HealthSignal::LoginRefused(why.clone()), refusal: Refusal::Credentials { desc: why } }
            }
        }
    }
}
