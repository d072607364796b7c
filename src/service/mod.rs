//! The session service: the Session API, login, and the registration of servers.
//!
//! ```text
//!   connection ─► http::answer ─► router: one row an operation ─► ops::* ─► rules::* on a SessionRecord
//!                     │   ▲                                        │ reads, writes
//!                     │   └── something is missing: get it,  ◄── Transaction ── success ─► State (memory, one lock)
//!                     │       run the operation again                                        └─► writer thread ─► redb
//!                     └──── waits until what was seen and done is durable ◄─────────────────────────────┘
//! ```
//!
//! | room | holds |
//! |---|---|
//! | [`settings`], [`templates`], [`profiles`] | the configuration; [`config_import`]: as JSON of the API |
//! | [`http`] | requests and answers; the router |
//! | [`auth`] | tokens, client credentials, login |
//! | [`mod@remote_friends`] | another service's friend graph, where one is configured |
//! | [`ops`] | the operations, a file a group |
//! | [`rules`] | pure rules on a session |
//! | [`state`] | the committed state in memory, and the transactions that operations work on |
//! | [`store`], [`commit_waiter`] | durability: one trait, redb behind it, group commit; who waits for it |
//! | [`mod@reload`], [`idle`] | other settings for a running service; when nobody needs it any more |
//! | [`mod@clock`] | the service's time, which stands still with its process |
//! | [`metrics`] | what is counted |
//! | [`openapi`] | the service's own description |
//!
//! Invariants: nothing is acknowledged that a crash could take back; an operation that doesn't
//! answer success has changed nothing; an operation that is run again has the same time and makes
//! the same ids; after a start, leases, culling and missed checks count from that moment; a live
//! session is never touched by a reload.

pub(crate) mod auth;
pub(crate) mod clock;
pub(crate) mod commit_waiter;
pub(crate) mod config_import;
mod field_names;
pub(crate) mod http;
mod idle;
pub(crate) mod metrics;
pub(crate) mod openapi;
pub mod ops;
pub(crate) mod profiles;
mod reload;
pub(crate) mod remote_friends;
pub(crate) mod resources;
pub(crate) mod rules;
pub(crate) mod settings;
#[cfg(test)]
mod shown_tests;
pub(crate) mod state;
pub(crate) mod store;
pub(crate) mod templates;

pub(crate) use idle::Idle;
pub(crate) use reload::Reload;
pub use settings::ServiceSettings;

use crate::{
    model::{
        ids::PlayerUuid,
        time::{Instant, Timestamp},
    },
    net::tls::Tls,
};
use auth::{Caller, clients::Clients, hashing::Hashing, issuer::Issuer, tokens::Tokens};
use clock::Clock;
use commit_waiter::CommitWaiter;
use http::{reply::Outcome, route::Router};
use remote_friends::{Friends, RemoteFriends};
use state::{State, Transaction, moment::Moment};
use std::{
    future::Future,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};
use store::{Seq, redb_store::RedbStore};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{Notify, Semaphore, watch},
};

/// Where the service listens. Bound by the caller, so that port 0 works and a supervisor may hand sockets in.
#[derive(Debug, Default)]
pub struct Listeners {
    pub tcp: Vec<TcpListener>,
    pub unix: Vec<UnixListener>,
    /// TLS on every TCP listener.
    pub tls: Option<Arc<Tls>>,
}

/// A service that has read its store and not begun to listen.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
}

/// What kept a service from starting, or ended it.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("could not use the store {path}: {why}")]
    Store { path: PathBuf, why: String },
    #[error("could not use {path}: {why}")]
    File { path: PathBuf, why: String },
    #[error("bad settings: {0}")]
    Settings(String),
}

/// What all connections share.
#[derive(Debug)]
pub struct Shared {
    state: Mutex<State>,
    settings: RwLock<Arc<ServiceSettings>>,
    pub router: Router,
    pub tokens: Tokens,
    pub clients: Clients,
    issuer: RwLock<Option<Arc<Issuer>>>,
    remote_friends: RwLock<Option<Arc<RemoteFriends>>>,
    pub clock: Clock,
    pub commits: CommitWaiter,
    pub metrics: metrics::Metrics,
    last_used: Mutex<Instant>,
    timer: Notify,
    timer_at: Mutex<Option<Instant>>,
    ended: watch::Sender<bool>,
    /// Room for connections.
    pub places: Arc<Semaphore>,
    pub rate: http::rate::RateLimiter,
    pub(crate) hashing: Hashing,
}

impl Service {
    /// Reads the store below `state_dir` (made if missing, for this user alone).
    pub fn open(settings: ServiceSettings, state_dir: &Path) -> Result<Service, ServeError> {
        reload::checked(&settings)?;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state_dir)
            .map_err(|why| ServeError::File { path: state_dir.to_owned(), why: why.to_string() })?;
        let path = state_dir.join("sessions.redb");
        let failed = |why: store::StoreError| ServeError::Store { path: path.clone(), why: why.to_string() };
        let store = RedbStore::open(&path).map_err(failed)?;
        let clock = Clock::system();
        let places = Arc::new(Semaphore::new(settings.limits.connections as usize));
        let settings = Arc::new(settings);
        let (state, progress) = State::open(settings.clone(), Box::new(store), clock.now()).map_err(failed)?;
        let shared = Shared {
            state: Mutex::new(state),
            issuer: RwLock::new(reload::issuer(&settings)),
            remote_friends: RwLock::new(reload::remote_friends(&settings.friends)?),
            settings: RwLock::new(settings),
            router: Router::new(&ops::tables()),
            tokens: Tokens::open(state_dir)?,
            clients: Clients::at(state_dir),
            last_used: Mutex::new(clock.now().mono),
            clock,
            commits: CommitWaiter::new(progress),
            metrics: metrics::Metrics::default(),
            timer: Notify::new(),
            timer_at: Mutex::new(None),
            ended: watch::channel(false).0,
            places,
            rate: http::rate::RateLimiter::default(),
            hashing: Hashing::default(),
        };
        Ok(Service { shared: Arc::new(shared) })
    }

    /// For SIGHUP.
    pub fn reload_handle(&self) -> Reload {
        Reload(self.shared.clone())
    }
    pub fn idle(&self) -> Idle {
        Idle(self.shared.clone())
    }

    /// Serves until `shutdown` ends, then answers what is under way and writes what is queued.
    pub async fn run(self, listeners: Listeners, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let shared = self.shared;
        let timers = tokio::spawn(run_timers(shared.clone()));
        let waking = shared.clone();
        let waking = tokio::spawn(async move { waking.commits.wake().await });
        let served = http::serve::serve(shared.clone(), listeners, shutdown).await;
        timers.abort();
        waking.abort();
        shared.state().finish();
        served
    }
}

impl Shared {
    pub fn settings(&self) -> Arc<ServiceSettings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Now, for what no request brings.
    pub fn moment(&self) -> Moment {
        Moment::new(self.clock.now())
    }

    /// One operation: committed if it answers success, else it has changed nothing. Answers also the write that must be
    /// durable before anybody is told. The commit is made when this returns, whether or not a client waits for the answer.
    pub fn transact<T>(
        &self,
        moment: &Moment,
        operation: impl FnOnce(&mut Transaction<'_>) -> Outcome<T>,
    ) -> (Outcome<T>, Seq) {
        self.with_state(|state| state.transact(moment, operation))
    }

    /// Alone with the state, for what is no operation: subscriptions, open polls, what operators ask.
    pub fn with_state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let answer = work(&mut state);
        let next = state.next_deadline();
        drop(state);
        let sooner = {
            let at = self.timer_at.lock().unwrap_or_else(PoisonError::into_inner);
            next.is_some_and(|next| at.is_none_or(|at| next < at))
        };
        if sooner {
            self.timer.notify_one();
        }
        answer
    }

    pub fn someone_is_here(&self, now: Instant) {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Who holds a token of the external issuer, if there is one and it is good.
    pub async fn of_issuer(&self, token: &str, now: Timestamp) -> Option<Arc<Caller>> {
        let issuer = self.issuer.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let auth = &self.settings().auth;
        let caller = issuer.verify(token, now, &auth.player_permissions).await?;
        let player = caller.player?;
        // Without a number it is as good a player.
        let _ = self.know_player(player).await;
        if auth.restrictions_of(player, now).is_empty() {
            return Some(caller);
        }
        Some(Arc::new(Caller { restricted: true, ..(*caller).clone() }))
    }

    /// A player is there by itself: its number, which it has from now on.
    pub async fn know_player(&self, player: PlayerUuid) -> Outcome<i64> {
        let (number, seen) = self.transact(&self.moment(), |tx| {
            tx.know_player(player)?;
            Ok(tx.number_of(player).unwrap_or_default())
        });
        self.commits.wait(seen).await?;
        number
    }

    /// A player's friends, of the other service that keeps them; none while nobody knows.
    pub async fn friends_of(&self, player: PlayerUuid) -> Friends {
        let remote_friends = self.remote_friends.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        remote_friends.friends_of(player).await
    }

    /// Tells long polls and streams that the service ends.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }
    pub async fn ended(&self) {
        // The sender is ours: waiting for it can't fail.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

/// How often the registry is looked through for servers that have gone.
const SWEEP: Duration = Duration::from_secs(60);
/// How often it is looked whether the process has stood still, where something may become due.
const LOOK: Duration = Duration::from_secs(1);
/// After standing still, so long nothing is carried out that is due: what waits in the sockets is read first, and who gave up
/// waiting calls again.
const READ_FIRST: Duration = Duration::from_secs(2);

async fn run_timers(shared: Arc<Shared>) {
    let mut swept = shared.clock.now().mono;
    loop {
        let next = shared.state().next_deadline();
        *shared.timer_at.lock().unwrap_or_else(PoisonError::into_inner) = next;
        let (gaps, now) = (shared.clock.gaps(), shared.clock.now().mono);
        let wait = next.map_or(SWEEP, |next| next.since(now).min(LOOK));
        shared.clock.looks_within(wait);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.timer.notified() => continue,
        }
        let now = shared.clock.now();
        if shared.clock.gaps() != gaps {
            shared.clock.looks_within(READ_FIRST);
            tokio::time::sleep(READ_FIRST).await;
            continue;
        }
        let mut state = shared.state();
        state.tick(now);
        if now.mono.since(swept) >= SWEEP {
            swept = now.mono;
            state.forget_silent_servers(now);
        }
    }
}

/// [`Service::open`] and [`Service::run`] in one.
pub async fn serve(
    settings: ServiceSettings,
    state_dir: &Path,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    Service::open(settings, state_dir)?.run(listeners, shutdown).await
}
