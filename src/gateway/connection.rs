//! Lines of JSON over a stream socket, both ways at once: nobody waits for a peer that doesn't
//! read.

use super::wire::MAX_LINE;
use bytes::{Buf as _, BufMut as _, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use std::{io, os::fd::OwnedFd};
use tokio::{io::Interest, net::UnixStream};

/// With more than this unsent, what can wait does.
const BUSY: usize = 64 << 10;
/// A peer that lets so much pile up is given up.
const MAX_UNSENT: usize = 2 * MAX_LINE;

/// Why a link has ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("it hung up")]
    Closed,
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("it said what can't be read ({error}): {line}")]
    Garbage { line: String, error: serde_json::Error },
    #[error("it sent a line of more than {MAX_LINE} bytes")]
    TooLong,
    #[error("it reads nothing any more")]
    Deaf,
    #[error("it refused: {0}")]
    Refused(String),
}

/// One end of a link.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    inbox: BytesMut,
    /// Of the inbox: up to here there is no end of a line.
    seen: usize,
    outbox: BytesMut,
}

impl Connection {
    /// Must be called within a tokio runtime.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        let stream = std::os::unix::net::UnixStream::from(socket);
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        Ok(Connection { stream, inbox: BytesMut::new(), seen: 0, outbox: BytesMut::new() })
    }

    /// Queued; what fits into the socket is on its way at once.
    pub(crate) fn say(&mut self, what: &impl Serialize) -> Result<(), Broken> {
        serde_json::to_writer((&mut self.outbox).writer(), what).expect("plain data always serialises");
        self.outbox.extend_from_slice(b"\n");
        self.flush()?;
        if self.outbox.len() > MAX_UNSENT { Err(Broken::Deaf) } else { Ok(()) }
    }

    /// Whether the peer keeps up.
    pub(crate) fn has_room(&self) -> bool {
        self.outbox.len() < BUSY
    }

    /// The next line; writes meanwhile what is queued. Cancel-safe.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Result<T, Broken> {
        loop {
            if let Some(line) = self.line()? {
                return serde_json::from_slice(&line).map_err(|error| {
                    let shown: String = String::from_utf8_lossy(&line).chars().take(120).collect();
                    Broken::Garbage { line: shown.escape_debug().to_string(), error }
                });
            }
            let interest =
                if self.outbox.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            let ready = self.stream.ready(interest).await?;
            if ready.is_writable() {
                self.flush()?;
            }
            if ready.is_readable() {
                match self.stream.try_read_buf(&mut self.inbox) {
                    Ok(0) => return Err(Broken::Closed),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    fn line(&mut self) -> Result<Option<BytesMut>, Broken> {
        if let Some(end) = self.inbox[self.seen..].iter().position(|byte| *byte == b'\n') {
            if self.seen + end > MAX_LINE {
                return Err(Broken::TooLong);
            }
            let line = self.inbox.split_to(self.seen + end);
            self.inbox.advance(1);
            self.seen = 0;
            if self.inbox.is_empty() {
                self.inbox = BytesMut::new();
            }
            return Ok(Some(line));
        }
        self.seen = self.inbox.len();
        if self.seen > MAX_LINE { Err(Broken::TooLong) } else { Ok(None) }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.try_write(&self.outbox) {
                Ok(count) => self.outbox.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.outbox = BytesMut::new();
        Ok(())
    }

    /// Waits until what is queued has been written.
    pub(crate) async fn flushed(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            self.stream.writable().await?;
            self.flush()?;
        }
        Ok(())
    }
}
