//! What REST answers: the shape of its JSON, what it reads, and its errors.

use super::*;

/// The kinds of everything in a value: `string`, `number`, …, objects and lists by their members.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
    }
}

#[test]
fn a_game_server_has_the_shape_that_a_gateway_gives_it() {
    let world = World::new();
    let config = warm(FIXTURE).replace("player_capacity = 2\n", "").replace("health.disabled = true\n", "");
    let agent = world.agent("server", &config);
    let sdk = Sdk::of(&agent);
    sdk.ready();
    let mut server = sdk.get("/gameserver");
    // What depends on the machine.
    let addresses = server["status"]["addresses"].take();
    assert!(
        addresses
            .as_array()
            .is_some_and(|all| all.iter().all(|it| it["type"].is_string() && it["address"].is_string()))
    );
    server["object_meta"]["annotations"] = json!({});
    let expected = json!({
        "object_meta": {"name": "local", "namespace": "default", "uid": "1234", "resource_version": "v1", "generation": "1",
            "creation_timestamp": "1795298157", "deletion_timestamp": "0", "annotations": {}, "labels": {}},
        "spec": {"health": {"disabled": false, "period_seconds": 3, "failure_threshold": 5, "initial_delay_seconds": 10}},
        "status": {"state": "Ready", "address": "127.0.0.1", "addresses": null, "ports": [{"name": "default", "port": 7777}],
            "players": null, "counters": {"rooms": {"count": "1", "capacity": "10"}, "calls": {"count": "0", "capacity": "1"}},
            "lists": {"players": {"capacity": "100", "values": ["a", "b", "c"]}}},
    });
    assert_eq!(shape(&server), shape(&expected));
    assert_eq!(
        server["spec"]["health"],
        json!({"disabled": false, "period_seconds": 5, "failure_threshold": 3, "initial_delay_seconds": 5})
    );
    assert_eq!(server["status"]["lists"]["players"]["values"], json!(["test0", "test1", "test2"]));
}

#[test]
fn requests_are_read_as_a_gateway_reads_them_and_refused_with_the_promised_codes() {
    let world = World::new();
    let agent = world.agent("server", &warm(FIXTURE));
    let sdk = Sdk::of(&agent);
    let (rooms, players) = ("/v1beta1/counters/rooms", "/v1beta1/lists/players");
    let long = "x".repeat(5000);
    let table = [
        ("POST", "/ready", "", 200, 0),
        ("POST", "/ready", "{\"unknown\":[1]}", 200, 0),
        ("POST", "/ready", "{", 400, 3),
        ("POST", "/ready", "[]", 400, 3),
        ("POST", "/health", "", 400, 3),
        ("POST", "/health", "{}{} {}", 200, 0),
        ("POST", "/health", "{}{", 400, 3),
        ("GET", "/nothing", "", 404, 5),
        ("GET", "/ready", "", 501, 12),
        ("DELETE", "/gameserver", "", 501, 12),
        ("POST", "/reserve", "{\"seconds\":\"x\"}", 400, 3),
        ("POST", "/reserve", "{\"seconds\":3600,\"unknown\":1}", 200, 0),
        ("POST", "/reserve", "{\"seconds\":\"3600\"}", 200, 0),
        ("PUT", "/metadata/label", "{\"value\":\"no key\"}", 400, 3),
        ("PUT", "/metadata/label", &format!("{{\"key\":\"a\",\"value\":\"{long}\"}}"), 400, 3),
        ("GET", "/v1beta1/counters/none", "", 404, 5),
        ("PATCH", "/v1beta1/counters/none", "{\"count\":\"1\"}", 404, 5),
        ("PATCH", rooms, "{\"count\":\"11\"}", 400, 11),
        ("PATCH", rooms, "{\"countDiff\":\"-2\"}", 400, 11),
        ("PATCH", rooms, "{\"capacity\":-1}", 400, 11),
        ("PATCH", rooms, "{\"count\":2,\"capacity\":\"12\",\"countDiff\":1,\"unknown\":0}", 200, 0),
        ("PATCH", players, "{\"capacity\":5,\"unknown\":0}", 400, 3),
        ("PATCH", players, "{\"capacity\":\"1001\"}", 400, 11),
        ("PATCH", players, "{\"capacity\":\"3\"}", 200, 0),
        ("POST", "/v1beta1/lists/players:addValue", "{\"value\":\"test0\"}", 409, 6),
        ("POST", "/v1beta1/lists/players:addValue", "{\"value\":\"more\"}", 400, 11),
        ("POST", "/v1beta1/lists/players:removeValue", "{\"value\":\"more\"}", 404, 5),
        ("POST", "/v1beta1/lists/none:addValue", "{\"value\":\"a\"}", 404, 5),
        ("PUT", "/alpha/player/capacity", "{\"count\":\"1\"}", 200, 0),
        ("PUT", "/alpha/player/capacity", "{\"count\":-1}", 400, 11),
        ("POST", "/alpha/player/connect", "{\"playerID\":\"a/b\"}", 200, 0),
        ("POST", "/alpha/player/connect", "{\"playerID\":\"c\"}", 400, 11),
        ("POST", "/alpha/player/connect", "{}", 400, 3),
    ];
    for (method, path, body, status, code) in table {
        let answer = raw(&sdk, method, path, body);
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text);
        if code != 0 {
            assert_eq!(answer.body["code"], code, "{method} {path} {body}: {}", answer.text);
            assert!(answer.body["message"].as_str().is_some_and(|text| !text.is_empty()), "{}", answer.text);
            assert_eq!(answer.body["details"], json!([]));
        }
    }
    assert_eq!(sdk.get(rooms), json!({"name": "rooms", "count": "3", "capacity": "12"}));
    assert_eq!(sdk.get(players), json!({"name": "players", "capacity": "3", "values": ["test0", "test1", "test2"]}));
    assert_eq!(sdk.get("/alpha/player/connected/a%2Fb"), json!({"bool": true}));
    assert_eq!(sdk.get("/alpha/player/connected"), json!({"list": ["a/b"]}));
    assert_eq!(sdk.get("/alpha/player/count"), json!({"count": "1"}));
    assert_eq!(sdk.get("/alpha/player/capacity"), json!({"count": "1"}));
}

#[test]
fn the_mask_of_a_querys_address_says_which_parts_of_a_list_are_replaced() {
    let world = World::new();
    let agent = world.agent("server", &own(FIXTURE));
    let sdk = Sdk::of(&agent);
    let body = json!({"name": "players", "capacity": "50", "values": []});
    let list = sdk.ask("PATCH", "/v1beta1/lists/players?updateMask=capacity", &body).ok();
    assert_eq!((&list["capacity"], &list["values"]), (&json!("50"), &json!(["test0", "test1", "test2"])));
    let body = json!({"capacity": "7", "values": ["ada"]});
    let list = sdk.ask("PATCH", "/v1beta1/lists/players?updateMask=values", &body).ok();
    assert_eq!((&list["capacity"], &list["values"]), (&json!("50"), &json!(["ada"])));
    assert_eq!(sdk.get("/v1beta1/lists/players")["values"], json!(["ada"]));
}

/// Sends a body as it is.
fn raw(sdk: &Sdk, method: &str, path: &str, body: &str) -> Answer {
    use std::io::{Read as _, Write as _};
    let host = sdk.http.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, etag: None, body: serde_json::from_str(body).unwrap(), text: body.to_owned() }
}
