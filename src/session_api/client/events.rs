//! `OnSessionJoined`, `OnSessionLeft`, `OnSessionUpdated`, `OnSessionInviteReceived`,
//! `OnUISessionJoinRequested`: one stream, which goes on where it broke.
//!
//! ```text
//!   next() ── connected? ── no ──► GET /session/v1/player/me/events, Last-Event-ID: the last one seen
//!                │                    └ refused: the error; unreachable: again after 0.1 s, 0.2 s, … 5 s (jittered)
//!               yes ──► a chunk ──► lines ──► StreamItem::Event | StreamItem::Reset
//!                        └ cut off, or silent for longer than the service ever is: connect again
//! ```
//!
//! Invariants: no event is told twice in a row of connections, since each goes on after the last
//! one told; where events were lost, [`StreamItem::Reset`] says so and the caller reads everything
//! again. One event is at most 1 MiB.

use super::{ClientError, Sessions, error::Operation};
use crate::{
    model::{
        backoff::Backoff,
        calls::Refusal,
        events::{Reset, SessionEvent},
    },
    net::sse::{EVENT_STREAM, Message, Reader},
    session_api::endpoints,
};
use http::{HeaderName, header};
use std::time::Duration;

/// Longer silence than this means that the connection leads nowhere: the service sends a comment every few seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// Between attempts to connect again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// The longest event.
const MAX_EVENT: usize = 1 << 20;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What the stream brings.
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
    reader: Reader,
    last: Option<String>,
    backoff: Backoff,
}

impl Sessions {
    /// The player's events. `after`: the id of the last one seen ([`EventStream::last_event_id`]); without it, from now on. Nothing is
    /// asked before the first [`EventStream::next`].
    pub fn events(&self, after: Option<String>) -> EventStream {
        EventStream {
            sessions: self.clone(),
            response: None,
            reader: Reader::new(MAX_EVENT),
            last: after,
            backoff: Backoff::default(),
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
            if let Some(message) = self.reader.next_message() {
                if message.id.is_some() {
                    self.last.clone_from(&message.id);
                }
                match item(&message) {
                    Some(item) => return Ok(item),
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
            Ok(Ok(Some(chunk))) if self.reader.push(&chunk).is_ok() => self.backoff.reset(),
            Ok(_) | Err(_) => {
                self.response = None;
                self.reader = Reader::new(MAX_EVENT);
            }
        }
    }

    /// One attempt; after one that reached nobody, waits.
    async fn connect(&mut self) -> Result<(), ClientError> {
        let operation = Operation::new("listen for the player's events");
        let request = endpoints::OWN_EVENTS.request([]).map_err(|why| operation.failed(why))?;
        let mut request = request.header(header::ACCEPT, EVENT_STREAM);
        if let Some(last) = &self.last {
            request = request.header(LAST_EVENT_ID, last);
        }
        let inner = &self.sessions.0;
        match inner.api.open(&request, inner.call_timeout).await {
            Ok(response) => self.response = Some(response),
            Err(error) => {
                let error = operation.failed(error);
                let usual = self.backoff.next(FIRST_PAUSE, LAST_PAUSE, rand::random());
                tokio::time::sleep(pause_after(&error, usual).ok_or(error)?).await;
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

/// None: an event of a kind that this version doesn't know.
fn item(message: &Message) -> Option<StreamItem> {
    if message.event == "reset" {
        serde_json::from_str(&message.data).ok().map(StreamItem::Reset)
    } else {
        serde_json::from_str(&message.data).ok().map(StreamItem::Event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
