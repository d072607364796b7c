//! Listeners and connections: bounded in number, in header size and in time; on shutdown every request under way is answered.

use super::answer;
use crate::service::{Listeners, ServeError, Shared};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use std::{convert::Infallible, future::Future, io, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};

/// How long answers under way may take once the service ends.
const DRAIN: Duration = Duration::from_secs(5);
/// The most header fields, and bytes of them, that a request may have.
const MAX_HEADERS: usize = 100;
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
    let places = Arc::new(Semaphore::new(shared.settings().limits.connections as usize));
    let mut accepting = tokio::task::JoinSet::new();
    for tcp in listeners.tcp {
        accepting.spawn(accept_tcp(shared.clone(), tcp, graceful.clone(), places.clone(), ended.clone()));
    }
    for unix in listeners.unix {
        accepting.spawn(accept_unix(shared.clone(), unix, graceful.clone(), places.clone(), ended.clone()));
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

async fn accept_tcp(
    shared: Arc<Shared>,
    listener: TcpListener,
    graceful: Arc<GracefulShutdown>,
    places: Arc<Semaphore>,
    mut ended: watch::Receiver<bool>,
) {
    loop {
        let Some(place) = free_place(&places, &mut ended).await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ended.wait_for(|ended| *ended) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Without it answers wait for the client's delayed acknowledgement; a socket that can't is slow, not broken.
                let _ = stream.set_nodelay(true);
                connection(&shared, stream, Some(peer.ip().to_canonical()), &graceful, place);
            }
            Err(why) => failed(&why).await,
        }
    }
}

async fn accept_unix(
    shared: Arc<Shared>,
    listener: UnixListener,
    graceful: Arc<GracefulShutdown>,
    places: Arc<Semaphore>,
    mut ended: watch::Receiver<bool>,
) {
    loop {
        let Some(place) = free_place(&places, &mut ended).await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ended.wait_for(|ended| *ended) => return,
        };
        match accepted {
            Ok((stream, _)) => connection(&shared, stream, None, &graceful, place),
            Err(why) => failed(&why).await,
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

fn connection<S>(
    shared: &Arc<Shared>,
    stream: S,
    peer: Option<IpAddr>,
    graceful: &GracefulShutdown,
    place: OwnedSemaphorePermit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answering = shared.clone();
    let service = service_fn(move |request| {
        let shared = answering.clone();
        async move { Ok::<_, Infallible>(answer::answer(shared, peer, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.settings().limits.idle_timeout.get().max(Duration::from_secs(1)))
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let watched = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(why) = watched.await {
            tracing::debug!(%why, "connection ended");
        }
        drop(place);
    });
}
