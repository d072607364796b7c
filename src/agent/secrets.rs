//! The token of a run: an HMAC over the run's id, so that an agent that adopts a game after a crash
//! computes the token that the game already has.

use crate::model::ids::RunId;
use secrecy::{ExposeSecret, SecretString};
use std::fmt::Write as _;

/// The token that the game of this run holds.
pub(crate) fn game_token(secret: &SecretString, run: &RunId) -> SecretString {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let tag = ring::hmac::sign(&key, run.to_string().as_bytes());
    let text = tag.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a String doesn't fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::{KeeperId, RunNumber};

    #[test]
    fn every_run_has_its_own_token_and_keeps_it() {
        let secret = SecretString::from("s".repeat(64));
        let run = |n| RunId { keeper: KeeperId::new("k").unwrap(), run: RunNumber(n) };
        let (one, again, two) =
            (game_token(&secret, &run(1)), game_token(&secret, &run(1)), game_token(&secret, &run(2)));
        assert_eq!(one.expose_secret(), again.expose_secret());
        assert_ne!(one.expose_secret(), two.expose_secret());
        assert_eq!(one.expose_secret().len(), 64);
    }
}
