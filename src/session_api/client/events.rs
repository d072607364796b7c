//! `OnSessionJoined`, `OnSessionLeft`, `OnSessionUpdated`, `OnSessionInviteReceived`, `OnUISessionJoinRequested`: one stream, which
//! goes on where it broke.
//!
//! ```text
//!   next() ── connected? ── no ──► GET /session/v1/player/me/events, Last-Event-ID: the last one seen
//!                │                    └ refused: the error; unreachable: again after 0.1 s, 0.2 s, … 5 s (jittered)
//!               yes ──► a chunk ──► lines ──► StreamItem::Event | StreamItem::Reset
//!                        └ cut off, or silent for longer than the service ever is: connect again
//! ```
//!
//! Invariants: no event is told twice in a row of connections, since each goes on after the last one told; where events were lost,
//! [`StreamItem::Reset`] says so and the caller reads everything again. One event is at most 1 MiB.

use super::{ClientError, Sessions, error::Doing};
use crate::{
    model::{
        calls::Refusal,
        events::{Reset, SessionEvent},
    },
    session_api::{response, transport::Request},
};
use http::{HeaderName, Method, header};
use std::{collections::VecDeque, time::Duration};

/// Longer silence than this means that the connection leads nowhere: the service sends a comment every few seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// Between attempts to connect again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// The longest event.
const MAX_EVENT: usize = 1 << 20;

const PATH: &str = "/session/v1/player/me/events";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What the stream tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamItem {
    Event(SessionEvent),
    /// Events are missing: read everything again.
    Reset(Reset),
}

/// The player's events, from now on, or after one that was seen.
#[derive(Debug)]
pub struct EventStream {
    sessions: Sessions,
    response: Option<reqwest::Response>,
    parser: Parser,
    last: Option<String>,
    pause: Duration,
}

impl Sessions {
    /// The player's events. `after`: the id of the last one seen ([`EventStream::last_event_id`]); without it, from now on. Nothing is
    /// asked before the first [`EventStream::next`].
    pub fn events(&self, after: Option<String>) -> EventStream {
        EventStream {
            sessions: self.clone(),
            response: None,
            parser: Parser::default(),
            last: after,
            pause: FIRST_PAUSE,
        }
    }
}

impl EventStream {
    /// Where to go on: hand it to [`Sessions::events`] of a later run.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Connects, if that wasn't done yet, and returns once the service listens for this player's events: what happens from then
    /// on is told.
    pub async fn open(&mut self) -> Result<(), ClientError> {
        while self.response.is_none() {
            self.connect().await?;
        }
        Ok(())
    }

    /// The next one. Waits as long as nothing happens; connects again by itself. An error is final: the service refuses.
    pub async fn next(&mut self) -> Result<StreamItem, ClientError> {
        loop {
            if let Some(message) = self.parser.ready.pop_front() {
                if message.id.is_some() {
                    self.last.clone_from(&message.id);
                }
                match message.told() {
                    Some(told) => return Ok(told),
                    None => continue,
                }
            }
            self.open().await?;
            self.read().await;
        }
    }

    async fn read(&mut self) {
        let Some(response) = self.response.as_mut() else { return };
        match tokio::time::timeout(SILENCE, response.chunk()).await {
            Ok(Ok(Some(chunk))) if self.parser.take(&chunk) => self.pause = FIRST_PAUSE,
            Ok(_) | Err(_) => {
                self.response = None;
                self.parser = Parser::default();
            }
        }
    }

    /// One attempt; after one that found nobody, waits.
    async fn connect(&mut self) -> Result<(), ClientError> {
        let doing = Doing::new("listen for the player's events");
        let mut request = Request::bare(Method::GET, PATH).with(header::ACCEPT, "text/event-stream");
        if let Some(last) = &self.last {
            request = request.with(LAST_EVENT_ID, last);
        }
        let inner = &self.sessions.0;
        let client = inner.api.transport.client().map_err(|lost| doing.failed(response::lost(lost).into()))?;
        match inner.api.open(&client, &request, inner.call_timeout).await {
            Ok(response) => self.response = Some(response),
            Err(why) => {
                let error = doing.failed(why);
                let pause = pause_after(&error, self.pause).ok_or(error)?;
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.75..1.25))).await;
                self.pause = (self.pause * 2).min(LAST_PAUSE);
            }
        }
        Ok(())
    }
}

/// None: no use in trying again.
fn pause_after(error: &ClientError, usual: Duration) -> Option<Duration> {
    let ClientError::Service { why, .. } = error else { return None };
    match why {
        Refusal::Unreachable { .. } | Refusal::Ambiguous { .. } => Some(usual),
        Refusal::Busy { retry_after } => Some(retry_after.unwrap_or(usual)),
        Refusal::SessionNotFound
        | Refusal::NotFound { .. }
        | Refusal::NoSuchApi
        | Refusal::Conflict { .. }
        | Refusal::Credentials { .. }
        | Refusal::Invalid { .. }
        | Refusal::Gone => None,
    }
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Message {
    id: Option<String>,
    event: String,
    data: String,
}

impl Message {
    /// None: of a kind that this version doesn't know.
    fn told(&self) -> Option<StreamItem> {
        if self.event == "reset" {
            serde_json::from_str(&self.data).ok().map(StreamItem::Reset)
        } else {
            serde_json::from_str(&self.data).ok().map(StreamItem::Event)
        }
    }
}

/// Lines of `text/event-stream`, from chunks that end anywhere.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    message: Message,
    ready: VecDeque<Message>,
}

impl Parser {
    /// False: an event is too large.
    fn take(&mut self, chunk: &[u8]) -> bool {
        for byte in chunk {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            self.end_of_line(String::from_utf8_lossy(&line).trim_end_matches('\r'));
        }
        self.line.len() + self.message.data.len() <= MAX_EVENT
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
            _ => {} // A comment, or a field of a later version.
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
            let mut parser = Parser::default();
            assert!(text.as_bytes().chunks(size).all(|chunk| parser.take(chunk)));
            let found: Vec<_> = parser.ready.iter().map(|m| (m.id.as_deref(), &*m.event, &*m.data)).collect();
            assert_eq!(
                found,
                [(Some("1"), "a", "x\ny"), (Some("2"), "", "z"), (Some("3"), "", "")],
                "in pieces of {size}"
            );
        }
    }

    #[test]
    fn an_endless_event_is_given_up() {
        let mut parser = Parser::default();
        assert!(parser.take(b"data: "));
        assert!(!parser.take(&vec![b'x'; MAX_EVENT + 1]));
    }

    #[test]
    fn refusals_are_final_and_outages_are_not() {
        let service = |why| ClientError::Service { doing: "x".into(), why };
        let (usual, second) = (Duration::from_millis(250), Duration::from_secs(1));
        let pause = |error| pause_after(&error, usual);
        assert_eq!(pause(service(Refusal::Unreachable { why: "x".into() })), Some(usual));
        assert_eq!(pause(service(Refusal::Busy { retry_after: None })), Some(usual));
        assert_eq!(pause(service(Refusal::Busy { retry_after: Some(second) })), Some(second));
        assert_eq!(pause(service(Refusal::NoSuchApi)), None);
        assert_eq!(pause(ClientError::NoPlayer), None);
    }
}
