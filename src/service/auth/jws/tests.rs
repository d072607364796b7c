//! Vectors that `openssl` makes: keys, and signatures over tokens.

use super::*;
use serde_json::{Value, json};
use std::{path::Path, process::Command};

const ALGORITHMS: [TokenAlgorithm; 7] = [
    TokenAlgorithm::EdDSA,
    TokenAlgorithm::ES256,
    TokenAlgorithm::ES384,
    TokenAlgorithm::RS256,
    TokenAlgorithm::RS384,
    TokenAlgorithm::RS512,
    TokenAlgorithm::PS256,
];

/// Runs `openssl` in a directory, and returns what it wrote to standard output.
fn openssl(dir: &Path, words: &str) -> Vec<u8> {
    let output = Command::new("openssl").args(words.split(' ')).current_dir(dir).output();
    let output = output.expect("openssl is installed; `tests/run` installs it on Debian");
    assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A key pair in a directory of its own.
struct Key {
    dir: tempfile::TempDir,
    public: Value,
}

impl Key {
    /// A key for this algorithm, made by openssl.
    fn for_algorithm(algorithm: TokenAlgorithm) -> Key {
        let dir = tempfile::tempdir().unwrap();
        let made = match algorithm {
            TokenAlgorithm::EdDSA => "genpkey -algorithm ed25519",
            TokenAlgorithm::ES256 => "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
            TokenAlgorithm::ES384 => "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
            _ => "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048",
        };
        openssl(dir.path(), &format!("{made} -out key.pem"));
        let der = openssl(dir.path(), "pkey -in key.pem -pubout -outform DER");
        // The key itself stands at the end of the document, whatever its kind.
        let last = |count: usize| &der[der.len() - count..];
        let text = |bytes: &[u8]| BASE64URL.encode(bytes);
        let public = match algorithm {
            TokenAlgorithm::EdDSA => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(last(32)) }),
            TokenAlgorithm::ES256 => {
                json!({ "kty": "EC", "crv": "P-256", "x": text(&last(64)[..32]), "y": text(last(32)) })
            }
            TokenAlgorithm::ES384 => {
                json!({ "kty": "EC", "crv": "P-384", "x": text(&last(96)[..48]), "y": text(last(48)) })
            }
            // 256 bytes of modulus, then an exponent of three bytes behind two that say so.
            _ => json!({ "kty": "RSA", "n": text(&last(261)[..256]), "e": text(last(3)) }),
        };
        Key { dir, public }
    }

    fn jwk(&self) -> Jwk {
        serde_json::from_value(self.public.clone()).unwrap()
    }

    fn with(&self, member: &str, value: &str) -> Jwk {
        let mut key = self.public.clone();
        key[member] = value.into();
        serde_json::from_value(key).unwrap()
    }

    /// A token with these parts, signed by openssl.
    fn token(&self, algorithm: TokenAlgorithm, header: &Value, claims: &Value) -> String {
        let part = |json: &Value| BASE64URL.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        std::fs::write(self.dir.path().join("signed"), &signed).unwrap();
        let how = match algorithm {
            TokenAlgorithm::EdDSA => "pkeyutl -sign -inkey key.pem -rawin -in signed",
            TokenAlgorithm::ES256 | TokenAlgorithm::RS256 => "dgst -sha256 -sign key.pem signed",
            TokenAlgorithm::ES384 | TokenAlgorithm::RS384 => "dgst -sha384 -sign key.pem signed",
            TokenAlgorithm::RS512 => "dgst -sha512 -sign key.pem signed",
            TokenAlgorithm::PS256 => {
                "dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -sign key.pem signed"
            }
        };
        let signature = openssl(self.dir.path(), how);
        let signature = match algorithm {
            TokenAlgorithm::ES256 => fixed(&signature, 32),
            TokenAlgorithm::ES384 => fixed(&signature, 48),
            _ => signature,
        };
        format!("{signed}.{}", BASE64URL.encode(signature))
    }
}

/// The two numbers of an ECDSA signature, each `size` bytes long: openssl writes them as DER.
fn fixed(der: &[u8], size: usize) -> Vec<u8> {
    let mut numbers = &der[2..];
    let mut both = Vec::new();
    for _ in 0..2 {
        let (number, rest) = numbers[2..].split_at(usize::from(numbers[1]));
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        both.extend(vec![0; size - number.len()]);
        both.extend(number);
        numbers = rest;
    }
    both
}

fn header(algorithm: TokenAlgorithm) -> Value {
    json!({ "alg": algorithm.name(), "kid": "k1" })
}

fn read(token: &str, key: &Jwk, algorithm: TokenAlgorithm) -> Option<Value> {
    Unverified::parse(token)?.claims(key, algorithm)
}

#[test]
fn what_openssl_signs_is_verified_and_nothing_that_differs_from_it() {
    let claims = json!({ "sub": "ann", "exp": 1 });
    for algorithm in ALGORITHMS {
        let (key, other) = (Key::for_algorithm(algorithm), Key::for_algorithm(algorithm));
        let token = key.token(algorithm, &header(algorithm), &claims);
        assert_eq!(read(&token, &key.jwk(), algorithm), Some(claims.clone()), "{algorithm:?}");
        assert_eq!(Unverified::parse(&token).unwrap().key_id(), Some("k1"));
        assert_eq!(read(&token, &other.jwk(), algorithm), None, "{algorithm:?}: another key");
        for another in ALGORITHMS.into_iter().filter(|another| *another != algorithm) {
            assert_eq!(read(&token, &key.jwk(), another), None, "{algorithm:?} taken for {another:?}");
        }
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (head, _) = signed.split_once('.').unwrap();
        let claimed = BASE64URL.encode(json!({ "sub": "eve", "exp": 1 }).to_string());
        assert_eq!(read(&format!("{head}.{claimed}.{signature}"), &key.jwk(), algorithm), None, "other claims");
        assert_eq!(read(&format!("{signed}."), &key.jwk(), algorithm), None, "{algorithm:?}: no signature");
    }
}

#[test]
fn a_key_verifies_only_what_it_is_for() {
    let algorithm = TokenAlgorithm::RS256;
    let key = Key::for_algorithm(algorithm);
    let token = key.token(algorithm, &header(algorithm), &json!({}));
    assert!(read(&token, &key.with("use", "sig"), algorithm).is_some());
    assert!(read(&token, &key.with("alg", "RS256"), algorithm).is_some());
    assert_eq!(read(&token, &key.with("use", "enc"), algorithm), None);
    assert_eq!(read(&token, &key.with("alg", "RS512"), algorithm), None);
    let p256 = Key::for_algorithm(TokenAlgorithm::ES256);
    assert!(!p256.with("crv", "P-384").fits(TokenAlgorithm::ES256));
    assert!(!p256.jwk().fits(TokenAlgorithm::ES384));
    let edwards = Key::for_algorithm(TokenAlgorithm::EdDSA);
    assert!(!edwards.with("crv", "X25519").fits(TokenAlgorithm::EdDSA));
    assert!(serde_json::from_value::<Jwk>(json!({ "kty": "oct", "k": "c2VjcmV0" })).is_err(), "a shared secret");
}

#[test]
fn a_header_that_asks_for_something_else_is_refused() {
    let algorithm = TokenAlgorithm::EdDSA;
    let key = Key::for_algorithm(algorithm);
    for alg in ["none", "HS256", "eddsa", ""] {
        let token = key.token(algorithm, &json!({ "alg": alg }), &json!({}));
        assert_eq!(read(&token, &key.jwk(), algorithm), None, "{alg}");
    }
    let critical = json!({ "alg": "EdDSA", "crit": ["b64"], "b64": false });
    assert_eq!(read(&key.token(algorithm, &critical, &json!({})), &key.jwk(), algorithm), None);
    for stump in ["", ".", "..", "a.b", "e30.e30.", "e30"] {
        assert!(Unverified::parse(stump).is_none(), "{stump}");
    }
}

#[test]
fn what_we_sign_openssl_verifies() {
    let key = Key::for_algorithm(TokenAlgorithm::EdDSA);
    let dir = key.dir.path();
    let der = openssl(dir, "pkey -in key.pem -outform DER");
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).unwrap();
    let token = sign(&json!({ "sub": "ann" }), &pair).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    std::fs::write(dir.join("signed"), signed).unwrap();
    std::fs::write(dir.join("signature"), BASE64URL.decode(signature).unwrap()).unwrap();
    openssl(dir, "pkeyutl -verify -inkey key.pem -rawin -in signed -sigfile signature");
    let own: Option<Value> = Unverified::parse(&token).unwrap().own_claims(&pair);
    assert_eq!(own, Some(json!({ "sub": "ann" })));
}
