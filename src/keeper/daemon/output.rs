//! The game's pipes: always drained, into the log and, if it wants them and keeps up, to the agent
//! as lines.
//!
//! ```text
//!   pipe ──64 KiB reads──► whole lines ──► Log
//!                 │            └─────────► lines for the agent (only while asked for)
//!                 └─ the unfinished rest waits for its end, at most MAX_LINE bytes
//! ```
//!
//! Two streams share one log: a line of one is never cut by the other's. A line longer than
//! [`MAX_LINE`] is broken there.

use super::log::Log;
use rustix::{fs::OFlags, io::Errno, pipe::PipeFlags};
use std::{io, os::fd::OwnedFd};

/// The longest line, in bytes.
pub(super) const MAX_LINE: usize = 64 * 1024;
/// How much one round of the loop reads from one pipe, in bytes, so that the other descriptors get their share.
const TURN: usize = 1 << 20;
/// Room in the pipe, in bytes, so that the game can go on writing while the keeper does something else.
const PIPE: i32 = 1 << 20;

/// Where lines go.
pub(super) trait Lines {
    /// Whole lines, each with its end, and whether the log has them.
    fn lines(&mut self, bytes: &[u8], kept: bool);
}

/// The reading end of one of the game's streams.
#[derive(Debug)]
pub(super) struct OutputPipe {
    pub(super) pipe: OwnedFd,
    /// Every writer has gone; there is nothing to wait for.
    pub(super) ended: bool,
    /// The start of a line whose end isn't there yet.
    rest: Vec<u8>,
}

/// What reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// Nothing more for now.
    NothingYet,
    /// There may be more, but this pipe has had its share of the round.
    More,
    /// Every writer is gone.
    Ended,
}

impl OutputPipe {
    /// A new pipe: our end, and the game's.
    pub(super) fn pipe() -> io::Result<(OutputPipe, OwnedFd)> {
        let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&ours, OFlags::NONBLOCK)?;
        super::sys::widen_pipe(&ours, PIPE);
        Ok((OutputPipe { pipe: ours, ended: false, rest: Vec::new() }, theirs))
    }

    /// Reads what is there, through `buffer`.
    pub(super) fn pump(&mut self, buffer: &mut [u8], log: &mut Log, agent: &mut dyn Lines) -> ReadOutcome {
        let mut read = 0;
        while read < TURN {
            match rustix::io::read(&self.pipe, &mut *buffer) {
                Ok(0) => {
                    self.finish(log, agent);
                    return ReadOutcome::Ended;
                }
                Ok(count) => {
                    read += count;
                    self.take(&buffer[..count], log, agent);
                    if count < buffer.len() {
                        return ReadOutcome::NothingYet; // most likely; poll tells if not
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return ReadOutcome::NothingYet,
                Err(_) => return ReadOutcome::Ended,
            }
        }
        ReadOutcome::More
    }

    fn take(&mut self, bytes: &[u8], log: &mut Log, agent: &mut dyn Lines) {
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            return self.hold(bytes, log, agent);
        };
        let (whole, rest) = bytes.split_at(end + 1);
        if self.rest.is_empty() {
            put(whole, log, agent);
        } else {
            // Only the first of these lines has its start in `rest`.
            let first = whole.iter().position(|byte| *byte == b'\n').unwrap_or(end) + 1;
            self.hold(&whole[..first], log, agent);
            put(&std::mem::take(&mut self.rest), log, agent);
            put(&whole[first..], log, agent);
        }
        self.hold(rest, log, agent);
    }

    /// Keeps an unfinished line, broken where it gets too long.
    fn hold(&mut self, mut bytes: &[u8], log: &mut Log, agent: &mut dyn Lines) {
        while self.rest.len() + bytes.len() > MAX_LINE {
            let (part, behind) = bytes.split_at(MAX_LINE - self.rest.len());
            self.rest.extend_from_slice(part);
            self.rest.push(b'\n');
            put(&std::mem::take(&mut self.rest), log, agent);
            bytes = behind;
        }
        self.rest.extend_from_slice(bytes);
    }

    /// Reads what is left. The run is over, so nothing more is waited for, even if a process elsewhere still holds the pipe.
    pub(super) fn empty(&mut self, buffer: &mut [u8], log: &mut Log, agent: &mut dyn Lines) {
        while !self.ended && rustix::io::ioctl_fionread(&self.pipe).is_ok_and(|left| left > 0) {
            self.pump(buffer, log, agent);
        }
        self.finish(log, agent);
    }

    /// The last line may have no end: it gets one.
    fn finish(&mut self, log: &mut Log, agent: &mut dyn Lines) {
        if !self.rest.is_empty() {
            self.rest.push(b'\n');
            put(&std::mem::take(&mut self.rest), log, agent);
        }
    }
}

fn put(lines: &[u8], log: &mut Log, agent: &mut dyn Lines) {
    if !lines.is_empty() {
        let kept = log.write(lines);
        agent.lines(lines, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, openat};
    use std::fs;

    #[derive(Default)]
    struct Seen(Vec<Vec<u8>>);
    impl Lines for Seen {
        fn lines(&mut self, bytes: &[u8], _: bool) {
            assert!(bytes.ends_with(b"\n"));
            self.0.extend(bytes[..bytes.len() - 1].split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        }
    }

    /// Writes the chunks one by one, drains after each, then closes. Returns the log's text and the agent's lines.
    fn drained(chunks: &[&[u8]]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new(openat(CWD, dir.path(), OFlags::DIRECTORY, Mode::empty()).unwrap(), 1 << 20, 2);
        let (mut drain, writer) = OutputPipe::pipe().unwrap();
        let (mut seen, mut buffer) = (Seen::default(), vec![0; 4096]);
        for chunk in chunks {
            assert_eq!(rustix::io::write(&writer, chunk), Ok(chunk.len()));
            while drain.pump(&mut buffer, &mut log, &mut seen) != ReadOutcome::NothingYet {}
            while rustix::io::ioctl_fionread(&drain.pipe).unwrap() > 0 {
                drain.pump(&mut buffer, &mut log, &mut seen);
            }
        }
        drop(writer);
        assert_eq!(drain.pump(&mut buffer, &mut log, &mut seen), ReadOutcome::Ended);
        (fs::read(dir.path().join("game.log")).unwrap(), seen.0)
    }

    #[test]
    fn lines_are_whole_whatever_the_reads() {
        let (log, seen) = drained(&[b"on", b"e\ntwo\nth", b"ree", b"\n", b"four"]);
        assert_eq!(log, b"one\ntwo\nthree\nfour\n");
        assert_eq!(seen, [&b"one"[..], b"two", b"three", b"four"]);
    }

    #[test]
    fn a_line_without_end_is_broken_at_the_cap() {
        let long = vec![b'x'; 3 * MAX_LINE / 2];
        let (log, seen) = drained(&[&long, b"\nshort\n"]);
        assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_LINE, MAX_LINE / 2, 5]);
        assert_eq!(log.len(), long.len() + 1 + 7);
    }
}
