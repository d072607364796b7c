//! The event stream: `GET /session/v1/player/me/events`, server-sent events. An extension.
//!
//! ```text
//!   Last-Event-ID known ─────► what follows it, then what comes ─┬─► client gone, service ends, token's lifetime over: end
//!                gone ─► reset ─► what comes                      └─► fell behind the retention: reset, end
//! ```
//!
//! Every position is sent as `id`, also with the comments that keep the connection alive, so that
//! whoever comes back after a quiet hour has missed nothing. An event is sent when what it tells of
//! is durable.

use super::players::oneself;
use crate::{
    model::{
        events::{Reset, ResetReason},
        ids::PlayerUuid,
    },
    net::sse::Writer,
    service::{
        Shared,
        http::{
            Answer,
            reply::{Interrupt, Outcome, unavailable},
            request::RequestContext,
            route::{Access, AnswerFuture, Handler, Row},
        },
        state::{
            State,
            event_batch::FeedItem,
            journal::{FeedEntry, Gap},
        },
        store::Seq,
    },
};
use bytes::BytesMut;
use futures_util::StreamExt;
use http::Method;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};

pub static TABLE: &[Row] = &[row!(
    later GET "/session/v1/player/me/events",
    "get_player_events_self", Access::AnyOf(&["session:read-player:any", "session:read-player:self"]), stream
)];

/// Milliseconds that a client waits before it connects again.
const RETRY: u32 = 1000;
/// How often a quiet stream says where it stands.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events sent at a time.
const BATCH: usize = 64;

/// A subscription; it ends with its value.
#[derive(Debug)]
pub struct Subscription {
    shared: Arc<Shared>,
    player: PlayerUuid,
    woken: Arc<Notify>,
}

/// The newest position there is. It is shown only once it is durable.
#[derive(Debug, Clone, Copy)]
pub struct NewestPosition {
    number: u64,
    seq: Seq,
}

impl NewestPosition {
    fn of(state: &State) -> NewestPosition {
        NewestPosition { number: state.events.last(), seq: state.events.last_seq() }
    }
}

/// What follows a position, and the newest position there is.
type Following = (Result<Vec<FeedEntry>, Gap>, NewestPosition);

/// Why waiting ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WakeReason {
    News,
    Over,
    Ended,
}

impl Subscription {
    /// Subscribes, at most so often a player. Answers the newest position besides.
    pub fn start(shared: &Arc<Shared>, player: PlayerUuid) -> Outcome<(Subscription, NewestPosition)> {
        let most = shared.settings().limits.streams_per_player;
        let started = shared.with_state(|state| (state.events.watch(player, most), NewestPosition::of(state)));
        let (Some(woken), newest) = started else { return Err(too_many(most)) };
        Ok((Subscription { shared: shared.clone(), player, woken }, newest))
    }

    /// The newest position, now that it may be shown: after a crash its number won't be given to anything else.
    pub async fn shown(&self, newest: NewestPosition) -> Outcome<u64> {
        self.shared.commits.wait(newest.seq).await?;
        Ok(newest.number)
    }

    /// What follows a position, once it is durable.
    pub async fn after(&self, position: u64, most: usize) -> Outcome<Following> {
        let now = self.shared.clock.now();
        let found = self.shared.with_state(|state| {
            state.expire_events(now);
            (state.events.after(self.player, position, most), NewestPosition::of(state))
        });
        let seq = found.0.iter().flatten().map(|kept| kept.seq).fold(Seq::default(), Seq::max);
        self.shared.commits.wait(seq).await?;
        Ok(found)
    }

    /// Like [`Subscription::after`], but waits while there is nothing; empty when the wait is over.
    pub async fn next(&self, position: u64, most: usize, until: Instant) -> Outcome<(Following, WakeReason)> {
        loop {
            // Listening must begin before looking, or what comes in between is missed.
            let listening = self.woken.notified();
            tokio::pin!(listening);
            listening.as_mut().enable();
            let news = self.after(position, most).await?;
            if news.0.as_ref().map_or(true, |found| !found.is_empty()) {
                return Ok((news, WakeReason::News));
            }
            tokio::select! {
                () = listening => {}
                () = tokio::time::sleep_until(until) => return Ok((news, WakeReason::Over)),
                () = self.shared.ended() => return Ok((news, WakeReason::Ended)),
            }
        }
    }

    /// A position as callers see it.
    pub fn id(&self, position: u64) -> String {
        self.shared.with_state(|state| state.events.id(position))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.with_state(|state| state.events.unwatch(self.player));
    }
}

fn too_many(most: u32) -> Interrupt {
    let desc = format!("a player may have {most} event streams and long polls at a time");
    unavailable(desc, 5)
}

/// A stream between two of its chunks.
struct OpenStream {
    watch: Subscription,
    position: u64,
    /// The token is checked once: the stream lives no longer than a token does.
    until: Instant,
    /// Sent before anything else.
    first: Option<BytesMut>,
    over: bool,
}

fn stream(shared: Arc<Shared>, request: RequestContext) -> AnswerFuture {
    Box::pin(async move {
        let player = oneself(&request)?;
        let (watch, newest) = Subscription::start(&shared, player)?;
        let last = watch.shown(newest).await?;
        let until = Instant::now() + shared.settings().auth.access_lifetime.get();
        let mut reading = OpenStream { position: last, until, first: None, over: false, watch };
        let mut first = BytesMut::new();
        let retry = Writer::new(&mut first).retry(RETRY);
        match request.header("last-event-id").filter(|id| !id.is_empty()) {
            None => retry.id(&reading.watch.id(last)).end(),
            Some(id) => {
                let known = shared.with_state(|state| state.events.position(id));
                let whole = match known {
                    Some(position) => reading.watch.after(position, 1).await?.0.is_ok().then_some(position),
                    None => None,
                };
                reading.position = whole.unwrap_or(last);
                match whole {
                    Some(position) => retry.id(&reading.watch.id(position)).end(),
                    None => reset(retry, &reading.watch.id(last), ResetReason::Retention),
                }
            }
        }
        reading.first = Some(first);
        let chunks = futures_util::stream::unfold(reading, |mut reading| async move {
            let chunk = reading.next().await?;
            Some((Ok::<_, Infallible>(chunk.freeze()), reading))
        });
        Ok(Answer::Events(chunks.boxed()))
    })
}

impl OpenStream {
    /// The next chunk, or none at the end.
    async fn next(&mut self) -> Option<BytesMut> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.over || Instant::now() >= self.until {
            return None;
        }
        let until = self.until.min(Instant::now() + KEEP_ALIVE);
        // What can't be made durable isn't told; the client comes back.
        let ((found, newest), woke) = self.watch.next(self.position, BATCH, until).await.ok()?;
        self.watch.shared.someone_is_here(self.watch.shared.clock.now().mono);
        let mut chunk = BytesMut::new();
        match found {
            Err(Gap) => {
                self.over = true;
                let last = self.watch.shown(newest).await.ok()?;
                reset(Writer::new(&mut chunk), &self.watch.id(last), ResetReason::Slow);
            }
            Ok(_) if woke == WakeReason::Ended => return None,
            Ok(kept) if kept.is_empty() => {
                self.position = self.watch.shown(newest).await.unwrap_or(self.position);
                Writer::new(&mut chunk).comment("here").id(&self.watch.id(self.position)).end();
            }
            Ok(kept) => {
                for kept in &kept {
                    event(Writer::new(&mut chunk), &self.watch.id(kept.number), &kept.told);
                }
                self.position = kept.last().map_or(self.position, |kept| kept.number);
            }
        }
        Some(chunk)
    }
}

/// A notification that somebody sent is no event of the interface: only its position is.
fn event(to: Writer<'_>, id: &str, told: &FeedItem) {
    match told {
        FeedItem::Event(event) => {
            // Plain structs with text keys always serialise.
            let data = serde_json::to_string(event).unwrap_or_default();
            to.id(id).event(event.event.name()).data(data).end();
        }
        FeedItem::Note(_) => to.id(id).end(),
    }
}

fn reset(to: Writer<'_>, id: &str, reason: ResetReason) {
    let data = serde_json::to_string(&Reset { reason }).unwrap_or_default();
    to.id(id).event("reset").data(data).end();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{
        Service, ServiceSettings,
        auth::Caller,
        http::{
            request::Supplied,
            route::{Found, query},
        },
        state::testing,
    };
    use http::HeaderMap;

    fn request(shared: &Shared, caller: Caller) -> RequestContext {
        let Found::Row(row, path) = shared.router.find(&Method::GET, TABLE[0].path) else { panic!("no row") };
        RequestContext {
            row,
            caller: Arc::new(caller),
            path,
            query: query(None),
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            peer: None,
            moment: shared.moment(),
            supplied: Supplied::default(),
        }
    }

    #[tokio::test]
    async fn a_subscriber_that_reads_too_slowly_is_told_and_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = ServiceSettings::default();
        settings.limits.events_per_player = 2;
        let shared = Service::open(settings, dir.path()).unwrap().shared;
        let waking = shared.clone();
        tokio::spawn(async move { waking.commits.wake().await });
        let ann = testing::player("ann");
        let player = ann.player.unwrap();
        let Ok(Answer::Events(mut stream)) = stream(shared.clone(), request(&shared, ann)).await else {
            panic!("no stream")
        };
        let mut next = async || stream.next().await.map(|Ok(chunk)| String::from_utf8(chunk.to_vec()).unwrap());
        assert!(next().await.unwrap().starts_with("retry: "));
        let tell = || {
            let note = serde_json::from_value(serde_json::json!({
                "message": "m", "notification_id": "", "created": "2026-01-01T00:00:00Z",
            }));
            let told = shared.transact(&shared.moment(), |tx| Ok(tx.tell(player, FeedItem::Note(note.unwrap()))));
            told.0.unwrap();
        };
        tell();
        assert!(next().await.unwrap().starts_with("id: "), "in time");
        (0..3).for_each(|_| tell());
        let told = next().await.unwrap();
        assert!(told.contains("event: reset\ndata: {\"reason\":\"slow\"}"), "{told}");
        assert_eq!(next().await, None);
        drop(stream);
        assert!(shared.with_state(|state| state.events.watch(player, 1)).is_some(), "its place is free again");
    }
}
