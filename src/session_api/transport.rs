//! One HTTP exchange: bounded in time and size, and clear about whether anything was sent.
//!
//! | what happened | [`TransportError`] |
//! |---|---|
//! | no connection, name not found, TLS refused | `Unreachable`: nothing was sent |
//! | timed out, cut off, no HTTP, larger than 4 MiB | `Ambiguous`: it may have been carried out |
//!
//! The client speaks HTTP/1 only and keeps one idle connection, which saves memory. After an outage
//! the connection of the time before may lead nowhere: it is thrown away with its client. TLS is
//! set up only for `https`.

use super::{ConnectionSettings, SetupError};
use crate::host::clock;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::Client;
use rustix::fs::{Mode, OFlags};
use secrecy::{ExposeSecret, SecretString};
use std::{
    error::Error,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use url::{Host, Url};

/// The largest body that is read.
pub(super) const MAX_BODY: usize = 4 << 20;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// After this long without an acknowledgement by the peer's kernel, a connection is dead.
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);
/// How soon the kernel asks whether the peer of a long poll is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// The longest path that fits into a socket address.
const MAX_SOCKET_PATH: usize = 107;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    /// Path and query below the base URL, encoded.
    pub path: String,
    /// Besides those that every request has.
    pub headers: HeaderMap,
    pub body: Option<Vec<u8>>,
    /// What the Session API means by answering this with 503.
    pub unavailable: Unavailable,
}

/// What a 503 with one of the contract's bodies, and without Retry-After, means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unavailable {
    /// The service can't do it now; whether it did anything is unclear.
    #[default]
    Unclear,
    /// What the request is about has expired.
    Expired,
}

/// What came back, whatever the status.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Nothing usable came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Nothing was sent.
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// The request may have been carried out.
    #[error("no clear answer: {0}")]
    Ambiguous(String),
}

/// How a request is authorised.
#[derive(Debug, Clone, Copy)]
pub(super) enum Authorisation<'a> {
    None,
    Basic { id: &'a str, secret: &'a SecretString },
    Bearer(&'a SecretString),
}

/// Where requests go, and the client that takes them there.
#[derive(Debug)]
pub(super) struct Transport {
    base: String,
    user_agent: HeaderValue,
    connector: ConnectorConfig,
    pooled: Mutex<Option<Client>>,
}

/// What the client is built from.
#[derive(Debug)]
struct ConnectorConfig {
    tls: Tls,
    proxy: Proxy,
    socket: Option<Socket>,
    /// Whose certificates are trusted instead of those that the machine trusts.
    authorities: Option<Authorities>,
}

/// Certificate authorities in a file. It is read again for each new client, so that an agent that lives for months learns
/// of the next authority; while it can't be used, what was read before counts.
#[derive(Debug)]
struct Authorities {
    file: PathBuf,
    known: Mutex<Vec<reqwest::Certificate>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
    Platform,
    None,
}

/// Whether the environment's `https_proxy` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proxy {
    Environment,
    Never,
}

/// How many idle connections a client keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pool {
    One,
    None,
}

/// A socket's path. One that is too long for a socket address goes through a descriptor of its directory.
#[derive(Debug)]
struct Socket {
    path: PathBuf,
    _dir: Option<OwnedFd>,
}

impl Request {
    /// A request without a body.
    pub fn new(method: Method, path: String) -> Self {
        Request { method, path, headers: HeaderMap::new(), body: None, unavailable: Unavailable::default() }
    }

    /// With one more header; a value that can't be one is left out.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

impl Transport {
    pub(super) fn new(settings: &ConnectionSettings) -> Result<Self, SetupError> {
        let _ = rustls::crypto::ring::default_provider().install_default(); // An error means that it is there already.
        let url = &settings.base_url;
        let bad = |why| SetupError::Url { url: redacted(url), why };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("it must begin with http:// or https://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it holds a password; put credentials into their own settings"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it must end with the path, without `?` or `#`"));
        }
        let socket = settings.unix_socket.as_deref().map(Socket::find).transpose();
        let authorities = settings.ca_file.as_deref().map(Authorities::read).transpose()?;
        let connector = ConnectorConfig {
            authorities,
            tls: if url.scheme() == "https" { Tls::Platform } else { Tls::None },
            proxy: if settings.unix_socket.is_some() || is_loopback(url) { Proxy::Never } else { Proxy::Environment },
            socket: socket.map_err(|source| SetupError::Socket { url: redacted(url), source })?,
        };
        let user_agent = HeaderValue::from_str(&settings.user_agent);
        let transport = Transport {
            base: url.as_str().trim_end_matches('/').to_owned(),
            user_agent: user_agent.map_err(|_| bad("the user agent beside it is no HTTP header"))?,
            pooled: Mutex::new(None),
            connector,
        };
        let client = transport.connector.client(Pool::One);
        let client = client.map_err(|source| SetupError::Client { url: redacted(url), source })?;
        *transport.pooled() = Some(client);
        Ok(transport)
    }

    /// The client whose connection is kept.
    pub(super) fn client(&self) -> Result<Client, TransportError> {
        let mut pooled = self.pooled();
        if let Some(client) = pooled.as_ref() {
            return Ok(client.clone());
        }
        let client = self.connector.client(Pool::One).map_err(|error| TransportError::Unreachable(why(&error)))?;
        Ok(pooled.insert(client).clone())
    }

    /// A client that makes a fresh connection for each exchange.
    pub(super) fn fresh(&self) -> Result<Client, TransportError> {
        self.connector.client(Pool::None).map_err(|error| TransportError::Unreachable(why(&error)))
    }

    /// Lets go of the kept connection: nobody knows whether it still leads anywhere.
    pub(super) fn renew(&self) {
        *self.pooled() = None;
    }

    /// One exchange, in `timeout` at most.
    pub(super) async fn send(
        &self,
        client: &Client,
        request: &Request,
        authorisation: Authorisation<'_>,
        timeout: Duration,
    ) -> Result<Response, TransportError> {
        let request = self.built(client, request, authorisation)?;
        match tokio::time::timeout(timeout, receive(client, request)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(timed_out(timeout)),
        }
    }

    /// Sends a request and returns its response once the head is there; the body comes as it comes.
    pub(super) async fn open(
        &self,
        client: &Client,
        request: &Request,
        authorisation: Authorisation<'_>,
        timeout: Duration,
    ) -> Result<reqwest::Response, TransportError> {
        let request = self.built(client, request, authorisation)?;
        match tokio::time::timeout(timeout, client.execute(request)).await {
            Ok(outcome) => outcome.map_err(|error| failed(&error)),
            Err(_) => Err(timed_out(timeout)),
        }
    }

    fn built(
        &self,
        client: &Client,
        request: &Request,
        authorisation: Authorisation<'_>,
    ) -> Result<reqwest::Request, TransportError> {
        let mut builder = client
            .request(request.method.clone(), format!("{}{}", self.base, request.path))
            .header(header::USER_AGENT, self.user_agent.clone())
            .header(header::ACCEPT, "application/json")
            .headers(request.headers.clone());
        if let Some(body) = request.body.clone() {
            builder = builder.header(header::CONTENT_TYPE, "application/json").body(body);
        }
        // Both mark the header as sensitive.
        builder = match authorisation {
            Authorisation::None => builder,
            Authorisation::Basic { id, secret } => builder.basic_auth(id, Some(secret.expose_secret())),
            Authorisation::Bearer(token) => builder.bearer_auth(token.expose_secret()),
        };
        builder.build().map_err(|error| TransportError::Unreachable(why(&error)))
    }

    fn pooled(&self) -> std::sync::MutexGuard<'_, Option<Client>> {
        self.pooled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectorConfig {
    fn client(&self, pool: Pool) -> Result<Client, reqwest::Error> {
        let mut builder = Client::builder()
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .tcp_keepalive(KEEPALIVE)
            .pool_idle_timeout(None)
            .pool_max_idle_per_host(match pool {
                Pool::One => 1,
                Pool::None => 0,
            });
        match self.tls {
            Tls::None => builder = builder.tls_certs_only([]),
            Tls::Platform => {
                if let Some(authorities) = &self.authorities {
                    builder = builder.tls_certs_only(authorities.newest());
                }
            }
        }
        if self.proxy == Proxy::Never {
            builder = builder.no_proxy();
        }
        if let Some(socket) = &self.socket {
            builder = builder.unix_socket(socket.path.clone());
        }
        builder.build()
    }
}

impl Authorities {
    fn read(file: &Path) -> Result<Self, SetupError> {
        Ok(Authorities { known: Mutex::new(authorities(file)?), file: file.to_owned() })
    }

    fn newest(&self) -> Vec<reqwest::Certificate> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match authorities(&self.file) {
            Ok(newest) => *known = newest,
            Err(why) => tracing::warn!(%why, "the certificate authorities that were read before still count"),
        }
        known.clone()
    }
}

impl Socket {
    fn find(path: &Path) -> std::io::Result<Self> {
        if path.as_os_str().as_bytes().len() <= MAX_SOCKET_PATH {
            return Ok(Socket { path: path.to_owned(), _dir: None });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(std::io::ErrorKind::InvalidInput.into());
        };
        let dir = rustix::fs::open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
        Ok(Socket { path, _dir: Some(dir) })
    }
}

async fn receive(client: &Client, request: reqwest::Request) -> Result<Response, TransportError> {
    whole(client.execute(request).await.map_err(|error| failed(&error))?).await
}

/// Reads the rest of a response that was opened, in `timeout` at most.
pub(super) async fn read(response: reqwest::Response, timeout: Duration) -> Result<Response, TransportError> {
    tokio::time::timeout(timeout, whole(response)).await.unwrap_or_else(|_| Err(timed_out(timeout)))
}

async fn whole(mut response: reqwest::Response) -> Result<Response, TransportError> {
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_BODY => {
                return Err(TransportError::Ambiguous("the answer is larger than 4 MiB".to_owned()));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Err(TransportError::Ambiguous(format!("the answer was cut off: {}", why(&error)))),
        }
    }
    let headers = std::mem::take(response.headers_mut());
    Ok(Response { status: response.status(), headers, body: body.freeze() })
}

fn timed_out(timeout: Duration) -> TransportError {
    TransportError::Ambiguous(format!("no answer within {} ms", timeout.as_millis()))
}

fn failed(error: &reqwest::Error) -> TransportError {
    if error.is_connect() || error.is_builder() {
        TransportError::Unreachable(why(error))
    } else {
        TransportError::Ambiguous(why(error))
    }
}

/// The certificates in a file, of which there must be some.
fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, SetupError> {
    let bad = |why: String| SetupError::Ca { path: path.to_owned(), why };
    let pem = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| bad(self::why(&error)))?;
    if found.is_empty() { Err(bad("there is no certificate in it (PEM is expected)".to_owned())) } else { Ok(found) }
}

/// The innermost cause: the outer ones repeat the URL and say "error sending request".
fn why(error: &reqwest::Error) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if clock_in_question(cause) {
        return format!("{cause}; this machine's clock says {}: if that is wrong, set it", clock::wall());
    }
    cause.to_string()
}

/// The certificate is refused for its dates alone: either it is out of date, or our clock is.
fn clock_in_question(cause: &(dyn Error + 'static)) -> bool {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    // An input or output error may wrap another one, and doesn't call it its source.
    if let Some(inner) = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        return clock_in_question(inner);
    }
    let Some(rustls::Error::InvalidCertificate(why)) = cause.downcast_ref() else { return false };
    matches!(why, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
}

/// The URL without what must not be printed.
fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_password(None);
    url.to_string()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::certificates::{FIRST, SECOND};

    #[test]
    fn authorities_are_read_again_and_stay_while_their_file_is_of_no_use() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        assert!(Authorities::read(&file).is_err(), "at the start it must be there");
        std::fs::write(&file, FIRST).unwrap();
        let authorities = Authorities::read(&file).unwrap();
        std::fs::write(&file, format!("{FIRST}\n{SECOND}")).unwrap();
        assert_eq!(authorities.newest().len(), 2);
        std::fs::write(&file, "half a fi").unwrap();
        assert_eq!(authorities.newest().len(), 2);
    }

    #[test]
    fn a_refusal_for_dates_alone_is_put_down_to_the_clock_as_well() {
        use rustls::CertificateError::{Expired, NotValidYet, UnknownIssuer};
        let refused = |why| std::io::Error::other(std::io::Error::other(rustls::Error::InvalidCertificate(why)));
        assert!(clock_in_question(&refused(Expired)) && clock_in_question(&refused(NotValidYet)));
        assert!(!clock_in_question(&refused(UnknownIssuer)));
        assert!(!clock_in_question(&std::io::Error::other("something else")));
    }
}
