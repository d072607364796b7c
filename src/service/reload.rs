//! Reloading: a running service gets other settings, after SIGHUP.
//!
//! Invariant: settings that can't be used change nothing.

use super::{
    ServeError, Shared,
    auth::issuer::Issuer,
    remote_friends::{FriendsSettings, RemoteFriends},
    settings::ServiceSettings,
};
use std::sync::{Arc, PoisonError};

/// Changes a running service's configuration.
#[derive(Debug, Clone)]
pub struct Reload(pub(super) Arc<Shared>);

impl Reload {
    /// Uses new settings from now on. Live sessions, tokens, registrations and connections stay as they are; above a lower
    /// `limits.connections` new connections wait until enough old ones have ended. What only the command line says stays.
    pub fn apply(&self, mut settings: ServiceSettings) -> Result<(), ServeError> {
        checked(&settings)?;
        let old = self.0.settings();
        settings.auth.dev = old.auth.dev;
        settings.auth.local_secret.clone_from(&old.auth.local_secret);
        self.0.use_remote_friends(&settings.friends)?;
        self.resize(old.limits.connections, settings.limits.connections);
        let settings = Arc::new(settings);
        self.0.use_issuer(&settings);
        *self.0.settings.write().unwrap_or_else(PoisonError::into_inner) = settings.clone();
        self.0.with_state(|state| state.settings = settings);
        // It can't be refused, and nobody waits for it.
        let _ = self.0.transact(&self.0.moment(), |tx| {
            tx.allocate_waiting();
            Ok(())
        });
        Ok(())
    }

    fn resize(&self, old: u32, new: u32) {
        let places = self.0.places.clone();
        if new >= old {
            places.add_permits((new - old) as usize);
            return;
        }
        tokio::spawn(async move {
            // Fails only when the semaphore is closed, which it never is.
            if let Ok(surplus) = places.acquire_many_owned(old - new).await {
                surplus.forget();
            }
        });
    }

    /// Takes the lock and gives it back: the service isn't stuck.
    pub fn prove_alive(&self) {
        self.0.with_state(|_| ());
    }
}

impl Shared {
    /// Keeps the keys that were fetched unless the issuer's settings have changed.
    fn use_issuer(&self, settings: &ServiceSettings) {
        let mut issuer = self.issuer.write().unwrap_or_else(PoisonError::into_inner);
        if issuer.as_ref().is_none_or(|known| !known.is_for(&settings.auth.issuer)) {
            *issuer = self::issuer(settings);
        }
    }

    /// Keeps what is remembered unless the settings have changed.
    fn use_remote_friends(&self, settings: &FriendsSettings) -> Result<(), ServeError> {
        let mut known = self.remote_friends.write().unwrap_or_else(PoisonError::into_inner);
        if !known.as_ref().is_some_and(|known| known.is_for(settings)) {
            *known = remote_friends(settings)?;
        }
        Ok(())
    }
}

/// Settings that the service can work with, or what is wrong with each of the others.
pub(super) fn checked(settings: &ServiceSettings) -> Result<(), ServeError> {
    let faults = settings.faults();
    if faults.is_empty() {
        return Ok(());
    }
    let text: Vec<String> = faults.into_iter().map(|(key, expected)| format!("{key}: expected {expected}")).collect();
    Err(ServeError::Settings(text.join("; ")))
}

/// The external issuer, where one is configured.
pub(super) fn issuer(settings: &ServiceSettings) -> Option<Arc<Issuer>> {
    let configured = &settings.auth.issuer;
    (!configured.issuer.is_empty()).then(|| Arc::new(Issuer::new(configured.clone())))
}

/// The other service's friend graph, where one is configured.
pub(super) fn remote_friends(settings: &FriendsSettings) -> Result<Option<Arc<RemoteFriends>>, ServeError> {
    let configured = settings.elsewhere().then(|| RemoteFriends::new(settings.clone()).map(Arc::new));
    configured.transpose().map_err(|why| ServeError::Settings(format!("friends.url: {why}")))
}
