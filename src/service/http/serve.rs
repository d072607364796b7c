//! The service's listeners: bounded in number of connections, in header size and in time; on
//! shutdown every request under way is answered. The server itself is [`net`](crate::net).

use super::answer;
use crate::{
    net::{
        Listener, Peer,
        server::{self, Admits, Http1, Limits, Options, WhenFull},
    },
    service::{Listeners, ServeError, Shared},
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet};

/// The most bytes of header fields that a request may have.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Accepts until `shutdown` ends, then waits for what is under way.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    if let Some(tls) = &listeners.tls {
        shared.metrics.shows_certificate(tls.clone());
    }
    let (ending, ended) = watch::channel(false);
    let mut serving = JoinSet::new();
    let tcp = listeners.tcp.into_iter().map(|socket| (Listener::Tcp(socket), listeners.tls.clone()));
    let unix = listeners.unix.into_iter().map(|socket| (Listener::Unix(socket), None));
    for (listener, tls) in tcp.chain(unix) {
        let options = Options { tls, ..options(&shared) };
        let (shared, mut ended) = (shared.clone(), ended.clone());
        serving.spawn(async move {
            let end = async move { drop(ended.wait_for(|ended| *ended).await) };
            let answer = move |peer: Peer, request| answer::answer(shared.clone(), peer.ip(), request);
            server::serve(listener, options, Http1, answer, end).await;
        });
    }
    shutdown.await;
    let _ = ending.send(true);
    shared.end();
    while serving.join_next().await.is_some() {}
    Ok(())
}

/// All listeners share the service's places; above them a connection waits in the kernel's queue.
fn options(shared: &Arc<Shared>) -> Options {
    let settings = shared.clone();
    let limits = move || {
        let limits = &settings.settings().limits;
        Limits {
            header_timeout: limits.idle_timeout.get().max(Duration::from_secs(1)),
            max_headers: None,
            max_header_bytes: MAX_HEADER_BYTES,
            write_timeout: Some(limits.write_timeout.get()),
        }
    };
    Options {
        places: shared.places.clone(),
        when_full: WhenFull::Wait,
        admits: Admits::Everybody,
        tls: None,
        limits: Arc::new(limits),
    }
}
