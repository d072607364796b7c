//! Across the death of the agent; ports that somebody else has; the off switch.

use super::*;
use crate::support::proc;
use std::net::TcpListener;

#[test]
fn what_the_sdk_holds_survives_the_agent_and_a_read_meanwhile_is_answered() {
    let world = World::new();
    let mut agent = world.agent("server", &warm(FIXTURE));
    let sdk = Sdk::of(&agent);
    sdk.ready();
    sdk.put("/metadata/label", &json!({"key": "mode", "value": "duel"}));
    sdk.put("/metadata/annotation", &json!({"key": "note", "value": "kept"}));
    sdk.ask("PATCH", "/v1beta1/counters/rooms", &json!({"countDiff": 4})).ok();
    sdk.post("/v1beta1/lists/players:removeValue", &json!({"value": "test1"}));
    sdk.post("/alpha/player/connect", &json!({"playerID": "ada"}));
    sdk.post("/reserve", &json!({"seconds": 4}));
    let before = sdk.get("/gameserver");
    let mut watch = Lines::open(&sdk);
    watch.next();

    agent.kill();
    // Asked while no agent is there.
    let meanwhile = sdk.get("/gameserver");
    agent.start();
    sdk.put("/metadata/annotation", &json!({"key": "note", "value": "kept"}));
    let first = sdk.get("/gameserver");
    for server in [&meanwhile, &first] {
        for part in ["labels", "annotations", "uid", "creation_timestamp"] {
            assert_eq!(server["object_meta"][part], before["object_meta"][part], "{part}");
        }
        for part in ["counters", "lists", "players"] {
            assert_eq!(server["status"][part], before["status"][part], "{part}");
        }
        let version =
            |server: &Value| server["object_meta"]["resource_version"].as_str().unwrap().parse::<i64>().unwrap();
        assert!(version(server) >= version(&before));
    }
    // The deadline of the reservation is the one it was.
    if first["status"]["state"] == "Reserved" {
        watch.until_state("Ready");
    }
    let status = agent.wait("the player", |status| status["players"] == 1);
    assert_eq!(status["custom_data"]["agones.label.mode"], "duel");
    assert_eq!(sdk.post("/alpha/player/connect", &json!({"playerID": "ada"})), json!({"bool": false}));
}

#[test]
fn a_port_that_is_taken_moves_or_is_a_clear_error_as_configured() {
    for wire in ["grpc", "http"] {
        let world = World::new();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let config = |if_taken: &str| {
            let there = format!("{wire} = \"{address}\"\nif_taken = \"{if_taken}\"");
            own("").replace(&format!("{wire} = \"127.0.0.1:0\""), &there)
        };
        let mut moved = world.agent("moved", &config("move"));
        let sdk = Sdk::of(&moved);
        assert_ne!(sdk.port(wire), address.port());
        let first = sdk.port(wire);
        sdk.ready();
        moved.kill();
        drop(taken);
        moved.start();
        moved.wait("the next agent", |status| status["keeper"]["connected"] == true);
        assert_eq!(sdk.state(), "Allocated");
        let held = std::net::TcpStream::connect(("127.0.0.1", first));
        assert!(held.is_ok(), "{wire} stays where it has moved to, also when the port is free");
        moved.stop();

        let _taken = TcpListener::bind(address).unwrap();
        let mut fails = world.agent("fails", &config("fail"));
        assert!(!fails.ended().success());
        let log = std::fs::read_to_string(world.path().join("logs/fails.log")).unwrap();
        assert!(log.contains(&address.to_string()) && log.contains(&format!("agones-{wire}")), "{log}");
    }
}

#[test]
fn it_can_be_off_and_games_speak_several_at_once() {
    let world = World::new();
    let agent = world.agent("off", &own("enabled = false\n"));
    let status = agent.wait("a game", |status| status["game"]["pid"].is_u64());
    let env = std::fs::read_to_string(format!("/proc/{}/environ", status["game"]["pid"])).unwrap();
    assert!(!env.contains("AGONES") && env.contains("GAMESIDE_API="), "{env}");

    let agent = world.agent("both", &own(""));
    let sdk = Sdk::of(&agent);
    sdk.ready();
    let status = agent.wait_join_status("joinable");
    let env = std::fs::read_to_string(format!("/proc/{}/environ", status["game"]["pid"])).unwrap();
    let value = |name: &str| env.split('\0').find_map(|entry| entry.strip_prefix(name)?.strip_prefix('=')).unwrap();
    let bearer = format!("Bearer {}", value("GAMESIDE_TOKEN"));
    let url = format!("{}/v1/game/joinable", value("GAMESIDE_API"));
    http::exchange("POST", &url, &[("authorization", &bearer)], Some(&json!({"joinable": false}))).unwrap().ok();
    let status = agent.wait_join_status("unjoinable");
    assert_eq!(status["game"]["speaks"], json!(["native", "agones"]));
}

#[test]
fn a_thousand_uuids_outlive_agent_and_gateway_and_are_written_once() {
    let world = World::new();
    let lists = "[agones.lists.members]\ncapacity = 1000\n[agones.counters.rooms]\ncapacity = 10\n";
    let mut agent = world.agent("server", &warm(lists));
    let sdk = Sdk::of(&agent);
    sdk.ready();
    let mut uuids: Vec<_> = (0..1001).map(|n: u128| uuid::Uuid::from_u128((n << 64) + n).to_string()).collect();
    let last = uuids.pop().unwrap();
    let members = "/v1beta1/lists/members";
    assert_eq!(sdk.ask("PATCH", members, &json!({"values": uuids})).ok()["values"], json!(uuids));
    sdk.post(&format!("{members}:removeValue"), &json!({"value": uuids.remove(500)}));
    sdk.post(&format!("{members}:addValue"), &json!({"value": last}));
    uuids.push(last);

    let dir = world.state_root().join("server");
    let files = || ["journal", "journal.bulk"].map(|name| std::fs::read(dir.join(name)).unwrap());
    let [journal, bulk] = files();
    for round in 1..=5 {
        sdk.ask("PATCH", "/v1beta1/counters/rooms", &json!({"countDiff": 1})).ok();
        sdk.post("/reserve", &json!({"seconds": 3600 + round}));
        sdk.ready();
    }
    let [journal_now, bulk_now] = files();
    assert!(journal != journal_now && bulk == bulk_now, "words that don't change the list don't write it again");

    let status = agent.wait("a gateway", |status| status["gateway"]["connected"] == true);
    let game = status["game"]["pid"].clone();
    agent.kill();
    agent.start();
    assert_eq!(sdk.get(members)["values"], json!(uuids), "the same gateway has it");
    let gone = |agent: &mut Agent<'_>| {
        let status = agent.wait("a gateway", |status| status["gateway"]["connected"] == true);
        agent.kill();
        proc::signal(u32::try_from(status["gateway"]["pid"].as_u64().unwrap()).unwrap(), 9);
    };
    gone(&mut agent);
    agent.start();
    assert_eq!(sdk.get(members)["values"], json!(uuids), "the next one has it from the journal");
    assert_eq!(sdk.get("/v1beta1/counters/rooms")["count"], "5");

    gone(&mut agent);
    let mut damaged = std::fs::read(dir.join("journal.bulk")).unwrap();
    damaged.iter_mut().skip(4096 + 100).for_each(|byte| *byte = !*byte);
    std::fs::write(dir.join("journal.bulk"), damaged).unwrap();
    agent.start();
    sdk.ready();
    assert_eq!(sdk.ask("PATCH", members, &json!({"values": uuids})).ok()["values"], json!(uuids));
    let status = agent.wait("a gateway", |status| status["gateway"]["connected"] == true);
    assert_eq!(status["game"]["pid"], game, "the game never noticed");
}
