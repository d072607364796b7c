//! Numbers that prove that packets reach an address: made of it, of the time and of a secret, so that none has to be kept.
//!
//! A number is good until the end of the span after the one that it was made in.

use crate::model::time::Instant;
use ring::hmac;
use std::{net::SocketAddr, time::Duration};

/// What askers send before they have one.
pub const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub struct Challenges {
    key: hmac::Key,
    span: Duration,
}

impl Challenges {
    pub fn new(secret: [u8; 32], span: Duration) -> Self {
        Challenges { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), span: span.max(Duration::from_secs(1)) }
    }

    pub fn make(&self, who: SocketAddr, now: Instant) -> u32 {
        self.of(who, self.spans(now))
    }

    pub fn holds(&self, given: u32, who: SocketAddr, now: Instant) -> bool {
        let this = self.spans(now);
        given == self.of(who, this) || given == self.of(who, this.wrapping_sub(1))
    }

    fn spans(&self, now: Instant) -> u64 {
        (now.0.as_millis() / self.span.as_millis()) as u64
    }

    fn of(&self, who: SocketAddr, span: u64) -> u32 {
        let tag = hmac::sign(&self.key, format!("{who} {span}").as_bytes());
        let number = u32::from_le_bytes(std::array::from_fn(|byte| tag.as_ref()[byte]));
        // That one means that there is none.
        if number == NONE { 1 } else { number }
    }
}
