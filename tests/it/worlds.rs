//! Two kinds of game: a match ends, a world goes on.

use crate::support::{agent::Agent, proc, world::World};

const GAME: &str = "[session.startup]\nmap = 'harbour'\n[game.readiness]\nby = 'delay'\ndelay = '1ms'\n\
    [game.restart]\ndelay = '10ms'\nmax_delay = '20ms'\n[game]\ncommand = ['/bin/sleep', '1000']\n";

/// Kills the game as often as a match may crash, and waits for the next run each time, if there is one.
fn killed_over_and_over(agent: &mut Agent<'_>) -> Option<u64> {
    let mut run = 0;
    for _ in 0..5 {
        let up = loop {
            if agent.has_ended().is_some() {
                return None;
            }
            let status = agent.try_status();
            let newer = |status: &serde_json::Value| status["game"]["run"].as_u64() > Some(run);
            if let Some(up) = status.filter(|status| newer(status) && status["join_status"] == "joinable") {
                break up;
            }
            agent.pause();
        };
        run = up["game"]["run"].as_u64().unwrap();
        proc::signal(u32::try_from(up["game"]["pid"].as_u64().unwrap()).unwrap(), 9);
    }
    Some(run)
}

#[test]
fn a_world_is_started_again_as_often_as_it_crashes_and_a_match_is_given_up() {
    let world = World::new();
    let mut agent = world.agent("server", GAME);
    let begun = agent.wait_join_status("joinable");
    assert_eq!(begun["kind"], "world");
    let said = agent.timeline().into_iter().find(|entry| entry["kind"] == "kind").expect("which kind, and why");
    assert!(said["text"].as_str().unwrap().contains("a world"), "{said}");
    assert_eq!(killed_over_and_over(&mut agent), Some(5));
    let after = agent.wait("the next run", |status| status["game"]["restarts"] == 5);
    assert_eq!(after["session_id"], begun["session_id"], "it goes on");
    agent.stop();

    let world = World::new();
    let mut agent = world.agent("server", &format!("{GAME}kind = 'match'\n"));
    agent.wait("its kind", |status| status["kind"] == "match");
    assert_eq!(killed_over_and_over(&mut agent), None, "a crash loop ends it");
}

#[test]
fn the_practice_game_is_a_match_unless_it_is_said_to_be_a_world() {
    for (config, kind, why) in [
        ("", "match", "the practice game is one"),
        ("[game]\nkind = 'world'\n", "world", "[game] kind says so"),
        ("[allocation]\nprovider = 'hook'\n[game]\ncommand = ['/bin/sleep', '9']\n", "match", "others allocate it"),
    ] {
        let world = World::new();
        let agent = world.agent("server", &format!("{config}[session.startup]\nmap = 'harbour'\n"));
        let status = agent.status();
        assert_eq!(status["kind"], kind, "{config}");
        let said = agent.timeline().into_iter().find(|entry| entry["kind"] == "kind").unwrap();
        assert!(said["text"].as_str().unwrap().ends_with(why), "{said}");
    }
}
