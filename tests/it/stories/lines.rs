//! What a game prints counts, however much it is and whoever is there to read it.

use super::*;
use crate::support::{proc, puppet::Puppet};

const PATTERNS: &str = "[game.readiness]\nby = \"log\"\npattern = '^READY$'\n[log_patterns]\n\
    player_joined = '^join (?P<name>\\w+)$'\nplayer_left = '^left (?P<name>\\w+)$'\n\
    map_changed = '^map (?P<map>\\w+)$'\nmatch_ended = '^over$'\n";

/// An agent whose game is the puppet, in a match.
fn playing<'w>(world: &'w World, service: &Service<'_>, puppet: &Puppet) -> (Agent<'w>, String) {
    let more = format!("{PATIENT}[game]\n{}{PATTERNS}", puppet.command());
    let agent = hooked(world, service, &more);
    let session = allocate(&agent, "");
    agent.wait("the game", |status| status["game"]["pid"].is_u64());
    (agent, session)
}

fn players(status: &Value) -> Vec<&str> {
    status["players_known"].as_array().unwrap().iter().filter_map(|player| player["id"].as_str()).collect()
}

/// Waits until this is in the journal: from then on a death of the agent undoes it no more.
fn remembers(agent: &Agent<'_>, text: &str) {
    let written = || String::from_utf8_lossy(&std::fs::read(agent.dir().join("journal")).unwrap()).contains(text);
    while !written() {
        agent.pause();
    }
}

#[test]
fn an_agent_that_falls_behind_loses_no_line() {
    let world = World::new();
    let service = Service::start(&world);
    let puppet = Puppet::new(&world);
    let (agent, _) = playing(&world, &service, &puppet);
    agent.signal(libc::SIGSTOP);
    puppet.does("seq 1 60000; echo READY; seq 1 60000; echo join ann; seq 1 60000; echo join bob; seq 1 60000");
    puppet.does("echo left ann; seq 1 60000");
    agent.signal(libc::SIGCONT);
    agent.wait_join_status("joinable");
    agent.wait("bob alone", |status| players(status) == ["bob"]);
}

#[test]
fn what_is_printed_while_no_agent_is_there_counts_once() {
    let world = World::new();
    let service = Service::start(&world);
    let puppet = Puppet::new(&world);
    let (mut agent, session) = playing(&world, &service, &puppet);
    puppet.does("echo READY; echo join ann; echo join eve");
    agent.wait("two players", |status| players(status) == ["ann", "eve"]);
    remembers(&agent, "\"eve\"");

    agent.kill();
    puppet.does("echo left ann; echo map mine; seq 1 60000; echo join bob");
    agent.start();
    agent.wait("who came and went", |status| players(status) == ["bob", "eve"] && status["map"] == "mine");
    remembers(&agent, "\"bob\"");

    agent.kill();
    agent.start();
    agent.wait("the next agent", |status| status["keeper"]["connected"] == true);
    puppet.does("echo join tom");
    agent.wait("one more", |status| players(status) == ["bob", "eve", "tom"]);
    let joined = agent.timeline().into_iter().filter(|entry| entry["kind"] == "player_joined");
    let joined: Vec<_> = joined.map(|entry| entry["fields"]["player"].as_str().unwrap().to_owned()).collect();
    assert_eq!(joined, ["ann", "eve", "bob", "tom"], "each came once");

    agent.kill();
    let game = pid(&serde_json::from_slice(&world.ask(["status", "server", "--json"]).stdout).unwrap(), "game");
    puppet.begins("echo over; exit 3");
    assert!(proc::gone(game, crate::support::world::PATIENCE));
    agent.start();
    let ended = agent.wait("the end", |status| status["last_end"]["reported"] == true);
    assert_eq!(ended["last_end"]["reason"], "the match is over", "{ended:#}");
    service.wait_closed(&session);
}

#[test]
fn a_prompt_without_an_end_is_shown_and_matched() {
    let world = World::new();
    let service = Service::start(&world);
    let puppet = Puppet::new(&world);
    let (agent, _) = playing(&world, &service, &puppet);
    puppet.does(r"printf 'loading 10%%\rloading 99%%\r\033[2K\033[1mREADY\033[0m'");
    agent.wait_join_status("joinable");
    assert!(world.told(["logs", "server"]).contains("READY"));
    puppet.does("echo; echo join ann");
    agent.wait("the next line", |status| players(status) == ["ann"]);
}

#[test]
fn a_game_that_logs_to_a_file_is_read_there_through_rotation_and_restarts() {
    let world = World::new();
    let service = Service::start(&world);
    let puppet = Puppet::new(&world);
    let dir = world.path().join("game");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("server.log"), "READY\njoin eve\n").unwrap();
    let game = format!("[game]\ndir = {dir:?}\n{}[log]\nfile = \"server.log\"\n", puppet.command());
    let mut agent = hooked(&world, &service, &format!("{PATIENT}{game}{PATTERNS}"));
    allocate(&agent, "");
    agent.wait("the game", |status| status["game"]["pid"].is_u64());
    puppet.does("echo join tom; echo map ours >> server.log");
    let status = agent.wait("its log", |status| status["map"] == "ours");
    assert!(players(&status).is_empty() && status["join_status"] == "pending", "before it, or printed: {status:#}");
    puppet.does("echo READY >> server.log; echo join ann >> server.log");
    agent.wait("ready", |status| status["join_status"] == "joinable" && players(status) == ["ann"]);

    puppet.does("echo join bob >> server.log; mv server.log server.log.1; echo left ann > server.log");
    agent.wait("the next file", |status| players(status) == ["bob"]);
    puppet.does(": > server.log; echo join cid >> server.log");
    agent.wait("emptied", |status| players(status) == ["bob", "cid"]);
    remembers(&agent, "\"cid\"");

    agent.kill();
    puppet.does("echo left bob >> server.log; mv server.log old.log; echo join dan > server.log");
    agent.start();
    agent.wait("what no agent saw", |status| players(status) == ["cid", "dan"]);
    let joined = agent.timeline().into_iter().filter(|entry| entry["kind"] == "player_joined").count();
    assert_eq!(joined, 4, "each came once");
}
