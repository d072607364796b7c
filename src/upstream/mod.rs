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
//! | [`classify`] | the table from an HTTP answer to success or [`Refusal`] |
//! | [`wire`] | one HTTP exchange, bounded in time and size |
//! | [`login`] | tokens: got, renewed before they expire, asked for anew when refused |
//! | [`etag`] | which version of a session the core has seen |
//! | [`reach`] | whether the service is there, and the moment it is back |
//! | [`addresses`] | which of this machine's addresses go into which connection string |
//!
//! Invariants:
//!
//! 1. A call is carried out once. Whoever wants it again asks again; only a token found expired is renewed on the way.
//! 2. Whatever the service does, a call ends, after [`UpstreamSettings::call_timeout`] at the latest.
//! 3. When the service is back after it was away, no call of the time before stays under way: it ends as ambiguous.
//! 4. No secret and no token reaches a log, an error text or a `Debug` output.

pub mod addresses;
pub mod classify;
pub mod client;
pub mod etag;
pub mod login;
pub mod reach;
pub mod wire;

use crate::model::calls::{Answer, Backend, Call, Refusal};
use bytes::Bytes;
use secrecy::SecretString;
use std::{path::PathBuf, time::Duration};
use tokio::sync::mpsc;
use url::Url;

/// Where the service is and how to get in.
#[derive(Debug, Clone)]
pub struct UpstreamSettings {
    /// The environment: `/session`, `/users` and `/instances` lie below it.
    pub base_url: Url,
    /// Connect to this socket instead of the URL's host.
    pub unix_socket: Option<PathBuf>,
    pub credentials: Credentials,
    pub user_agent: String,
    /// How long one call may take, login not included.
    pub call_timeout: Duration,
}

impl UpstreamSettings {
    /// How long a call may take where nothing else is configured.
    pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
}

/// How the agent proves who it is. Files are read again at each login.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// Client id and secret (`grant_type: client_credentials`).
    Client { id: String, secret: Secret },
    /// `user:password` of the basic portal, with the client's id and secret where the environment asks for them.
    Basic { user_password: Secret, client: Option<(String, Secret)> },
    /// The random secret of a local, elected service.
    Local { secret_file: PathBuf },
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
pub enum NoUpstream {
    #[error("can't use {url} as the session service's URL: {why}")]
    Url { url: String, why: &'static str },
    #[error("can't set up the client for {url}: {source}")]
    Client { url: String, source: reqwest::Error },
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
pub struct Upstream {}

/// Sets the client up; nothing is sent before the first call. Must be called within a tokio runtime. The receiver gets every
/// change of [`Backend`], beginning with the first that differs from [`Backend::Untried`].
pub fn connect(settings: UpstreamSettings) -> Result<(Upstream, mpsc::Receiver<Backend>), NoUpstream> {
    let _ = settings;
    unimplemented!()
}

impl Upstream {
    /// Carries out one call, once.
    pub async fn carry_out(&self, call: Call) -> Result<Answer, Refusal> {
        let _ = call;
        unimplemented!()
    }

    /// Sends a provider's request with a good token, and hears a success or why it was none.
    pub async fn authorised(&self, request: Request) -> Result<Heard, Refusal> {
        let _ = request;
        unimplemented!()
    }

    /// The address under which the service sees us (`GET /v1/connection-info`). Only where the user opted in.
    pub async fn connection_info(&self) -> Result<std::net::IpAddr, Refusal> {
        unimplemented!()
    }
}
