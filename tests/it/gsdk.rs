//! Games that speak PlayFab's GSDK, under a real agent. The game's process is a shell that waits;
//! its SDK is a client of each flavour's spellings and habits, which finds everything where the
//! flavour would: in the file that `GSDK_CONFIG_FILE` names.
//!
//! | rule | test |
//! |---|---|
//! | an operation and an interval of a second or more in every answer; only Continue, Active, Terminate | every beat: [`Sdk::beat`], [`Sdk::until`] |
//! | no session before the allocation, then always a GUID; `Active` only while it stands by | `a_game_of_each_flavour_is_allocated_plays_and_terminates`; `active_is_said_only_to_who_stands_by_…` beside the code |
//! | after Terminate it may be silent and end oddly | the same: it aborts; `a_game_that_says_that_it_ends_ends_in_good_order_however_it_exits` |
//! | Unhealthy for want of a callback counts for nothing unless asked for | the flavours C# and Go of the first; `health_counts_only_where_it_is_trusted` beside the code |
//! | no failed beat for Unity, whose silence is no failure | `a_beat_is_answered_across_a_crash_of_the_agent_…`; `unity_may_pause_and_others_may_not` beside the code |
//! | keys in any case, null and missing members, `Quarentined` | each flavour's body; `keys_come_in_any_case_and_members_may_be_null_or_absent` beside the code |
//! | every key of the file, no null map, `publicIpV4Adress` | `the_file_has_every_key_and_no_map_is_null` beside the code |

use crate::support::{
    agent::Agent,
    gsdk::{CPP, FLAVOURS, Flavour, Sdk, UNITY, environment},
    proc,
    service::Service,
    shell::Shell,
    world::World,
};
use serde_json::{Value, json};

const STOP: &str =
    "[game.stop.quit]\nby = 'sdk'\nwait = '60s'\n[guards]\nno_show_timeout = '1h'\nempty_timeout = '1h'\n";

fn hooked<'w>(world: &'w World, service: &Service<'_>, shell: &Shell, more: &str) -> Agent<'w> {
    let game = format!("[allocation]\nprovider = 'hook'\n[game]\nstart = 'at-boot'\ncommand = {:?}\n", shell.words());
    let startup = "[session.startup]\nmap = 'dm1'\nmisc_params = '?bots=2'\n";
    world.agent("server", &format!("{}{startup}{game}{STOP}{more}", service.agent_config()))
}

fn game_of(status: &Value) -> u32 {
    u32::try_from(status["game"]["pid"].as_u64().unwrap()).unwrap()
}

fn allocate(agent: &Agent<'_>, player: &str) -> Value {
    let wish = json!({"allocation_id": uuid::Uuid::new_v4().to_string(), "players": [player]});
    agent.call("POST", "/v1/allocation", Some(&wish)).unwrap().ok()
}

/// From the start to the end, warm, allocated, played, stopped; the end is an abort, as the C++ flavour's.
fn whole_life(flavour: &Flavour) {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell::new(&world, "end");
    let mut agent = hooked(&world, &service, &shell, "");
    let up = agent.wait("the game's process", |status| status["game"]["pid"].is_u64());
    let sdk = Sdk::start(flavour, game_of(&up));
    assert_eq!(sdk.config["gamePorts"]["game"], up["ports"]["game"].to_string());
    let first = sdk.beat("Initializing", &[]);
    assert_eq!((&first["operation"], &first["sessionConfig"]), (&json!("Continue"), &Value::Null));
    sdk.beat("StandingBy", &[]);
    let warm = agent.wait("readiness", |status| status["game"]["ready"] == true);
    assert_eq!(warm["game"]["speaks"], json!(["gsdk"]), "{}", flavour.name);
    let sdk_name = flavour.info.map(|name| format!("PlayFab GSDK, {name} 0.7.20"));
    assert_eq!(warm["game"]["sdk"], json!(sdk_name));
    assert!(world.told(["status", "server"]).contains("gsdk"));

    let player = uuid::Uuid::new_v4().to_string();
    let allocated = allocate(&agent, &player);
    let active = sdk.until("Active", "StandingBy", &[]);
    let session = &active["sessionConfig"];
    assert_eq!(session["sessionId"], allocated["session_id"]);
    assert_eq!(session["sessionCookie"], "?bots=2");
    assert_eq!(session["initialPlayers"], json!([player]));
    assert_eq!(session["metadata"]["map"], "dm1");
    assert_eq!(sdk.beat("Active", &[])["operation"], "Continue", "a repeat would throw in some flavours");
    agent.wait_join_status("joinable");

    sdk.beat("Active", &[&player]);
    let played = agent.wait("the player", |status| status["players"] == 1);
    assert_eq!(played["players_known"][0]["id"], player);
    assert_eq!(played["instance_health"], "healthy", "{}: its own word isn't trusted unasked", flavour.name);

    let said = std::thread::scope(|scope| {
        let stopping = scope.spawn(|| agent.stop());
        sdk.until("Terminate", "Active", &[&player]);
        // From here on it is silent.
        shell.ends("kill -ABRT $$");
        stopping.join().unwrap()
    });
    service.wait_closed(allocated["session_id"].as_str().unwrap());
    let end: Value = serde_json::from_slice(&world.ask(["status", "server", "--json"]).stdout).unwrap();
    assert_eq!(end["last_end"]["exit"]["status"]["signal"], 6, "{said}");
    assert_eq!(end["last_end"]["reported"], true);
    let kinds = world.told(["events", "server", "-n", "1000", "--json"]);
    assert!(!kinds.contains("\"restart\""), "no crash: {kinds}");
}

#[test]
fn a_game_of_each_flavour_is_allocated_plays_and_terminates() {
    std::thread::scope(|scope| {
        for flavour in &FLAVOURS {
            scope.spawn(|| whole_life(flavour));
        }
    });
}

/// The status as the game's process came up, and its SDK, which has said that it stands by.
fn standing_by<'f>(agent: &Agent<'_>, flavour: &'f Flavour) -> (Value, Sdk<'f>) {
    let up = agent.wait("the game's process", |status| status["game"]["pid"].is_u64());
    let sdk = Sdk::start(flavour, game_of(&up));
    sdk.beat("StandingBy", &[]);
    agent.wait("readiness", |status| status["game"]["ready"] == true);
    (up, sdk)
}

#[test]
fn a_beat_is_answered_across_a_crash_of_the_agent_and_the_session_is_still_there() {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell::new(&world, "end");
    let mut agent = hooked(&world, &service, &shell, "");
    let (_, sdk) = standing_by(&agent, &UNITY);
    let allocated = allocate(&agent, "3a5c1a9e-7b0e-4a3c-8a55-90c1b8d1c001");
    agent.kill();
    // Unity gives up for half a minute after one failure, so there must be none.
    let answered = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| sdk.send("StandingBy", &[]));
        agent.start();
        waiting.join().unwrap().unwrap()
    });
    assert_eq!(answered.status, 200, "{}", answered.text);
    let active =
        if answered.body["operation"] == "Active" { answered.body } else { sdk.until("Active", "StandingBy", &[]) };
    assert_eq!(active["sessionConfig"]["sessionId"], allocated["session_id"], "told again by the next agent");
    sdk.beat("Active", &[]);
    agent.wait_join_status("joinable");
    shell.ends("exit 0");
    service.wait_closed(allocated["session_id"].as_str().unwrap());
}

#[test]
fn a_game_that_stands_by_gets_an_allocation_for_another_map() {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell::new(&world, "end");
    let agent = hooked(&world, &service, &shell, "");
    let (up, sdk) = standing_by(&agent, &CPP);
    let params = json!({"map": "other", "mode": "duel", "misc_params": "a cookie", "custom_data": {"key": "value"}});
    let wish = json!({"allocation_id": uuid::Uuid::new_v4().to_string(), "startup_params": params});
    agent.call("POST", "/v1/allocation", Some(&wish)).unwrap().ok();
    let active = sdk.until("Active", "StandingBy", &[]);
    let session = &active["sessionConfig"];
    assert_eq!(session["sessionCookie"], "a cookie");
    assert_eq!([&session["metadata"]["map"], &session["metadata"]["key"]], ["other", "value"]);
    let status = agent.wait_join_status("joinable");
    assert_eq!(game_of(&status), game_of(&up), "the same process");
    assert_eq!((&status["map"], &status["mode"]), (&json!("other"), &json!("duel")));
    shell.ends("exit 0");
}

#[test]
fn a_game_that_says_that_it_ends_ends_in_good_order_however_it_exits() {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell::new(&world, "end");
    let agent = hooked(&world, &service, &shell, "[game.restart]\nbudget = 1\n");
    let (up, sdk) = standing_by(&agent, &CPP);
    let allocated = allocate(&agent, "3a5c1a9e-7b0e-4a3c-8a55-90c1b8d1c002");
    sdk.until("Active", "StandingBy", &[]);
    sdk.beat("Active", &[]);
    agent.wait_join_status("joinable");
    sdk.beat("Terminating", &[]);
    agent.wait_join_status("unjoinable");
    shell.ends("exit 134");
    service.wait_closed(allocated["session_id"].as_str().unwrap());
    let next = agent.wait("another process", |status| {
        status["game"]["pid"].as_u64().is_some_and(|pid| pid != u64::from(game_of(&up)))
    });
    assert_eq!(next["last_end"]["reason"], "the game ended, as it had said");
    // The old run's name is worth nothing any more.
    let late = sdk.send("StandingBy", &[]).unwrap();
    assert_eq!((late.status, &late.body["error"]), (404, &json!("unknown_session_host")));
    assert!(proc::alive(game_of(&next)));
}

#[test]
fn a_drain_is_told_as_maintenance_while_players_finish() {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell::new(&world, "end");
    let agent = hooked(&world, &service, &shell, "");
    let (up, sdk) = standing_by(&agent, &CPP);
    let player = "3a5c1a9e-7b0e-4a3c-8a55-90c1b8d1c003";
    allocate(&agent, player);
    sdk.until("Active", "StandingBy", &[]);
    sdk.beat("Active", &[player]);
    agent.wait("the player", |status| status["players"] == 1 && status["join_status"] == "joinable");
    agent.call("POST", "/v1/drain", Some(&json!({"then": "recycle"}))).unwrap().ok();
    let draining = agent.wait_phase("draining");
    let told = sdk.beat("Active", &[player]);
    assert_eq!(told["operation"], "Continue");
    assert_eq!(told["nextScheduledMaintenanceUtc"], draining["deadline"]);
    assert_eq!(told["maintenanceSchedule"]["Events"][0]["notBefore"], draining["deadline"]);
    // The last player goes, and with it the reason to wait.
    sdk.until("Terminate", "Active", &[]);
    shell.ends("exit 0");
    agent.wait("another process", |status| {
        status["game"]["pid"].as_u64().is_some_and(|pid| pid != u64::from(game_of(&up)))
    });
}

#[test]
fn switched_off_nothing_of_it_is_there_and_a_port_in_use_is_named_or_passed_over() {
    let world = World::new();
    let service = Service::start(&world);
    let shell = Shell::new(&world, "end");
    let off = hooked(&world, &service, &shell, "[gsdk]\nenabled = false\n");
    let up = off.wait("the game's process", |status| status["game"]["pid"].is_u64());
    assert_eq!(environment(game_of(&up), "GSDK_CONFIG_FILE"), None);
    assert!(!off.dir().join("game/gsdk.json").exists());

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let listen = format!("[session.startup]\nmap = 'dm1'\n[gsdk]\nlisten = '127.0.0.1:{port}'\n");
    let mut refused = world.agent("refused", &format!("{listen}if_taken = 'fail'\n"));
    assert!(!refused.ended().success());
    let log = std::fs::read_to_string(world.path().join("logs/refused.log")).unwrap();
    assert!(log.contains(&format!("127.0.0.1:{port}")) && log.contains("gsdk"), "{log}");

    let moved = world.agent("moved", &listen);
    let up = moved.wait("the game's process", |status| status["game"]["pid"].is_u64());
    let endpoint = environment(game_of(&up), "HEARTBEAT_ENDPOINT").unwrap();
    assert_ne!(endpoint, format!("127.0.0.1:{port}"));
    assert!(std::net::TcpStream::connect(endpoint).is_ok());
}
