//! Client credentials: `clients.json` in the state directory, mode 0600, replaced as a whole.
//!
//! The command line changes it under a lock (`clients.lock`) while a service may be running; the
//! service reads it at each login. A secret is shown once, when it is made, and kept as a hash.

use super::secrets::{self, Strength};
use crate::{
    host::{files, lock::Lock},
    model::time::Timestamp,
    service::ServeError,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
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

/// The file.
#[derive(Debug, Clone)]
pub struct Clients {
    dir: PathBuf,
}

impl Clients {
    pub fn at(state_dir: &Path) -> Clients {
        Clients { dir: state_dir.to_owned() }
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

    /// Makes a client, or gives an existing one a new secret. Returns the secret.
    pub fn add(&self, name: &str, permissions: Option<Vec<String>>, now: Timestamp) -> Result<String, ServeError> {
        let secret = secrets::random_secret();
        let hash = secrets::hash(&secret, Strength::Random);
        self.change(|clients| {
            clients.insert(name.to_owned(), Client { hash, permissions, created: now, format: FORMAT });
        })?;
        Ok(secret)
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
}
