//! The state machine and its mapping onto the lifecycle.

use super::*;

#[test]
fn ready_is_offered_an_allocation_is_shown_and_the_next_ready_gives_the_match_back() {
    let world = World::new();
    let agent = world.agent("server", &warm(""));
    let sdk = Sdk::of(&agent);
    assert_eq!(sdk.state(), "Scheduled");
    let mut watch = Lines::open(&sdk);
    sdk.ready();
    watch.until_state("Ready");
    let status = agent.wait("readiness", |status| status["game"]["ready"] == true);
    assert_eq!((&status["phase"], &status["join_status"]), (&json!("idle"), &Value::Null));
    assert_eq!(status["game"]["speaks"], json!(["agones"]));
    let shown = world.told(["status", "server"]);
    assert!(shown.contains("speaks agones"), "which SDK it used is shown: {shown}");

    // Another map would need another process, as the game is started with it.
    let body =
        json!({"allocation_id": "first", "startup_params": {"map": "harbour", "custom_data": {"ticket": "4711"}}});
    agent.call("POST", "/v1/allocation", Some(&body)).unwrap().ok();
    let server = watch.until("the allocation's data", |server| {
        server["status"]["state"] == "Allocated" && server["object_meta"]["annotations"]["ticket"] == "4711"
    });
    let status = agent.wait_join_status("joinable");
    let annotations = &server["object_meta"]["annotations"];
    assert_eq!(annotations["gameside/allocation-id"], "first");
    assert_eq!(annotations["gameside/session-id"], status["session_id"]);
    assert!(annotations["agones.dev/last-allocated"].is_string(), "{annotations}");

    sdk.ready();
    let server = watch.until_state("Ready");
    assert_ne!(server["status"]["state"], "Allocated");
    let again = agent.wait("the next match may come", |status| {
        status["phase"] == "idle" && status["outbox"].as_array().is_some_and(Vec::is_empty)
    });
    assert_eq!(again["game"]["pid"], status["game"]["pid"], "the same process");
    agent.call("POST", "/v1/allocation", Some(&json!({"allocation_id": "second"}))).unwrap().ok();
    watch.until_state("Allocated");
}

#[test]
fn a_repeated_ready_of_a_game_that_has_not_seen_its_allocation_ends_nothing() {
    let world = World::new();
    let agent = world.agent("server", &own(""));
    let sdk = Sdk::of(&agent);
    sdk.ready();
    let status = agent.wait_join_status("joinable");
    sdk.ready();
    assert_eq!(sdk.state(), "Allocated");
    let after = agent.status();
    assert_eq!((&after["session_id"], &after["join_status"]), (&status["session_id"], &json!("joinable")));
}

#[test]
fn a_game_that_holds_itself_back_is_not_allocated_until_its_time_is_over() {
    let world = World::new();
    let agent = world.agent("server", &warm(""));
    let sdk = Sdk::of(&agent);
    sdk.ready();
    let mut watch = Lines::open(&sdk);
    sdk.post("/reserve", &json!({"seconds": "2"}));
    watch.until_state("Reserved");
    let refused = agent.call("POST", "/v1/allocation", Some(&json!({"allocation_id": "a"}))).unwrap();
    // Its two seconds may be over on a busy machine; then nothing was refused, and the rest holds
    // all the same.
    if sdk.state() == "Reserved" {
        assert_eq!((refused.status, &refused.body["error"]), (409, &json!("held_back")), "{}", refused.text);
    }
    watch.until("the end of the reservation", |server| server["status"]["state"] != "Reserved");

    sdk.post("/allocate", &json!({}));
    watch.until_state("Allocated");
    let shown = |state: &'static str| move |status: &Value| status["game"]["sdk_state"] == state;
    let status = agent.wait("what the game has set for itself", shown("Allocated"));
    assert_eq!(status["phase"], "idle", "no session is served");
    sdk.post("/reserve", &json!({"seconds": -1}));
    watch.until_state("Reserved");
    agent.wait("its reservation", shown("Reserved"));
    let text = world.told(["status", "server"]);
    assert!(text.contains("SDK state Reserved"), "{text}");
    let refused = agent.call("POST", "/v1/allocation", Some(&json!({"allocation_id": "b"}))).unwrap();
    assert_eq!(refused.status, 409, "for ever: {}", refused.text);
}

#[test]
fn what_the_game_says_of_itself_is_in_the_sessions_custom_data_and_in_status() {
    let world = World::new();
    let service = Service::start(&world);
    let agent = world.agent("server", &format!("{}{}", service.agent_config(), own(FIXTURE)));
    let sdk = Sdk::of(&agent);
    sdk.ready();
    agent.wait_join_status("joinable");
    let meta = sdk.get("/gameserver")["object_meta"].clone();
    let created = meta["creation_timestamp"].as_str().unwrap().to_owned();
    sdk.put("/metadata/label", &json!({"key": "created", "value": created}));
    sdk.put("/metadata/annotation", &json!({"key": "uid", "value": meta["uid"]}));
    let after = sdk.get("/gameserver")["object_meta"].clone();
    assert_eq!(after["labels"]["agones.dev/sdk-created"], created.as_str());
    assert_eq!(after["annotations"]["agones.dev/sdk-uid"], meta["uid"]);
    let version = |meta: &Value| meta["resource_version"].as_str().unwrap().parse::<i64>().unwrap();
    assert!(version(&after) > version(&meta));
    assert_eq!(sdk.post("/alpha/player/connect", &json!({"playerID": "ada"})), json!({"bool": true}));
    assert_eq!(sdk.post("/alpha/player/connect", &json!({"playerID": "ada"})), json!({"bool": false}));
    let status = agent.wait("a player", |status| status["players"] == 1);
    assert_eq!(status["custom_data"]["agones.label.created"], created.as_str());
    assert_eq!(status["custom_data"]["agones.annotation.uid"], meta["uid"]);
    let session = status["session_id"].as_str().unwrap();
    service.wait(session, "what the game says of itself", |session| {
        let data = &session["instance"]["custom_data"];
        data["agones.label.created"] == created.as_str() && data["agones.annotation.uid"] == meta["uid"]
    });
    sdk.put("/metadata/label", &json!({"key": "created", "value": "later"}));
    service.wait(session, "the later value", |session| {
        session["instance"]["custom_data"]["agones.label.created"] == "later"
    });
    assert_eq!(status["players_known"][0]["id"], "ada");
    assert_eq!(sdk.post("/alpha/player/disconnect", &json!({"playerID": "ada"})), json!({"bool": true}));
    agent.wait("nobody", |status| status["players"] == 0);
}

#[test]
fn nothing_waits_for_a_session_service_that_doesnt_answer() {
    let world = World::new();
    // It takes connections and never says a word.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let session = format!(
        "[session]\nurl = \"http://{}\"\n[credentials]\nclient_id = \"nobody\"\nclient_secret_file = {:?}\n",
        mute.local_addr().unwrap(),
        world.file("secret", "secret\n")
    );
    let agent = world.agent("server", &format!("{session}{}", warm(FIXTURE)));
    let sdk = Sdk::of(&agent);
    let mut watch = Lines::open(&sdk);
    assert_eq!(watch.next()["status"]["state"], "Scheduled");
    sdk.ready();
    watch.until_state("Ready");
    sdk.put("/metadata/label", &json!({"key": "a", "value": "b"}));
    sdk.ask("PATCH", "/v1beta1/counters/rooms", &json!({"countDiff": 1})).ok();
    let server = sdk.get("/gameserver");
    assert_eq!(
        (&server["status"]["state"], &server["status"]["counters"]["rooms"]["count"]),
        (&json!("Ready"), &json!("2"))
    );
    assert_ne!(agent.status()["backend"]["state"], "up");
}

#[test]
fn silence_makes_unhealthy_and_shutdown_ends_even_that_in_order() {
    let world = World::new();
    let agones = "[agones.health]\nperiod = \"1s\"\nfailure_threshold = 1\ninitial_delay = \"0s\"\n";
    let agent = world.agent("server", &own(agones));
    let sdk = Sdk::of(&agent);
    let mut watch = Lines::open(&sdk);
    sdk.ready();
    watch.until_state("Unhealthy");
    let status = agent.wait("ill health", |status| status["instance_health"] == "unhealthy");
    assert!(status["health_reasons"].to_string().contains("ping"), "{status}");
    // A ping makes it well, until it is silent again.
    sdk.post("/health", &json!({}));
    watch.until_state("Allocated");
    watch.until_state("Unhealthy");
    // From here on none is sent.
    let refused = sdk.ask("POST", "/allocate", &json!({}));
    assert_eq!((refused.status, &refused.body["code"]), (400, &json!(9)), "{}", refused.text);
    sdk.post("/shutdown", &json!({}));
    watch.until_state("Shutdown");
    let ended = agent.wait("the end of the match", |status| status["last_end"]["reason"].is_string());
    assert_eq!(ended["last_end"]["reason"], "the game asked to be ended");
    assert!(!agent.kinds().iter().any(|kind| kind == "restart"), "{:?}", agent.kinds());
}

#[test]
fn nothing_leads_back_from_shutdown() {
    let world = World::new();
    // A game that takes its time.
    let slow = own("").replace("trap 'exit 0' TERM", "trap '' TERM");
    let agent = world.agent("server", &slow);
    let sdk = Sdk::of(&agent);
    sdk.ready();
    agent.wait_join_status("joinable");
    sdk.post("/shutdown", &json!({}));
    for path in ["/ready", "/allocate", "/reserve"] {
        let refused = sdk.ask("POST", path, &json!({"seconds": "5"}));
        assert_eq!((refused.status, &refused.body["code"]), (400, &json!(9)), "{path}: {}", refused.text);
    }
    sdk.post("/shutdown", &json!({}));
    assert_eq!(sdk.state(), "Shutdown");
}

#[test]
fn shutdown_counts_also_when_the_process_fails_in_the_same_instant() {
    let world = World::new();
    let go = world.path().join("go");
    let script = format!(
        "trap 'exit 0' TERM; until [ -e {go} ]; do read -t 0.05 <> <(:); done; rm {go}; \
         exec 3<>/dev/tcp/127.0.0.1/$AGONES_SDK_HTTP_PORT; \
         printf 'POST /shutdown HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Length: 2\\r\\n\\r\\n{{}}' >&3; exit 7",
        go = go.display()
    );
    let command = serde_json::to_string(&["/bin/bash", "-c", &format!("{{% raw %}}{script}{{% endraw %}}")]).unwrap();
    let agent = world.agent("server", &own("").replace(GAME, &command));
    let sdk = Sdk::of(&agent);
    sdk.ready();
    let first = agent.wait_join_status("joinable");
    std::fs::write(&go, "").unwrap();
    let status = agent.wait("the end of the match", |status| status["last_end"]["reason"].is_string());
    let reason = status["last_end"]["reason"].as_str().unwrap();
    assert!(["the game asked to be ended", "the game ended, as it had said"].contains(&reason), "{reason}");
    assert_eq!(status["last_end"]["session_id"], first["session_id"]);
}

#[test]
fn the_example_of_a_game_moved_to_bare_metal_runs() {
    let world = World::new();
    let text = world.told(["init", "--for", "agones", "-"]);
    let program = "[\"/usr/local/bin/simple-game-server\", \"-port\", \"{{ports.default}}\"]";
    assert!(text.contains(program), "the line that a reader replaces: {text}");
    let agent = world.agent("example", &text.replace(program, GAME).replace("127.0.0.1:935", "127.0.0.1:4935"));
    let sdk = Sdk::of(&agent);
    sdk.ready();
    sdk.post("/health", &json!({}));
    agent.wait("readiness", |status| status["game"]["ready"] == true);
    world.told(["allocate", "example"]);
    agent.wait_join_status("joinable");
    sdk.ask("PATCH", "/v1beta1/counters/rooms", &json!({"countDiff": 1})).ok();
    let server = sdk.get("/gameserver");
    assert_eq!(server["status"]["counters"]["rooms"], json!({"count": "1", "capacity": "10"}));
    assert_eq!(server["status"]["ports"][0]["name"], "default");
    sdk.post("/shutdown", &json!({}));
    agent.wait("a fresh game", |status| status["phase"] == "idle");
}
