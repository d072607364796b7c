//! The one client of the Session API, and of what lies beside it in an environment: login, friends,
//! SIC.
//!
//! ```text
//!   agent::SessionClient          client::Sessions           the service, for another
//!   (what the core asks for)      (what players do)          service's friends
//!        │ availability                 │                          │
//!        └──────────────┬───────────────┴──────────────────────────┘
//!                       │ endpoints: which request, what its answer says
//!                       ▼
//!                   ApiClient ── login: a good token; one that is refused is replaced once
//!                       │
//!                       ▼
//!                   transport: one HTTP exchange ──► response: what the answer means ──► Response | CallError
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `transport` | one HTTP exchange, bounded in time and size |
//! | `login` | tokens: got at the first need, renewed before they expire, replaced when refused |
//! | `response` | the table from an HTTP answer to success or [`Refusal`] |
//! | [`endpoints`] | every endpoint: method, path, body, answer |
//! | `availability` | whether the service is there, and the moment it is back |
//! | [`agent`] | the agent's calls |
//! | [`client`] | the players' calls: the Sessions Interface, public as `gameside::client` |
//!
//! Invariants: a request is carried out once, and once more only after a token that was refused; no
//! secret and no token reaches a log, an error text or a `Debug` output.

pub(crate) mod agent;
mod availability;
pub mod client;
pub(crate) mod endpoints;
mod login;
mod response;
mod transport;

pub(crate) use login::LoginError;
pub(crate) use transport::Response;

use crate::{
    host::clock,
    model::{calls::Refusal, ids::PlayerUuid},
};
use endpoints::ApiRequest;
use http::header;
use login::{AccessToken, Login, LoginSharing};
use reqwest::Client;
use response::ResponseKind;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use std::{path::PathBuf, sync::Arc, time::Duration};
use transport::{Authorisation, Request, Transport, TransportError};
use url::Url;

/// Where the service is and how to get in.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// The environment: `/session`, `/users`, `/friends` and `/instances` lie below it.
    pub base_url: Url,
    /// Connect to this socket instead of the URL's host.
    pub unix_socket: Option<PathBuf>,
    /// Trust the certificate authorities in this file (PEM), and no others.
    pub ca_file: Option<PathBuf>,
    pub credentials: Credentials,
    pub user_agent: String,
}

/// How a caller proves who it is. Files are read again at each login.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Client id and secret (`grant_type: client_credentials`).
    Client { id: String, secret: Secret },
    /// `user:password` of the basic portal, with the client's id and secret where the environment asks for them.
    Basic { user_password: Secret, client: Option<(String, Secret)> },
    /// The random secret of a local, elected service.
    Local { secret_file: PathBuf },
    /// An access token that somebody else got.
    Token(Secret),
}

/// A secret and where it comes from.
#[derive(Debug, Clone)]
pub enum Secret {
    /// The file's content without white space at its end.
    File(PathBuf),
    Text(SecretString),
}

/// Why a client can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("can't use {url} as the session service's URL: {why}")]
    Url { url: String, why: &'static str },
    #[error("can't set up the client for {url}: {source}")]
    Client { url: String, source: reqwest::Error },
    #[error("can't find the socket of the session service ({url}): {source}")]
    Socket { url: String, source: std::io::Error },
    #[error("can't use the certificate authorities in {path}: {why}")]
    Ca { path: PathBuf, why: String },
}

/// Why an exchange did not end in a success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// There is no token to send it with.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// It was sent, or couldn't be.
    #[error(transparent)]
    Call(#[from] Refusal),
}

/// One service, and the token that lets us in. Share it: clones of the `Arc` share connection and login.
#[derive(Debug)]
pub(crate) struct ApiClient {
    transport: Transport,
    login: Login,
}

impl ApiClient {
    /// Sets the client up; nothing is sent.
    pub(crate) fn new(settings: &ConnectionSettings) -> Result<Arc<Self>, SetupError> {
        let transport = Transport::new(settings)?;
        Ok(Arc::new(ApiClient { transport, login: Login::new(settings.credentials.clone()) }))
    }

    /// Sends a request and reads what its success says; each attempt takes `timeout` at most.
    pub(crate) async fn call<Answer: DeserializeOwned>(
        self: &Arc<Self>,
        request: &ApiRequest<Answer>,
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let response = self.send(request, timeout).await?;
        Ok(request.answer(&response)?)
    }

    /// Sends a request over the kept connection; a success is returned as it came.
    async fn send(self: &Arc<Self>, request: &Request, timeout: Duration) -> Result<Response, CallError> {
        let client = self.transport.client()?;
        self.send_over(&client, request, LoginSharing::Shared, timeout).await
    }

    /// Logs in unless that was done. Returns the player of the login, if it was a player's.
    async fn log_in(&self) -> Result<Option<PlayerUuid>, CallError> {
        let client = self.transport.client()?;
        self.login.token(&self.transport, &client, LoginSharing::Shared).await?;
        Ok(self.login.player())
    }

    /// Sends a request over this connection, with a good token; a token that turns out to be refused is replaced once.
    async fn send_over(
        self: &Arc<Self>,
        client: &Client,
        request: &Request,
        sharing: LoginSharing,
        timeout: Duration,
    ) -> Result<Response, CallError> {
        let mut refused = String::new();
        for _ in 0..2 {
            let token = self.token(client, sharing).await?;
            let bearer = Authorisation::Bearer(&token.text);
            let response = self.transport.send(client, request, bearer, timeout).await?;
            match ResponseKind::of(&response, request.unavailable, clock::wall()) {
                ResponseKind::Success => return Ok(response),
                ResponseKind::Refused(refusal) => return Err(refusal.into()),
                ResponseKind::BadToken { desc } => {
                    self.login.refused(token.generation);
                    refused = desc;
                }
            }
        }
        Err(LoginError::Refused(refused).into())
    }

    /// Asks for something that comes in pieces, over the kept connection: the response is returned as soon as its head is
    /// there and says yes. `timeout` is for the head alone.
    async fn open(self: &Arc<Self>, request: &Request, timeout: Duration) -> Result<reqwest::Response, CallError> {
        let client = self.transport.client()?;
        let mut refused = String::new();
        for _ in 0..2 {
            let token = self.token(&client, LoginSharing::Shared).await?;
            let bearer = Authorisation::Bearer(&token.text);
            let response = self.transport.open(&client, request, bearer, timeout).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let response = transport::read(response, timeout).await?;
            match ResponseKind::of(&response, request.unavailable, clock::wall()) {
                ResponseKind::Success => {
                    let why = format!("unexpected answer {}", response.status);
                    return Err(Refusal::Ambiguous { why }.into());
                }
                ResponseKind::Refused(refusal) => return Err(refusal.into()),
                ResponseKind::BadToken { desc } => {
                    self.login.refused(token.generation);
                    refused = desc;
                }
            }
        }
        Err(LoginError::Refused(refused).into())
    }

    /// A good token. One that nears its end is renewed in the background.
    async fn token(self: &Arc<Self>, client: &Client, sharing: LoginSharing) -> Result<AccessToken, CallError> {
        let token = self.login.token(&self.transport, client, sharing).await?;
        if token.renewal_due {
            let (api, client) = (self.clone(), client.clone());
            tokio::spawn(async move { api.login.renew(&api.transport, &client).await });
        }
        Ok(token)
    }
}

impl From<TransportError> for CallError {
    fn from(error: TransportError) -> Self {
        CallError::Call(error.into())
    }
}

/// The version of what an answer shows.
fn etag_of(response: &Response) -> Option<String> {
    Some(response.headers.get(header::ETAG)?.to_str().ok()?.to_owned())
}
