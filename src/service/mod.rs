//! The session service: the Session API, login, and the registration of servers.

pub mod settings;
pub mod templates;

pub use settings::ServiceSettings;

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
};

/// Where the service listens. Bound by the caller, so that port 0 works and a supervisor may hand sockets in.
#[derive(Debug, Default)]
pub struct Listeners {
    pub tcp: Vec<TcpListener>,
    pub unix: Vec<UnixListener>,
}

/// A service that has read its store and not begun to listen.
#[derive(Debug)]
pub struct Service;

/// Changes a running service's configuration.
#[derive(Debug, Clone)]
pub struct Reload(Arc<()>);

/// What kept a service from starting, or ended it.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("can't open the store {path}: {why}")]
    Store { path: PathBuf, why: String },
    #[error("can't use {path}: {why}")]
    File { path: PathBuf, why: String },
    #[error("bad settings: {0}")]
    Settings(String),
    #[error("can't accept connections: {0}")]
    Accept(#[source] std::io::Error),
}

impl Service {
    /// Reads the store below `state_dir` (made if missing).
    pub fn open(_settings: ServiceSettings, _state_dir: &Path) -> Result<Service, ServeError> {
        unimplemented!()
    }
    /// For SIGHUP.
    pub fn reload_handle(&self) -> Reload {
        unimplemented!()
    }
    /// How long nobody has used the service and no instance lives in it; zero while one does.
    pub fn idle(&self) -> watch::Receiver<Duration> {
        unimplemented!()
    }
    /// Serves until `shutdown` ends, then answers what is under way.
    pub async fn run(self, _listeners: Listeners, _shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        unimplemented!()
    }
}

impl Reload {
    /// Uses new settings from now on. Live sessions, tokens and registrations stay as they are; `auth.dev`, the local secret and
    /// limits on connections are not reloaded. Returns what needs a restart.
    pub fn apply(&self, _settings: ServiceSettings) -> Result<Vec<&'static str>, ServeError> {
        unimplemented!()
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
