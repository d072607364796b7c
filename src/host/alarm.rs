//! A timer of the kernel's, for whoever waits long and often: it wakes its process once. Tokio's
//! own timer wakes it up to three times on the way, at the levels of its wheel.

use crate::model::time::Instant;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};
use tokio::io::unix::AsyncFd;

/// One timer. It goes by [`super::clock::mono`].
#[derive(Debug)]
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// Must be called in a runtime.
    #[expect(deprecated, reason = "an owned descriptor keeps what the successor wants promised by `unsafe`")]
    pub(crate) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        AsyncFd::new(timer).map(Alarm)
    }

    /// Waits until then. Cancel-safe; one at a time.
    pub(crate) async fn at(&self, due: Instant) -> io::Result<()> {
        // Nothing disarms it: a zero time would.
        let time = due.0.max(std::time::Duration::from_nanos(1));
        let it_value = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        // This also forgets that it rang before.
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let rang = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref().as_fd(), &mut [0; 8])?));
            match rang {
                Ok(rang) => return rang.map(drop),
                Err(_not_yet) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::clock;
    use futures_util::FutureExt as _;
    use std::time::Duration;

    #[tokio::test]
    async fn it_rings_once_at_its_time_and_forgets_an_earlier_one() {
        let alarm = Alarm::new().unwrap();
        let begun = clock::mono();
        assert!(alarm.at(begun + Duration::from_secs(3600)).now_or_never().is_none());
        let due = begun + Duration::from_millis(20);
        alarm.at(due).await.unwrap();
        assert!(clock::mono() >= due);
        alarm.at(Instant(Duration::ZERO)).await.unwrap();
        assert!(alarm.at(begun + Duration::from_secs(3600)).now_or_never().is_none(), "it has rung for the past");
    }
}
