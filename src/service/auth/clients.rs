//! Client credentials: `clients.json` in the state directory, mode 0600, replaced as a whole.
//!
//! The command line changes it under a lock (`clients.lock`) while a service may be running; the
//! service looks at every login and every request of a client whether it has changed. A secret is
//! shown once, when it is made, and kept as a hash.
//!
//! | change | secrets | tokens in use |
//! |---|---|---|
//! | `rotate --overlap` | the new one, and the one before for a while | stay good |
//! | `rotate --revoke`, or `add` of the same name | the new one alone | end |
//! | `remove` | none | end |
//!
//! A client's generation tells tokens that have ended: it is in each of them. A secret that matched
//! is remembered by a keyed digest in memory, so that a fleet that logs in again is hashed once.

use super::secrets::{self, Strength};
use crate::{
    host::{files, lock::Lock},
    model::time::Timestamp,
    service::ServeError,
};
use quick_cache::sync::Cache;
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// One client, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// See [`secrets`].
    pub hash: String,
    /// None: what the settings say for clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    pub created: Timestamp,
    /// How the permissions are meant: see [`FORMAT`].
    #[serde(default)]
    pub format: u32,
    /// Another one with every change that ends the tokens in use; empty in files of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub generation: String,
    /// The secret before, which is still good for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
}

/// 1: registering servers needs `session:instance:register`. Whoever has a list of permissions from before has it.
const FORMAT: u32 = 1;
const REGISTER: &str = "session:instance:register";

impl Client {
    fn migrated(mut self) -> Client {
        if self.format < FORMAT {
            let permissions = self.permissions.iter_mut().filter(|own| !own.iter().any(|one| one == REGISTER));
            permissions.for_each(|own| own.push(REGISTER.to_owned()));
            self.format = FORMAT;
        }
        self
    }
}

/// A secret that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    pub hash: String,
    /// It is good until then.
    pub until: Timestamp,
}

/// How a client gets a new secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The secret before stays good for so long, and so do the tokens in use.
    Overlap(Duration),
    /// The secret before and the tokens in use end.
    Revoke,
}

type ByName = Arc<BTreeMap<String, Client>>;

/// The file.
#[derive(Debug)]
pub struct Clients {
    dir: PathBuf,
    known: Mutex<Option<(Stamp, ByName)>>,
    key: hmac::Key,
    /// Digests of clients with secrets that matched.
    matched: Cache<Digest, ()>,
}

/// What changes whenever the file is replaced; none while it doesn't exist.
type Stamp = Option<(u64, i64, i64, u64)>;
type Digest = [u8; 32];
/// Secrets that matched, remembered at a time.
const MATCHED: usize = 4096;

impl Client {
    /// Whether it may log in with this secret now. Hashes unless the secret has matched before.
    fn takes(&self, secret: &str, now: Timestamp, matches: impl Fn(&str, &str) -> bool) -> bool {
        let before = self.before.as_ref().filter(|before| now < before.until);
        matches(secret, &self.hash) || before.is_some_and(|before| matches(secret, &before.hash))
    }
}

impl Clients {
    pub fn at(state_dir: &Path) -> Clients {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
        Clients { dir: state_dir.to_owned(), known: Mutex::default(), key, matched: Cache::new(MATCHED) }
    }

    /// The client of this name, if that is its secret. May hash, which is slow, and reads the file if it has changed.
    pub(crate) fn authenticated(&self, name: &str, secret: &str, now: Timestamp) -> Result<Option<Client>, ServeError> {
        let clients = self.current()?;
        let matches = |secret: &str, hash: &str| self.matches(secret, hash);
        Ok(clients.get(name).filter(|client| client.takes(secret, now, matches)).cloned())
    }

    fn matches(&self, secret: &str, hash: &str) -> bool {
        let digest = hmac::sign(&self.key, format!("{hash}\n{secret}").as_bytes());
        let Ok(digest) = Digest::try_from(digest.as_ref()) else { return false };
        if self.matched.get(&digest).is_some() {
            return true;
        }
        let good = secrets::matches(secret, hash);
        if good {
            self.matched.insert(digest, ());
        }
        good
    }

    /// All clients, read again only if the file has changed.
    pub(crate) fn current(&self) -> Result<ByName, ServeError> {
        let stamp = match fs::metadata(self.path()) {
            Ok(file) => Some((file.ino(), file.mtime(), file.mtime_nsec(), file.len())),
            Err(why) if why.kind() == io::ErrorKind::NotFound => None,
            Err(why) => return Err(self.failed(&why)),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, clients)) = known.as_ref().filter(|(of, _)| *of == stamp) {
            return Ok(clients.clone());
        }
        let clients = Arc::new(self.read()?);
        *known = Some((stamp, clients.clone()));
        Ok(clients)
    }

    fn path(&self) -> PathBuf {
        self.dir.join("clients.json")
    }

    /// All clients by name; none while the file doesn't exist.
    pub fn read(&self) -> Result<BTreeMap<String, Client>, ServeError> {
        match fs::read(self.path()) {
            Ok(bytes) => {
                let stored: BTreeMap<String, Client> =
                    serde_json::from_slice(&bytes).map_err(|why| self.failed(&why))?;
                Ok(stored.into_iter().map(|(name, client)| (name, client.migrated())).collect())
            }
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(why) => Err(self.failed(&why)),
        }
    }

    /// Makes a client, or replaces an existing one, whose secret and tokens end. Returns the secret.
    pub fn add(&self, name: &str, permissions: Option<Vec<String>>, now: Timestamp) -> Result<String, ServeError> {
        let secret = secrets::random_secret();
        let hash = secrets::hash(&secret, Strength::Random);
        self.change(|clients| {
            let client =
                Client { hash, permissions, created: now, format: FORMAT, generation: generation(), before: None };
            clients.insert(name.to_owned(), client);
        })?;
        Ok(secret)
    }

    /// Gives an existing client a new secret, which it returns; none if there is no such client.
    pub fn rotate(&self, name: &str, rotation: Rotation, now: Timestamp) -> Result<Option<String>, ServeError> {
        let secret = secrets::random_secret();
        let hash = secrets::hash(&secret, Strength::Random);
        let mut there = false;
        self.change(|clients| {
            let Some(client) = clients.get_mut(name) else { return };
            there = true;
            let old = std::mem::replace(&mut client.hash, hash);
            client.before = None;
            match rotation {
                Rotation::Overlap(span) => client.before = Some(Before { hash: old, until: now.plus(span) }),
                Rotation::Revoke => client.generation = generation(),
            }
        })?;
        Ok(there.then_some(secret))
    }

    /// Whether there was such a client.
    pub fn remove(&self, name: &str) -> Result<bool, ServeError> {
        let mut there = false;
        self.change(|clients| there = clients.remove(name).is_some())?;
        Ok(there)
    }

    fn change(&self, edit: impl FnOnce(&mut BTreeMap<String, Client>)) -> Result<(), ServeError> {
        let lock = Lock::wait(&self.dir.join("clients.lock"), "gameside sessions client");
        let _lock = lock.map_err(|why| self.failed(&why))?;
        let mut clients = self.read()?;
        edit(&mut clients);
        let text = serde_json::to_vec_pretty(&clients).map_err(|why| self.failed(&why))?;
        files::write(&self.path(), &text, 0o600).map_err(|why| self.failed(&why))
    }

    fn failed(&self, why: &dyn std::fmt::Display) -> ServeError {
        ServeError::File { path: self.path(), why: why.to_string() }
    }
}

/// Never the same twice, so that a client that was removed and made again doesn't revive old tokens.
fn generation() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_could_register_servers_still_can() {
        let dir = tempfile::tempdir().unwrap();
        let stored = r#"{"old": {"hash": "h", "permissions": ["session:create"], "created": "2026-01-01T00:00:00Z"},
            "usual": {"hash": "h", "created": "2026-01-01T00:00:00Z"}}"#;
        fs::write(dir.path().join("clients.json"), stored).unwrap();
        let clients = Clients::at(dir.path());
        clients.add("new", Some(vec!["session:create".into()]), Timestamp::EPOCH).unwrap();
        let permissions = |name: &str| clients.read().unwrap()[name].permissions.clone();
        assert_eq!(permissions("old").unwrap(), ["session:create", REGISTER]);
        assert_eq!(permissions("usual"), None);
        assert_eq!(permissions("new").unwrap(), ["session:create"], "as it was made");
    }

    #[test]
    fn a_secret_is_never_kept_and_a_new_one_replaces_the_old() {
        let dir = tempfile::tempdir().unwrap();
        let clients = Clients::at(dir.path());
        assert!(clients.read().unwrap().is_empty());
        let first = clients.add("server", None, Timestamp::EPOCH).unwrap();
        let second = clients.add("server", Some(vec!["session:*".into()]), Timestamp::EPOCH).unwrap();
        let file = fs::read_to_string(dir.path().join("clients.json")).unwrap();
        assert!(!file.contains(&second));
        let client = &clients.read().unwrap()["server"];
        assert!(secrets::matches(&second, &client.hash) && !secrets::matches(&first, &client.hash));
        assert!(clients.remove("server").unwrap());
        assert!(!clients.remove("server").unwrap());
    }

    #[test]
    fn a_rotated_secret_overlaps_with_the_one_before_and_a_revoked_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let clients = Clients::at(dir.path());
        let day = Duration::from_secs(86_400);
        let at = |seconds: u64| Timestamp::EPOCH.plus(Duration::from_secs(seconds));
        let good =
            |secret: &str, now| clients.authenticated("server", secret, now).unwrap().map(|client| client.generation);
        let first = clients.add("server", None, at(0)).unwrap();
        let generation = good(&first, at(0)).unwrap();
        assert!(!generation.is_empty());
        let second = clients.rotate("server", Rotation::Overlap(day), at(0)).unwrap().unwrap();
        for secret in [&first, &second] {
            assert_eq!(good(secret, at(86_399)), Some(generation.clone()));
        }
        assert_eq!((good(&first, at(86_400)), good(&second, at(86_400))), (None, Some(generation.clone())));
        let third = clients.rotate("server", Rotation::Revoke, at(1)).unwrap().unwrap();
        assert_eq!((good(&first, at(1)), good(&second, at(1))), (None, None));
        assert_ne!(good(&third, at(1)).unwrap(), generation);
        assert_eq!(clients.rotate("stranger", Rotation::Revoke, at(1)).unwrap(), None);
    }

    #[test]
    fn a_secret_that_matched_is_hashed_once_and_remembered_without_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let clients = Clients::at(dir.path());
        let secret = clients.add("server", None, Timestamp::EPOCH).unwrap();
        assert_eq!(clients.matched.len(), 0);
        for _ in 0..10_000 {
            assert!(clients.authenticated("server", &secret, Timestamp::EPOCH).unwrap().is_some());
        }
        assert_eq!(clients.matched.len(), 1);
        assert!(clients.authenticated("server", "wrong", Timestamp::EPOCH).unwrap().is_none());
        assert_eq!(clients.matched.len(), 1, "what doesn't match isn't remembered");
        let hashes = secrets::hashes();
        assert!(clients.authenticated("server", &secret, Timestamp::EPOCH).unwrap().is_some());
        assert_eq!(secrets::hashes(), hashes, "hashed again");
    }
}
