//! A game that behaves badly: each way ends in the right report and the right decision.

use super::*;
use crate::support::{proc, world::PATIENCE};

/// Restarts come at once, so that a story isn't waiting.
const QUICK: &str = "[game.restart]\ndelay = \"50ms\"\nmax_delay = \"100ms\"\n";

#[test]
fn a_crash_is_reported_and_the_same_match_goes_on_in_a_new_process() {
    let world = World::new();
    let service = Service::start(&world);
    let agent = hooked(&world, &service, &format!("{PATIENT}{QUICK}"));
    let session = allocate(&agent, "");
    let before = agent.wait_join_status("joinable");
    proc::signal(pid(&before, "game"), 6);
    let after =
        agent.wait("a restart", |status| status["game"]["restarts"] == 1 && status["join_status"] == "joinable");
    assert_ne!(pid(&after, "game"), pid(&before, "game"));
    assert_eq!((&after["session_id"], &after["instance_id"]), (&before["session_id"], &before["instance_id"]));
    for who in ["id", "pid"] {
        assert_eq!(after["keeper"][who], before["keeper"][who]);
    }
    let shown = service.wait_join_status(&session, "joinable");
    assert_eq!(shown["instance"]["instance_id"], before["instance_id"]);
    let kinds = agent.kinds();
    for kind in ["exit", "restart"] {
        assert!(kinds.iter().any(|found| found == kind), "{kinds:?}");
    }
    let exit = agent.timeline().into_iter().find(|entry| entry["kind"] == "exit").unwrap();
    assert!(exit["text"].as_str().unwrap().contains("signal 6"), "{exit}");
}

#[test]
fn a_crash_loop_ends_in_closed_and_a_clear_failure() {
    let world = World::new();
    let service = Service::start(&world);
    let agent = hooked(&world, &service, &format!("{PATIENT}{QUICK}budget = 3\n"));
    let session = allocate(&agent, "exit-during-start=3");
    service.wait_closed(&session);
    let left = agent.wait("the report", |status| status["last_end"]["reported"] == true);
    assert!(left["last_end"]["reason"].as_str().unwrap().contains("crash loop"), "{left:#}");
    assert_eq!(left["last_end"]["exit"]["status"], json!({"how": "exited", "code": 3}));
    assert_eq!(left["last_end"]["reported"], true);
    let starts = agent.kinds().iter().filter(|kind| *kind == "starting").count();
    assert_eq!(starts, 3, "no more starts than the budget allows");
}

#[test]
fn a_game_that_hangs_is_unhealthy_and_is_restarted_where_that_is_configured() {
    let world = World::new();
    let service = Service::start(&world);
    let health = "[health]\nheartbeat = \"300ms\"\nfall = 1\nrise = 1\nwhen_unhealthy = \"restart\"\n";
    let ladder = "[game.stop]\nladder = [{ signal = \"TERM\", wait = \"200ms\" }, { kill = true, wait = \"5s\" }]\n";
    let agent = hooked(&world, &service, &format!("{PATIENT}{QUICK}{health}{ladder}"));
    let session = allocate(&agent, "");
    let before = agent.wait_join_status("joinable");
    // Stopped, it is alive and says nothing: nothing but its silence can tell.
    proc::signal(pid(&before, "game"), 19);
    let after = agent.wait("another game", |status| {
        status["join_status"] == "joinable" && status["game"]["pid"] != before["game"]["pid"]
    });
    assert_eq!(after["session_id"], session.as_str());
    assert!(!proc::alive(pid(&before, "game")));
    let said: Vec<String> = agent.timeline().iter().map(Value::to_string).collect();
    assert!(said.iter().any(|entry| entry.contains("unhealthy")), "{said:#?}");
}

#[test]
fn evidence_of_bad_health_is_shown_and_reported() {
    let world = World::new();
    let service = Service::start(&world);
    let health = "[health]\nfall = 1\nrise = 1\n";
    let agent = hooked(&world, &service, &format!("{PATIENT}{health}"));
    let session = allocate(&agent, "slow-ticks=40");
    let status = agent.wait_join_status("joinable");
    // It ticks while somebody plays.
    let _player = Player::joins(&world, &status, &uuid::Uuid::new_v4().to_string());
    let status = agent.wait("degraded or worse", |status| {
        ["degraded", "unhealthy"].contains(&status["instance_health"].as_str().unwrap())
    });
    let reasons = status["health_reasons"].to_string();
    assert!(reasons.contains("tick"), "why: {reasons}");
    assert!(world.told(["status", "server"]).contains("tick"), "for people, too");
    service.wait(&session, "its health", |session| {
        ["degraded", "unhealthy"].contains(&session["instance"]["instance_health"].as_str().unwrap_or("none"))
    });
}

#[test]
fn a_game_that_never_gets_ready_is_closed_and_never_shown_as_joinable() {
    let world = World::new();
    let service = Service::start(&world);
    let more = format!("{PATIENT}[game.readiness]\ntimeout = \"500ms\"\n[game.restart]\nwhen = \"never\"\n");
    let agent = hooked(&world, &service, &more);
    let session = allocate(&agent, "never-ready");
    let ended = agent.wait("the end", |status| status["last_end"]["reported"] == true);
    assert_eq!(ended["last_end"]["session_id"], session.as_str());
    let stopping = agent.timeline().into_iter().find(|entry| entry["kind"] == "stopping").unwrap();
    assert!(stopping["text"].as_str().unwrap().contains("ready within"), "{stopping}");
    assert!(!agent.kinds().iter().any(|kind| kind == "joinable"), "{:?}", agent.kinds());
    service.wait_closed(&session);
    agent.wait_phase("idle");
}

#[test]
fn a_daemonising_game_is_one_run_where_it_is_declared_and_swept_up_where_it_is_not() {
    let world = World::new();
    let service = Service::start(&world);
    let agent = hooked(&world, &service, &format!("{PATIENT}[game]\nforking = true\n"));
    let session = allocate(&agent, "daemonise");
    let status = agent.wait_join_status("joinable");
    let keeper = pid(&status, "keeper");
    agent.wait("nothing else", |status| status["game"]["restarts"] == 0);
    let family = proc::game_processes(keeper);
    assert!(!family.is_empty(), "the second process lives");
    agent.call("POST", "/v1/drain", Some(&json!({"then": "recycle"}))).unwrap().ok();
    agent.wait_phase("idle");
    service.wait_closed(&session);
    assert!(family.iter().all(|pid| !proc::alive(*pid)), "all of it was stopped");
}

#[test]
fn what_a_daemonising_game_leaves_behind_undeclared_is_swept_up() {
    let world = World::new();
    let service = Service::start(&world);
    let more = "[game.restart]\nwhen = \"never\"\n\
        [game.stop]\nladder = [{ signal = \"TERM\", wait = \"1s\" }, { kill = true, wait = \"5s\" }]\n";
    let agent = hooked(&world, &service, &format!("{PATIENT}{more}"));
    let keeper = pid(&agent.status(), "keeper");
    let session = allocate(&agent, "daemonise never-ready");
    let ended = agent.wait("the end", |status| status["last_end"]["reported"] == true);
    assert_eq!(ended["last_end"]["exit"]["status"], json!({"how": "exited", "code": 0}));
    assert!(ended["last_end"]["exit"]["stragglers"].as_u64().unwrap() >= 1, "{ended:#}");
    assert_eq!(proc::game_processes(keeper), [0; 0], "nothing of the run is left");
    service.wait_closed(&session);
}

#[test]
fn a_game_that_refuses_sigterm_and_has_helpers_is_ended_whole() {
    let world = World::new();
    let service = Service::start(&world);
    let ladder = "[game.stop]\nladder = [{ signal = \"TERM\", wait = \"300ms\" }, { kill = true, wait = \"5s\" }]\n";
    let mut agent = hooked(&world, &service, &format!("{PATIENT}{ladder}"));
    let session = allocate(&agent, "refuse-sigterm fork-helpers=3");
    let status = agent.wait_join_status("joinable");
    let family = proc::game_processes(pid(&status, "keeper"));
    assert!(family.len() >= 4, "the game and its helpers: {family:?}");
    let said = agent.stop();
    assert!(said.contains("it had to be killed after 0 s, and may not have saved"), "{said}");
    assert!(family.iter().all(|pid| proc::gone(*pid, PATIENCE)), "every one of them");
    service.wait_closed(&session);
    let left: Value = serde_json::from_slice(&world.ask(["status", "server", "--json"]).stdout).unwrap();
    assert_eq!(left["last_end"]["exit"]["status"]["signal"], 9, "{left:#}");
}

#[test]
fn a_flood_of_output_is_drained_into_bounded_files_and_hinders_nobody() {
    let world = World::new();
    let service = Service::start(&world);
    let logs = "[keeper]\nlog_size = \"64KiB\"\nlog_files = 3\n";
    let agent = hooked(&world, &service, &format!("{PATIENT}{logs}"));
    allocate(&agent, "spam=20000");
    let status = agent.wait_join_status("joinable");
    let dir = agent.dir().join("logs");
    let sizes = || -> Vec<u64> {
        let entries = std::fs::read_dir(&dir).unwrap().flatten();
        entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).collect()
    };
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
    agent.wait("several rotations", |_| {
        let last = read("game.log")
            .lines()
            .rev()
            .find_map(|line| line.split("spam ").nth(1)?.split(' ').next()?.parse::<u64>().ok());
        last.is_some_and(|last| last > 5000)
    });
    let sizes = sizes();
    assert!(sizes.len() <= 3 && sizes.iter().sum::<u64>() <= 3 * 64 * 1024 + 8192, "{sizes:?}");
    let player = Player::joins(&world, &status, &uuid::Uuid::new_v4().to_string());
    agent.wait("a player all the same", |status| status["players"] == 1);
    player.leaves();
    agent.wait("nobody", |status| status["players"] == 0);
}

#[test]
fn killing_the_keeper_ends_the_game_with_all_its_helpers_and_is_reported_as_lost() {
    let world = World::new();
    let service = Service::start(&world);
    let agent = hooked(&world, &service, PATIENT);
    let session = allocate(&agent, "fork-helpers=2");
    let status = agent.wait_join_status("joinable");
    let family = proc::game_processes(pid(&status, "keeper"));
    assert!(family.len() >= 3, "{family:?}");
    proc::signal(pid(&status, "keeper"), 9);
    assert!(family.iter().all(|pid| proc::gone(*pid, PATIENCE)), "the game and its helpers go with it");
    service.wait_closed(&session);
    let ended = agent.wait("the report", |status| status["last_end"]["reported"] == true);
    assert_eq!(ended["last_end"]["exit"]["status"]["how"], "lost", "{ended:#}");
}
