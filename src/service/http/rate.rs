//! How fast a caller may ask: a bucket a caller that fills at its rate up to the burst. Players and
//! clients are known by their token, others by their address.
//!
//! Invariants: a refusal says when to come again. Memory is bounded: above so many callers, those
//! that asked least lately are forgotten.

use super::reply::{Outcome, too_many_requests};
use crate::{
    model::time::Instant,
    net::rate::{Buckets, Rate},
    service::settings::Limits,
};
use std::net::IpAddr;

/// Callers remembered at a time.
const REMEMBERED: usize = 65_536;

/// The callers' buckets.
#[derive(Debug)]
pub struct RateLimiter(Buckets);

impl Default for RateLimiter {
    fn default() -> Self {
        RateLimiter(Buckets::new(REMEMBERED))
    }
}

impl RateLimiter {
    /// Counts a request of `subject` (`client:…`, `player:…`, or empty: then by address), or refuses it with 429.
    pub fn admit(
        &self,
        subject: &str,
        address: impl FnOnce() -> Option<IpAddr>,
        limits: &Limits,
        now: Instant,
    ) -> Outcome<()> {
        let server = subject.starts_with("client:");
        let rate = if server { limits.server_requests_per_second } else { limits.requests_per_second };
        if rate == 0 {
            return Ok(());
        }
        let limit = Rate { per_second: f64::from(rate), burst: f64::from(limits.request_burst) };
        let taken = match subject {
            "" => self.0.take(address(), limit, now),
            subject => self.0.take(subject, limit, now),
        };
        taken.map_err(|seconds| {
            let desc = format!("more than {rate} requests a second; come again in {seconds} s");
            too_many_requests(desc, seconds).into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(millis: u64) -> Instant {
        Instant(Duration::from_millis(1_000_000 + millis))
    }
    fn ip(last: u8) -> impl FnOnce() -> Option<IpAddr> {
        move || Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn a_burst_then_the_rate_each_caller_for_itself() {
        let limits = Limits { requests_per_second: 2, request_burst: 3, ..Limits::default() };
        let rate = RateLimiter::default();
        let admitted = |who: &str, from, millis| rate.admit(who, ip(from), &limits, at(millis)).is_ok();
        assert_eq!([0, 0, 0, 0].map(|millis| admitted("player:a", 1, millis)), [true, true, true, false]);
        assert!(admitted("player:b", 1, 0), "another player of the same address");
        assert!(admitted("client:s", 1, 0), "servers have a rate of their own, which is off");
        assert!(admitted("", 1, 0) && admitted("", 1, 0) && admitted("", 1, 0) && !admitted("", 1, 0));
        assert!(admitted("", 2, 0), "another address");
        assert!(!admitted("player:a", 1, 250) && admitted("player:a", 1, 500));
        let refused = rate.admit("player:a", ip(1), &limits, at(500)).unwrap_err();
        assert!(matches!(refused, super::super::reply::Interrupt::Refused(no) if no.retry_after == Some(1)));
    }

    #[test]
    fn memory_is_bounded_and_who_asks_often_is_not_forgotten() {
        let limits = Limits { requests_per_second: 1, request_burst: 2, ..Limits::default() };
        let rate = RateLimiter::default();
        let busy = || rate.admit("player:busy", ip(0), &limits, at(0));
        assert!(busy().is_ok() && busy().is_ok());
        for n in 0..2 * REMEMBERED {
            rate.admit(&format!("player:{n}"), ip(0), &limits, at(0)).unwrap();
            assert!(n % 100 != 0 || busy().is_err(), "forgotten behind {n} others");
        }
        let callers = rate.0.len();
        assert!((REMEMBERED / 2..=REMEMBERED * 11 / 10).contains(&callers), "{callers}");
    }
}
