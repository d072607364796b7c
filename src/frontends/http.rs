//! One small HTTP/1.1 server for all frontends: bounded, and shut to browsers.
//!
//! | bound | value | beyond |
//! |---|---|---|
//! | connections of a listener | [`MAX_CONNECTIONS`] | 503 and closed |
//! | header lines, and bytes of them | [`MAX_HEADERS`], [`MAX_HEADER_BYTES`] | 431 and closed |
//! | time until a request's header is there, also idle between two | [`HEADER_TIMEOUT`] | closed |
//!
//! A web page that a player opens on the same machine could reach a loopback port (DNS rebinding, forms). So on TCP the `Host`
//! must name the loopback, and a request with an `Origin` is refused everywhere: no browser has business here.

use axum::{
    Router,
    extract::Request,
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::{
    io::Errno,
    net::{AddressFamily, getsockname},
};
use serde::Serialize;
use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    sync::Semaphore,
    task::JoinSet,
};

/// Which HTTP a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Http1,
    /// Without TLS and without an upgrade, as gRPC does it.
    Http2,
}

/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;
pub const MAX_CONNECTIONS: usize = 128;
pub const MAX_HEADERS: usize = 64;
pub const MAX_HEADER_BYTES: usize = 16 * 1024;
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest body, in bytes.
pub const MAX_BODY: usize = 256 * 1024;
/// A body that takes longer to arrive is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Delay after an `accept` that failed for want of descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: application/json\r\n\
retry-after: 1\r\ncontent-length: 70\r\n\r\n{\"error\":\"too_many_connections\",\"message\":\"too many connections here\"}";

/// A listening socket of ours, whatever its kind.
#[derive(Debug)]
pub enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// An error answer: `{"error": code, "message": text}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    /// A stable word for programs.
    pub code: &'static str,
    /// What was wrong, and what to do.
    pub message: String,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Problem { status, code, message: message.into() }
    }
}

/// Body of an error answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ErrorBody<'a> {
    /// A stable word for programs.
    pub error: &'a str,
    /// What was wrong, and what to do.
    pub message: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ErrorBody { error: self.code, message: &self.message };
        let mut response = (self.status, axum::Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A request's body, whole.
pub async fn body(request: Request) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("a body has at most {MAX_BODY} bytes here");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message))
        }
        Ok(Err(error)) => {
            Err(Problem::new(StatusCode::BAD_REQUEST, "cut_off", format!("the body was cut off: {error}")))
        }
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", "the body took too long to arrive")),
    }
}

/// Takes over a bound, listening socket.
///
/// A TCP socket that isn't on a loopback address is refused: what is served here is for this machine alone.
pub fn listen(fd: OwnedFd) -> io::Result<Listening> {
    let address = getsockname(fd.as_fd())?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    if address.address_family() == AddressFamily::UNIX {
        return UnixListener::from_std(fd.into()).map(Listening::Unix);
    }
    let address = SocketAddr::try_from(address)?;
    if !address.ip().is_loopback() {
        let why = format!("{address} is no loopback address; the game-facing API is for this machine alone");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    TcpListener::from_std(fd.into()).map(Listening::Tcp)
}

/// Serves until dropped; connections end with it. One connection's trouble, or panic, is its own.
pub async fn serve(listening: Listening, router: Router) {
    let mut server = Server { places: Arc::new(Semaphore::new(MAX_CONNECTIONS)), connections: JoinSet::new() };
    match listening {
        Listening::Tcp(listener) => {
            let router = router.layer(middleware::from_fn(loopback_only));
            loop {
                if let Some((stream, _)) = server.next(listener.accept()).await {
                    let _ = stream.set_nodelay(true);
                    server.connection(stream, Wire::Http1, TowerToHyperService::new(router.clone()));
                }
            }
        }
        Listening::Unix(listener) => {
            let router = router.layer(middleware::from_fn(no_browser));
            loop {
                if let Some((stream, _)) = server.next(listener.accept()).await {
                    server.connection(stream, Wire::Http1, TowerToHyperService::new(router.clone()));
                }
            }
        }
    }
}

/// The same without a router in between, for one that answers thousands of requests a second.
pub async fn serve_with<H, F>(listening: Listening, wire: Wire, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let mut server = Server { places: Arc::new(Semaphore::new(MAX_CONNECTIONS)), connections: JoinSet::new() };
    match listening {
        Listening::Tcp(listener) => loop {
            if let Some((stream, _)) = server.next(listener.accept()).await {
                let _ = stream.set_nodelay(true);
                server.connection(stream, wire, checked(handler.clone(), check_loopback));
            }
        },
        Listening::Unix(listener) => loop {
            if let Some((stream, _)) = server.next(listener.accept()).await {
                server.connection(stream, wire, checked(handler.clone(), |request| check_origin(request.headers())));
            }
        },
    }
}

type Checked = Result<(), Problem>;

/// The handler behind a check.
fn checked<H, F>(
    handler: H,
    check: impl Fn(&Request<Incoming>) -> Checked + Send + Sync + 'static,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response,
    Error = Infallible,
    Future = impl Future<Output = Result<Response, Infallible>> + Send,
> + Send
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    hyper::service::service_fn(move |request| {
        let answer = check(&request).map(|()| handler(request));
        async move {
            Ok(match answer {
                Ok(answer) => answer.await,
                Err(problem) => problem.into_response(),
            })
        }
    })
}

struct Server {
    places: Arc<Semaphore>,
    connections: JoinSet<()>,
}

impl Server {
    /// The next connection; none if it failed, or if another ended meanwhile.
    async fn next<S>(&mut self, accept: impl Future<Output = io::Result<S>>) -> Option<S> {
        tokio::select! {
            accepted = accept => match accepted {
                Ok(stream) => Some(stream),
                Err(error) => {
                    accept_failed(&error).await;
                    None
                }
            },
            Some(ended) = self.connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
                None
            }
        }
    }

    fn connection<S, V>(&mut self, mut stream: S, wire: Wire, service: V)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        V: hyper::service::Service<Request<Incoming>, Response = Response, Error = Infallible> + Send + 'static,
        V::Future: Send + 'static,
    {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.connections.spawn(async move { drop(stream.write_all(TOO_MANY).await) });
            return;
        };
        let stream = TokioIo::new(stream);
        self.connections.spawn(async move {
            let served = match wire {
                Wire::Http1 => one(stream, service).await,
                Wire::Http2 => two(stream, service).await,
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
}

async fn one<S, V>(stream: TokioIo<S>, service: V) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    V: hyper::service::Service<Request<Incoming>, Response = Response, Error = Infallible> + Send,
    V::Future: Send,
{
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_BYTES)
        .serve_connection(stream, service)
        .with_upgrades()
        .await
}

async fn two<S, V>(stream: TokioIo<S>, service: V) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    V: hyper::service::Service<Request<Incoming>, Response = Response, Error = Infallible> + Send,
    V::Future: Send + 'static,
{
    http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES as u32)
        .serve_connection(stream, service)
        .await
}

/// Out of descriptors or memory: others will give some back. Anything else concerned one connection only.
async fn accept_failed(error: &io::Error) {
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].map(|errno| Some(errno.raw_os_error()));
    if short.contains(&error.raw_os_error()) {
        tracing::warn!(%error, "can't accept a connection; trying again in a moment");
        tokio::time::sleep(ACCEPT_BACKOFF).await;
    }
}

async fn loopback_only(request: Request, next: Next) -> Response {
    match check_loopback(&request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check_loopback<B>(request: &Request<B>) -> Checked {
    check_host(request.uri(), request.headers()).and_then(|()| check_origin(request.headers()))
}

async fn no_browser(request: Request, next: Next) -> Response {
    match check_origin(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Exactly one `Host`, and it names the loopback; so does the URI if it is absolute. HTTP/2 has its authority in the URI alone.
fn check_host(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let bad = |found: &str| {
        let message =
            format!("the Host header must name the loopback (127.0.0.1, [::1] or localhost), found {found:?}");
        Problem::new(StatusCode::FORBIDDEN, "foreign_host", message)
    };
    let mut hosts = headers.get_all(header::HOST).iter();
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let host = hosts.next().map_or(authority, |host| host.to_str().unwrap_or(""));
    if hosts.next().is_some() || !is_loopback(host) {
        return Err(bad(host));
    }
    match uri.authority() {
        Some(authority) if !is_loopback(authority.as_str()) => Err(bad(authority.as_str())),
        Some(_) | None => Ok(()),
    }
}

fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(header::ORIGIN) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "browser",
            "requests of web pages (with an Origin) are refused",
        ));
    }
    Ok(())
}

/// `host` or `host:port`, with brackets around an IPv6 address.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_pass_for_a_host() {
        for good in ["127.0.0.1", "127.0.0.1:80", "localhost:9", "LOCALHOST", "[::1]:9358", "[::1]", "127.9.9.9:1"] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in
            ["", "evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil", "a@b"]
        {
            assert!(!is_loopback(bad), "{bad}");
        }
    }

    #[test]
    fn the_canned_answer_tells_its_own_length() {
        let text = std::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())) || head.ends_with(&body.len().to_string()),
            "{}",
            body.len()
        );
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
