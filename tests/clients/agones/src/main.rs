//! The official Rust client through its whole surface.
//!
//! It prints "again" where agents are to be killed, goes on calling until a line comes on stdin,
//! and prints "done" at its end. Its watch and its health stream are opened once: it is an error if
//! one of them breaks, or if any call is refused.

use agones::{GameServer, Sdk};
use std::{fmt::Debug, time::Duration};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Between two pings of health.
const PING: Duration = Duration::from_millis(20);

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn refused<T: Debug, E: Debug>(answer: Result<T, E>, code: &str) {
    let said = format!("{:?}", answer.expect_err("a refusal"));
    assert!(said.contains(code), "{code}: {said}");
}

fn state(server: &GameServer) -> &str {
    server.status.as_ref().map_or("", |status| status.state.as_str())
}

async fn watched(sdk: &mut Sdk, wanted: &str) -> Outcome {
    let mut watch = sdk.watch_gameserver().await?;
    while let Some(server) = watch.message().await? {
        if state(&server) == wanted {
            return Ok(());
        }
    }
    Err(format!("the watch ended before {wanted}").into())
}

async fn counters(sdk: &Sdk) -> Outcome {
    let mut beta = sdk.beta().clone();
    assert_eq!(beta.get_counter_count("rooms").await?, 1);
    beta.increment_counter("rooms", 9).await?;
    beta.decrement_counter("rooms", 10).await?;
    refused(beta.decrement_counter("rooms", 1).await, "OutOfRange");
    beta.set_counter_count("rooms", 10).await?;
    assert_eq!((beta.get_counter_count("rooms").await?, beta.get_counter_capacity("rooms").await?), (10, 10));
    beta.set_counter_capacity("rooms", 1).await?;
    assert_eq!(beta.get_counter_capacity("rooms").await?, 1);
    refused(beta.get_counter_count("none").await, "NotFound");
    Ok(())
}

async fn lists(sdk: &Sdk) -> Outcome {
    let mut beta = sdk.beta().clone();
    assert!(beta.list_contains("players", "test1").await?);
    assert_eq!(beta.get_list_length("players").await?, 3);
    beta.append_list_value("players", "test3").await?;
    refused(beta.append_list_value("players", "test3").await, "AlreadyExists");
    beta.delete_list_value("players", "test2").await?;
    refused(beta.delete_list_value("players", "test2").await, "NotFound");
    assert_eq!(beta.get_list_values("players").await?, ["test0", "test1", "test3"]);
    assert_eq!(beta.get_list_capacity("players").await?, 100);
    beta.set_list_capacity("players", 2).await?;
    assert_eq!(beta.get_list_values("players").await?, ["test0", "test1"]);
    Ok(())
}

async fn players(sdk: &Sdk) -> Outcome {
    let mut alpha = sdk.alpha().clone();
    alpha.set_player_capacity(1).await?;
    assert_eq!(alpha.get_player_capacity().await?, 1);
    assert!(alpha.player_connect("ada").await?);
    assert!(!alpha.player_connect("ada").await?);
    refused(alpha.player_connect("bob").await, "OutOfRange");
    assert!(alpha.is_player_connected("ada").await?);
    assert_eq!(alpha.get_connected_players().await?, ["ada"]);
    assert_eq!(alpha.get_player_count().await?, 1);
    assert!(alpha.player_disconnect("ada").await?);
    assert!(!alpha.player_disconnect("ada").await?);
    Ok(())
}

/// Calls without a pause while agents die: each counts once, and each label that was answered is there.
async fn calls_through(sdk: &mut Sdk, uid: &str) -> Outcome {
    let mut watch = sdk.watch_gameserver().await?;
    let over = tokio::spawn(async { BufReader::new(tokio::io::stdin()).read_line(&mut String::new()).await });
    let mut beta = sdk.beta().clone();
    let mut calls = 0i64;
    while !over.is_finished() {
        calls += 1;
        beta.increment_counter("calls", 1).await?;
        sdk.set_label("calls", calls.to_string()).await?;
        let labels = sdk.get_gameserver().await?.object_meta.ok_or("no metadata")?.labels;
        assert_eq!(labels["agones.dev/sdk-calls"], calls.to_string());
    }
    assert_eq!(beta.get_counter_count("calls").await?, calls);
    // The same stream as before the first death.
    while let Some(server) = watch.message().await? {
        let meta = server.object_meta.ok_or("no metadata")?;
        assert_eq!(meta.uid, uid);
        if meta.labels.get("agones.dev/sdk-calls") == Some(&calls.to_string()) {
            println!("called {calls}");
            return Ok(());
        }
    }
    Err("the watch ended".into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let mut sdk = Sdk::new(None, None).await?;
    let pings = sdk.health_check();
    // The receiver goes when the stream breaks.
    let (closed, pinging) = (pings.clone(), pings.clone());
    tokio::spawn(async move {
        while pinging.send(()).await.is_ok() {
            tokio::time::sleep(PING).await
        }
    });
    sdk.ready().await?;
    watched(&mut sdk, "Ready").await?;
    let meta = sdk.get_gameserver().await?.object_meta.ok_or("no metadata")?;
    sdk.set_label("created", meta.creation_timestamp.to_string()).await?;
    sdk.set_annotation("uid", &meta.uid).await?;
    let after = sdk.get_gameserver().await?.object_meta.ok_or("no metadata")?;
    assert_eq!(after.labels["agones.dev/sdk-created"], meta.creation_timestamp.to_string());
    assert_eq!(after.annotations["agones.dev/sdk-uid"], meta.uid);
    sdk.reserve(Duration::from_secs(5)).await?;
    watched(&mut sdk, "Reserved").await?;
    sdk.allocate().await?;
    watched(&mut sdk, "Allocated").await?;
    counters(&sdk).await?;

    println!("again");
    calls_through(&mut sdk, &meta.uid).await?;
    assert_eq!(state(&sdk.get_gameserver().await?), "Allocated");
    assert!(!closed.is_closed(), "the health stream is open");
    assert_eq!(sdk.beta().clone().get_counter_capacity("rooms").await?, 1);
    lists(&sdk).await?;
    players(&sdk).await?;
    sdk.shutdown().await?;
    println!("done");
    Ok(())
}
