//! Access and refresh tokens: JSON Web Tokens, signed with the service's own Ed25519 key.
//!
//! The key is made on the first start and lies in `token.key` (PKCS#8, mode 0600) of the state
//! directory, so that tokens outlive a restart. Verified tokens are remembered, bounded, until they
//! expire: a signature is checked once.

use super::{
    Caller,
    jws::{self, Unverified},
};
use crate::{
    host::files,
    model::{ids::PlayerUuid, time::Timestamp},
    service::ServeError,
};
use quick_cache::sync::Cache;
use rand::Rng;
use ring::signature::Ed25519KeyPair;
use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path, sync::Arc, time::Duration};

/// What a PKCS#8 document of an Ed25519 key begins with; the 32 bytes of the seed follow.
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const ISSUER: &str = "gameside";
/// Verified tokens remembered at a time.
const REMEMBERED: usize = 65_536;

/// What a token is for. One can't be used as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenUse {
    Access,
    Refresh,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    iat: i64,
    exp: i64,
    #[serde(rename = "use")]
    purpose: TokenUse,
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    player: Option<PlayerUuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    permissions: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    restricted: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    generation: String,
}

/// Signs and verifies.
pub struct Tokens {
    key: Ed25519KeyPair,
    remembered: Cache<Tail, Arc<Remembered>>,
}

/// The end of a token, which is the end of its signature: as good a key as the whole, and quickly hashed.
type Tail = [u8; 32];

struct Remembered {
    token: String,
    caller: Arc<Caller>,
    expires: i64,
}

fn tail(token: &str) -> Option<Tail> {
    token.as_bytes().last_chunk().copied()
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// Reads the key below the state directory, or makes one.
    pub fn open(state_dir: &Path) -> Result<Tokens, ServeError> {
        let path = state_dir.join("token.key");
        let failed = |why: String| ServeError::File { path: path.clone(), why };
        let der = read_or_make(&path).map_err(|why| failed(why.to_string()))?;
        // Without the public key, which is derived from the seed here.
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
            .map_err(|why| failed(format!("no Ed25519 key in PKCS#8 ({why}); delete it to get a new one")))?;
        Ok(Tokens { key, remembered: Cache::new(REMEMBERED) })
    }

    /// Signs what a caller may do until `now + lifetime`.
    pub fn issue(
        &self,
        caller: &Caller,
        purpose: TokenUse,
        now: Timestamp,
        lifetime: Duration,
    ) -> serde_json::Result<String> {
        let issued = now.unix_millis() / 1000;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: caller.subject.clone(),
            iat: issued,
            exp: issued.saturating_add(lifetime.as_secs() as i64),
            purpose,
            name: caller.name.clone(),
            player: caller.player,
            platform: caller.platform.clone(),
            permissions: caller.permissions.iter().cloned().collect(),
            restricted: caller.restricted,
            generation: caller.generation.clone(),
        };
        jws::sign(&claims, &self.key)
    }

    /// Who holds this token; none if it is bad, expired, or for something else.
    pub fn verify(&self, token: &str, purpose: TokenUse, now: Timestamp) -> Option<Arc<Caller>> {
        let seconds = now.unix_millis() / 1000;
        if purpose == TokenUse::Access
            && let Some(known) = tail(token).and_then(|tail| self.known(&tail, token))
        {
            return (known.1 > seconds).then_some(known.0);
        }
        let claims = self.claims(token)?;
        if claims.purpose != purpose || claims.exp <= seconds {
            return None;
        }
        let caller = Arc::new(Caller {
            subject: claims.sub,
            player: claims.player,
            name: claims.name,
            platform: claims.platform,
            permissions: claims.permissions.into_iter().collect(),
            restricted: claims.restricted,
            generation: claims.generation,
        });
        if purpose == TokenUse::Access {
            self.remember(token, &caller, claims.exp);
        }
        Some(caller)
    }

    fn claims(&self, token: &str) -> Option<Claims> {
        Unverified::parse(token)?.own_claims(&self.key).filter(|claims: &Claims| claims.iss == ISSUER)
    }

    /// Whose token this is, and when it expires, if it was verified before: this token, to the last letter.
    fn known(&self, tail: &Tail, token: &str) -> Option<(Arc<Caller>, i64)> {
        let known = self.remembered.get(tail).filter(|known| known.token == token)?;
        Some((known.caller.clone(), known.expires))
    }

    fn remember(&self, token: &str, caller: &Arc<Caller>, expires: i64) {
        let Some(tail) = tail(token) else { return };
        let known = Remembered { token: token.to_owned(), caller: caller.clone(), expires };
        self.remembered.insert(tail, Arc::new(known));
    }
}

fn read_or_make(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let mut der = PKCS8.to_vec();
    let mut seed = [0u8; 32];
    rand::rng().fill_bytes(&mut seed);
    der.extend(seed);
    files::create(path, &der, 0o600).map_err(io::Error::other)?;
    Ok(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_unix_millis(1_700_000_000_000 + second * 1000).unwrap()
    }

    #[test]
    fn a_token_is_good_until_it_expires_for_one_purpose_and_across_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        let caller = Caller { subject: "client:a".into(), ..Caller::nobody() };
        let token = tokens.issue(&caller, TokenUse::Access, at(0), Duration::from_secs(60)).unwrap();
        assert_eq!(tokens.verify(&token, TokenUse::Access, at(59)).as_deref(), Some(&caller));
        assert_eq!(tokens.verify(&token, TokenUse::Access, at(60)), None, "remembered, and expired");
        assert_eq!(tokens.verify(&token, TokenUse::Refresh, at(1)), None);
        let reopened = Tokens::open(dir.path()).unwrap();
        assert!(reopened.verify(&token, TokenUse::Access, at(1)).is_some());
        assert_eq!(reopened.verify(&token, TokenUse::Access, at(61)), None);
        let stranger = Tokens::open(tempfile::tempdir().unwrap().path()).unwrap();
        assert_eq!(stranger.verify(&token, TokenUse::Access, at(1)), None, "another key");
        let mut forged = token.clone();
        forged.replace_range(40..41, if &token[40..41] == "A" { "B" } else { "A" });
        assert_eq!(
            tokens.verify(&forged, TokenUse::Access, at(1)),
            None,
            "with the signature of one that is remembered"
        );
        for stump in ["", &token[token.len() - 32..], &token[1..]] {
            assert_eq!(tokens.verify(stump, TokenUse::Access, at(1)), None);
        }
    }
}
