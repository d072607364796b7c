//! Whether the service is there: doubt, probes, and the moment it is back. On paused time, so that
//! every wait is exact.

use super::{READ, away, call, read, session, start};
use crate::support::scripted::{Logins, PROBE, health_config};
use gameside::model::calls::{Backend, Refusal};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn back_from_a_black_hole_within_two_seconds_and_what_was_under_way_is_void() {
    let (mut server, session_client, mut backend) = start(Logins::Server).await;
    let first = call(&session_client, read());
    server.expect(READ).await.json(200, &session());
    first.await.unwrap().unwrap();
    assert_eq!(backend.recv().await, Some(Backend::Up));

    let stuck = call(&session_client, read());
    let mut swallowed = vec![server.expect(READ).await];
    let why = loop {
        tokio::select! {
            asked = server.next() => swallowed.push(asked),
            now = backend.recv() => break away(now),
        }
    };
    assert!(why.contains("no answer"), "{why}");
    assert!(matches!(stuck.await.unwrap(), Err(Refusal::Ambiguous { .. })));
    let late = call(&session_client, read());
    for _ in 0..20 {
        swallowed.push(server.next().await);
    }

    // Now it is back, and answers whatever comes in from here on.
    let back = tokio::time::Instant::now();
    server.expect(PROBE).await.json(200, &health_config());
    assert!(matches!(late.await.unwrap(), Err(Refusal::Ambiguous { .. })), "it hangs in a connection to nowhere");
    assert_eq!(backend.recv().await, Some(Backend::Up));
    let again = call(&session_client, read());
    server.expect(READ).await.json(200, &session());
    again.await.unwrap().unwrap();
    assert!(back.elapsed() <= Duration::from_secs(2), "{:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_a_short_black_hole_swallowed_is_void_too() {
    let (mut server, session_client, _backend) = start(Logins::Server).await;
    let stuck = call(&session_client, read());
    let mut swallowed = vec![server.expect(READ).await];
    for _ in 0..4 {
        swallowed.push(server.expect(PROBE).await);
    }
    server.expect(PROBE).await.json(200, &health_config());
    assert!(matches!(stuck.await.unwrap(), Err(Refusal::Ambiguous { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_slow_service_is_not_away_and_nothing_is_void() {
    let (mut server, session_client, mut backend) = start(Logins::Server).await;
    let slow = call(&session_client, read());
    let asked = server.expect(READ).await;
    let mut later = Vec::new();
    let answering = tokio::time::Instant::now() + Duration::from_secs(3);
    loop {
        tokio::select! {
            probe = server.next() => later.push(probe),
            () = tokio::time::sleep_until(answering) => break,
        }
    }
    asked.json(200, &session());
    assert!(slow.await.unwrap().is_ok());
    assert!(!later.is_empty(), "it was looked for");
    assert_eq!(backend.recv().await, Some(Backend::Up));
    for probe in later {
        probe.json(200, &health_config());
    }
    assert!(server.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn trouble_with_one_route_is_not_the_services() {
    let (mut server, session_client, mut backend) = start(Logins::Server).await;
    let asked = call(&session_client, read());
    server.expect(READ).await.error(500, "internal_error");
    assert!(matches!(asked.await.unwrap(), Err(Refusal::Ambiguous { .. })));
    server.expect(PROBE).await.json(200, &health_config());
    assert_eq!(backend.recv().await, Some(Backend::Up));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(server.is_quiet(), "no doubt, no probes");
}

#[tokio::test(start_paused = true)]
async fn probes_back_off_and_no_pace_is_longer_than_a_second_and_a_half() {
    let (mut server, session_client, mut backend) = start(Logins::Server).await;
    let asked = call(&session_client, read());
    server.expect(READ).await.error(500, "internal_error");
    asked.await.unwrap().unwrap_err();
    let mut last = tokio::time::Instant::now();
    let mut paces = Vec::new();
    for _ in 0..12 {
        server.expect(PROBE).await.error(500, "internal_error");
        paces.push(last.elapsed());
        last = tokio::time::Instant::now();
    }
    assert!(away(backend.recv().await).contains("500 internal_error"));
    let nominal = [0, 100, 200, 400, 800, 1500, 1500, 1500, 1500, 1500, 1500, 1500].map(Duration::from_millis);
    for (pace, nominal) in paces.iter().zip(nominal) {
        // Timers tick in milliseconds.
        assert!(*pace <= nominal + Duration::from_millis(2) && *pace >= nominal.mul_f64(0.74), "{paces:?}");
    }
    server.expect(PROBE).await.json(200, &health_config());
    assert_eq!(backend.recv().await, Some(Backend::Up));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let (mut server, session_client, mut backend) = start(Logins::Server).await;
    let asked = call(&session_client, read());
    server.expect(READ).await.answer(429, "Retry-After: 30\r\n", "");
    assert_eq!(asked.await.unwrap(), Err(Refusal::Busy { retry_after: Some(Duration::from_secs(30)) }));
    server.expect(PROBE).await.answer(503, "Retry-After: 30\r\n", "");
    let told = tokio::time::Instant::now();
    assert!(away(backend.recv().await).contains("busy"));
    server.expect(PROBE).await.json(200, &health_config());
    let waited = told.elapsed();
    assert!(waited >= Duration::from_secs(30) && waited < Duration::from_secs(31), "{waited:?}");
    assert_eq!(backend.recv().await, Some(Backend::Up));
}
