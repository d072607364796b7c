//! Listeners and connections: bounded in number, in header size and in time; on shutdown every request under way is answered.

use super::{answer, patience::Patient, tls::Tls};
use crate::service::{Listeners, ServeError, Shared};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use std::{convert::Infallible, future::Future, io, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

/// How long answers under way may take once the service ends.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The most bytes of header fields that a request may have; 100 fields are the library's own limit, which costs less than one of ours.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// How long to wait after an accept failed (out of descriptors).
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Accepts until `shutdown` ends, then waits for what is under way.
pub async fn serve(
    shared: Arc<Shared>,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (ending, ended) = watch::channel(false);
    let graceful = Arc::new(GracefulShutdown::new());
    let places = shared.places.clone();
    let mut accepting = tokio::task::JoinSet::new();
    for tcp in listeners.tcp {
        let door = Door { shared: shared.clone(), graceful: graceful.clone(), tls: listeners.tls.clone() };
        accepting.spawn(accept(Acceptor::Tcp(tcp), door, places.clone(), ended.clone()));
    }
    for unix in listeners.unix {
        let door = Door { shared: shared.clone(), graceful: graceful.clone(), tls: None };
        accepting.spawn(accept(Acceptor::Unix(unix), door, places.clone(), ended.clone()));
    }
    shutdown.await;
    let _ = ending.send(true);
    shared.end();
    while accepting.join_next().await.is_some() {}
    if let Some(graceful) = Arc::into_inner(graceful)
        && tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err()
    {
        tracing::warn!("some connections did not end in time");
    }
    Ok(())
}

/// What is listened on.
enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// One connection's stream.
enum Stream {
    Tcp(TcpStream, IpAddr),
    Unix(UnixStream),
}

impl Acceptor {
    async fn accept(&self) -> io::Result<Stream> {
        match self {
            Acceptor::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Without it answers wait for the client's delayed acknowledgement; a socket that can't is slow, not broken.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream, peer.ip().to_canonical()))
            }
            Acceptor::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

async fn accept(acceptor: Acceptor, door: Door, places: Arc<Semaphore>, mut ended: watch::Receiver<bool>) {
    loop {
        let Some(place) = free_place(&places, &mut ended).await else { return };
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            _ = ended.wait_for(|ended| *ended) => return,
        };
        match (accepted, &door.tls) {
            (Ok(Stream::Unix(stream)), _) => open(&door.shared, door.graceful.watcher(), stream, None, place),
            (Ok(Stream::Tcp(stream, peer)), None) => {
                open(&door.shared, door.graceful.watcher(), stream, Some(peer), place);
            }
            (Ok(Stream::Tcp(stream, peer)), Some(tls)) => {
                // A handshake holds no more than a watcher, so that the service's end waits for it, and not for long.
                let (shared, watcher) = (door.shared.clone(), door.graceful.watcher());
                let handshake = tls.acceptor().accept(stream);
                tokio::spawn(async move {
                    match tokio::time::timeout(HANDSHAKE, handshake).await {
                        Ok(Ok(stream)) => open(&shared, watcher, stream, Some(peer), place),
                        Ok(Err(why)) => tracing::debug!(%peer, %why, "TLS handshake failed"),
                        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                    }
                });
            }
            (Err(why), _) => failed(&why).await,
        }
    }
}

/// A place for one more connection; while there is none, the kernel's queue holds new ones back.
async fn free_place(places: &Arc<Semaphore>, ended: &mut watch::Receiver<bool>) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        place = places.clone().acquire_owned() => place.ok(),
        _ = ended.wait_for(|ended| *ended) => None,
    }
}

async fn failed(why: &io::Error) {
    tracing::warn!(%why, "could not accept a connection");
    tokio::time::sleep(ACCEPT_AGAIN).await;
}

/// What the connections of a listener need.
struct Door {
    shared: Arc<Shared>,
    graceful: Arc<GracefulShutdown>,
    tls: Option<Arc<Tls>>,
}

/// Serves a connection in a task of its own; `place` is free again when it ends.
fn open<S>(shared: &Arc<Shared>, watcher: Watcher, stream: S, peer: Option<IpAddr>, place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answering = shared.clone();
    let service = service_fn(move |request| {
        let shared = answering.clone();
        async move { Ok::<_, Infallible>(answer::answer(shared, peer, request).await) }
    });
    let limits = &shared.settings().limits;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle_timeout.get().max(Duration::from_secs(1)))
        .max_header_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(Patient::new(stream, limits.write_timeout.get())), service);
    let watched = watcher.watch(connection);
    tokio::spawn(async move {
        if let Err(why) = watched.await {
            tracing::debug!(%why, "connection ended");
        }
        drop(place);
    });
}
