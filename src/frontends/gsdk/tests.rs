//! The rules that keep each flavour alive, one by one.

use super::{
    heartbeat::{Health, Players},
    launch::{FILE, GsdkLaunch},
    response::Operation,
    *,
};
use crate::{
    frontends::{
        LaunchExtension as _,
        testing::{TestDriver, status as playing},
        tokens::host_id,
    },
    model::{
        allocation::Allocation,
        game::{GameNotice, IfTaken},
        process::LaunchSpec,
        session::{InstanceHealth, StartupParams},
        time::Timestamp,
    },
};
use serde_json::{Value, json};
use std::path::PathBuf;

const RUN: RunNumber = RunNumber(3);

fn config() -> GsdkConfig {
    GsdkConfig {
        if_taken: IfTaken::Fail,
        title_id: "F00D".to_owned(),
        metadata: BTreeMap::from([("flavour".to_owned(), "vanilla".to_owned())]),
        ..GsdkConfig::default()
    }
}

fn beat(text: &str) -> Heartbeat {
    Heartbeat::parse(text.as_bytes()).unwrap()
}

fn allocated(session: &str) -> GameNotice {
    let allocation: Allocation = serde_json::from_value(json!({
        "allocation_id": "a1", "session_id": session, "players": ["6c4d3b7e-3d5b-4f6c-9a53-0f6f2f2f0c11"],
    }))
    .unwrap();
    let startup_params: StartupParams = serde_json::from_value(json!({
        "map": "dm1", "misc_params": "?bots=2", "custom_data": {"league": "gold"},
    }))
    .unwrap();
    let instance_id = "i1".parse().unwrap();
    GameNotice::Allocated {
        allocation,
        session_id: session.parse().unwrap(),
        instance_id,
        startup_params,
        join_token: None,
    }
}

fn answer(state: GameState, notices: &[GameNotice]) -> HeartbeatResponse {
    HeartbeatResponse::to(state, notices.iter(), Terminate::AtStop, 7)
}

fn hear(history: &mut History, text: &str, config: &GsdkConfig) -> Vec<GameEvent> {
    let changes = history.changes(RUN, &beat(text), false, config);
    let events = changes.events();
    assert_eq!(events.is_empty(), changes.is_empty(), "{text}");
    history.commit(changes);
    events
}

#[test]
fn keys_come_in_any_case_and_members_may_be_null_or_absent() {
    let players = Players::Named(vec!["ann".to_owned()]);
    let rows = [
        r#"{"CurrentGameState":"Active","CurrentGameHealth":"Healthy","CurrentPlayers":[{"PlayerId":"ann"}]}"#,
        r#"{"currentGameState":"active","currentGameHealth":"healthy","currentPlayers":[{"playerId":"ann"}]}"#,
        r#"{"CURRENTGAMESTATE":"ACTIVE","currentgamehealth":"HEALTHY","CurrentPlayers":[{"PLAYERID":"ann","x":1}]}"#,
    ];
    for row in rows {
        let expected = Heartbeat { state: GameState::Active, health: Some(Health::Healthy), players: players.clone() };
        assert_eq!(beat(row), expected, "{row}");
    }
    for (row, players) in [
        (r#"{"CurrentGameState":"StandingBy","CurrentPlayers":null}"#, Players::Null),
        (r#"{"CurrentGameState":"StandingBy"}"#, Players::Unsaid),
        (r#"{"CurrentGameState":"StandingBy","CurrentPlayers":3}"#, Players::Unsaid),
    ] {
        assert_eq!(beat(row), Heartbeat { state: GameState::StandingBy, health: None, players }, "{row}");
    }
    assert_eq!(beat(r#"{"CurrentGameState":"Quarentined"}"#).state, GameState::Quarantined);
    assert_eq!(beat(r#"{"CurrentGameState":"Dreaming"}"#).state, GameState::Invalid);
    assert!(Heartbeat::parse(b"[]").is_err() && Heartbeat::parse(b"{").is_err());
}

#[test]
fn active_is_said_only_to_who_stands_by_and_the_session_only_once_there_is_one() {
    let bare = serde_json::to_value(answer(GameState::StandingBy, &[])).unwrap();
    assert_eq!(bare, json!({"operation": "Continue", "nextHeartbeatIntervalMs": 1000}));

    let session = "11111111-2222-3333-4444-555555555555";
    let given = serde_json::to_value(answer(GameState::StandingBy, &[allocated(session)])).unwrap();
    assert_eq!(given["operation"], "Active");
    assert_eq!(given["sessionConfig"]["sessionId"], session);
    assert_eq!(given["sessionConfig"]["sessionCookie"], "?bots=2");
    assert_eq!(given["sessionConfig"]["initialPlayers"], json!(["6c4d3b7e-3d5b-4f6c-9a53-0f6f2f2f0c11"]));
    let metadata = &given["sessionConfig"]["metadata"];
    assert_eq!(
        (&metadata["map"], &metadata["league"], &metadata["allocation_id"]),
        (&json!("dm1"), &json!("gold"), &json!("a1"))
    );

    for state in [GameState::Initializing, GameState::Active, GameState::Terminating, GameState::Invalid] {
        let answer = answer(state, &[allocated(session)]);
        assert_eq!(answer.operation, Operation::Continue, "{state:?}");
        assert!(answer.session_config.is_some());
    }
    let odd = answer(GameState::StandingBy, &[allocated("not a guid")]).session_config.unwrap();
    assert_eq!(
        odd.session_id,
        answer(GameState::Active, &[allocated("not a guid")]).session_config.unwrap().session_id
    );
}

#[test]
fn a_drain_is_maintenance_and_a_stop_terminates() {
    let drain = GameNotice::Drain { reason: "upgrade".to_owned(), deadline: Timestamp::EPOCH };
    let told = [allocated("s"), drain.clone()];
    let draining = serde_json::to_value(answer(GameState::Active, &told)).unwrap();
    assert_eq!(draining["operation"], "Continue");
    assert_eq!(draining["nextScheduledMaintenanceUtc"], "1970-01-01T00:00:00.000Z");
    let schedule = &draining["maintenanceSchedule"];
    assert_eq!(schedule["documentIncarnation"], "7");
    assert_eq!(schedule["Events"][0]["notBefore"], "1970-01-01T00:00:00.000Z");
    assert_eq!(schedule["Events"][0]["Resources"], json!([]));
    assert_eq!(schedule["Events"][0]["durationInSeconds"], -1);
    assert_eq!(
        HeartbeatResponse::to(GameState::Active, told.iter(), Terminate::AtDrain, 7).operation,
        Operation::Terminate
    );
    let stop = [drain, GameNotice::Stop { within: Duration::from_secs(5) }];
    assert_eq!(answer(GameState::StandingBy, &stop).operation, Operation::Terminate);
}

#[test]
fn only_what_changed_is_passed_on() {
    let (mut history, config) = (History::default(), config());
    assert_eq!(hear(&mut history, r#"{"CurrentGameState":"Initializing","CurrentPlayers":[]}"#, &config), []);
    assert_eq!(
        hear(&mut history, r#"{"CurrentGameState":"StandingBy","CurrentPlayers":[]}"#, &config),
        [GameEvent::Ready]
    );
    assert_eq!(hear(&mut history, r#"{"CurrentGameState":"StandingBy","CurrentPlayers":[]}"#, &config), []);
    let ann = r#"{"CurrentGameState":"Active","CurrentPlayers":[{"PlayerId":"ann"}]}"#;
    assert!(matches!(&hear(&mut history, ann, &config)[..], [GameEvent::Players(list)] if list[0].id == "ann"));
    assert_eq!(hear(&mut history, ann, &config), []);
    assert_eq!(hear(&mut history, r#"{"CurrentGameState":"Active"}"#, &config), [], "nothing is said of players");
    let none = r#"{"CurrentGameState":"Active","CurrentPlayers":[]}"#;
    assert_eq!(hear(&mut history, none, &config), [GameEvent::Players(Vec::new())], "somebody was named before");
    assert_eq!(hear(&mut history, r#"{"CurrentGameState":"Terminating"}"#, &config), [GameEvent::Shutdown]);
    assert_eq!(hear(&mut history, r#"{"CurrentGameState":"Terminated"}"#, &config), []);
}

#[test]
fn a_beat_that_was_not_passed_on_is_news_again() {
    let mut history = History::default();
    let standing = beat(r#"{"CurrentGameState":"StandingBy"}"#);
    for _ in 0..2 {
        assert_eq!(history.changes(RUN, &standing, false, &config()).events(), [GameEvent::Ready]);
    }
}

#[test]
fn an_empty_list_says_nothing_before_anybody_was_named_unless_it_is_wanted() {
    let none = beat(r#"{"CurrentGameState":"Active","CurrentPlayers":[]}"#);
    let lists = |players_known, config: &GsdkConfig| {
        let events = History::default().changes(RUN, &none, players_known, config).events();
        events.iter().filter(|event| matches!(event, GameEvent::Players(_))).count()
    };
    assert_eq!(lists(false, &config()), 0);
    assert_eq!(lists(true, &config()), 1, "an agent that was restarted knows of players");
    assert_eq!(lists(false, &GsdkConfig { empty_means_nobody: true, ..config() }), 1);
}

#[test]
fn no_list_after_somebody_was_named_means_that_nobody_is_left() {
    let (mut history, config) = (History::default(), config());
    let null = r#"{"CurrentGameState":"Active","CurrentPlayers":null}"#;
    assert_eq!(hear(&mut history, null, &config), [GameEvent::Ready], "nobody was named");
    let ann = r#"{"CurrentGameState":"Active","CurrentPlayers":[{"PlayerId":"ann"}]}"#;
    hear(&mut history, ann, &config);
    assert_eq!(hear(&mut history, null, &config), [GameEvent::Players(Vec::new())]);
    assert_eq!(hear(&mut history, null, &config), []);
}

#[test]
fn health_counts_only_where_it_is_trusted() {
    let ill = r#"{"CurrentGameState":"Active","CurrentGameHealth":"Unhealthy"}"#;
    assert_eq!(hear(&mut History::default(), ill, &config()), [GameEvent::Ready]);
    let trusting = GsdkConfig { trust_health: true, ..config() };
    let said = hear(&mut History::default(), ill, &trusting);
    assert_eq!(said[1], GameEvent::Health { health: InstanceHealth::Unhealthy, reason: None });
}

#[test]
fn unity_may_pause_and_others_may_not() {
    let mut history = History::default();
    let counts = |history: &History, by_route| history.silence(RUN, by_route) == Silence::Counts;
    assert!(counts(&history, Route::SessionHost.silence("")));
    assert!(!counts(&history, Route::Heartbeats.silence("UnityPlayer/2021.3")));
    assert!(counts(&history, Route::Heartbeats.silence("Go-http-client/1.1")));
    let info = |flavour: &str| SdkInfo { flavour: Some(flavour.to_owned()), version: Some("1.0".to_owned()) };
    assert_eq!(history.sdk_named(RUN, info("Unity")), Some(GameEvent::Sdk("PlayFab GSDK, Unity 1.0".to_owned())));
    assert!(!counts(&history, Silence::Counts));
    history.sdk_named(RUN, info("Godot"));
    assert!(counts(&history, Silence::MayBeAPause));
    history.changes(RunNumber(4), &beat("{}"), false, &config());
    assert!(!counts(&history, Silence::MayBeAPause), "another run may be another flavour");
}

fn api() -> (Api, TestDriver) {
    let driver = TestDriver::new(playing());
    let api = Api {
        config: Arc::new(config()),
        shared: driver.shared.clone(),
        history: Arc::default(),
        responses: Arc::default(),
    };
    (api, driver)
}

#[test]
fn a_heartbeat_that_changes_nothing_is_counted_and_answered_with_the_same_bytes() {
    let (api, mut driver) = api();
    let standing = beat(r#"{"CurrentGameState":"StandingBy","CurrentPlayers":[]}"#);
    api.hand_on(RUN, &standing, Silence::Counts);
    let first = driver.try_receive().unwrap();
    assert_eq!((first.run, first.source, first.event), (RUN, EventSource::Gsdk, GameEvent::Ready));
    // Players are known, so an empty list says that they have gone.
    assert_eq!(driver.try_receive().unwrap().event, GameEvent::Players(Vec::new()));
    let answer = api.response(RUN, GameState::StandingBy);
    for _ in 0..100 {
        api.hand_on(RUN, &standing, Silence::Counts);
        assert_eq!(api.response(RUN, GameState::StandingBy).as_ptr(), answer.as_ptr());
    }
    assert!(driver.try_receive().is_none());
    let counted = driver.shared.heartbeats.take(clock::mono());
    assert_eq!(counted.iter().map(|beat| (beat.source, beat.count)).collect::<Vec<_>>(), [(EventSource::Gsdk, 101)]);

    driver.shared.events.publish(RUN, allocated("s"));
    let active: Value = serde_json::from_slice(&api.response(RUN, GameState::StandingBy)).unwrap();
    assert_eq!(active["operation"], "Active");
    let active: Value = serde_json::from_slice(&api.response(RUN, GameState::Active)).unwrap();
    assert_eq!(
        (&active["operation"], &active["sessionConfig"]["metadata"]["map"]),
        (&json!("Continue"), &json!("dm1"))
    );
    let next: Value = serde_json::from_slice(&api.response(RunNumber(4), GameState::StandingBy)).unwrap();
    assert_eq!(next["operation"], "Continue", "notices are for their own run");
}

#[test]
fn what_finds_no_place_is_said_again_by_the_next_heartbeat() {
    let (api, mut driver) = api();
    driver.shared.queue.set_agent(false);
    while driver.shared.queue.post(message(RUN, GameEvent::Hello)) {}
    let standing = beat(r#"{"CurrentGameState":"StandingBy"}"#);
    api.hand_on(RUN, &standing, Silence::Counts);
    driver.shared.queue.set_agent(true);
    while driver.try_receive().is_some_and(|message| message.event == GameEvent::Hello) {}
    assert!(driver.try_receive().is_none());
    api.hand_on(RUN, &standing, Silence::Counts);
    assert_eq!(driver.try_receive().unwrap().event, GameEvent::Ready);
}

#[test]
fn the_file_has_every_key_and_no_map_is_null() {
    let context = LaunchContext {
        name: "arena".to_owned(),
        private: Some("10.0.0.7".to_owned()),
        hostname: "metal-17".to_owned(),
        ports: [("game".to_owned(), 7777)].into(),
        game_dir: PathBuf::from("/state/game"),
        ..LaunchContext::default()
    };
    let mut launch = GsdkLaunch::new("127.0.0.1:56001".parse().unwrap(), &config(), &context);
    let mut spec = LaunchSpec {
        argv: vec!["game".to_owned()],
        env: BTreeMap::from([("PF_REGION".to_owned(), "mine".to_owned())]),
        dir: None,
        file: None,
        files: Vec::new(),
        forking: false,
    };
    launch.apply(&"token".into(), &mut spec);
    assert_eq!(spec.env["GSDK_CONFIG_FILE"], format!("/state/game/{FILE}"));
    assert_eq!(spec.env["PF_REGION"], "mine", "what is configured wins");
    assert_eq!(spec.env["SESSION_HOST_ID"], host_id(&"token".into()).to_string());
    let config: Value = serde_json::from_str(&spec.files[0].text).unwrap();
    assert_eq!(config["sessionHostId"], spec.env["SESSION_HOST_ID"].as_str());
    assert_eq!(config["heartbeatEndpoint"], "127.0.0.1:56001");
    assert_eq!(config["gamePorts"], json!({"game": "7777"}));
    launch.set_ports(&[("game".to_owned(), 7778)].into());
    let mut moved = LaunchSpec { files: Vec::new(), ..spec.clone() };
    launch.apply(&"token".into(), &mut moved);
    let moved: Value = serde_json::from_str(&moved.files[0].text).unwrap();
    assert_eq!(moved["gamePorts"], json!({"game": "7778"}));
    let listening = &moved["gameServerConnectionInfo"]["gamePortsConfiguration"];
    assert_eq!(listening[0]["serverListeningPort"], 7778);
    assert_eq!(config["buildMetadata"], json!({"flavour": "vanilla"}));
    assert_eq!(config["gameCertificates"], json!({}));
    let connection = &config["gameServerConnectionInfo"];
    assert_eq!(
        (&connection["publicIpV4Adress"], &connection["publicIpV4Address"]),
        (&json!("10.0.0.7"), &json!("10.0.0.7"))
    );
    let port = json!({"name": "game", "serverListeningPort": 7777, "clientConnectionPort": 7777});
    assert_eq!(connection["gamePortsConfiguration"], json!([port]));
    assert_eq!(config["serverInstanceNumber"], json!(0));
    for key in ["vmId", "logFolder", "sharedContentFolder", "certificateFolder", "buildId", "region"] {
        assert!(config[key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
}

#[test]
fn ports_are_listed_in_the_order_of_the_configuration() {
    let ports = [("query".to_owned(), 2), ("game".to_owned(), 1)];
    let context =
        LaunchContext { ports: ports.into(), game_dir: PathBuf::from("/state/game"), ..LaunchContext::default() };
    let launch = GsdkLaunch::new("127.0.0.1:56001".parse().unwrap(), &config(), &context);
    let mut spec = LaunchSpec {
        argv: vec!["game".to_owned()],
        env: BTreeMap::new(),
        dir: None,
        file: None,
        files: Vec::new(),
        forking: false,
    };
    launch.apply(&"token".into(), &mut spec);
    let config: Value = serde_json::from_str(&spec.files[0].text).unwrap();
    let listed = config["gameServerConnectionInfo"]["gamePortsConfiguration"].as_array().unwrap();
    assert_eq!(listed.iter().map(|port| port["name"].as_str().unwrap()).collect::<Vec<_>>(), ["query", "game"]);
}
