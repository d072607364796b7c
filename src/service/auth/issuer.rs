//! Access tokens that somebody else signs: an issuer with a JSON Web Key Set, by URL or from a
//! file.
//!
//! ```text
//!   token ── remembered? ──► caller
//!     └─ header: algorithm allowed? ── key id known? ── signature, issuer, audience, times ──► caller
//!                                        └ no: wait a moment for the keys to be fetched, look again
//!   keys too old? ──► fetched in the background, one fetch at a time
//! ```
//!
//! | rule | why |
//! |---|---|
//! | only asymmetric algorithms, of those configured; the key's own kind and `alg` must fit | a public key is never taken for a shared secret |
//! | keys marked for encryption, and symmetric ones, count for nothing | likewise |
//! | who comes with a known key never waits, whatever the issuer does | an issuer that hangs stalls nobody |
//! | an unknown key id waits at most [`NEW_KEY_WAIT`] while other keys are known | a key that was just added counts for its first token; a hanging issuer costs little |
//! | keys are fetched again [`FETCH_AGAIN`] after the end of the last try at the soonest | a stranger's tokens can't make us hammer the issuer |
//! | keys that can't be fetched stay in force, keys that are no longer listed don't | an issuer's outage logs nobody out; a withdrawn key does |
//! | `exp` is required; [`LEEWAY`] for clocks that differ | |
//!
//! Invariant: no token and no claim reaches a log or an error.

use super::{
    Caller,
    issuer_settings::{IssuerSettings, TokenAlgorithm},
    jws::{Jwk, Unverified},
    login::PLAYERS,
};
use crate::model::{ids::PlayerUuid, time::Timestamp};
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use uuid::Uuid;

/// Clocks may differ by so much, in seconds.
const LEEWAY: i64 = 60;
/// How soon after the end of a try keys are fetched again for the sake of an unknown key id, or after a failure.
const FETCH_AGAIN: Duration = Duration::from_secs(5);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a token with an unknown key id waits for a fetch while other keys are known.
const NEW_KEY_WAIT: Duration = Duration::from_secs(1);
/// The largest key set, in bytes.
const MAX_SET: usize = 1 << 20;
/// Verified tokens remembered at a time.
const REMEMBERED: usize = 65_536;

/// One trusted issuer.
#[derive(Debug)]
pub(crate) struct Issuer {
    settings: IssuerSettings,
    keys: Mutex<Arc<Keys>>,
    /// Held while the keys are fetched; when the last try ended.
    fetching: Arc<tokio::sync::Mutex<Option<Instant>>>,
    /// Verified tokens.
    remembered: Cache<String, Arc<Remembered>>,
}

#[derive(Debug)]
struct Remembered {
    caller: Arc<Caller>,
    expires: i64,
    /// With which keys it was verified; it counts while these are in force.
    keys: Arc<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    set: Vec<Jwk>,
    fetched: Option<Instant>,
}

#[derive(Debug, Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// One audience or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn includes(&self, audience: &str) -> bool {
        match self {
            Audience::One(only) => only == audience,
            Audience::Several(all) => all.iter().any(|one| one == audience),
        }
    }
}

impl Issuer {
    /// Nothing is fetched before the first token.
    pub(crate) fn new(settings: IssuerSettings) -> Issuer {
        Issuer { settings, keys: Mutex::default(), fetching: Arc::default(), remembered: Cache::new(REMEMBERED) }
    }

    /// Whether these are the settings that it works with.
    pub(crate) fn is_for(&self, settings: &IssuerSettings) -> bool {
        self.settings == *settings
    }

    /// Who holds this token; none if it isn't this issuer's, not for us, badly signed, or not good now. `players` is what a player may
    /// do whose token doesn't say.
    pub(crate) async fn verify(
        self: &Arc<Self>,
        token: &str,
        now: Timestamp,
        players: &[String],
    ) -> Option<Arc<Caller>> {
        let seconds = now.unix_millis() / 1000;
        let mut keys = self.some_keys().await;
        if let Some(caller) = self.remembered(token, &keys, seconds) {
            return Some(caller);
        }
        let unverified = Unverified::parse(token)?;
        let algorithm = *self.settings.algorithms.iter().find(|known| known.name() == unverified.algorithm())?;
        if find(&keys.set, unverified.key_id(), algorithm).is_none() {
            keys = self.newer_keys(&keys).await;
        }
        let key = find(&keys.set, unverified.key_id(), algorithm)?.clone();
        let claims = self.checked(&unverified, &key, algorithm, seconds)?;
        let caller = Arc::new(self.caller(&claims, players)?);
        let remembered = Remembered { caller: caller.clone(), expires: claims.exp, keys };
        self.remembered.insert(token.to_owned(), Arc::new(remembered));
        Some(caller)
    }

    /// Signature, issuer, audience and times.
    fn checked(&self, token: &Unverified<'_>, key: &Jwk, algorithm: TokenAlgorithm, now: i64) -> Option<Claims> {
        let claims: Claims = token.claims(key, algorithm)?;
        let ours = claims.iss == self.settings.issuer && claims.aud.includes(&self.settings.audience);
        let begun = claims.nbf.is_none_or(|begin| begin <= now.saturating_add(LEEWAY));
        (ours && begun && claims.exp.saturating_add(LEEWAY) > now).then_some(claims)
    }

    /// Whose token this is, if it was verified with the keys in force and hasn't ended.
    fn remembered(&self, token: &str, keys: &Arc<Keys>, now: i64) -> Option<Arc<Caller>> {
        let known = self.remembered.get(token).filter(|known| Arc::ptr_eq(&known.keys, keys))?;
        (known.expires.saturating_add(LEEWAY) > now).then(|| known.caller.clone())
    }

    fn caller(&self, claims: &Claims, players: &[String]) -> Option<Caller> {
        let text = |key: &str| claims.more.get(key).and_then(Value::as_str);
        let player = text(&self.settings.player_claim).filter(|text| !text.is_empty()).map(|text| self.player(text))?;
        let permissions = match claims.more.get(&self.settings.permissions_claim) {
            None => players.iter().cloned().collect(),
            Some(given) => words(given)?,
        };
        Some(Caller {
            subject: format!("player:{player}"),
            player: Some(player),
            name: text("name").unwrap_or_default().to_owned(),
            platform: text("platform").map(str::to_owned),
            permissions,
            ..Caller::nobody()
        })
    }

    /// A UUID is the player's own; of anything else one is made, the same each time.
    fn player(&self, claim: &str) -> PlayerUuid {
        let made = || Uuid::new_v5(&PLAYERS, format!("{}\n{claim}", self.settings.issuer).as_bytes());
        PlayerUuid(Uuid::parse_str(claim).unwrap_or_else(|_| made()))
    }

    /// The keys in force. Waits for a fetch only if there never was one that came to an end; keys that are too old are fetched
    /// in the background.
    async fn some_keys(self: &Arc<Self>) -> Arc<Keys> {
        let keys = self.keys();
        match keys.fetched {
            None => self.newer_keys(&keys).await,
            Some(at) => {
                if at.elapsed() >= self.settings.refresh.get() {
                    self.start_fetching(&keys);
                }
                keys
            }
        }
    }

    /// The keys after the fetch that is under way or can be begun now; those seen if neither is so, or it takes too long.
    async fn newer_keys(self: &Arc<Self>, seen: &Arc<Keys>) -> Arc<Keys> {
        self.start_fetching(seen);
        let ended = async { drop(self.fetching.lock().await) };
        let patience = if seen.fetched.is_some() { NEW_KEY_WAIT } else { FETCH_TIMEOUT };
        // Whether the fetch has ended or not, the keys in force are the answer.
        let _ = tokio::time::timeout(patience, ended).await;
        self.keys()
    }

    /// Fetches the keys in a task of its own, unless somebody does, just did, or tried a moment ago.
    fn start_fetching(self: &Arc<Self>, seen: &Arc<Keys>) {
        let Ok(mut tried) = self.fetching.clone().try_lock_owned() else { return };
        if !Arc::ptr_eq(&self.keys(), seen) || tried.is_some_and(|at| at.elapsed() < FETCH_AGAIN) {
            return;
        }
        let issuer = self.clone();
        tokio::spawn(async move {
            issuer.fetch().await;
            *tried = Some(Instant::now());
        });
    }

    async fn fetch(&self) {
        match get(&self.settings).await {
            Ok(set) => {
                let fresh = Arc::new(Keys { set, fetched: Some(Instant::now()) });
                *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
                // What a withdrawn key has signed counts for nothing any more.
                self.remembered.clear();
            }
            Err(why) => {
                let issuer = &self.settings.issuer;
                tracing::warn!(issuer, %why, "the issuer's keys are not fresh; those known stay in force");
            }
        }
    }

    fn keys(&self) -> Arc<Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The key that a token names; a token that names none fits the one key there is.
fn find<'a>(set: &'a [Jwk], kid: Option<&str>, algorithm: TokenAlgorithm) -> Option<&'a Jwk> {
    let mut fitting = set.iter().filter(|key| key.fits(algorithm));
    match kid {
        Some(_) => fitting.find(|key| key.kid.as_deref() == kid),
        None => fitting.next().filter(|_| fitting.next().is_none()),
    }
}

/// A list of words, or words with spaces between them.
fn words(given: &Value) -> Option<BTreeSet<String>> {
    match given {
        Value::String(text) => Some(text.split_whitespace().map(str::to_owned).collect()),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// Why the issuer's keys were not read.
#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error("failed to read {}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("failed to download {url}: no answer within {} s", .after.as_secs())]
    Silent { url: String, after: Duration },
    #[error("failed to download {url}: it answers {status}")]
    Status { url: String, status: reqwest::StatusCode },
    #[error("failed to download {url}: it is larger than {MAX_SET} bytes")]
    TooLarge { url: String },
    #[error("failed to download {url}: {}", innermost(source))]
    Http { url: String, source: reqwest::Error },
    #[error("failed to read a JSON Web Key Set: {0}")]
    NoKeySet(#[from] serde_json::Error),
}

/// The innermost cause of an error, which says most.
fn innermost(error: &reqwest::Error) -> String {
    let error: &dyn std::error::Error = error;
    std::iter::successors(Some(error), |error| error.source()).last().map(ToString::to_string).unwrap_or_default()
}

async fn get(settings: &IssuerSettings) -> Result<Vec<Jwk>, KeysError> {
    let text = match (&settings.jwks_file, settings.jwks_url.as_str()) {
        (Some(file), _) => read(file).await?,
        (None, url) => tokio::time::timeout(FETCH_TIMEOUT, download(url, settings))
            .await
            .unwrap_or_else(|_| Err(KeysError::Silent { url: url.to_owned(), after: FETCH_TIMEOUT }))?,
    };
    let set: KeySet = serde_json::from_slice(&text)?;
    // A key of a kind that this version doesn't know must not spoil the others.
    Ok(set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect())
}

async fn read(path: &Path) -> Result<Vec<u8>, KeysError> {
    tokio::fs::read(path).await.map_err(|source| KeysError::File { path: path.to_owned(), source })
}

async fn download(url: &str, settings: &IssuerSettings) -> Result<Vec<u8>, KeysError> {
    let _ = rustls::crypto::ring::default_provider().install_default(); // An error means that it is there already.
    let failed = |source| KeysError::Http { url: url.to_owned(), source };
    let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    if url.starts_with("http://") {
        builder = builder.no_proxy().tls_certs_only([]);
    }
    if let Some(file) = &settings.ca_file {
        let authorities = reqwest::Certificate::from_pem_bundle(&read(file).await?).map_err(failed)?;
        builder = builder.tls_certs_only(authorities);
    }
    let mut response = builder.build().map_err(failed)?.get(url).send().await.map_err(failed)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(KeysError::Status { url: url.to_owned(), status: response.status() });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_SET {
            return Err(KeysError::TooLarge { url: url.to_owned() });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests;
