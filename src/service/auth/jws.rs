//! JSON Web Signatures in their compact form (RFC 7515), signed and verified by `ring`.
//!
//! ```text
//!   base64url(header) . base64url(claims) . base64url(signature)
//!   └────────── what is signed ─────────┘
//! ```
//!
//! | algorithm | key |
//! |---|---|
//! | `EdDSA` | `OKP`, curve Ed25519 |
//! | `ES256`, `ES384` | `EC`, curve P-256 or P-384; the signature is the two numbers, one after the other |
//! | `RS256`, `RS384`, `RS512`, `PS256` | `RSA`, 2048 to 8192 bits |
//!
//! Invariants: there is no algorithm with a shared secret, and no `none`. A key verifies only what
//! its kind, its curve and its own `alg` and `use` fit. A header with `crit` is refused, since none
//! of the extensions that it may name is known here.

use super::issuer_settings::TokenAlgorithm;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ring::signature::{self, Ed25519KeyPair, KeyPair as _, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A public key of a JSON Web Key Set (RFC 7517), as far as it bears on signatures.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Jwk {
    pub(super) kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    #[serde(flatten)]
    key: PublicKey,
}

/// Numbers and points in base64url, as the set has them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kty")]
enum PublicKey {
    #[serde(rename = "OKP")]
    Edwards { crv: String, x: String },
    #[serde(rename = "EC")]
    Elliptic { crv: String, x: String, y: String },
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
}

/// The parts of a token whose signature hasn't been looked at yet.
#[derive(Debug)]
pub(super) struct Unverified<'t> {
    header: Header,
    signed: &'t str,
    claims: &'t str,
    signature: Vec<u8>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typ: Option<String>,
    alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

/// Signs these claims with EdDSA.
pub(super) fn sign(claims: &impl Serialize, key: &Ed25519KeyPair) -> serde_json::Result<String> {
    let header = Header { typ: Some("JWT".into()), alg: "EdDSA".into(), kid: None, crit: None };
    let part = |json: Vec<u8>| BASE64URL.encode(json);
    let signed = format!("{}.{}", part(serde_json::to_vec(&header)?), part(serde_json::to_vec(claims)?));
    let signature = BASE64URL.encode(key.sign(signed.as_bytes()));
    Ok(format!("{signed}.{signature}"))
}

impl<'t> Unverified<'t> {
    /// Takes a token apart; none if it isn't one.
    pub(super) fn parse(token: &'t str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&BASE64URL.decode(header).ok()?).ok()?;
        let signature = BASE64URL.decode(signature).ok()?;
        header.crit.is_none().then_some(Unverified { header, signed, claims, signature })
    }

    /// The name of the algorithm, as the token itself has it.
    pub(super) fn algorithm(&self) -> &str {
        &self.header.alg
    }

    /// Which key of a set it names.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The claims, if this key has signed them with the algorithm that the token names.
    pub(super) fn claims<T: DeserializeOwned>(&self, key: &Jwk, algorithm: TokenAlgorithm) -> Option<T> {
        if self.header.alg != algorithm.name() || !key.fits(algorithm) {
            return None;
        }
        self.verified(|signed, signature| key.verifies(algorithm, signed, signature))
    }

    /// The claims, if the service's own key has signed them.
    pub(super) fn own_claims<T: DeserializeOwned>(&self, key: &Ed25519KeyPair) -> Option<T> {
        if self.header.alg != TokenAlgorithm::EdDSA.name() {
            return None;
        }
        let key = UnparsedPublicKey::new(&signature::ED25519, key.public_key());
        self.verified(|signed, signature| key.verify(signed, signature).ok())
    }

    fn verified<T: DeserializeOwned>(&self, verify: impl FnOnce(&[u8], &[u8]) -> Option<()>) -> Option<T> {
        verify(self.signed.as_bytes(), &self.signature)?;
        serde_json::from_slice(&BASE64URL.decode(self.claims).ok()?).ok()
    }
}

impl Jwk {
    /// Whether a token may be signed with this key in this way.
    pub(super) fn fits(&self, algorithm: TokenAlgorithm) -> bool {
        let kind = match &self.key {
            PublicKey::Edwards { crv, .. } => algorithm == TokenAlgorithm::EdDSA && crv == "Ed25519",
            PublicKey::Elliptic { crv, .. } => match algorithm {
                TokenAlgorithm::ES256 => crv == "P-256",
                TokenAlgorithm::ES384 => crv == "P-384",
                _ => false,
            },
            PublicKey::Rsa { .. } => {
                !matches!(algorithm, TokenAlgorithm::EdDSA | TokenAlgorithm::ES256 | TokenAlgorithm::ES384)
            }
        };
        let signs = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        kind && signs && self.alg.as_deref().is_none_or(|own| own == algorithm.name())
    }

    fn verifies(&self, algorithm: TokenAlgorithm, signed: &[u8], signature: &[u8]) -> Option<()> {
        match &self.key {
            PublicKey::Edwards { x, .. } => {
                let point = BASE64URL.decode(x).ok()?;
                UnparsedPublicKey::new(&signature::ED25519, point).verify(signed, signature).ok()
            }
            PublicKey::Elliptic { x, y, .. } => {
                let (curve, size) = match algorithm {
                    TokenAlgorithm::ES256 => (&signature::ECDSA_P256_SHA256_FIXED, 32),
                    _ => (&signature::ECDSA_P384_SHA384_FIXED, 48),
                };
                let (x, y) = (BASE64URL.decode(x).ok()?, BASE64URL.decode(y).ok()?);
                let whole = x.len() == size && y.len() == size;
                // An uncompressed point.
                let point = whole.then(|| [&[4], x.as_slice(), y.as_slice()].concat())?;
                UnparsedPublicKey::new(curve, point).verify(signed, signature).ok()
            }
            PublicKey::Rsa { n, e } => {
                let (n, e) = (BASE64URL.decode(n).ok()?, BASE64URL.decode(e).ok()?);
                let rules = match algorithm {
                    TokenAlgorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                    TokenAlgorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
                    TokenAlgorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
                    _ => &signature::RSA_PKCS1_2048_8192_SHA256,
                };
                RsaPublicKeyComponents { n, e }.verify(rules, signed, signature).ok()
            }
        }
    }
}

impl TokenAlgorithm {
    /// As a token's header has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            TokenAlgorithm::EdDSA => "EdDSA",
            TokenAlgorithm::ES256 => "ES256",
            TokenAlgorithm::ES384 => "ES384",
            TokenAlgorithm::RS256 => "RS256",
            TokenAlgorithm::RS384 => "RS384",
            TokenAlgorithm::RS512 => "RS512",
            TokenAlgorithm::PS256 => "PS256",
        }
    }
}

#[cfg(test)]
mod tests;
