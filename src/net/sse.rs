//! Server-sent events (`text/event-stream`), written and read.
//!
//! ```text
//!   event: allocated        one event: fields, a line each, in the order in which they are written
//!   id: life-42
//!   data: {"run": 1, …}
//!                           an empty line ends it
//! ```
//!
//! Invariant: whatever is written into a field, it is one event that comes out.

use bytes::{BufMut as _, BytesMut};
use std::collections::VecDeque;

/// The content type.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";

/// Writes one event; [`Writer::end`] ends it.
#[derive(Debug)]
pub(crate) struct Writer<'a>(&'a mut BytesMut);

impl<'a> Writer<'a> {
    /// Appends to `to`.
    pub(crate) fn new(to: &'a mut BytesMut) -> Self {
        Writer(to)
    }

    /// A client shall wait so many milliseconds before it connects again.
    pub(crate) fn retry(self, millis: u32) -> Self {
        self.field("retry", &millis.to_string())
    }
    pub(crate) fn event(self, name: &str) -> Self {
        self.field("event", name)
    }
    pub(crate) fn id(self, id: &str) -> Self {
        self.field("id", id)
    }
    /// Several lines become several fields, which a reader joins again.
    pub(crate) fn data(self, data: impl AsRef<[u8]>) -> Self {
        for line in data.as_ref().split(|byte| *byte == b'\n') {
            self.0.put_slice(b"data: ");
            self.0.put_slice(line);
            self.0.put_u8(b'\n');
        }
        self
    }
    /// Something that readers pass over; it keeps the connection alive.
    pub(crate) fn comment(self, text: &str) -> Self {
        self.field("", text)
    }
    pub(crate) fn end(self) {
        self.0.put_u8(b'\n');
    }

    fn field(self, name: &str, value: &str) -> Self {
        self.0.put_slice(name.as_bytes());
        self.0.put_slice(b": ");
        self.0.extend(value.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r' | 0)));
        self.0.put_u8(b'\n');
        self
    }
}

/// One event that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Message {
    /// Where to go on after it.
    pub id: Option<String>,
    pub event: String,
    /// Empty: a position alone.
    pub data: String,
}

/// An event larger than the reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {limit} bytes")]
pub(crate) struct TooLong {
    pub limit: usize,
}

/// Puts events together from chunks that end anywhere.
#[derive(Debug)]
pub(crate) struct Reader {
    limit: usize,
    line: Vec<u8>,
    message: Message,
    ready: VecDeque<Message>,
}

impl Reader {
    /// For events of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Reader { limit, line: Vec::new(), message: Message::default(), ready: VecDeque::new() }
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), TooLong> {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.line);
            self.end_of_line(String::from_utf8_lossy(&line).trim_end_matches('\r'));
        }
        self.line.extend_from_slice(rest);
        if self.line.len() + self.message.data.len() > self.limit { Err(TooLong { limit: self.limit }) } else { Ok(()) }
    }

    /// The next whole event.
    pub(crate) fn next_message(&mut self) -> Option<Message> {
        self.ready.pop_front()
    }

    fn end_of_line(&mut self, line: &str) {
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            // A position without an event counts too: it is where to go on.
            if !message.data.is_empty() || message.id.is_some() {
                self.ready.push_back(message);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" if !value.contains('\0') => self.message.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.message.event),
            "data" => {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            _ => {} // A comment, or a field that we don't know.
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_they_are_cut() {
        let text = ": hello\r\n\r\nid: 1\nevent: a\ndata: x\ndata: y\n\n:\n\nevent: empty\n\nid:2\ndata:z\n\n: alive\nid: 3\n\n";
        for size in 1..text.len() {
            let mut reader = Reader::new(1024);
            assert!(text.as_bytes().chunks(size).all(|chunk| reader.push(chunk).is_ok()));
            let found: Vec<_> = std::iter::from_fn(|| reader.next_message()).collect();
            let message = |id: &str, event: &str, data: &str| Message {
                id: Some(id.to_owned()),
                event: event.to_owned(),
                data: data.to_owned(),
            };
            let expected = [message("1", "a", "x\ny"), message("2", "", "z"), message("3", "", "")];
            assert_eq!(found, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_given_up() {
        for text in ["x".repeat(1025), "data: x\n".repeat(600)] {
            let mut reader = Reader::new(1024);
            reader.push(b"data: ").unwrap();
            assert_eq!(reader.push(text.as_bytes()), Err(TooLong { limit: 1024 }));
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_is_one_event() {
        let mut text = BytesMut::new();
        Writer::new(&mut text).retry(500).end();
        Writer::new(&mut text).event("stop\n\nevent: forged").id("life-3").data("{}\n\nmore").end();
        Writer::new(&mut text).comment("here").id("life-4").end();
        assert!(text.starts_with(b"retry: 500\n\nevent: stop"), "{text:?}");
        let mut reader = Reader::new(1024);
        reader.push(&text).unwrap();
        let first = reader.next_message().unwrap();
        assert_eq!((first.event.as_str(), first.data.as_str()), ("stopevent: forged", "{}\n\nmore"));
        assert_eq!(reader.next_message().unwrap().id.as_deref(), Some("life-4"));
        assert_eq!(reader.next_message(), None);
    }
}
