//! The game's pipes: always drained, into the log and, if it wants them and keeps up, to the agent
//! as lines.
//!
//! ```text
//!   pipe ──64 KiB reads──► whole lines ──► Log
//!                 │            └─────────► lines for the agent (only while asked for)
//!                 └─ the unfinished rest waits for its end, at most MAX_LINE bytes
//!                                └─ and is shown in the log after SILENCE
//! ```
//!
//! Two streams share one log: a line of one is never cut by the other's. An unfinished line that
//! was shown is ended when the other stream writes, and then comes again, whole. A line longer than
//! [`MAX_LINE`] is broken there.

use super::{
    Instant,
    log::{Log, Unfinished},
};
use rustix::{fs::OFlags, io::Errno, pipe::PipeFlags};
use std::{io, os::fd::OwnedFd, time::Duration};

/// The longest line, in bytes.
pub(super) const MAX_LINE: usize = 64 * 1024;
/// After this long an unfinished line is shown: a prompt has no end.
const SILENCE: Duration = Duration::from_millis(300);
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
    /// What of it is in the log.
    shown: Option<Shown>,
    /// When it is shown.
    due: Option<Instant>,
}

/// So many bytes of an unfinished line are in the log, as its last ones if nothing was written since.
#[derive(Debug, Clone, Copy)]
struct Shown {
    bytes: usize,
    place: Unfinished,
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
        Ok((OutputPipe { pipe: ours, ended: false, rest: Vec::new(), shown: None, due: None }, theirs))
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

    /// After a read: from when on it counts as silent.
    pub(super) fn was_read(&mut self, now: Instant) {
        let shown = self.shown.map_or(0, |shown| shown.bytes);
        self.due = (self.rest.len() > shown).then(|| now + SILENCE);
    }

    /// When [`OutputPipe::show`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Shows an unfinished line once it is silent.
    pub(super) fn show(&mut self, now: Instant, log: &mut Log, agent: &mut dyn Lines) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = None;
        let new = match self.shown.filter(|shown| log.ends_with(shown.place)) {
            Some(shown) => &self.rest[shown.bytes..],
            None => &self.rest,
        };
        let (place, kept) = log.write_unfinished(new, self.shown.map(|shown| shown.place));
        self.shown = Some(Shown { bytes: self.rest.len(), place });
        agent.lines(&[], kept);
    }

    /// Writes the line that is complete now.
    fn complete(&mut self, log: &mut Log, agent: &mut dyn Lines) {
        let line = std::mem::take(&mut self.rest);
        let kept = match self.shown.take() {
            Some(shown) if log.ends_with(shown.place) => log.go_on(&line[shown.bytes..]),
            Some(_) | None => log.write(&line),
        };
        agent.lines(&line, kept);
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
            self.complete(log, agent);
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
            self.complete(log, agent);
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
            self.complete(log, agent);
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
            if bytes.is_empty() {
                return;
            }
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
    fn an_unfinished_line_is_shown_after_a_silence_and_ended_when_the_other_stream_writes() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::new(openat(CWD, dir.path(), OFlags::DIRECTORY, Mode::empty()).unwrap(), 1 << 20, 2);
        let ((mut out, output), (mut err, error)) = (OutputPipe::pipe().unwrap(), OutputPipe::pipe().unwrap());
        let (mut seen, mut buffer) = (Seen::default(), vec![0; 4096]);
        let at = |millis| Instant(Duration::from_millis(millis));
        let text = || fs::read_to_string(dir.path().join("game.log")).unwrap();
        let mut prints = |pipe: &mut OutputPipe, writer: &OwnedFd, what: &str, now| {
            rustix::io::write(writer, what.as_bytes()).unwrap();
            pipe.pump(&mut buffer, &mut log, &mut seen);
            pipe.was_read(at(now));
            for time in [now + 299, now + 300] {
                pipe.show(at(time), &mut log, &mut seen);
                if time == now + 299 {
                    assert!(!text().ends_with(what) || what.ends_with('\n'), "too early");
                }
            }
        };
        prints(&mut out, &output, "name: ", 0);
        assert_eq!(text(), "name: ");
        prints(&mut out, &output, "pass", 1000);
        assert_eq!(text(), "name: pass");
        prints(&mut out, &output, "word\nnext: ", 2000);
        assert_eq!(text(), "name: password\nnext: ", "the same line goes on");
        prints(&mut err, &error, "oh\n", 3000);
        assert_eq!(text(), "name: password\nnext: \noh\n");
        prints(&mut out, &output, "done\n", 4000);
        assert_eq!(text(), "name: password\nnext: \noh\nnext: done\n", "it comes again, whole");
        assert_eq!(seen.0, [&b"name: password"[..], b"oh", b"next: done"], "forwarded are whole lines");
        assert_eq!(out.due(), None);
    }

    #[test]
    fn a_line_without_end_is_broken_at_the_cap() {
        let long = vec![b'x'; 3 * MAX_LINE / 2];
        let (log, seen) = drained(&[&long, b"\nshort\n"]);
        assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_LINE, MAX_LINE / 2, 5]);
        assert_eq!(log.len(), long.len() + 1 + 7);
    }
}
