//! The game's standard input, for console commands. What waits is bounded, and the keeper never
//! waits for the game to read.

use rustix::{fs::OFlags, io::Errno, pipe::PipeFlags};
use std::{io, os::fd::OwnedFd};

/// The most that waits for a game that doesn't read, in bytes.
pub(super) const MAX_QUEUED: usize = 64 * 1024;

/// Why a line isn't taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConsoleError {
    #[error("the game has closed its stdin")]
    Closed,
    #[error("the game doesn't read its stdin, and {waiting} bytes wait already")]
    Full { waiting: usize },
}

/// Our end of the game's stdin.
#[derive(Debug)]
pub(super) struct Console {
    /// None once the game has closed it.
    pipe: Option<OwnedFd>,
    queue: Vec<u8>,
}

impl Console {
    /// A new pipe: our end, and the game's.
    pub(super) fn pipe() -> io::Result<(Console, OwnedFd)> {
        let (theirs, ours) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&ours, OFlags::NONBLOCK)?;
        Ok((Console { pipe: Some(ours), queue: Vec::new() }, theirs))
    }

    /// Queues a line, and writes as much as the pipe takes at once.
    pub(super) fn push(&mut self, line: &str) -> Result<(), ConsoleError> {
        if self.pipe.is_none() {
            return Err(ConsoleError::Closed);
        }
        if self.queue.len() + line.len() + 1 > MAX_QUEUED {
            return Err(ConsoleError::Full { waiting: self.queue.len() });
        }
        self.queue.extend_from_slice(line.trim_end_matches('\n').as_bytes());
        self.queue.push(b'\n');
        self.flush();
        Ok(())
    }

    /// The descriptor to wait for, while something is queued.
    pub(super) fn waiting(&self) -> Option<&OwnedFd> {
        self.pipe.as_ref().filter(|_| !self.queue.is_empty())
    }

    pub(super) fn flush(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        while !self.queue.is_empty() {
            match rustix::io::write(pipe, &self.queue) {
                Ok(count) => drop(self.queue.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.pipe = None;
                    self.queue = Vec::new();
                    return;
                }
            }
        }
        self.queue = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_is_refused_in_the_end() {
        let (mut console, reader) = Console::pipe().unwrap();
        let line = "x".repeat(1000);
        let taken = (0..10_000).take_while(|_| console.push(&line).is_ok()).count();
        assert!((64..400).contains(&taken), "{taken}");
        assert!(console.waiting().is_some());
        drop(reader);
        console.flush();
        assert!(console.waiting().is_none());
        assert!(matches!(console.push("quit"), Err(ConsoleError::Closed)));
    }
}
