//! TERM, INT and HUP as a stream. From the moment [`Signals::listen`] returns, none of them ends
//! the process by itself.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caught {
    /// SIGTERM: drain and end; a second one hastens.
    Terminate,
    /// SIGINT, Ctrl-C: the same.
    Interrupt,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The stream.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Needs a tokio runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal. May be dropped and called again without losing one.
    pub(crate) async fn next(&mut self) -> Caught {
        tokio::select! {
            biased;
            Some(()) = self.terminate.recv() => Caught::Terminate,
            Some(()) = self.interrupt.recv() => Caught::Interrupt,
            Some(()) = self.hangup.recv() => Caught::Reload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Signal, getpid, kill_process};

    #[tokio::test]
    async fn signals_arrive_as_what_they_ask_for() {
        let mut signals = Signals::listen().unwrap();
        for (sent, caught) in
            [(Signal::HUP, Caught::Reload), (Signal::TERM, Caught::Terminate), (Signal::INT, Caught::Interrupt)]
        {
            kill_process(getpid(), sent).unwrap();
            assert_eq!(signals.next().await, caught);
        }
    }
}
