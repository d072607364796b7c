//! What is read: state and status with their ETags, liveness, metrics, the description.

use super::*;
use crate::{
    frontends::native::{openapi, routes},
    model::status::{GameStatus, MachineStatus},
};
use utoipa::openapi::path::{Operation, PathItem};

#[tokio::test]
async fn state_has_an_etag_that_changes_with_what_it_shows_and_only_then() {
    let fixture = fixture();
    let first = fixture.ask("GET", "/v1/state", GAME, "").await;
    assert_eq!(first.status, StatusCode::OK);
    let json = first.json();
    assert_eq!((&json["map"], &json["run"], &json["ports"]["game"]), (&"oa_dm1".into(), &7.into(), &7777.into()));
    assert!(json.get("agent").is_none() && json.get("sessions_url").is_none());

    let conditional = |tag: String| {
        let mut request = request("GET", "/v1/state", GAME, "");
        request.headers_mut().insert("if-none-match", tag.parse().unwrap());
        send_owned(fixture.game.clone(), request)
    };
    for tag in [first.etag(), format!("\"x\", W/{}", first.etag()), "*".to_owned()] {
        let same = conditional(tag).await;
        assert_eq!((same.status, same.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
        assert_eq!(same.etag(), first.etag());
    }

    // A new status that shows nothing new to the game.
    fixture.driver.status.send_replace(Arc::new(Status { sessions_url: Some("http://x".to_owned()), ..status() }));
    assert_eq!(conditional(first.etag()).await.status, StatusCode::NOT_MODIFIED);
    fixture.driver.status.send_replace(Arc::new(Status { players: Some(3), ..status() }));
    let second = conditional(first.etag()).await;
    assert_eq!((second.status, &second.json()["players"]), (StatusCode::OK, &3.into()));

    fixture.driver.shared.events.publish(RUN, allocated("a"));
    let third = conditional(second.etag()).await.json();
    assert_eq!(third["told"][0]["event"], "allocated");
    assert_eq!(third["told"][0]["allocation"]["allocation_id"], "a");
    assert_eq!(third["last_event_id"], "life-1");
}

#[tokio::test]
async fn the_whole_status_is_for_operators() {
    let fixture = fixture();
    let got = fixture.ask("GET", "/v1/status", OPERATOR, "").await;
    assert_eq!(serde_json::from_str::<Status>(&got.text).unwrap(), status());
    let mut again = request("GET", "/v1/status", OPERATOR, "");
    again.headers_mut().insert("if-none-match", got.etag().parse().unwrap());
    assert_eq!(send(&fixture.operators, again).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn liveness_is_the_drivers_and_readiness_the_keepers() {
    let mut fixture = fixture();
    let (got, ()) = tokio::join!(send_owned(fixture.operators.clone(), request("GET", "/livez", "", "")), async {
        fixture.driver.liveness.recv().await.unwrap().send(()).unwrap();
    });
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(fixture.ask("GET", "/readyz", OPERATOR, "").await.status, StatusCode::OK);
    fixture.driver.status.send_replace(Arc::new(Status { keeper: KeeperStatus::default(), ..status() }));
    let got = fixture.ask("GET", "/readyz", OPERATOR, "").await;
    assert_eq!((got.status.as_u16(), got.code().as_str()), (503, "no_keeper"));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_driver_is_not_alive() {
    let fixture = fixture();
    let got = fixture.ask("GET", "/livez", OPERATOR, "").await;
    assert_eq!((got.status.as_u16(), got.code().as_str()), (503, "stuck"));
}

#[tokio::test]
async fn metrics_show_the_status_under_documented_names() {
    let fixture = fixture();
    fixture.ask("GET", "/v1/state", "", "").await;
    let page = fixture.ask("GET", "/metrics", OPERATOR, "").await.text;
    for line in [
        "gameside_agent_info{name=\"arena\",version=\"\"} 1",
        "gameside_phase{phase=\"serving\"} 1",
        "gameside_phase{phase=\"idle\"} 0",
        "gameside_players 2",
        "gameside_game_up 1",
        "gameside_backend_up 1",
        "gameside_api_answers_total{status=\"4xx\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
    }
    let documented = include_str!("../../../../docs/native-api.md");
    for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).filter_map(|line| line.split(' ').next()) {
        assert!(documented.contains(&format!("`{name}")), "{name} is not documented");
    }
}

#[tokio::test]
async fn metrics_show_the_games_process_tree_and_the_machine() {
    let fixture = fixture();
    let machine = MachineStatus {
        processors: 8,
        cpu_percent: 25,
        load: [1.5, 2.5, 3.5],
        memory_total: 1 << 34,
        memory_available: 1 << 33,
        memory_pressure: Some(12.5),
        cpu_pressure: None,
    };
    let game = GameStatus {
        memory: Some(1 << 20),
        memory_limit: Some(1 << 21),
        cpu_ms: Some(1500),
        processes: Some(3),
        memory_pressure: None,
        cpu_pressure: Some(50.0),
        ..status().game
    };
    fixture.driver.status.send_replace(Arc::new(Status { machine: Some(machine), game, ..status() }));
    let page = fixture.ask("GET", "/metrics", OPERATOR, "").await.text;
    for line in [
        "gameside_game_processes 3.0",
        "gameside_game_memory_bytes 1048576",
        "gameside_game_memory_limit_bytes 2097152",
        "gameside_game_cpu_seconds_total 1.5",
        "gameside_game_memory_pressure_ratio 0.0",
        "gameside_game_cpu_pressure_ratio 0.5",
        "gameside_machine_processors 8.0",
        "gameside_machine_memory_bytes 17179869184",
        "gameside_machine_memory_available_bytes 8589934592",
        "gameside_machine_load1 1.5",
        "gameside_machine_load5 2.5",
        "gameside_machine_load15 3.5",
        "gameside_machine_cpu_ratio 0.25",
        "gameside_machine_memory_pressure_ratio 0.125",
        "gameside_machine_cpu_pressure_ratio 0.0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
    }
}

#[tokio::test]
async fn the_description_names_every_route_and_no_other() {
    let described = openapi::description();
    let mut listed: Vec<(String, String)> = Vec::new();
    for (path, item) in &described.paths.paths {
        for (method, operation) in operations(item) {
            if operation.is_some() {
                listed.push((method.to_owned(), path.clone()));
            }
        }
    }
    let mut served: Vec<(String, String)> =
        routes().into_iter().map(|(_, method, path, _)| (method.to_string(), path.to_owned())).collect();
    listed.sort();
    served.sort();
    assert_eq!(listed, served);

    let got = fixture().ask("GET", "/openapi.json", "", "").await.json();
    assert!(got["components"]["securitySchemes"]["game"].is_object());
    for reference in references(&got) {
        let target = reference.trim_start_matches('#');
        assert!(got.pointer(target).is_some(), "{reference} leads nowhere");
    }
}

fn operations(item: &PathItem) -> [(&'static str, Option<&Operation>); 5] {
    [
        ("GET", item.get.as_ref()),
        ("PUT", item.put.as_ref()),
        ("POST", item.post.as_ref()),
        ("DELETE", item.delete.as_ref()),
        ("PATCH", item.patch.as_ref()),
    ]
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(key, value)| match value.as_str().filter(|_| key == "$ref") {
                Some(reference) => vec![reference.to_owned()],
                None => references(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}
