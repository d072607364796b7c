//! `GET /v1/events` and `/v1/timeline`: streams whose readers can't hold anybody up.
//!
//! A subscriber is a position in a bounded log and the connection that its next chunk is written
//! to. A subscriber that reads slowly falls behind the log, gets `lagged` as its last event, and
//! may come back.
//!
//! | it calls with | it gets |
//! |---|---|
//! | no `Last-Event-ID` | the levels in force, then every change |
//! | an id within the retention | every change after it |
//! | an older id, or an id from before a restart of the agent | `reset`, then as without |

use super::{
    Api, Counters,
    extract::{Anyone, Follow, FollowLog, Operator, Parameters},
};
use crate::{
    frontends::{Bearer, Events, Timeline, events::Event, http::Problem, ring::Next},
    host::clock,
    model::{ids::RunNumber, status::TimelineEntry},
    net::sse::{EVENT_STREAM, Writer},
};
use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, StatusCode, header};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// Streams open at a time.
pub(crate) const MAX_SUBSCRIBERS: usize = 64;
/// Entries written in one chunk.
const CHUNK: usize = 64;
/// Milliseconds that a client waits before it connects again.
const RETRY: u32 = 500;

/// How an event is named on the wire: the id of the log and its number there.
pub(crate) fn event_id(log_id: &str, number: u64) -> String {
    format!("{log_id}-{number}")
}

/// What a log must offer to be streamed.
trait Log: Send + Sync + 'static {
    /// The next chunk after a position, and the position behind it. None: the reader lags.
    fn next(&self, seen: u64) -> Option<(BytesMut, u64)>;
    fn lagged(&self, seen: u64) -> Bytes;
    fn watch(&self) -> watch::Receiver<u64>;
    /// Nothing will ever follow for this reader.
    fn is_over(&self) -> bool {
        false
    }
}

enum Position {
    After { seen: u64 },
    End,
}

fn body(log: impl Log, opening: BytesMut, seen: u64, follow: Follow, place: StreamPlace) -> Body {
    let mut head = log.watch();
    // What was pushed until now is read from the log; only later pushes have to wake the reader.
    head.mark_unchanged();
    let start = (log, Some(opening).filter(|opening| !opening.is_empty()), Position::After { seen }, head, place);
    Body::from_stream(stream::unfold(start, move |(log, mut opening, position, mut head, place)| async move {
        let Position::After { seen } = position else { return None };
        if let Some(opening) = opening.take() {
            return Some((Ok::<_, Infallible>(opening.freeze()), (log, None, Position::After { seen }, head, place)));
        }
        loop {
            match log.next(seen) {
                None => {
                    place.lagged();
                    let last = log.lagged(seen);
                    return Some((Ok(last), (log, None, Position::End, head, place)));
                }
                Some((chunk, seen)) if !chunk.is_empty() => {
                    return Some((Ok(chunk.freeze()), (log, None, Position::After { seen }, head, place)));
                }
                Some(_) if follow == Follow::No || log.is_over() => return None,
                Some(_) => head.changed().await.ok()?,
            }
        }
    }))
}

/// Events for one reader: of its own run, or of all for an operator.
struct GameEvents {
    events: Arc<Events>,
    run: Option<RunNumber>,
}

impl GameEvents {
    fn write(&self, to: &mut BytesMut, event: &Event) {
        if self.run.is_some_and(|run| run != event.run) {
            return;
        }
        let id = event_id(self.events.log_id(), event.number);
        Writer::new(to).event(event.notice.name()).id(&id).data(&event.json).end();
    }

    /// What a reader gets before the log, and where in the log it goes on.
    fn opening(&self, resume: Option<&str>) -> (BytesMut, u64) {
        let mut opening = BytesMut::new();
        Writer::new(&mut opening).retry(RETRY).end();
        let (levels, head) = self.events.levels();
        if let Some(resume) = resume {
            if let Some(seen) = self.position(resume) {
                return (opening, seen);
            }
            let id = event_id(self.events.log_id(), head);
            Writer::new(&mut opening).event("reset").id(&id).data(r#"{"event":"reset"}"#).end();
        }
        for level in &levels.events {
            self.write(&mut opening, level);
        }
        (opening, head)
    }

    fn position(&self, resume: &str) -> Option<u64> {
        let (log_id, number) = resume.rsplit_once('-')?;
        let number = number.parse().ok().filter(|_| log_id == self.events.log_id())?;
        let known = number <= self.events.head() && matches!(self.events.after(number, 0), Next::Entries(_));
        known.then_some(number)
    }
}

impl Log for GameEvents {
    fn next(&self, mut seen: u64) -> Option<(BytesMut, u64)> {
        let mut chunk = BytesMut::new();
        // Entries of other runs are passed over, so that an empty chunk always means "nothing new".
        while chunk.is_empty() {
            let Next::Entries(events) = self.events.after(seen, CHUNK) else { return None };
            let Some((last, _)) = events.last() else { break };
            seen = *last;
            for (_, event) in &events {
                self.write(&mut chunk, event);
            }
        }
        Some((chunk, seen))
    }
    fn lagged(&self, seen: u64) -> Bytes {
        let mut last = BytesMut::new();
        let id = event_id(self.events.log_id(), seen);
        Writer::new(&mut last).event("lagged").id(&id).data(r#"{"event":"lagged"}"#).end();
        last.freeze()
    }
    fn watch(&self) -> watch::Receiver<u64> {
        self.events.watch()
    }
    fn is_over(&self) -> bool {
        self.run.is_some_and(|run| self.events.levels().0.run.is_some_and(|newest| newest > run))
    }
}

/// Server-sent events: `allocated`, `backfilled`, `not_in_session`, `drain`, `stop`, `session_lost`; and `reset`, `lagged`. What is in
/// force comes first. A game gets those of its run, an operator all.
#[cfg_attr(test, utoipa::path(get, path = "/v1/events", tag = "game",
    params(("last-event-id" = Option<String>, Header, description = "Go on after this one")),
    responses((status = 200, content_type = "text/event-stream", body = crate::model::game::GameNotice), (status = "default", body = crate::frontends::http::ErrorBody<'static>)),
    security(("game" = []), ("operator" = []))))]
pub(crate) async fn events(
    State(api): State<Api>,
    Anyone(bearer): Anyone,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = match bearer {
        Bearer::Game(run) => Some(run),
        Bearer::Operator => None,
    };
    let log = GameEvents { events: Arc::clone(&api.events), run };
    let (opening, seen) = log.opening(last_event_id(&headers));
    let place = StreamPlace::take(&api)?;
    Ok(answer(EVENT_STREAM, body(log, opening, seen, Follow::Yes, place)))
}

pub(crate) const NDJSON: &str = "application/x-ndjson";

pub(crate) fn answer(kind: &'static str, body: Body) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("last-event-id").map(|id| id.to_str().unwrap_or("")).filter(|id| !id.is_empty())
}

/// The place of a stream that is open; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    _permit: OwnedSemaphorePermit,
    counters: Arc<Counters>,
}

impl StreamPlace {
    /// One more stream of this listener.
    pub(crate) fn take(api: &Api) -> Result<Self, Problem> {
        let permit = Arc::clone(&api.places).try_acquire_owned().map_err(|_| {
            let message = format!("{MAX_SUBSCRIBERS} streams are open; close one of them");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_subscribers", message)
        })?;
        let counters = Arc::clone(&api.counters);
        counters.streams.fetch_add(1, Ordering::Relaxed);
        Ok(StreamPlace { _permit: permit, counters })
    }

    fn lagged(&self) {
        self.counters.lagged.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.counters.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How the timeline is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Ndjson,
    Sse,
}

struct Entries {
    timeline: Arc<Timeline>,
    format: Format,
}

impl Entries {
    fn write(&self, to: &mut BytesMut, entry: &TimelineEntry) {
        let json = serde_json::to_string(entry).expect("plain data always serialises");
        match self.format {
            Format::Ndjson => to.extend_from_slice(format!("{json}\n").as_bytes()),
            Format::Sse => Writer::new(to).event(&entry.kind).id(&entry.seq.to_string()).data(json).end(),
        }
    }
    fn note(&self, kind: &str, seq: u64, text: &str) -> BytesMut {
        let mut line = BytesMut::new();
        let (kind, text, fields) = (kind.to_owned(), text.to_owned(), BTreeMap::new());
        self.write(&mut line, &TimelineEntry { seq, at: clock::wall(), kind, text, fields });
        line
    }
}

impl Log for Entries {
    fn next(&self, seen: u64) -> Option<(BytesMut, u64)> {
        let Next::Entries(entries) = self.timeline.after(seen, CHUNK) else { return None };
        let mut chunk = BytesMut::new();
        for (_, entry) in &entries {
            self.write(&mut chunk, entry);
        }
        Some((chunk, entries.last().map_or(seen, |(last, _)| *last)))
    }
    fn lagged(&self, seen: u64) -> Bytes {
        self.note("lagged", seen, "read too slowly: entries are missing here").freeze()
    }
    fn watch(&self) -> watch::Receiver<u64> {
        self.timeline.watch()
    }
}

/// What happened. NDJSON, one entry a line; server-sent events where the client asks for `text/event-stream`. `?after=SEQ` (or
/// `Last-Event-ID`) leaves out what was seen, `?follow` waits for more. Entries that are no longer there are announced by one of kind
/// `reset`.
#[cfg_attr(test, utoipa::path(get, path = "/v1/timeline", tag = "operator",
    params(("after" = Option<u64>, Query, description = "Only entries after this number"),
        ("follow" = Option<String>, Query, description = "Wait for more: empty, `true` or `1`")),
    responses((status = 200, content_type = "application/x-ndjson", body = TimelineEntry), (status = "default", body = crate::frontends::http::ErrorBody<'static>)),
    security(("operator" = []))))]
pub(crate) async fn timeline(
    State(api): State<Api>,
    _: Operator,
    Parameters(query): Parameters<FollowLog>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sse = headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|text| text.contains(EVENT_STREAM)));
    let (format, kind) = if sse { (Format::Sse, EVENT_STREAM) } else { (Format::Ndjson, NDJSON) };
    let log = Entries { timeline: Arc::clone(&api.operators()?.timeline), format };
    let asked = query.after.or_else(|| last_event_id(&headers).and_then(|id| id.parse().ok()));
    let tail = log.timeline.tail();
    let (opening, seen) = match asked {
        Some(after) if after < tail => {
            let text = "what came before isn't kept here any more; `gameside logs` and the log files go further back";
            (log.note("reset", tail, text), tail)
        }
        Some(after) => (BytesMut::new(), after),
        None => (BytesMut::new(), tail),
    };
    let place = StreamPlace::take(&api)?;
    Ok(answer(kind, body(log, opening, seen, query.follow, place)))
}
