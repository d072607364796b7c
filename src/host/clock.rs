//! The only place where a clock is read. Everything else is handed the time, or waits with
//! `tokio::time`.

use crate::model::time::{BootId, Instant, Now, Timestamp};
use rustix::time::{ClockId, Timespec, clock_gettime};
use std::{sync::LazyLock, time::Duration};

/// Nil where the kernel doesn't say.
static BOOT_ID: LazyLock<BootId> = LazyLock::new(|| {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    BootId(text.trim().parse().unwrap_or_default())
});

/// The three clocks, read one after the other.
pub(crate) fn now() -> Now {
    Now { boot: boot(), mono: mono(), wall: wall(), boot_id: *BOOT_ID }
}

/// The present boot of the machine, where the kernel says.
pub(crate) fn boot_id() -> Option<BootId> {
    Some(*BOOT_ID).filter(|id| *id != BootId::default())
}

/// CLOCK_MONOTONIC: stops while the machine sleeps.
pub fn mono() -> Instant {
    Instant(span(clock_gettime(ClockId::Monotonic)))
}

/// CLOCK_BOOTTIME: goes on while the machine sleeps.
pub(crate) fn boot() -> Duration {
    span(clock_gettime(ClockId::Boottime))
}

/// CLOCK_REALTIME, to the millisecond below, as it goes over the wire.
pub(crate) fn wall() -> Timestamp {
    let time = clock_gettime(ClockId::Realtime);
    let millis = time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000);
    Timestamp::from_unix_millis(millis).unwrap_or(Timestamp::EPOCH)
}

fn span(time: Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_go_forward_and_agree_with_the_kernel() {
        let (first, second) = (now(), now());
        assert!(second.mono >= first.mono && second.boot >= first.boot);
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!((boot().as_secs_f64() - uptime).abs() < 5.0, "{uptime}");
        assert!(wall() > Timestamp::from_unix_millis(1_700_000_000_000).unwrap());
    }
}
