//! What systemd is told. Without a service manager every call does nothing.
//!
//! READY comes once the API is bound and the journal replayed; the watchdog is fed by the driver's
//! progress, never by a timer of its own; a drain asks for more time as it goes.

use super::clock;
use sd_notify::NotifyState;
use std::time::Duration;

/// Everything is up. `status` is shown by `systemctl status`.
pub(crate) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// Another line for `systemctl status`.
pub(crate) fn status(status: &str) {
    send(&[NotifyState::Status(&one_line(status))]);
}

/// A reload begins; [`ready`] ends it.
pub(crate) fn reloading() {
    let now = i128::try_from(clock::mono().0.as_micros()).unwrap_or(i128::MAX);
    send(&[NotifyState::Reloading, NotifyState::MonotonicUsec(now)]);
}

/// The end begins.
pub(crate) fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(&one_line(status))]);
}

/// The driver makes progress: systemd need not restart the agent.
pub(crate) fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// The current phase takes at least this much longer than was allowed so far, counted from now.
pub(crate) fn extend_timeout(by: Duration) {
    send(&[NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))]);
}

/// How often the watchdog must be fed: half of the unit's limit. `None`: there is no watchdog.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

/// A service manager listens.
pub(crate) fn is_supervised() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// A lost message changes nothing for the game, so it is only logged.
fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// A line feed would start another assignment (MAINPID=…), and the text may come from a game.
fn one_line(text: &str) -> String {
    super::escape::escape(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_cant_say_anything_else_to_systemd() {
        assert_eq!(one_line("map x\nMAINPID=1"), "map x\\nMAINPID=1");
    }
}
