//! Numbers that prove that packets reach an address: made of it, of the time and of a secret, so
//! that none has to be stored.
//!
//! A number is valid until the end of the span after the one that it was issued in.

use crate::model::time::Instant;
use ring::hmac;
use std::{net::SocketAddr, time::Duration};

/// What clients send before they have one.
pub(crate) const NO_CHALLENGE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Challenges {
    key: hmac::Key,
    span: Duration,
}

impl Challenges {
    pub(crate) fn new(secret: [u8; 32], span: Duration) -> Self {
        Challenges { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), span: span.max(Duration::from_secs(1)) }
    }

    pub(crate) fn issue(&self, client: SocketAddr, now: Instant) -> u32 {
        self.of(client, self.spans(now))
    }

    pub(crate) fn is_valid(&self, given: u32, client: SocketAddr, now: Instant) -> bool {
        let this = self.spans(now);
        given == self.of(client, this) || given == self.of(client, this.wrapping_sub(1))
    }

    fn spans(&self, now: Instant) -> u64 {
        (now.0.as_millis() / self.span.as_millis()) as u64
    }

    fn of(&self, client: SocketAddr, span: u64) -> u32 {
        let tag = hmac::sign(&self.key, format!("{client} {span}").as_bytes());
        let number = u32::from_le_bytes(std::array::from_fn(|byte| tag.as_ref()[byte]));
        // `NO_CHALLENGE` is no valid number.
        if number == NO_CHALLENGE { 1 } else { number }
    }
}
