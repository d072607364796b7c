use super::*;
use crate::{frontends::events::RETENTION, model::ids::PlayerUuid};
use axum::body::{BodyDataStream, Bytes};
use futures_util::StreamExt;

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
struct Sse {
    event: String,
    id: String,
    data: Value,
}

/// A reader that parses what it gets, and stops reading when the test does.
struct Reader {
    body: BodyDataStream,
    rest: String,
}

impl Reader {
    async fn next(&mut self) -> Option<Sse> {
        loop {
            while let Some((block, rest)) = self.rest.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.rest = rest;
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let Some(event) = field("event: ") {
                    let data = serde_json::from_str(&field("data: ").unwrap()).unwrap();
                    return Some(Sse { event, id: field("id: ").unwrap(), data });
                }
            }
            let chunk = self.body.next().await?.unwrap();
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
    async fn names(&mut self, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(self.next().await.map_or_else(|| "end".to_owned(), |event| event.event));
        }
        names
    }
}

async fn open(fixture: &Fixture, path: &str, token: &str, resume: Option<&str>) -> Result<Reader, StatusCode> {
    let mut request = request("GET", path, token, "");
    if let Some(resume) = resume {
        request.headers_mut().insert("last-event-id", resume.parse().unwrap());
    }
    let response = fixture.router(token).clone().oneshot(request).await.unwrap();
    if response.status() != StatusCode::OK {
        return Err(response.status());
    }
    Ok(Reader { body: response.into_body().into_data_stream(), rest: String::new() })
}

async fn subscribe(fixture: &Fixture, resume: Option<&str>) -> Reader {
    open(fixture, "/v1/events", GAME, resume).await.unwrap()
}

fn backfilled(players: &[u128]) -> GameNotice {
    GameNotice::Backfilled { players: players.iter().map(|id| PlayerUuid(uuid::Uuid::from_u128(*id))).collect() }
}

fn drain() -> GameNotice {
    GameNotice::Drain { reason: "patch".to_owned(), deadline: Timestamp::EPOCH }
}

#[tokio::test]
async fn levels_come_first_merged_and_in_order_then_every_change() {
    let fixture = fixture();
    let events = &fixture.driver.shared.events;
    events.publish(RUN, allocated("old"));
    events.publish(RUN, drain());
    events.publish(RUN, allocated("new"));
    events.publish(RUN, backfilled(&[1]));
    events.publish(RUN, GameNotice::NotInSession { id: "x".to_owned() });
    events.publish(RUN, backfilled(&[1, 2]));
    let mut reader = subscribe(&fixture, None).await;
    // Published after the reader was let in and before it read anything.
    events.publish(RUN, GameNotice::NotInSession { id: "y".to_owned() });
    let first = reader.next().await.unwrap();
    assert_eq!((first.event.as_str(), &first.data["allocation"]["allocation_id"]), ("allocated", &"new".into()));
    assert_eq!((first.id.as_str(), &first.data["run"]), ("life-3", &7.into()));
    let second = reader.next().await.unwrap();
    assert_eq!((second.event.as_str(), second.data["players"].as_array().unwrap().len()), ("backfilled", 2));
    assert_eq!(reader.next().await.unwrap().data["id"], "y");
    events.publish(RUN, GameNotice::Stop { within: std::time::Duration::from_secs(3) });
    let stop = reader.next().await.unwrap();
    assert_eq!((stop.event.as_str(), &stop.data["within_ms"]), ("stop", &3000.into()));
}

#[tokio::test]
async fn a_reader_resumes_where_it_was_and_misses_nothing() {
    let fixture = fixture();
    let events = &fixture.driver.shared.events;
    events.publish(RUN, allocated("a"));
    let mut reader = subscribe(&fixture, None).await;
    let seen = reader.next().await.unwrap().id;
    drop(reader);
    events.publish(RUN, GameNotice::NotInSession { id: "x".to_owned() });
    events.publish(RUN, drain());
    let mut reader = subscribe(&fixture, Some(&seen)).await;
    assert_eq!(reader.names(2).await, ["not_in_session", "drain"]);
    // From the state, too: what it shows is before the id it names.
    let state = fixture.ask("GET", "/v1/state", GAME, "").await.json();
    events.publish(RUN, GameNotice::SessionLost);
    let mut reader = subscribe(&fixture, state["last_event_id"].as_str()).await;
    assert_eq!(reader.names(1).await, ["session_lost"]);
}

#[tokio::test]
async fn beyond_the_retention_or_from_another_life_it_starts_anew_and_is_told_so() {
    let fixture = fixture();
    let events = &fixture.driver.shared.events;
    events.publish(RUN, allocated("a"));
    for number in 0..=RETENTION {
        events.publish(RUN, GameNotice::NotInSession { id: number.to_string() });
    }
    for resume in ["life-1", "earlier-3", "life-999999", "garbage", "life-x"] {
        let mut reader = subscribe(&fixture, Some(resume)).await;
        assert_eq!(reader.names(2).await, ["reset", "allocated"], "{resume}");
    }
}

#[tokio::test]
async fn a_reader_that_stops_is_dropped_and_told_so_and_holds_up_nobody() {
    let fixture = fixture();
    let events = &fixture.driver.shared.events;
    let mut slow = subscribe(&fixture, None).await;
    let mut quick = subscribe(&fixture, None).await;
    for number in 0..2 * RETENTION {
        events.publish(RUN, GameNotice::NotInSession { id: number.to_string() });
        assert_eq!(quick.next().await.unwrap().data["id"], number.to_string());
    }
    assert_eq!(slow.names(2).await, ["lagged", "end"]);
    let page = fixture.ask("GET", "/metrics", OPERATOR, "").await.text;
    assert!(page.contains("gameside_api_streams_lagged_total 1"), "{page}");
    assert!(page.contains("gameside_api_streams 1"), "{page}");
}

#[tokio::test]
async fn a_game_hears_of_its_own_run_alone_and_its_stream_ends_with_it() {
    let fixture = fixture();
    let events = &fixture.driver.shared.events;
    let mut game = subscribe(&fixture, None).await;
    let mut operator = open(&fixture, "/v1/events", OPERATOR, None).await.unwrap();
    events.publish(RUN, drain());
    events.publish(RunNumber(8), allocated("next"));
    assert_eq!(game.names(2).await, ["drain", "end"]);
    assert_eq!(operator.names(2).await, ["drain", "allocated"]);
    fixture.driver.tokens.set_game(RunNumber(8), "next".into());
    let mut next = open(&fixture, "/v1/events", "next", None).await.unwrap();
    assert_eq!(next.names(1).await, ["allocated"]);
}

#[tokio::test]
async fn streams_are_counted_and_given_back() {
    let fixture = fixture();
    let mut open_streams = Vec::new();
    for _ in 0..super::super::stream::MAX_SUBSCRIBERS {
        open_streams.push(subscribe(&fixture, None).await);
    }
    assert_eq!(open(&fixture, "/v1/events", GAME, None).await.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
    open_streams.pop();
    assert!(open(&fixture, "/v1/events", GAME, None).await.is_ok());
}

#[tokio::test]
async fn the_timeline_is_read_back_and_followed() {
    let fixture = fixture();
    for seq in 1..=3 {
        fixture.driver.operators.timeline.push(entry(seq));
    }
    let lines = |text: &str| -> Vec<u64> {
        text.lines().map(|line| serde_json::from_str::<TimelineEntry>(line).unwrap().seq).collect()
    };
    assert_eq!(lines(&fixture.ask("GET", "/v1/timeline", OPERATOR, "").await.text), [1, 2, 3]);
    assert_eq!(lines(&fixture.ask("GET", "/v1/timeline?after=2", OPERATOR, "").await.text), [3]);
    assert_eq!(fixture.ask("GET", "/v1/timeline?follow=maybe", OPERATOR, "").await.code(), "invalid");
    assert_eq!(fixture.ask("GET", "/v1/timeline?since=2", OPERATOR, "").await.code(), "invalid");

    let followed = open(&fixture, "/v1/timeline?follow&after=3", OPERATOR, None).await.unwrap();
    let mut body = followed.body;
    fixture.driver.operators.timeline.push(entry(4));
    assert_eq!(lines(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap()), [4]);

    let mut sse = request("GET", "/v1/timeline", OPERATOR, "");
    sse.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
    sse.headers_mut().insert("last-event-id", "3".parse().unwrap());
    let got = send(&fixture.operators, sse).await;
    assert!(got.text.starts_with("event: joinable\nid: 4\ndata: {"), "{}", got.text);
}

#[tokio::test]
async fn the_status_is_followed_change_by_change() {
    let fixture = fixture();
    let players = |players| Arc::new(Status { players: Some(players), ..status() });
    let read = |chunk: Option<Result<Bytes, axum::Error>>| {
        let chunk = chunk.unwrap().unwrap();
        let line = chunk.strip_suffix(b"\n").expect("whole lines");
        serde_json::from_slice::<Status>(line).unwrap().players.unwrap()
    };
    assert_eq!(fixture.ask("GET", "/v1/status?follow=maybe", OPERATOR, "").await.code(), "invalid");
    assert_eq!(fixture.ask("GET", "/v1/status?follow", GAME, "").await.status, StatusCode::NOT_FOUND);
    let mut body = open(&fixture, "/v1/status?follow", OPERATOR, None).await.unwrap().body;
    assert_eq!(read(body.next().await), status().players.unwrap());
    fixture.driver.status.send_replace(players(1));
    assert_eq!(read(body.next().await), 1);
    // What lay between two reads isn't sent, nor what doesn't show.
    fixture.driver.status.send_replace(players(2));
    fixture.driver.status.send_replace(players(3));
    assert_eq!(read(body.next().await), 3);
    fixture.driver.status.send_replace(players(3));
    fixture.driver.status.send_replace(players(4));
    assert_eq!(read(body.next().await), 4);
}

#[tokio::test]
async fn entries_of_the_timeline_that_are_gone_are_announced() {
    let fixture = fixture();
    for seq in 1..=(crate::frontends::timeline::RETENTION as u64 + 5) {
        fixture.driver.operators.timeline.push(entry(seq));
    }
    let got = fixture.ask("GET", "/v1/timeline?after=2", OPERATOR, "").await;
    let first: TimelineEntry = serde_json::from_str(got.text.lines().next().unwrap()).unwrap();
    assert_eq!((first.kind.as_str(), first.seq), ("reset", 5));
    assert_eq!(got.text.lines().count(), crate::frontends::timeline::RETENTION + 1);
}
