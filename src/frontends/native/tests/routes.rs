//! What the game and operators send: it arrives as it was meant, or is refused with one clear
//! error.

use super::*;
use crate::{
    frontends::native::{Audience, routes},
    model::{
        game::{Admission, CustomDataOf, EventSource, GameEvent, GamePlayer},
        orders::{Accepted, After, Order, Refused},
    },
};

#[tokio::test]
async fn every_statement_reaches_the_driver_as_it_was_meant() {
    let mut fixture = fixture();
    let player = |id: &str| GamePlayer { id: id.to_owned(), name: None, team: None };
    let named = GamePlayer { id: "p".to_owned(), name: Some("Pia".to_owned()), team: Some(1) };
    let rows: Vec<(&str, &str, &'static str, GameEvent)> = vec![
        ("POST", "ready", "", GameEvent::Ready),
        ("POST", "joinable", r#"{"joinable":false}"#, GameEvent::Joinable(Admission::Closed)),
        ("POST", "joinable", r#"{"joinable":true}"#, GameEvent::Joinable(Admission::Open)),
        (
            "POST",
            "health",
            r#"{"health":"degraded","reason":"hot"}"#,
            GameEvent::Health { health: InstanceHealth::Degraded, reason: Some("hot".to_owned()) },
        ),
        (
            "POST",
            "tick-rate",
            r#"{"measured":29.5,"target":30}"#,
            GameEvent::TickRate { measured: 29.5, target: Some(30.0) },
        ),
        ("POST", "players", r#"{"id":"p","name":"Pia","team":1}"#, GameEvent::PlayerJoined(named)),
        ("DELETE", "players/p%20q", "", GameEvent::PlayerLeft { id: "p q".to_owned() }),
        (
            "PUT",
            "players",
            r#"{"players":[{"id":"a"},{"id":"b"}]}"#,
            GameEvent::Players(vec![player("a"), player("b")]),
        ),
        (
            "POST",
            "match/start",
            r#"{"match_id":"m"}"#,
            GameEvent::MatchStarted { match_id: Some("m".parse().unwrap()) },
        ),
        ("POST", "match/start", "", GameEvent::MatchStarted { match_id: None }),
        ("POST", "match/end", "", GameEvent::MatchEnded { allocation: None }),
        (
            "PUT",
            "custom-data/join_params",
            r#"{"k":"v","gone":""}"#,
            GameEvent::CustomData {
                whose: CustomDataOf::JoinParams,
                data: CustomData::from([("k".to_owned(), "v".to_owned()), ("gone".to_owned(), String::new())]),
            },
        ),
        ("POST", "map", r#"{"map":"m"}"#, GameEvent::Map { map: Some("m".to_owned()), mode: None }),
        ("POST", "version", r#"{"version":"1.2.3-rc.1"}"#, GameEvent::Version("1.2.3-rc.1".parse().unwrap())),
        ("POST", "shutdown", "{}", GameEvent::Shutdown),
    ];
    for (method, path, body, said) in rows {
        let (got, message) = fixture.submit(method, &format!("/v1/game/{path}"), body).await;
        assert_eq!(got.status, StatusCode::NO_CONTENT, "{path}: {}", got.text);
        assert_eq!((message.run, message.source, message.event), (RUN, EventSource::Native, said), "{path}");
    }
}

#[tokio::test]
async fn heartbeats_are_counted_and_no_messages() {
    let mut fixture = fixture();
    for _ in 0..100 {
        assert_eq!(fixture.ask("POST", "/v1/game/heartbeat", GAME, "{}").await.status, StatusCode::NO_CONTENT);
    }
    let taken = fixture.driver.shared.heartbeats.take(crate::host::clock::mono());
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].run, taken[0].source, taken[0].count), (RUN, EventSource::Native, 100));
    assert!(fixture.driver.try_receive().is_none());
    fixture.driver.shared.queue.set_agent(false);
    let got = fixture.ask("POST", "/v1/game/heartbeat", GAME, "").await;
    assert_eq!(got.status, StatusCode::NO_CONTENT, "also without an agent");
}

#[tokio::test]
async fn what_cannot_be_meant_gets_one_clear_error_and_reaches_nobody() {
    let mut fixture = fixture();
    let rows: &[(&str, &str, &'static str, u16, &str)] = &[
        ("POST", "/v1/game/ready", "{", 400, "bad_json"),
        ("POST", "/v1/game/ready", "nonsense", 400, "bad_json"),
        ("POST", "/v1/game/ready", r#"{"why":1}"#, 400, "bad_body"),
        ("POST", "/v1/game/ready", "[]x", 400, "bad_json"),
        ("POST", "/v1/game/joinable", "", 400, "bad_body"),
        ("POST", "/v1/game/joinable", r#"{"joinable":"yes"}"#, 400, "bad_body"),
        ("POST", "/v1/game/joinable", r#"{"joinable":true,"joinable":false}"#, 400, "bad_body"),
        ("POST", "/v1/game/health", r#"{"health":"splendid"}"#, 400, "bad_body"),
        ("POST", "/v1/game/tick-rate", r#"{"measured":-1}"#, 422, "invalid"),
        ("POST", "/v1/game/tick-rate", r#"{"measured":1e9}"#, 422, "invalid"),
        ("POST", "/v1/game/tick-rate", r#"{"measured":1,"target":0}"#, 422, "invalid"),
        ("POST", "/v1/game/players", r#"{"id":""}"#, 422, "invalid"),
        ("POST", "/v1/game/players", r#"{"id":"a","nick":"b"}"#, 400, "bad_body"),
        ("PUT", "/v1/game/players", r#"{"players":[{"id":"a"},{"id":"a"}]}"#, 422, "invalid"),
        ("PUT", "/v1/game/players", r#"[{"id":"a"}]"#, 422, "invalid"),
        ("DELETE", "/v1/game/players/%ff", "", 422, "invalid"),
        ("POST", "/v1/game/match/start", r#"{"match_id":""}"#, 400, "bad_body"),
        ("PUT", "/v1/game/custom-data/else", r#"{"a":"b"}"#, 404, "not_found"),
        ("PUT", "/v1/game/custom-data/instance", r#"{"":"b"}"#, 422, "invalid"),
        ("PUT", "/v1/game/custom-data/instance", r#"{"a":1}"#, 400, "bad_body"),
        ("POST", "/v1/game/map", "{}", 422, "invalid"),
        ("POST", "/v1/game/map", r#"{"map":""}"#, 422, "invalid"),
        ("POST", "/v1/game/version", r#"{"version":"one"}"#, 400, "bad_body"),
        ("GET", "/v1/game/ready", "", 405, "method_not_allowed"),
        ("PATCH", "/v1/state", "", 405, "method_not_allowed"),
        ("POST", "/v1/game/nothing", "", 404, "not_found"),
        ("GET", "/", "", 404, "not_found"),
    ];
    for (method, path, body, status, code) in rows {
        let got = fixture.ask(method, path, GAME, body).await;
        if (*method, *path) == ("PUT", "/v1/game/players") && body.starts_with('[') {
            // A list where an object is wanted is a matter of shape.
            assert_eq!((got.status.as_u16(), got.code().as_str()), (400, "bad_body"), "{}", got.text);
            continue;
        }
        assert_eq!(
            (got.status.as_u16(), got.code().as_str()),
            (*status, *code),
            "{method} {path} {body}: {}",
            got.text
        );
    }
    let got = fixture.ask("GET", "/v1/game/ready", GAME, "").await;
    assert_eq!(got.headers["allow"], "POST");
    assert!(fixture.driver.try_receive().is_none());
}

#[tokio::test]
async fn texts_and_bodies_have_their_bounds() {
    let fixture = fixture();
    let id = format!(r#"{{"id":"{}"}}"#, "ä".repeat(129));
    let got = send(&fixture.game, request("POST", "/v1/game/players", GAME, id)).await;
    assert_eq!((got.status.as_u16(), got.code().as_str()), (422, "invalid"));
    assert!(got.text.contains("1 to 128 characters, found 129"), "{}", got.text);
    let big = format!(r#"{{"match_id":"{}"}}"#, "x".repeat(crate::frontends::http::MAX_BODY));
    let got = send(&fixture.game, request("POST", "/v1/game/match/start", GAME, big)).await;
    assert_eq!((got.status.as_u16(), got.code().as_str()), (413, "body_too_large"));
    let many: Vec<String> = (0..1025).map(|n| format!(r#"{{"id":"{n}"}}"#)).collect();
    let many = format!(r#"{{"players":[{}]}}"#, many.join(","));
    assert_eq!(send(&fixture.game, request("PUT", "/v1/game/players", GAME, many)).await.code(), "invalid");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let fixture = fixture();
    let body = Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let got = send(&fixture.game, request("POST", "/v1/game/ready", GAME, body)).await;
    assert_eq!((got.status.as_u16(), got.code().as_str()), (408, "slow_body"));
}

#[tokio::test]
async fn each_route_wants_the_token_that_is_meant_for_it() {
    let fixture = fixture();
    for (audience, method, path, _) in routes() {
        let path = path.replace("{id}", "x").replace("{whose}", "instance");
        if !path.starts_with("/v1/") {
            continue;
        }
        let sides = [
            (&fixture.game, OPERATOR, "game_only", audience != Audience::Operators),
            (&fixture.operators, GAME, "operator_only", audience != Audience::Game),
        ];
        for (router, others, code, _) in sides.into_iter().filter(|(.., serves)| *serves) {
            let ask = |token| send(router, request(method.as_str(), &path, token, ""));
            for token in ["", "wrong", "game-toke", "game-token-and-more"] {
                let got = ask(token).await;
                assert_eq!((got.status.as_u16(), got.code().as_str()), (401, "unauthorised"), "{path} {token}");
                assert_eq!(got.headers["www-authenticate"], "Bearer");
            }
            let got = ask(others).await;
            assert_eq!((got.status.as_u16(), got.code().as_str()), (403, code), "{path}");
        }
    }
}

#[tokio::test]
async fn a_route_of_the_other_side_is_not_there_and_the_answer_says_where_it_is() {
    let fixture = fixture();
    for (audience, method, path, _) in routes() {
        let path = path.replace("{id}", "x").replace("{whose}", "instance");
        let (router, tokens, code, hint) = match audience {
            Audience::Operators => (&fixture.game, [GAME, OPERATOR, ""], "operator_route", "operator.sock"),
            Audience::Game => (&fixture.operators, [GAME, OPERATOR, ""], "game_route", "GAMESIDE_API"),
            Audience::Both => continue,
        };
        for token in tokens {
            let got = send(router, request(method.as_str(), &path, token, "")).await;
            assert_eq!((got.status.as_u16(), got.code().as_str()), (404, code), "{method} {path}");
            assert!(got.text.contains(hint), "{}", got.text);
        }
    }
}

#[tokio::test]
async fn the_token_of_an_earlier_run_is_worth_nothing() {
    let fixture = fixture();
    fixture.driver.tokens.set_game(RunNumber(8), "next".into());
    assert_eq!(fixture.ask("GET", "/v1/state", GAME, "").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(fixture.ask("GET", "/v1/state", "next", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_statement_is_acknowledged_once_it_is_durable_and_not_before() {
    let fixture = fixture();
    let queue = Arc::clone(&fixture.driver.shared.queue);
    let asked = tokio::spawn(send_owned(fixture.game.clone(), request("POST", "/v1/game/ready", GAME, "")));
    queue.sent().await;
    tokio::task::yield_now().await;
    assert!(!asked.is_finished());
    queue.acknowledge(queue.out().unwrap().number);
    assert_eq!(asked.await.unwrap().status, StatusCode::NO_CONTENT);
}

#[tokio::test(start_paused = true)]
async fn a_slow_journal_is_said_and_a_full_queue_or_an_absent_agent_asks_for_another_try() {
    let fixture = fixture();
    let queue = Arc::clone(&fixture.driver.shared.queue);
    let ready = || request("POST", "/v1/game/ready", GAME, "");
    assert_eq!(send(&fixture.game, ready()).await.status, StatusCode::ACCEPTED, "nobody acknowledges it");
    assert_eq!(queue.out().unwrap().messages.len(), 1, "it counts all the same");

    let got = send(&fixture.game, ready()).await;
    assert_eq!((got.status.as_u16(), got.code().as_str()), (503, "no_agent"));
    queue.acknowledge(1);
    assert_eq!(queue.out(), None, "it was withdrawn");

    queue.set_agent(false);
    let waiting: Vec<_> = (0..256).map(|_| tokio::spawn(send_owned(fixture.game.clone(), ready()))).collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let got = send(&fixture.game, ready()).await;
    assert_eq!((got.status.as_u16(), got.code().as_str()), (503, "busy"));
    assert_eq!(got.headers["retry-after"], "1");
    let end = tokio::spawn(send_owned(fixture.game.clone(), request("POST", "/v1/game/shutdown", GAME, "")));
    tokio::task::yield_now().await;
    queue.set_agent(true);
    while !queue.is_empty() {
        tokio::task::yield_now().await;
        queue.acknowledge(u64::MAX);
    }
    for asked in waiting.into_iter().chain([end]) {
        assert_eq!(asked.await.unwrap().status, StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn orders_are_asked_and_refusals_carry_their_code() {
    let mut fixture = fixture();
    let expired = Refused::Expired { expired: Timestamp::EPOCH };
    let rows: Vec<(&str, &'static str, Order, Result<Accepted, Refused>)> = vec![
        ("gate", r#"{"joinable":false}"#, Order::Admission(Admission::Closed), Ok(Accepted::Admission)),
        (
            "drain",
            "",
            Order::Drain { reason: None, then: After::End },
            Ok(Accepted::Draining { deadline: Timestamp::EPOCH }),
        ),
        (
            "drain",
            r#"{"reason":"patch","then":"recycle"}"#,
            Order::Drain { reason: Some("patch".to_owned()), then: After::Recycle },
            Err(Refused::Nothing { why: "idle".to_owned() }),
        ),
        (
            "stop",
            r#"{"reason":"patch"}"#,
            Order::Stop { reason: Some("patch".to_owned()), now: false },
            Ok(Accepted::Stopping),
        ),
        ("stop", r#"{"now":true}"#, Order::Stop { reason: None, now: true }, Ok(Accepted::Stopping)),
        ("detach", r#"{"restart":true}"#, Order::Detach { restart: true }, Err(Refused::NoKeeper)),
        (
            "allocation",
            r#"{"allocation_id":"a","startup_params":{"map":"m"}}"#,
            Order::Allocate(Box::new(
                serde_json::from_str(r#"{"allocation_id":"a","startup_params":{"map":"m"}}"#).unwrap(),
            )),
            Err(expired),
        ),
    ];
    for (path, body, order, reply) in rows {
        let asked = send_owned(fixture.operators.clone(), request("POST", &format!("/v1/{path}"), OPERATOR, body));
        let decided = async {
            let asked = fixture.driver.operator_requests.recv().await.unwrap();
            assert_eq!(asked.order, order);
            asked.reply.send(reply.clone()).unwrap();
        };
        let (got, ()) = tokio::join!(asked, decided);
        match reply {
            Ok(accepted) => assert_eq!(got.json(), serde_json::to_value(&accepted).unwrap()),
            Err(refused) => {
                assert_eq!((got.status.as_u16(), got.code().as_str()), (refused.http_status(), refused.code()));
            }
        }
    }
    for (path, body, status) in [
        ("allocation", "{}", 400),
        ("allocation", r#"{"allocation_id":"a","map":"m"}"#, 400),
        ("allocation", r#"{"allocation_id":"a","startup_params":{"map":""}}"#, 422),
        ("drain", r#"{"then":"whatever"}"#, 400),
        ("stop", r#"{"force":true}"#, 400),
        ("gate", "{}", 400),
    ] {
        let got = fixture.ask("POST", &format!("/v1/{path}"), OPERATOR, body).await;
        assert_eq!(got.status.as_u16(), status, "{path} {body}: {}", got.text);
    }
    assert!(fixture.driver.operator_requests.try_recv().is_err());
}
