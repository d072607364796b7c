//! The accept loop, and the connections that it opens.
//!
//! ```text
//!   accept ──► this user's? ──► a place? ──► a task of its own: TLS handshake, requests until either end has enough
//!                  │ no            │ no: one that waits for a request is cut, and its place is taken
//!                  │               │ none waits
//!                  └───────────────┴──► one refusal, closed  (or, with WhenFull::Wait, not accepted before there is a place)
//!
//!   `end` ──► no more are accepted ──► each connection finishes its request ──► at the latest after DRAIN: closed
//! ```
//!
//! | bound | value | beyond |
//! |---|---|---|
//! | connections | [`Options::places`] | [`WhenFull`] |
//! | header lines, and bytes of them | [`Limits`] | 431 and closed |
//! | time until a request's header is there, also idle between two | [`Limits::header_timeout`] | closed |
//! | time that a write may wait | [`Limits::write_timeout`] | closed |
//! | TLS handshake | [`HANDSHAKE`] | closed |
//!
//! Invariants: the future of [`serve`] owns its connections: dropping it ends them. One
//! connection's trouble, or panic, is its own.

use super::{
    listener::{Listener, Peer},
    stream::Stream,
    tls::Tls,
    waiting::{Answer, Connections},
    write_timeout::WriteTimeout,
};
use bytes::Bytes;
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    server::conn::{http1, http2},
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{convert::Infallible, error::Error, future::Future, io, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, JoinSet},
};

/// How long answers under way may take once the server ends.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Delay after an `accept` that failed for want of descriptors or memory.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// How long a connection that is refused may take to hear it, and how many bytes of it are read meanwhile.
const LAST_WORDS: Duration = Duration::from_secs(1);
const LAST_BYTES: u64 = 64 * 1024;
/// How long a connection that is cut may take to give its place back.
const MAKING_ROOM: Duration = Duration::from_secs(1);
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 64;

/// How a listener is served. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Options {
    /// Places for connections; listeners that share them share the bound.
    pub places: Arc<Semaphore>,
    pub when_full: WhenFull,
    pub admits: Admits,
    /// TLS on TCP connections.
    pub tls: Option<Arc<Tls>>,
    /// Asked for each new connection, so that a reload takes effect.
    pub limits: Arc<dyn Fn() -> Limits + Send + Sync>,
}

/// The whole HTTP/1.1 answer to a connection that isn't served: see [`error::raw`](super::error::raw).
pub(crate) type Refusal = fn() -> Vec<u8>;

/// What happens to one connection more than there are places.
#[derive(Debug, Clone, Copy)]
pub(crate) enum WhenFull {
    /// It waits in the kernel's queue.
    Wait,
    /// It gets the place of one that waits for a request: so those who have nothing to ask keep nobody out. Where none does, it is
    /// answered with this and closed.
    Refuse(Refusal),
}

/// Whose connections are served.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Admits {
    Everybody,
    /// Processes of the user that this one runs as, and root's. Others are answered with this and closed.
    SameUserOrRoot(Refusal),
}

/// Bounds of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Until a request's header is there, also idle between two.
    pub header_timeout: Duration,
    /// None: the library's own limit of 100, which costs less than one of ours.
    pub max_headers: Option<usize>,
    pub max_header_bytes: usize,
    /// None: whoever reads nothing is waited for.
    pub write_timeout: Option<Duration>,
}

impl Options {
    /// Places of its own, no TLS, the same limits for ever.
    pub(crate) fn new(places: usize, when_full: WhenFull, admits: Admits, limits: Limits) -> Self {
        let places = Arc::new(Semaphore::new(places));
        Options { places, when_full, admits, tls: None, limits: Arc::new(move || limits) }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("when_full", &self.when_full)
            .field("admits", &self.admits)
            .finish_non_exhaustive()
    }
}

/// Serves `listener` until `end`, then waits for what is under way. `handler` answers one request of a peer.
pub(crate) async fn serve<P, H, F, B>(
    listener: Listener,
    options: Options,
    protocol: P,
    handler: H,
    end: impl Future<Output = ()>,
) where
    P: Protocol,
    H: Fn(Peer, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + Send + 'static,
{
    if let Err(why) = listener.notice_lost_peers() {
        tracing::warn!(%why, "connections whose other end is gone will be kept for longer");
    }
    let all = Connections::default();
    let mut connections = JoinSet::new();
    let (ending, ended) = watch::channel(false);
    let mut end = pin!(end);
    loop {
        let accepted = tokio::select! {
            next = next(&listener, &options) => next,
            Some(done) = connections.join_next() => {
                report(done);
                continue;
            }
            () = &mut end => break,
        };
        let accepted = match accepted {
            Err(why) => {
                accept_failed(&why).await;
                continue;
            }
            Ok(accepted) => accepted,
        };
        let (stream, peer, place) = accepted;
        match make_room(place, &options, &all).await {
            Err(refusal) => drop(connections.spawn(refuse(stream, refusal()))),
            Ok(place) => {
                let this = all.opened();
                let asking = this.clone();
                let handler = handler.clone();
                let service = service_fn(move |request| {
                    let under_way = asking.asked();
                    let answer = handler(peer, request);
                    async move { Ok::<_, Infallible>(answer.await.map(|body| Answer::new(body, under_way))) }
                });
                let (limits, tls) = ((options.limits)(), options.tls.clone());
                let ended = ended.clone();
                connections.spawn(async move {
                    tokio::select! {
                        biased;
                        () = connection(stream, peer, tls, limits, protocol, service, ended) => {}
                        () = this.cut() => tracing::debug!(?peer, "a connection that waited has made room"),
                    }
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    ending.send_replace(true);
    let rest = async {
        while let Some(done) = connections.join_next().await {
            report(done);
        }
    };
    if tokio::time::timeout(DRAIN, rest).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

type Place = OwnedSemaphorePermit;

/// Why a connection has no place.
enum NoPlace {
    Full(Refusal),
    OtherUser(Refusal),
}

/// The next connection, with its place or the refusal that it gets.
async fn next(listener: &Listener, options: &Options) -> io::Result<(Stream, Peer, Result<Place, NoPlace>)> {
    let place = || options.places.clone();
    let (stream, peer, place) = match options.when_full {
        WhenFull::Wait => {
            let place = place().acquire_owned().await.map_err(io::Error::other)?;
            let (stream, peer) = listener.accept().await?;
            (stream, peer, Ok(place))
        }
        WhenFull::Refuse(refusal) => {
            let (stream, peer) = listener.accept().await?;
            (stream, peer, place().try_acquire_owned().map_err(|_| NoPlace::Full(refusal)))
        }
    };
    match options.admits {
        Admits::SameUserOrRoot(refusal) if !peer.is_same_user_or_root() => {
            Ok((stream, peer, Err(NoPlace::OtherUser(refusal))))
        }
        Admits::SameUserOrRoot(_) | Admits::Everybody => Ok((stream, peer, place)),
    }
}

/// Its place, or that of a connection that waits for a request.
async fn make_room(place: Result<Place, NoPlace>, options: &Options, all: &Connections) -> Result<Place, Refusal> {
    match place {
        Ok(place) => Ok(place),
        Err(NoPlace::OtherUser(refusal)) => Err(refusal),
        Err(NoPlace::Full(refusal)) => {
            let given_back = async {
                while all.cut_one() {
                    tokio::select! {
                        place = options.places.clone().acquire_owned() => return place.ok(),
                        () = all.declined() => {}
                    }
                }
                None
            };
            tokio::time::timeout(MAKING_ROOM, given_back).await.ok().flatten().ok_or(refusal)
        }
    }
}

/// Whoever has gone by then needs no answer. What was sent meanwhile is read: closed before that, the answer might be lost.
async fn refuse(mut stream: Stream, refusal: Vec<u8>) {
    let told = async {
        stream.write_all(&refusal).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LAST_BYTES), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LAST_WORDS, told).await;
}

fn report(done: Result<(), JoinError>) {
    if let Err(error) = done {
        tracing::error!(%error, "a connection's task failed");
    }
}

async fn accept_failed(why: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if !matches!(why.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        // Out of descriptors or memory, most likely: others will give some back.
        tracing::warn!(%why, "can't accept a connection; trying again in a moment");
        tokio::time::sleep(ACCEPT_AGAIN).await;
    }
}

async fn connection<P: Protocol, S, B>(
    stream: Stream,
    peer: Peer,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    protocol: P,
    service: S,
    ended: watch::Receiver<bool>,
) where
    S: HttpService<Incoming, ResBody = B, Error = Infallible, Future: Send + 'static> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let stream = match (tls, stream) {
        (Some(tls), Stream::Tcp(stream)) => {
            match tokio::time::timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
                Ok(Ok(stream)) => Stream::Tls(Box::new(stream)),
                Ok(Err(why)) => return tracing::debug!(?peer, %why, "TLS handshake failed"),
                Err(_) => return tracing::debug!(?peer, "TLS handshake took too long"),
            }
        }
        (_, stream) => stream,
    };
    let io = TokioIo::new(WriteTimeout::new(stream, limits.write_timeout));
    if let Err(why) = protocol.requests(io, limits, service, ended).await {
        tracing::debug!(%why, "a connection ended early");
    }
}

/// Bytes of a connection as the HTTP library takes them.
pub(crate) type Io = TokioIo<WriteTimeout<Stream>>;

/// Which HTTP a listener speaks.
pub(crate) trait Protocol: Copy + Send + Sync + 'static {
    /// Answers a connection's requests until either end has enough, or `ended` says so: then only the one under way.
    fn requests<S, B>(
        self,
        io: Io,
        limits: Limits,
        service: S,
        ended: watch::Receiver<bool>,
    ) -> impl Future<Output = hyper::Result<()>> + Send
    where
        S: HttpService<Incoming, ResBody = B, Error = Infallible, Future: Send + 'static> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;
}

/// HTTP/1.1, with upgrades.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Http1;

/// HTTP/2 without an upgrade, as gRPC speaks it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Http2;

impl Protocol for Http1 {
    async fn requests<S, B>(
        self,
        io: Io,
        limits: Limits,
        service: S,
        mut ended: watch::Receiver<bool>,
    ) -> hyper::Result<()>
    where
        S: HttpService<Incoming, ResBody = B, Error = Infallible, Future: Send + 'static> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_header_size(limits.max_header_bytes);
        if let Some(most) = limits.max_headers {
            http.max_headers(most);
        }
        let mut connection = pin!(http.serve_connection(io, service).with_upgrades());
        tokio::select! {
            biased;
            done = connection.as_mut() => return done,
            _ = ended.wait_for(|ended| *ended) => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

impl Protocol for Http2 {
    async fn requests<S, B>(
        self,
        io: Io,
        limits: Limits,
        service: S,
        mut ended: watch::Receiver<bool>,
    ) -> hyper::Result<()>
    where
        S: HttpService<Incoming, ResBody = B, Error = Infallible, Future: Send + 'static> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX));
        let mut connection = pin!(http.serve_connection(io, service));
        tokio::select! {
            biased;
            done = connection.as_mut() => return done,
            _ = ended.wait_for(|ended| *ended) => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

#[cfg(test)]
mod tests;
