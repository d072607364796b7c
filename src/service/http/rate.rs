//! How fast a caller may ask: a bucket a caller that fills at its rate up to the burst. Players and clients are known by their
//! token, others by their address.
//!
//! Invariants: whoever is refused is told when to come again; memory is bounded: above so many callers those whose buckets
//! are full again are forgotten, which changes nothing for them.

use super::reply::{Outcome, Refused};
use crate::{
    model::{errors::codes, time::Instant},
    net::rate::{Bucket, Rate},
    service::settings::Limits,
};
use http::StatusCode;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

/// Callers remembered at a time.
const REMEMBERED: usize = 65_536;

/// The callers' buckets, each with its rate.
#[derive(Debug, Default)]
pub struct RateLimiter(Mutex<HashMap<String, (Rate, Bucket)>>);

impl RateLimiter {
    /// Counts a request of `subject` (`client:…`, `player:…`, or empty: then by address), or refuses it with 429.
    pub fn admit(&self, subject: &str, address: impl FnOnce() -> IpAddr, limits: &Limits, now: Instant) -> Outcome<()> {
        let server = subject.starts_with("client:");
        let rate = if server { limits.server_requests_per_second } else { limits.requests_per_second };
        if rate == 0 {
            return Ok(());
        }
        let key = if subject.is_empty() { address().to_string() } else { subject.to_owned() };
        let limit = Rate { per_second: f64::from(rate), burst: f64::from(limits.request_burst) };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(&key) {
            buckets.retain(|_, (known, bucket)| {
                bucket.fill(*known, now);
                !bucket.is_full(*known)
            });
            if buckets.len() >= REMEMBERED {
                buckets.clear();
            }
        }
        let (known, bucket) = buckets.entry(key).or_insert((limit, Bucket::full(limit, now)));
        *known = limit;
        bucket.fill(limit, now);
        if bucket.take() {
            return Ok(());
        }
        let seconds = bucket.seconds_until_one(limit);
        let desc = format!("more than {rate} requests a second; come again in {seconds} s");
        let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, codes::TOO_MANY_REQUESTS, desc);
        Err(Refused { retry_after: Some(seconds), ..refused }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(millis: u64) -> Instant {
        Instant(Duration::from_millis(1_000_000 + millis))
    }
    fn ip(last: u8) -> impl FnOnce() -> IpAddr {
        move || IpAddr::from([10, 0, 0, last])
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
    fn memory_is_bounded_and_full_buckets_go_first() {
        let limits = Limits { requests_per_second: 1, request_burst: 2, ..Limits::default() };
        let rate = RateLimiter::default();
        for n in 0..REMEMBERED {
            rate.admit(&format!("player:{n}"), ip(0), &limits, at(0)).unwrap();
        }
        let busy = "player:7";
        assert!(rate.admit(busy, ip(0), &limits, at(875)).is_ok());
        rate.admit("player:new", ip(0), &limits, at(1000)).unwrap();
        assert_eq!(rate.0.lock().unwrap().len(), 2);
        assert!(
            rate.admit(busy, ip(0), &limits, at(1000)).is_ok() && rate.admit(busy, ip(0), &limits, at(1000)).is_err()
        );
    }
}
