//! Where secrets and passwords are hashed: beside the runtime's thread, as many at a time as there
//! are cores, behind a queue; and who is put off for having been wrong too often.
//!
//! | what | waits | put off |
//! |---|---|---|
//! | a session's password | in a queue of [`QUEUE`]; above it, 503 | the caller, for this session, after [`PASSWORDS`] |
//! | a client's secret | in its connection, on places of its own | wrong ones of this (client, source) after [`SECRETS`] get 429, as do other failed logins; a right one is never refused |
//!
//! Invariant: memory for hashes is that of so many at a time, whatever comes in.

use crate::{
    model::{errors::codes, time::Instant},
    net::rate::{Buckets, Rate},
    service::http::reply::{Outcome, Refused, too_many_requests, unavailable},
};
use http::StatusCode;
use std::{net::IpAddr, num::NonZero, sync::Arc, thread};
use tokio::{
    sync::{Semaphore, TryAcquireError},
    task::spawn_blocking,
};

/// Passwords that wait or are being hashed at a time.
const QUEUE: usize = 256;
/// Wrong passwords of one caller for one session.
const PASSWORDS: Rate = Rate { per_second: 0.1, burst: 5.0 };
/// Wrong secrets of one client from one source.
const SECRETS: Rate = Rate { per_second: 1.0, burst: 20.0 };
/// Callers remembered at a time, of each kind.
const REMEMBERED: usize = 16_384;

#[derive(Debug)]
pub(crate) struct Hashing {
    queue: Arc<Semaphore>,
    passwords: Arc<Semaphore>,
    secrets: Arc<Semaphore>,
    wrong_passwords: Buckets,
    wrong_secrets: Buckets,
}

impl Default for Hashing {
    fn default() -> Self {
        Hashing::new(thread::available_parallelism().map_or(1, NonZero::get), QUEUE)
    }
}

impl Hashing {
    fn new(cores: usize, queue: usize) -> Self {
        Hashing {
            queue: Arc::new(Semaphore::new(queue)),
            passwords: Arc::new(Semaphore::new(cores)),
            secrets: Arc::new(Semaphore::new(cores)),
            wrong_passwords: Buckets::new(REMEMBERED),
            wrong_secrets: Buckets::new(REMEMBERED),
        }
    }

    /// Work on a password.
    pub(crate) async fn password<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
        let busy = |_: TryAcquireError| unavailable("too many passwords are being checked; try again", 1);
        let queued = self.queue.clone().try_acquire_owned().map_err(busy)?;
        let work = move || {
            let _queued = queued;
            work()
        };
        in_place(&self.passwords, work).await.ok_or_else(|| {
            Refused::new(StatusCode::INTERNAL_SERVER_ERROR, codes::INTERNAL, "a password could not be hashed").into()
        })
    }

    /// Work on a client's secret; none if it failed.
    pub(crate) async fn log_in<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        in_place(&self.secrets, work).await
    }

    /// A caller tries a password against this hash. It counts as wrong until [`right_password`](Self::right_password).
    pub(crate) fn try_password(&self, caller: &str, hash: &str, now: Instant) -> Outcome<()> {
        self.wrong_passwords.take((caller, hash), PASSWORDS, now).map_err(|seconds| {
            let desc = format!("too many wrong passwords; come again in {seconds} s");
            Refused::new(StatusCode::FORBIDDEN, codes::WRONG_PASSWORD, desc).come_again(seconds).into()
        })
    }
    pub(crate) fn right_password(&self, caller: &str, hash: &str) {
        self.wrong_passwords.forget((caller, hash));
    }

    /// A login from there has failed: a client's, or nobody's who says so.
    pub(crate) fn wrong_secret(&self, client: &str, from: Option<IpAddr>, now: Instant) -> Outcome<()> {
        self.wrong_secrets.take((client, from), SECRETS, now).map_err(|seconds| {
            let desc = format!("too many wrong secrets; come again in {seconds} s");
            Refused { auth_success: false, ..too_many_requests(desc, seconds) }.into()
        })
    }
}

/// The work is done even if nobody waits for it any more, and its place is taken for as long.
async fn in_place<T: Send + 'static>(places: &Arc<Semaphore>, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let place = places.clone().acquire_owned().await.ok()?;
    let work = move || {
        let _place = place;
        work()
    };
    spawn_blocking(work).await.ok()
}

#[cfg(test)]
mod tests;
