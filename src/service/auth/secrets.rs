//! Hashing of secrets and passwords (Argon2id), and comparing.
//!
//! A client's secret is 256 random bits, made by us: no dictionary finds it, so its hash needs
//! little memory. A session's password is chosen by people and gets what OWASP recommends as a
//! minimum.
//!
//! A hash is stored as a PHC string: `$argon2id$v=19$m=64,t=1,p=1$salt$hash`. Earlier versions
//! stored `memory_kib$passes$salt$hash`, the last two in hexadecimal; such a hash still matches its
//! secret.

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use rand::Rng;
use std::fmt::Write;
use subtle::ConstantTimeEq as _;

/// How much work guessing shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strength {
    /// For our own random secrets.
    Random,
    /// For what people choose.
    Chosen,
}

/// 256 random bits, as hexadecimal.
pub(crate) fn random_secret() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hashes with a fresh salt. Slow on purpose: not for the runtime's thread.
pub(crate) fn hash(secret: &str, strength: Strength) -> String {
    let (memory, passes) = match strength {
        Strength::Random => (64, 1),
        Strength::Chosen => (7 * 1024, 5),
    };
    let mut salt = [0u8; 16];
    rand::rng().fill_bytes(&mut salt);
    digest(secret, memory, passes, &salt).map(|hash| hash.to_string()).unwrap_or_default()
}

#[cfg(test)]
thread_local! {
    static HASHES: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}
/// How many secrets this thread has hashed to compare them.
#[cfg(test)]
pub(super) fn hashes() -> u64 {
    HASHES.get()
}

/// Whether a secret is the hashed one. A hash that can't be read matches nothing.
pub(crate) fn matches(secret: &str, hashed: &str) -> bool {
    #[cfg(test)]
    HASHES.set(HASHES.get() + 1);
    if hashed.starts_with('$') {
        return Argon2::default().verify_password(secret.as_bytes(), hashed).is_ok();
    }
    let parts: Vec<&str> = hashed.split('$').collect();
    let &[memory, passes, salt, expected] = parts.as_slice() else { return false };
    let (Ok(memory), Ok(passes)) = (memory.parse(), passes.parse()) else { return false };
    let (Some(salt), Some(expected)) = (unhex(salt), unhex(expected)) else { return false };
    let output = digest(secret, memory, passes, &salt).and_then(|hash| hash.hash);
    output.is_some_and(|output| output.as_bytes().ct_eq(&expected).into())
}

/// Compares in the same time wherever the first difference lies.
pub(crate) fn same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

fn digest(secret: &str, memory: u32, passes: u32, salt: &[u8]) -> Option<PasswordHash> {
    let params = Params::new(memory, passes, 1, Some(32)).ok()?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_with_salt(secret.as_bytes(), salt).ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_matches_its_secret_and_nothing_else() {
        for strength in [Strength::Random, Strength::Chosen] {
            let hashed = hash("open sesame", strength);
            assert!(hashed.starts_with("$argon2id$v=19$m="), "{hashed}");
            assert!(matches("open sesame", &hashed));
            assert!(!matches("open sesamf", &hashed));
            assert!(!hashed.contains("sesame"));
            assert_ne!(hash("open sesame", strength), hashed, "salted");
        }
        for broken in
            ["", "$", "$argon2id$v=19$m=64,t=1,p=1$zz", "64$1$zz$00", "64$1$00112233445566778899aabbccddeeff$"]
        {
            assert!(!matches("", broken), "{broken}");
        }
    }

    #[test]
    fn a_hash_of_an_earlier_version_still_matches() {
        use std::fmt::Write as _;
        let hashed = "64$1$00112233445566778899aabbccddeeff$";
        let salt = unhex("00112233445566778899aabbccddeeff").unwrap();
        let mut digest = [0u8; 32];
        let params = Params::new(64, 1, 1, Some(32)).unwrap();
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon.hash_password_into(b"open sesame", &salt, &mut digest).unwrap();
        let mut hashed = hashed.to_owned();
        for byte in digest {
            write!(hashed, "{byte:02x}").unwrap();
        }
        assert!(matches("open sesame", &hashed));
        assert!(!matches("open sesamf", &hashed));
        assert!(!matches("open sesame", &format!("{hashed}$")));
    }
}
