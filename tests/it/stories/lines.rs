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

    agent.kill();
    puppet.does("echo join bob; echo left ann; echo map harbour; seq 1 60000");
    agent.start();
    agent.wait("who came and went", |status| players(status) == ["eve", "bob"] && status["map"] == "harbour");

    agent.kill();
    agent.start();
    agent.wait("the next agent", |status| status["keeper"]["connected"] == true);
    puppet.does("echo join tom");
    agent.wait("one more", |status| players(status) == ["eve", "bob", "tom"]);
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
