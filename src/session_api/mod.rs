//! Getting into a session service: one HTTP exchange, logged in, bounded and understood. What the agent's client ([`agent`])
//! and the players' ([`client`]) have in common.
//!
//! ```text
//!   Request ──► ApiClient::exchange ──► transport (one exchange) ──► classify (which answer?) ──► Response | CallError
//!                    └ login: a token that is still good; one that is refused is replaced once
//! ```
//!
//! | file | holds |
//! |---|---|
//! | [`transport`] | one HTTP exchange, bounded in time and size |
//! | [`login`] | tokens: got, renewed before they expire, asked for anew when refused |
//! | [`response`] | the table from an HTTP answer to success or [`Refusal`] |
//!
//! Invariants: a request is carried out once, except after a token that was refused; no secret and no token reaches a log, an error
//! text or a `Debug` output.

pub mod agent;
pub mod availability;
pub mod client;
pub mod login;
pub mod response;
pub mod transport;

use crate::{host::clock, model::calls::Refusal};
use http::header;
use login::{Login, LoginError, LoginSharing};
use reqwest::Client;
use response::{Asked, ResponseKind, classify};
use secrecy::SecretString;
use std::{path::PathBuf, sync::Arc, time::Duration};
use transport::{Authorisation, Request, Response, Transport};
use url::Url;

/// Where the service is and how to get in.
#[derive(Debug, Clone)]
pub struct ConnectionSettings {
    /// The environment: `/session`, `/users` and `/instances` lie below it.
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
    /// An api token that somebody else got.
    Token(Secret),
}

/// A secret and where it comes from.
#[derive(Debug, Clone)]
pub enum Secret {
    /// The file's content without white space at its end.
    File(PathBuf),
    Text(SecretString),
}

/// What can't be set up.
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

/// The way to one service, with the token that opens it.
#[derive(Debug)]
pub struct ApiClient {
    pub transport: Transport,
    pub login: Login,
}

/// Why an exchange did not end in a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// There is no token to send it with.
    Login(LoginError),
    /// It was sent, or couldn't be.
    Call(Refusal),
}

impl ApiClient {
    /// Sets the client up; nothing is sent.
    pub fn new(connection: &ConnectionSettings) -> Result<Arc<Self>, SetupError> {
        let transport = Transport::new(connection)?;
        Ok(Arc::new(ApiClient { transport, login: Login::new(connection.credentials.clone()) }))
    }

    /// One exchange with a good token; one that turns out to be refused is replaced once.
    pub async fn exchange(
        self: &Arc<Self>,
        client: &Client,
        request: &Request,
        asked: Asked,
        turn: LoginSharing,
        patience: Duration,
    ) -> Result<Response, CallError> {
        let mut refused = None;
        for _ in 0..2 {
            let ticket = self.ticket(client, turn).await?;
            let bearer = Authorisation::Bearer(&ticket.text);
            let response = self.transport.exchange(client, request.clone(), bearer, patience).await;
            let response = response.map_err(response::lost)?;
            match classify(asked, &response, clock::wall()) {
                ResponseKind::Success => return Ok(response),
                ResponseKind::Refused(refusal) => return Err(refusal.into()),
                ResponseKind::BadToken { desc } => {
                    self.login.refused(ticket.generation);
                    refused = Some(desc);
                }
            }
        }
        Err(LoginError::Refused(refused.unwrap_or_default()).into())
    }

    /// Asks for something that comes in pieces: the response is returned as soon as its head is there and says yes. `patience` is for
    /// the head alone.
    pub async fn open(
        self: &Arc<Self>,
        client: &Client,
        request: &Request,
        patience: Duration,
    ) -> Result<reqwest::Response, CallError> {
        let mut refused = None;
        for _ in 0..2 {
            let ticket = self.ticket(client, LoginSharing::Shared).await?;
            let bearer = Authorisation::Bearer(&ticket.text);
            let response = self.transport.open(client, request.clone(), bearer, patience).await;
            let response = response.map_err(response::lost)?;
            if response.status().is_success() {
                return Ok(response);
            }
            let response = transport::read(response, patience).await.map_err(response::lost)?;
            match classify(Asked::Other, &response, clock::wall()) {
                ResponseKind::Success => {
                    return Err(Refusal::Ambiguous { why: format!("unexpected answer {}", response.status) }.into());
                }
                ResponseKind::Refused(refusal) => return Err(refusal.into()),
                ResponseKind::BadToken { desc } => {
                    self.login.refused(ticket.generation);
                    refused = Some(desc);
                }
            }
        }
        Err(LoginError::Refused(refused.unwrap_or_default()).into())
    }

    async fn ticket(self: &Arc<Self>, client: &Client, turn: LoginSharing) -> Result<login::AccessToken, CallError> {
        let ticket = self.login.ticket(&self.transport, client, turn).await?;
        if ticket.due {
            let (api, client) = (self.clone(), client.clone());
            tokio::spawn(async move { api.login.renew(&api.transport, &client).await });
        }
        Ok(ticket)
    }
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        CallError::Call(refusal)
    }
}

impl From<LoginError> for CallError {
    fn from(trouble: LoginError) -> Self {
        CallError::Login(trouble)
    }
}

/// The version of what an answer shows.
pub fn etag_of(response: &Response) -> Option<String> {
    Some(response.headers.get(header::ETAG)?.to_str().ok()?.to_owned())
}

/// Text as one segment of a path. Dots alone would be taken for a way through directories.
pub fn segment(text: &str) -> Result<String, Refusal> {
    use std::fmt::Write as _;
    if matches!(text, "" | "." | "..") {
        return Err(Refusal::Invalid { desc: format!("{text:?} can't be an id in a path") });
    }
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}"); // Writing to a String can't fail.
        }
    }
    Ok(encoded)
}
