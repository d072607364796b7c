//! Starts that fail, and what is said of them: once, with what to do about it.

use super::*;
use crate::support::puppet::Puppet;

fn log(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.path().join(format!("logs/{name}.log"))).unwrap()
}

fn count(agent: &Agent<'_>, kind: &str) -> usize {
    agent.kinds().iter().filter(|one| *one == kind).count()
}

#[test]
fn a_launcher_that_leaves_the_game_behind_is_told_and_not_started_again() {
    let world = World::new();
    let service = Service::start(&world);
    let puppet = Puppet::new(&world);
    let game = format!("[game]\n{}[game.readiness]\nby = \"delay\"\ndelay = \"1ms\"\n", puppet.command());
    let mut agent = world.agent("one", &format!("{}{PATIENT}{game}", service.agent_config()));
    let status = agent.wait_join_status("joinable");
    puppet.begins("sleep 1000 & exit 0");
    assert_eq!(agent.ended().code(), Some(70), "{}", log(&world, "one"));
    assert_eq!((count(&agent, "starting"), count(&agent, "launcher")), (1, 1), "{:?}", agent.kinds());
    assert!(log(&world, "one").contains("`forking = true`"), "{}", log(&world, "one"));
    service.wait_closed(status["session_id"].as_str().unwrap());
}

#[test]
fn a_program_that_cant_be_started_is_tried_once_and_named_once() {
    let world = World::new();
    let service = Service::start(&world);
    let program = world.file("server.x", "#!/bin/sh\n");
    let game = format!("[game]\ncommand = [{program:?}]\n");
    let mut agent = world.agent("one", &format!("{}{game}", service.agent_config()));
    assert_eq!(agent.ended().code(), Some(70));
    let said = log(&world, "one");
    assert_eq!(said.matches("Permission denied").count(), 1, "{said}");
    assert!(said.contains("chmod +x"), "{said}");
    assert_eq!(count(&agent, "starting"), 1, "{said}");
    let left = String::from_utf8(world.ask(["status", "one"]).stdout).unwrap();
    assert!(left.contains("Permission denied"), "{left}");
}

#[test]
fn a_start_that_never_ends_says_what_was_waited_for_and_what_the_game_printed() {
    let world = World::new();
    let service = Service::start(&world);
    let puppet = Puppet::new(&world);
    let readiness = "[game.readiness]\nby = \"log\"\npattern = '^READY$'\ntimeout = \"1s\"\n";
    let game = format!("[game]\n{}{readiness}", puppet.command());
    let agent = world.agent("one", &format!("{}{PATIENT}{game}", service.agent_config()));
    puppet.begins("echo loading; echo ERROR: no such map >&2");
    agent.wait("the next try", |status| status["game"]["restarts"] == 1);
    let timeline = agent.timeline();
    let texts = |kind: &str| -> Vec<&str> {
        timeline.iter().filter(|entry| entry["kind"] == kind).filter_map(|entry| entry["text"].as_str()).collect()
    };
    assert!(texts("stopping")[0].contains("matches \"^READY$\" was waited for"), "{:?}", texts("stopping"));
    assert!(texts("exit")[0].contains("`gameside logs one`"), "{:?}", texts("exit"));
    let mut printed = texts("output")[..2].to_vec();
    printed.sort_unstable();
    assert_eq!(printed, ["ERROR: no such map", "loading"]);
}
