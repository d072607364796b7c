//! Hashing of secrets and passwords (Argon2id), and comparing.
//!
//! A client's secret is 256 random bits, made by us: no dictionary finds it, so its hash needs little memory. A
//! session's password is chosen by people and gets what OWASP recommends as a minimum.
//!
//! Text form: `memory_kib$passes$salt$hash`, the last two in hexadecimal.

use argon2::{Algorithm, Argon2, Params, Version};
use rand::Rng;
use std::fmt::Write;

/// How much work guessing shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// For our own random secrets.
    Random,
    /// For what people choose.
    Chosen,
}

/// 256 random bits, as hexadecimal.
pub fn random_secret() -> String {
    let mut bytes = [0u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex(&bytes)
}

/// Hashes with a fresh salt. Slow on purpose: not for the runtime's thread.
pub fn hash(secret: &str, strength: Strength) -> String {
    let (memory, passes) = match strength {
        Strength::Random => (64, 1),
        Strength::Chosen => (7 * 1024, 5),
    };
    let mut salt = [0u8; 16];
    rand::rng().fill_bytes(&mut salt);
    let digest = derive(secret, memory, passes, &salt).unwrap_or_default();
    format!("{memory}${passes}${}${}", hex(&salt), hex(&digest))
}

/// Whether a secret is the hashed one. A hash that can't be read matches nothing.
pub fn matches(secret: &str, hashed: &str) -> bool {
    let mut parts = hashed.split('$');
    let (Some(memory), Some(passes), Some(salt), Some(expected)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let (Ok(memory), Ok(passes), Some(salt)) = (memory.parse(), passes.parse(), unhex(salt)) else { return false };
    derive(secret, memory, passes, &salt).is_some_and(|digest| same(&hex(&digest), expected))
}

/// Compares in the same time wherever the first difference lies.
pub fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
}

fn derive(secret: &str, memory: u32, passes: u32, salt: &[u8]) -> Option<Vec<u8>> {
    let params = Params::new(memory, passes, 1, Some(32)).ok()?;
    let mut digest = vec![0u8; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(secret.as_bytes(), salt, &mut digest)
        .ok()?;
    Some(digest)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
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
        let hashed = hash("open sesame", Strength::Random);
        assert!(matches("open sesame", &hashed));
        assert!(!matches("open sesamf", &hashed));
        assert!(!hashed.contains("sesame"));
        assert_ne!(hash("open sesame", Strength::Random), hashed, "salted");
        for broken in ["", "$", "64$1$zz$00", "64$1$00112233445566778899aabbccddeeff$"] {
            assert!(!matches("", broken), "{broken}");
        }
    }
}
